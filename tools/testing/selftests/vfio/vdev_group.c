// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which PFs can have vdevs: those that have their IOMMU group for themselves. This
 * looks at every DSA of the machine, and needs each kind: alone in its group, with
 * a device that has PASIDs, and with one that has none.
 */
#include <glob.h>
#include <limits.h>

#include "vdev_harness.h"

#define MAX_DSAS 16

struct dsa_pf {
	char dsa[16];
	char pf[32];
	unsigned int others;		/* devices of the group beside the PF */
	/* The one to be named: the first without PASIDs, else with, else a port */
	char other[32];
	bool pasids;
};

/* Is extended capability 0x1b, PASID, in the list that starts at 0x100? */
static bool has_pasids(const char *dev)
{
	uint8_t config[4096] = { 0 };
	char path[PATH_MAX];
	unsigned int at, i;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "%s/config", dev);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return false;
	len = read(fd, config, sizeof(config));
	close(fd);
	for (i = 0, at = 0x100; len == sizeof(config) && at && i < 64; i++) {
		uint32_t header;

		memcpy(&header, config + at, sizeof(header));
		if ((header & 0xffff) == 0x1b)
			return true;
		at = header >> 20;
	}
	return false;
}

static void look_at_group(struct dsa_pf *d, const glob_t *devices)
{
	int best = 0;
	size_t i;

	for (i = 0; i < devices->gl_pathc; i++) {
		const char *dev = devices->gl_pathv[i], *name = strrchr(dev, '/') + 1;
		bool pasids = has_pasids(dev);
		char class[16] = "";
		int rank;

		if (!strcmp(name, d->pf))
			continue;
		d->others++;
		sysfs_read(class, sizeof(class), "%s/class", dev);
		rank = !strncmp(class, "0x0604", 6) ? 1 : pasids ? 2 : 3;
		if (rank > best) {
			best = rank;
			snprintf(d->other, sizeof(d->other), "%.31s", name);
			d->pasids = rank < 3;
		}
	}
}

static unsigned int find_dsas(struct dsa_pf *list)
{
	char path[VDEV_PATH_MAX], link[VDEV_PATH_MAX];
	unsigned int i, nr = 0;
	glob_t g, devices;
	ssize_t len;

	if (system("modprobe -a iommufd idxd idxd_vdev") ||
	    glob(DSA_DEVICES "/dsa*", 0, NULL, &g))
		return 0;
	for (i = 0; i < g.gl_pathc && nr < MAX_DSAS; i++) {
		struct dsa_pf *d = &list[nr];

		len = readlink(g.gl_pathv[i], link, sizeof(link) - 1);
		if (len < 0)
			continue;
		link[len] = '\0';
		snprintf(d->dsa, sizeof(d->dsa), "%.15s", strrchr(link, '/') + 1);
		*strrchr(link, '/') = '\0';
		snprintf(d->pf, sizeof(d->pf), "%.31s", strrchr(link, '/') + 1);
		snprintf(path, sizeof(path), PCI_DEVICES "/%s/iommu_group/devices/*",
			 d->pf);
		if (glob(path, 0, NULL, &devices))
			continue;
		look_at_group(d, &devices);
		globfree(&devices);
		nr++;
	}
	globfree(&g);
	return nr;
}

FIXTURE(group) {
	struct dsa_pf list[MAX_DSAS];
	unsigned int nr;
};

FIXTURE_SETUP(group)
{
	vdev_sweep();
	self->nr = find_dsas(self->list);
	if (!self->nr && !getenv("VDEV_SELFTEST_REQUIRED"))
		SKIP(return, "no DSA, or no idxd_vdev module");
	ASSERT_NE(0, self->nr);
}

FIXTURE_TEARDOWN(group)
{
	unsetenv("DSA");
}

TEST_F(group, alone)
{
	unsigned int i, found = 0;
	struct dsa_pool pool;
	struct test_vdev v;

	for (i = 0; i < self->nr; i++) {
		struct dsa_pf *d = &self->list[i];

		if (d->others)
			continue;
		found++;
		setenv("DSA", d->dsa, 1);
		ASSERT_EQ(0, dsa_pool_get(&pool, 1));
		EXPECT_STREQ(d->pf, pool.parent);
		ASSERT_EQ(0, test_vdev_up(&v, &pool, STARTED, 1 << 16));
		ASSERT_EQ(0, test_vdev_down(&v));
	}
	EXPECT_NE(0, found);
}

TEST_F(group, shared)
{
	unsigned int i, found[2] = { 0 };
	struct last_error last;
	struct dsa_pool pool;

	ASSERT_EQ(0, last_error_watch(&last, "/sys/bus/mdev/drivers/idxd_vdev/last_error"));

	for (i = 0; i < self->nr; i++) {
		struct dsa_pf *d = &self->list[i];

		if (!d->others)
			continue;
		found[d->pasids]++;
		setenv("DSA", d->dsa, 1);
		EXPECT_EQ(d->pasids ? -EXDEV : -EOPNOTSUPP, dsa_pool_get(&pool, 1)) {
			TH_LOG("%s has %u others in its group", d->pf, d->others);
		}
		if (d->pasids)
			EXPECT_REFUSED(&last,
				       "cannot register %s: it shares its IOMMU group with %s; enable ACS or use another slot",
				       d->pf, d->other);
		else
			EXPECT_REFUSED(&last,
				       "cannot register %s: %s of the same IOMMU group has no PASIDs; enable ACS or use another slot",
				       d->pf, d->other);
		EXPECT_FALSE(path_exists(MDEV_BUS_CLASS "/%s", d->pf));
		EXPECT_FALSE(path_exists(PCI_DEVICES "/%s/mdev_pasid", d->pf));
	}
	EXPECT_NE(0, found[false]);
	EXPECT_NE(0, found[true]);
}

TEST_HARNESS_MAIN
