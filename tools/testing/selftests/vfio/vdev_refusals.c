// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every sentence of a refusal that can be provoked, word for word, with its time and its
 * number. tools/lab/host/refusals compares them with the code and the documentation, and
 * has the list of those that cannot be provoked.
 */
#include <glob.h>
#include <limits.h>
#include <sys/prctl.h>

#include "vdev_harness.h"

#define TEST_MODULE	"mdev_pasid_test"
#define TEST_PARAMS	"/sys/module/" TEST_MODULE "/parameters"
#define MDEV_DRIVERS	"/sys/bus/mdev/drivers"
#define NO_DRIVER_TYPE	"idxd-none"

/* --- a PF becomes a parent ------------------------------------------------- */

FIXTURE(parent) {
	struct dsa_pool pool;
	struct last_error last;
};

FIXTURE_SETUP(parent)
{
	TEST_POOL(&self->pool, 0);
	ASSERT_FALSE(path_exists(MDEV_BUS_CLASS "/%s", self->pool.parent));
}

FIXTURE_TEARDOWN(parent)
{
	vdev_sweep();
	EXPECT_TRUE(run_modprobe("-r " TEST_MODULE));
}

/* Offer vdevs on @pf by the plan in @options; 0 or the errno of the refusal */
static int offer(struct last_error *last, const char *pf, const char *options)
{
	if (!run_modprobe("-r " TEST_MODULE) ||
	    !run_modprobe(TEST_MODULE " pf=%s %s", pf, options))
		return -ENOEXEC;
	last->since = time(NULL) - 60;
	memset(&last->was, 0, sizeof(last->was));
	snprintf(last->path, sizeof(last->path), MDEV_DRIVERS "/" TEST_MODULE "/last_error");
	return sysfs_read_num(TEST_PARAMS "/result");
}

/* A PCI device that has its IOMMU group for itself, but no PASID capability */
static bool find_without_pasids(char *name, size_t size)
{
	bool found = false;
	size_t i;
	glob_t g;

	if (glob(PCI_DEVICES "/*", 0, NULL, &g))
		return false;
	for (i = 0; i < g.gl_pathc && !found; i++) {
		uint8_t config[4096];
		char path[PATH_MAX];
		glob_t group;
		int fd;

		/* Not even room for one */
		snprintf(path, sizeof(path), "%s/config", g.gl_pathv[i]);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			continue;
		found = read(fd, config, sizeof(config)) <= 256;
		close(fd);
		snprintf(path, sizeof(path), "%s/iommu_group/devices/*", g.gl_pathv[i]);
		if (!found || glob(path, 0, NULL, &group)) {
			found = false;
			continue;
		}
		found = group.gl_pathc == 1;
		globfree(&group);
		snprintf(name, size, "%s", strrchr(g.gl_pathv[i], '/') + 1);
	}
	globfree(&g);
	return found;
}

TEST_F(parent, fine)
{
	char text[16];

	EXPECT_EQ(0, offer(&self->last, self->pool.parent, ""));
	EXPECT_EQ(0, sysfs_read(text, sizeof(text), "%s", self->last.path));
	EXPECT_EQ(0, sysfs_read(text, sizeof(text), MDEV_BUS_CLASS "/%s/mdev_pasid/last_error",
				self->pool.parent));
	EXPECT_EQ(1, vdev_available(self->pool.parent, NO_DRIVER_TYPE));
}

TEST_F(parent, no_iommu)
{
	EXPECT_EQ(-ENODEV, offer(&self->last, TEST_MODULE, ""));
	EXPECT_REFUSED(&self->last,
		       "cannot register %s: no IOMMU translates it; enable the IOMMU (intel_iommu=on,sm_on)",
		       TEST_MODULE);
}

TEST_F(parent, no_pasids)
{
	char pf[64];

	ASSERT_TRUE(find_without_pasids(pf, sizeof(pf)));
	EXPECT_EQ(-EOPNOTSUPP, offer(&self->last, pf, ""));
	EXPECT_REFUSED(&self->last,
		       "cannot register %s: it has no PASIDs; use a device with the PASID capability, and the scalable mode of the IOMMU (intel_iommu=on,sm_on)",
		       pf);
}

