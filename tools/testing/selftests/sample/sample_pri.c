// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page requests: a vdev whose HWPT has a fault queue asks its user for the pages that are
 * not there, and goes on when he has mapped them.
 */
#include <poll.h>

#include "sample.h"

#define MEM_SIZE	(4 << 20)
#define HOLE		(SAMPLE_IOVA + (1ull << 30))

static void __attribute__((constructor)) register_sweep(void)
{
	atexit(vdev_sweep);
}

/* Two vdevs in one iommufd and one IOAS. Each has a HWPT of its own, with a fault queue. */
FIXTURE(pri)
{
	struct sample vdev[2];
	int iommufd;
	uint32_t ioas;
	uint32_t hwpt[2];
	uint32_t queue[2];
	int fd[2];
	uint8_t *mem;
};

/* For what ends while a request is under way: whether the user has read it */
FIXTURE_VARIANT(pri)
{
	bool delivered;
};

FIXTURE_VARIANT_ADD(pri, in_queue) { };
FIXTURE_VARIANT_ADD(pri, delivered) { .delivered = true };

FIXTURE_SETUP(pri)
{
	int i;

	if (!sample_load())
		SKIP(return, "no siov_sample module");
	vdev_sweep();
	self->iommufd = iommufd_open();
	ASSERT_LE(0, self->iommufd);
	ASSERT_EQ(0, ioas_alloc(self->iommufd, &self->ioas));
	self->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)self->mem);
	ASSERT_EQ(0, ioas_map(self->iommufd, self->ioas, self->mem, MEM_SIZE, SAMPLE_IOVA,
			      IOAS_RW));
	for (i = 0; i < 2; i++) {
		struct sample *s = &self->vdev[i];

		ASSERT_EQ(0, sample_bind(s, self->iommufd));
		ASSERT_EQ(0, fault_queue_alloc(self->iommufd, &self->queue[i], &self->fd[i]));
		ASSERT_EQ(0, hwpt_alloc_with_queue(self->iommufd, self->vdev[i].devid, self->ioas,
						   self->queue[i], &self->hwpt[i]));
		s->event = eventfd(0, EFD_CLOEXEC);
		ASSERT_EQ(0, sample_start(s, self->hwpt[i], s->event));
	}
}

FIXTURE_TEARDOWN(pri)
{
	int i;

	for (i = 0; i < 2; i++) {
		sample_close(&self->vdev[i]);
		EXPECT_EQ(0, vdev_remove(self->vdev[i].uuid));
		if (self->fd[i] >= 0)
			close(self->fd[i]);
	}
	close(self->iommufd);
}

/* The next page request of a queue; true if there was one within @ms */
static bool next_request(int fd, struct iommu_hwpt_pgfault *req, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, ms) == 1 && read(fd, req, sizeof(*req)) == sizeof(*req);
}

static int respond(int fd, uint32_t cookie, uint32_t code)
{
	struct iommu_hwpt_page_response resp = { .cookie = cookie, .code = code };

	return write(fd, &resp, sizeof(resp)) == sizeof(resp) ? 0 : -errno;
}

static int start_copy(struct sample *s, uint64_t src, uint64_t dst, uint64_t len)
{
	int ret = sample_describe(s, src, dst, len);

	if (!ret)
		sample_ring(s);
	return ret;
}

/* A copy that waits for a page. Its request is in the queue, or in @req if @delivered. */
static bool copy_waits(struct sample *s, int fd, bool delivered, struct iommu_hwpt_pgfault *req)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return !start_copy(s, HOLE, SAMPLE_IOVA, PAGE) && poll(&pfd, 1, 10000) == 1 &&
	       (!delivered || next_request(fd, req, 0));
}

static int end_copy(struct sample *s)
{
	if (eventfd_wait(s->event, 30000) != 1)
		return -ETIME;
	return sample_read(s, SIOV_STATUS);
}

