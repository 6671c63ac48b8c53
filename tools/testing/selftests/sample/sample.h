/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of the SIOV sample share: a vdev, set up as far as a test wants it. */
#ifndef SELFTESTS_SAMPLE_H
#define SELFTESTS_SAMPLE_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "kselftest_harness.h"
#include "siov_regs.h"
#include "vdev.h"

/* These tests also run on an emulated CPU, which may be a hundred times slower. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 180

#define SAMPLE_PARENT	"siov-pf"
#define SAMPLE_TYPE	"siov_sample-copy"
#define SAMPLE_DEBUGFS	"/sys/kernel/debug/siov_iommu"

/* The PASID and the control register of the hardware, which no user may reach */
#define SAMPLE_HW_PASID	0x30
#define SAMPLE_HW_CTRL	0x38

#define PAGE		4096ull
/* The same in every IOAS: it must not matter */
#define SAMPLE_IOVA	0x100000ull

struct sample {
	char uuid[VDEV_UUID_LEN + 1];
	int fd;
	uint32_t devid;		/* in its iommufd */
	int event;
	struct vdev_region regs;
	struct vdev_region config;
	uint32_t *doorbell;
};

/*
 * A kernel without the sample cannot run these tests. VDEV_SELFTEST_REQUIRED in the
 * environment says that it is meant to have it; then they go on, and fail.
 */
static inline bool sample_load(void)
{
	return !system("modprobe -q siov_sample") || getenv("VDEV_SELFTEST_REQUIRED");
}

static inline int sample_command(struct sample *s, uint16_t command)
{
	return vdev_write(s->fd, &s->config, PCI_COMMAND, &command, sizeof(command));
}

/* Create, open and bind; the caller attaches. */
static inline int sample_bind(struct sample *s, int iommufd)
{
	int ret;

	memset(s, 0, sizeof(*s));
	s->fd = -1;
	s->event = -1;
	ret = vdev_new_uuid(s->uuid);
	if (!ret)
		ret = vdev_create(SAMPLE_PARENT, SAMPLE_TYPE, s->uuid);
	if (ret)
		return ret;
	s->fd = vdev_open(s->uuid);
	if (s->fd < 0)
		return s->fd;
	ret = vdev_bind(s->fd, iommufd, &s->devid);
	if (!ret)
		ret = vdev_region_info(s->fd, SIOV_REGS_BAR, &s->regs);
	if (!ret)
		ret = vdev_region_info(s->fd, VFIO_PCI_CONFIG_REGION_INDEX, &s->config);
	return ret;
}

static inline int sample_map_doorbell(struct sample *s)
{
	struct vdev_region region;
	int ret = vdev_region_info(s->fd, SIOV_DOORBELL_BAR, &region);

	if (ret)
		return ret;
	s->doorbell = mmap(NULL, SIOV_DOORBELL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd,
			   region.offset);
	if (s->doorbell == MAP_FAILED) {
		s->doorbell = NULL;
		return -errno;
	}
	return 0;
}

/* Attach to @ioas and enable, with @event for the interrupt. */
static inline int sample_start(struct sample *s, uint32_t ioas, int event)
{
	int ret = vdev_attach(s->fd, &ioas);

	if (!ret)
		ret = sample_command(s, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	if (!ret)
		ret = vdev_irq_eventfds(s->fd, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &event);
	if (!ret)
		ret = sample_map_doorbell(s);
	return ret;
}

static inline void sample_close(struct sample *s)
{
	if (s->doorbell)
		munmap(s->doorbell, SIOV_DOORBELL_SIZE);
	if (s->fd >= 0)
		close(s->fd);
	if (s->event >= 0)
		close(s->event);
	s->doorbell = NULL;
	s->fd = -1;
	s->event = -1;
}

static inline uint64_t sample_read(struct sample *s, uint64_t reg)
{
	uint64_t val = ~0ull;

	vdev_read(s->fd, &s->regs, reg, &val, sizeof(val));
	return val;
}

static inline int sample_write(struct sample *s, uint64_t reg, uint64_t val)
{
	return vdev_write(s->fd, &s->regs, reg, &val, sizeof(val));
}

static inline void sample_ring(struct sample *s)
{
	__atomic_store_n(s->doorbell, 1, __ATOMIC_RELEASE);
}

static inline int sample_describe(struct sample *s, uint64_t src, uint64_t dst, uint64_t len)
{
	return sample_write(s, SIOV_SRC, src) ?: sample_write(s, SIOV_DST, dst) ?:
	       sample_write(s, SIOV_LEN, len);
}

/* One copy, and its one interrupt; the status, or a negative error. */
static inline int sample_copy(struct sample *s, uint64_t src, uint64_t dst, uint64_t len)
{
	int ret = sample_describe(s, src, dst, len);

	if (ret)
		return ret;
	sample_ring(s);
	if (eventfd_wait(s->event, 30000) != 1)
		return -ETIME;
	return sample_read(s, SIOV_STATUS);
}

/* A request as a broken PF would make it; 0, or -EFAULT if the IOMMU stops it. */
static inline int sample_rogue_read(unsigned int pasid, uint64_t iova)
{
	char text[64];

	snprintf(text, sizeof(text), "%u %#llx", pasid, (unsigned long long)iova);
	return sysfs_write(text, SAMPLE_DEBUGFS "/read");
}

#endif