/* Width 20 is the most that PCI has, so no device has that many beside PASID 0 */
TEST_F(parent, number_of_pasids)
{
	static const unsigned int bad[] = { 0, 1 << 20, ~0u };
	unsigned int i, max = 0;
	char options[64], *have;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct refusal refusal;

		snprintf(options, sizeof(options), "max_pasids=%u", bad[i]);
		EXPECT_EQ(-ENOSPC, offer(&self->last, self->pool.parent, options));
		ASSERT_EQ(0, refusal_read(&refusal, self->last.path));
		have = strstr(refusal.text, "IOMMU have ");
		ASSERT_NE(NULL, have);
		max = strtoul(have + strlen("IOMMU have "), NULL, 10);
		EXPECT_REFUSED(&self->last,
			       "cannot register %s: the driver plans %u PASIDs, device and IOMMU have %u; plan 1 to that many",
			       self->pool.parent, bad[i], max);
	}
	/* All of those that there are, and one more */
	snprintf(options, sizeof(options), "max_pasids=%u", max);
	EXPECT_EQ(0, offer(&self->last, self->pool.parent, options));
	snprintf(options, sizeof(options), "max_pasids=%u", max + 1);
	EXPECT_EQ(-ENOSPC, offer(&self->last, self->pool.parent, options));
}

/* A bit of what the IOMMU of a device says it can do */
static bool vtd_can(const char *pf, unsigned int bit)
{
	char text[32];

	if (sysfs_read(text, sizeof(text), PCI_DEVICES "/%s/iommu/intel-iommu/ecap",
		       pf) <= 0)
		return false;
	return strtoull(text, NULL, 16) >> bit & 1;
}

#define ECAP_SC		7	/* snoop control */
#define ECAP_PRS	29	/* page requests */

TEST_F(parent, coherent)
{
	if (vtd_can(self->pool.parent, ECAP_SC)) {
		EXPECT_EQ(0, offer(&self->last, self->pool.parent, "coherent=1"));
		return;
	}
	EXPECT_EQ(-EOPNOTSUPP, offer(&self->last, self->pool.parent, "coherent=1"));
	EXPECT_REFUSED(&self->last,
		       "cannot register %s: the driver plans on enforced cache coherency, which the IOMMU cannot do; plan without",
		       self->pool.parent);
}

TEST_F(parent, width)
{
	static const unsigned int bad[] = { 0, 12, 65, 255 };
	char options[64];
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(options, sizeof(options), "addr_width=%u", bad[i]);
		EXPECT_EQ(-ERANGE, offer(&self->last, self->pool.parent, options));
		EXPECT_REFUSED(&self->last,
			       "cannot register %s: the IOMMU translates no address of %u bits; plan the width that the device has",
			       self->pool.parent, bad[i]);
	}
	EXPECT_EQ(0, offer(&self->last, self->pool.parent, "addr_width=32"));
}

TEST_F(parent, page_faults)
{
	int ret = offer(&self->last, self->pool.parent, "page_faults=1");

	if (!ret && vtd_can(self->pool.parent, ECAP_PRS))
		return;
	EXPECT_GT(0, ret);
	EXPECT_REFUSED(&self->last,
		       "cannot register %s: the driver plans on page requests, which device or IOMMU cannot do (error %d); plan without",
		       self->pool.parent, ret);
	/* Nothing is left of the attempt */
	EXPECT_EQ(0, offer(&self->last, self->pool.parent, ""));
}

TEST_F(parent, shared_group)
{
	char options[64];

	snprintf(options, sizeof(options), "neighbour=%s", self->pool.parent);
	EXPECT_EQ(-EOPNOTSUPP, offer(&self->last, self->pool.parent, options));
	EXPECT_REFUSED(&self->last,
		       "cannot register %s: %s of the same IOMMU group has no PASIDs; enable ACS or use another slot",
		       self->pool.parent, TEST_MODULE);
}

/* Two drivers want the same PF: the first has it, whichever that is. */
TEST_F(parent, twice)
{
	struct last_error idxd;

	EXPECT_EQ(0, offer(&self->last, self->pool.parent, ""));
	ASSERT_EQ(0, last_error_watch(&idxd, MDEV_DRIVERS "/idxd_vdev/last_error"));
	EXPECT_EQ(-EBUSY, dsa_wq_enable(&self->pool, 0, "user", DSA_WQ_DRIVER));
	EXPECT_REFUSED(&idxd,
		       "cannot register %s: driver %s offers vdevs on it already; let that one go first",
		       self->pool.parent, TEST_MODULE);
	EXPECT_TRUE(run_modprobe("-r " TEST_MODULE));

	ASSERT_EQ(0, dsa_wq_enable(&self->pool, 0, "user", DSA_WQ_DRIVER));
	EXPECT_EQ(-EBUSY, offer(&self->last, self->pool.parent, ""));
	EXPECT_REFUSED(&self->last,
		       "cannot register %s: driver %s offers vdevs on it already; let that one go first",
		       self->pool.parent, "idxd_vdev");
	ASSERT_EQ(0, dsa_wq_disable(&self->pool, 0, DSA_WQ_DRIVER));
}

