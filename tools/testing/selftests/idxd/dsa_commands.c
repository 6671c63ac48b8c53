// SPDX-License-Identifier: GPL-2.0-only
/*
 * The register file of a DSA vdev: what it advertises, what can be written, and
 * every command with its states and error codes.
 */
#include <sys/eventfd.h>

#include "vdev_harness.h"

#define MEM_SIZE (1 << 21)

FIXTURE(regs) {
	struct dsa_pool pool;
	struct test_vdev v;
	struct dsa *dsa;
};

/* Attached, memory and bus mastering on, but the device is not enabled. */
FIXTURE_SETUP(regs)
{
	TEST_POOL(&self->pool, 2);
	ASSERT_EQ(0, test_vdev_up(&self->v, &self->pool, ATTACHED, MEM_SIZE));
	self->dsa = &self->v.dsa;
	ASSERT_EQ(0, dsa_set_command(self->dsa, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER));
}

FIXTURE_TEARDOWN(regs)
{
	EXPECT_EQ(0, test_vdev_down(&self->v));
}

static unsigned int dev_state(struct dsa *dsa)
{
	return GENSTS_STATE(dsa_read32(dsa, DSA_GENSTS));
}

static unsigned int wq_state(struct dsa *dsa)
{
	return WQCFG_WQ_STATE(dsa_wqcfg(dsa, WQCFG_STATE));
}

static int noop(struct test_vdev *v)
{
	struct dsa_hw_desc desc = dsa_desc(&v->mem, 0, DSA_OPCODE_NOOP);

	return dsa_run(&v->dsa, &v->mem, &desc);
}

/* Submit a NOOP that is expected to be dropped; did it have an effect? */
static bool dropped(struct test_vdev *v)
{
	struct dsa_hw_desc desc = dsa_desc(&v->mem, 0, DSA_OPCODE_NOOP);

	dsa_submit(&v->dsa, &desc);
	return dsa_wait(dsa_cr(&v->mem, 0), 100) == -ETIMEDOUT;
}

TEST_F(regs, capabilities)
{
	struct dsa *dsa = self->dsa;
	uint64_t gencap = dsa_read64(dsa, DSA_GENCAP), wqcap = dsa_read64(dsa, DSA_WQCAP);
	uint32_t cmdcap = dsa_read32(dsa, DSA_CMDCAP);
	long long version = sysfs_read_num(DSA_DEVICES "/%s/version", self->pool.dsa);
	char opcap[128], *word;
	int i;

	EXPECT_EQ(version, dsa_read32(dsa, DSA_VERSION));
	EXPECT_TRUE(version == 0x100 || version == 0x200);
	/* Configuration is the host's business. */
	EXPECT_EQ(0, gencap & GENCAP_CONFIG_EN);
	EXPECT_EQ(GENCAP_CMD_CAP, gencap & GENCAP_CMD_CAP);
	EXPECT_EQ(0, GENCAP_IMS(gencap));
	/* All 14 commands, among them the interrupt handles that a guest needs. */
	EXPECT_EQ(0x7ffe, cmdcap & 0x7ffe);

	/* One dedicated WQ, one group, one engine. */
	EXPECT_EQ(1, WQCAP_NUM(wqcap));
	EXPECT_EQ(DSA_WQ_SIZE, WQCAP_TOTAL_SIZE(wqcap));
	EXPECT_EQ(WQCAP_DEDICATED, wqcap & (WQCAP_DEDICATED | WQCAP_SHARED));
	EXPECT_EQ(1, dsa_read64(dsa, DSA_GRPCAP) & 0xff);
	EXPECT_EQ(1, dsa_read64(dsa, DSA_ENGCAP) & 0xff);

	/* Operations are those of the PF; sysfs prints the 256 bits from the top. */
	if (sysfs_read(opcap, sizeof(opcap), DSA_DEVICES "/%s/op_cap", self->pool.dsa) > 0) {
		for (i = 3, word = strtok(opcap, ","); i >= 0; i--) {
			uint64_t pf = 0;

			/* idxd prints eight words of 32 bits */
			ASSERT_NE(NULL, word);
			pf = strtoull(word, NULL, 16) << 32;
			word = strtok(NULL, ",");
			ASSERT_NE(NULL, word);
			pf |= strtoull(word, NULL, 16);
			word = strtok(NULL, ",");
			EXPECT_EQ(0, dsa_read64(dsa, DSA_OPCAP + i * 8) & ~pf);
		}
	}
	EXPECT_EQ(1 << DSA_OPCODE_NOOP | 1 << DSA_OPCODE_MEMMOVE,
		  dsa_read64(dsa, DSA_OPCAP) & (1 << DSA_OPCODE_NOOP | 1 << DSA_OPCODE_MEMMOVE));
}

