// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO's old type1 containers map what a process has mapped, MMIO included, into the IOMMU of
 * another device, and never hear that it is somebody else's now. So a portal must not get there.
 */
#include <glob.h>
#include <limits.h>

#include "vdev_harness.h"

#define MEM_SIZE	(1 << 20)
#define EDU		"pci:v00001234d000011E8*"	/* QEMU's, for which there is no driver */

FIXTURE(type1) {
	struct dsa_pool pool;
	struct test_vdev v;
	char device[32];
	int container;
	int group;
};

static bool find_edu(char *device, size_t size)
{
	char modalias[128];
	bool found = false;
	glob_t all;
	size_t i;

	if (glob(PCI_DEVICES "/*", 0, NULL, &all))
		return false;
	for (i = 0; i < all.gl_pathc && !found; i++) {
		found = sysfs_read(modalias, sizeof(modalias), "%s/modalias",
				   all.gl_pathv[i]) > 0 &&
			!strncmp(modalias, EDU, strlen(EDU) - 1);
		if (found)
			snprintf(device, size, "%s", strrchr(all.gl_pathv[i], '/') + 1);
	}
	globfree(&all);
	return found;
}

/* The file of a device's group, by vfio-pci */
static int group_open(const char *device)
{
	char path[PATH_MAX], link[PATH_MAX] = "";
	int ret;

	ret = sysfs_write("vfio-pci", PCI_DEVICES "/%s/driver_override", device);
	ret = ret ?: sysfs_write(device, "/sys/bus/pci/drivers_probe");
	if (ret)
		return ret;
	snprintf(path, sizeof(path), PCI_DEVICES "/%s/iommu_group", device);
	if (readlink(path, link, sizeof(link) - 1) < 0)
		return -errno;
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(link, '/') + 1);
	ret = open(path, O_RDWR | O_CLOEXEC);
	return ret < 0 ? -errno : ret;
}

FIXTURE_SETUP(type1)
{
	self->group = -1;
	self->container = -1;
	TEST_REQUIRE(find_edu(self->device, sizeof(self->device)), "no device to be given away");
	TEST_POOL(&self->pool, 1);
	TEST_REQUIRE(run_modprobe("-a vfio-pci vfio_iommu_type1"), "no type1 containers");
	ASSERT_EQ(0, test_vdev_up(&self->v, &self->pool, STARTED, MEM_SIZE));
	ASSERT_EQ(0, dsa_map(&self->v.dsa, PORTAL_LIMITED));

	self->group = group_open(self->device);
	ASSERT_LE(0, self->group);
	self->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->container);
	ASSERT_EQ(0, ioctl(self->group, VFIO_GROUP_SET_CONTAINER, &self->container));
	ASSERT_EQ(0, ioctl(self->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
}

FIXTURE_TEARDOWN(type1)
{
	close(self->group);
	close(self->container);
	EXPECT_EQ(0, test_vdev_down(&self->v));
	EXPECT_EQ(0, sysfs_write(self->device, "/sys/bus/pci/drivers/vfio-pci/unbind"));
	EXPECT_EQ(0, sysfs_write("\n", PCI_DEVICES "/%s/driver_override", self->device));
}

static int type1_map(int container, const void *va, uint64_t iova)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)va,
		.iova = iova,
		.size = 4096,
	};

	return ioctl(container, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}

/*
 * Tried: the portal, while hardware is behind it, as the memory of another device, which could
 * store to it when somebody else has the WQ. Stopped by: no memory can be had of the mapping.
 */
TEST_F(type1, portal)
{
	struct test_vdev *v = &self->v;

	EXPECT_EQ(0, type1_map(self->container, v->mem.va, 0));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v->dsa, &v->mem, 1));
	EXPECT_EQ(-EFAULT, type1_map(self->container, v->dsa.portal, 0x10000));
	/* Nor when the sink is behind it */
	ASSERT_EQ(0, dsa_cmd(&v->dsa, CMD_DISABLE_WQ, WQ0));
	EXPECT_TRUE(moves_nothing(&v->dsa, &v->mem));
	EXPECT_EQ(-EFAULT, type1_map(self->container, v->dsa.portal, 0x10000));
}

TEST_HARNESS_MAIN
