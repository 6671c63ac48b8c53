/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the vdev tests share on top of kselftest_harness.h: a pool of WQs, and
 * vdevs that are set up as far as a test wants them.
 */
#ifndef SELFTESTS_VDEV_HARNESS_H
#define SELFTESTS_VDEV_HARNESS_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "dsa.h"
#include "fault.h"

/* These tests also run on an emulated CPU, which may be a hundred times slower. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 180

/* Where the data of a test is mapped, in every IOAS: it must not matter. */
#define TEST_IOVA	0x10000000ull

/* One vdev with its user: the bind, the address space and the DSA behind it. */
struct test_vdev {
	char uuid[VDEV_UUID_LEN + 1];
	int fd;
	int iommufd;
	uint32_t devid;
	uint32_t ioas;
	uint32_t hwpt;
	struct dsa dsa;
	struct dsa_mem mem;
};

/*
 * A machine without a DSA cannot run these tests. VDEV_SELFTEST_REQUIRED in the
 * environment says that it is meant to have one, and makes that a failure.
 */
#define TEST_POOL(pool, nr) do {						\
	int __ret;								\
	vdev_sweep();								\
	__ret = dsa_pool_get(pool, nr);						\
	if (__ret == -ENODEV && !getenv("VDEV_SELFTEST_REQUIRED"))		\
		SKIP(return, "no DSA, or no idxd_vdev module");			\
	ASSERT_EQ(0, __ret);							\
} while (0)

/* The same for what not every machine with a DSA has. Evaluates @condition twice. */
#define TEST_REQUIRE(condition, why) do {					\
	if (!(condition) && !getenv("VDEV_SELFTEST_REQUIRED"))			\
		SKIP(return, why);						\
	ASSERT_TRUE(condition);							\
} while (0)

#define TEST_FAULTS() TEST_REQUIRE(fault_possible(), "no QEMU that makes the DSA misbehave")

static struct dsa_snapshot test_snapshot;

/* Tests end by _exit(), so this is run once, at the end of the program. */
static void test_restore(void)
{
	/* Those of a test that was killed; what follows would wait for its hung commands */
	fault_clear();
	vdev_sweep();
	dsa_restore(&test_snapshot);
}

static void __attribute__((constructor)) test_remember(void)
{
	dsa_snapshot(&test_snapshot);
	atexit(test_restore);
}

/* Where test_copy() and moves_nothing() copy from and to, in memory of at least 64 KiB */
#define TEST_SRC	0x1000
#define TEST_DST	0x8000

/* One copy of a page inside @mem, whose source is filled by @seed; does it arrive? */
static inline int test_copy(struct dsa *dsa, struct dsa_mem *mem, uint32_t seed)
{
	struct dsa_hw_desc desc = dsa_desc_move(mem, 0, TEST_SRC, TEST_DST, 4096);
	int ret;

	dsa_fill(mem->va + TEST_SRC, 4096, seed);
	memset(mem->va + TEST_DST, 0, 4096);
	ret = dsa_run(dsa, mem, &desc);
	if (ret != DSA_COMP_SUCCESS)
		return ret;
	return dsa_check(mem->va + TEST_DST, 4096, seed) < 0 ? DSA_COMP_SUCCESS : -EIO;
}

/*
 * Only QEMU's DSA can be slowed down or stopped. On another one, whether there is work in
 * flight when a test needs some is left to luck.
 */
static inline bool test_can_slow(void)
{
	return fault_possible() || getenv("VDEV_SELFTEST_REQUIRED");
}

/* From now on each descriptor takes as long; "0" is the usual. */
static inline int slow_down(const char *ns)
{
	return test_can_slow() ? fault_set("latency-ns", ns) : 0;
}

#define TEST_LOAD 8

