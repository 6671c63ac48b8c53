// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a vdev as sysfs shows it: the PF as an mdev parent, create, what
 * appears, remove, and the WQ that is given and taken back.
 */
#include <dirent.h>
#include <glob.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "vdev_harness.h"

#define NR_WQS 2

FIXTURE(lifecycle) {
	struct dsa_pool pool;
	char types[VDEV_PATH_MAX];	/* the directory of the mdev type */
	char uuid[NR_WQS][VDEV_UUID_LEN + 1];
	long long available;
};

FIXTURE_SETUP(lifecycle)
{
	int i;

	TEST_POOL(&self->pool, NR_WQS);
	snprintf(self->types, sizeof(self->types),
		 MDEV_BUS_CLASS "/%s/mdev_supported_types/" DSA_TYPE, self->pool.parent);
	for (i = 0; i < NR_WQS; i++)
		ASSERT_EQ(0, vdev_new_uuid(self->uuid[i]));
	self->available = vdev_available(self->pool.parent, DSA_TYPE);
	ASSERT_GE(self->available, NR_WQS);
}

FIXTURE_TEARDOWN(lifecycle)
{
	vdev_sweep();
	EXPECT_EQ(self->available, vdev_available(self->pool.parent, DSA_TYPE));
}

static int count(const char *pattern)
{
	glob_t g;
	int n;

	n = glob(pattern, 0, NULL, &g) ? 0 : g.gl_pathc;
	if (n)
		globfree(&g);
	return n;
}

/* Wait for a path to go: what user space does may be seen a moment later. */
static bool gone(const char *uuid)
{
	int i;

	for (i = 0; i < 100; i++) {
		if (!path_exists(MDEV_DEVICES "/%s", uuid))
			return true;
		usleep(50000);
	}
	return false;
}

/*
 * Do @fn(@arg) in another process, so that it may block. It must not hold the vdev
 * open: it would wait for itself.
 */
static pid_t in_child(int (*fn)(const char *), const char *arg)
{
	pid_t pid = fork();

	if (!pid) {
		close_range(3, ~0u, 0);
		_exit(fn(arg) ? 1 : 0);
	}
	return pid;
}

/* Exit status of a child, or -1 if it still runs after @ms. */
static int reap(pid_t pid, int ms)
{
	int status;

	for (; ms >= 0; ms -= 10) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
		usleep(10000);
	}
	return -1;
}

TEST_F(lifecycle, parent)
{
	char buf[256], path[VDEV_PATH_MAX], real[PATH_MAX];

	/* The PF's PCI device is the parent, not the dsa device. */
	snprintf(path, sizeof(path), MDEV_BUS_CLASS "/%s", self->pool.parent);
	ASSERT_NE(NULL, realpath(path, real));
	EXPECT_TRUE(path_exists("%s/vendor", real));
	EXPECT_TRUE(path_exists("%s/%s", real, self->pool.dsa));

	ASSERT_GT(sysfs_read(buf, sizeof(buf), "%s/name", self->types), 0);
	ASSERT_GT(sysfs_read(buf, sizeof(buf), "%s/description", self->types), 0);
	ASSERT_GT(sysfs_read(buf, sizeof(buf), "%s/device_api", self->types), 0);
	EXPECT_STREQ(VFIO_DEVICE_API_PCI_STRING, buf);
	EXPECT_TRUE(path_exists("%s/devices", self->types));
}

TEST_F(lifecycle, create_and_remove)
{
	char buf[64], dev[64], path[VDEV_PATH_MAX];
	struct stat st;
	int fd;

	ASSERT_EQ(0, vdev_create(self->pool.parent, DSA_TYPE, self->uuid[0]));
	EXPECT_EQ(self->available - 1, vdev_available(self->pool.parent, DSA_TYPE));
	EXPECT_TRUE(path_exists("%s/devices/%s", self->types, self->uuid[0]));
	EXPECT_TRUE(path_exists(MDEV_BUS_CLASS "/%s/%s", self->pool.parent, self->uuid[0]));

	/* The cdev, whose numbers sysfs and /dev agree on. */
	ASSERT_EQ(0, vdev_cdev(self->uuid[0], path));
	ASSERT_GT(sysfs_read(buf, sizeof(buf), MDEV_DEVICES "/%s/vfio-dev/%s/dev",
			     self->uuid[0], strrchr(path, '/') + 1), 0);
	fd = vdev_open(self->uuid[0]);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	snprintf(dev, sizeof(dev), "%u:%u", major(st.st_rdev), minor(st.st_rdev));
	EXPECT_STREQ(buf, dev);
	close(fd);

	EXPECT_EQ(0, vdev_remove(self->uuid[0]));
	EXPECT_FALSE(path_exists(MDEV_DEVICES "/%s", self->uuid[0]));
	EXPECT_FALSE(path_exists("%s/devices/%s", self->types, self->uuid[0]));
	EXPECT_EQ(self->available, vdev_available(self->pool.parent, DSA_TYPE));
}

