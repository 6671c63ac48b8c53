// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vdev and iommufd: bind, attach to an IOAS or a HWPT, replace, detach, and
 * what close undoes; with each way to do it wrong.
 */
#include <sys/eventfd.h>

#include "vdev_harness.h"

#define MEM_SIZE	(1 << 16)

FIXTURE(pasid) {
	struct dsa_pool pool;
	struct test_vdev v;
};

FIXTURE_SETUP(pasid)
{
	TEST_POOL(&self->pool, 2);
	ASSERT_EQ(0, test_vdev_up(&self->v, &self->pool, OPENED, 0));
}

FIXTURE_TEARDOWN(pasid)
{
	EXPECT_EQ(0, test_vdev_down(&self->v));
}

#define EXPECT_SENTENCE(uuid, start)						\
	EXPECT_TRUE(last_error_is_sentence(uuid, start)) {			\
		char __text[512] = "";						\
		vdev_attr(uuid, "last_error", __text, sizeof(__text));		\
		TH_LOG("last_error is \"%s\"", __text);				\
	}

static int bind(struct test_vdev *v)
{
	int ret = vdev_bind(v->fd, v->iommufd, &v->devid);

	return ret ?: dsa_init(&v->dsa, v->fd);
}

/* Before bind an open file gives access to nothing. */
TEST_F(pasid, nothing_before_bind)
{
	struct vfio_device_info info;
	uint32_t pt = 1, value;

	EXPECT_EQ(-EINVAL, vdev_info(self->v.fd, &info));
	EXPECT_EQ(-EINVAL, vdev_reset(self->v.fd));
	EXPECT_EQ(-EINVAL, vdev_attach(self->v.fd, &pt));
	EXPECT_EQ(-EINVAL, vdev_detach(self->v.fd));
	EXPECT_EQ(-1, pread(self->v.fd, &value, 4, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pwrite(self->v.fd, &value, 4, 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->v.fd, 0));
}

TEST_F(pasid, bind_misuse)
{
	struct vfio_device_bind_iommufd bind = { .iommufd = self->v.iommufd };
	int efd = eventfd(0, EFD_CLOEXEC), closed = dup(efd);

	for (bind.argsz = 0; bind.argsz < sizeof(bind); bind.argsz += 4) {
		EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_DEVICE_BIND_IOMMUFD, &bind));
		EXPECT_EQ(EINVAL, errno);
	}
	bind.flags = 1;
	EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_DEVICE_BIND_IOMMUFD, &bind));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_DEVICE_BIND_IOMMUFD, NULL));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-EINVAL, vdev_bind(self->v.fd, -1, NULL));
	close(closed);
	EXPECT_EQ(-EBADF, vdev_bind(self->v.fd, closed, NULL));
	/* Files of other kinds, the device's own among them. */
	EXPECT_GT(0, vdev_bind(self->v.fd, efd, NULL));
	EXPECT_GT(0, vdev_bind(self->v.fd, self->v.fd, NULL));
	EXPECT_TRUE(vdev_state_is(self->v.uuid, "closed"));

	EXPECT_EQ(0, vdev_bind(self->v.fd, self->v.iommufd, &self->v.devid));
	EXPECT_NE(0, self->v.devid);
}

/* A vdev belongs to at most one iommufd at a time. */
TEST_F(pasid, second_iommufd)
{
	int fd2, iommufd2 = iommufd_open(), ret;
	uint32_t devid;

	ASSERT_GE(iommufd2, 0);
	ASSERT_EQ(0, bind(&self->v));
	fd2 = vdev_open(self->v.uuid);
	ASSERT_GE(fd2, 0);
	EXPECT_EQ(-EBUSY, vdev_bind(fd2, iommufd2, &devid));
	EXPECT_SENTENCE(self->v.uuid, "cannot bind");
	EXPECT_EQ(-EBUSY, vdev_bind(fd2, self->v.iommufd, &devid));
	ret = vdev_bind(self->v.fd, iommufd2, &devid);
	EXPECT_TRUE(ret == -EBUSY || ret == -EINVAL);

	/* Neither the first user nor the next one suffers from the attempt. */
	EXPECT_TRUE(vdev_state_is(self->v.uuid, "bound"));
	ASSERT_EQ(0, test_vdev_attach(&self->v, MEM_SIZE));
	ASSERT_EQ(0, dsa_start(&self->v.dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&self->v.dsa, &self->v.mem, 1));
	close(self->v.fd);
	self->v.fd = fd2;
	EXPECT_EQ(0, vdev_bind(fd2, iommufd2, &devid));
	close(iommufd2);
}

