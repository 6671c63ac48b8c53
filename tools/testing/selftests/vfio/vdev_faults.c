// SPDX-License-Identifier: GPL-2.0-only
/*
 * A DMA fault reaches the user of the vdev that made it, and nobody else: neither
 * another vdev nor, at the rate of the faults, the log of the host.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "vdev_harness.h"

#define MEM_SIZE	(1 << 16)
#define SRC		0x1000
#define DST		0x8000
#define HOLE		(TEST_IOVA + 0x40000000)
#define STORM		500

FIXTURE(faults) {
	struct dsa_pool pool;
	struct test_vdev v[2];
	int32_t event[2];
};

FIXTURE_SETUP(faults)
{
	int i;

	TEST_POOL(&self->pool, 2);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, test_vdev_up(&self->v[i], &self->pool, STARTED, MEM_SIZE));
		ASSERT_EQ(0, dsa_map(&self->v[i].dsa, PORTAL_LIMITED));
		self->event[i] = eventfd(0, EFD_CLOEXEC);
		ASSERT_EQ(0, vdev_irq_eventfds(self->v[i].fd, VFIO_MDEV_PASID_FAULT_IRQ_INDEX,
					       0, 1, &self->event[i]));
	}
}

FIXTURE_TEARDOWN(faults)
{
	int i;

	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, test_vdev_down(&self->v[i]));
		close(self->event[i]);
	}
}

/* A copy from or to an address that is not mapped; the status that the device gives */
static int fault(struct test_vdev *v, uint64_t addr, bool write)
{
	struct dsa_hw_desc desc = dsa_desc_move(&v->mem, 0, SRC, DST, 64);

	if (write)
		desc.dst_addr = addr;
	else
		desc.src_addr = addr;
	return dsa_run(&v->dsa, &v->mem, &desc);
}

static int copy(struct test_vdev *v, uint32_t seed)
{
	struct dsa_hw_desc desc = dsa_desc_move(&v->mem, 0, SRC, DST, 4096);
	int ret;

	dsa_fill(v->mem.va + SRC, 4096, seed);
	ret = dsa_run(&v->dsa, &v->mem, &desc);
	return ret != DSA_COMP_SUCCESS || dsa_check(v->mem.va + DST, 4096, seed) < 0 ? ret : -EIO;
}

static long long total_of(struct test_vdev *v)
{
	return sysfs_read_num(MDEV_DEVICES "/%s/pasid/faults", v->uuid);
}

TEST_F(faults, region)
{
	struct test_vdev *v = &self->v[0];
	struct vfio_device_info info;
	struct vfio_irq_info irq;
	struct vdev_faults faults;
	struct vdev_region region;
	uint64_t count = ~0ull;

	ASSERT_EQ(0, vdev_info(v->fd, &info));
	ASSERT_EQ(0, vdev_fault_region(v->fd, &region));
	EXPECT_EQ(VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_CAPS, region.flags);
	ASSERT_EQ(0, vdev_read_faults(v->fd, &faults));
	EXPECT_EQ(0, faults.header.count);
	EXPECT_LE(1, faults.header.slots);
	EXPECT_EQ(region.size, faults.header.offset +
			       faults.header.slots * faults.header.slot_size);

	/* In parts, up to its end and not beyond; it cannot be written or mapped */
	EXPECT_EQ(0, vdev_read(v->fd, &region, offsetof(struct mdev_pasid_fault_header, count),
			       &count, sizeof(count)));
	EXPECT_EQ(0, count);
	EXPECT_EQ(0, vdev_read(v->fd, &region, region.size - 1, &count, 1));
	EXPECT_EQ(-EINVAL, vdev_read(v->fd, &region, region.size - 1, &count, 2));
	EXPECT_EQ(-EINVAL, vdev_read(v->fd, &region, region.size, &count, 1));
	EXPECT_EQ(-EINVAL, vdev_write(v->fd, &region, 0, &count, sizeof(count)));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, v->fd, region.offset));
	EXPECT_EQ(-1, pread(v->fd, NULL, 8, region.offset));
	EXPECT_EQ(EFAULT, errno);

	ASSERT_EQ(0, vdev_irq_info(v->fd, VFIO_MDEV_PASID_FAULT_IRQ_INDEX, &irq));
	EXPECT_EQ(1, irq.count);
	EXPECT_EQ(VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, irq.flags);
}