/* The reasons of one driver are counted, whatever they are about. */
TEST_F(parent, counted)
{
	int i;

	EXPECT_EQ(0, offer(&self->last, self->pool.parent, ""));
	ASSERT_EQ(0, last_error_watch(&self->last, MDEV_BUS_CLASS "/%s/mdev_pasid/last_error",
				      self->pool.parent));
	for (i = 0; i < 30; i++) {
		EXPECT_EQ(-EINVAL, vdev_create(self->pool.parent, NO_DRIVER_TYPE, "no UUID"));
		EXPECT_REFUSED(&self->last,
			       "cannot create a vdev on %s: what was written is no UUID; write one as uuidgen prints it",
			       self->pool.parent);
	}
}

/* --- a WQ is lent ---------------------------------------------------------- */

FIXTURE(lend) {
	struct dsa_pool pool;
	struct last_error last;
	char wq[32];
};

FIXTURE_SETUP(lend)
{
	TEST_POOL(&self->pool, 0);
	snprintf(self->wq, sizeof(self->wq), "wq%s.6", self->pool.dsa + strlen("dsa"));
	ASSERT_EQ(0, last_error_watch(&self->last, MDEV_DRIVERS "/idxd_vdev/last_error"));
}

FIXTURE_TEARDOWN(lend)
{
}

static int lend(const char *wq)
{
	return sysfs_write(wq, DSA_DRIVERS "/" DSA_WQ_DRIVER "/bind");
}

static int wq_set(const char *wq, const char *attr, const char *value)
{
	return sysfs_write(value, DSA_DEVICES "/%s/%s", wq, attr);
}

TEST_F(lend, device_disabled)
{
	/* Maybe it is not enabled */
	sysfs_write(self->pool.dsa, DSA_DRIVERS "/idxd/unbind");
	ASSERT_EQ(0, wq_set(self->wq, "driver_name", DSA_WQ_DRIVER));
	EXPECT_EQ(-ENXIO, lend(self->wq));
	EXPECT_REFUSED(&self->last,
		       "cannot lend %s: its device is not enabled; enable %s first",
		       self->wq, self->pool.dsa);
}