/* A PASID has no group: none is made, and no group node appears. */
TEST_F(lifecycle, no_group)
{
	int groups = count("/sys/kernel/iommu_groups/*");
	int nodes = count("/dev/vfio/[0-9]*") + count("/dev/vfio/noiommu-*");

	ASSERT_EQ(0, vdev_create(self->pool.parent, DSA_TYPE, self->uuid[0]));
	EXPECT_FALSE(path_exists(MDEV_DEVICES "/%s/iommu_group", self->uuid[0]));
	EXPECT_EQ(groups, count("/sys/kernel/iommu_groups/*"));
	EXPECT_EQ(nodes, count("/dev/vfio/[0-9]*") + count("/dev/vfio/noiommu-*"));
}

TEST_F(lifecycle, pasid_directory)
{
	char buf[256], other[256];
	long long pasid[NR_WQS];
	int i;

	for (i = 0; i < NR_WQS; i++) {
		ASSERT_EQ(0, vdev_create(self->pool.parent, DSA_TYPE, self->uuid[i]));
		ASSERT_GT(vdev_attr(self->uuid[i], "pasid", buf, sizeof(buf)), 0);
		pasid[i] = strtoll(buf, NULL, 10);
		/* 0 is the physical device, and 20 bits is all there is. */
		EXPECT_GT(pasid[i], 0);
		EXPECT_LT(pasid[i], 1 << 20);
		snprintf(other, sizeof(other), "%lld", pasid[i]);
		EXPECT_STREQ(other, buf);

		ASSERT_GT(vdev_attr(self->uuid[i], "parent", buf, sizeof(buf)), 0);
		EXPECT_STREQ(self->pool.parent, buf);
		ASSERT_GT(vdev_attr(self->uuid[i], "state", buf, sizeof(buf)), 0);
		EXPECT_STREQ("closed", buf);
		/* Nothing was refused: an empty line. */
		EXPECT_EQ(0, vdev_attr(self->uuid[i], "last_error", buf, sizeof(buf)));
	}
	EXPECT_NE(pasid[0], pasid[1]);

	/* User space never chooses a PASID, nor a state. */
	EXPECT_NE(0, sysfs_write("5", MDEV_DEVICES "/%s/pasid/pasid", self->uuid[0]));
	EXPECT_NE(0, sysfs_write("bound", MDEV_DEVICES "/%s/pasid/state", self->uuid[0]));
}

TEST_F(lifecycle, state_follows_the_user)
{
	uint32_t devid, ioas, pt;
	int fd, iommufd;

	ASSERT_EQ(0, vdev_create(self->pool.parent, DSA_TYPE, self->uuid[0]));
	fd = vdev_open(self->uuid[0]);
	ASSERT_GE(fd, 0);
	/* An open file alone gives no access and changes nothing. */
	EXPECT_TRUE(vdev_state_is(self->uuid[0], "closed"));

	iommufd = iommufd_open();
	ASSERT_GE(iommufd, 0);
	ASSERT_EQ(0, vdev_bind(fd, iommufd, &devid));
	EXPECT_TRUE(vdev_state_is(self->uuid[0], "bound"));
	ASSERT_EQ(0, ioas_alloc(iommufd, &ioas));
	pt = ioas;
	ASSERT_EQ(0, vdev_attach(fd, &pt));
	EXPECT_TRUE(vdev_state_is(self->uuid[0], "attached"));
	ASSERT_EQ(0, vdev_detach(fd));
	EXPECT_TRUE(vdev_state_is(self->uuid[0], "bound"));
	close(fd);
	EXPECT_TRUE(vdev_state_is(self->uuid[0], "closed"));
	close(iommufd);
}

/* The driver allocates the PASID at create and keeps it for the vdev's life. */
TEST_F(lifecycle, pasid_is_stable)
{
	long long pasid;
	uint32_t devid;
	int i;

	ASSERT_EQ(0, vdev_create(self->pool.parent, DSA_TYPE, self->uuid[0]));
	pasid = vdev_pasid(self->uuid[0]);
	ASSERT_LT(0, pasid);
	for (i = 0; i < 3; i++) {
		int fd = vdev_open(self->uuid[0]), iommufd = iommufd_open();

		ASSERT_GE(fd, 0);
		ASSERT_GE(iommufd, 0);
		ASSERT_EQ(0, vdev_bind(fd, iommufd, &devid));
		EXPECT_EQ(pasid, vdev_pasid(self->uuid[0]));
		close(fd);
		close(iommufd);
	}
}

