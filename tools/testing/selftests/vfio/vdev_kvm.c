// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vdev is of use to programs as to virtual machines: nothing of it needs KVM, and with
 * KVM there it works the same, whatever is closed first.
 */
#include <linux/kvm.h>

#include "vdev_harness.h"

#define MEM_SIZE	(1 << 16)

FIXTURE(kvm) {
	struct dsa_pool pool;
	struct test_vdev v;
};

FIXTURE_SETUP(kvm)
{
	TEST_POOL(&self->pool, 1);
}

FIXTURE_TEARDOWN(kvm)
{
	EXPECT_EQ(0, test_vdev_down(&self->v));
}

/* Memory that test_vdev_up() mapped is copied by the vdev. */
#define EXPECT_WORKS(v, seed) \
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&(v)->dsa, &(v)->mem, seed))

TEST_F(kvm, absent)
{
	static const char * const modules[] = {
		"iommufd", "vfio", "mdev", "mdev_pasid", "idxd_vdev",
	};
	bool was = path_exists("/sys/module/kvm");
	char command[128];
	unsigned int i;

	ASSERT_EQ(0, test_vdev_up(&self->v, &self->pool, CREATED, 0));
	/* Built in, it cannot be taken away */
	if (was && !path_exists("/sys/module/kvm/initstate"))
		SKIP(return, "KVM is built into this kernel");
	run_modprobe("-ra kvm_amd kvm_intel kvm");
	ASSERT_FALSE(path_exists("/sys/module/kvm"));
	for (i = 0; i < sizeof(modules) / sizeof(*modules); i++) {
		if (!path_exists("/sys/module/%s/initstate", modules[i]))
			continue;
		snprintf(command, sizeof(command), "modinfo -F depends %s | grep -w kvm",
			 modules[i]);
		EXPECT_NE(0, system(command)) {
			TH_LOG("%s needs KVM", modules[i]);
		}
	}

	ASSERT_EQ(0, test_vdev_down(&self->v));
	ASSERT_EQ(0, test_vdev_up(&self->v, &self->pool, STARTED, MEM_SIZE));
	EXPECT_WORKS(&self->v, 1);
	EXPECT_EQ(0, vdev_reset(self->v.fd));
	ASSERT_EQ(0, dsa_start(&self->v.dsa));
	EXPECT_WORKS(&self->v, 2);
	/* Nor has any of that brought it in */
	EXPECT_FALSE(path_exists("/sys/module/kvm"));
	/* It may come while the vdev is in use, and go again */
	if (was) {
		EXPECT_TRUE(run_modprobe("kvm_amd") || run_modprobe("kvm_intel"));
		EXPECT_WORKS(&self->v, 3);
		run_modprobe("-ra kvm_amd kvm_intel kvm");
		EXPECT_FALSE(path_exists("/sys/module/kvm"));
		EXPECT_WORKS(&self->v, 4);
		EXPECT_TRUE(run_modprobe("kvm_amd") || run_modprobe("kvm_intel"));
	}
}

static int vfio_file(int device, uint32_t what, int32_t fd)
{
	struct kvm_device_attr attr = {
		.group = KVM_DEV_VFIO_FILE,
		.attr = what,
		.addr = (uintptr_t)&fd,
	};

	return ioctl(device, KVM_SET_DEVICE_ATTR, &attr) ? -errno : 0;
}

TEST_F(kvm, present)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_VFIO };
	int kvm, vm, vm2;

	ASSERT_EQ(0, test_vdev_up(&self->v, &self->pool, OPENED, 0));
	TEST_REQUIRE(path_exists("/dev/kvm") || run_modprobe("kvm_amd") ||
		     run_modprobe("kvm_intel"), "this machine has no KVM");
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, kvm);
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	ASSERT_LE(0, vm);
	ASSERT_EQ(0, ioctl(vm, KVM_CREATE_DEVICE, &device));

	/* As a VMM does: first KVM gets the file, then the vdev is bound */
	ASSERT_EQ(0, vfio_file(device.fd, KVM_DEV_VFIO_FILE_ADD, self->v.fd));
	EXPECT_EQ(-EEXIST, vfio_file(device.fd, KVM_DEV_VFIO_FILE_ADD, self->v.fd));
	ASSERT_EQ(0, vdev_bind(self->v.fd, self->v.iommufd, &self->v.devid));
	ASSERT_EQ(0, dsa_init(&self->v.dsa, self->v.fd));
	ASSERT_EQ(0, test_vdev_attach(&self->v, MEM_SIZE));
	ASSERT_EQ(0, dsa_start(&self->v.dsa));
	EXPECT_WORKS(&self->v, 5);

	/* The machine goes first: its vdev does not notice */
	close(device.fd);
	close(vm);
	EXPECT_WORKS(&self->v, 6);

	/* Another machine may have the bound vdev, and let go of it */
	vm2 = ioctl(kvm, KVM_CREATE_VM, 0);
	ASSERT_LE(0, vm2);
	device = (struct kvm_create_device){ .type = KVM_DEV_TYPE_VFIO };
	ASSERT_EQ(0, ioctl(vm2, KVM_CREATE_DEVICE, &device));
	EXPECT_EQ(0, vfio_file(device.fd, KVM_DEV_VFIO_FILE_ADD, self->v.fd));
	EXPECT_EQ(0, vfio_file(device.fd, KVM_DEV_VFIO_FILE_DEL, self->v.fd));
	EXPECT_EQ(-ENOENT, vfio_file(device.fd, KVM_DEV_VFIO_FILE_DEL, self->v.fd));
	EXPECT_WORKS(&self->v, 7);
	EXPECT_EQ(0, vfio_file(device.fd, KVM_DEV_VFIO_FILE_ADD, self->v.fd));

	/* The vdev goes first */
	close(self->v.fd);
	self->v.fd = -1;
	close(device.fd);
	close(vm2);
	close(kvm);
}

TEST_HARNESS_MAIN
