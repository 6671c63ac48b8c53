// SPDX-License-Identifier: GPL-2.0-only
/*
 * A DSA of version 2, whose WQs can have fewer operations than the device; and one that is
 * safe, so that its portals are for everybody.
 */
#include "vdev_harness.h"

#define MEM_SIZE	(1 << 20)
#define LIST		0x20000
#define NR		2
#define OP(name)	(1ull << DSA_OPCODE_##name)

FIXTURE(v2) {
	struct dsa_pool pool;
	struct test_vdev v;
};

FIXTURE_SETUP(v2)
{
	TEST_POOL(&self->pool, 0);
	TEST_REQUIRE(sysfs_read_num(DSA_DEVICES "/%s/version", self->pool.dsa) == 0x200,
		     "no DSA of version 2");
}

FIXTURE_TEARDOWN(v2)
{
	EXPECT_EQ(0, test_vdev_down(&self->v));
	EXPECT_EQ(0, dsa_wq_disable(&self->pool, 0, DSA_WQ_DRIVER));
}

/* What the WQ may not do is not offered, and not done. */
TEST_F(v2, op_config)
{
	struct test_vdev *v = &self->v;
	struct dsa_hw_desc desc;
	char allowed[20];

	ASSERT_EQ(0, dsa_wq_configure(&self->pool, 0, "user", DSA_WQ_DRIVER));
	snprintf(allowed, sizeof(allowed), "%llx", OP(NOOP) | OP(DRAIN) | OP(MEMMOVE));
	ASSERT_EQ(0, sysfs_write(allowed, DSA_DEVICES "/wq%s.0/op_config",
				 self->pool.dsa + strlen("dsa")));
	ASSERT_EQ(0, dsa_wq_enable(&self->pool, 0, "user", DSA_WQ_DRIVER));
	ASSERT_EQ(0, test_vdev_up(v, &self->pool, STARTED, MEM_SIZE));
	ASSERT_EQ(0, dsa_map(&v->dsa, PORTAL_LIMITED));
	EXPECT_EQ(0x200, dsa_read32(&v->dsa, DSA_VERSION));
	EXPECT_EQ(OP(NOOP) | OP(DRAIN) | OP(MEMMOVE), dsa_read64(&v->dsa, DSA_OPCAP));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v->dsa, &v->mem, 1));

	desc = dsa_desc(&v->mem, 0, DSA_OPCODE_MEMFILL);
	desc.pattern = ~0ull;
	desc.dst_addr = v->mem.iova + LIST;
	desc.xfer_size = 64;
	EXPECT_EQ(DSA_COMP_BAD_OPCODE, dsa_run(&v->dsa, &v->mem, &desc));
	EXPECT_TRUE(is_all(v->mem.va + LIST, 64, 0));
}

/* While a user has it, the WQ asks for no pages, whatever its owner allows it otherwise. */
TEST_F(v2, no_page_requests)
{
	struct test_vdev *v = &self->v;
	long long cfg;

	ASSERT_EQ(0, dsa_wq_configure(&self->pool, 0, "user", DSA_WQ_DRIVER));
	EXPECT_EQ(0, sysfs_read_num(DSA_DEVICES "/wq%s.0/prs_disable",
				    self->pool.dsa + strlen("dsa")));
	ASSERT_EQ(0, dsa_wq_enable(&self->pool, 0, "user", DSA_WQ_DRIVER));
	ASSERT_EQ(0, test_vdev_up(v, &self->pool, STARTED, MEM_SIZE));
	cfg = dsa_host_wqcfg(&self->pool, 0, WQCFG_MODE);
	ASSERT_LE(0, cfg);
	EXPECT_EQ(WQCFG_PASID_EN | WQCFG_PRS_DISABLE,
		  cfg & (WQCFG_PASID_EN | WQCFG_PRS_DISABLE));
	ASSERT_EQ(0, dsa_cmd(&v->dsa, CMD_DISABLE_WQ, WQ0));
	cfg = dsa_host_wqcfg(&self->pool, 0, WQCFG_MODE);
	ASSERT_LE(0, cfg);
	EXPECT_EQ(0, cfg & (WQCFG_PASID_EN | WQCFG_PRS_DISABLE));
}

FIXTURE(user) {
	struct dsa_pool pool;
	struct test_vdev v;
};

FIXTURE_VARIANT(user) {
	bool safe;
};

FIXTURE_VARIANT_ADD(user, safe) { .safe = true };
FIXTURE_VARIANT_ADD(user, unsafe) { };

/* The user of a vdev has no CAP_SYS_RAWIO; a WQ gets the device's rule when it is lent. */
FIXTURE_SETUP(user)
{
	TEST_POOL(&self->pool, 0);
	if (variant->safe)
		TEST_REQUIRE(path_exists("/sys/module/idxd_safe") ||
			     run_modprobe("idxd_safe pf=%s", self->pool.parent),
			     "no module to have the device taken for safe");
	TEST_POOL(&self->pool, 1);
	ASSERT_EQ(0, drop_rawio());
	ASSERT_EQ(0, test_vdev_up(&self->v, &self->pool, STARTED, MEM_SIZE));
}

FIXTURE_TEARDOWN(user)
{
	EXPECT_EQ(0, test_vdev_down(&self->v));
	EXPECT_EQ(0, dsa_wq_disable(&self->pool, 0, DSA_WQ_DRIVER));
	if (variant->safe)
		EXPECT_TRUE(run_modprobe("-r idxd_safe"));
}

/* The portal of a safe device is mapped, and takes batches; that of another is not. */
TEST_F(user, portal)
{
	const bool safe = variant->safe;
	struct test_vdev *v = &self->v;
	struct dsa_hw_desc *list = (void *)(v->mem.va + LIST), desc;
	char mode[32];
	int i;

	ASSERT_GT(sysfs_read(mode, sizeof(mode), MDEV_DEVICES "/%s/dsa/portal", v->uuid), 0);
	EXPECT_STREQ(safe ? "direct" : "mediated", mode);
	EXPECT_EQ(safe, dsa_can_map(&v->dsa));
	EXPECT_EQ(safe, !dsa_map(&v->dsa, PORTAL_UNLIMITED));
	dsa_unmap(&v->dsa);
	EXPECT_EQ(safe, !dsa_map(&v->dsa, PORTAL_LIMITED));
	EXPECT_EQ(safe, !!(dsa_read64(&v->dsa, DSA_OPCAP) & OP(BATCH)));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v->dsa, &v->mem, 1));

	dsa_fill(v->mem.va + TEST_SRC, 4096, 2);
	memset(v->mem.va + TEST_DST, 0, NR * 4096);
	for (i = 0; i < NR; i++)
		list[i] = dsa_desc_move(&v->mem, 1 + i, TEST_SRC, TEST_DST + i * 4096, 4096);
	desc = dsa_desc(&v->mem, 0, DSA_OPCODE_BATCH);
	desc.desc_list_addr = v->mem.iova + LIST;
	desc.desc_count = NR;
	EXPECT_EQ(safe ? DSA_COMP_SUCCESS : DSA_COMP_BAD_OPCODE,
		  dsa_run(&v->dsa, &v->mem, &desc));
	for (i = 0; i < NR; i++) {
		EXPECT_EQ(safe, dsa_check(v->mem.va + TEST_DST + i * 4096, 4096, 2) == -1);
		EXPECT_EQ(safe, dsa_cr(&v->mem, 1 + i)->status == DSA_COMP_SUCCESS);
	}
}

TEST_HARNESS_MAIN
