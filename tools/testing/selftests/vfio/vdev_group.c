// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which PFs can have vdevs: those that have their IOMMU group for themselves. This
 * looks at every DSA of the machine, and needs one of each kind: alone in its
 * group, and not.
 */
#include <glob.h>

#include "vdev_harness.h"

#define MAX_DSAS 16

struct dsa_pf {
	char dsa[16];
	char pf[32];
	unsigned int others;		/* devices of the group beside the PF */
};

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
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group/devices/*",
			 d->pf);
		if (glob(path, 0, NULL, &devices))
			continue;
		d->others = devices.gl_pathc - 1;
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
	unsigned int i, found = 0;
	struct dsa_pool pool;

	for (i = 0; i < self->nr; i++) {
		struct dsa_pf *d = &self->list[i];

		if (!d->others)
			continue;
		found++;
		setenv("DSA", d->dsa, 1);
		EXPECT_EQ(-EXDEV, dsa_pool_get(&pool, 1)) {
			TH_LOG("%s has %u others in its group", d->pf, d->others);
		}
		EXPECT_FALSE(path_exists(MDEV_BUS_CLASS "/%s", d->pf));
	}
	EXPECT_NE(0, found);
}

TEST_HARNESS_MAIN