TEST_F(lend, wrong_wq)
{
	long long cfg;
	int ret;

	ASSERT_EQ(0, dsa_wq_enable(&self->pool, 0, "user", DSA_WQ_DRIVER));
	ASSERT_EQ(0, wq_set(self->wq, "driver_name", "user"));
	EXPECT_EQ(-ENODEV, lend(self->wq));
	EXPECT_REFUSED(&self->last,
		       "cannot lend %s: its driver_name is \"%s\"; set it to vdev",
		       self->wq, "user");

	ASSERT_EQ(0, wq_set(self->wq, "driver_name", DSA_WQ_DRIVER));
	ASSERT_EQ(0, wq_set(self->wq, "mode", "shared"));
	EXPECT_EQ(-EOPNOTSUPP, lend(self->wq));
	EXPECT_REFUSED(&self->last, "cannot lend %s: it is shared; set its mode to dedicated",
		       self->wq);

	ASSERT_EQ(0, wq_set(self->wq, "mode", "dedicated"));
	ASSERT_EQ(0, wq_set(self->wq, "block_on_fault", "1"));
	/* Each WQ that is enabled has idxd write down the configuration of all */
	ASSERT_EQ(0, dsa_wq_enable(&self->pool, 5, "user", DSA_WQ_DRIVER));
	cfg = dsa_host_wqcfg(&self->pool, 6, WQCFG_MODE);
	ASSERT_LE(0, cfg);
	EXPECT_EQ(WQCFG_BLOCK_ON_FAULT, cfg & WQCFG_BLOCK_ON_FAULT);
	EXPECT_EQ(-EOPNOTSUPP, lend(self->wq));
	EXPECT_REFUSED(&self->last,
		       "cannot lend %s: it waits for page faults, which nobody serves; set its block_on_fault to 0",
		       self->wq);

	ASSERT_EQ(0, wq_set(self->wq, "block_on_fault", "0"));
	ASSERT_EQ(0, wq_set(self->wq, "max_batch_size", "1024"));
	ASSERT_EQ(0, wq_set(self->wq, "max_transfer_size", "2097152"));
	EXPECT_EQ(-EINVAL, lend(self->wq));
	EXPECT_REFUSED(&self->last,
		       "cannot lend %s: its user could keep the device busy with %llu GiB, and %llu is what commands have time for; lower its size, max_batch_size or max_transfer_size",
		       self->wq, 32ull, 16ull);
	/* As much as may be */
	ASSERT_EQ(0, wq_set(self->wq, "max_batch_size", "512"));

	/* A new type takes the name away, which idxd insists on */
	ASSERT_EQ(0, wq_set(self->wq, "type", "kernel"));
	ASSERT_EQ(0, wq_set(self->wq, "type", "user"));
	ret = lend(self->wq);
	EXPECT_GT(0, ret);
	EXPECT_REFUSED(&self->last,
		       "cannot lend %s: idxd does not enable it (error %d); see cmd_status of %s",
		       self->wq, ret, self->pool.dsa);

	ASSERT_EQ(0, wq_set(self->wq, "name", "lend6"));
	EXPECT_EQ(0, lend(self->wq));
	cfg = dsa_host_wqcfg(&self->pool, 6, WQCFG_MODE);
	ASSERT_LE(0, cfg);
	EXPECT_EQ(0, cfg & WQCFG_BLOCK_ON_FAULT);
	EXPECT_EQ(0, dsa_wq_disable(&self->pool, 6, DSA_WQ_DRIVER));
	EXPECT_EQ(0, dsa_wq_disable(&self->pool, 5, DSA_WQ_DRIVER));
	EXPECT_EQ(0, dsa_wq_disable(&self->pool, 0, DSA_WQ_DRIVER));
}

/* --- a vdev of a driver that fails ----------------------------------------- */

FIXTURE(driver) {
	struct dsa_pool pool;
	struct last_error parent;
	struct test_vdev v;
};

FIXTURE_SETUP(driver)
{
	TEST_POOL(&self->pool, 0);
	ASSERT_EQ(0, offer(&self->parent, self->pool.parent, ""));
	ASSERT_EQ(0, last_error_watch(&self->parent, MDEV_BUS_CLASS "/%s/mdev_pasid/last_error",
				      self->pool.parent));
	ASSERT_EQ(0, vdev_new_uuid(self->v.uuid));
	self->v.fd = -1;
	self->v.iommufd = iommufd_open();
	ASSERT_LE(0, self->v.iommufd);
}

FIXTURE_TEARDOWN(driver)
{
	close(self->v.fd);
	close(self->v.iommufd);
	vdev_sweep();
	EXPECT_TRUE(run_modprobe("-r " TEST_MODULE));
}

static int set_fail(const char *what)
{
	return sysfs_write(what, TEST_PARAMS "/fail");
}

static int create(struct test_vdev *v, const struct dsa_pool *pool)
{
	return vdev_create(pool->parent, NO_DRIVER_TYPE, v->uuid);
}

TEST_F(driver, create)
{
	struct last_error vdev;

	EXPECT_EQ(0, set_fail("create"));
	EXPECT_EQ(-EIO, create(&self->v, &self->pool));
	EXPECT_REFUSED(&self->parent,
		       "cannot create %s: driver %s does not make it (error %d); see the log",
		       self->v.uuid, TEST_MODULE, -EIO);
	EXPECT_EQ(0, set_fail("msix"));
	EXPECT_EQ(-EINVAL, create(&self->v, &self->pool));
	EXPECT_REFUSED(&self->parent,
		       "cannot create %s: driver %s has no place for %u MSI-X vectors in BAR %u; mend the driver",
		       self->v.uuid, TEST_MODULE, 1, 0);
	EXPECT_EQ(0, set_fail("bar"));
	EXPECT_EQ(-EINVAL, create(&self->v, &self->pool));
	EXPECT_REFUSED(&self->parent,
		       "cannot create %s: driver %s makes BAR %u of %#llx bytes, which is no 64-bit BAR; mend the driver",
		       self->v.uuid, TEST_MODULE, 0, 4097ull);

	/* All that was refused has left nothing behind, here neither */
	EXPECT_EQ(0, set_fail("nothing"));
	EXPECT_EQ(0, create(&self->v, &self->pool));
	ASSERT_EQ(0, last_error_watch(&vdev, MDEV_DEVICES "/%s/pasid/last_error", self->v.uuid));
	EXPECT_EQ(0, vdev.was.count);

	EXPECT_EQ(-EEXIST, create(&self->v, &self->pool));
	EXPECT_REFUSED(&self->parent,
		       "cannot create %s: a vdev has this UUID already; choose another one",
		       self->v.uuid);
}

