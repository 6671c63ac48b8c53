// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vdev's PCI configuration space: identity, BARs and their sizing, write
 * masks, MSI-X and PCI Express capabilities, and function level reset.
 */

#include "vdev_harness.h"

FIXTURE(config) {
	struct dsa_pool pool;
	struct test_vdev v;
};

FIXTURE_SETUP(config)
{
	TEST_POOL(&self->pool, 2);
	ASSERT_EQ(0, test_vdev_up(&self->v, &self->pool, BOUND, 0));
}

FIXTURE_TEARDOWN(config)
{
	EXPECT_EQ(0, test_vdev_down(&self->v));
}

static uint32_t cfg_read(struct test_vdev *v, unsigned int off, unsigned int len)
{
	uint32_t value = 0;

	if (vdev_read(v->fd, &v->dsa.cfg, off, &value, len))
		return ~0u;
	return value;
}

static int cfg_write(struct test_vdev *v, unsigned int off, uint32_t value, unsigned int len)
{
	return vdev_write(v->fd, &v->dsa.cfg, off, &value, len);
}

/* Offset of a capability, 0 if there is none, -1 if the list is broken. */
static int find_cap(struct test_vdev *v, uint8_t id)
{
	unsigned int pos, loops = 0;

	if (!(cfg_read(v, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
		return 0;
	for (pos = cfg_read(v, PCI_CAPABILITY_LIST, 1); pos; pos = cfg_read(v, pos + 1, 1)) {
		if (pos < 0x40 || pos & 3 || pos > 0xfc || loops++ > 48)
			return -1;
		if (cfg_read(v, pos, 1) == id)
			return pos;
	}
	return 0;
}

TEST_F(config, identity)
{
	struct test_vdev *v = &self->v;
	long long vendor, device;
	uint32_t value;

	/* What the PF is, so that the stock idxd driver takes it. */
	vendor = sysfs_read_num(PCI_DEVICES "/%s/vendor", self->pool.parent);
	device = sysfs_read_num(PCI_DEVICES "/%s/device", self->pool.parent);
	EXPECT_EQ(0x8086, vendor);
	EXPECT_EQ(vendor, cfg_read(v, PCI_VENDOR_ID, 2));
	EXPECT_EQ(device, cfg_read(v, PCI_DEVICE_ID, 2));
	EXPECT_EQ(device << 16 | vendor, cfg_read(v, PCI_VENDOR_ID, 4));
	EXPECT_EQ(0x0880, cfg_read(v, PCI_CLASS_DEVICE, 2));
	EXPECT_EQ(0, cfg_read(v, PCI_CLASS_PROG, 1));
	EXPECT_EQ(PCI_HEADER_TYPE_NORMAL, cfg_read(v, PCI_HEADER_TYPE, 1));
	EXPECT_EQ(0, cfg_read(v, PCI_INTERRUPT_PIN, 1));
	value = cfg_read(v, PCI_STATUS, 2);
	EXPECT_EQ(PCI_STATUS_CAP_LIST, value & PCI_STATUS_CAP_LIST);
	/* No error bit is set in a new device. */
	EXPECT_EQ(0, value & 0xf900);
	EXPECT_EQ(0, cfg_read(v, PCI_COMMAND, 2));
}

TEST_F(config, region_size)
{
	EXPECT_TRUE(self->v.dsa.cfg.size == 256 || self->v.dsa.cfg.size == 4096);
	EXPECT_EQ(VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
		  self->v.dsa.cfg.flags & (VFIO_REGION_INFO_FLAG_READ |
					   VFIO_REGION_INFO_FLAG_WRITE |
					   VFIO_REGION_INFO_FLAG_MMAP));
	/* A vdev has no PASID, ATS or SR-IOV capability to offer a guest. */
	if (self->v.dsa.cfg.size == 4096)
		EXPECT_EQ(0, cfg_read(&self->v, 0x100, 4));
}

/* Write ones to a BAR, and read its size; @bar + 1 is the upper half. */
static uint64_t size_bar(struct test_vdev *v, unsigned int bar)
{
	unsigned int off = PCI_BASE_ADDRESS_0 + bar * 4;
	uint64_t mask;

	cfg_write(v, off, ~0u, 4);
	cfg_write(v, off + 4, ~0u, 4);
	mask = cfg_read(v, off, 4) & PCI_BASE_ADDRESS_MEM_MASK;
	mask |= (uint64_t)cfg_read(v, off + 4, 4) << 32;
	return ~mask + 1;
}

TEST_F(config, bars)
{
	static const unsigned int bars[] = { 0, 2 };
	struct test_vdev *v = &self->v;
	struct vdev_region region;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		unsigned int off = PCI_BASE_ADDRESS_0 + bars[i] * 4;

		EXPECT_EQ(PCI_BASE_ADDRESS_MEM_TYPE_64,
			  cfg_read(v, off, 4) & (PCI_BASE_ADDRESS_SPACE |
						 PCI_BASE_ADDRESS_MEM_TYPE_MASK));
		ASSERT_EQ(0, vdev_region_info(v->fd, VFIO_PCI_BAR0_REGION_INDEX + bars[i],
					      &region));
		EXPECT_GE(region.size, 0x1000);
		EXPECT_EQ(region.size, size_bar(v, bars[i]));

		/* An address written is kept, down to the BAR's alignment. */
		EXPECT_EQ(0, cfg_write(v, off, 0xfedcba98, 4));
		EXPECT_EQ(0, cfg_write(v, off + 4, 0x12, 4));
		EXPECT_EQ(0xfedcba98 & ~(region.size - 1),
			  cfg_read(v, off, 4) & PCI_BASE_ADDRESS_MEM_MASK);
		EXPECT_EQ(0x12, cfg_read(v, off + 4, 4));
		EXPECT_EQ(PCI_BASE_ADDRESS_MEM_TYPE_64,
			  cfg_read(v, off, 4) & (PCI_BASE_ADDRESS_SPACE |
						 PCI_BASE_ADDRESS_MEM_TYPE_MASK));
	}
	ASSERT_EQ(0, vdev_region_info(v->fd, VFIO_PCI_BAR2_REGION_INDEX, &region));
	EXPECT_EQ(4 * PORTAL_PAGE, region.size);

	/* What is not there reads as 0, whatever is written. */
	for (i = PCI_BASE_ADDRESS_4; i <= PCI_BASE_ADDRESS_5; i += 4) {
		EXPECT_EQ(0, cfg_write(v, i, ~0u, 4));
		EXPECT_EQ(0, cfg_read(v, i, 4));
	}
	EXPECT_EQ(0, cfg_write(v, PCI_ROM_ADDRESS, ~0u, 4));
	EXPECT_EQ(0, cfg_read(v, PCI_ROM_ADDRESS, 4));
}

/* A BAR's halves and bytes can be written one by one. */
TEST_F(config, partial_writes)
{
	struct test_vdev *v = &self->v;

	EXPECT_EQ(0, cfg_write(v, PCI_BASE_ADDRESS_1, 0x11223344, 4));
	EXPECT_EQ(0, cfg_write(v, PCI_BASE_ADDRESS_1 + 2, 0xaabb, 2));
	EXPECT_EQ(0xaabb3344, cfg_read(v, PCI_BASE_ADDRESS_1, 4));
	EXPECT_EQ(0, cfg_write(v, PCI_BASE_ADDRESS_1 + 1, 0xcc, 1));
	EXPECT_EQ(0xaabbcc44, cfg_read(v, PCI_BASE_ADDRESS_1, 4));
	EXPECT_EQ(0xbbcc, cfg_read(v, PCI_BASE_ADDRESS_1 + 1, 1) |
			  cfg_read(v, PCI_BASE_ADDRESS_1 + 2, 1) << 8);
	/* The command register does not reach the status register behind it. */
	EXPECT_EQ(0, cfg_write(v, PCI_COMMAND, 0xffff0000 | PCI_COMMAND_MEMORY, 4));
	EXPECT_EQ(PCI_COMMAND_MEMORY, cfg_read(v, PCI_COMMAND, 2));
	EXPECT_EQ(PCI_STATUS_CAP_LIST, cfg_read(v, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
}

TEST_F(config, command_register)
{
	const uint16_t keep = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	struct test_vdev *v = &self->v;
	uint32_t value;

	EXPECT_EQ(0, cfg_write(v, PCI_COMMAND, keep, 2));
	EXPECT_EQ(keep, cfg_read(v, PCI_COMMAND, 2));
	EXPECT_EQ(0, cfg_write(v, PCI_COMMAND, 0xffff, 2));
	value = cfg_read(v, PCI_COMMAND, 2);
	EXPECT_EQ(keep, value & keep);
	/* No I/O ports, and nothing that PCI Express hardwires to 0. */
	EXPECT_EQ(0, value & (PCI_COMMAND_IO | PCI_COMMAND_SPECIAL | PCI_COMMAND_INVALIDATE |
			      PCI_COMMAND_VGA_PALETTE | PCI_COMMAND_WAIT |
			      PCI_COMMAND_FAST_BACK | 0xf800));
	EXPECT_EQ(0, cfg_write(v, PCI_COMMAND, 0, 2));
	EXPECT_EQ(0, cfg_read(v, PCI_COMMAND, 2));
}

/* Ones and zeros written to read-only places change nothing. */
TEST_F(config, read_only)
{
	static const struct { uint16_t off, len; } ro[] = {
		{ PCI_VENDOR_ID, 2 }, { PCI_DEVICE_ID, 2 }, { PCI_REVISION_ID, 1 },
		{ PCI_CLASS_PROG, 1 }, { PCI_CLASS_DEVICE, 2 }, { PCI_HEADER_TYPE, 1 },
		{ PCI_SUBSYSTEM_VENDOR_ID, 2 }, { PCI_SUBSYSTEM_ID, 2 },
		{ PCI_CAPABILITY_LIST, 1 }, { PCI_INTERRUPT_PIN, 1 }, { PCI_STATUS, 2 },
		{ PCI_CARDBUS_CIS, 4 },
	};
	struct test_vdev *v = &self->v;
	unsigned int i;

	for (i = 0; i < sizeof(ro) / sizeof(*ro); i++) {
		uint32_t before = cfg_read(v, ro[i].off, ro[i].len);

		EXPECT_EQ(0, cfg_write(v, ro[i].off, ~0u, ro[i].len));
		EXPECT_EQ(before, cfg_read(v, ro[i].off, ro[i].len)) {
			TH_LOG("offset 0x%x took ones", ro[i].off);
		}
		EXPECT_EQ(0, cfg_write(v, ro[i].off, 0, ro[i].len));
		EXPECT_EQ(before, cfg_read(v, ro[i].off, ro[i].len)) {
			TH_LOG("offset 0x%x took zeros", ro[i].off);
		}
	}
	/* The interrupt line is a scratch register of software. */
	EXPECT_EQ(0, cfg_write(v, PCI_INTERRUPT_LINE, 0x5a, 1));
	EXPECT_EQ(0x5a, cfg_read(v, PCI_INTERRUPT_LINE, 1));
}

TEST_F(config, msix)
{
	struct test_vdev *v = &self->v;
	uint32_t table, pba;
	uint16_t flags;
	int pos = find_cap(v, PCI_CAP_ID_MSIX);

	ASSERT_GT(pos, 0);
	/* No INTx and no MSI: DSA has MSI-X only. */
	EXPECT_EQ(0, find_cap(v, PCI_CAP_ID_MSI));
	flags = cfg_read(v, pos + PCI_MSIX_FLAGS, 2);
	EXPECT_EQ(2 - 1, flags & PCI_MSIX_FLAGS_QSIZE);
	EXPECT_EQ(0, flags & (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL));

	/* Table and PBA lie in BAR0, behind the registers, and do not overlap. */
	table = cfg_read(v, pos + PCI_MSIX_TABLE, 4);
	pba = cfg_read(v, pos + PCI_MSIX_PBA, 4);
	EXPECT_EQ(0, table & PCI_MSIX_TABLE_BIR);
	EXPECT_EQ(0, pba & PCI_MSIX_PBA_BIR);
	table &= PCI_MSIX_TABLE_OFFSET;
	pba &= PCI_MSIX_PBA_OFFSET;
	EXPECT_GE(table, 0x100);
	EXPECT_LE(table + 2 * 16, v->dsa.regs.size);
	EXPECT_LE(pba + 8, v->dsa.regs.size);
	EXPECT_TRUE(pba >= table + 2 * 16 || pba + 8 <= table);

	/* Only Enable and Function Mask can be written. */
	EXPECT_EQ(0, cfg_write(v, pos + PCI_MSIX_FLAGS, 0xffff, 2));
	EXPECT_EQ((2 - 1) | PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL,
		  cfg_read(v, pos + PCI_MSIX_FLAGS, 2));
	EXPECT_EQ(0, cfg_write(v, pos + PCI_MSIX_FLAGS, 0, 2));
	EXPECT_EQ(2 - 1, cfg_read(v, pos + PCI_MSIX_FLAGS, 2));
	EXPECT_EQ(0, cfg_write(v, pos + PCI_MSIX_TABLE, ~0u, 4));
	EXPECT_EQ(table, cfg_read(v, pos + PCI_MSIX_TABLE, 4));
}

/* The MSI-X table is memory with a mask bit that is set at first. */
TEST_F(config, msix_table)
{
	struct test_vdev *v = &self->v;
	int pos = find_cap(v, PCI_CAP_ID_MSIX);
	uint32_t table;
	int i;

	ASSERT_GT(pos, 0);
	table = cfg_read(v, pos + PCI_MSIX_TABLE, 4) & PCI_MSIX_TABLE_OFFSET;
	EXPECT_EQ(0, cfg_write(v, PCI_COMMAND, PCI_COMMAND_MEMORY, 2));
	for (i = 0; i < 2; i++) {
		uint32_t ent = table + i * PCI_MSIX_ENTRY_SIZE;

		EXPECT_EQ(PCI_MSIX_ENTRY_CTRL_MASKBIT,
			  dsa_read32(&v->dsa, ent + PCI_MSIX_ENTRY_VECTOR_CTRL));
		/* What is reserved stays 0 */
		EXPECT_EQ(0, dsa_write32(&v->dsa, ent, ~0u));
		EXPECT_EQ(~3u, dsa_read32(&v->dsa, ent));
		EXPECT_EQ(0, dsa_write32(&v->dsa, ent + PCI_MSIX_ENTRY_VECTOR_CTRL, ~0u));
		EXPECT_EQ(PCI_MSIX_ENTRY_CTRL_MASKBIT,
			  dsa_read32(&v->dsa, ent + PCI_MSIX_ENTRY_VECTOR_CTRL));
		EXPECT_EQ(0, dsa_write32(&v->dsa, ent, 0xfee00000 + (i << 12)));
		EXPECT_EQ(0, dsa_write32(&v->dsa, ent + PCI_MSIX_ENTRY_DATA, 0x4020 + i));
		EXPECT_EQ(0, dsa_write32(&v->dsa, ent + PCI_MSIX_ENTRY_VECTOR_CTRL, 0));
	}
	for (i = 0; i < 2; i++) {
		uint32_t ent = table + i * PCI_MSIX_ENTRY_SIZE;

		EXPECT_EQ(0xfee00000 + (i << 12), dsa_read64(&v->dsa, ent));
		EXPECT_EQ(0x4020 + i, dsa_read32(&v->dsa, ent + PCI_MSIX_ENTRY_DATA));
		EXPECT_EQ(0, dsa_read32(&v->dsa, ent + PCI_MSIX_ENTRY_VECTOR_CTRL));
	}
}

TEST_F(config, pcie)
{
	struct test_vdev *v = &self->v;
	uint16_t flags;
	uint32_t cap;
	int pos = find_cap(v, PCI_CAP_ID_EXP);

	ASSERT_GT(pos, 0);
	flags = cfg_read(v, pos + PCI_EXP_FLAGS, 2);
	EXPECT_EQ(2, flags & PCI_EXP_FLAGS_VERS);
	EXPECT_TRUE((flags & PCI_EXP_FLAGS_TYPE) >> 4 == PCI_EXP_TYPE_ENDPOINT ||
		    (flags & PCI_EXP_FLAGS_TYPE) >> 4 == PCI_EXP_TYPE_RC_END);
	cap = cfg_read(v, pos + PCI_EXP_DEVCAP, 4);
	EXPECT_EQ(PCI_EXP_DEVCAP_FLR, cap & PCI_EXP_DEVCAP_FLR);
	EXPECT_EQ(0, cfg_write(v, pos + PCI_EXP_DEVCAP, 0, 4));
	EXPECT_EQ(cap, cfg_read(v, pos + PCI_EXP_DEVCAP, 4));
}

/* Make a device that a reset has something to do on. */
static int dirty(struct test_vdev *v)
{
	uint32_t mark = 0xfe000000;
	int ret;

	ret = test_vdev_attach(v, 1 << 16);
	if (!ret)
		ret = dsa_start(&v->dsa);
	if (!ret)
		ret = cfg_write(v, PCI_BASE_ADDRESS_0, mark, 4);
	if (!ret)
		ret = cfg_write(v, find_cap(v, PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS,
				PCI_MSIX_FLAGS_ENABLE, 2);
	return ret;
}

static bool is_clean(struct test_vdev *v)
{
	bool config = cfg_read(v, PCI_COMMAND, 2) == 0 &&
		      (cfg_read(v, PCI_BASE_ADDRESS_0, 4) & PCI_BASE_ADDRESS_MEM_MASK) == 0 &&
		      cfg_read(v, find_cap(v, PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS, 2) == 2 - 1;

	/* Registers may be out of reach with memory decoding off. */
	cfg_write(v, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	return config && GENSTS_STATE(dsa_read32(&v->dsa, DSA_GENSTS)) == GENSTS_DISABLED &&
	       WQCFG_WQ_STATE(dsa_wqcfg(&v->dsa, WQCFG_STATE)) == 0;
}

TEST_F(config, function_level_reset)
{
	struct test_vdev *v = &self->v;
	int pos = find_cap(v, PCI_CAP_ID_EXP);
	uint16_t ctl;

	ASSERT_GT(pos, 0);
	ASSERT_EQ(0, dirty(v));
	EXPECT_FALSE(is_clean(v));
	ctl = cfg_read(v, pos + PCI_EXP_DEVCTL, 2);
	EXPECT_EQ(0, ctl & PCI_EXP_DEVCTL_BCR_FLR);
	EXPECT_EQ(0, cfg_write(v, pos + PCI_EXP_DEVCTL, ctl | PCI_EXP_DEVCTL_BCR_FLR, 2));
	EXPECT_TRUE(is_clean(v));
	EXPECT_EQ(0, cfg_read(v, pos + PCI_EXP_DEVCTL, 2) & PCI_EXP_DEVCTL_BCR_FLR);

	/* The user keeps its address space, and the device can be started again. */
	ASSERT_EQ(0, dsa_start(&v->dsa));
	struct dsa_hw_desc desc = dsa_desc(&v->mem, 0, DSA_OPCODE_NOOP);

	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(&v->dsa, &v->mem, &desc));
}

TEST_F(config, reset_ioctl)
{
	struct test_vdev *v = &self->v;
	struct vfio_device_info info;

	ASSERT_EQ(0, vdev_info(v->fd, &info));
	EXPECT_EQ(VFIO_DEVICE_FLAGS_RESET, info.flags & VFIO_DEVICE_FLAGS_RESET);
	ASSERT_EQ(0, dirty(v));
	EXPECT_FALSE(is_clean(v));
	EXPECT_EQ(0, vdev_reset(v->fd));
	EXPECT_TRUE(is_clean(v));
	ASSERT_EQ(0, dsa_start(&v->dsa));
	struct dsa_hw_desc desc = dsa_desc(&v->mem, 0, DSA_OPCODE_NOOP);

	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(&v->dsa, &v->mem, &desc));
}

/* The next user finds a new device, whatever the last one left. */
TEST_F(config, reset_on_close)
{
	struct test_vdev *v = &self->v;

	ASSERT_EQ(0, dirty(v));
	EXPECT_FALSE(is_clean(v));
	close(v->fd);
	v->fd = vdev_open(v->uuid);
	ASSERT_GE(v->fd, 0);
	ASSERT_EQ(0, vdev_bind(v->fd, v->iommufd, &v->devid));
	ASSERT_EQ(0, dsa_init(&v->dsa, v->fd));
	EXPECT_TRUE(is_clean(v));
}

TEST_HARNESS_MAIN