TEST_F(pasid, attach_misuse)
{
	struct vfio_device_attach_iommufd_pt attach = { 0 };
	struct vfio_device_detach_iommufd_pt detach = { 0 };
	uint32_t pt;

	ASSERT_EQ(0, bind(&self->v));
	ASSERT_EQ(0, ioas_alloc(self->v.iommufd, &self->v.ioas));
	attach.pt_id = self->v.ioas;
	for (attach.argsz = 0; attach.argsz < sizeof(attach); attach.argsz += 4) {
		EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach));
		EXPECT_EQ(EINVAL, errno);
	}
	attach.flags = 1;
	EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, NULL));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach));
	EXPECT_EQ(EINVAL, errno);
	detach.argsz = sizeof(detach);
	detach.flags = 1;
	EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach));
	EXPECT_EQ(EINVAL, errno);

	/* Ids that are nothing, and one that is something else. */
	pt = 0xdead;
	EXPECT_EQ(-ENOENT, vdev_attach(self->v.fd, &pt));
	EXPECT_SENTENCE(self->v.uuid, "cannot attach");
	pt = 0;
	EXPECT_EQ(-ENOENT, vdev_attach(self->v.fd, &pt));
	pt = self->v.devid;
	EXPECT_EQ(-EINVAL, vdev_attach(self->v.fd, &pt));
	EXPECT_TRUE(vdev_state_is(self->v.uuid, "bound"));

	/* An attached vdev keeps its address space through a refused attach. */
	ASSERT_EQ(0, dsa_mem_alloc(&self->v.mem, self->v.iommufd, self->v.ioas, TEST_IOVA,
				   MEM_SIZE));
	pt = self->v.ioas;
	ASSERT_EQ(0, vdev_attach(self->v.fd, &pt));
	ASSERT_EQ(0, dsa_start(&self->v.dsa));
	pt = 0xdead;
	EXPECT_EQ(-ENOENT, vdev_attach(self->v.fd, &pt));
	EXPECT_TRUE(vdev_state_is(self->v.uuid, "attached"));
	ASSERT_EQ(0, dsa_start(&self->v.dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&self->v.dsa, &self->v.mem, 2));
}

/* IOAS and HWPT ids of another iommufd mean nothing here. */
TEST_F(pasid, foreign_ioas)
{
	int other = iommufd_open();
	uint32_t ioas = 0, pt;
	int i;

	ASSERT_GE(other, 0);
	ASSERT_EQ(0, bind(&self->v));
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, ioas_alloc(other, &ioas));
	pt = ioas;
	EXPECT_EQ(-ENOENT, vdev_attach(self->v.fd, &pt));
	close(other);
}

TEST_F(pasid, attach_ioas)
{
	uint32_t pt;

	ASSERT_EQ(0, bind(&self->v));
	ASSERT_EQ(0, test_vdev_attach(&self->v, MEM_SIZE));
	/* An IOAS goes in and the HWPT made for it comes out. */
	EXPECT_NE(self->v.ioas, self->v.hwpt);
	ASSERT_EQ(0, dsa_start(&self->v.dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&self->v.dsa, &self->v.mem, 3));

	/* Once more to the same IOAS changes nothing. */
	pt = self->v.ioas;
	EXPECT_EQ(0, vdev_attach(self->v.fd, &pt));
	EXPECT_EQ(self->v.hwpt, pt);
	ASSERT_EQ(0, dsa_start(&self->v.dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&self->v.dsa, &self->v.mem, 4));

	/* What is in use cannot be destroyed. */
	EXPECT_EQ(-EBUSY, iommufd_destroy(self->v.iommufd, self->v.ioas));
	EXPECT_EQ(-EBUSY, iommufd_destroy(self->v.iommufd, self->v.devid));
	EXPECT_EQ(0, vdev_detach(self->v.fd));
	EXPECT_EQ(0, iommufd_destroy(self->v.iommufd, self->v.ioas));
}