TEST_F(regs, tables)
{
	struct dsa *dsa = self->dsa;
	uint64_t offsets = dsa_read64(dsa, DSA_OFFSETS);
	uint64_t grpcfg = (offsets & 0xffff) * 0x100;
	uint64_t wqcfg = (offsets >> 16 & 0xffff) * 0x100;
	uint64_t perm = (offsets >> 32 & 0xffff) * 0x100;
	uint64_t gencap = dsa_read64(dsa, DSA_GENCAP);
	uint32_t mode = dsa_wqcfg(dsa, WQCFG_MODE), limits = dsa_wqcfg(dsa, WQCFG_LIMITS);

	EXPECT_GE(grpcfg, 0x100);
	EXPECT_LE(grpcfg + 64, dsa->regs.size);
	EXPECT_GE(wqcfg, 0x100);
	EXPECT_LE(wqcfg + WQCAP_STRIDE(dsa_read64(dsa, DSA_WQCAP)), dsa->regs.size);
	EXPECT_GE(perm, 0x100);
	EXPECT_LE(perm + 2 * 8, dsa->regs.size);
	EXPECT_EQ(0, offsets >> 48);
	/* No performance monitor. */
	EXPECT_EQ(0, dsa_read64(dsa, DSA_OFFSETS + 8) & 0xffff);

	/* WQ 0 and engine 0 are in group 0. */
	EXPECT_EQ(1, dsa_read64(dsa, grpcfg));
	EXPECT_EQ(1, dsa_read64(dsa, grpcfg + 32));
	EXPECT_EQ(DSA_WQ_SIZE, dsa_wqcfg(dsa, WQCFG_SIZE) & 0xffff);
	/* The stock driver refuses a read-only WQ that is shared or has a PASID. */
	EXPECT_EQ(WQCFG_DEDICATED, mode & WQCFG_DEDICATED);
	EXPECT_EQ(0, mode & WQCFG_PASID_EN);
	EXPECT_EQ(0, WQCFG_PASID(mode));
	/* It takes a transfer's limit from GENCAP, so the two must be one. */
	EXPECT_EQ(GENCAP_MAX_XFER(gencap), WQCFG_MAX_XFER(limits));
	EXPECT_EQ(GENCAP_MAX_BATCH(gencap), WQCFG_MAX_BATCH(limits));
}