TEST_F(driver, no_uuid)
{
	static const char * const bad[] = {
		"x",
		"01234567-89ab-cdef-0123-456789abcde",
		"01234567-89ab-cdef-0123-456789abcdef00",
		"01234567-89ab-cdef-0123-456789abcdeg",
		"0123456789abcdef-0123-0123-456789abc",
	};
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		EXPECT_EQ(-EINVAL, vdev_create(self->pool.parent, NO_DRIVER_TYPE, bad[i])) {
			TH_LOG("wrote \"%s\"", bad[i]);
		}
		EXPECT_REFUSED(&self->parent,
			       "cannot create a vdev on %s: what was written is no UUID; write one as uuidgen prints it",
			       self->pool.parent);
	}
}

TEST_F(driver, open)
{
	struct last_error vdev;

	ASSERT_EQ(0, create(&self->v, &self->pool));
	ASSERT_EQ(0, last_error_watch(&vdev, MDEV_DEVICES "/%s/pasid/last_error", self->v.uuid));
	self->v.fd = vdev_open(self->v.uuid);
	ASSERT_LE(0, self->v.fd);
	EXPECT_EQ(0, set_fail("open"));
	EXPECT_EQ(-EIO, vdev_bind(self->v.fd, self->v.iommufd, &self->v.devid));
	EXPECT_REFUSED(&vdev,
		       "cannot bind: driver %s does not open the vdev (error %d); see the log",
		       TEST_MODULE, -EIO);
	EXPECT_TRUE(vdev_state_is(self->v.uuid, "closed"));
	EXPECT_EQ(0, set_fail("nothing"));
	EXPECT_EQ(0, vdev_bind(self->v.fd, self->v.iommufd, &self->v.devid));
	/* What a vdev is refused is not a matter of the PF's */
	ASSERT_EQ(0, last_error_watch(&vdev, MDEV_BUS_CLASS "/%s/mdev_pasid/last_error",
				      self->pool.parent));
	EXPECT_EQ(0, vdev.was.count);
}

/* A vdev that is attached to an IOAS, and knows what it was refused last; 0, or the error */
static int create_attached(struct test_vdev *v, const struct dsa_pool *pool,
			   struct last_error *vdev, uint32_t *ioas)
{
	int ret = create(v, pool);
	uint32_t pt;

	ret = ret ?: last_error_watch(vdev, MDEV_DEVICES "/%s/pasid/last_error", v->uuid);
	if (ret)
		return ret;
	v->fd = vdev_open(v->uuid);
	ret = vdev_bind(v->fd, v->iommufd, &v->devid);
	ret = ret ?: ioas_alloc(v->iommufd, ioas);
	if (ret)
		return ret;
	pt = *ioas;
	return vdev_attach(v->fd, &pt);
}

static int write_command(const struct test_vdev *v, uint16_t command)
{
	struct vdev_region config;
	int ret = vdev_region_info(v->fd, VFIO_PCI_CONFIG_REGION_INDEX, &config);

	return ret ?: vdev_write(v->fd, &config, PCI_COMMAND, &command, sizeof(command));
}

TEST_F(driver, start)
{
	struct last_error vdev;
	uint32_t ioas;
	int i;

	ASSERT_EQ(0, create_attached(&self->v, &self->pool, &vdev, &ioas));
	EXPECT_EQ(0, set_fail("start"));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, write_command(&self->v, 0));
		EXPECT_EQ(0, write_command(&self->v, PCI_COMMAND_MASTER));
		EXPECT_REFUSED(&vdev,
			       "DMA stays off: the hardware of %s did not start (error %d); reset the vdev",
			       self->pool.parent, -EIO);
	}
}

