/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * User-space access to a PASID-backed vdev: its life in sysfs, its VFIO device
 * file, and the iommufd calls that give it an address space.
 *
 * Every function that can fail returns a negative errno and sets nothing else,
 * so a test can compare the value and a program can print strerror(-ret).
 */
#ifndef SELFTESTS_VDEV_H
#define SELFTESTS_VDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <linux/iommufd.h>
/* Ours; where it is installed, <linux/mdev_pasid.h> */
#include "../../../../include/uapi/linux/mdev_pasid.h"
#include <linux/vfio.h>

#define VDEV_UUID_LEN		36
#define VDEV_PATH_MAX		256
#define VDEV_MAX_AREAS		8

#define MDEV_BUS_CLASS		"/sys/class/mdev_bus"
#define MDEV_DEVICES		"/sys/bus/mdev/devices"
#define PCI_DEVICES		"/sys/bus/pci/devices"

/* --- sysfs ------------------------------------------------------------- */

/* Read an attribute without its final newline; returns its length. */
int sysfs_read(char *buf, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Read a number in C notation (so "8086" is decimal and "0x8086" is not). */
long long sysfs_read_num(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));
int sysfs_write(const char *value, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
bool run_modprobe(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool path_exists(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* --- life cycle of a vdev ---------------------------------------------- */

/* A UUID whose first group marks it as ours, so left-overs can be swept. */
int vdev_new_uuid(char uuid[VDEV_UUID_LEN + 1]);
int vdev_create(const char *parent, const char *type, const char *uuid);
int vdev_remove(const char *uuid);
/* Remove every vdev that vdev_new_uuid() named: a crashed test leaves them. */
void vdev_sweep(void);
long long vdev_available(const char *parent, const char *type);
/* Name of the character device: "/dev/vfio/devices/vfioN". */
int vdev_cdev(const char *uuid, char path[VDEV_PATH_MAX]);
/* One of pasid/{pasid,parent,state,last_error}. */
int vdev_attr(const char *uuid, const char *name, char *buf, size_t size);
/* Its PASID, or a negative error; never 0, which is the physical device */
long long vdev_pasid(const char *uuid);
/* What a last_error file says: the sentence, when it was left, and how many were before. */
struct refusal {
	time_t time;
	unsigned long count;
	char text[320];
};

/* All zero if nothing was refused. */
int refusal_read(struct refusal *refusal, const char *path);
/*
 * Every refusal leaves one line that names the thing, the cause and the remedy:
 * does @text begin with @start, and has it the length of a sentence?
 */
bool is_sentence(const char *text, const char *start);
bool last_error_is_sentence(const char *uuid, const char *start);
/* Does pasid/state read @state? */
bool vdev_state_is(const char *uuid, const char *state);
/* What another process brings about may come a moment later: wait for it. */
bool vdev_state_becomes(const char *uuid, const char *state);

/* --- VFIO -------------------------------------------------------------- */

struct vdev_region {
	uint64_t offset;	/* where in the device file */
	uint64_t size;
	uint32_t flags;		/* VFIO_REGION_INFO_FLAG_* */
	uint32_t type;		/* of its type capability, or 0 */
	uint32_t subtype;
	bool sparse;		/* has a sparse mmap capability */
	unsigned int nr_areas;
	struct vfio_region_sparse_mmap_area areas[VDEV_MAX_AREAS];
};

/* udev may need a moment to make the node; other errors return at once. */
int vdev_open(const char *uuid);
int vdev_bind(int fd, int iommufd, uint32_t *devid);
/* *@pt_id is an IOAS or HWPT; returns the HWPT in use in *@pt_id. */
int vdev_attach(int fd, uint32_t *pt_id);
int vdev_detach(int fd);
int vdev_info(int fd, struct vfio_device_info *info);
int vdev_region_info(int fd, unsigned int index, struct vdev_region *region);
int vdev_irq_info(int fd, unsigned int index, struct vfio_irq_info *info);
int vdev_set_irqs(int fd, uint32_t flags, unsigned int index, unsigned int start,
		  unsigned int count, const void *data, size_t len);
int vdev_irq_eventfds(int fd, unsigned int index, unsigned int start, unsigned int count,
		      const int32_t *fds);
int vdev_reset(int fd);

/* All of the fault region */
struct vdev_faults {
	struct mdev_pasid_fault_header header;
	struct mdev_pasid_fault slots[64];
};

/* Find the fault region by its type. */
int vdev_fault_region(int fd, struct vdev_region *region);
int vdev_read_faults(int fd, struct vdev_faults *faults);
/* How many there were, or a negative error */
long long vdev_fault_count(int fd);
/* Fault number @n, or NULL if the region does not have it (any more) */
const struct mdev_pasid_fault *vdev_fault(const struct vdev_faults *faults, uint64_t n);

/* Access @len bytes of a region; 0, -errno, or -EIO for a short transfer. */
int vdev_read(int fd, const struct vdev_region *region, uint64_t off, void *buf, size_t len);
int vdev_write(int fd, const struct vdev_region *region, uint64_t off, const void *buf,
	       size_t len);

/* Count of events on an eventfd within @ms; 0 when there was none. */
uint64_t eventfd_wait(int fd, int ms);

/* --- the log of the kernel --------------------------------------------- */

/* A file of the lines that come from now on */
int log_open(void);
/* How many of those that were not read yet have any of the @nr strings at @what; reads them. */
unsigned int log_lines(int fd, const char * const *what, unsigned int nr);
/* Wait until one has @what. */
bool log_wait(int fd, const char *what);

/* --- iommufd ----------------------------------------------------------- */

int iommufd_open(void);
int ioas_alloc(int iommufd, uint32_t *ioas);
int ioas_map(int iommufd, uint32_t ioas, void *va, uint64_t len, uint64_t iova, uint32_t prot);
int ioas_unmap(int iommufd, uint32_t ioas, uint64_t iova, uint64_t len);
int hwpt_alloc(int iommufd, uint32_t devid, uint32_t pt_id, uint32_t *hwpt);
int fault_queue_alloc(int iommufd, uint32_t *queue, int *fd);
int hwpt_alloc_with_queue(int iommufd, uint32_t devid, uint32_t pt_id, uint32_t queue,
			  uint32_t *hwpt);
int iommufd_destroy(int iommufd, uint32_t id);

#define IOAS_RW (IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)

/* --- privilege --------------------------------------------------------- */

/* Give up CAP_SYS_RAWIO for good in this process. */
int drop_rawio(void);

#endif
