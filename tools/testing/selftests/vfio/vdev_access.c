// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regions of a vdev and bad input to them: wrong argsz, accesses of the wrong
 * size or place, and mmap of what is not a portal. Nothing is lost by any of it.
 */
#include "vdev_harness.h"

FIXTURE(access) {
	struct dsa_pool pool;
	struct test_vdev v;
};

FIXTURE_SETUP(access)
{
	TEST_POOL(&self->pool, 2);
	ASSERT_EQ(0, test_vdev_up(&self->v, &self->pool, STARTED, 1 << 16));
}

FIXTURE_TEARDOWN(access)
{
	EXPECT_EQ(0, test_vdev_down(&self->v));
}

/* After whatever was tried, the vdev still works. */
#define EXPECT_ALIVE(v) do {							\
	struct dsa_hw_desc __desc = dsa_desc(&(v)->mem, 0, DSA_OPCODE_NOOP);	\
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(&(v)->dsa, &(v)->mem, &__desc));	\
} while (0)

TEST_F(access, regions)
{
	struct vfio_device_info info;
	struct vdev_region region;
	unsigned int i;

	ASSERT_EQ(0, vdev_info(self->v.fd, &info));
	for (i = 0; i < info.num_regions; i++) {
		bool real = i == VFIO_PCI_BAR0_REGION_INDEX || i == VFIO_PCI_BAR2_REGION_INDEX ||
			    i == VFIO_PCI_CONFIG_REGION_INDEX;

		/* A region that is not there may be refused or have no size. */
		if (vdev_region_info(self->v.fd, i, &region)) {
			EXPECT_FALSE(real);
			continue;
		}
		/* Others are not of PCI, and say what they are */
		if (i >= VFIO_PCI_NUM_REGIONS) {
			EXPECT_NE(0, region.type);
			continue;
		}
		EXPECT_EQ(real, region.size != 0) {
			TH_LOG("region %u has size 0x%llx", i, (long long)region.size);
		}
		EXPECT_EQ(real ? VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE : 0,
			  region.flags & (VFIO_REGION_INFO_FLAG_READ |
					  VFIO_REGION_INFO_FLAG_WRITE));
	}
	EXPECT_EQ(-EINVAL, vdev_region_info(self->v.fd, info.num_regions, &region));
	EXPECT_EQ(-EINVAL, vdev_region_info(self->v.fd, ~0u, &region));

	/* Only the two portal pages can be mapped; the register file never. */
	EXPECT_EQ(0, self->v.dsa.regs.flags & VFIO_REGION_INFO_FLAG_MMAP);
	EXPECT_TRUE(dsa_can_map(&self->v.dsa));
	EXPECT_TRUE(self->v.dsa.portals.sparse);
	for (i = 0; i < self->v.dsa.portals.nr_areas; i++) {
		EXPECT_LE(self->v.dsa.portals.areas[i].offset + self->v.dsa.portals.areas[i].size,
			  2 * PORTAL_PAGE);
		EXPECT_GT(self->v.dsa.portals.areas[i].size, 0);
	}
	EXPECT_GE(self->v.dsa.portals.nr_areas, 1);
}

TEST_F(access, argsz)
{
	union {
		struct vfio_device_info dev;
		struct vfio_region_info region;
		char buf[512];
	} u;
	uint32_t full;

	memset(&u, 0, sizeof(u));
	u.dev.argsz = offsetof(struct vfio_device_info, num_irqs);
	EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_DEVICE_GET_INFO, &u));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_DEVICE_GET_INFO, NULL));
	EXPECT_EQ(EFAULT, errno);

	memset(&u, 0, sizeof(u));
	u.region.argsz = sizeof(u.region) - 1;
	u.region.index = VFIO_PCI_BAR2_REGION_INDEX;
	EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_DEVICE_GET_REGION_INFO, &u));
	EXPECT_EQ(EINVAL, errno);

	/* Room for the struct but not for its capabilities: told how much to bring. */
	memset(&u, 0, sizeof(u));
	u.region.argsz = sizeof(u.region);
	u.region.index = VFIO_PCI_BAR2_REGION_INDEX;
	EXPECT_EQ(0, ioctl(self->v.fd, VFIO_DEVICE_GET_REGION_INFO, &u));
	EXPECT_GT(u.region.argsz, sizeof(u.region));
	EXPECT_EQ(0, u.region.cap_offset);
	full = u.region.argsz;
	EXPECT_EQ(0, ioctl(self->v.fd, VFIO_DEVICE_GET_REGION_INFO, &u));
	EXPECT_EQ(sizeof(u.region), u.region.cap_offset);
	EXPECT_EQ(full, u.region.argsz);
}