TEST_F(lifecycle, bad_create)
{
	static const char * const bad[] = {
		"x", "5e1f7e57-0000-0000-0000-00000000000",
		"5e1f7e57-0000-0000-0000-00000000000000",
		"5e1f7e57-0000-0000-0000-00000000000g",
		"5e1f7e57x0000-0000-0000-000000000000",
	};
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		EXPECT_EQ(-EINVAL, vdev_create(self->pool.parent, DSA_TYPE, bad[i])) {
			TH_LOG("a UUID \"%s\" was taken", bad[i]);
		}
	}
	EXPECT_EQ(self->available, vdev_available(self->pool.parent, DSA_TYPE));

	/* A UUID twice: the first one is not hurt. */
	ASSERT_EQ(0, vdev_create(self->pool.parent, DSA_TYPE, self->uuid[0]));
	EXPECT_EQ(-EEXIST, vdev_create(self->pool.parent, DSA_TYPE, self->uuid[0]));
	EXPECT_EQ(self->available - 1, vdev_available(self->pool.parent, DSA_TYPE));
	EXPECT_TRUE(path_exists(MDEV_DEVICES "/%s/vfio-dev", self->uuid[0]));
}

/* More than available_instances: refused with a sentence, and nothing is lost. */
TEST_F(lifecycle, exhaust)
{
	char uuid[16][VDEV_UUID_LEN + 1], extra[VDEV_UUID_LEN + 1];
	struct last_error last;
	long long i;

	ASSERT_LE(self->available, 16);
	for (i = 0; i < self->available; i++) {
		ASSERT_EQ(0, vdev_new_uuid(uuid[i]));
		ASSERT_EQ(0, vdev_create(self->pool.parent, DSA_TYPE, uuid[i]));
	}
	EXPECT_EQ(0, vdev_available(self->pool.parent, DSA_TYPE));
	ASSERT_EQ(0, vdev_new_uuid(extra));
	ASSERT_EQ(0, last_error_watch(&last, MDEV_BUS_CLASS "/%s/mdev_pasid/last_error",
				      self->pool.parent));
	EXPECT_EQ(-ENOSPC, vdev_create(self->pool.parent, DSA_TYPE, extra));
	EXPECT_FALSE(path_exists(MDEV_DEVICES "/%s", extra));
	EXPECT_REFUSED(&last,
		       "cannot create %s: no WQ of %s is free; enable another with driver_name vdev",
		       extra, self->pool.parent);

	/* One goes, and its place can be taken. */
	ASSERT_EQ(0, vdev_remove(uuid[0]));
	EXPECT_EQ(1, vdev_available(self->pool.parent, DSA_TYPE));
	EXPECT_EQ(0, vdev_create(self->pool.parent, DSA_TYPE, extra));
}

/* A removed vdev's WQ is clean for the next one, over and over. */
TEST_F(lifecycle, repeat)
{
	int i;

	for (i = 0; i < 20; i++) {
		struct test_vdev t;

		ASSERT_EQ(0, test_vdev_up(&t, &self->pool, STARTED, 1 << 16)) {
			TH_LOG("round %d", i);
		}
		EXPECT_EQ(self->available - 1, vdev_available(self->pool.parent, DSA_TYPE));
		ASSERT_EQ(0, test_vdev_down(&t));
	}
}

/* An open file counts as a user even if it is not bound, until it is closed. */
TEST_F(lifecycle, remove_opened)
{
	pid_t pid;
	int fd;

	ASSERT_EQ(0, vdev_create(self->pool.parent, DSA_TYPE, self->uuid[0]));
	fd = vdev_open(self->uuid[0]);
	ASSERT_GE(fd, 0);
	pid = in_child(vdev_remove, self->uuid[0]);
	EXPECT_EQ(-1, reap(pid, 500));
	close(fd);
	EXPECT_EQ(0, reap(pid, 12000));
	EXPECT_TRUE(gone(self->uuid[0]));
}