TEST_F(pasid, attach_hwpt)
{
	uint32_t hwpt, pt;

	ASSERT_EQ(0, bind(&self->v));
	ASSERT_EQ(0, ioas_alloc(self->v.iommufd, &self->v.ioas));
	ASSERT_EQ(0, dsa_mem_alloc(&self->v.mem, self->v.iommufd, self->v.ioas, TEST_IOVA,
				   MEM_SIZE));
	ASSERT_EQ(0, hwpt_alloc(self->v.iommufd, self->v.devid, self->v.ioas, &hwpt));
	pt = hwpt;
	ASSERT_EQ(0, vdev_attach(self->v.fd, &pt));
	EXPECT_EQ(hwpt, pt);
	ASSERT_EQ(0, dsa_start(&self->v.dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&self->v.dsa, &self->v.mem, 5));
	EXPECT_EQ(-EBUSY, iommufd_destroy(self->v.iommufd, hwpt));
	EXPECT_EQ(0, vdev_detach(self->v.fd));
	EXPECT_EQ(0, iommufd_destroy(self->v.iommufd, hwpt));
	/* The id is gone with its object. */
	EXPECT_EQ(-ENOENT, vdev_attach(self->v.fd, &hwpt));
}

TEST_F(pasid, hwpt_alloc_misuse)
{
	struct iommu_hwpt_vtd_s1 nested = { 0 };
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.pt_id = 0xdead,
		.data_type = IOMMU_HWPT_DATA_VTD_S1,
		.data_len = sizeof(nested),
		.data_uptr = (uintptr_t)&nested,
	};
	uint32_t hwpt;

	ASSERT_EQ(0, bind(&self->v));
	ASSERT_EQ(0, ioas_alloc(self->v.iommufd, &self->v.ioas));
	EXPECT_EQ(-ENOENT, hwpt_alloc(self->v.iommufd, 0xdead, self->v.ioas, &hwpt));
	EXPECT_EQ(-EINVAL, hwpt_alloc(self->v.iommufd, self->v.devid, 0xdead, &hwpt));
	EXPECT_GT(0, hwpt_alloc(self->v.iommufd, self->v.ioas, self->v.ioas, &hwpt));
	EXPECT_GT(0, hwpt_alloc(self->v.iommufd, self->v.devid, self->v.devid, &hwpt));

	/* A PASID has no nested page tables, whatever they would stand on */
	cmd.dev_id = self->v.devid;
	EXPECT_EQ(-1, ioctl(self->v.iommufd, IOMMU_HWPT_ALLOC, &cmd));
	EXPECT_EQ(EOPNOTSUPP, errno);
}

TEST_F(pasid, hw_info)
{
	struct iommu_hw_info_vtd vtd = { 0 };
	struct iommu_hw_info cmd = {
		.size = sizeof(cmd),
		.data_len = sizeof(vtd),
		.data_uptr = (uintptr_t)&vtd,
	};

	ASSERT_EQ(0, bind(&self->v));
	cmd.dev_id = self->v.devid;
	ASSERT_EQ(0, ioctl(self->v.iommufd, IOMMU_GET_HW_INFO, &cmd));
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_INTEL_VTD, cmd.out_data_type);
	/* Scalable mode and PASID, without which no vdev could be. */
	EXPECT_NE(0, vtd.ecap_reg & 1ull << 43);
	EXPECT_NE(0, vtd.ecap_reg & 1ull << 40);
	cmd.dev_id = 0xdead;
	EXPECT_EQ(-1, ioctl(self->v.iommufd, IOMMU_GET_HW_INFO, &cmd));
	EXPECT_EQ(ENOENT, errno);
}

