// SPDX-License-Identifier: GPL-2.0-only
/*
 * The user of vdevs of the SIOV sample: siov_copy UUID...
 *
 * Each vdev is driven in the eight steps of the functions below, in their order, with
 * nothing but system calls; siov_copy.py is the same without checks. Then the program
 * does two things that must not work, to show what they end in.
 *
 *	cc -o siov_copy siov_copy.c
 *
 * Needs Linux headers of 6.6 or later. Ends with 0 only if all came out as it says.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/iommufd.h>
#include <linux/pci_regs.h>
#include <linux/types.h>
#include <linux/vfio.h>

#include "siov_regs.h"

/* The same in each vdev, on purpose: an IOVA means nothing outside of its IOAS */
#define IOVA		0x100000
#define PAGE		4096
#define MAX_VDEVS	16

struct vdev {
	const char *uuid;
	int fd;				/* /dev/vfio/devices/vfioN */
	int iommufd;			/* /dev/iommu, opened for this vdev alone */
	__u32 ioas;
	__u8 *memory;		/* two pages, mapped at IOVA */
	__u64 regs;			/* where BAR 0 is in fd */
	__u32 *doorbell;
	int event;
};

/* Step 1: a vdev is a character device of its own. There is no group and no container. */
static void open_vdev(struct vdev *v)
{
	char path[512], node[300] = "";
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/bus/mdev/devices/%s/vfio-dev", v->uuid);
	dir = opendir(path);
	if (!dir)
		err(1, "%s", path);
	while ((entry = readdir(dir)))
		if (!strncmp(entry->d_name, "vfio", 4))
			snprintf(node, sizeof(node), "/dev/vfio/devices/%s", entry->d_name);
	closedir(dir);

	v->fd = open(node, O_RDWR);
	if (v->fd < 0)
		err(1, "%s", node);
	v->iommufd = open("/dev/iommu", O_RDWR);
	if (v->iommufd < 0)
		err(1, "/dev/iommu");
	printf("1. opened %s, and /dev/iommu\n", node);
}

/* Step 2: from now on it belongs to this iommufd, and to no other until it is closed. */
static void bind_vdev(struct vdev *v)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.iommufd = v->iommufd,
	};

	if (ioctl(v->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		err(1, "bind; see pasid/last_error of the vdev");
	printf("2. bound: it is device %u of our iommufd\n", bind.out_devid);
}

/*
 * Step 3: an IO address space (IOAS), with memory of ours in it. We choose the IOVA. The
 * pages are pinned, since the device cannot wait for them to be swapped in.
 */
static void make_ioas(struct vdev *v)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
		.length = 2 * PAGE,
		.iova = IOVA,
	};

	v->memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	if (v->memory == MAP_FAILED)
		err(1, "memory");
	if (ioctl(v->iommufd, IOMMU_IOAS_ALLOC, &alloc))
		err(1, "IOMMU_IOAS_ALLOC");
	v->ioas = alloc.out_ioas_id;
	map.ioas_id = v->ioas;
	map.user_va = (unsigned long)v->memory;
	if (ioctl(v->iommufd, IOMMU_IOAS_MAP, &map))
		err(1, "IOMMU_IOAS_MAP");
	printf("3. IOAS %u has two pages of ours at IOVA %#x\n", v->ioas, IOVA);
}

/*
 * Step 4: the IOMMU gets a page table (HWPT) of the IOAS for the PASID of the vdev. We
 * never learn the PASID, and have no say in it.
 */
static void attach_vdev(struct vdev *v)
{
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach),
		.pt_id = v->ioas,
	};

	if (ioctl(v->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		err(1, "attach; see pasid/last_error of the vdev");
	printf("4. attached: page table %u translates its DMA\n", attach.pt_id);
}

static __u64 region_offset(struct vdev *v, __u32 index)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };

	if (ioctl(v->fd, VFIO_DEVICE_GET_REGION_INFO, &info))
		err(1, "VFIO_DEVICE_GET_REGION_INFO");
	return info.offset;
}

/* Step 5: it is a PCI device, and like each of them it comes up with DMA off. */
static void enable_vdev(struct vdev *v)
{
	__u64 config = region_offset(v, VFIO_PCI_CONFIG_REGION_INDEX);
	__u16 id[2], command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

	if (pread(v->fd, id, sizeof(id), config + PCI_VENDOR_ID) != sizeof(id))
		err(1, "config space");
	if (id[0] != SIOV_VENDOR_ID || id[1] != SIOV_DEVICE_ID)
		errx(1, "%s is %04x:%04x, not a vdev of the sample", v->uuid, id[0], id[1]);
	if (pwrite(v->fd, &command, sizeof(command), config + PCI_COMMAND) != sizeof(command))
		err(1, "config space");
	printf("5. enabled: PCI device %04x:%04x may be accessed and do DMA\n", id[0], id[1]);
}