/* A bound user is asked to let go by the REQ interrupt; remove waits for it. */
TEST_F(lifecycle, remove_bound)
{
	struct test_vdev t;
	int32_t efd = eventfd(0, EFD_CLOEXEC);
	long long pasid;
	pid_t pid;

	ASSERT_GE(efd, 0);
	ASSERT_EQ(0, test_vdev_up(&t, &self->pool, STARTED, 1 << 16));
	pasid = vdev_pasid(t.uuid);
	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, vdev_irq_eventfds(t.fd, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, &efd));
	pid = in_child(vdev_remove, t.uuid);
	EXPECT_GE(eventfd_wait(efd, 5000), 1);
	EXPECT_EQ(-1, reap(pid, 500));

	/* Until then its PASID is nobody else's: the lowest that is free is taken */
	ASSERT_EQ(0, vdev_create(self->pool.parent, DSA_TYPE, self->uuid[0]));
	EXPECT_LT(0, vdev_pasid(self->uuid[0]));
	EXPECT_NE(pasid, vdev_pasid(self->uuid[0]));
	EXPECT_EQ(0, vdev_remove(self->uuid[0]));

	/* And the user can still work, and clean up. */
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&t.dsa, &t.mem, 1));
	EXPECT_EQ(0, vdev_detach(t.fd));
	close(t.fd);
	EXPECT_EQ(0, reap(pid, 12000));
	EXPECT_TRUE(gone(t.uuid));
	EXPECT_EQ(self->available, vdev_available(self->pool.parent, DSA_TYPE));
	close(t.iommufd);
	close(efd);
}

/* No new user can come while a vdev waits to be removed. */
TEST_F(lifecycle, no_open_while_removing)
{
	struct test_vdev t;
	int32_t efd = eventfd(0, EFD_CLOEXEC);
	char path[VDEV_PATH_MAX];
	pid_t pid;
	int fd;

	ASSERT_GE(efd, 0);
	ASSERT_EQ(0, test_vdev_up(&t, &self->pool, BOUND, 0));
	ASSERT_EQ(0, vdev_cdev(t.uuid, path));
	ASSERT_EQ(0, vdev_irq_eventfds(t.fd, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, &efd));
	pid = in_child(vdev_remove, t.uuid);
	ASSERT_GE(eventfd_wait(efd, 5000), 1);
	fd = open(path, O_RDWR | O_CLOEXEC);
	EXPECT_LT(fd, 0);
	close(t.fd);
	EXPECT_EQ(0, reap(pid, 12000));
	close(t.iommufd);
	close(efd);
}

/* A vdev on WQ 0: created until one gets it. */
static int create_on_wq0(const struct dsa_pool *pool, struct test_vdev *t, enum test_stage stage)
{
	char wq[32], want[32];
	struct test_vdev other;
	int ret;

	snprintf(want, sizeof(want), "wq%s.0", pool->dsa + strlen("dsa"));
	ret = test_vdev_up(t, pool, stage, 1 << 16);
	if (ret)
		return ret;
	if (sysfs_read(wq, sizeof(wq), MDEV_DEVICES "/%s/dsa/wq", t->uuid) < 0)
		return -ENOENT;
	if (!strcmp(wq, want))
		return 0;
	other = *t;
	ret = create_on_wq0(pool, t, stage);
	test_vdev_down(&other);
	return ret;
}

/*
 * An administrator who takes a WQ away never waits for its user: the WQ goes back
 * to idxd at once, and the vdev is dead until it is removed.
 */
TEST_F(lifecycle, disable_wq_unused)
{
	struct test_vdev t;
	char wq[32];
	int fd;

	ASSERT_EQ(0, create_on_wq0(&self->pool, &t, CREATED));
	EXPECT_EQ(0, dsa_wq_disable(&self->pool, 0, DSA_WQ_DRIVER));
	EXPECT_EQ(self->available - 1, vdev_available(self->pool.parent, DSA_TYPE));
	ASSERT_GT(sysfs_read(wq, sizeof(wq), MDEV_DEVICES "/%s/dsa/wq", t.uuid), 0);
	EXPECT_STREQ("none", wq);
	EXPECT_TRUE(last_error_is_sentence(t.uuid, ""));

	/* It cannot be used any more. */
	fd = vdev_open(t.uuid);
	if (fd >= 0) {
		int iommufd = iommufd_open();

		EXPECT_EQ(-ENODEV, vdev_bind(fd, iommufd, NULL));
		close(fd);
		close(iommufd);
	}

	/* The WQ is back in the pool when it is enabled again, for another vdev. */
	ASSERT_EQ(0, dsa_wq_enable(&self->pool, 0, "user", DSA_WQ_DRIVER));
	EXPECT_EQ(self->available, vdev_available(self->pool.parent, DSA_TYPE));
	EXPECT_EQ(0, vdev_remove(t.uuid));
}

