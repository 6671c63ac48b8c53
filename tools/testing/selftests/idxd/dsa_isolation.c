// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vdev reaches the memory that it was given and no other: the same IOVA in two
 * vdevs, addresses that are not mapped, and every moment without a translation.
 */
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "vdev_harness.h"

#define MEM_SIZE	(1 << 20)
#define SRC		0x10000
#define DST		0x80000
#define HOLE		(TEST_IOVA + 0x40000000)

FIXTURE(iso) {
	struct dsa_pool pool;
	struct test_vdev v;
	struct dsa *dsa;
	struct dsa_mem *mem;
};

FIXTURE_VARIANT(iso) {
	bool direct;
};

FIXTURE_VARIANT_ADD(iso, direct) { .direct = true };
FIXTURE_VARIANT_ADD(iso, mediated) { };

FIXTURE_SETUP(iso)
{
	TEST_START(self, variant->direct, PORTAL_LIMITED, MEM_SIZE);
}

FIXTURE_TEARDOWN(iso)
{
	EXPECT_EQ(0, thaw_load());
	EXPECT_EQ(0, test_vdev_down(&self->v));
}

/* Two vdevs, the same IOVAs, other memory, both at once. */
TEST_F(iso, same_iova)
{
	const uint32_t len = 50001;
	struct test_vdev w;
	int i, round;

	ASSERT_EQ(0, test_vdev_up(&w, &self->pool, STARTED, MEM_SIZE));
	if (variant->direct)
		ASSERT_EQ(0, dsa_map(&w.dsa, PORTAL_LIMITED));
	ASSERT_EQ(self->mem->iova, w.mem.iova);
	for (round = 0; round < 10; round++) {
		dsa_fill(self->mem->va + SRC, len, 2 * round);
		dsa_fill(w.mem.va + SRC, len, 2 * round + 1);
		memset(self->mem->va + DST, 0, len);
		memset(w.mem.va + DST, 0, len);
		for (i = 0; i < 4; i++) {
			struct dsa_hw_desc a = dsa_desc_move(self->mem, i, SRC, DST, len);
			struct dsa_hw_desc b = dsa_desc_move(&w.mem, i, SRC, DST, len);

			ASSERT_EQ(0, dsa_submit(self->dsa, &a));
			ASSERT_EQ(0, dsa_submit(&w.dsa, &b));
		}
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(DSA_COMP_SUCCESS, dsa_wait(dsa_cr(self->mem, i), 10000));
			ASSERT_EQ(DSA_COMP_SUCCESS, dsa_wait(dsa_cr(&w.mem, i), 10000));
		}
		EXPECT_EQ(-1, dsa_check(self->mem->va + DST, len, 2 * round));
		EXPECT_EQ(-1, dsa_check(w.mem.va + DST, len, 2 * round + 1));
	}
	EXPECT_EQ(0, test_vdev_down(&w));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(self->dsa, self->mem, 78));
}

/* What one vdev has mapped is not mapped for the other. */
TEST_F(iso, other_vdevs_iova)
{
	const uint64_t iova = HOLE + 0x10000000;
	struct test_vdev w;
	struct dsa_mem extra;
	struct dsa_hw_desc desc;

	ASSERT_EQ(0, test_vdev_up(&w, &self->pool, STARTED, MEM_SIZE));
	ASSERT_EQ(0, dsa_mem_alloc(&extra, w.iommufd, w.ioas, iova, 4096));
	memset(extra.va, 0x11, 4096);
	desc = dsa_desc_move(self->mem, 0, SRC, DST, 4096);
	desc.dst_addr = iova;
	EXPECT_EQ(DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_STATUS_WRITE,
		  dsa_run(self->dsa, self->mem, &desc));
	EXPECT_TRUE(is_all(extra.va, 4096, 0x11));
	desc = dsa_desc_move(self->mem, 0, SRC, DST, 4096);
	desc.src_addr = iova;
	EXPECT_EQ(DSA_COMP_PAGE_FAULT_NOBOF, dsa_run(self->dsa, self->mem, &desc));
	dsa_mem_free(&extra);
	EXPECT_EQ(0, test_vdev_down(&w));
}