/* One at a time: its PASID, its address, and what it wanted there. */
TEST_F(faults, told)
{
	struct test_vdev *v = &self->v[0];
	const struct mdev_pasid_fault *f;
	struct vdev_faults faults;
	uint64_t addr;
	int i;

	for (i = 0; i < 40; i++) {
		bool write = i & 1;

		addr = HOLE + i * 0x1000;
		EXPECT_EQ(DSA_COMP_PAGE_FAULT_NOBOF | (write ? DSA_COMP_STATUS_WRITE : 0),
			  fault(v, addr, write));
		ASSERT_LT(0, eventfd_wait(self->event[0], 10000));
		ASSERT_EQ(0, vdev_read_faults(v->fd, &faults));
		ASSERT_EQ(i + 1, faults.header.count);
		f = vdev_fault(&faults, i);
		ASSERT_NE(NULL, f);
		EXPECT_EQ(addr, f->addr & ~0xfffull);
		EXPECT_EQ(vdev_pasid(v->uuid), f->pasid);
		EXPECT_EQ(write ? MDEV_PASID_FAULT_WRITE : 0, f->flags);
	}
	/* The older ones are there, too, as many as there are slots */
	f = vdev_fault(&faults, i - faults.header.slots);
	ASSERT_NE(NULL, f);
	EXPECT_EQ(HOLE + (i - faults.header.slots) * 0x1000, f->addr & ~0xfffull);
	EXPECT_EQ(NULL, vdev_fault(&faults, i - faults.header.slots - 1));
	EXPECT_EQ(40, total_of(v));

	/* The other has heard nothing of it */
	EXPECT_EQ(0, vdev_fault_count(self->v[1].fd));
	EXPECT_EQ(0, total_of(&self->v[1]));
	EXPECT_EQ(0, eventfd_wait(self->event[1], 0));
	EXPECT_EQ(DSA_COMP_SUCCESS, copy(v, 1));
	EXPECT_EQ(0, eventfd_wait(self->event[0], 0));
}

/* The next user of the vdev */
static int again(struct test_vdev *v)
{
	dsa_unmap(&v->dsa);
	close(v->fd);
	dsa_mem_free(&v->mem);
	v->fd = vdev_open(v->uuid);
	return vdev_bind(v->fd, v->iommufd, &v->devid) ?: dsa_init(&v->dsa, v->fd);
}

static int start(struct test_vdev *v)
{
	return test_vdev_attach(v, MEM_SIZE) ?: dsa_start(&v->dsa);
}

static bool counts(struct test_vdev *v, uint64_t nr)
{
	unsigned int i;

	for (i = 0; i < 1000 && vdev_fault_count(v->fd) != nr; i++)
		usleep(10000);
	return vdev_fault_count(v->fd) == nr;
}

/* What the last user has done is not the next one's business, but the administrator's. */
TEST_F(faults, next_user)
{
	struct test_vdev *v = &self->v[0];
	struct vdev_faults faults;
	unsigned int i;

	fault(v, HOLE, false);
	ASSERT_LT(0, eventfd_wait(self->event[0], 10000));
	ASSERT_EQ(0, again(v));
	ASSERT_EQ(0, vdev_read_faults(v->fd, &faults));
	EXPECT_EQ(0, faults.header.count);
	for (i = 0; i < faults.header.slots; i++)
		EXPECT_EQ(0, faults.slots[i].addr | faults.slots[i].pasid |
			     faults.slots[i].flags);
	EXPECT_EQ(1, total_of(v));
	ASSERT_EQ(0, start(v));
	/* Without an eventfd it is counted all the same */
	fault(v, HOLE, false);
	EXPECT_TRUE(counts(v, 1));
	EXPECT_EQ(2, total_of(v));
	EXPECT_EQ(0, eventfd_wait(self->event[0], 0));
}