/* Hardware that does not stop is nothing for the next user, and neither is its PASID */
TEST_F(driver, stop)
{
	struct last_error vdev;
	long long pasid;
	uint32_t ioas;

	ASSERT_EQ(0, create_attached(&self->v, &self->pool, &vdev, &ioas));
	pasid = vdev_pasid(self->v.uuid);
	ASSERT_EQ(0, write_command(&self->v, PCI_COMMAND_MASTER));
	EXPECT_EQ(0, set_fail("stop"));
	close(self->v.fd);
	EXPECT_EQ(0, set_fail("nothing"));

	self->v.fd = vdev_open(self->v.uuid);
	ASSERT_LE(0, self->v.fd);
	EXPECT_EQ(-EIO, vdev_bind(self->v.fd, self->v.iommufd, &self->v.devid));
	EXPECT_REFUSED(&vdev,
		       "cannot bind: the hardware of %s did not stop for the last user, and PASID %u is not safe; remove the vdev and create another",
		       self->pool.parent, (unsigned int)pasid);
	close(self->v.fd);
	self->v.fd = -1;
	ASSERT_EQ(0, vdev_remove(self->v.uuid));
	ASSERT_EQ(0, create(&self->v, &self->pool));
	EXPECT_NE(pasid, vdev_pasid(self->v.uuid));
}

/* Nor does the PASID get another address space, for what may still be under way */
TEST_F(driver, stop_and_attach)
{
	struct last_error vdev;
	uint32_t ioas[2], pt;
	int i;

	ASSERT_EQ(0, create_attached(&self->v, &self->pool, &vdev, &ioas[0]));
	ASSERT_EQ(0, ioas_alloc(self->v.iommufd, &ioas[1]));
	ASSERT_EQ(0, write_command(&self->v, PCI_COMMAND_MASTER));
	EXPECT_EQ(0, set_fail("stop"));
	/* A replace, then an attach */
	for (i = 1; i >= 0; i--) {
		pt = ioas[i];
		EXPECT_EQ(-EIO, vdev_attach(self->v.fd, &pt));
		EXPECT_REFUSED(&vdev,
			       "cannot attach: the hardware of %s did not stop, and PASID %u is not safe; remove the vdev and create another",
			       self->pool.parent, (unsigned int)vdev_pasid(self->v.uuid));
		EXPECT_TRUE(vdev_state_is(self->v.uuid, "bound"));
		EXPECT_EQ(0, set_fail("nothing"));
	}
	/* The page table that it had is nobody's */
	EXPECT_EQ(0, iommufd_destroy(self->v.iommufd, ioas[0]));
}

/* --- a vdev of a WQ -------------------------------------------------------- */

FIXTURE(vdev) {
	struct dsa_pool pool;
	struct last_error last;
	struct test_vdev v;
};

FIXTURE_SETUP(vdev)
{
	TEST_POOL(&self->pool, 2);
	ASSERT_EQ(0, test_vdev_up(&self->v, &self->pool, OPENED, 0));
	ASSERT_EQ(0, last_error_watch(&self->last, MDEV_DEVICES "/%s/pasid/last_error",
				      self->v.uuid));
}

FIXTURE_TEARDOWN(vdev)
{
	EXPECT_EQ(0, test_vdev_down(&self->v));
}

TEST_F(vdev, group_grows)
{
	ASSERT_TRUE(run_modprobe("-r " TEST_MODULE));
	ASSERT_TRUE(run_modprobe(TEST_MODULE " neighbour=%s", self->pool.parent));
	EXPECT_EQ(-EOPNOTSUPP, vdev_bind(self->v.fd, self->v.iommufd, &self->v.devid));
	EXPECT_REFUSED(&self->last,
		       "cannot bind: %s shares its IOMMU group with %s now; remove that device",
		       self->pool.parent, TEST_MODULE);
	ASSERT_TRUE(run_modprobe("-r " TEST_MODULE));
	EXPECT_EQ(0, vdev_bind(self->v.fd, self->v.iommufd, &self->v.devid));
}

TEST_F(vdev, no_iommufd)
{
	int other = memfd_create("other", MFD_CLOEXEC), ret;

	ASSERT_LE(0, other);
	ret = vdev_bind(self->v.fd, other, NULL);
	EXPECT_GT(0, ret);
	EXPECT_REFUSED(&self->last,
		       "cannot bind: the file descriptor is of no iommufd (error %d); pass one of /dev/iommu",
		       ret);
	close(other);
	EXPECT_EQ(-EBADF, vdev_bind(self->v.fd, other, NULL));
	EXPECT_REFUSED(&self->last,
		       "cannot bind: the file descriptor is of no iommufd (error %d); pass one of /dev/iommu",
		       -EBADF);
}