/* An address that is not mapped: the record names it, and that is all. */
TEST_F(iso, unmapped)
{
	struct dsa_completion_record *cr = dsa_cr(self->mem, 0);
	struct dsa_hw_desc desc;

	memset(self->mem->va + DST, 0x55, 9999);
	desc = dsa_desc_move(self->mem, 0, SRC, DST, 9999);
	desc.src_addr = HOLE + 0x123;
	EXPECT_EQ(DSA_COMP_PAGE_FAULT_NOBOF, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(HOLE, cr->fault_addr & ~0xfffull);
	EXPECT_EQ(0, cr->bytes_completed);
	EXPECT_TRUE(is_all(self->mem->va + DST, 9999, 0x55));

	desc = dsa_desc_move(self->mem, 0, SRC, DST, 9999);
	desc.dst_addr = HOLE + 0x5123;
	EXPECT_EQ(DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_STATUS_WRITE,
		  dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(HOLE + 0x5000, cr->fault_addr & ~0xfffull);
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(self->dsa, self->mem, 1));
}

/* Runs off the end of what is mapped: what was before it may be copied. */
TEST_F(iso, past_the_end)
{
	struct dsa_completion_record *cr = dsa_cr(self->mem, 0);
	struct dsa_hw_desc desc = dsa_desc_move(self->mem, 0, SRC, 0, 8192);

	dsa_fill(self->mem->va + SRC, 8192, 3);
	desc.dst_addr = self->mem->iova + MEM_SIZE - 4096;
	EXPECT_EQ(DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_STATUS_WRITE,
		  dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(self->mem->iova + MEM_SIZE, cr->fault_addr & ~0xfffull);
	EXPECT_LE(cr->bytes_completed, 4096);
	EXPECT_EQ(-1, dsa_check(self->mem->va + MEM_SIZE - 4096, cr->bytes_completed, 3));
}

/* Memory that was mapped for reading only cannot be written. */
TEST_F(iso, read_only_memory)
{
	uint8_t *va = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	struct dsa_hw_desc desc;

	ASSERT_NE(MAP_FAILED, (void *)va);
	ASSERT_EQ(0, ioas_map(self->v.iommufd, self->v.ioas, va, 8192, HOLE,
			      IOMMU_IOAS_MAP_READABLE));
	memset(va, 0x66, 8192);
	desc = dsa_desc_move(self->mem, 0, SRC, DST, 8192);
	desc.dst_addr = HOLE;
	EXPECT_EQ(DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_STATUS_WRITE,
		  dsa_run(self->dsa, self->mem, &desc));
	EXPECT_TRUE(is_all(va, 8192, 0x66));
	desc = dsa_desc_move(self->mem, 0, SRC, DST, 8192);
	desc.src_addr = HOLE;
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_TRUE(is_all(self->mem->va + DST, 8192, 0x66));
}

/* A completion record where another vdev has memory: it is not written, work goes on. */
TEST_F(iso, unmapped_record)
{
	const size_t size = 5 * 0x1000;
	struct dsa_mem extra;
	struct test_vdev w;
	unsigned int i;

	ASSERT_EQ(0, test_vdev_up(&w, &self->pool, STARTED, MEM_SIZE));
	ASSERT_EQ(0, dsa_mem_alloc(&extra, w.iommufd, w.ioas, HOLE, size));
	memset(extra.va, 0x11, size);
	for (i = 0; i < 5; i++) {
		struct dsa_hw_desc desc = dsa_desc(self->mem, 0, DSA_OPCODE_NOOP);

		desc.completion_addr = HOLE + i * 0x1000;
		ASSERT_EQ(0, dsa_submit(self->dsa, &desc));
		EXPECT_EQ(DSA_COMP_CRA_XLAT, SWERR_ERROR(dsa_wait_swerr(self->dsa)));
		EXPECT_EQ(desc.completion_addr,
			  dsa_read64(self->dsa, DSA_SWERR + 16) & ~0xfffull);
		ASSERT_EQ(0, dsa_write32(self->dsa, DSA_SWERR, SWERR_VALID | SWERR_OVERFLOW));
	}
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(self->dsa, self->mem, 2));
	EXPECT_TRUE(is_all(extra.va, size, 0x11));
	EXPECT_EQ(0, dsa_read32(&w.dsa, DSA_SWERR));
	dsa_mem_free(&extra);
	EXPECT_EQ(0, test_vdev_down(&w));
}

/* Write the first 4 bytes of SRC to @addr: the status that the device gives */
static int send_message(struct dsa *dsa, struct dsa_mem *mem, uint64_t addr)
{
	struct dsa_hw_desc desc = dsa_desc_move(mem, 0, SRC, DST, 4);

	desc.dst_addr = addr;
	return dsa_run(dsa, mem, &desc);
}

/*
 * The interrupt range is memory like any other to a PASID: here not mapped, and there
 * mapped. What is written to it is no interrupt.
 */
TEST_F(iso, interrupt_range)
{
	const uint64_t range = 0xfee00000;
	struct test_vdev w, *v[2] = { &self->v, &w };
	struct dsa_hw_desc desc;
	unsigned int i, dest;
	struct dsa_mem page;
	uint32_t *message = (void *)(self->mem->va + SRC);
	int32_t efd[2][2], err[2];

	ASSERT_EQ(0, test_vdev_up(&w, &self->pool, STARTED, MEM_SIZE));
	for (i = 0; i < 2; i++) {
		efd[i][0] = eventfd(0, EFD_CLOEXEC);
		efd[i][1] = eventfd(0, EFD_CLOEXEC);
		err[i] = eventfd(0, EFD_CLOEXEC);
		ASSERT_EQ(0, vdev_irq_eventfds(v[i]->fd, VFIO_PCI_MSIX_IRQ_INDEX, 0, 2, efd[i]));
		ASSERT_EQ(0, vdev_irq_eventfds(v[i]->fd, VFIO_PCI_ERR_IRQ_INDEX, 0, 1, &err[i]));
	}
	for (dest = 0; dest < 4; dest++) {
		*message = 0x4000 | (0x20 + dest * 0x10);
		EXPECT_EQ(DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_STATUS_WRITE,
			  send_message(self->dsa, self->mem, range + (dest << 12)));
	}

	ASSERT_EQ(0, dsa_mem_alloc(&page, self->v.iommufd, self->v.ioas, range, 0x4000));
	memset(page.va, 0x77, 0x4000);
	for (dest = 0; dest < 4; dest++) {
		*message = 0x4000 | (0x20 + dest * 0x10);
		EXPECT_EQ(DSA_COMP_SUCCESS,
			  send_message(self->dsa, self->mem, range + (dest << 12)));
		EXPECT_EQ(0, memcmp(page.va + (dest << 12), message, 4));
		EXPECT_TRUE(is_all(page.va + (dest << 12) + 4, 0x1000 - 4, 0x77));
	}
	/* Nor is a completion record */
	desc = dsa_desc(&page, 0, DSA_OPCODE_NOOP);
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, &page, &desc));

	EXPECT_EQ(0, eventfd_wait(efd[0][0], 200));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, eventfd_wait(efd[i][0], 0));
		EXPECT_EQ(0, eventfd_wait(efd[i][1], 0));
		EXPECT_EQ(0, eventfd_wait(err[i], 0));
	}
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(self->dsa, self->mem, 2));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&w.dsa, &w.mem, 3));
	dsa_mem_free(&page);
	EXPECT_EQ(0, test_vdev_down(&w));
}

