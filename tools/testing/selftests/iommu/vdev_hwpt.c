// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page tables: those that iommufd makes for an IOAS, and those that the user has made by
 * IOMMU_HWPT_ALLOC with the ID of a vdev. Either can serve any number of vdevs, and
 * then there is one of it, not one for each.
 */
#include "vdev_harness.h"

#define NR_VDEVS	4
#define MEM_SIZE	(1 << 16)
#define IOMMU_DEBUGFS	"/sys/kernel/debug/iommu/intel"

FIXTURE(hwpt) {
	struct dsa_pool pool;
	struct test_vdev v[NR_VDEVS];
	struct dsa_mem mem;
	int iommufd;
	uint32_t ioas;
};

/* All vdevs are bound to one iommufd, which has one IOAS with some memory. */
FIXTURE_SETUP(hwpt)
{
	int i;

	TEST_POOL(&self->pool, NR_VDEVS);
	self->iommufd = iommufd_open();
	ASSERT_LE(0, self->iommufd);
	for (i = 0; i < NR_VDEVS; i++) {
		struct test_vdev *v = &self->v[i];

		ASSERT_EQ(0, test_vdev_up(v, &self->pool, OPENED, 0));
		close(v->iommufd);
		v->iommufd = -1;
		ASSERT_EQ(0, vdev_bind(v->fd, self->iommufd, &v->devid));
		ASSERT_EQ(0, dsa_init(&v->dsa, v->fd));
	}
	ASSERT_EQ(0, ioas_alloc(self->iommufd, &self->ioas));
	ASSERT_EQ(0, dsa_mem_alloc(&self->mem, self->iommufd, self->ioas, TEST_IOVA, MEM_SIZE));
}

FIXTURE_TEARDOWN(hwpt)
{
	int i;

	for (i = 0; i < NR_VDEVS; i++)
		EXPECT_EQ(0, test_vdev_down(&self->v[i]));
	close(self->iommufd);
	dsa_mem_free(&self->mem);
}

static int attach(struct test_vdev *v, uint32_t id)
{
	v->hwpt = id;
	return vdev_attach(v->fd, &v->hwpt) ?: dsa_start(&v->dsa);
}

/* Where the IOMMU finds the page table of the PASID of a vdev, or 0 */
static unsigned long long page_table(const char *pf, const char *uuid)
{
	char text[256], *at;

	if (sysfs_read(text, sizeof(text), IOMMU_DEBUGFS "/%s/%llx/domain_translation_struct", pf,
		       vdev_pasid(uuid)) <= 0)
		return 0;
	at = strchr(text, '@');
	return at ? strtoull(at + 1, NULL, 16) : 0;
}

/* Pages that all IOMMUs have for their tables */
static long iommu_pages(void)
{
	char text[16384], *at;

	/* Each CPU counts for itself at first */
	sysfs_write("1", "/proc/sys/vm/stat_refresh");
	if (sysfs_read(text, sizeof(text), "/proc/vmstat") <= 0)
		return -1;
	at = strstr(text, "nr_iommu_pages ");
	return at ? strtol(strchr(at, ' '), NULL, 10) : -1;
}

/* Memory in places far apart, each of which needs tables of its own */
static int map_widely(int iommufd, uint32_t ioas, void *va)
{
	uint64_t i;
	int ret = 0;

	for (i = 1; i <= 64 && !ret; i++)
		ret = ioas_map(iommufd, ioas, va, 4096, i << 30, IOAS_RW);
	return ret;
}

