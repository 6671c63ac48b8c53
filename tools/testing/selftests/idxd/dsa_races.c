// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many hands at once: what one does while another takes it away. There is no expected
 * winner; each call succeeds or is refused, every process gets to its end, the kernel has
 * nothing to complain about, and afterwards the device is as free as it was before.
 */
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "vdev_harness.h"

#define MEM_SIZE	(1 << 20)
#define NR_WQS		4
#define NR_PROCS	6

FIXTURE(race) {
	struct dsa_pool pool;
};

FIXTURE_SETUP(race)
{
	TEST_POOL(&self->pool, NR_WQS);
	ASSERT_EQ(NR_WQS, vdev_available(self->pool.parent, DSA_TYPE));
}

FIXTURE_TEARDOWN(race)
{
	struct test_vdev v;

	vdev_sweep();
	ASSERT_EQ(0, dsa_pool_get(&self->pool, NR_WQS));
	EXPECT_EQ(NR_WQS, vdev_available(self->pool.parent, DSA_TYPE));
	EXPECT_EQ(0, test_vdev_up(&v, &self->pool, STARTED, MEM_SIZE));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v.dsa, &v.mem, 7));
	EXPECT_EQ(0, test_vdev_down(&v));
}

/* Run @fn in @nr processes; true if all of them have returned 0. */
static bool in_processes(unsigned int nr, int (*fn)(unsigned int i, void *arg), void *arg)
{
	bool good = true;
	unsigned int i;
	int status;

	for (i = 0; i < nr; i++) {
		pid_t pid = fork();

		if (!pid) {
			srand(getpid());
			_exit(fn(i, arg));
		}
		if (pid < 0)
			return false;
	}
	for (i = 0; i < nr; i++)
		good &= wait(&status) > 0 && !status;
	return good;
}

/* --- create and remove ---------------------------------------------------- */

static int storm(unsigned int i, void *arg)
{
	struct dsa_pool *pool = arg;
	char uuid[VDEV_UUID_LEN + 1];
	int n, ret, created = 0;

	for (n = 0; n < 40; n++) {
		if (vdev_new_uuid(uuid))
			return 1;
		ret = vdev_create(pool->parent, DSA_TYPE, uuid);
		if (ret && ret != -ENOSPC)
			return 2;
		created += !ret;
		if (!ret && vdev_remove(uuid))
			return 3;
		/* A name that is there no more */
		if (vdev_remove(uuid) == 0)
			return 4;
	}
	return !created;
}

TEST_F(race, create_and_remove)
{
	EXPECT_TRUE(in_processes(NR_PROCS, storm, &self->pool));
}

/* All want to make and to remove the same one. */
static int same_uuid(unsigned int i, void *arg)
{
	struct dsa_pool *pool = arg;
	int n;

	for (n = 0; n < 40; n++) {
		vdev_create(pool->parent, DSA_TYPE, "f0f0f0f0-0000-4000-8000-00000000abcd");
		vdev_remove("f0f0f0f0-0000-4000-8000-00000000abcd");
	}
	return 0;
}

TEST_F(race, same_uuid)
{
	EXPECT_TRUE(in_processes(NR_PROCS, same_uuid, &self->pool));
	vdev_remove("f0f0f0f0-0000-4000-8000-00000000abcd");
}

/* --- remove against open --------------------------------------------------- */

static char shared_uuid[VDEV_UUID_LEN + 1];

static int open_or_remove(unsigned int i, void *arg)
{
	struct dsa_pool *pool = arg;
	struct test_vdev v;
	uint32_t pt;
	int n;

	for (n = 0; n < 40; n++) {
		if (!i) {
			vdev_create(pool->parent, DSA_TYPE, shared_uuid);
			usleep(rand() % 3000);
			vdev_remove(shared_uuid);
			continue;
		}
		memset(&v, 0, sizeof(v));
		v.fd = vdev_open(shared_uuid);
		v.iommufd = iommufd_open();
		if (v.fd >= 0 && !vdev_bind(v.fd, v.iommufd, &v.devid) &&
		    !dsa_init(&v.dsa, v.fd) && !ioas_alloc(v.iommufd, &pt) &&
		    !vdev_attach(v.fd, &pt))
			dsa_start(&v.dsa);
		if (v.fd >= 0)
			close(v.fd);
		close(v.iommufd);
	}
	return 0;
}