/* Before the first attach: the memory is mapped in an IOAS, but not for us. */
TEST_F(iso, before_attach)
{
	struct test_vdev w;
	uint32_t pt;

	ASSERT_EQ(0, test_vdev_up(&w, &self->pool, BOUND, 0));
	ASSERT_EQ(0, ioas_alloc(w.iommufd, &w.ioas));
	ASSERT_EQ(0, dsa_mem_alloc(&w.mem, w.iommufd, w.ioas, TEST_IOVA, MEM_SIZE));
	if (variant->direct)
		ASSERT_EQ(0, dsa_map(&w.dsa, PORTAL_LIMITED));
	EXPECT_TRUE(moves_nothing(&w.dsa, &w.mem));
	/* Not by enabling everything first either. */
	dsa_start(&w.dsa);
	EXPECT_TRUE(moves_nothing(&w.dsa, &w.mem));
	pt = w.ioas;
	ASSERT_EQ(0, vdev_attach(w.fd, &pt));
	/* What was submitted before is not kept for now. */
	EXPECT_TRUE(is_all(w.mem.va + TEST_DST, 4096, 0x55));
	ASSERT_EQ(0, dsa_start(&w.dsa));
	EXPECT_TRUE(is_all(w.mem.va + TEST_DST, 4096, 0x55));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&w.dsa, &w.mem, 1));
	EXPECT_EQ(0, test_vdev_down(&w));
}

/*
 * After a detach no byte moves, and a portal page that was mapped before faults.
 * After the next attach the same mapping works again.
 */
TEST_F(iso, after_detach)
{
	struct dsa_hw_desc desc = dsa_desc(self->mem, 0, DSA_OPCODE_NOOP);
	uint32_t pt;
	int i;

	for (i = 0; i < 3; i++) {
		EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(self->dsa, self->mem, i));
		ASSERT_EQ(0, vdev_detach(self->v.fd));
		EXPECT_TRUE(moves_nothing(self->dsa, self->mem));
		if (variant->direct)
			EXPECT_TRUE(submit_faults(self->dsa, &desc));
		pt = self->v.ioas;
		ASSERT_EQ(0, vdev_attach(self->v.fd, &pt));
		ASSERT_EQ(0, dsa_start(self->dsa));
		EXPECT_TRUE(is_all(self->mem->va + TEST_DST, 4096, 0x55));
	}
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(self->dsa, self->mem, 9));
}

/*
 * Bus mastering off is no DMA, as for any PCI device. A guest can do that, and its
 * stores to the portal must not kill its VMM: they go nowhere.
 */