TEST_F(lifecycle, disable_wq_in_use)
{
	struct test_vdev t, next;
	struct dsa_hw_desc desc;
	uint32_t pt;

	ASSERT_EQ(0, create_on_wq0(&self->pool, &t, STARTED));
	EXPECT_EQ(0, dsa_wq_disable(&self->pool, 0, DSA_WQ_DRIVER));
	EXPECT_TRUE(last_error_is_sentence(t.uuid, ""));

	/* Gone, as a PCI device that was pulled out: all ones, and nothing moves. */
	EXPECT_EQ(~0u, dsa_read32(&t.dsa, DSA_VERSION));
	EXPECT_EQ(~0u, dsa_read32(&t.dsa, DSA_GENSTS));
	desc = dsa_desc(&t.mem, 0, DSA_OPCODE_NOOP);
	dsa_submit(&t.dsa, &desc);
	EXPECT_EQ(-ETIMEDOUT, dsa_wait(dsa_cr(&t.mem, 0), 200));

	/* The WQ serves another vdev while the dead one is still open. */
	ASSERT_EQ(0, dsa_wq_enable(&self->pool, 0, "user", DSA_WQ_DRIVER));
	ASSERT_EQ(0, create_on_wq0(&self->pool, &next, STARTED));
	desc = dsa_desc(&t.mem, 0, DSA_OPCODE_NOOP);
	dsa_submit(&t.dsa, &desc);
	EXPECT_EQ(-ETIMEDOUT, dsa_wait(dsa_cr(&t.mem, 0), 200));
	/* What its user does on the way out is harmless. */
	EXPECT_EQ(0, vdev_reset(t.fd));
	EXPECT_EQ(0, vdev_detach(t.fd));
	pt = t.ioas;
	vdev_attach(t.fd, &pt);
	desc = dsa_desc(&next.mem, 0, DSA_OPCODE_NOOP);
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(&next.dsa, &next.mem, &desc));
	EXPECT_EQ(0, test_vdev_down(&t));
	desc = dsa_desc(&next.mem, 0, DSA_OPCODE_NOOP);
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(&next.dsa, &next.mem, &desc));
	EXPECT_EQ(0, test_vdev_down(&next));
}

/* A vdev says which WQ it has, and can have another one before its first use. */
TEST_F(lifecycle, choose_wq)
{
	char wq[32], name[32];
	struct test_vdev t;
	unsigned int i;

	ASSERT_EQ(0, test_vdev_up(&t, &self->pool, CREATED, 0));
	for (i = 0; i < NR_WQS; i++) {
		snprintf(name, sizeof(name), "wq%s.%u", self->pool.dsa + strlen("dsa"), i);
		EXPECT_EQ(0, sysfs_write(name, MDEV_DEVICES "/%s/dsa/wq", t.uuid));
		ASSERT_GT(sysfs_read(wq, sizeof(wq), MDEV_DEVICES "/%s/dsa/wq", t.uuid), 0);
		EXPECT_STREQ(name, wq);
		EXPECT_EQ(self->available - 1, vdev_available(self->pool.parent, DSA_TYPE));
	}
	/* Not one that is not there, and not after it was opened. */
	EXPECT_GT(0, sysfs_write("wq9.9", MDEV_DEVICES "/%s/dsa/wq", t.uuid));
	EXPECT_TRUE(last_error_is_sentence(t.uuid, ""));
	ASSERT_GT(sysfs_read(wq, sizeof(wq), MDEV_DEVICES "/%s/dsa/wq", t.uuid), 0);
	EXPECT_STREQ(name, wq);
	t.fd = vdev_open(t.uuid);
	t.iommufd = iommufd_open();
	ASSERT_EQ(0, vdev_bind(t.fd, t.iommufd, &t.devid));
	snprintf(name, sizeof(name), "wq%s.0", self->pool.dsa + strlen("dsa"));
	EXPECT_EQ(-EBUSY, sysfs_write(name, MDEV_DEVICES "/%s/dsa/wq", t.uuid));
	EXPECT_EQ(0, test_vdev_down(&t));
}

/* The driver of vdevs cannot be unloaded under an open one, nor so what it stands on. */
TEST_F(lifecycle, module_is_held)
{
	struct test_vdev t;

	ASSERT_EQ(0, test_vdev_up(&t, &self->pool, BOUND, 0));
	EXPECT_NE(0, system("rmmod idxd_vdev 2>/dev/null"));
	EXPECT_TRUE(path_exists(MDEV_DEVICES "/%s", t.uuid));
	EXPECT_TRUE(vdev_state_is(t.uuid, "bound"));
	EXPECT_EQ(0, test_vdev_down(&t));
}

TEST_HARNESS_MAIN
