// SPDX-License-Identifier: GPL-2.0-only
/*
 * A user of a vdev who wants out: what is tried, and what stops it. dsa_isolation has
 * the plain cases (addresses that are not mapped, no translation at all), dsa_irq the
 * interrupt handles, vdev_access the pages that cannot be mapped.
 */
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "vdev_harness.h"

#define MEM_SIZE	(1 << 20)
#define SRC		0x10000
#define DST		0x80000
#define LIST		0x20000
#define HOLE		(TEST_IOVA + 0x40000000)

FIXTURE(attack) {
	struct dsa_pool pool;
	struct test_vdev v;
	struct dsa *dsa;
	struct dsa_mem *mem;
};

FIXTURE_VARIANT(attack) {
	bool direct;
};

FIXTURE_VARIANT_ADD(attack, direct) { .direct = true };
FIXTURE_VARIANT_ADD(attack, mediated) { };

FIXTURE_SETUP(attack)
{
	TEST_START(self, variant->direct, PORTAL_LIMITED, MEM_SIZE);
}

FIXTURE_TEARDOWN(attack)
{
	EXPECT_EQ(0, thaw_load());
	if (self->v.uuid[0])
		EXPECT_EQ(0, test_vdev_down(&self->v));
}

/* The victim, on the next WQ: the same IOVA, and a pattern everywhere. */
static int victim_up(struct test_vdev *w, const struct dsa_pool *pool)
{
	int ret = test_vdev_up(w, pool, STARTED, MEM_SIZE);

	if (!ret)
		memset(w->mem.va, 0x3c, MEM_SIZE);
	return ret;
}

static bool unharmed(const struct test_vdev *w)
{
	return is_all(w->mem.va, MEM_SIZE, 0x3c);
}

/* As submit_faults(), also where nothing is mapped any more */
static bool store_faults(struct dsa *dsa, const struct dsa_hw_desc *desc)
{
	struct sigaction sa = { .sa_handler = test_on_sigbus }, old;
	bool fault;

	sigaction(SIGSEGV, &sa, &old);
	fault = submit_faults(dsa, desc);
	sigaction(SIGSEGV, &old, NULL);
	return fault;
}

/*
 * Tried: every PASID there may be around, and privilege, in a descriptor and in those of
 * a batch, which the kernel never sees. Stopped by: the WQ is dedicated, so the device
 * takes PASID and privilege from WQCFG, which is the host's.
 */
TEST_F(attack, pasid_in_descriptor)
{
	struct dsa_hw_desc *list = (void *)(self->mem->va + LIST), desc;
	struct test_vdev w;
	long long pasid, victim;
	unsigned int i;
	int ret;

	ASSERT_EQ(0, victim_up(&w, &self->pool));
	victim = vdev_pasid(w.uuid);
	ASSERT_LT(0, victim);
	for (pasid = 0; pasid < victim + 4; pasid++) {
		desc = dsa_desc_move(self->mem, 0, SRC, DST, 64);
		desc.pasid = pasid;
		desc.priv = pasid & 1;
		dsa_fill(self->mem->va + SRC, 64, pasid);
		memset(self->mem->va + DST, 0, 128);
		ret = dsa_run(self->dsa, self->mem, &desc);
		/* It was the attacker's own data, or nothing at all */
		if (!variant->direct || !desc.priv || ret != DSA_COMP_PRIV_BAD) {
			EXPECT_EQ(DSA_COMP_SUCCESS, ret);
			EXPECT_EQ(-1, dsa_check(self->mem->va + DST, 64, pasid));
		}
		EXPECT_TRUE(unharmed(&w));
		if (!variant->direct)
			continue;

		for (i = 0; i < 2; i++) {
			list[i] = dsa_desc_move(self->mem, 1 + i, SRC, DST + 64, 64);
			list[i].pasid = pasid;
			list[i].priv = i;
		}
		desc = dsa_desc(self->mem, 0, DSA_OPCODE_BATCH);
		desc.desc_list_addr = self->mem->iova + LIST;
		desc.desc_count = 2;
		ret = dsa_run(self->dsa, self->mem, &desc);
		EXPECT_TRUE(ret == DSA_COMP_SUCCESS || ret == DSA_COMP_BATCH_FAIL);
		EXPECT_EQ(DSA_COMP_SUCCESS, dsa_cr(self->mem, 1)->status);
		ret = dsa_cr(self->mem, 2)->status;
		EXPECT_TRUE(ret == DSA_COMP_SUCCESS || ret == DSA_COMP_PRIV_BAD);
		EXPECT_EQ(-1, dsa_check(self->mem->va + DST + 64, 64, pasid));
		EXPECT_TRUE(unharmed(&w));
	}
	EXPECT_EQ(0, test_vdev_down(&w));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(self->dsa, self->mem, 1));
}