TEST_F(iso, bus_master_off)
{
	struct dsa_hw_desc desc = dsa_desc(self->mem, 0, DSA_OPCODE_NOOP);

	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(self->dsa, self->mem, 1));
	ASSERT_EQ(0, dsa_set_command(self->dsa, PCI_COMMAND_MEMORY));
	EXPECT_TRUE(moves_nothing(self->dsa, self->mem));
	EXPECT_FALSE(submit_faults(self->dsa, &desc));
	ASSERT_EQ(0, dsa_start(self->dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(self->dsa, self->mem, 3));
	/* Nor with the WQ or the device disabled. */
	ASSERT_EQ(0, dsa_cmd(self->dsa, CMD_DISABLE_WQ, WQ0));
	EXPECT_TRUE(moves_nothing(self->dsa, self->mem));
	EXPECT_FALSE(submit_faults(self->dsa, &desc));
	ASSERT_EQ(0, dsa_cmd(self->dsa, CMD_DISABLE_DEVICE, 0));
	EXPECT_TRUE(moves_nothing(self->dsa, self->mem));
	EXPECT_FALSE(submit_faults(self->dsa, &desc));
	ASSERT_EQ(0, dsa_start(self->dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(self->dsa, self->mem, 2));
}

/* After a reset nothing works until the user has started the device again. */
TEST_F(iso, after_reset)
{
	struct dsa_hw_desc desc = dsa_desc(self->mem, 0, DSA_OPCODE_NOOP);

	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(self->dsa, self->mem, 1));
	ASSERT_EQ(0, vdev_reset(self->v.fd));
	EXPECT_TRUE(moves_nothing(self->dsa, self->mem));
	if (variant->direct)
		EXPECT_TRUE(submit_faults(self->dsa, &desc));
	ASSERT_EQ(0, dsa_start(self->dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(self->dsa, self->mem, 2));
}

/* Detach in the middle of work: it is abandoned, and afterwards nothing moves. */
TEST_F(iso, detach_under_load)
{
	uint32_t pt;
	int round;

	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, freeze_load(self->dsa, self->mem));
		ASSERT_EQ(0, vdev_detach(self->v.fd));
		/* The detach was not one of an idle vdev */
		EXPECT_GT(TEST_LOAD, load_done(self->mem));
		mark_load(self->mem);
		ASSERT_EQ(0, thaw_load());
		usleep(100000);
		EXPECT_TRUE(load_stored_nothing(self->mem));
		pt = self->v.ioas;
		ASSERT_EQ(0, vdev_attach(self->v.fd, &pt));
		ASSERT_EQ(0, dsa_start(self->dsa));
		/* Nor is it taken up again now */
		EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(self->dsa, self->mem, round));
		EXPECT_TRUE(is_all(self->mem->va + MEM_SIZE / 2, MEM_SIZE / 2, 0x99));
	}
}

/* The user is killed in the middle of work; the next one has a quiet device. */
TEST_F(iso, killed_under_load)
{
	struct test_vdev w;
	uint8_t *shared;
	int ready[2];
	char c;
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, vdev_new_uuid(w.uuid));
	ASSERT_EQ(0, vdev_create(self->pool.parent, DSA_TYPE, w.uuid));
	shared = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)shared);
	w.mem = (struct dsa_mem) { shared, TEST_IOVA, MEM_SIZE };

	pid = fork();
	if (!pid) {
		w.fd = vdev_open(w.uuid);
		w.iommufd = iommufd_open();
		if (vdev_bind(w.fd, w.iommufd, &w.devid) || dsa_init(&w.dsa, w.fd) ||
		    ioas_alloc(w.iommufd, &w.ioas) ||
		    ioas_map(w.iommufd, w.ioas, shared, MEM_SIZE, TEST_IOVA, IOAS_RW))
			_exit(1);
		w.hwpt = w.ioas;
		if (vdev_attach(w.fd, &w.hwpt) || dsa_start(&w.dsa) ||
		    freeze_load(&w.dsa, &w.mem))
			_exit(1);
		write(ready[1], "", 1);
		pause();
	}
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &c, 1));
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_TRUE(vdev_state_becomes(w.uuid, "closed"));
	EXPECT_GT(TEST_LOAD, load_done(&w.mem));
	mark_load(&w.mem);
	ASSERT_EQ(0, thaw_load());
	usleep(300000);
	EXPECT_TRUE(load_stored_nothing(&w.mem));
	EXPECT_EQ(0, vdev_remove(w.uuid));
	/* And the WQ works for the next one. */
	ASSERT_EQ(0, test_vdev_up(&w, &self->pool, STARTED, MEM_SIZE));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&w.dsa, &w.mem, 6));
	EXPECT_EQ(0, test_vdev_down(&w));
}

TEST_HARNESS_MAIN
