// SPDX-License-Identifier: GPL-2.0-only
/*
 * The data path of a DSA vdev: each operation, checked byte by byte, through the
 * mapped portal pages and through the mediated portal of an unprivileged user.
 */
#include <pthread.h>

#include "vdev_harness.h"

#define MEM_SIZE	(4 << 20)
#define LIST		0x1000		/* descriptors of a batch */
#define SRC		(1 << 20)
#define DST		(2 << 20)
#define DST2		(3 << 20)
#define GUARD		0x5c

FIXTURE(data) {
	struct dsa_pool pool;
	struct test_vdev v;
	struct dsa *dsa;
	struct dsa_mem *mem;
};

FIXTURE_VARIANT(data) {
	bool direct;
	unsigned int page;
};

FIXTURE_VARIANT_ADD(data, direct) { .direct = true, .page = PORTAL_LIMITED };
FIXTURE_VARIANT_ADD(data, direct_unlimited) { .direct = true, .page = PORTAL_UNLIMITED };
FIXTURE_VARIANT_ADD(data, mediated) { .page = PORTAL_LIMITED };

FIXTURE_SETUP(data)
{
	TEST_START(self, variant->direct, variant->page, MEM_SIZE);
}

FIXTURE_TEARDOWN(data)
{
	EXPECT_EQ(0, test_vdev_down(&self->v));
}

TEST_F(data, noop)
{
	int i;

	for (i = 0; i < 100; i++) {
		struct dsa_hw_desc desc = dsa_desc(self->mem, i, DSA_OPCODE_NOOP);

		ASSERT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
	}
	/* One record each, and no other place was written. */
	EXPECT_TRUE(is_all(self->mem->va + 100 * 32, MEM_SIZE - 100 * 32, 0));
}

/* 64 sizes from 1 byte to 1 MiB, at odd places and across pages. */
TEST_F(data, memmove)
{
	uint8_t *va = self->mem->va;
	uint32_t len = 1;
	int i;

	for (i = 0; i < 64; i++, len += len / 5 + 1) {
		size_t src = SRC + 2 * i + 1, dst = DST + 4096 - (i * 37 & 0xfff) + 1;
		struct dsa_hw_desc desc;

		if (i == 63) {
			len = 1 << 20;
			src = SRC + 1;
			dst = DST + 4099;
		}
		desc = dsa_desc_move(self->mem, i, src, dst, len);
		dsa_fill(va + src, len, i);
		memset(va + dst - 64, GUARD, 64);
		memset(va + dst, 0, len);
		memset(va + dst + len, GUARD, 64);
		ASSERT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc)) {
			TH_LOG("%u bytes from 0x%zx to 0x%zx", len, src, dst);
		}
		ASSERT_EQ(-1, dsa_check(va + dst, len, i)) {
			TH_LOG("byte %ld of %u differs", dsa_check(va + dst, len, i), len);
		}
		EXPECT_EQ(-1, dsa_check(va + src, len, i));
		EXPECT_TRUE(is_all(va + dst - 64, 64, GUARD));
		EXPECT_TRUE(is_all(va + dst + len, 64, GUARD));
	}
}

/* As many copies as the WQ has entries, all at once. */
TEST_F(data, queue_depth)
{
	uint8_t *va = self->mem->va;
	int i, round;

	for (round = 0; round < 8; round++) {
		memset(va + DST, 0, DSA_WQ_SIZE * 8192);
		for (i = 0; i < DSA_WQ_SIZE; i++) {
			struct dsa_hw_desc desc = dsa_desc_move(self->mem, i, SRC + i * 8192,
								DST + i * 8192, 8192);

			dsa_fill(va + SRC + i * 8192, 8192, round * 100 + i);
			ASSERT_EQ(0, dsa_submit(self->dsa, &desc));
		}
		for (i = 0; i < DSA_WQ_SIZE; i++) {
			ASSERT_EQ(DSA_COMP_SUCCESS, dsa_wait(dsa_cr(self->mem, i), 10000));
			EXPECT_EQ(-1, dsa_check(va + DST + i * 8192, 8192, round * 100 + i));
		}
	}
}

/* Source and destination overlap: MEMMOVE means what memmove() means. */
TEST_F(data, memmove_overlap)
{
	uint8_t *va = self->mem->va;
	struct dsa_hw_desc desc;

	TEST_REQUIRE(dsa_read64(self->dsa, DSA_GENCAP) & GENCAP_OVERLAP,
		     "GENCAP says that overlap is not supported");
	dsa_fill(va + SRC, 20000, 1);
	desc = dsa_desc_move(self->mem, 0, SRC, SRC + 100, 20000);
	ASSERT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(-1, dsa_check(va + SRC + 100, 20000, 1));
	dsa_fill(va + SRC + 100, 20000, 2);
	desc = dsa_desc_move(self->mem, 0, SRC + 100, SRC, 20000);
	ASSERT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(-1, dsa_check(va + SRC, 20000, 2));
}