/* GENCAP.config_en is 0: what the host has configured cannot be written. */
TEST_F(regs, read_only)
{
	struct dsa *dsa = self->dsa;
	uint64_t offsets = dsa_read64(dsa, DSA_OFFSETS);
	uint64_t grpcfg = (offsets & 0xffff) * 0x100;
	uint64_t wqcfg = (offsets >> 16 & 0xffff) * 0x100;
	uint64_t ro[] = {
		DSA_VERSION, DSA_GENCAP, DSA_WQCAP, DSA_GRPCAP, DSA_ENGCAP, DSA_OPCAP,
		DSA_OPCAP + 24, DSA_OFFSETS, DSA_OFFSETS + 8, DSA_GENSTS, DSA_CMDSTS,
		DSA_CMDCAP, grpcfg, grpcfg + 32, wqcfg,
	};
	unsigned int i;

	for (i = 0; i < sizeof(ro) / sizeof(*ro); i++) {
		uint32_t before = dsa_read32(dsa, ro[i]);

		EXPECT_EQ(0, dsa_write32(dsa, ro[i], ~before));
		EXPECT_EQ(before, dsa_read32(dsa, ro[i])) {
			TH_LOG("register 0x%llx was written", (unsigned long long)ro[i]);
		}
	}
	EXPECT_EQ(0, dsa_write64(dsa, DSA_GENCAP, ~0ull));
	EXPECT_EQ(0, dsa_read64(dsa, DSA_GENCAP) & GENCAP_CONFIG_EN);

	/* WQCFG takes nothing but the PASID fields that a guest writes there. */
	for (i = 0; i < 4; i++) {
		uint32_t keep = i == WQCFG_MODE ? 0xc00000ff : ~0u, before = dsa_wqcfg(dsa, i);

		EXPECT_EQ(0, dsa_write32(dsa, wqcfg + i * 4, ~before));
		EXPECT_EQ(before & keep, dsa_wqcfg(dsa, i) & keep) {
			TH_LOG("WQCFG word %u is 0x%x, was 0x%x", i, dsa_wqcfg(dsa, i), before);
		}
	}
	/* And a reset clears those. */
	EXPECT_EQ(0, dsa_cmd(dsa, CMD_RESET_DEVICE, 0));
	EXPECT_EQ(0, dsa_wqcfg(dsa, WQCFG_MODE) & (WQCFG_PASID_EN | 0xfffff << 8));
	EXPECT_EQ(WQCFG_DEDICATED, dsa_wqcfg(dsa, WQCFG_MODE) & WQCFG_DEDICATED);
	EXPECT_EQ(DSA_WQ_SIZE, dsa_wqcfg(dsa, WQCFG_SIZE) & 0xffff);
	EXPECT_EQ(1, dsa_read64(dsa, grpcfg));
}

/* What stays writable on a read-only device: interrupt and user enables. */
TEST_F(regs, controls)
{
	struct dsa *dsa = self->dsa;

	EXPECT_EQ(0, dsa_write32(dsa, DSA_GENCTRL, GENCTRL_SOFTERR_INT | GENCTRL_HALT_INT));
	EXPECT_EQ(GENCTRL_SOFTERR_INT | GENCTRL_HALT_INT,
		  dsa_read32(dsa, DSA_GENCTRL) & (GENCTRL_SOFTERR_INT | GENCTRL_HALT_INT));
	EXPECT_EQ(0, dsa_write32(dsa, DSA_GENCTRL, 0));
	EXPECT_EQ(0, dsa_read32(dsa, DSA_GENCTRL));
	EXPECT_EQ(0, dsa_write32(dsa, DSA_GENCFG, GENCFG_USER_INT_EN));
	EXPECT_EQ(GENCFG_USER_INT_EN, dsa_read32(dsa, DSA_GENCFG) & GENCFG_USER_INT_EN);
	/* Undefined bits do not stick. */
	EXPECT_EQ(0, dsa_write32(dsa, DSA_GENCFG, ~0u));
	EXPECT_EQ(0, dsa_read32(dsa, DSA_GENCFG) & 0xffffc000);
	EXPECT_EQ(0, dsa_write32(dsa, DSA_GENCTRL, ~0u));
	EXPECT_EQ(0, dsa_read32(dsa, DSA_GENCTRL) & ~7u);
}

TEST_F(regs, enable_and_disable_device)
{
	struct dsa *dsa = self->dsa;

	EXPECT_EQ(GENSTS_DISABLED, dev_state(dsa));
	EXPECT_EQ(ERR_DIS_DEV_NOT_EN, dsa_cmd(dsa, CMD_DISABLE_DEVICE, 0));
	EXPECT_EQ(0, dsa_cmd(dsa, CMD_ENABLE_DEVICE, 0));
	EXPECT_EQ(GENSTS_ENABLED, dev_state(dsa));
	EXPECT_EQ(ERR_DEV_ENABLED, dsa_cmd(dsa, CMD_ENABLE_DEVICE, 0));
	EXPECT_EQ(GENSTS_ENABLED, dev_state(dsa));
	EXPECT_EQ(0, dsa_cmd(dsa, CMD_DISABLE_DEVICE, 0));
	EXPECT_EQ(GENSTS_DISABLED, dev_state(dsa));
	EXPECT_EQ(0, dsa_cmd(dsa, CMD_ENABLE_DEVICE, 0));
}