/* Each page of a copy is asked for when it is needed, and mapped then. */
TEST_F(pri, mapped)
{
	struct sample *s = &self->vdev[0];
	uint64_t src = SAMPLE_IOVA + 100, dst = HOLE + 200;
	struct iommu_hwpt_pgfault req;
	uint8_t *pages = self->mem + (1 << 20);
	unsigned int i, asked = 0;

	for (i = 0; i < 2 * PAGE; i++)
		self->mem[100 + i] = i * 7 + 3;
	ASSERT_EQ(0, start_copy(s, src, dst, 2 * PAGE));
	for (i = 0; i < 3; i++) {
		ASSERT_TRUE(next_request(self->fd[0], &req, 10000));
		EXPECT_EQ(self->vdev[0].devid, req.dev_id);
		EXPECT_EQ(vdev_pasid(s->uuid), req.pasid);
		EXPECT_EQ(HOLE + i * PAGE, req.addr);
		EXPECT_EQ(IOMMU_PGFAULT_PERM_WRITE, req.perm);
		EXPECT_EQ(IOMMU_PGFAULT_FLAGS_PASID_VALID | IOMMU_PGFAULT_FLAGS_LAST_PAGE,
			  req.flags & (IOMMU_PGFAULT_FLAGS_PASID_VALID |
				       IOMMU_PGFAULT_FLAGS_LAST_PAGE));
		/* It waits, and only it */
		EXPECT_EQ(0, sample_read(s, SIOV_COUNT));
		ASSERT_EQ(SIOV_DONE, sample_copy(&self->vdev[1], SAMPLE_IOVA,
						 SAMPLE_IOVA + (2 << 20), PAGE));
		ASSERT_EQ(0, ioas_map(self->iommufd, self->ioas, pages + i * PAGE, PAGE, req.addr,
				      IOAS_RW));
		ASSERT_EQ(0, respond(self->fd[0], req.cookie, IOMMUFD_PAGE_RESP_SUCCESS));
		asked++;
	}
	EXPECT_EQ(SIOV_DONE, end_copy(s));
	EXPECT_EQ(3, asked);
	EXPECT_EQ(1, sample_read(s, SIOV_COUNT));
	EXPECT_EQ(0, memcmp(self->mem + 100, pages + 200, 2 * PAGE));
	EXPECT_FALSE(next_request(self->fd[0], &req, 0));
	EXPECT_FALSE(next_request(self->fd[1], &req, 0));
	/* A page request that is granted is no fault */
	EXPECT_EQ(0, vdev_fault_count(s->fd));
}

/* "No" makes it the fault that it is without a queue. */
TEST_F(pri, refused)
{
	struct sample *s = &self->vdev[0];
	struct iommu_hwpt_pgfault req;
	int i;

	for (i = 0; i < 5; i++) {
		uint64_t addr = HOLE + i * PAGE + 8;

		ASSERT_EQ(0, start_copy(s, addr, SAMPLE_IOVA, PAGE));
		ASSERT_TRUE(next_request(self->fd[0], &req, 10000));
		EXPECT_EQ(addr & ~(PAGE - 1), req.addr);
		EXPECT_EQ(IOMMU_PGFAULT_PERM_READ, req.perm);
		ASSERT_EQ(0, respond(self->fd[0], req.cookie, IOMMUFD_PAGE_RESP_INVALID));
		EXPECT_EQ(SIOV_READ_FAULT, end_copy(s));
		EXPECT_EQ(addr, sample_read(s, SIOV_FAULT));
		EXPECT_EQ(i + 1, vdev_fault_count(s->fd));
	}
	/* A response to nothing */
	EXPECT_EQ(-EINVAL, respond(self->fd[0], req.cookie, IOMMUFD_PAGE_RESP_SUCCESS));
	EXPECT_EQ(0, vdev_fault_count(self->vdev[1].fd));
	EXPECT_EQ(SIOV_DONE, sample_copy(s, SAMPLE_IOVA, SAMPLE_IOVA + PAGE, PAGE));
}