TEST_F(access, unknown_calls)
{
	EXPECT_EQ(-1, ioctl(self->v.fd, _IO(VFIO_TYPE, VFIO_BASE + 99), NULL));
	EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_GET_API_VERSION, NULL));
	EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_GROUP_GET_STATUS, NULL));
	EXPECT_EQ(-1, ioctl(self->v.fd, IOMMU_IOAS_ALLOC, NULL));
	EXPECT_ALIVE(&self->v);
}

/* Accesses are naturally aligned and of 1, 2, 4 or 8 bytes. */
TEST_F(access, register_sizes)
{
	struct test_vdev *v = &self->v;
	uint64_t gencap = dsa_read64(&v->dsa, DSA_GENCAP);
	static const struct { uint32_t off, len; } bad[] = {
		{ DSA_GENCAP + 1, 4 }, { DSA_GENCAP + 2, 4 }, { DSA_GENCAP + 3, 8 },
		{ DSA_GENCAP + 4, 8 }, { DSA_GENCAP, 3 }, { DSA_GENCAP, 5 }, { DSA_GENCAP, 7 },
		{ DSA_GENCAP, 9 }, { DSA_GENCAP, 16 }, { DSA_GENCAP, 64 }, { DSA_GENCAP + 1, 2 },
	};
	uint8_t buf[64], pattern[64], byte, bytes[2];
	unsigned int i;

	EXPECT_NE(0, gencap);
	EXPECT_EQ((uint32_t)gencap, dsa_read32(&v->dsa, DSA_GENCAP));
	EXPECT_EQ((uint32_t)(gencap >> 32), dsa_read32(&v->dsa, DSA_GENCAP + 4));
	memset(pattern, 0xa5, sizeof(pattern));
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		memcpy(buf, pattern, sizeof(buf));
		EXPECT_GT(0, vdev_read(v->fd, &v->dsa.regs, bad[i].off, buf, bad[i].len)) {
			TH_LOG("read of %u bytes at 0x%x was taken", bad[i].len, bad[i].off);
		}
		EXPECT_EQ(0, memcmp(buf, pattern, sizeof(buf)));
		memset(buf, 0, sizeof(buf));
		EXPECT_GT(0, vdev_write(v->fd, &v->dsa.regs, bad[i].off, buf, bad[i].len)) {
			TH_LOG("write of %u bytes at 0x%x was taken", bad[i].len, bad[i].off);
		}
	}
	EXPECT_EQ(gencap, dsa_read64(&v->dsa, DSA_GENCAP));

	/* Bytes of a register can be read alone; written, they have no effect. */
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(0, vdev_read(v->fd, &v->dsa.regs, DSA_GENCAP + i, &byte, 1));
		EXPECT_EQ((uint8_t)(gencap >> 8 * i), byte);
	}
	EXPECT_EQ(0, vdev_read(v->fd, &v->dsa.regs, DSA_GENCAP + 2, bytes, 2));
	EXPECT_EQ((uint16_t)(gencap >> 16), bytes[0] | bytes[1] << 8);
	memset(bytes, 0xff, 2);
	EXPECT_EQ(0, vdev_write(v->fd, &v->dsa.regs, DSA_GENCTRL, bytes, 1));
	EXPECT_EQ(0, vdev_write(v->fd, &v->dsa.regs, DSA_GENCTRL, bytes, 2));
	EXPECT_EQ(0, dsa_read32(&v->dsa, DSA_GENCTRL));
	EXPECT_ALIVE(v);
}

/* With Memory Space Enable off nothing answers in the BARs. */
TEST_F(access, memory_space_off)
{
	struct dsa_hw_desc desc = dsa_desc(&self->v.mem, 0, DSA_OPCODE_NOOP);
	struct test_vdev *v = &self->v;
	uint64_t value;

	ASSERT_EQ(0, dsa_set_command(&v->dsa, PCI_COMMAND_MASTER));
	EXPECT_EQ(-EIO, vdev_read(v->fd, &v->dsa.regs, DSA_GENCAP, &value, 8));
	EXPECT_EQ(-EIO, vdev_write(v->fd, &v->dsa.regs, DSA_GENCTRL, &value, 4));
	EXPECT_EQ(-EIO, dsa_submit(&v->dsa, &desc));
	EXPECT_EQ(-ETIMEDOUT, dsa_wait(dsa_cr(&v->mem, 0), 100));
	/* Nor does a portal that is mapped */
	ASSERT_EQ(0, dsa_map(&v->dsa, PORTAL_LIMITED));
	EXPECT_TRUE(submit_faults(&v->dsa, &desc));
	/* Config space does, and brings it back. */
	ASSERT_EQ(0, dsa_start(&v->dsa));
	EXPECT_ALIVE(v);
}