/*
 * Tried: a batch whose list, or whose descriptors, are outside of the IOAS, at an address
 * that the victim has mapped. Stopped by: the device reads the list with the PASID of
 * the WQ, and runs what is in it with that as well; the IOMMU refuses both.
 */
TEST_F(attack, batch_out_of_ioas)
{
	struct dsa_hw_desc *list = (void *)(self->mem->va + LIST), desc;
	struct dsa_mem extra;
	struct test_vdev w;

	if (!variant->direct)
		SKIP(return, "there is no BATCH through the mediated portal");
	ASSERT_EQ(0, victim_up(&w, &self->pool));
	ASSERT_EQ(0, dsa_mem_alloc(&extra, w.iommufd, w.ioas, HOLE, 4096));

	/* A list that would be executed if it could be read */
	list = (void *)extra.va;
	list[0] = dsa_desc_move(self->mem, 1, SRC, DST, 64);
	list[1] = dsa_desc_move(self->mem, 2, SRC, DST, 64);
	memset(self->mem->va + SRC, 0xaa, 64);
	memset(self->mem->va + DST, 0x55, 64);
	desc = dsa_desc(self->mem, 0, DSA_OPCODE_BATCH);
	desc.desc_list_addr = HOLE;
	desc.desc_count = 2;
	EXPECT_EQ(DSA_COMP_BATCH_PAGE_FAULT, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(HOLE, dsa_cr(self->mem, 0)->fault_addr & ~0xfffull);
	EXPECT_EQ(0, dsa_cr(self->mem, 1)->status);
	EXPECT_TRUE(is_all(self->mem->va + DST, 64, 0x55));

	/* A list that runs out of what is mapped */
	list = (void *)(self->mem->va + MEM_SIZE - sizeof(desc));
	list[0] = dsa_desc_move(self->mem, 1, SRC, DST, 64);
	desc = dsa_desc(self->mem, 0, DSA_OPCODE_BATCH);
	desc.desc_list_addr = self->mem->iova + MEM_SIZE - sizeof(desc);
	desc.desc_count = 2;
	EXPECT_EQ(DSA_COMP_BATCH_PAGE_FAULT, dsa_run(self->dsa, self->mem, &desc));

	/* Descriptors that read and write the victim's extra page */
	memset(extra.va, 0x11, 4096);
	list = (void *)(self->mem->va + LIST);
	list[0] = dsa_desc_move(self->mem, 1, SRC, DST, 64);
	list[0].dst_addr = HOLE;
	list[1] = dsa_desc_move(self->mem, 2, SRC, DST, 64);
	list[1].src_addr = HOLE;
	desc = dsa_desc(self->mem, 0, DSA_OPCODE_BATCH);
	desc.desc_list_addr = self->mem->iova + LIST;
	desc.desc_count = 2;
	memset(self->mem->va + DST, 0x55, 64);
	EXPECT_EQ(DSA_COMP_BATCH_FAIL, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_STATUS_WRITE,
		  dsa_cr(self->mem, 1)->status);
	EXPECT_EQ(DSA_COMP_PAGE_FAULT_NOBOF, dsa_cr(self->mem, 2)->status);
	EXPECT_TRUE(is_all(extra.va, 4096, 0x11));
	EXPECT_TRUE(is_all(self->mem->va + DST, 64, 0x55));
	EXPECT_TRUE(unharmed(&w));
	dsa_mem_free(&extra);
	EXPECT_EQ(0, test_vdev_down(&w));
}

/*
 * Tried: handles of others in the descriptors of a batch. Stopped by: the device compares
 * the PASID with that in the permission entry of the vector.
 */
TEST_F(attack, handle_in_batch)
{
	struct dsa_hw_desc *list = (void *)(self->mem->va + LIST), desc;
	int32_t efd = eventfd(0, EFD_CLOEXEC);
	struct test_vdev w;
	int i;

	if (!variant->direct)
		SKIP(return, "there is no BATCH through the mediated portal");
	ASSERT_EQ(0, victim_up(&w, &self->pool));
	ASSERT_EQ(0, vdev_irq_eventfds(w.fd, VFIO_PCI_MSIX_IRQ_INDEX, 1, 1, &efd));
	ASSERT_EQ(0, dsa_request_int_handle(&w.dsa));
	for (i = 0; i < 2; i++) {
		list[i] = dsa_desc(self->mem, 1 + i, DSA_OPCODE_NOOP);
		list[i].flags |= IDXD_OP_FLAG_RCI;
		list[i].int_handle = i ? 0 : w.dsa.int_handle;
	}
	desc = dsa_desc(self->mem, 0, DSA_OPCODE_BATCH);
	desc.desc_list_addr = self->mem->iova + LIST;
	desc.desc_count = 2;
	EXPECT_EQ(DSA_COMP_BATCH_FAIL, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(DSA_COMP_INT_HANDLE_INVAL, dsa_cr(self->mem, 1)->status);
	EXPECT_EQ(DSA_COMP_INT_HANDLE_INVAL, dsa_cr(self->mem, 2)->status);
	EXPECT_EQ(0, eventfd_wait(efd, 200));
	EXPECT_EQ(0, test_vdev_down(&w));
}

/*
 * Tried: a completion record where the message of an interrupt would go. Stopped by: with
 * a PASID that is an address like any other, and not mapped.
 */
TEST_F(attack, record_as_interrupt)
{
	struct dsa_hw_desc desc;
	int32_t efd = eventfd(0, EFD_CLOEXEC);
	struct test_vdev w;

	ASSERT_EQ(0, victim_up(&w, &self->pool));
	ASSERT_EQ(0, vdev_irq_eventfds(w.fd, VFIO_PCI_MSIX_IRQ_INDEX, 1, 1, &efd));
	desc = dsa_desc(self->mem, 0, DSA_OPCODE_NOOP);
	desc.completion_addr = 0xfee00000;
	EXPECT_EQ(0, dsa_submit(self->dsa, &desc));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(self->dsa, self->mem, 2));
	EXPECT_EQ(DSA_COMP_CRA_XLAT, SWERR_ERROR(dsa_wait_swerr(self->dsa)));
	EXPECT_EQ(0, eventfd_wait(efd, 200));
	EXPECT_EQ(0, test_vdev_down(&w));
}

/*
 * Tried: file offsets that might lead to another WQ's portal or wrap around, and growing
 * a mapping over its end. Stopped by: only the two portal pages of BAR2 can be mapped, as
 * a whole or one of them, and a mapping does not grow or move to another offset.
 */
TEST_F(attack, mmap_offsets)
{
	const uint64_t base = self->dsa->portals.offset;
	struct dsa_hw_desc desc;
	struct test_vdev w;
	unsigned int k;
	void *va;

	ASSERT_EQ(0, victim_up(&w, &self->pool));
	for (k = 2; k < 0x400; k++) {
		va = mmap(NULL, 0x1000, PROT_WRITE, MAP_SHARED, self->v.fd, base + k * 0x1000ull);
		ASSERT_EQ(MAP_FAILED, va);
		/* Below: the end of BAR1 */
		va = mmap(NULL, 0x1000, PROT_WRITE, MAP_SHARED, self->v.fd, base - k * 0x1000ull);
		ASSERT_EQ(MAP_FAILED, va);
	}
	for (k = 12; k < 63; k++) {
		uint64_t off = (base + 0x1000) ^ (1ull << k);

		if (off == base)
			continue;
		va = mmap(NULL, 0x1000, PROT_WRITE, MAP_SHARED, self->v.fd, off);
		ASSERT_EQ(MAP_FAILED, va) {
			TH_LOG("offset 0x%llx", (unsigned long long)off);
		}
	}
	va = mmap(NULL, 0x1000, PROT_WRITE, MAP_SHARED, self->v.fd, base + 0x1000);
	if (!variant->direct) {
		ASSERT_EQ(MAP_FAILED, va);
	} else {
		void *portal = self->dsa->portal, *moved;
		uint32_t pt = self->v.ioas;

		ASSERT_NE(MAP_FAILED, va);
		EXPECT_EQ(MAP_FAILED, mremap(va, 0x1000, 0x3000, MREMAP_MAYMOVE));
		EXPECT_EQ(MAP_FAILED, mremap(va, 0, 0x3000, MREMAP_MAYMOVE));
		/* Four pages on the PF has the portal of the next WQ, which is the victim's */
		EXPECT_EQ(-1, remap_file_pages(va, 0x1000, 0, (base >> 12) + 4, 0));
		/* It is still what it was, if anything */
		desc = dsa_desc_move(self->mem, 0, SRC, DST, 64);
		self->dsa->portal = va;
		if (!store_faults(self->dsa, &desc))
			EXPECT_EQ(DSA_COMP_SUCCESS, dsa_wait(dsa_cr(self->mem, 0), 60000));
		self->dsa->portal = portal;
		munmap(va, 0x1000);

		/* What has moved is taken away with the rest */
		va = mmap(NULL, 0x1000, PROT_WRITE, MAP_SHARED, self->v.fd, base + 0x1000);
		ASSERT_NE(MAP_FAILED, va);
		moved = mmap(NULL, 0x1000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ASSERT_EQ(moved, mremap(va, 0x1000, 0x1000, MREMAP_MAYMOVE | MREMAP_FIXED,
					moved));
		self->dsa->portal = moved;
		EXPECT_FALSE(submit_faults(self->dsa, &desc));
		EXPECT_EQ(0, vdev_detach(self->v.fd));
		EXPECT_TRUE(submit_faults(self->dsa, &desc));
		self->dsa->portal = portal;
		EXPECT_EQ(0, vdev_attach(self->v.fd, &pt));
		munmap(moved, 0x1000);
	}
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(self->dsa, self->mem, 3));
	EXPECT_TRUE(unharmed(&w));
	EXPECT_EQ(0, test_vdev_down(&w));
}

/*
 * Tried: a portal page as memory of an IOAS, so that the DMA of one vdev submits to
 * another. Stopped by: iommufd pins pages, and a portal has none.
 */
TEST_F(attack, portal_as_memory)
{
	struct test_vdev w;

	if (!variant->direct)
		SKIP(return, "there is nothing to map");
	ASSERT_EQ(0, victim_up(&w, &self->pool));
	ASSERT_EQ(0, dsa_map(&w.dsa, PORTAL_LIMITED));
	EXPECT_GT(0, ioas_map(self->v.iommufd, self->v.ioas, w.dsa.portal, 0x1000, HOLE,
			      IOAS_RW));
	EXPECT_GT(0, ioas_map(self->v.iommufd, self->v.ioas, self->dsa->portal, 0x1000, HOLE,
			      IOAS_RW));
	EXPECT_EQ(0, test_vdev_down(&w));
}

/* A process that has inherited a portal and submits whenever it is told to. */
struct heir {
	pid_t pid;
	int ask[2], answer[2];
};

static void heir_start(struct heir *h, struct dsa *dsa, const struct dsa_hw_desc *desc)
{
	char c;

	if (pipe(h->ask) || pipe(h->answer))
		exit(1);
	h->pid = fork();
	if (h->pid)
		return;
	/* The mapping alone is what it keeps. */
	close(dsa->fd);
	while (read(h->ask[0], &c, 1) == 1 && c == 's') {
		c = submit_faults(dsa, desc);
		if (write(h->answer[1], &c, 1) != 1)
			break;
	}
	_exit(0);
}

/* 1: the page could not be touched. 0: the store was done. */
static int heir_submits(struct heir *h)
{
	char c = -1;

	if (write(h->ask[1], "s", 1) != 1 || read(h->answer[0], &c, 1) != 1)
		return -1;
	return c;
}

static void heir_end(struct heir *h)
{
	if (write(h->ask[1], "q", 1) != 1)
		kill(h->pid, SIGKILL);
	waitpid(h->pid, NULL, 0);
}

/*
 * Tried: a portal that another process keeps mapped after detach, reset, close and after
 * the WQ was given to the next user. Stopped by: the pages are taken out of all
 * address spaces before the WQ loses its PASID, and only the vdev's own state brings
 * them back; a mapping holds the vdev open, so that nobody can be given its place.
 */
TEST_F(attack, inherited_portal)
{
	struct dsa_hw_desc desc = dsa_desc_move(self->mem, 0, SRC, DST, 4096);
	char name[32], now[32];
	struct test_vdev w;
	struct heir heir;
	uint32_t pt = self->v.ioas;
	pid_t remover;
	int i, status;

	if (!variant->direct)
		SKIP(return, "there is nothing to inherit");
	heir_start(&heir, self->dsa, &desc);
	EXPECT_EQ(0, heir_submits(&heir));
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_wait(dsa_cr(self->mem, 0), 5000));

	memset(self->mem->va, 0x77, MEM_SIZE);
	ASSERT_EQ(0, vdev_detach(self->v.fd));
	EXPECT_EQ(1, heir_submits(&heir));
	ASSERT_EQ(0, vdev_attach(self->v.fd, &pt));
	ASSERT_EQ(0, vdev_reset(self->v.fd));
	EXPECT_EQ(1, heir_submits(&heir));
	/* Attached, but the WQ is off: the store goes nowhere */
	ASSERT_EQ(0, dsa_set_command(self->dsa, PCI_COMMAND_MEMORY));
	EXPECT_EQ(0, heir_submits(&heir));
	usleep(100000);
	EXPECT_TRUE(is_all(self->mem->va, MEM_SIZE, 0x77));

	/* The WQ goes to somebody else, with the same IOVA. */
	ASSERT_GT(sysfs_read(name, sizeof(name), MDEV_DEVICES "/%s/dsa/wq", self->v.uuid), 0);
	ASSERT_EQ(0, dsa_wq_disable(&self->pool, atoi(strchr(name, '.') + 1), DSA_WQ_DRIVER));
	ASSERT_EQ(0, dsa_pool_get(&self->pool, 2));
	ASSERT_EQ(0, victim_up(&w, &self->pool));
	ASSERT_GT(sysfs_read(now, sizeof(now), MDEV_DEVICES "/%s/dsa/wq", w.uuid), 0);
	ASSERT_STREQ(name, now);
	EXPECT_EQ(0, heir_submits(&heir));
	dsa_unmap(self->dsa);
	close(self->v.fd);
	self->v.fd = -1;
	EXPECT_EQ(0, heir_submits(&heir));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&w.dsa, &w.mem, 5));
	memset(w.mem.va, 0x3c, MEM_SIZE);
	EXPECT_EQ(0, heir_submits(&heir));
	usleep(200000);
	EXPECT_TRUE(unharmed(&w));
	EXPECT_TRUE(vdev_state_is(self->v.uuid, "attached"));

	/* To remove it takes until nobody has the portal mapped. */
	remover = fork();
	if (!remover)
		_exit(!!vdev_remove(self->v.uuid));
	for (i = 0; i < 6000 && path_exists(MDEV_DEVICES "/%s/remove", self->v.uuid); i++)
		usleep(10000);
	EXPECT_LT(i, 6000);
	usleep(500000);
	EXPECT_EQ(0, waitpid(remover, &status, WNOHANG));
	EXPECT_EQ(0, heir_submits(&heir));
	usleep(200000);
	EXPECT_TRUE(unharmed(&w));
	heir_end(&heir);
	for (i = 0; i < 6000 && !waitpid(remover, &status, WNOHANG); i++)
		usleep(10000);
	ASSERT_LT(i, 6000);
	EXPECT_EQ(0, status);
	EXPECT_FALSE(path_exists(MDEV_DEVICES "/%s", self->v.uuid));
	self->v.uuid[0] = '\0';
	EXPECT_EQ(0, test_vdev_down(&w));
}