TEST_F(regs, enable_needs_bus_master)
{
	struct dsa *dsa = self->dsa;

	ASSERT_EQ(0, dsa_set_command(dsa, PCI_COMMAND_MEMORY));
	EXPECT_EQ(ERR_BUSMASTER, dsa_cmd(dsa, CMD_ENABLE_DEVICE, 0));
	EXPECT_EQ(GENSTS_DISABLED, dev_state(dsa));
	ASSERT_EQ(0, dsa_set_command(dsa, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER));
	EXPECT_EQ(0, dsa_cmd(dsa, CMD_ENABLE_DEVICE, 0));
}

TEST_F(regs, enable_and_disable_wq)
{
	struct dsa *dsa = self->dsa;

	/* The device first. */
	EXPECT_EQ(ERR_DEV_NOT_EN, dsa_cmd(dsa, CMD_ENABLE_WQ, 0));
	EXPECT_EQ(ERR_WQ_DEV_NOT_EN, dsa_cmd(dsa, CMD_DISABLE_WQ, WQ0));
	EXPECT_EQ(0, wq_state(dsa));
	ASSERT_EQ(0, dsa_cmd(dsa, CMD_ENABLE_DEVICE, 0));
	EXPECT_TRUE(dropped(&self->v));

	/* There is one WQ, and its number is 0. */
	EXPECT_EQ(ERR_INVAL_WQIDX, dsa_cmd(dsa, CMD_ENABLE_WQ, 1));
	EXPECT_EQ(ERR_INVAL_WQIDX, dsa_cmd(dsa, CMD_ENABLE_WQ, 0xfffff));
	EXPECT_EQ(0, wq_state(dsa));
	EXPECT_EQ(0, dsa_cmd(dsa, CMD_ENABLE_WQ, 0));
	EXPECT_EQ(1, wq_state(dsa));
	EXPECT_EQ(ERR_WQ_ENABLED, dsa_cmd(dsa, CMD_ENABLE_WQ, 0));
	EXPECT_EQ(DSA_COMP_SUCCESS, noop(&self->v));

	EXPECT_EQ(0, dsa_cmd(dsa, CMD_DISABLE_WQ, WQ0));
	EXPECT_EQ(0, wq_state(dsa));
	EXPECT_TRUE(dropped(&self->v));
	EXPECT_EQ(0, dsa_cmd(dsa, CMD_ENABLE_WQ, 0));
	EXPECT_EQ(DSA_COMP_SUCCESS, noop(&self->v));
}

/* A set of WQs that are not there: an error, and WQ 0 is not touched. */
TEST_F(regs, wq_masks)
{
	static const uint32_t codes[] = {
		CMD_DISABLE_WQ, CMD_DRAIN_WQ, CMD_ABORT_WQ, CMD_RESET_WQ,
	};
	struct dsa *dsa = self->dsa;
	unsigned int i;

	ASSERT_EQ(0, dsa_start(dsa));
	for (i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		EXPECT_EQ(ERR_INVAL_WQIDX, CMDSTS_ERR(dsa_cmd(dsa, codes[i], WQ_MASK(0, 2))));
		EXPECT_EQ(ERR_INVAL_WQIDX, CMDSTS_ERR(dsa_cmd(dsa, codes[i], WQ_MASK(0, 3))));
		EXPECT_EQ(ERR_INVAL_WQIDX, CMDSTS_ERR(dsa_cmd(dsa, codes[i], WQ_MASK(1, 1))));
		EXPECT_EQ(ERR_INVAL_WQIDX, CMDSTS_ERR(dsa_cmd(dsa, codes[i], WQ_MASK(15, 0x8000))));
		EXPECT_EQ(1, wq_state(dsa)) {
			TH_LOG("command %u disabled WQ 0", codes[i]);
		}
	}
	EXPECT_EQ(DSA_COMP_SUCCESS, noop(&self->v));
}