TEST_F(hwpt, one_for_an_ioas)
{
	unsigned long long table;
	long pages[3];
	uint32_t ioas;
	int i;

	ASSERT_EQ(0, map_widely(self->iommufd, self->ioas, self->mem.va));
	pages[0] = iommu_pages();
	ASSERT_LE(0, pages[0]);
	ASSERT_EQ(0, attach(&self->v[0], self->ioas));
	pages[1] = iommu_pages();
	/* Two levels below what is shared, for each place */
	EXPECT_LE(128, pages[1] - pages[0]);
	table = page_table(self->pool.parent, self->v[0].uuid);
	EXPECT_NE(0, table);
	for (i = 1; i < NR_VDEVS; i++) {
		ASSERT_EQ(0, attach(&self->v[i], self->ioas));
		EXPECT_EQ(self->v[0].hwpt, self->v[i].hwpt);
		EXPECT_EQ(table, page_table(self->pool.parent, self->v[i].uuid));
	}
	/* The other vdevs cost next to nothing */
	pages[2] = iommu_pages();
	EXPECT_GE(16, pages[2] - pages[1]);
	for (i = 0; i < NR_VDEVS; i++)
		EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&self->v[i].dsa, &self->mem, i));
	TH_LOG("%ld pages of tables for one vdev, %ld for %d", pages[1] - pages[0],
	       pages[2] - pages[0], NR_VDEVS);

	/* An IOAS of its own, though with the same in it, is another table */
	ASSERT_EQ(0, ioas_alloc(self->iommufd, &ioas));
	ASSERT_EQ(0, map_widely(self->iommufd, ioas, self->mem.va));
	ASSERT_EQ(0, ioas_map(self->iommufd, ioas, self->mem.va, MEM_SIZE, TEST_IOVA, IOAS_RW));
	ASSERT_EQ(0, attach(&self->v[3], ioas));
	EXPECT_NE(self->v[0].hwpt, self->v[3].hwpt);
	EXPECT_NE(table, page_table(self->pool.parent, self->v[3].uuid));
	EXPECT_LE(128, iommu_pages() - pages[2]);
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&self->v[3].dsa, &self->mem, 77));

	/* One that goes does not take it from the others; the last one does */
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(-EBUSY, iommufd_destroy(self->iommufd, self->ioas));
		EXPECT_EQ(0, vdev_detach(self->v[i].fd));
		EXPECT_EQ(0, page_table(self->pool.parent, self->v[i].uuid));
		if (i < 2)
			EXPECT_EQ(DSA_COMP_SUCCESS,
				  test_copy(&self->v[2].dsa, &self->mem, 78 + i));
	}
	EXPECT_EQ(-ENOENT, iommufd_destroy(self->iommufd, self->v[0].hwpt));
	EXPECT_EQ(0, iommufd_destroy(self->iommufd, self->ioas));
}

/* What is mapped later, or no more, is so for all that share it. */
TEST_F(hwpt, shared_by_the_user)
{
	struct dsa_hw_desc desc;
	unsigned long long table;
	uint32_t hwpt;
	int i;

	ASSERT_EQ(0, hwpt_alloc(self->iommufd, self->v[0].devid, self->ioas, &hwpt));
	for (i = 0; i < NR_VDEVS; i++) {
		ASSERT_EQ(0, attach(&self->v[i], hwpt));
		EXPECT_EQ(hwpt, self->v[i].hwpt);
	}
	table = page_table(self->pool.parent, self->v[0].uuid);
	EXPECT_NE(0, table);
	for (i = 0; i < NR_VDEVS; i++) {
		EXPECT_EQ(table, page_table(self->pool.parent, self->v[i].uuid));
		EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&self->v[i].dsa, &self->mem, i));
	}
	ASSERT_EQ(0, ioas_map(self->iommufd, self->ioas, self->mem.va, 4096,
			      TEST_IOVA + (1 << 30), IOAS_RW));
	for (i = 0; i < NR_VDEVS; i++) {
		desc = dsa_desc_move(&self->mem, 0, TEST_SRC, TEST_DST, 64);
		desc.src_addr = TEST_IOVA + (1 << 30);
		EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(&self->v[i].dsa, &self->mem, &desc));
	}
	ASSERT_EQ(0, ioas_unmap(self->iommufd, self->ioas, TEST_IOVA + (1 << 30), 4096));
	for (i = 0; i < NR_VDEVS; i++)
		EXPECT_NE(DSA_COMP_SUCCESS, dsa_run(&self->v[i].dsa, &self->mem, &desc));

	/* In use until the last one has left, and it is the user who destroys it */
	for (i = 0; i < NR_VDEVS; i++) {
		EXPECT_EQ(-EBUSY, iommufd_destroy(self->iommufd, hwpt));
		EXPECT_EQ(0, vdev_detach(self->v[i].fd));
	}
	/* The IOAS is in use by the HWPT, whether that has a vdev or not */
	EXPECT_EQ(-EBUSY, iommufd_destroy(self->iommufd, self->ioas));
	EXPECT_EQ(0, iommufd_destroy(self->iommufd, hwpt));
	EXPECT_EQ(0, iommufd_destroy(self->iommufd, self->ioas));
}