TEST_F(access, past_the_end)
{
	struct vdev_region *regions[] = {
		&self->v.dsa.cfg, &self->v.dsa.regs, &self->v.dsa.portals,
	};
	uint64_t value = 0;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		struct vdev_region *r = regions[i];

		/* Nothing is transferred: an error, or nothing read. */
		EXPECT_GE(0, pread(self->v.fd, &value, 4, r->offset + r->size));
		EXPECT_GE(0, pwrite(self->v.fd, &value, 4, r->offset + r->size));
		EXPECT_GE(0, pread(self->v.fd, &value, 8, r->offset + r->size + 0x1000));
		/* Half in and half out: what is out is not touched. */
		EXPECT_GE(4, pread(self->v.fd, &value, 8, r->offset + r->size - 4));
		EXPECT_GE(4, pwrite(self->v.fd, &value, 8, r->offset + r->size - 4));
	}
	EXPECT_EQ(0, value >> 32);
	/* Regions that do not exist, and the far end of the file. */
	EXPECT_GE(0, pread(self->v.fd, &value, 4, 1ull << 60));
	EXPECT_GE(0, pwrite(self->v.fd, &value, 4, 1ull << 60));
	EXPECT_GE(0, pread(self->v.fd, &value, 4, 0x7ffffffffffffff8ull));
	EXPECT_ALIVE(&self->v);
}

/* A buffer that is not there is -EFAULT and no side effect. */
TEST_F(access, bad_pointer)
{
	struct test_vdev *v = &self->v;
	void *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, hole);
	EXPECT_EQ(-EFAULT, vdev_read(v->fd, &v->dsa.regs, DSA_GENCAP, hole, 8));
	EXPECT_EQ(-EFAULT, vdev_write(v->fd, &v->dsa.regs, DSA_CMD, hole, 4));
	EXPECT_EQ(-EFAULT, vdev_read(v->fd, &v->dsa.cfg, 0, hole, 4));
	EXPECT_EQ(-EFAULT, vdev_write(v->fd, &v->dsa.portals, 0x1000, hole, 64));
	EXPECT_EQ(GENSTS_ENABLED, GENSTS_STATE(dsa_read32(&v->dsa, DSA_GENSTS)));
	EXPECT_ALIVE(v);
}

TEST_F(access, config_sizes)
{
	struct test_vdev *v = &self->v;
	uint64_t value = 0;

	/* Of any size, anywhere */
	EXPECT_EQ(0, vdev_read(v->fd, &v->dsa.cfg, 1, &value, 2));
	EXPECT_EQ(0x2580, value);
	EXPECT_EQ(0, vdev_read(v->fd, &v->dsa.cfg, 0, &value, 8));
	EXPECT_EQ(0x0b258086, (uint32_t)value);
	EXPECT_ALIVE(v);
}

static int try_mmap(struct test_vdev *v, uint64_t off, size_t len, int prot, int flags)
{
	void *va = mmap(NULL, len, prot, flags, v->fd, v->dsa.portals.offset + off);

	if (va == MAP_FAILED)
		return -errno;
	munmap(va, len);
	return 0;
}

TEST_F(access, mmap)
{
	const int rw = PROT_READ | PROT_WRITE;
	struct test_vdev *v = &self->v;
	void *va;

	/* The two portals, alone and together. */
	EXPECT_EQ(0, try_mmap(v, 0x0000, 0x1000, rw, MAP_SHARED));
	EXPECT_EQ(0, try_mmap(v, 0x1000, 0x1000, rw, MAP_SHARED));
	EXPECT_EQ(0, try_mmap(v, 0x0000, 0x2000, rw, MAP_SHARED));
	EXPECT_EQ(0, try_mmap(v, 0x1000, 0x1000, PROT_WRITE, MAP_SHARED));

	/* What is not a portal, or not only, or beyond the BAR. */
	EXPECT_GT(0, try_mmap(v, 0x2000, 0x1000, rw, MAP_SHARED));
	EXPECT_GT(0, try_mmap(v, 0x3000, 0x1000, rw, MAP_SHARED));
	EXPECT_GT(0, try_mmap(v, 0x1000, 0x2000, rw, MAP_SHARED));
	EXPECT_GT(0, try_mmap(v, 0x0000, 0x4000, rw, MAP_SHARED));
	EXPECT_GT(0, try_mmap(v, 0x4000, 0x1000, rw, MAP_SHARED));
	EXPECT_GT(0, try_mmap(v, 0x0000, 1ull << 40, rw, MAP_SHARED));
	/* A private copy of a portal is no portal. */
	EXPECT_GT(0, try_mmap(v, 0x1000, 0x1000, rw, MAP_PRIVATE));

	/* Registers and config space are never mapped. */
	va = mmap(NULL, 0x1000, rw, MAP_SHARED, v->fd, v->dsa.regs.offset);
	EXPECT_EQ(MAP_FAILED, va);
	va = mmap(NULL, 0x1000, rw, MAP_SHARED, v->fd, v->dsa.cfg.offset);
	EXPECT_EQ(MAP_FAILED, va);
	/* A mapping cannot be grown over the next page either. */
	va = mmap(NULL, 0x1000, rw, MAP_SHARED, v->fd, v->dsa.portals.offset + 0x1000);
	ASSERT_NE(MAP_FAILED, va);
	EXPECT_EQ(MAP_FAILED, mremap(va, 0x1000, 0x2000, MREMAP_MAYMOVE));
	/* A mapping holds the vdev open as a file does. */
	munmap(va, 0x1000);
	EXPECT_ALIVE(v);
}