/* Disabling the device disables its WQ. */
TEST_F(regs, disable_device_with_wq)
{
	struct dsa *dsa = self->dsa;

	ASSERT_EQ(0, dsa_start(dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, noop(&self->v));
	EXPECT_EQ(0, dsa_cmd(dsa, CMD_DISABLE_DEVICE, 0));
	EXPECT_EQ(0, wq_state(dsa));
	EXPECT_TRUE(dropped(&self->v));
	/* It does not come back by itself. */
	EXPECT_EQ(0, dsa_cmd(dsa, CMD_ENABLE_DEVICE, 0));
	EXPECT_EQ(0, wq_state(dsa));
	EXPECT_TRUE(dropped(&self->v));
	EXPECT_EQ(0, dsa_cmd(dsa, CMD_ENABLE_WQ, 0));
	EXPECT_EQ(DSA_COMP_SUCCESS, noop(&self->v));
}

TEST_F(regs, reset_device)
{
	struct dsa *dsa = self->dsa;

	ASSERT_EQ(0, dsa_start(dsa));
	EXPECT_EQ(0, dsa_write32(dsa, DSA_GENCTRL, GENCTRL_SOFTERR_INT));
	EXPECT_EQ(0, dsa_cmd(dsa, CMD_RESET_DEVICE, 0));
	EXPECT_EQ(GENSTS_DISABLED, dev_state(dsa));
	EXPECT_EQ(0, wq_state(dsa));
	EXPECT_EQ(0, dsa_read32(dsa, DSA_GENCTRL));
	EXPECT_TRUE(dropped(&self->v));
	/* Reset of a device that is disabled already is fine: drivers begin so. */
	EXPECT_EQ(0, dsa_cmd(dsa, CMD_RESET_DEVICE, 0));
	ASSERT_EQ(0, dsa_start(dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, noop(&self->v));
}

TEST_F(regs, reset_wq)
{
	struct dsa *dsa = self->dsa;
	uint32_t mode = dsa_wqcfg(dsa, WQCFG_MODE), limits = dsa_wqcfg(dsa, WQCFG_LIMITS);

	EXPECT_EQ(ERR_WQ_DEV_NOT_EN, dsa_cmd(dsa, CMD_RESET_WQ, WQ0));
	ASSERT_EQ(0, dsa_start(dsa));
	EXPECT_EQ(0, dsa_cmd(dsa, CMD_RESET_WQ, WQ0));
	EXPECT_EQ(0, wq_state(dsa));
	EXPECT_EQ(GENSTS_ENABLED, dev_state(dsa));
	/* A read-only WQ keeps its configuration. */
	EXPECT_EQ(mode, dsa_wqcfg(dsa, WQCFG_MODE));
	EXPECT_EQ(limits, dsa_wqcfg(dsa, WQCFG_LIMITS));
	EXPECT_EQ(DSA_WQ_SIZE, dsa_wqcfg(dsa, WQCFG_SIZE) & 0xffff);
	EXPECT_EQ(0, dsa_cmd(dsa, CMD_ENABLE_WQ, 0));
	EXPECT_EQ(DSA_COMP_SUCCESS, noop(&self->v));
}

FIXTURE(drain) {
	struct dsa_pool pool;
	struct test_vdev v, other;
	struct dsa *dsa;
};

FIXTURE_VARIANT(drain) {
	uint32_t code;
	bool abort;
	bool by_pasid;
	uint32_t operand;
	unsigned int wq_after;
	unsigned int dev_after;
};

FIXTURE_VARIANT_ADD(drain, drain_all) {
	.code = CMD_DRAIN_ALL, .wq_after = 1, .dev_after = GENSTS_ENABLED,
};

FIXTURE_VARIANT_ADD(drain, abort_all) {
	.code = CMD_ABORT_ALL, .abort = true, .wq_after = 1, .dev_after = GENSTS_ENABLED,
};

FIXTURE_VARIANT_ADD(drain, drain_wq) {
	.code = CMD_DRAIN_WQ, .operand = WQ0, .wq_after = 1, .dev_after = GENSTS_ENABLED,
};

FIXTURE_VARIANT_ADD(drain, abort_wq) {
	.code = CMD_ABORT_WQ, .operand = WQ0, .abort = true, .wq_after = 1,
	.dev_after = GENSTS_ENABLED,
};

FIXTURE_VARIANT_ADD(drain, drain_pasid) {
	.code = CMD_DRAIN_PASID, .by_pasid = true, .wq_after = 1, .dev_after = GENSTS_ENABLED,
};

/* No descriptor has a PASID that a guest could name, so none is abandoned. */
FIXTURE_VARIANT_ADD(drain, abort_pasid) {
	.code = CMD_ABORT_PASID, .by_pasid = true, .wq_after = 1, .dev_after = GENSTS_ENABLED,
};

/* Disable waits for what was accepted; reset abandons it. */
FIXTURE_VARIANT_ADD(drain, disable_wq) {
	.code = CMD_DISABLE_WQ, .operand = WQ0, .wq_after = 0, .dev_after = GENSTS_ENABLED,
};

FIXTURE_VARIANT_ADD(drain, reset_wq) {
	.code = CMD_RESET_WQ, .operand = WQ0, .abort = true, .wq_after = 0,
	.dev_after = GENSTS_ENABLED,
};

FIXTURE_VARIANT_ADD(drain, disable_device) {
	.code = CMD_DISABLE_DEVICE, .wq_after = 0, .dev_after = GENSTS_DISABLED,
};

FIXTURE_VARIANT_ADD(drain, reset_device) {
	.code = CMD_RESET_DEVICE, .abort = true, .wq_after = 0, .dev_after = GENSTS_DISABLED,
};

FIXTURE_SETUP(drain)
{
	TEST_POOL(&self->pool, 2);
	ASSERT_EQ(0, test_vdev_up(&self->v, &self->pool, STARTED, MEM_SIZE));
	ASSERT_EQ(0, test_vdev_up(&self->other, &self->pool, STARTED, MEM_SIZE));
	self->dsa = &self->v.dsa;
}

FIXTURE_TEARDOWN(drain)
{
	EXPECT_EQ(0, thaw_load());
	EXPECT_EQ(0, test_vdev_down(&self->v));
	EXPECT_EQ(0, test_vdev_down(&self->other));
}

/*
 * When the command has ended, the WQ is quiet: drained or aborted. "All" is all that is the
 * user's: what another vdev has in flight is done nevertheless.
 */
TEST_F(drain, quiet_after)
{
	struct test_vdev *v = &self->v, *other = &self->other;
	uint8_t *dst = v->mem.va + MEM_SIZE / 2;
	uint32_t operand = variant->operand;
	struct dsa_hw_desc desc;
	int done, i;

	if (variant->by_pasid) {
		/* The PASID as the guest knows it: it was never given one. */
		operand = WQCFG_PASID(dsa_wqcfg(self->dsa, WQCFG_MODE));
		EXPECT_EQ(0, operand);
	}
	if (variant->abort) {
		/* What would never end */
		ASSERT_EQ(0, freeze_load(self->dsa, &v->mem));
		ASSERT_EQ(0, submit_load(&other->dsa, &other->mem, TEST_LOAD));
		EXPECT_EQ(0, dsa_cmd(self->dsa, variant->code, operand));
		done = load_done(&v->mem);
		EXPECT_GT(TEST_LOAD, done);
	} else {
		ASSERT_EQ(0, slow_down("50000000"));
		ASSERT_EQ(0, submit_load(self->dsa, &v->mem, TEST_LOAD));
		ASSERT_EQ(0, submit_load(&other->dsa, &other->mem, TEST_LOAD));
		EXPECT_EQ(0, dsa_cmd(self->dsa, variant->code, operand));
		done = load_done(&v->mem);
		EXPECT_EQ(TEST_LOAD, done);
	}
	EXPECT_EQ(variant->wq_after, wq_state(self->dsa));
	EXPECT_EQ(variant->dev_after, dev_state(self->dsa));

	/* Nothing arrives afterwards, neither data nor records. */
	memset(dst, 0xee, MEM_SIZE / 2);
	ASSERT_EQ(0, thaw_load());
	ASSERT_EQ(0, dsa_start(self->dsa));
	/* What has survived is before it */
	desc = dsa_desc(&v->mem, TEST_LOAD, DSA_OPCODE_DRAIN);
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, &v->mem, &desc));
	EXPECT_EQ(done, load_done(&v->mem));
	EXPECT_TRUE(is_all(dst, MEM_SIZE / 2, 0xee));

	for (i = 0; i < TEST_LOAD; i++)
		EXPECT_EQ(DSA_COMP_SUCCESS, dsa_wait(dsa_cr(&other->mem, i), 60000));
}