/* From an IOAS to a HWPT and back, while another vdev has the HWPT all the time. */
TEST_F(hwpt, replace)
{
	struct test_vdev *v = &self->v[0], *w = &self->v[1];
	struct dsa_mem mem2 = { 0 };
	uint32_t ioas2, hwpt;
	int i;

	ASSERT_EQ(0, ioas_alloc(self->iommufd, &ioas2));
	/* The same IOVA is other memory there */
	ASSERT_EQ(0, dsa_mem_alloc(&mem2, self->iommufd, ioas2, TEST_IOVA, MEM_SIZE));
	ASSERT_EQ(0, hwpt_alloc(self->iommufd, w->devid, self->ioas, &hwpt));
	ASSERT_EQ(0, attach(w, hwpt));
	for (i = 0; i < 8; i++) {
		struct dsa_mem *now = i & 1 ? &self->mem : &mem2;
		struct dsa_mem *other = i & 1 ? &mem2 : &self->mem;

		ASSERT_EQ(0, attach(v, i & 1 ? hwpt : ioas2));
		memset(other->va + TEST_DST, 0x77, 4096);
		EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v->dsa, now, i));
		EXPECT_EQ(0x77, other->va[TEST_DST]);
		EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&w->dsa, &self->mem, 100 + i));
		EXPECT_EQ(i & 1, page_table(self->pool.parent, v->uuid) ==
				 page_table(self->pool.parent, w->uuid));
		EXPECT_EQ(-EBUSY, iommufd_destroy(self->iommufd, hwpt));
	}
	EXPECT_EQ(0, vdev_detach(w->fd));
	EXPECT_EQ(-EBUSY, iommufd_destroy(self->iommufd, hwpt));
	ASSERT_EQ(0, attach(v, ioas2));
	EXPECT_EQ(0, iommufd_destroy(self->iommufd, hwpt));
	dsa_mem_free(&mem2);
}

/* The vdev for which a HWPT was made can go before it. */
TEST_F(hwpt, outlives_its_vdev)
{
	uint32_t hwpt;

	ASSERT_EQ(0, hwpt_alloc(self->iommufd, self->v[0].devid, self->ioas, &hwpt));
	ASSERT_EQ(0, attach(&self->v[1], hwpt));
	close(self->v[0].fd);
	self->v[0].fd = -1;
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&self->v[1].dsa, &self->mem, 1));
	ASSERT_EQ(0, attach(&self->v[2], hwpt));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&self->v[2].dsa, &self->mem, 2));
	EXPECT_EQ(-EBUSY, iommufd_destroy(self->iommufd, hwpt));
}