TEST_F(data, memfill)
{
	static const uint32_t sizes[] = { 1, 7, 8, 9, 4095, 4097, 65537 };
	uint8_t *va = self->mem->va, pattern[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	unsigned int i, k;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct dsa_hw_desc desc = dsa_desc(self->mem, 0, DSA_OPCODE_MEMFILL);

		memcpy(&desc.pattern, pattern, 8);
		desc.dst_addr = self->mem->iova + DST + 5;
		desc.xfer_size = sizes[i];
		memset(va + DST, GUARD, sizes[i] + 128);
		ASSERT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
		EXPECT_TRUE(is_all(va + DST, 5, GUARD));
		for (k = 0; k < sizes[i]; k++)
			if (va[DST + 5 + k] != pattern[k % 8])
				break;
		EXPECT_EQ(sizes[i], k);
		EXPECT_TRUE(is_all(va + DST + 5 + sizes[i], 64, GUARD));
	}
}

TEST_F(data, compare)
{
	static const uint32_t differs[] = { 0, 1, 4096, 9998, 9999 };
	uint8_t *va = self->mem->va;
	struct dsa_hw_desc desc;
	unsigned int i;

	dsa_fill(va + SRC + 3, 10000, 1);
	dsa_fill(va + DST + 9, 10000, 1);
	for (i = 0; i <= sizeof(differs) / sizeof(*differs); i++) {
		desc = dsa_desc(self->mem, 0, DSA_OPCODE_COMPARE);
		desc.src_addr = self->mem->iova + SRC + 3;
		desc.src2_addr = self->mem->iova + DST + 9;
		desc.xfer_size = 10000;
		if (i)
			va[DST + 9 + differs[i - 1]] ^= 0x10;
		ASSERT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
		EXPECT_EQ(i ? 1 : 0, dsa_cr(self->mem, 0)->result);
		if (i) {
			EXPECT_EQ(differs[i - 1], dsa_cr(self->mem, 0)->bytes_completed);
			va[DST + 9 + differs[i - 1]] ^= 0x10;
		}
	}
}

TEST_F(data, compare_pattern)
{
	uint8_t *va = self->mem->va;
	struct dsa_hw_desc desc;
	int i;

	for (i = 0; i < 2; i++) {
		desc = dsa_desc(self->mem, 0, DSA_OPCODE_COMPVAL);
		desc.src_addr = self->mem->iova + SRC + 1;
		desc.comp_pattern = 0x4141414141414141ull;
		desc.xfer_size = 5000;
		memset(va + SRC, 0x41, 6000);
		if (i)
			va[SRC + 1 + 4444] = 0;
		ASSERT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
		EXPECT_EQ(i, dsa_cr(self->mem, 0)->result);
	}
}

TEST_F(data, dualcast)
{
	uint8_t *va = self->mem->va;
	struct dsa_hw_desc desc = dsa_desc(self->mem, 0, DSA_OPCODE_DUALCAST);

	desc.src_addr = self->mem->iova + SRC + 1;
	desc.dst_addr = self->mem->iova + DST + 0x123;
	desc.dest2 = self->mem->iova + DST2 + 0x123;
	desc.xfer_size = 30000;
	dsa_fill(va + SRC + 1, 30000, 4);
	ASSERT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(-1, dsa_check(va + DST + 0x123, 30000, 4));
	EXPECT_EQ(-1, dsa_check(va + DST2 + 0x123, 30000, 4));

	/* Bits 11:0 of the two destinations must be the same. */
	desc = dsa_desc(self->mem, 0, DSA_OPCODE_DUALCAST);
	desc.src_addr = self->mem->iova + SRC + 1;
	desc.dst_addr = self->mem->iova + DST + 0x123;
	desc.dest2 = self->mem->iova + DST2 + 0x124;
	desc.xfer_size = 16;
	EXPECT_EQ(DSA_COMP_DCAST_ERR, dsa_run(self->dsa, self->mem, &desc));
}