/* Drain and abort on an idle, or a disabled, device. */
TEST_F(regs, drain_idle)
{
	static const uint32_t wq_codes[] = { CMD_DRAIN_WQ, CMD_ABORT_WQ };
	static const uint32_t codes[] = {
		CMD_DRAIN_ALL, CMD_ABORT_ALL, CMD_DRAIN_PASID, CMD_ABORT_PASID,
	};
	struct dsa *dsa = self->dsa;
	unsigned int i;

	for (i = 0; i < 2; i++)
		EXPECT_EQ(ERR_WQ_DEV_NOT_EN, dsa_cmd(dsa, wq_codes[i], WQ0));
	ASSERT_EQ(0, dsa_start(dsa));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, dsa_cmd(dsa, wq_codes[i], WQ0));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, dsa_cmd(dsa, codes[i], 0));
	EXPECT_EQ(DSA_COMP_SUCCESS, noop(&self->v));
}

TEST_F(regs, int_handles)
{
	struct dsa *dsa = self->dsa;
	long sts, again;

	ASSERT_EQ(0, dsa_start(dsa));
	sts = dsa_cmd(dsa, CMD_REQUEST_INT_HANDLE, 1);
	ASSERT_GE(sts, 0);
	EXPECT_EQ(0, CMDSTS_ERR(sts));
	/* Asking again gives the same one. */
	again = dsa_cmd(dsa, CMD_REQUEST_INT_HANDLE, 1);
	EXPECT_EQ(sts, again);

	/* Vector 0 is for the device's own interrupts; there is no vector 2, no IMS. */
	EXPECT_EQ(ERR_INT_IDX, CMDSTS_ERR(dsa_cmd(dsa, CMD_REQUEST_INT_HANDLE, 2)));
	EXPECT_EQ(ERR_INT_IDX, CMDSTS_ERR(dsa_cmd(dsa, CMD_REQUEST_INT_HANDLE, 0xffff)));
	EXPECT_NE(0, CMDSTS_ERR(dsa_cmd(dsa, CMD_REQUEST_INT_HANDLE, CMD_IMS_HANDLE)));
	EXPECT_NE(0, CMDSTS_ERR(dsa_cmd(dsa, CMD_REQUEST_INT_HANDLE, CMD_IMS_HANDLE | 1)));

	/* A handle that was never given cannot be released. */
	EXPECT_NE(0, CMDSTS_ERR(dsa_cmd(dsa, CMD_RELEASE_INT_HANDLE, CMDSTS_RESULT(sts) + 1)));
	EXPECT_NE(0, CMDSTS_ERR(dsa_cmd(dsa, CMD_RELEASE_INT_HANDLE, 0xffff)));
	EXPECT_EQ(0, dsa_cmd(dsa, CMD_RELEASE_INT_HANDLE, CMDSTS_RESULT(sts)));
	EXPECT_NE(0, CMDSTS_ERR(dsa_cmd(dsa, CMD_RELEASE_INT_HANDLE, CMDSTS_RESULT(sts))));
	EXPECT_EQ(sts, dsa_cmd(dsa, CMD_REQUEST_INT_HANDLE, 1));
}