/* Step 6: an interrupt becomes an event on a file descriptor. */
static void set_up_interrupt(struct vdev *v)
{
	struct {
		struct vfio_irq_set set;
		__s32 fd;
	} irq = {
		.set = {
			.argsz = sizeof(irq),
			.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			.index = VFIO_PCI_MSIX_IRQ_INDEX,
			.count = 1,
		},
	};

	v->event = eventfd(0, 0);
	if (v->event < 0)
		err(1, "eventfd");
	irq.fd = v->event;
	if (ioctl(v->fd, VFIO_DEVICE_SET_IRQS, &irq))
		err(1, "VFIO_DEVICE_SET_IRQS");
	printf("6. its MSI-X vector 0 is eventfd %d\n", v->event);
}

/* Step 7: the slow part of the device is trapped, the fast part is mapped. */
static void map_doorbell(struct vdev *v)
{
	v->regs = region_offset(v, SIOV_REGS_BAR);
	v->doorbell = mmap(NULL, SIOV_DOORBELL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd,
			   region_offset(v, SIOV_DOORBELL_BAR));
	if (v->doorbell == MAP_FAILED)
		err(1, "doorbell");
	printf("7. mapped its doorbell page\n");
}

static __u64 read_reg(struct vdev *v, __u64 reg)
{
	__u64 value;

	if (pread(v->fd, &value, sizeof(value), v->regs + reg) != sizeof(value))
		err(1, "read of register %#llx", (unsigned long long)reg);
	return value;
}

static void write_reg(struct vdev *v, __u64 reg, __u64 value)
{
	if (pwrite(v->fd, &value, sizeof(value), v->regs + reg) != sizeof(value))
		err(1, "write of register %#llx", (unsigned long long)reg);
}

/* Step 8: say what to copy, ring the doorbell, sleep until the interrupt. */
static enum siov_status run_copy(struct vdev *v, __u64 src, __u64 dst, __u64 len)
{
	struct pollfd poll_event = { .fd = v->event, .events = POLLIN };
	__u64 count;

	write_reg(v, SIOV_SRC, src);
	write_reg(v, SIOV_DST, dst);
	write_reg(v, SIOV_LEN, len);

	/* This store enters no kernel */
	__atomic_store_n(v->doorbell, 1, __ATOMIC_RELEASE);

	if (poll(&poll_event, 1, 10000) != 1)
		errx(1, "no interrupt within 10 s");
	if (read(v->event, &count, sizeof(count)) != sizeof(count) || count != 1)
		errx(1, "%llu interrupts for one copy", (unsigned long long)count);
	return read_reg(v, SIOV_STATUS);
}

static void copy_a_page(struct vdev *v, __u8 pattern)
{
	enum siov_status status;

	memset(v->memory, pattern, PAGE);
	memset(v->memory + PAGE, 0, PAGE);
	status = run_copy(v, IOVA, IOVA + PAGE, PAGE);
	if (status != SIOV_DONE || memcmp(v->memory, v->memory + PAGE, PAGE))
		errx(1, "the copy failed with status %d", status);
	printf("8. copied a page of %#x from IOVA %#x to %#x\n", pattern, IOVA, IOVA + PAGE);
}

/* Every IOVA that we have not mapped is a fault, and hurts nobody. */
static void must_fault(struct vdev *v)
{
	__u64 fault;

	if (run_copy(v, IOVA + 2 * PAGE, IOVA, PAGE) != SIOV_READ_FAULT)
		errx(1, "a read of what is not mapped went through");
	fault = read_reg(v, SIOV_FAULT);
	if (fault != IOVA + 2 * PAGE)
		errx(1, "the fault is at %#llx", (unsigned long long)fault);
	printf("   an IOVA that is not mapped: fault at %#llx, nothing copied\n",
	       (unsigned long long)fault);
}

/* All have used the same IOVA, and each still finds its own bytes there. */
static void must_be_apart(struct vdev *vdevs, int nr)
{
	int i, j;

	for (i = 0; i < nr; i++)
		for (j = 0; j < 2 * PAGE; j++)
			if (vdevs[i].memory[j] != 0x11 * (i + 1))
				errx(1, "somebody wrote to the memory of vdev %d", i + 1);
	printf("\nAll %d used IOVA %#x, and each found its own memory there.\n", nr, IOVA);
}

int main(int argc, char **argv)
{
	struct vdev vdevs[MAX_VDEVS];
	int i, nr = argc - 1;

	if (nr < 1 || nr >= MAX_VDEVS)
		errx(2, "usage: siov_copy UUID...");
	setvbuf(stdout, NULL, _IOLBF, 0);

	for (i = 0; i < nr; i++) {
		struct vdev *v = &vdevs[i];

		v->uuid = argv[i + 1];
		printf("\nvdev %d of %d, %s\n", i + 1, nr, v->uuid);
		open_vdev(v);
		bind_vdev(v);
		make_ioas(v);
		attach_vdev(v);
		enable_vdev(v);
		set_up_interrupt(v);
		map_doorbell(v);
		copy_a_page(v, 0x11 * (i + 1));
		must_fault(v);
	}
	must_be_apart(vdevs, nr);

	/* The end of the process closes all files: that unbinds, detaches and resets */
	return 0;
}