/* One makes as many faults as it can; the other works, and the log is silent. */
TEST_F(faults, storm)
{
	struct test_vdev *v = &self->v[0], *w = &self->v[1];
	/* Who has something to say about it: the core, idxd and its driver, the IOMMU */
	const char *const about[] = { v->uuid, w->uuid, self->pool.parent, "DMAR" };
	int i, log = log_open();
	unsigned int lines;

	ASSERT_LE(0, log);
	for (i = 0; i < STORM; i++) {
		EXPECT_EQ(DSA_COMP_PAGE_FAULT_NOBOF, fault(v, HOLE + i * 0x1000ull, false));
		ASSERT_EQ(DSA_COMP_SUCCESS, copy(w, i));
	}
	ASSERT_LT(0, eventfd_wait(self->event[0], 10000));
	/* An IOMMU may lose faults that come faster than it can record them */
	EXPECT_LT(STORM / 10, vdev_fault_count(v->fd));
	EXPECT_GE(STORM, vdev_fault_count(v->fd));
	EXPECT_EQ(vdev_fault_count(v->fd), total_of(v));
	EXPECT_EQ(0, vdev_fault_count(w->fd));
	EXPECT_EQ(0, total_of(w));
	EXPECT_EQ(0, eventfd_wait(self->event[1], 0));

	lines = log_lines(log, about, 4);
	close(log);
	EXPECT_GE(1, lines);
	TH_LOG("%lld of %d faults counted, %u lines in the log", vdev_fault_count(v->fd), STORM,
	       lines);
}

/* Each new user has a line; many of them do not take that of another vdev. */
TEST_F(faults, line_of_others)
{
	struct test_vdev *v = &self->v[0], *w = &self->v[1];
	int i, log = log_open();

	ASSERT_LE(0, log);
	for (i = 0; i < 15; i++) {
		ASSERT_EQ(0, again(v));
		ASSERT_EQ(0, start(v));
		fault(v, HOLE, false);
		ASSERT_TRUE(counts(v, 1));
	}
	fault(w, HOLE, false);
	ASSERT_LT(0, eventfd_wait(self->event[1], 10000));
	/* The eventfd is signalled before the line is written */
	EXPECT_TRUE(log_wait(log, w->uuid));
	close(log);
}

static atomic_bool done;

static void *fault_on(void *arg)
{
	struct test_vdev *v = arg;
	unsigned int i;

	for (i = 0; !done; i++) {
		struct dsa_hw_desc desc = dsa_desc_move(&v->mem, 0, SRC, DST, 64);

		desc.src_addr = HOLE + i * 0x1000ull;
		vdev_write(v->fd, &v->dsa.portals, 0, &desc, sizeof(desc));
	}
	return NULL;
}

/* Faults come while the PASID is attached, moved and detached. */
TEST_F(faults, in_transition)
{
	struct test_vdev *v = &self->v[0];
	pthread_t faulter;
	uint32_t ioas2, pt;
	int i;

	ASSERT_EQ(0, ioas_alloc(v->iommufd, &ioas2));
	ASSERT_EQ(0, pthread_create(&faulter, NULL, fault_on, v));
	for (i = 0; i < 50; i++) {
		pt = i & 1 ? ioas2 : v->ioas;
		ASSERT_EQ(0, vdev_attach(v->fd, &pt));
		if (i % 5 == 4)
			ASSERT_EQ(0, vdev_detach(v->fd));
	}
	done = true;
	pthread_join(faulter, NULL);
	EXPECT_LT(0, vdev_fault_count(v->fd));
	EXPECT_EQ(0, vdev_fault_count(self->v[1].fd));
}

TEST_HARNESS_MAIN