/* A second attach moves the vdev to the other address space. */
TEST_F(pasid, replace)
{
	struct test_vdev *v = &self->v;
	struct dsa_mem mem2 = { 0 };
	uint32_t ioas2, hwpt, pt;
	int i;

	ASSERT_EQ(0, bind(v));
	ASSERT_EQ(0, test_vdev_attach(v, MEM_SIZE));
	ASSERT_EQ(0, ioas_alloc(v->iommufd, &ioas2));
	/* The same IOVA is other memory there. */
	ASSERT_EQ(0, dsa_mem_alloc(&mem2, v->iommufd, ioas2, TEST_IOVA, MEM_SIZE));
	for (i = 0; i < 4; i++) {
		struct dsa_mem *now = i & 1 ? &mem2 : &v->mem;
		struct dsa_mem *other = i & 1 ? &v->mem : &mem2;

		pt = i & 1 ? ioas2 : v->ioas;
		ASSERT_EQ(0, vdev_attach(v->fd, &pt));
		EXPECT_TRUE(vdev_state_is(v->uuid, "attached"));
		/* Is it one step for the device? It need not start again then. */
		ASSERT_EQ(0, dsa_start(&v->dsa));
		memset(other->va, 0x77, MEM_SIZE);
		EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v->dsa, now, i));
		EXPECT_EQ(0x77, other->va[0]);
		EXPECT_EQ(0, memcmp(other->va, other->va + 1, MEM_SIZE - 1));
	}
	/* From an IOAS to a HWPT and back. */
	ASSERT_EQ(0, hwpt_alloc(v->iommufd, v->devid, ioas2, &hwpt));
	pt = v->ioas;
	ASSERT_EQ(0, vdev_attach(v->fd, &pt));
	pt = hwpt;
	ASSERT_EQ(0, vdev_attach(v->fd, &pt));
	EXPECT_EQ(hwpt, pt);
	ASSERT_EQ(0, dsa_start(&v->dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v->dsa, &mem2, 9));
	pt = v->ioas;
	ASSERT_EQ(0, vdev_attach(v->fd, &pt));
	ASSERT_EQ(0, dsa_start(&v->dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v->dsa, &v->mem, 10));
	/* The one that was left is free. */
	EXPECT_EQ(0, iommufd_destroy(v->iommufd, hwpt));
	EXPECT_EQ(0, iommufd_destroy(v->iommufd, ioas2));
	dsa_mem_free(&mem2);
}

TEST_F(pasid, detach)
{
	struct test_vdev *v = &self->v;
	uint32_t pt;
	int i;

	ASSERT_EQ(0, bind(v));
	/* Detach of what was never attached, and twice: nothing happens. */
	EXPECT_EQ(0, vdev_detach(v->fd));
	ASSERT_EQ(0, test_vdev_attach(v, MEM_SIZE));
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, dsa_start(&v->dsa));
		EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v->dsa, &v->mem, i));
		EXPECT_EQ(0, vdev_detach(v->fd));
		EXPECT_EQ(0, vdev_detach(v->fd));
		EXPECT_TRUE(vdev_state_is(v->uuid, "bound"));
		pt = v->ioas;
		ASSERT_EQ(0, vdev_attach(v->fd, &pt));
	}
}

/* Memory mapped and unmapped while attached is seen at once. */
TEST_F(pasid, map_while_attached)
{
	const uint64_t iova = TEST_IOVA + 0x10000000;
	struct test_vdev *v = &self->v;
	struct dsa_hw_desc desc;
	int i;

	ASSERT_EQ(0, bind(v));
	ASSERT_EQ(0, test_vdev_attach(v, MEM_SIZE));
	ASSERT_EQ(0, dsa_start(&v->dsa));
	for (i = 0; i < 3; i++) {
		/* Other memory behind the same IOVA each time. */
		void *va = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

		ASSERT_NE(MAP_FAILED, va);
		ASSERT_EQ(0, ioas_map(v->iommufd, v->ioas, va, 4096, iova, IOAS_RW));
		dsa_fill(v->mem.va + TEST_SRC, 4096, i);
		desc = dsa_desc_move(&v->mem, 0, TEST_SRC, 0, 4096);
		desc.dst_addr = iova;
		EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(&v->dsa, &v->mem, &desc));
		EXPECT_EQ(-1, dsa_check(va, 4096, i));
		ASSERT_EQ(0, ioas_unmap(v->iommufd, v->ioas, iova, 4096));
		memset(va, 0, 4096);
		desc = dsa_desc_move(&v->mem, 0, TEST_SRC, 0, 4096);
		desc.dst_addr = iova;
		EXPECT_NE(DSA_COMP_SUCCESS, dsa_run(&v->dsa, &v->mem, &desc));
		EXPECT_EQ(0, *(uint8_t *)va);
	}
}

