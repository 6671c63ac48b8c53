// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many hands at once: what one does while another takes it away. There is no expected
 * winner; each call succeeds or is refused, every process gets to its end, the kernel has
 * nothing to complain about, and afterwards the device is as free as it was before. That
 * they met is counted, and they go on until they have.
 */
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "vdev_harness.h"

#define MEM_SIZE	(1 << 20)
#define NR_WQS		4
#define NR_PROCS	6
/* Who waits for the others to get in his way does so for so long, in seconds */
#define PATIENCE	100

/* What the processes of a test tell each other */
static struct shared {
	time_t deadline;
	bool over;		/* process 0 is through */
	unsigned int created, removed, opened, attached;
	unsigned int busy;	/* binds that were refused, or vdevs that were bound */
	unsigned int bound;	/* at this moment */
	unsigned int copies;
	unsigned int deaths;	/* of vdevs, while their users had them */
	unsigned int lost;	/* vdevs that somebody else has removed */
	unsigned int stores[2];
	struct test_vdev v;
} *shared;

/* Returns what it was before */
static unsigned int count(unsigned int *what)
{
	return __atomic_fetch_add(what, 1, __ATOMIC_SEQ_CST);
}

static unsigned int counted(const unsigned int *what)
{
	return __atomic_load_n(what, __ATOMIC_SEQ_CST);
}

/* At least @least rounds, and until @enough was seen, but not for ever */
static bool goes_on(unsigned int round, unsigned int least, bool enough)
{
	return round < least || (!enough && time(NULL) < shared->deadline);
}

FIXTURE(race) {
	struct dsa_pool pool;
	long long pasids[NR_WQS];
};

static int by_number(const void *a, const void *b)
{
	long long diff = *(const long long *)a - *(const long long *)b;

	return diff < 0 ? -1 : diff > 0;
}

/* Which PASIDs do as many vdevs get as there can be? */
static int free_pasids(const struct dsa_pool *pool, long long pasids[NR_WQS])
{
	struct test_vdev v[NR_WQS];
	int i, n, ret = 0;

	memset(pasids, 0, NR_WQS * sizeof(*pasids));
	for (n = 0; !ret && n < NR_WQS; n++) {
		ret = test_vdev_up(&v[n], pool, CREATED, 0);
		pasids[n] = vdev_pasid(v[n].uuid);
	}
	for (i = 0; i < n; i++)
		ret = ret ?: test_vdev_down(&v[i]);
	qsort(pasids, NR_WQS, sizeof(*pasids), by_number);
	return ret ?: pasids[0] < 0 ? pasids[0] : 0;
}

FIXTURE_SETUP(race)
{
	TEST_POOL(&self->pool, NR_WQS);
	ASSERT_EQ(NR_WQS, vdev_available(self->pool.parent, DSA_TYPE));
	ASSERT_EQ(0, free_pasids(&self->pool, self->pasids));
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)shared);
	shared->deadline = time(NULL) + PATIENCE;
}

FIXTURE_TEARDOWN(race)
{
	long long pasids[NR_WQS];
	struct test_vdev v;
	int i;

	vdev_sweep();
	ASSERT_EQ(0, dsa_pool_get(&self->pool, NR_WQS));
	EXPECT_EQ(NR_WQS, vdev_available(self->pool.parent, DSA_TYPE));
	EXPECT_EQ(0, free_pasids(&self->pool, pasids));
	for (i = 0; i < NR_WQS; i++)
		EXPECT_EQ(self->pasids[i], pasids[i]);
	EXPECT_EQ(0, test_vdev_up(&v, &self->pool, STARTED, MEM_SIZE));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v.dsa, &v.mem, 7));
	EXPECT_EQ(0, test_vdev_down(&v));
}

/* For a process to say why it has failed */
static int failed(unsigned int i, const char *what, int ret)
{
	printf("# process %u: %s: %d (%s)\n", i, what, ret, ret < 0 ? strerror(-ret) : "");
	fflush(stdout);
	return 1;
}

/*
 * Run @fn in @nr processes; true if all of them have returned 0. When process 0 has
 * ended, whatever the way, it is over for the others, too.
 */
