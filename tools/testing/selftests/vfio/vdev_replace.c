// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vdev is moved between two address spaces while it works. Each descriptor is executed
 * in one of them, as a whole; none faults, none is lost, and no submission fails.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "vdev_harness.h"

#define MEM_SIZE	(1 << 20)
#define REPLACES	250
#define BURST		4
#define LEN		9999
#define SRC		0x1000
#define DST(i)		(0x10000 + (i) * 0x8000)

/* A vdev and the two address spaces, with what its threads tell each other */
struct run {
	struct test_vdev v;
	uint32_t ioas[2];
	struct dsa_mem mem[2];
	atomic_bool stop;
	atomic_int replaces;
	int error;
};

FIXTURE(replace) {
	struct dsa_pool pool;
	struct run run;
};

FIXTURE_VARIANT(replace) {
	bool direct;
};

FIXTURE_VARIANT_ADD(replace, direct) { .direct = true };
FIXTURE_VARIANT_ADD(replace, mediated) { };

FIXTURE_SETUP(replace)
{
	struct run *r = &self->run;
	int i;

	TEST_POOL(&self->pool, 1);
	if (!variant->direct)
		ASSERT_EQ(0, drop_rawio());
	ASSERT_EQ(0, test_vdev_up(&r->v, &self->pool, STARTED, MEM_SIZE));
	if (variant->direct)
		ASSERT_EQ(0, dsa_map(&r->v.dsa, PORTAL_LIMITED));
	r->ioas[0] = r->v.ioas;
	r->mem[0] = r->v.mem;
	/* The same IOVA is other memory in the other IOAS */
	ASSERT_EQ(0, ioas_alloc(r->v.iommufd, &r->ioas[1]));
	ASSERT_EQ(0, dsa_mem_alloc(&r->mem[1], r->v.iommufd, r->ioas[1], TEST_IOVA,
				   MEM_SIZE));
	for (i = 0; i < 2; i++)
		dsa_fill(r->mem[i].va + SRC, LEN, i);
}

FIXTURE_TEARDOWN(replace)
{
	struct run *r = &self->run;

	dsa_mem_free(&r->mem[1]);
	EXPECT_EQ(0, test_vdev_down(&r->v));
}

static void *move_about(void *arg)
{
	struct run *r = arg;

	while (!r->error && !r->stop && r->replaces < REPLACES) {
		uint32_t pt = r->ioas[(r->replaces + 1) & 1];

		r->error = vdev_attach(r->v.fd, &pt);
		r->replaces++;
	}
	return NULL;
}

/* Takes mmap_lock for writing all the time, which a wait under mmap_lock would not survive */
static void *churn(void *arg)
{
	struct run *r = arg;

	while (!r->stop) {
		void *va = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		munmap(va, 4096);
		usleep(200);
	}
	return NULL;
}

static bool all_zero(const uint8_t *buf, size_t len)
{
	return !buf[0] && !memcmp(buf, buf + 1, len - 1);
}

static int poll_records(struct run *r, unsigned int i)
{
	long tries;

	for (tries = 0; tries < 300000; tries++) {
		int where = dsa_cr(&r->mem[1], i)->status ? 1 : 0;

		if (dsa_cr(&r->mem[where], i)->status) {
			__atomic_thread_fence(__ATOMIC_ACQUIRE);
			return where;
		}
		if (tries > 1000)
			usleep(100);
	}
	return -ETIMEDOUT;
}

/* BURST copies at once; adds to @where[] in which address space each was executed. */
static int copy_burst(struct run *r, unsigned long where[2])
{
	struct dsa_hw_desc desc[BURST];
	unsigned int i, j;
	int in, ret;

	for (i = 0; i < BURST; i++) {
		for (j = 0; j < 2; j++) {
			memset(r->mem[j].va + DST(i), 0, LEN);
			desc[i] = dsa_desc_move(&r->mem[j], i, SRC, DST(i), LEN);
		}
	}
	for (i = 0; i < BURST; i++) {
		ret = dsa_submit(&r->v.dsa, &desc[i]);
		if (ret)
			return ret;
	}
	for (i = 0; i < BURST; i++) {
		in = poll_records(r, i);
		if (in < 0)
			return in;
		if (dsa_cr(&r->mem[in], i)->status != DSA_COMP_SUCCESS)
			return dsa_cr(&r->mem[in], i)->status;
		/* All of it here, and nothing of it there */
		if (dsa_check(r->mem[in].va + DST(i), LEN, in) >= 0 ||
		    !all_zero(r->mem[!in].va + DST(i), LEN) ||
		    dsa_cr(&r->mem[!in], i)->status)
			return -EIO;
		where[in]++;
	}
	return 0;
}

TEST_F(replace, while_it_works)
{
	struct run *r = &self->run;
	unsigned long where[2] = { };
	pthread_t mover, churner;
	int ret = 0;

	ASSERT_EQ(0, pthread_create(&churner, NULL, churn, r));
	ASSERT_EQ(0, pthread_create(&mover, NULL, move_about, r));
	while (!ret && !r->error && r->replaces < REPLACES)
		ret = copy_burst(r, where);
	r->stop = true;
	pthread_join(mover, NULL);
	pthread_join(churner, NULL);

	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, r->error);
	EXPECT_EQ(REPLACES, r->replaces);
	/* It did work meanwhile, and in both */
	EXPECT_LT(10, where[0]);
	EXPECT_LT(10, where[1]);
	TH_LOG("%d replaces, %lu copies in one address space, %lu in the other",
	       r->replaces, where[0], where[1]);
	EXPECT_TRUE(vdev_state_is(r->v.uuid, "attached"));
}

/* Nobody who looks at the state of the vdev meanwhile is told that it is not attached. */
TEST_F(replace, stays_attached)
{
	struct run *r = &self->run;
	pthread_t mover;
	int looks = 0;

	ASSERT_EQ(0, pthread_create(&mover, NULL, move_about, r));
	while (!r->error && r->replaces < REPLACES) {
		ASSERT_TRUE(vdev_state_is(r->v.uuid, "attached"));
		looks++;
	}
	pthread_join(mover, NULL);
	EXPECT_EQ(0, r->error);
	EXPECT_LT(10, looks);
}

/* A replace that fails leaves the old address space, and nobody waiting. */
TEST_F(replace, refused)
{
	struct run *r = &self->run;
	unsigned long where[2] = { };
	uint32_t pt;
	int i;

	for (i = 0; i < 5; i++) {
		pt = 0xdead;
		EXPECT_EQ(-ENOENT, vdev_attach(r->v.fd, &pt));
		ASSERT_EQ(0, copy_burst(r, where));
	}
	EXPECT_EQ(5 * BURST, where[0]);
	EXPECT_EQ(0, where[1]);
}

TEST_HARNESS_MAIN