TEST_F(vdev, bound_already)
{
	ASSERT_EQ(0, vdev_bind(self->v.fd, self->v.iommufd, &self->v.devid));
	EXPECT_EQ(-EINVAL, vdev_bind(self->v.fd, self->v.iommufd, &self->v.devid));
	EXPECT_REFUSED(&self->last,
		       "cannot bind: this file of the vdev is bound already; close it, which unbinds, and open the vdev again");
}

/* The holder is named, and its name cannot forge another line. */
TEST_F(vdev, held)
{
	int fd = vdev_open(self->v.uuid);

	ASSERT_LE(0, fd);
	prctl(PR_SET_NAME, "a\n\033%s");
	ASSERT_EQ(0, vdev_bind(self->v.fd, self->v.iommufd, &self->v.devid));
	EXPECT_EQ(-EBUSY, vdev_bind(fd, self->v.iommufd, NULL));
	EXPECT_REFUSED(&self->last,
		       "cannot bind: process %d (%s) has bound the vdev to an iommufd; close that file first, wherever it was passed",
		       getpid(), "a\\n\\e%s");
	close(fd);
}

TEST_F(vdev, page_table)
{
	void *mem;
	uint32_t pt = 0xdead;
	int ret;

	ASSERT_EQ(0, vdev_bind(self->v.fd, self->v.iommufd, &self->v.devid));
	EXPECT_EQ(-ENOENT, vdev_attach(self->v.fd, &pt));
	EXPECT_REFUSED(&self->last,
		       "cannot attach: the iommufd has no object %u; pass the ID of an IOAS or HWPT of the iommufd that the vdev is bound to",
		       0xdead);
	pt = self->v.devid;
	EXPECT_EQ(-EINVAL, vdev_attach(self->v.fd, &pt));
	EXPECT_REFUSED(&self->last,
		       "cannot attach: object %u is no IOAS or HWPT that the IOMMU of %s can use for a PASID; pass an IOAS or a HWPT without dirty tracking",
		       self->v.devid, self->pool.parent);

	/* Memory that is gone cannot be pinned for the page table */
	mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, ioas_alloc(self->v.iommufd, &self->v.ioas));
	ASSERT_EQ(0, ioas_map(self->v.iommufd, self->v.ioas, mem, 4096, TEST_IOVA, IOAS_RW));
	munmap(mem, 4096);
	pt = self->v.ioas;
	ret = vdev_attach(self->v.fd, &pt);
	EXPECT_EQ(-EFAULT, ret);
	EXPECT_REFUSED(&self->last,
		       "cannot attach: no page table can be made of object %u for PASID %lld (error %d); see that the memory mapped in it is still there, and at RLIMIT_MEMLOCK",
		       self->v.ioas, vdev_pasid(self->v.uuid), ret);
	EXPECT_TRUE(vdev_state_is(self->v.uuid, "bound"));
}

/* With a fault queue its user could keep the WQ, and whoever waits for it, from going on */
TEST_F(vdev, fault_queue)
{
	uint32_t queue, hwpt, pt;
	int fd;

	ASSERT_EQ(0, vdev_bind(self->v.fd, self->v.iommufd, &self->v.devid));
	ASSERT_EQ(0, ioas_alloc(self->v.iommufd, &self->v.ioas));
	ASSERT_EQ(0, fault_queue_alloc(self->v.iommufd, &queue, &fd));
	ASSERT_EQ(0, hwpt_alloc_with_queue(self->v.iommufd, self->v.devid, self->v.ioas, queue,
					   &hwpt));
	pt = hwpt;
	EXPECT_EQ(-EOPNOTSUPP, vdev_attach(self->v.fd, &pt));
	EXPECT_REFUSED(&self->last,
		       "cannot attach: object %u has a fault queue, and driver %s plans no page requests; attach a page table without one",
		       hwpt, "idxd_vdev");
	EXPECT_TRUE(vdev_state_is(self->v.uuid, "bound"));
	/* Nor does it replace another one, which stays */
	pt = self->v.ioas;
	ASSERT_EQ(0, vdev_attach(self->v.fd, &pt));
	pt = hwpt;
	EXPECT_EQ(-EOPNOTSUPP, vdev_attach(self->v.fd, &pt));
	EXPECT_TRUE(vdev_state_is(self->v.uuid, "attached"));
	EXPECT_EQ(0, vdev_detach(self->v.fd));
	EXPECT_EQ(0, iommufd_destroy(self->v.iommufd, hwpt));
	close(fd);
}