static bool in_processes(unsigned int nr, int (*fn)(unsigned int i, const struct dsa_pool *pool),
			 const struct dsa_pool *pool)
{
	unsigned int i, running;
	bool good = true;
	pid_t pids[nr], pid;
	int status;

	shared->over = false;
	fflush(stdout);
	for (running = 0; running < nr; running++) {
		pids[running] = fork();
		if (!pids[running]) {
			srand(getpid());
			_exit(fn(running, pool));
		}
		if (pids[running] < 0) {
			failed(running, "fork", -errno);
			good = false;
			__atomic_store_n(&shared->over, true, __ATOMIC_RELEASE);
			break;
		}
	}
	while (running && (pid = wait(&status)) > 0) {
		for (i = 0; i < nr && pids[i] != pid; i++)
			;
		running--;
		if (!i)
			__atomic_store_n(&shared->over, true, __ATOMIC_RELEASE);
		if (WIFSIGNALED(status))
			failed(i, "ended by a signal", WTERMSIG(status));
		good &= !status;
	}
	return good && !running;
}

static bool is_over(void)
{
	return __atomic_load_n(&shared->over, __ATOMIC_ACQUIRE);
}

/* --- create and remove ---------------------------------------------------- */

static int storm(unsigned int i, const struct dsa_pool *pool)
{
	char uuid[VDEV_UUID_LEN + 1];
	int n, ret, created = 0;

	for (n = 0; n < 40; n++) {
		ret = vdev_new_uuid(uuid);
		if (ret)
			return failed(i, "UUID", ret);
		ret = vdev_create(pool->parent, DSA_TYPE, uuid);
		if (ret && ret != -ENOSPC)
			return failed(i, "create", ret);
		created += !ret;
		ret = ret ? 0 : vdev_remove(uuid);
		if (ret)
			return failed(i, "remove", ret);
		/* A name that is there no more */
		if (vdev_remove(uuid) == 0)
			return failed(i, "removed twice", 0);
	}
	return created ? 0 : failed(i, "created none", 0);
}

TEST_F(race, create_and_remove)
{
	EXPECT_TRUE(in_processes(NR_PROCS, storm, &self->pool));
}

static char shared_uuid[VDEV_UUID_LEN + 1];

/* All want to make and to remove the same one. */
static int same_uuid(unsigned int i, const struct dsa_pool *pool)
{
	int n, ret;

	for (n = 0; i ? !is_over() : goes_on(n, 40, counted(&shared->busy)); n++) {
		ret = vdev_create(pool->parent, DSA_TYPE, shared_uuid);
		if (!ret)
			count(&shared->created);
		else if (ret == -EEXIST)
			count(&shared->busy);
		else
			return failed(i, "create", ret);
		if (!vdev_remove(shared_uuid))
			count(&shared->removed);
	}
	return 0;
}

TEST_F(race, same_uuid)
{
	ASSERT_EQ(0, vdev_new_uuid(shared_uuid));
	EXPECT_TRUE(in_processes(NR_PROCS, same_uuid, &self->pool));
	/* Each one that was made has been removed by somebody */
	shared->removed += !vdev_remove(shared_uuid);
	EXPECT_FALSE(path_exists(MDEV_DEVICES "/%s", shared_uuid));
	EXPECT_LT(0, shared->created);
	EXPECT_LE(shared->created, shared->removed);
	EXPECT_LT(0, shared->busy);
}

/* --- remove against open --------------------------------------------------- */