/* Without CAP_SYS_RAWIO a device that is not safe has no page to map. */
TEST_F(access, unprivileged)
{
	struct test_vdev v;

	ASSERT_EQ(0, drop_rawio());
	ASSERT_EQ(0, test_vdev_up(&v, &self->pool, STARTED, 1 << 16));
	EXPECT_FALSE(dsa_can_map(&v.dsa));
	EXPECT_EQ(0, v.dsa.portals.nr_areas);
	EXPECT_GT(0, try_mmap(&v, 0x0000, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED));
	EXPECT_GT(0, try_mmap(&v, 0x1000, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED));
	EXPECT_GT(0, try_mmap(&v, 0x1000, 0x1000, PROT_WRITE, MAP_SHARED));
	EXPECT_ALIVE(&v);
	EXPECT_EQ(0, test_vdev_down(&v));
}

/* Portal pages: only whole, aligned 64 bytes make a descriptor. */
TEST_F(access, portal_sizes)
{
	struct test_vdev *v = &self->v;
	struct dsa_hw_desc desc = dsa_desc(&v->mem, 1, DSA_OPCODE_NOOP);
	uint8_t *bytes = (uint8_t *)&desc;
	char buf[128] = { 0 };
	unsigned int i;

	/* Reading a portal gives nothing of a descriptor. */
	EXPECT_EQ(0, vdev_read(v->fd, &v->dsa.portals, 0x1000, buf, 8));
	EXPECT_TRUE(is_all((uint8_t *)buf, 8, 0xff));

	/* Every piece but the last one: no descriptor yet. */
	for (i = 0; i < 56; i += 8)
		EXPECT_EQ(0, vdev_write(v->fd, &v->dsa.portals, 0x1000 + i, bytes + i, 8));
	EXPECT_EQ(-ETIMEDOUT, dsa_wait(dsa_cr(&v->mem, 1), 200));
	EXPECT_EQ(0, vdev_write(v->fd, &v->dsa.portals, 0x1000 + 56, bytes + 56, 8));
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_wait(dsa_cr(&v->mem, 1), 5000));

	/* Unaligned by 8, and across a descriptor's end: never a submission. */
	desc = dsa_desc(&v->mem, 1, DSA_OPCODE_NOOP);
	vdev_write(v->fd, &v->dsa.portals, 0x1008, &desc, 64);
	vdev_write(v->fd, &v->dsa.portals, 0x1004, &desc, 64);
	vdev_write(v->fd, &v->dsa.portals, 0x1001, &desc, 64);
	/* The IMS pages are not portals. */
	vdev_write(v->fd, &v->dsa.portals, 0x2000, &desc, 64);
	vdev_write(v->fd, &v->dsa.portals, 0x3000, &desc, 64);
	EXPECT_EQ(-ETIMEDOUT, dsa_wait(dsa_cr(&v->mem, 1), 200));

	/* Any 64-byte slot of the two pages is as good as another. */
	for (i = 0; i < 0x2000; i += 0x7c0) {
		desc = dsa_desc(&v->mem, 1, DSA_OPCODE_NOOP);
		EXPECT_EQ(0, vdev_write(v->fd, &v->dsa.portals, i & ~63u, &desc, 64));
		EXPECT_EQ(DSA_COMP_SUCCESS, dsa_wait(dsa_cr(&v->mem, 1), 5000)) {
			TH_LOG("slot 0x%x", i & ~63u);
		}
	}
}

TEST_HARNESS_MAIN