/* Submit copies 0 to @n - 1 from the first half of @mem to the second one. */
static inline int submit_load(struct dsa *dsa, struct dsa_mem *mem, unsigned int n)
{
	size_t half = mem->size / 2;
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < n; i++) {
		struct dsa_hw_desc desc = dsa_desc_move(mem, i, 0x1000, half, half - 0x1000);

		ret = dsa_submit(dsa, &desc);
	}
	return ret;
}

/* How many of the TEST_LOAD copies have been done? */
static inline int load_done(const struct dsa_mem *mem)
{
	unsigned int i;
	int done = 0;

	for (i = 0; i < TEST_LOAD; i++)
		done += !!dsa_cr(mem, i)->status;
	return done;
}

/*
 * TEST_LOAD copies that are not done before thaw_load(): an engine has the first. One was
 * done before them, so that their addresses are in the IOTLB.
 */
static inline int freeze_load(struct dsa *dsa, struct dsa_mem *mem)
{
	int ret = submit_load(dsa, mem, 1);

	if (!ret)
		ret = dsa_wait(dsa_cr(mem, 0), 60000) == DSA_COMP_SUCCESS ? 0 : -EIO;
	if (!ret)
		ret = slow_down("500000000");
	if (!ret)
		ret = submit_load(dsa, mem, TEST_LOAD);
	if (ret || !test_can_slow())
		return ret;
	ret = fault_set("hang-engines", "true");
	/* What an engine has ends at once when it thaws: its time is over then */
	usleep(500000);
	/* It was in time if it took less than half a second for each */
	return ret ?: load_done(mem) < TEST_LOAD ? 0 : -EALREADY;
}

/* Undoes slow_down(), too */
static inline int thaw_load(void)
{
	int ret = slow_down("0");

	return ret || !test_can_slow() ? ret : fault_set("hang-engines", "false");
}

/* A last_error file, as it was before something is refused */
struct last_error {
	char path[VDEV_PATH_MAX];
	struct refusal was;
	time_t since;
};

static inline __attribute__((format(printf, 2, 3)))
int last_error_watch(struct last_error *last, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(last->path, sizeof(last->path), fmt, ap);
	va_end(ap);
	last->since = time(NULL);
	return refusal_read(&last->was, last->path);
}

/* One thing was refused since, with exactly this sentence. tools/lab/host/refusals reads these. */
#define EXPECT_REFUSED(last, ...) do {						\
	struct refusal __now;							\
	char __text[sizeof(__now.text)];					\
										\
	snprintf(__text, sizeof(__text), __VA_ARGS__);				\
	EXPECT_EQ(0, refusal_read(&__now, (last)->path));			\
	EXPECT_STREQ(__text, __now.text);					\
	EXPECT_EQ((last)->was.count + 1, __now.count);				\
	EXPECT_LE((last)->since, __now.time);					\
	EXPECT_GE(time(NULL), __now.time);					\
	(last)->was = __now;							\
	(last)->since = __now.time;						\
} while (0)

/* Each step stands on the one before it. */
enum test_stage { CREATED, OPENED, BOUND, ATTACHED, STARTED };

static inline int test_vdev_attach(struct test_vdev *t, size_t mem_size)
{
	int ret = ioas_alloc(t->iommufd, &t->ioas);

	if (!ret)
		ret = dsa_mem_alloc(&t->mem, t->iommufd, t->ioas, TEST_IOVA, mem_size);
	if (ret)
		return ret;
	t->hwpt = t->ioas;
	return vdev_attach(t->fd, &t->hwpt);
}

static inline int test_vdev_up(struct test_vdev *t, const struct dsa_pool *pool,
			       enum test_stage stage, size_t mem_size)
{
	int ret;