static int open_or_remove(unsigned int i, const struct dsa_pool *pool)
{
	struct test_vdev v;
	uint32_t pt;
	int n, ret;

	for (n = 0; !i && goes_on(n, 40, counted(&shared->attached) && counted(&shared->busy));
	     n++) {
		ret = vdev_create(pool->parent, DSA_TYPE, shared_uuid);
		if (ret)
			return failed(i, "create", ret);
		count(&shared->created);
		usleep(rand() % 20000);
		if (counted(&shared->bound))
			count(&shared->busy);
		/* Waits for who has opened it */
		ret = vdev_remove(shared_uuid);
		if (ret)
			return failed(i, "remove", ret);
	}
	while (i && !is_over()) {
		memset(&v, 0, sizeof(v));
		v.fd = vdev_open(shared_uuid);
		v.iommufd = iommufd_open();
		if (v.fd >= 0)
			count(&shared->opened);
		if (v.fd >= 0 && !vdev_bind(v.fd, v.iommufd, &v.devid)) {
			count(&shared->bound);
			if (!dsa_init(&v.dsa, v.fd) && !ioas_alloc(v.iommufd, &pt) &&
			    !vdev_attach(v.fd, &pt)) {
				count(&shared->attached);
				dsa_start(&v.dsa);
			}
			__atomic_fetch_sub(&shared->bound, 1, __ATOMIC_SEQ_CST);
		}
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
	EXPECT_LE(40, shared->created);
	EXPECT_LT(0, shared->opened);
	EXPECT_LT(0, shared->attached);
	EXPECT_LT(0, shared->busy);
	TH_LOG("%u vdevs, %u removed while bound, opened %u times, attached %u times",
	       shared->created, shared->busy, shared->opened, shared->attached);
}

/* --- two binds --------------------------------------------------------------- */

static int bind_and_close(unsigned int i, const struct dsa_pool *pool)
{
	int iommufd = iommufd_open();
	int n, fd, ret;

	if (iommufd < 0)
		return failed(i, "iommufd", iommufd);
	for (n = 0; i ? !is_over() : goes_on(n, 40, counted(&shared->busy)); n++) {
		fd = vdev_open(shared_uuid);
		if (fd < 0)
			return failed(i, "open", fd);
		ret = vdev_bind(fd, iommufd, NULL);
		if (!ret) {
			/* Alone? */
			if (count(&shared->bound))
				return failed(i, "bound by two", 0);
			usleep(500);
			__atomic_fetch_sub(&shared->bound, 1, __ATOMIC_SEQ_CST);
			count(&shared->opened);
		} else if (ret == -EBUSY) {
			count(&shared->busy);
		} else {
			return failed(i, "bind", ret);
		}
		close(fd);
	}
	close(iommufd);
	return 0;
}

/* A vdev that is bound to one iommufd is refused to all others. */
TEST_F(race, two_binds)
{
	ASSERT_EQ(0, vdev_new_uuid(shared_uuid));
	ASSERT_EQ(0, vdev_create(self->pool.parent, DSA_TYPE, shared_uuid));
	EXPECT_TRUE(in_processes(2, bind_and_close, &self->pool));
	EXPECT_LT(0, shared->opened);
	EXPECT_LT(0, shared->busy);
	EXPECT_EQ(0, vdev_remove(shared_uuid));
}

/* --- submissions against everything that takes the WQ away ----------------- */

/* A thread that uses a vdev until it is told to stop. */
struct worker {
	pthread_t thread;
	struct test_vdev *v;
	bool stop;
	unsigned long rounds;
	unsigned int stores, faults, copies;
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
		count(submit_faults(dsa, &desc) ? &w->faults : &w->stores);
		if (dsa_cr(&w->v->mem, 0)->status == DSA_COMP_SUCCESS)
			count(&w->copies);
		dsa_cr(&w->v->mem, 0)->status = 0;
		/* And by the slow way */
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
	for (n = 0; goes_on(n, 60, counted(&w.stores) && counted(&w.faults) &&
			    counted(&w.copies)); n++) {
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
	EXPECT_LT(0, w.stores);
	EXPECT_LT(0, w.faults);
	EXPECT_LT(0, w.copies);
	TH_LOG("%u stores, %u faults, %u copies seen", w.stores, w.faults, w.copies);
	EXPECT_EQ(0, test_vdev_down(&v));
}

static void *store_forever(void *arg)
{
	unsigned int i = *(unsigned int *)arg;
	struct test_vdev *v = &shared->v;
	struct dsa_hw_desc desc = dsa_desc_move(&v->mem, i, TEST_SRC, TEST_DST + i * 0x1000, 4096);
	/* One by the mapped portal, one by the slow way */
	struct dsa dsa = v->dsa;

	if (i)
		dsa.portal = NULL;
	for (;;) {
		if (dsa_submit(&dsa, &desc))
			_exit(failed(i, "submit", 0));
		count(&shared->stores[i]);
	}
}

/* The user of shared->v, who has no time to clean up */
static int store_until_killed(const struct dsa_pool *pool)
{
	unsigned int numbers[2] = { 0, 1 };
	pthread_t threads[2];
	int i, ret;

	ret = test_vdev_up(&shared->v, pool, STARTED, MEM_SIZE);
	if (!ret)
		ret = dsa_map(&shared->v.dsa, PORTAL_LIMITED);
	for (i = 0; !ret && i < 2; i++)
		ret = -pthread_create(&threads[i], NULL, store_forever, &numbers[i]);
	if (ret)
		return failed(0, "cannot start", ret);
	return pthread_join(threads[0], NULL);
}

/* The next user of a vdev that is there */
static int use_again(struct test_vdev *v)
{
	int ret;

	v->fd = vdev_open(v->uuid);
	v->iommufd = iommufd_open();
	v->dsa.portal = NULL;
	v->mem.va = NULL;
	ret = v->fd < 0 ? v->fd : vdev_bind(v->fd, v->iommufd, &v->devid);
	ret = ret ?: dsa_init(&v->dsa, v->fd);
	ret = ret ?: test_vdev_attach(v, MEM_SIZE);
	ret = ret ?: dsa_start(&v->dsa);
	return ret ?: test_copy(&v->dsa, &v->mem, 3);
}

/* With the process go its mappings, its files and its memory, while all of them are used. */
TEST_F(race, submit_and_close)
{
	int n, status;
	pid_t pid;

	for (n = 0; n < 12; n++) {
		memset(shared->stores, 0, sizeof(shared->stores));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			_exit(store_until_killed(&self->pool));
		while (!(counted(&shared->stores[0]) && counted(&shared->stores[1])) &&
		       time(NULL) < shared->deadline)
			usleep(1000);
		usleep(rand() % 20000);
		EXPECT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		ASSERT_LT(0, shared->stores[0]);
		ASSERT_LT(0, shared->stores[1]);
		EXPECT_EQ(DSA_COMP_SUCCESS, use_again(&shared->v));
		EXPECT_EQ(0, test_vdev_down(&shared->v));
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
	uint64_t seen[2] = { };
	int n, i;

	ASSERT_EQ(0, test_vdev_up(&v, &self->pool, STARTED, MEM_SIZE));
	ASSERT_EQ(0, dsa_map(&v.dsa, PORTAL_LIMITED));
	ASSERT_EQ(0, dsa_request_int_handle(&v.dsa));
	ASSERT_EQ(0, worker_start(&w, &v, interrupt_forever));
	for (n = 0; goes_on(n, 300, seen[0] && seen[1]); n++) {
		for (i = 0; i < 2; i++)
			efd[i] = n % 3 ? eventfd(0, EFD_CLOEXEC) : -1;
		EXPECT_EQ(0, vdev_irq_eventfds(v.fd, VFIO_PCI_MSIX_IRQ_INDEX, 0, 2, efd));
		for (i = 0; i < 2; i++) {
			if (efd[i] < 0)
				continue;
			seen[i] += eventfd_wait(efd[i], 2);
			/* Closed while the vector has it */
			close(efd[i]);
		}
		if (n % 5 == 0)
			EXPECT_EQ(0, vdev_set_irqs(v.fd, VFIO_IRQ_SET_DATA_NONE |
						   VFIO_IRQ_SET_ACTION_TRIGGER,
						   VFIO_PCI_MSIX_IRQ_INDEX, 0, 0, NULL, 0));
	}
	ASSERT_EQ(0, worker_stop(&w));
	EXPECT_LT(0, seen[0]);
	EXPECT_LT(0, seen[1]);
	EXPECT_EQ(0, test_vdev_down(&v));
}

/* --- the WQs, the modules and the PF go, while they are used ---------------- */

/* A copy on a vdev that may die any moment: 0, or -ENODEV if it did, or it has failed. */
static int copy_or_die(unsigned int i, struct test_vdev *v, uint32_t seed)
{
	struct dsa_hw_desc desc = dsa_desc_move(&v->mem, 0, TEST_SRC, TEST_DST, 4096);
	bool dead = false;
	int ret;

	dsa_fill(v->mem.va + TEST_SRC, 4096, seed);
	memset(v->mem.va + TEST_DST, 0, 4096);
	ret = dsa_submit(&v->dsa, &desc);
	if (ret)
		return failed(i, "submit", ret);
	do {
		/* In this order: a record is not written after the death */
		dead = dsa_read32(&v->dsa, DSA_VERSION) == ~0u;
		ret = dsa_wait(dsa_cr(&v->mem, 0), dead ? 0 : 200);
	} while (ret == -ETIMEDOUT && !dead && time(NULL) < shared->deadline);
	if (ret == -ETIMEDOUT && dead) {
		count(&shared->deaths);
		return -ENODEV;
	}
	if (ret != DSA_COMP_SUCCESS)
		return failed(i, "copy", ret);
	count(&shared->copies);
	if (dsa_check(v->mem.va + TEST_DST, 4096, seed) >= 0)
		return failed(i, "copied wrongly", 0);
	return 0;
}

/* Users that take what they can get, go with it as far as they like, and stay for a while */
static int use(unsigned int i, const struct dsa_pool *pool)
{
	struct test_vdev v;
	uint32_t n;

	for (n = 0; !is_over(); n++) {
		enum test_stage stage = rand() % (STARTED + 1);
		bool up = !test_vdev_up(&v, pool, stage, MEM_SIZE);
		bool created = up || v.fd >= 0;
		int ret = 0;

		while (up && stage == STARTED && !ret && rand() % 8)
			ret = copy_or_die(i, &v, n);
		if (ret && ret != -ENODEV)
			return 1;
		/* Who has not bound it holds nobody up, and may take his time */
		usleep(rand() % (stage < BOUND ? 100000 : 20000));
		/* It can be gone by now with the module that had made it */
		if (test_vdev_down(&v) && created)
			count(&shared->lost);
	}
	return 0;
}

static int use_or_unbind(unsigned int i, const struct dsa_pool *pool)
{
	int n, ret;

	if (i)
		return use(i, pool);
	for (n = 0; goes_on(n, 40, counted(&shared->copies) && counted(&shared->deaths)); n++) {
		ret = dsa_wq_disable(pool, n % NR_WQS, DSA_WQ_DRIVER);
		if (ret)
			return failed(i, "unbind", ret);
		usleep(rand() % 10000);
		ret = dsa_wq_enable(pool, n % NR_WQS, "user", DSA_WQ_DRIVER);
		if (ret)
			return failed(i, "bind", ret);
		usleep(rand() % 50000);
	}
	return 0;
}

TEST_F(race, unbind_wq)
{
	EXPECT_TRUE(in_processes(4, use_or_unbind, &self->pool));
	EXPECT_LT(0, shared->copies);
	EXPECT_LT(0, shared->deaths);
	/* A vdev stays until its user removes it */
	EXPECT_EQ(0, shared->lost);
	TH_LOG("%u copies, %u vdevs died", shared->copies, shared->deaths);
}

static int use_or_unload(unsigned int i, const struct dsa_pool *pool)
{
	unsigned int unloaded[3] = { }, refused = 0;
	struct dsa_pool again;
	int n, ret;

	if (i)
		return use(i, pool);
	/* Refused while a vdev is bound; else all of them go with it */
	for (n = 0; goes_on(n, 20, unloaded[0] > 1 && unloaded[1] && unloaded[2] && refused &&
			    counted(&shared->copies) && counted(&shared->lost)); n++) {
		/* For the users to get their vdevs */
		usleep(rand() % 100000);
		if (system("rmmod idxd_vdev 2>/dev/null")) {
			refused++;
			continue;
		}
		unloaded[0]++;
		unloaded[1] += !system("rmmod mdev_pasid 2>/dev/null");
		unloaded[2] += !system("rmmod idxd 2>/dev/null");
		usleep(rand() % 20000);
		ret = system("modprobe -a idxd idxd_vdev");
		if (ret)
			return failed(i, "modprobe", ret);
		ret = dsa_pool_get(&again, NR_WQS);
		if (ret)
			return failed(i, "WQs", ret);
	}
	printf("# idxd_vdev unloaded %u times, mdev_pasid %u, idxd %u; refused %u times\n",
	       unloaded[0], unloaded[1], unloaded[2], refused);
	fflush(stdout);
	if (!unloaded[0] || !unloaded[1] || !unloaded[2] || !refused)
		return failed(i, "never met the users", 0);
	return 0;
}

TEST_F(race, unload_modules)
{
	EXPECT_TRUE(in_processes(3, use_or_unload, &self->pool));
	EXPECT_EQ(0, system("modprobe -a idxd idxd_vdev"));
	EXPECT_LT(0, shared->copies);
	EXPECT_LT(0, shared->lost);
	TH_LOG("%u copies, %u vdevs went with the module", shared->copies, shared->lost);
}

/* An open vdev holds its modules: all that may be refused is refused. */
TEST_F(race, unload_in_use)
{
	struct test_vdev v;

	ASSERT_EQ(0, test_vdev_up(&v, &self->pool, STARTED, MEM_SIZE));
	EXPECT_NE(0, system("rmmod idxd_vdev 2>/dev/null"));
	/* Those are held by the one above and by each other, whoever uses them */
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
	/* udev may have done that already */
	EXPECT_EQ(0, system("modprobe idxd_vdev"));
}

/* Somebody who configures the device and enables it as soon as it is disabled */
static int enable_or_unbind(unsigned int i, const struct dsa_pool *pool)
{
	const char *id = pool->dsa + strlen("dsa");
	int ret;

	if (!i) {
		usleep(20000);
		ret = sysfs_write(pool->parent, DSA_PCI_DRIVER "/unbind");
		return ret ? failed(i, "unbind", ret) : 0;
	}
	while (!is_over()) {
		sysfs_write("0", DSA_DEVICES "/engine%s.%u/group_id", id, i);
		sysfs_write("dedicated", DSA_DEVICES "/wq%s.7/mode", id);
		sysfs_write("16", DSA_DEVICES "/wq%s.7/size", id);
		sysfs_write("0", DSA_DEVICES "/wq%s.7/group_id", id);
		ret = sysfs_write(pool->dsa, DSA_DRIVERS "/idxd/bind");
		if (!ret)
			return failed(i, "enabled", 0);
		/* Not because it is enabled still, nor because it is gone already */
		if (ret != -EBUSY && path_exists(DSA_DEVICES "/%s", pool->dsa))
			count(&shared->busy);
	}
	return 0;
}

/* A device that idxd is leaving is not enabled any more: its WQs are about to be freed. */
TEST_F(race, enable_and_unbind_pf)
{
	int n;

	for (n = 0; goes_on(n, 5, shared->busy); n++) {
		EXPECT_TRUE(in_processes(3, enable_or_unbind, &self->pool));
		ASSERT_EQ(0, dsa_rebind(&self->pool));
		ASSERT_EQ(0, dsa_pool_get(&self->pool, NR_WQS));
	}
	EXPECT_LT(0, shared->busy);
	TH_LOG("refused %u times in %d rounds", shared->busy, n);
}

/* One has nothing but errors, the other one just wants to open his vdev */
static int flood_or_bind(unsigned int i, const struct dsa_pool *pool)
{
	struct dsa_hw_desc desc = { .opcode = 0x7f };
	struct test_vdev v;
	int n, ret = 0;

	while (!i && !counted(&shared->stores[1]) && time(NULL) < shared->deadline)
		usleep(1000);
	for (n = 0; !i && !ret && n < 20; n++) {
		ret = test_vdev_up(&v, pool, BOUND, 0);
		if (!ret)
			ret = test_vdev_down(&v);
		count(&shared->opened);
	}
	if (!i)
		return ret ? failed(i, "bind", ret) : 0;

	ret = test_vdev_up(&v, pool, STARTED, MEM_SIZE);
	if (!ret)
		ret = dsa_map(&v.dsa, PORTAL_LIMITED);
	while (!ret && !is_over()) {
		ret = dsa_submit(&v.dsa, &desc);
		count(&shared->stores[i - 1]);
	}
	if (dsa_read64(&v.dsa, DSA_SWERR) & SWERR_VALID)
		count(&shared->busy);
	return ret || test_vdev_down(&v) ? failed(i, "submit", ret) : 0;
}

/* The errors of some keep nobody from coming and going. */
TEST_F(race, flood_and_bind)
{
	EXPECT_TRUE(in_processes(3, flood_or_bind, &self->pool));
	EXPECT_EQ(20, shared->opened);
	EXPECT_EQ(2, shared->busy);
	TH_LOG("%u and %u errors", shared->stores[0], shared->stores[1]);
}

/* A device that idxd leaves is used on until its users have heard the request to close. */
TEST_F(race, unbind_pf_in_use)
{
	int32_t request = eventfd(0, EFD_CLOEXEC);
	struct test_vdev v;
	int status;
	pid_t pid;

	ASSERT_LE(0, request);
	ASSERT_EQ(0, test_vdev_up(&v, &self->pool, STARTED, MEM_SIZE));
	ASSERT_EQ(0, vdev_irq_eventfds(v.fd, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, &request));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		/* It would wait for itself */
		close(v.fd);
		_exit(!!sysfs_write(self->pool.parent, DSA_PCI_DRIVER "/unbind"));
	}
	EXPECT_LT(0, eventfd_wait(request, 30000));
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v.dsa, &v.mem, 1));
	close(v.fd);
	close(v.iommufd);
	dsa_mem_free(&v.mem);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_FALSE(path_exists(MDEV_DEVICES "/%s", v.uuid));
	close(request);
	ASSERT_EQ(0, dsa_rebind(&self->pool));
}

TEST_HARNESS_MAIN