/*
 * Tried: memory that is unmapped while descriptors write to it, and then used for something
 * else. Stopped by: when IOMMU_IOAS_UNMAP returns the IOTLB is invalidated and DMA that
 * had been translated has ended.
 */
TEST_F(attack, unmap_in_flight)
{
	int round;

	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, freeze_load(self->dsa, self->mem));
		ASSERT_EQ(0, ioas_unmap(self->v.iommufd, self->v.ioas, TEST_IOVA, MEM_SIZE));
		mark_load(self->mem);
		ASSERT_EQ(0, thaw_load());
		ASSERT_EQ(0, dsa_cmd(self->dsa, CMD_DRAIN_ALL, 0));
		EXPECT_TRUE(load_stored_nothing(self->mem));
		/* They were executed, and could not even say how they ended */
		EXPECT_EQ(DSA_COMP_CRA_XLAT, SWERR_ERROR(dsa_wait_swerr(self->dsa)));
		ASSERT_EQ(0, dsa_write32(self->dsa, DSA_SWERR, SWERR_VALID | SWERR_OVERFLOW));
		ASSERT_EQ(0, ioas_map(self->v.iommufd, self->v.ioas, self->mem->va, MEM_SIZE,
				      TEST_IOVA, IOAS_RW));
	}
}

/*
 * Tried: descriptors in flight when their user goes, in the hope that they reach whoever
 * has the WQ and the PASID next. Stopped by: the WQ is aborted and disabled before the
 * PASID loses its page table, and long before it is free.
 */
TEST_F(attack, pasid_reuse)
{
	struct test_vdev w;
	long long pasid;
	int round;

	/* The PASIDs of this one and the next are taken; those below them, too */
	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, test_vdev_up(&w, &self->pool, STARTED, MEM_SIZE));
		pasid = vdev_pasid(w.uuid);
		ASSERT_LT(0, pasid);
		ASSERT_EQ(0, freeze_load(&w.dsa, &w.mem));
		EXPECT_EQ(0, test_vdev_down(&w));

		ASSERT_EQ(0, victim_up(&w, &self->pool));
		/* Else this shows nothing */
		EXPECT_EQ(pasid, vdev_pasid(w.uuid));
		ASSERT_EQ(0, thaw_load());
		EXPECT_EQ(0, dsa_cmd(&w.dsa, CMD_DRAIN_ALL, 0));
		EXPECT_TRUE(unharmed(&w));
		EXPECT_EQ(0, test_vdev_down(&w));
	}
}

TEST_HARNESS_MAIN