/* Each request is in the queue of the vdev that made it, with its ID. */
TEST_F(pri, two_at_once)
{
	struct iommu_hwpt_pgfault req[2];
	int i;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, start_copy(&self->vdev[i], HOLE + i * PAGE, SAMPLE_IOVA, PAGE));
	for (i = 0; i < 2; i++) {
		ASSERT_TRUE(next_request(self->fd[i], &req[i], 10000));
		EXPECT_EQ(self->vdev[i].devid, req[i].dev_id);
		EXPECT_EQ(vdev_pasid(self->vdev[i].uuid), req[i].pasid);
		EXPECT_EQ(HOLE + i * PAGE, req[i].addr);
	}
	EXPECT_NE(req[0].dev_id, req[1].dev_id);
	/* Answered the other way round */
	for (i = 1; i >= 0; i--) {
		ASSERT_EQ(0, ioas_map(self->iommufd, self->ioas, self->mem, PAGE,
				      HOLE + i * PAGE, IOAS_RW));
		ASSERT_EQ(0, respond(self->fd[i], req[i].cookie, IOMMUFD_PAGE_RESP_SUCCESS));
		EXPECT_EQ(SIOV_DONE, end_copy(&self->vdev[i]));
	}
}

/* The user goes while the vdev waits for him: nothing waits for ever, all works again. */
TEST_F(pri, detach_meanwhile)
{
	struct sample *s = &self->vdev[0];
	struct iommu_hwpt_pgfault req = { };
	uint32_t pt;
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_TRUE(copy_waits(s, self->fd[0], variant->delivered, &req));
		ASSERT_EQ(0, vdev_detach(s->fd));
		EXPECT_FALSE(next_request(self->fd[0], &req, 0));
		EXPECT_EQ(-EINVAL, respond(self->fd[0], req.cookie, IOMMUFD_PAGE_RESP_SUCCESS));
		pt = self->hwpt[0];
		ASSERT_EQ(0, vdev_attach(s->fd, &pt));
		EXPECT_EQ(SIOV_DONE, sample_copy(s, SAMPLE_IOVA, SAMPLE_IOVA + PAGE, PAGE));
	}
}

/* A replace lets work finish; what waits for a page ends with a fault instead. */
TEST_F(pri, replace_meanwhile)
{
	struct sample *s = &self->vdev[0];
	struct iommu_hwpt_pgfault req;
	uint32_t pt = self->ioas;

	ASSERT_TRUE(copy_waits(s, self->fd[0], variant->delivered, &req));
	ASSERT_EQ(0, vdev_attach(s->fd, &pt));
	EXPECT_EQ(SIOV_READ_FAULT, end_copy(s));
	/* There is no queue any more, so this is a fault at once */
	EXPECT_EQ(SIOV_READ_FAULT, sample_copy(s, HOLE, SAMPLE_IOVA, PAGE));
	EXPECT_EQ(2, vdev_fault_count(s->fd));
	pt = self->hwpt[0];
	ASSERT_EQ(0, vdev_attach(s->fd, &pt));
	EXPECT_EQ(SIOV_DONE, sample_copy(s, SAMPLE_IOVA, SAMPLE_IOVA + PAGE, PAGE));
}

/* What was rung for while a copy waits is accepted work, too. */
TEST_F(pri, replace_and_two_copies)
{
	struct sample *s = &self->vdev[0];
	struct iommu_hwpt_pgfault req;
	uint32_t pt = self->ioas;

	ASSERT_TRUE(copy_waits(s, self->fd[0], variant->delivered, &req));
	sample_ring(s);
	ASSERT_EQ(0, vdev_attach(s->fd, &pt));
	EXPECT_EQ(2, sample_read(s, SIOV_COUNT));
	EXPECT_EQ(2, vdev_fault_count(s->fd));
}

TEST_F(pri, close_meanwhile)
{
	struct sample *s = &self->vdev[0];
	struct iommu_hwpt_pgfault req;

	ASSERT_TRUE(copy_waits(s, self->fd[0], variant->delivered, &req));
	sample_close(s);
	EXPECT_FALSE(next_request(self->fd[0], &req, 0));
	/* Nobody uses the page table any more, nor the queue but for its file */
	EXPECT_EQ(0, iommufd_destroy(self->iommufd, self->hwpt[0]));
	EXPECT_EQ(-EBUSY, iommufd_destroy(self->iommufd, self->queue[0]));
	close(self->fd[0]);
	self->fd[0] = -1;
	EXPECT_EQ(0, iommufd_destroy(self->iommufd, self->queue[0]));
}

TEST_HARNESS_MAIN