TEST_F(race, remove_and_open)
{
	ASSERT_EQ(0, vdev_new_uuid(shared_uuid));
	EXPECT_TRUE(in_processes(3, open_or_remove, &self->pool));
}

/* --- two binds --------------------------------------------------------------- */

static int bind_once(unsigned int i, void *arg)
{
	int *bound = arg, iommufd = iommufd_open(), fd = vdev_open(shared_uuid);
	uint32_t devid;
	int n, ret = 0;

	for (n = 0; !ret && n < 40; n++) {
		ret = vdev_bind(fd, iommufd, &devid);
		if (!ret) {
			/* Alone? */
			if (__atomic_add_fetch(bound, 1, __ATOMIC_SEQ_CST) != 1)
				return 2;
			usleep(500);
			__atomic_sub_fetch(bound, 1, __ATOMIC_SEQ_CST);
		} else if (ret != -EBUSY) {
			return 1;
		}
		ret = 0;
		close(fd);
		fd = vdev_open(shared_uuid);
		if (fd < 0)
			return 3;
	}
	close(fd);
	close(iommufd);
	return 0;
}

/* A vdev that is bound to one iommufd is refused to all others. */
TEST_F(race, two_binds)
{
	int *bound = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, (void *)bound);
	ASSERT_EQ(0, vdev_new_uuid(shared_uuid));
	ASSERT_EQ(0, vdev_create(self->pool.parent, DSA_TYPE, shared_uuid));
	EXPECT_TRUE(in_processes(2, bind_once, bound));
	EXPECT_EQ(0, vdev_remove(shared_uuid));
}

/* --- submissions against everything that takes the WQ away ----------------- */

/* A thread that uses a vdev until it is told to stop. */
struct worker {
	pthread_t thread;
	struct test_vdev *v;
	bool stop;
	unsigned long rounds;
};

static int worker_start(struct worker *w, struct test_vdev *v, void *(*fn)(void *arg))
{
	*w = (struct worker) { .v = v };
	return pthread_create(&w->thread, NULL, fn, w);
}

static bool worker_goes_on(struct worker *w)
{
	w->rounds++;
	return !__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE);
}

static int worker_stop(struct worker *w)
{
	__atomic_store_n(&w->stop, true, __ATOMIC_RELEASE);
	return pthread_join(w->thread, NULL);
}

static void *submit_forever(void *arg)
{
	struct worker *w = arg;
	struct dsa *dsa = &w->v->dsa;
	struct dsa_hw_desc desc = dsa_desc_move(&w->v->mem, 0, TEST_SRC, TEST_DST, 4096);

	while (worker_goes_on(w)) {
		submit_faults(dsa, &desc);
		/* And by the slow way: the file may be closed at any time */
		vdev_write(dsa->fd, &dsa->portals, PORTAL_LIMITED * PORTAL_PAGE, &desc,
			   sizeof(desc));
	}
	return NULL;
}

TEST_F(race, submit_and_detach)
{
	struct worker w;
	struct test_vdev v;
	uint32_t pt;
	int n;

	ASSERT_EQ(0, test_vdev_up(&v, &self->pool, STARTED, MEM_SIZE));
	ASSERT_EQ(0, dsa_map(&v.dsa, PORTAL_LIMITED));
	ASSERT_EQ(0, worker_start(&w, &v, submit_forever));
	for (n = 0; n < 60; n++) {
		usleep(rand() % 5000);
		switch (n % 4) {
		case 0:
			EXPECT_EQ(0, vdev_detach(v.fd));
			break;
		case 1:
			EXPECT_EQ(0, vdev_reset(v.fd));
			break;
		case 2:
			EXPECT_EQ(0, dsa_set_command(&v.dsa, PCI_COMMAND_MEMORY));
			break;
		}
		pt = v.ioas;
		EXPECT_EQ(0, vdev_attach(v.fd, &pt));
		EXPECT_EQ(0, dsa_start(&v.dsa));
	}
	ASSERT_EQ(0, worker_stop(&w));
	EXPECT_LT(10, w.rounds);
	EXPECT_EQ(0, test_vdev_down(&v));
}