TEST_F(vdev, other_wq)
{
	EXPECT_EQ(-ENODEV, sysfs_write("wq99.0", MDEV_DEVICES "/%s/dsa/wq", self->v.uuid));
	EXPECT_REFUSED(&self->last,
		       "cannot change the WQ: %s has no free WQ of that name; enable it with driver_name vdev",
		       self->pool.parent);
	ASSERT_EQ(0, vdev_bind(self->v.fd, self->v.iommufd, &self->v.devid));
	EXPECT_EQ(-EBUSY, sysfs_write("wq99.0", MDEV_DEVICES "/%s/dsa/wq", self->v.uuid));
	EXPECT_REFUSED(&self->last,
		       "cannot change the WQ: the vdev has been bound; create another");
}

TEST_F(vdev, wq_taken)
{
	char wq[32];
	unsigned int nr;

	ASSERT_LT(0, sysfs_read(wq, sizeof(wq), MDEV_DEVICES "/%s/dsa/wq", self->v.uuid));
	ASSERT_NE(NULL, strchr(wq, '.'));
	nr = strtoul(strchr(wq, '.') + 1, NULL, 10);
	ASSERT_EQ(0, dsa_wq_disable(&self->pool, nr, DSA_WQ_DRIVER));
	EXPECT_REFUSED(&self->last,
		       "the vdev is dead: its WQ was disabled; remove it and create another");
	EXPECT_EQ(-ENODEV, vdev_bind(self->v.fd, self->v.iommufd, &self->v.devid));
	EXPECT_REFUSED(&self->last,
		       "cannot bind: the vdev has no WQ any more; remove it and create another");
}

/* Each vdev has its own: who is refused much hides nothing of another's. */
TEST_F(vdev, of_its_own)
{
	struct last_error other;
	struct test_vdev w;
	int i;

	ASSERT_EQ(0, test_vdev_up(&w, &self->pool, OPENED, 0));
	ASSERT_EQ(0, last_error_watch(&other, MDEV_DEVICES "/%s/pasid/last_error", w.uuid));
	for (i = 0; i < 100; i++)
		EXPECT_EQ(-EBADF, vdev_bind(self->v.fd, 999, NULL));
	ASSERT_EQ(0, last_error_watch(&self->last, MDEV_DEVICES "/%s/pasid/last_error",
				      self->v.uuid));
	EXPECT_EQ(100, self->last.was.count);
	EXPECT_EQ(-EBADF, vdev_bind(w.fd, 999, NULL));
	EXPECT_REFUSED(&other,
		       "cannot bind: the file descriptor is of no iommufd (error %d); pass one of /dev/iommu",
		       -EBADF);
	EXPECT_EQ(0, test_vdev_down(&w));
}

/* --- PASIDs run out -------------------------------------------------------- */

#define SAMPLE_PF	"siov-pf"
#define SAMPLE_TYPE	"siov_sample-copy"

TEST(pasids_run_out)
{
	char uuid[VDEV_UUID_LEN + 1];
	struct last_error last;
	int i, ret = 0;

	vdev_sweep();
	if (!run_modprobe("siov_pf pasid_bits=2") || !run_modprobe("siov_sample")) {
		ASSERT_EQ(NULL, getenv("VDEV_SELFTEST_REQUIRED"));
		SKIP(return, "no siov_sample module");
	}
	ASSERT_EQ(0, last_error_watch(&last,
				      MDEV_BUS_CLASS "/" SAMPLE_PF "/mdev_pasid/last_error"));
	/* 2 bits, less PASID 0 */
	for (i = 0; i < 4 && !ret; i++) {
		ASSERT_EQ(0, vdev_new_uuid(uuid));
		ret = vdev_create(SAMPLE_PF, SAMPLE_TYPE, uuid);
	}
	EXPECT_EQ(-ENOSPC, ret);
	EXPECT_REFUSED(&last, "cannot create %s: no PASID is free; remove another vdev", uuid);
	vdev_sweep();
	EXPECT_TRUE(run_modprobe("-r siov_sample siov_pf"));
}

TEST_HARNESS_MAIN