/* CRC-32C bit by bit, to check against. */
static uint32_t crc32c(const uint8_t *buf, size_t len)
{
	uint32_t crc = ~0u;
	int bit;

	while (len--) {
		crc ^= *buf++;
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

TEST_F(data, crc)
{
	uint8_t *va = self->mem->va;
	struct dsa_hw_desc desc = dsa_desc(self->mem, 0, DSA_OPCODE_CRCGEN);

	/* The check value of CRC-32C. */
	memcpy(va + SRC + 1, "123456789", 9);
	desc.src_addr = self->mem->iova + SRC + 1;
	desc.xfer_size = 9;
	ASSERT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(0xe3069283, (uint32_t)dsa_cr(self->mem, 0)->crc_val);

	desc = dsa_desc(self->mem, 0, DSA_OPCODE_COPY_CRC);
	dsa_fill(va + SRC + 5, 12345, 8);
	desc.src_addr = self->mem->iova + SRC + 5;
	desc.dst_addr = self->mem->iova + DST + 77;
	desc.xfer_size = 12345;
	ASSERT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(crc32c(va + SRC + 5, 12345), (uint32_t)dsa_cr(self->mem, 0)->crc_val);
	EXPECT_EQ(-1, dsa_check(va + DST + 77, 12345, 8));
}

TEST_F(data, cache_flush)
{
	struct dsa_hw_desc desc = dsa_desc(self->mem, 0, DSA_OPCODE_CFLUSH);

	TEST_REQUIRE(dsa_read64(self->dsa, DSA_OPCAP) & 1ull << DSA_OPCODE_CFLUSH,
		     "OPCAP has no cache flush");
	dsa_fill(self->mem->va + DST, 8192, 2);
	desc.dst_addr = self->mem->iova + DST;
	desc.xfer_size = 8192;
	ASSERT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(-1, dsa_check(self->mem->va + DST, 8192, 2));
}

/* A DRAIN descriptor ends after all that was submitted before it. */
TEST_F(data, drain)
{
	struct dsa_hw_desc desc;
	int i;

	for (i = 0; i < 4; i++) {
		desc = dsa_desc_move(self->mem, i, SRC, DST, 1 << 20);
		ASSERT_EQ(0, dsa_submit(self->dsa, &desc));
	}
	desc = dsa_desc(self->mem, 4, DSA_OPCODE_DRAIN);
	desc.flags = IDXD_OP_FLAG_CRAV | IDXD_OP_FLAG_RCR;
	ASSERT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(DSA_COMP_SUCCESS, dsa_cr(self->mem, i)->status);
}

#define BATCH 6

/* @BATCH copies by one descriptor. */
static struct dsa_hw_desc make_batch(struct dsa_mem *mem, int seed)
{
	struct dsa_hw_desc *list = (void *)(mem->va + LIST), desc;
	int i;

	for (i = 0; i < BATCH; i++) {
		list[i] = dsa_desc_move(mem, 1 + i, SRC + i * 5001, DST + i * 5001, 5001);
		dsa_fill(mem->va + SRC + i * 5001, 5001, seed + i);
	}
	memset(mem->va + DST, 0, BATCH * 5001);
	desc = dsa_desc(mem, 0, DSA_OPCODE_BATCH);
	desc.desc_list_addr = mem->iova + LIST;
	desc.desc_count = BATCH;
	return desc;
}

TEST_F(data, batch)
{
	struct dsa_hw_desc *list = (void *)(self->mem->va + LIST), desc;
	uint8_t *va = self->mem->va;
	int i;

	desc = make_batch(self->mem, 20);
	if (!variant->direct) {
		/* A batch would get round the checks of the mediated portal. */
		EXPECT_EQ(DSA_COMP_BAD_OPCODE, dsa_run(self->dsa, self->mem, &desc));
		EXPECT_TRUE(is_all(va + DST, BATCH * 5001, 0));
		for (i = 0; i < BATCH; i++)
			EXPECT_EQ(0, dsa_cr(self->mem, 1 + i)->status);
		return;
	}
	ASSERT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(BATCH, dsa_cr(self->mem, 0)->descs_completed);
	for (i = 0; i < BATCH; i++) {
		EXPECT_EQ(DSA_COMP_SUCCESS, dsa_cr(self->mem, 1 + i)->status);
		EXPECT_EQ(-1, dsa_check(va + DST + i * 5001, 5001, 20 + i));
	}

	/* One that fails, and the batch says so. */
	desc = make_batch(self->mem, 40);
	list[2].opcode = 0x7f;
	EXPECT_EQ(DSA_COMP_BATCH_FAIL, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(DSA_COMP_BAD_OPCODE, dsa_cr(self->mem, 3)->status);
	EXPECT_TRUE(is_all(va + DST + 2 * 5001, 5001, 0));

	/* A batch of one, and one of too many. */
	desc = make_batch(self->mem, 60);
	desc.desc_count = 1;
	EXPECT_EQ(DSA_COMP_DESC_CNT_ERANGE, dsa_run(self->dsa, self->mem, &desc));
	desc = make_batch(self->mem, 60);
	desc.desc_count = (1 << GENCAP_MAX_BATCH(dsa_read64(self->dsa, DSA_GENCAP))) + 1;
	EXPECT_EQ(DSA_COMP_DESC_CNT_ERANGE, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_TRUE(is_all(va + DST, BATCH * 5001, 0));
}

/* What is wrong with a descriptor is told by its record; nothing else happens. */
TEST_F(data, bad_descriptors)
{
	uint64_t opcap[4], gencap = dsa_read64(self->dsa, DSA_GENCAP);
	struct dsa_hw_desc desc;
	uint8_t *va = self->mem->va;
	int i;

	for (i = 0; i < 4; i++)
		opcap[i] = dsa_read64(self->dsa, DSA_OPCAP + i * 8);
	for (i = 0; i < 256; i += 3) {
		if (opcap[i / 64] & 1ull << i % 64)
			continue;
		desc = dsa_desc_move(self->mem, 0, SRC, DST, 64);
		desc.opcode = i;
		EXPECT_EQ(DSA_COMP_BAD_OPCODE, dsa_run(self->dsa, self->mem, &desc)) {
			TH_LOG("opcode 0x%x", i);
		}
	}
	/* Longer than WQCFG allows. */
	desc = dsa_desc_move(self->mem, 0, SRC, DST, (1u << GENCAP_MAX_XFER(gencap)) + 1);
	EXPECT_EQ(DSA_COMP_XFER_ERANGE, dsa_run(self->dsa, self->mem, &desc));
	/* A record is asked for by a flag that a NOOP does not know. */
	desc = dsa_desc(self->mem, 0, DSA_OPCODE_NOOP);
	desc.flags |= 1 << 23;
	EXPECT_EQ(DSA_COMP_INVALID_FLAGS, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_TRUE(is_all(va + DST, 4096, 0));

	desc = dsa_desc(self->mem, 0, DSA_OPCODE_NOOP);
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
}

/* A record that is not aligned to 32 bytes is never written. */
TEST_F(data, completion_alignment)
{
	uint8_t *va = self->mem->va;
	struct dsa_hw_desc desc;
	int off;

	for (off = 1; off < 32; off += off < 4 ? 1 : 9) {
		desc = dsa_desc(self->mem, 0, DSA_OPCODE_NOOP);
		desc.completion_addr += off;
		memset(va, 0, 256);
		dsa_submit(self->dsa, &desc);
		usleep(50000);
		EXPECT_TRUE(is_all(va, 256, 0)) {
			TH_LOG("record at offset %d was written", off);
		}
	}
	desc = dsa_desc(self->mem, 0, DSA_OPCODE_NOOP);
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
}

/*
 * PASID and privilege come from the WQ, whatever the descriptor says: a copy
 * reaches the vdev's own memory or is refused.
 */
TEST_F(data, pasid_and_priv)
{
	static const uint32_t pasids[] = { 0, 1, 2, 3, 0xfffff };
	uint8_t *va = self->mem->va;
	unsigned int i;

	for (i = 0; i < 2 * sizeof(pasids) / sizeof(*pasids); i++) {
		struct dsa_hw_desc desc = dsa_desc_move(self->mem, 0, SRC, DST, 4096);
		int ret;

		desc.pasid = pasids[i / 2];
		desc.priv = i & 1;
		dsa_fill(va + SRC, 4096, i);
		memset(va + DST, 0, 4096);
		ret = dsa_run(self->dsa, self->mem, &desc);
		if (variant->direct && desc.priv && ret == DSA_COMP_PRIV_BAD)
			continue;
		EXPECT_EQ(DSA_COMP_SUCCESS, ret) {
			TH_LOG("pasid 0x%x priv %u", desc.pasid, desc.priv);
		}
		EXPECT_EQ(-1, dsa_check(va + DST, 4096, i));
	}
}

/* No record asked for, none written, and the work is done. */
TEST_F(data, without_record)
{
	struct dsa_hw_desc desc = dsa_desc_move(self->mem, 0, SRC, DST, 4096), last;

	dsa_fill(self->mem->va + SRC, 4096, 9);
	desc.flags = 0;
	desc.completion_addr = 0;
	ASSERT_EQ(0, dsa_submit(self->dsa, &desc));
	last = dsa_desc(self->mem, 1, DSA_OPCODE_DRAIN);
	ASSERT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &last));
	EXPECT_EQ(-1, dsa_check(self->mem->va + DST, 4096, 9));
	EXPECT_EQ(0, dsa_cr(self->mem, 0)->status);
}

/* The same through eight 8-byte writes, as KVM splits a guest's MOVDIR64B. */
TEST_F(data, eight_by_eight)
{
	struct dsa_hw_desc desc = dsa_desc_move(self->mem, 0, SRC, DST, 3333);
	uint64_t *words = (uint64_t *)&desc;
	int i;

	dsa_fill(self->mem->va + SRC, 3333, 5);
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, vdev_write(self->dsa->fd, &self->dsa->portals,
					variant->page * PORTAL_PAGE + 64 + i * 8, &words[i], 8));
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_wait(dsa_cr(self->mem, 0), 10000));
	EXPECT_EQ(-1, dsa_check(self->mem->va + DST, 3333, 5));
}

/* One of several threads that write to the same place, piece by piece. */
struct writer {
	struct dsa *dsa;
	uint64_t off;
	struct dsa_hw_desc desc;
	pthread_barrier_t *barrier;
	int ret;
};

static void *write_pieces(void *arg)
{
	struct writer *w = arg;
	uint64_t *words = (uint64_t *)&w->desc;
	int i;

	for (i = 0; i < 8; i++) {
		pthread_barrier_wait(w->barrier);
		w->ret |= vdev_write(w->dsa->fd, &w->dsa->portals, w->off + i * 8, &words[i], 8);
	}
	return NULL;
}

/* As two virtual CPUs that store to the same 64 bytes: each store stays one. */
TEST_F(data, two_writers)
{
	struct writer w[2] = {};
	pthread_barrier_t barrier;
	pthread_t thread;
	unsigned int i, round;

	ASSERT_EQ(0, pthread_barrier_init(&barrier, NULL, 2));
	dsa_fill(self->mem->va + SRC, 2 * 3333, 5);
	for (round = 0; round < 10; round++) {
		for (i = 0; i < 2; i++) {
			w[i] = (struct writer) {
				.dsa = self->dsa,
				.off = variant->page * PORTAL_PAGE + 128,
				.desc = dsa_desc_move(self->mem, i, SRC + i * 3333,
						      i ? DST2 : DST, 3333),
				.barrier = &barrier,
			};
		}
		memset(self->mem->va + DST, 0, 3333);
		memset(self->mem->va + DST2, 0, 3333);
		ASSERT_EQ(0, pthread_create(&thread, NULL, write_pieces, &w[0]));
		write_pieces(&w[1]);
		ASSERT_EQ(0, pthread_join(thread, NULL));
		for (i = 0; i < 2; i++) {
			EXPECT_EQ(0, w[i].ret);
			ASSERT_EQ(DSA_COMP_SUCCESS, dsa_wait(dsa_cr(self->mem, i), 10000));
		}
		EXPECT_EQ(0, memcmp(self->mem->va + DST, self->mem->va + SRC, 3333));
		EXPECT_EQ(0, memcmp(self->mem->va + DST2, self->mem->va + SRC + 3333, 3333));
	}
	pthread_barrier_destroy(&barrier);
}

/* Descriptors that are begun and not ended harm nobody but their writer. */
TEST_F(data, unfinished)
{
	struct writer other = {
		.dsa = self->dsa,
		.off = variant->page * PORTAL_PAGE,
		.desc = dsa_desc_move(self->mem, 0, SRC, DST, 3333),
	};
	struct dsa_hw_desc desc = dsa_desc_move(self->mem, 1, SRC, DST2, 3333);
	uint64_t *words = (uint64_t *)&desc, off;
	pthread_barrier_t barrier;
	pthread_t thread;

	ASSERT_EQ(0, pthread_barrier_init(&barrier, NULL, 1));
	other.barrier = &barrier;
	dsa_fill(self->mem->va + SRC, 3333, 5);
	for (off = 0; off < 2 * PORTAL_PAGE; off += 64)
		ASSERT_EQ(0, vdev_write(self->dsa->fd, &self->dsa->portals, off, words, 8));
	ASSERT_EQ(0, pthread_create(&thread, NULL, write_pieces, &other));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, other.ret);
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_wait(dsa_cr(self->mem, 0), 10000));
	EXPECT_EQ(-1, dsa_check(self->mem->va + DST, 3333, 5));

	/* The writer itself begins anew, after a piece that does not fit in, too */
	for (off = 16; off <= 64; off += 48) {
		ASSERT_EQ(0, vdev_write(self->dsa->fd, &self->dsa->portals, off, words, 8));
		EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
		EXPECT_EQ(-1, dsa_check(self->mem->va + DST2, 3333, 5));
	}
	pthread_barrier_destroy(&barrier);
}

TEST_HARNESS_MAIN