TEST_F(race, submit_and_close)
{
	int n;

	for (n = 0; n < 15; n++) {
		struct worker w;
		struct test_vdev v;

		ASSERT_EQ(0, test_vdev_up(&v, &self->pool, STARTED, MEM_SIZE));
		if (n & 1)
			ASSERT_EQ(0, dsa_map(&v.dsa, PORTAL_LIMITED));
		ASSERT_EQ(0, worker_start(&w, &v, submit_forever));
		usleep(rand() % 20000);
		close(v.fd);
		close(v.iommufd);
		usleep(rand() % 5000);
		ASSERT_EQ(0, worker_stop(&w));
		v.fd = -1;
		v.iommufd = -1;
		EXPECT_EQ(0, test_vdev_down(&v));
	}
}

/* --- SET_IRQS against interrupts -------------------------------------------- */

static void *interrupt_forever(void *arg)
{
	struct worker *w = arg;

	while (worker_goes_on(w)) {
		struct dsa_hw_desc desc = dsa_desc(&w->v->mem, 0, DSA_OPCODE_NOOP);

		desc.flags |= IDXD_OP_FLAG_RCI;
		desc.int_handle = w->v->dsa.int_handle;
		dsa_submit(&w->v->dsa, &desc);
		dsa_cmd(&w->v->dsa, CMD_DRAIN_ALL, CMD_INT_REQ);
	}
	return NULL;
}

TEST_F(race, irqs_and_eventfds)
{
	struct worker w;
	struct test_vdev v;
	int32_t efd[2];
	uint64_t seen = 0;
	int n, i;

	ASSERT_EQ(0, test_vdev_up(&v, &self->pool, STARTED, MEM_SIZE));
	ASSERT_EQ(0, dsa_map(&v.dsa, PORTAL_LIMITED));
	ASSERT_EQ(0, dsa_request_int_handle(&v.dsa));
	ASSERT_EQ(0, worker_start(&w, &v, interrupt_forever));
	for (n = 0; n < 300; n++) {
		for (i = 0; i < 2; i++)
			efd[i] = n % 3 ? eventfd(0, EFD_CLOEXEC) : -1;
		EXPECT_EQ(0, vdev_irq_eventfds(v.fd, VFIO_PCI_MSIX_IRQ_INDEX, 0, 2, efd));
		for (i = 0; i < 2; i++) {
			if (efd[i] < 0)
				continue;
			seen += eventfd_wait(efd[i], 2);
			/* Closed while the vector has it */
			close(efd[i]);
		}
		if (n % 5 == 0)
			EXPECT_EQ(0, vdev_set_irqs(v.fd, VFIO_IRQ_SET_DATA_NONE |
						   VFIO_IRQ_SET_ACTION_TRIGGER,
						   VFIO_PCI_MSIX_IRQ_INDEX, 0, 0, NULL, 0));
	}
	ASSERT_EQ(0, worker_stop(&w));
	EXPECT_LT(0, seen);
	EXPECT_EQ(0, test_vdev_down(&v));
}

/* --- the WQs, the modules and the PF go, while they are used ---------------- */

/* Users that take what they can get, and check that what they have is right. */
static int use(unsigned int i, void *arg)
{
	struct dsa_pool *pool = arg;
	struct test_vdev v;
	int n;

	for (n = 0; n < 25; n++) {
		if (!test_vdev_up(&v, pool, STARTED, MEM_SIZE))
			/* It may die at any time, but never copy wrongly */
			if (test_copy(&v.dsa, &v.mem, n) == -EIO)
				return 1;
		test_vdev_down(&v);
	}
	return 0;
}

static int use_or_unbind(unsigned int i, void *arg)
{
	struct dsa_pool *pool = arg;
	int n;

	if (i)
		return use(i, arg);
	for (n = 0; n < 20; n++) {
		dsa_wq_disable(pool, n % NR_WQS, DSA_WQ_DRIVER);
		usleep(rand() % 10000);
		dsa_wq_enable(pool, n % NR_WQS, "user", DSA_WQ_DRIVER);
	}
	return 0;
}

TEST_F(race, unbind_wq)
{
	EXPECT_TRUE(in_processes(4, use_or_unbind, &self->pool));
}