	memset(t, 0, sizeof(*t));
	t->fd = -1;
	t->iommufd = -1;
	ret = vdev_new_uuid(t->uuid);
	if (!ret)
		ret = vdev_create(pool->parent, DSA_TYPE, t->uuid);
	if (ret || stage < OPENED)
		return ret;
	t->fd = vdev_open(t->uuid);
	t->iommufd = iommufd_open();
	if (t->fd < 0 || t->iommufd < 0)
		return t->fd < 0 ? t->fd : t->iommufd;
	if (stage < BOUND)
		return 0;
	ret = vdev_bind(t->fd, t->iommufd, &t->devid);
	if (!ret)
		ret = dsa_init(&t->dsa, t->fd);
	if (ret || stage < ATTACHED)
		return ret;
	ret = test_vdev_attach(t, mem_size);
	if (ret || stage < STARTED)
		return ret;
	return dsa_start(&t->dsa);
}

static inline int test_vdev_down(struct test_vdev *t)
{
	int ret;

	dsa_unmap(&t->dsa);
	if (t->fd >= 0)
		close(t->fd);
	if (t->iommufd >= 0)
		close(t->iommufd);
	dsa_mem_free(&t->mem);
	ret = vdev_remove(t->uuid);
	memset(t, 0, sizeof(*t));
	t->fd = -1;
	t->iommufd = -1;
	return ret;
}

/*
 * What most fixtures start with: a pool of two WQs, and a vdev that runs and is used
 * through the mapped portal page @page_nr, or through the mediated portal by a user
 * who may not map it.
 */
#define TEST_START(self, direct, page_nr, mem_size) do {				\
	TEST_POOL(&(self)->pool, 2);							\
	if (!(direct))									\
		ASSERT_EQ(0, drop_rawio());						\
	ASSERT_EQ(0, test_vdev_up(&(self)->v, &(self)->pool, STARTED, mem_size));	\
	(self)->dsa = &(self)->v.dsa;							\
	(self)->mem = &(self)->v.mem;							\
	(self)->dsa->page = page_nr;							\
	ASSERT_EQ(direct, dsa_can_map((self)->dsa));					\
	if (direct)									\
		ASSERT_EQ(0, dsa_map((self)->dsa, page_nr));				\
} while (0)

/* Is @buf all @byte? */
static inline bool is_all(const uint8_t *buf, size_t len, uint8_t byte)
{
	return !len || (buf[0] == byte && !memcmp(buf, buf + 1, len - 1));
}

/* What the load has stored so far is wiped away, and what it stores from now on shows. */
static inline void mark_load(struct dsa_mem *mem)
{
	memset(mem->va, 0x99, mem->size);
	memset(mem->va + 0x1000, 0x66, mem->size / 2 - 0x1000);
}

/* Neither a record nor a copy was stored since mark_load() */
static inline bool load_stored_nothing(const struct dsa_mem *mem)
{
	size_t half = mem->size / 2;

	return is_all(mem->va, 0x1000, 0x99) && is_all(mem->va + half, half, 0x99);
}

static sigjmp_buf test_bus_env;

static inline void test_on_sigbus(int sig)
{
	siglongjmp(test_bus_env, 1);
}

/* Submit; true if the portal page could not be touched. */
static inline bool submit_faults(struct dsa *dsa, const struct dsa_hw_desc *desc)
{
	struct sigaction sa = { .sa_handler = test_on_sigbus }, old;
	bool fault = true;

	sigaction(SIGBUS, &sa, &old);
	if (!sigsetjmp(test_bus_env, 1)) {
		dsa_submit(dsa, desc);
		fault = false;
	}
	sigaction(SIGBUS, &old, NULL);
	return fault;
}

/* Submit a copy that must move no byte and write no record. */
static inline bool moves_nothing(struct dsa *dsa, struct dsa_mem *mem)
{
	struct dsa_hw_desc desc = dsa_desc_move(mem, 0, TEST_SRC, TEST_DST, 4096);

	memset(mem->va + TEST_SRC, 0xaa, 4096);
	memset(mem->va + TEST_DST, 0x55, 4096);
	submit_faults(dsa, &desc);
	usleep(200000);
	return is_all(mem->va + TEST_DST, 4096, 0x55) && !dsa_cr(mem, 0)->status;
}

#endif