/* Closing the device is the unbind; closing the iommufd first is fine too. */
TEST_F(pasid, close_unbinds)
{
	struct test_vdev *v = &self->v;

	ASSERT_EQ(0, bind(v));
	ASSERT_EQ(0, test_vdev_attach(v, MEM_SIZE));
	ASSERT_EQ(0, dsa_start(&v->dsa));
	close(v->fd);
	EXPECT_TRUE(vdev_state_is(v->uuid, "closed"));
	/* Its objects are free, and its device id means nothing any more. */
	EXPECT_EQ(0, iommufd_destroy(v->iommufd, v->ioas));
	EXPECT_EQ(-ENOENT, iommufd_destroy(v->iommufd, v->devid));
	close(v->iommufd);
	dsa_mem_free(&v->mem);

	v->fd = vdev_open(v->uuid);
	v->iommufd = iommufd_open();
	ASSERT_EQ(0, bind(v));
	ASSERT_EQ(0, test_vdev_attach(v, MEM_SIZE));
	ASSERT_EQ(0, dsa_start(&v->dsa));
	close(v->iommufd);
	v->iommufd = -1;
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v->dsa, &v->mem, 6));
}

/* Several vdevs in one iommufd: one IOAS for both, or one each. */
TEST_F(pasid, two_in_one_iommufd)
{
	struct test_vdev *v = &self->v, w;
	struct dsa_mem mem2 = { 0 };
	uint32_t ioas2, pt;

	ASSERT_EQ(0, bind(v));
	ASSERT_EQ(0, test_vdev_attach(v, MEM_SIZE));
	ASSERT_EQ(0, test_vdev_up(&w, &self->pool, OPENED, 0));
	close(w.iommufd);
	w.iommufd = dup(v->iommufd);
	ASSERT_EQ(0, bind(&w));
	EXPECT_NE(v->devid, w.devid);
	pt = v->ioas;
	ASSERT_EQ(0, vdev_attach(w.fd, &pt));
	/* Two vdevs of one PF in one IOAS share its page table. */
	EXPECT_EQ(v->hwpt, pt);
	ASSERT_EQ(0, dsa_start(&v->dsa));
	ASSERT_EQ(0, dsa_start(&w.dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v->dsa, &v->mem, 7));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&w.dsa, &v->mem, 8));

	ASSERT_EQ(0, ioas_alloc(w.iommufd, &ioas2));
	ASSERT_EQ(0, dsa_mem_alloc(&mem2, w.iommufd, ioas2, TEST_IOVA, MEM_SIZE));
	pt = ioas2;
	ASSERT_EQ(0, vdev_attach(w.fd, &pt));
	ASSERT_EQ(0, dsa_start(&w.dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&w.dsa, &mem2, 9));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v->dsa, &v->mem, 10));
	/* One leaves; the other does not notice. */
	EXPECT_EQ(0, test_vdev_down(&w));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v->dsa, &v->mem, 11));
	dsa_mem_free(&mem2);
}

/* The PF's own driver keeps the PF: no DMA ownership is taken from it. */
TEST_F(pasid, pf_stays_with_idxd)
{
	char link[VDEV_PATH_MAX], path[VDEV_PATH_MAX];
	ssize_t len;

	ASSERT_EQ(0, bind(&self->v));
	ASSERT_EQ(0, test_vdev_attach(&self->v, MEM_SIZE));
	snprintf(path, sizeof(path), PCI_DEVICES "/%s/driver", self->pool.parent);
	len = readlink(path, link, sizeof(link) - 1);
	ASSERT_GT(len, 0);
	link[len] = '\0';
	EXPECT_STREQ("idxd", strrchr(link, '/') + 1);
	/* A DMA WQ of the PF can still be enabled beside it. */
	ASSERT_EQ(0, dsa_wq_enable(&self->pool, 7, "kernel", "dmaengine"));
	EXPECT_EQ(0, dsa_wq_disable(&self->pool, 7, "dmaengine"));
}

TEST_HARNESS_MAIN