static int use_or_unload(unsigned int i, void *arg)
{
	static const char * const modules[] = { "idxd_vdev", "mdev_pasid", "idxd" };
	unsigned int m, unloaded[3] = { };
	char command[64];
	int n;

	if (i)
		return use(i, arg);
	/* Refused while a vdev is open; else all of them go with it */
	for (n = 0; n < 8; n++) {
		for (m = 0; m < sizeof(modules) / sizeof(*modules); m++) {
			snprintf(command, sizeof(command), "rmmod %s 2>/dev/null", modules[m]);
			unloaded[m] += !system(command);
		}
		usleep(rand() % 20000);
		if (system("modprobe -a idxd idxd_vdev"))
			return 2;
		dsa_pool_get(&(struct dsa_pool) { }, NR_WQS);
	}
	printf("# idxd_vdev unloaded %u times, mdev_pasid %u, idxd %u\n", unloaded[0],
	       unloaded[1], unloaded[2]);
	fflush(stdout);
	return 0;
}

TEST_F(race, unload_modules)
{
	EXPECT_TRUE(in_processes(3, use_or_unload, &self->pool));
	EXPECT_EQ(0, system("modprobe -a idxd idxd_vdev"));
}

/* An open vdev holds its modules: all that may be refused is refused. */
TEST_F(race, unload_in_use)
{
	struct test_vdev v;

	ASSERT_EQ(0, test_vdev_up(&v, &self->pool, STARTED, MEM_SIZE));
	EXPECT_NE(0, system("rmmod idxd_vdev 2>/dev/null"));
	EXPECT_NE(0, system("rmmod mdev_pasid 2>/dev/null"));
	EXPECT_NE(0, system("rmmod idxd 2>/dev/null"));
	EXPECT_NE(0, system("rmmod iommufd 2>/dev/null"));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v.dsa, &v.mem, 1));
	EXPECT_EQ(0, test_vdev_down(&v));
}

/*
 * Who has opened a vdev but not bound it does not hold the modules. Their removal waits for
 * that user instead, who can do nothing any more, and all is gone when he closes.
 */
TEST_F(race, unload_open)
{
	char state[16] = "";
	struct test_vdev v;
	int n, status;
	pid_t pid;

	ASSERT_EQ(0, test_vdev_up(&v, &self->pool, OPENED, 0));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		close(v.fd);
		_exit(!!system("rmmod idxd_vdev"));
	}
	for (n = 0; n < 1000 && strcmp(state, "going"); n++) {
		usleep(10000);
		sysfs_read(state, sizeof(state), "/sys/module/idxd_vdev/initstate");
	}
	EXPECT_STREQ("going", state);
	EXPECT_EQ(-ENODEV, vdev_bind(v.fd, v.iommufd, &v.devid));
	usleep(500000);
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	close(v.fd);
	close(v.iommufd);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_FALSE(path_exists(MDEV_DEVICES "/%s", v.uuid));
	EXPECT_FALSE(path_exists("/sys/module/idxd_vdev"));
	EXPECT_EQ(0, system("modprobe idxd_vdev"));
}

/* Somebody who configures the device and enables it as soon as it is disabled */
static int enable_or_unbind(unsigned int i, void *arg)
{
	struct dsa_pool *pool = arg;
	const char *id = pool->dsa + strlen("dsa");
	int enabled = 0;

	if (!i) {
		usleep(20000);
		return !!sysfs_write(pool->parent, DSA_PCI_DRIVER "/unbind");
	}
	while (path_exists(DSA_DEVICES "/%s", pool->dsa)) {
		sysfs_write("0", DSA_DEVICES "/engine%s.%u/group_id", id, i);
		sysfs_write("dedicated", DSA_DEVICES "/wq%s.7/mode", id);
		sysfs_write("16", DSA_DEVICES "/wq%s.7/size", id);
		sysfs_write("0", DSA_DEVICES "/wq%s.7/group_id", id);
		enabled += !sysfs_write(pool->dsa, DSA_DRIVERS "/idxd/bind");
	}
	return enabled;
}

/* A device that idxd is leaving is not enabled any more: its WQs are about to be freed. */
TEST_F(race, enable_and_unbind_pf)
{
	int n;

	for (n = 0; n < 5; n++) {
		EXPECT_TRUE(in_processes(3, enable_or_unbind, &self->pool));
		ASSERT_EQ(0, dsa_rebind(&self->pool));
		ASSERT_EQ(0, dsa_pool_get(&self->pool, NR_WQS));
	}
}

TEST_HARNESS_MAIN