TEST_F(regs, unknown_commands)
{
	struct dsa *dsa = self->dsa;
	uint32_t code;

	ASSERT_EQ(0, dsa_start(dsa));
	EXPECT_EQ(ERR_INVAL_CMD, dsa_cmd(dsa, 0, 0));
	for (code = CMD_LAST + 1; code < 32; code++) {
		EXPECT_EQ(ERR_INVAL_CMD, dsa_cmd(dsa, code, 0)) {
			TH_LOG("command %u", code);
		}
	}
	EXPECT_EQ(GENSTS_ENABLED, dev_state(dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, noop(&self->v));
}

/* Every command in every operand's corner: an answer, never a hang. */
TEST_F(regs, sweep)
{
	static const uint32_t operands[] = { 0, 1, 2, 0x8000, 0x10001, 0xf8000, 0xfffff };
	struct dsa *dsa = self->dsa;
	uint32_t code;
	unsigned int i, pass;

	for (pass = 0; pass < 2; pass++) {
		for (code = 0; code < 32; code++)
			for (i = 0; i < sizeof(operands) / sizeof(*operands); i++)
				EXPECT_GE(dsa_cmd(dsa, code, operands[i]), 0);
		EXPECT_EQ(0, dsa_cmd(dsa, CMD_RESET_DEVICE, 0));
		ASSERT_EQ(0, dsa_start(dsa));
		EXPECT_EQ(DSA_COMP_SUCCESS, noop(&self->v));
	}
}

/* Completion interrupt only when asked for; INTCAUSE is write-1-to-clear. */
TEST_F(regs, intcause)
{
	struct dsa *dsa = self->dsa;
	int32_t efd = eventfd(0, EFD_CLOEXEC);

	ASSERT_GE(efd, 0);
	ASSERT_EQ(0, vdev_irq_eventfds(dsa->fd, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &efd));
	EXPECT_EQ(0, dsa_read32(dsa, DSA_INTCAUSE));
	EXPECT_EQ(0, dsa_cmd(dsa, CMD_ENABLE_DEVICE, 0));
	EXPECT_EQ(0, eventfd_wait(efd, 100));
	EXPECT_EQ(0, dsa_read32(dsa, DSA_INTCAUSE));

	EXPECT_EQ(0, dsa_cmd(dsa, CMD_ENABLE_WQ, CMD_INT_REQ | 0));
	EXPECT_EQ(1, eventfd_wait(efd, 2000));
	EXPECT_EQ(INTC_CMD, dsa_read32(dsa, DSA_INTCAUSE));
	/* Zeros clear nothing, other bits neither. */
	EXPECT_EQ(0, dsa_write32(dsa, DSA_INTCAUSE, 0));
	EXPECT_EQ(0, dsa_write32(dsa, DSA_INTCAUSE, ~INTC_CMD));
	EXPECT_EQ(INTC_CMD, dsa_read32(dsa, DSA_INTCAUSE));
	EXPECT_EQ(0, dsa_write32(dsa, DSA_INTCAUSE, INTC_CMD));
	EXPECT_EQ(0, dsa_read32(dsa, DSA_INTCAUSE));

	/* A command that fails also ends with its interrupt. */
	EXPECT_EQ(ERR_WQ_ENABLED, dsa_cmd(dsa, CMD_ENABLE_WQ, CMD_INT_REQ | 0));
	EXPECT_EQ(1, eventfd_wait(efd, 2000));
	EXPECT_EQ(INTC_CMD, dsa_read32(dsa, DSA_INTCAUSE));
	close(efd);
}

/* A 64-bit write of the command register's neighbourhood runs one command. */
TEST_F(regs, command_by_8_bytes)
{
	struct dsa *dsa = self->dsa;

	EXPECT_EQ(0, dsa_write64(dsa, DSA_CMD, (uint64_t)CMD_ENABLE_DEVICE << 20));
	EXPECT_EQ(0, dsa_cmd_wait(dsa));
	EXPECT_EQ(GENSTS_ENABLED, dev_state(dsa));
}

/* Reserved and undefined places of BAR0 read 0 and take no write. */
TEST_F(regs, reserved)
{
	static const uint32_t holes[] = { 0x04, 0x18, 0x28, 0x70, 0x78, 0xb8 };
	struct dsa *dsa = self->dsa;
	unsigned int i;

	for (i = 0; i < sizeof(holes) / sizeof(*holes); i++) {
		EXPECT_EQ(0, dsa_write32(dsa, holes[i], ~0u));
		EXPECT_EQ(0, dsa_read32(dsa, holes[i])) {
			TH_LOG("register 0x%x", holes[i]);
		}
	}
	EXPECT_EQ(0, dsa_read32(dsa, dsa->regs.size - 4));
}

TEST_HARNESS_MAIN