TEST_F(hwpt, misuse)
{
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.dev_id = self->v[0].devid,
		.pt_id = self->ioas,
		.data_type = IOMMU_HWPT_DATA_NONE,
	};
	int other = iommufd_open();
	uint32_t hwpt, ioas;
	int i;

	/* Flags that there are not, and things that this IOMMU cannot do */
	cmd.flags = 1u << 31;
	EXPECT_EQ(-1, ioctl(self->iommufd, IOMMU_HWPT_ALLOC, &cmd));
	EXPECT_EQ(EOPNOTSUPP, errno);
	cmd.flags = 0;
	cmd.data_type = 99;
	EXPECT_EQ(-1, ioctl(self->iommufd, IOMMU_HWPT_ALLOC, &cmd));
	/* A vdev of another iommufd, whose IDs are others */
	for (i = 0; i < 16; i++)
		ASSERT_EQ(0, ioas_alloc(other, &ioas));
	EXPECT_EQ(-ENOENT, hwpt_alloc(other, self->v[3].devid + 16, ioas, &hwpt));
	/* A HWPT is made of an IOAS, not of a HWPT without nesting */
	ASSERT_EQ(0, hwpt_alloc(self->iommufd, self->v[0].devid, self->ioas, &hwpt));
	cmd.data_type = IOMMU_HWPT_DATA_NONE;
	cmd.pt_id = hwpt;
	EXPECT_EQ(-1, ioctl(self->iommufd, IOMMU_HWPT_ALLOC, &cmd));
	/* One that nobody uses goes, once */
	EXPECT_EQ(0, iommufd_destroy(self->iommufd, hwpt));
	EXPECT_EQ(-ENOENT, iommufd_destroy(self->iommufd, hwpt));
	EXPECT_EQ(-ENOENT, vdev_attach(self->v[0].fd, &hwpt));
	/* One that nobody destroyed goes with the iommufd */
	EXPECT_EQ(0, hwpt_alloc(self->iommufd, self->v[0].devid, self->ioas, &hwpt));
	close(other);
}

/* All vdevs of a PF have its IOMMU. */
TEST_F(hwpt, hw_info)
{
	struct iommu_hw_info_vtd vtd[NR_VDEVS];
	struct iommu_hw_info cmd = { .size = sizeof(cmd), .data_len = sizeof(*vtd) };
	struct {
		struct iommu_hw_info_vtd vtd;
		uint8_t more[64];
	} longer;
	int i;

	memset(vtd, 0, sizeof(vtd));
	for (i = 0; i < NR_VDEVS; i++) {
		cmd.dev_id = self->v[i].devid;
		cmd.data_uptr = (uintptr_t)&vtd[i];
		cmd.data_len = sizeof(*vtd);
		ASSERT_EQ(0, ioctl(self->iommufd, IOMMU_GET_HW_INFO, &cmd));
		EXPECT_EQ(IOMMU_HW_INFO_TYPE_INTEL_VTD, cmd.out_data_type);
		EXPECT_EQ(sizeof(*vtd), cmd.data_len);
		EXPECT_NE(0, vtd[i].cap_reg);
		EXPECT_EQ(0, memcmp(&vtd[0], &vtd[i], sizeof(*vtd)));
	}
	/* Less is cut off, more is cleared */
	memset(&longer, 0xff, sizeof(longer));
	cmd.data_uptr = (uintptr_t)&longer;
	cmd.data_len = sizeof(longer);
	ASSERT_EQ(0, ioctl(self->iommufd, IOMMU_GET_HW_INFO, &cmd));
	EXPECT_EQ(0, memcmp(&vtd[0], &longer.vtd, sizeof(*vtd)));
	EXPECT_EQ(0, longer.more[0] | longer.more[63]);
	cmd.data_len = 4;
	memset(&longer, 0xff, sizeof(longer));
	ASSERT_EQ(0, ioctl(self->iommufd, IOMMU_GET_HW_INFO, &cmd));
	EXPECT_EQ(0xffffffffffffffffull, longer.vtd.ecap_reg);
	cmd.dev_id = self->ioas;
	EXPECT_EQ(-1, ioctl(self->iommufd, IOMMU_GET_HW_INFO, &cmd));
	EXPECT_EQ(ENOENT, errno);
	cmd.dev_id = self->v[0].devid;
	cmd.flags = 1;
	EXPECT_EQ(-1, ioctl(self->iommufd, IOMMU_GET_HW_INFO, &cmd));
	EXPECT_EQ(EOPNOTSUPP, errno);
}

TEST_HARNESS_MAIN
