// SPDX-License-Identifier: GPL-2.0-only
/* User-space access to a PASID-backed vdev: sysfs, VFIO and iommufd. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/capability.h>

#include "vdev.h"

#define UUID_MARK	"5e1f7e57"

static int check(int ret)
{
	return ret < 0 ? -errno : ret;
}

/* --- sysfs ------------------------------------------------------------- */

static int vread(char *buf, size_t size, const char *fmt, va_list ap)
{
	char path[VDEV_PATH_MAX];
	int fd, ret;

	vsnprintf(path, sizeof(path), fmt, ap);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = check(read(fd, buf, size - 1));
	close(fd);
	if (ret < 0)
		return ret;
	if (ret && buf[ret - 1] == '\n')
		ret--;
	buf[ret] = '\0';
	return ret;
}

int sysfs_read(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = vread(buf, size, fmt, ap);
	va_end(ap);
	return ret;
}

long long sysfs_read_num(const char *fmt, ...)
{
	char buf[64], *end;
	long long num;
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = vread(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	if (ret < 0)
		return ret;
	num = strtoll(buf, &end, 0);
	return end == buf || *end ? -EINVAL : num;
}

int sysfs_write(const char *value, const char *fmt, ...)
{
	char path[VDEV_PATH_MAX];
	va_list ap;
	int fd, ret;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = check(write(fd, value, strlen(value)));
	close(fd);
	return ret < 0 ? ret : 0;
}

bool run_modprobe(const char *fmt, ...)
{
	char command[256] = "modprobe -q ";
	size_t len = strlen(command);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command + len, sizeof(command) - len, fmt, ap);
	va_end(ap);
	return !system(command);
}

bool path_exists(const char *fmt, ...)
{
	char path[VDEV_PATH_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	return access(path, F_OK) == 0;
}

/* --- life cycle of a vdev ---------------------------------------------- */

int vdev_new_uuid(char uuid[VDEV_UUID_LEN + 1])
{
	int ret = sysfs_read(uuid, VDEV_UUID_LEN + 1, "/proc/sys/kernel/random/uuid");

	if (ret < 0)
		return ret;
	memcpy(uuid, UUID_MARK, strlen(UUID_MARK));
	return 0;
}

int vdev_create(const char *parent, const char *type, const char *uuid)
{
	return sysfs_write(uuid, MDEV_BUS_CLASS "/%s/mdev_supported_types/%s/create",
			   parent, type);
}

int vdev_remove(const char *uuid)
{
	return sysfs_write("1", MDEV_DEVICES "/%s/remove", uuid);
}

void vdev_sweep(void)
{
	DIR *dir = opendir(MDEV_DEVICES);
	struct dirent *ent;

	if (!dir)
		return;
	while ((ent = readdir(dir)))
		if (!strncmp(ent->d_name, UUID_MARK, strlen(UUID_MARK)))
			vdev_remove(ent->d_name);
	closedir(dir);
}

long long vdev_available(const char *parent, const char *type)
{
	return sysfs_read_num(MDEV_BUS_CLASS "/%s/mdev_supported_types/%s/available_instances",
			      parent, type);
}

int vdev_cdev(const char *uuid, char path[VDEV_PATH_MAX])
{
	char dirname[VDEV_PATH_MAX];
	struct dirent *ent;
	int ret = -ENOENT;
	DIR *dir;

	snprintf(dirname, sizeof(dirname), MDEV_DEVICES "/%s/vfio-dev", uuid);
	dir = opendir(dirname);
	if (!dir)
		return -errno;
	while ((ent = readdir(dir))) {
		if (!strncmp(ent->d_name, "vfio", 4)) {
			snprintf(path, VDEV_PATH_MAX, "/dev/vfio/devices/%.32s", ent->d_name);
			ret = 0;
		}
	}
	closedir(dir);
	return ret;
}

int vdev_attr(const char *uuid, const char *name, char *buf, size_t size)
{
	return sysfs_read(buf, size, MDEV_DEVICES "/%s/pasid/%s", uuid, name);
}

long long vdev_pasid(const char *uuid)
{
	long long pasid = sysfs_read_num(MDEV_DEVICES "/%s/pasid/pasid", uuid);

	return pasid ?: -EINVAL;
}

bool is_sentence(const char *text, const char *start)
{
	int words = 1;
	const char *p;

	for (p = text; *p; p++)
		words += *p == ' ';
	return words >= 5 && !strchr(text, '\n') && !strncmp(text, start, strlen(start));
}

int refusal_read(struct refusal *refusal, const char *path)
{
	struct tm tm = { 0 };
	char line[512];
	int ret, len = 0;

	memset(refusal, 0, sizeof(*refusal));
	ret = sysfs_read(line, sizeof(line), "%s", path);
	if (ret <= 0)
		return ret;
	if (sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2dZ #%lu %n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &refusal->count, &len) < 7 || !len)
		return -EPROTO;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	refusal->time = timegm(&tm);
	snprintf(refusal->text, sizeof(refusal->text), "%s", line + len);
	return 0;
}

bool last_error_is_sentence(const char *uuid, const char *start)
{
	struct refusal refusal;
	char path[VDEV_PATH_MAX];

	snprintf(path, sizeof(path), MDEV_DEVICES "/%s/pasid/last_error", uuid);
	return !refusal_read(&refusal, path) && is_sentence(refusal.text, start);
}

bool vdev_state_is(const char *uuid, const char *state)
{
	char buf[64];

	return vdev_attr(uuid, "state", buf, sizeof(buf)) > 0 && !strcmp(buf, state);
}

bool vdev_state_becomes(const char *uuid, const char *state)
{
	int i;

	for (i = 0; i < 6000 && !vdev_state_is(uuid, state); i++)
		usleep(10000);
	return vdev_state_is(uuid, state);
}

/* --- VFIO -------------------------------------------------------------- */

int vdev_open(const char *uuid)
{
	char path[VDEV_PATH_MAX];
	int fd, tries;

	for (tries = 0; tries < 100; tries++) {
		int ret = vdev_cdev(uuid, path);

		if (ret)
			return ret;
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd >= 0)
			return fd;
		if (errno != ENOENT)
			break;
		usleep(20000);
	}
	return -errno;
}

int vdev_bind(int fd, int iommufd, uint32_t *devid)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.iommufd = iommufd,
	};
	int ret = check(ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, &bind));

	if (!ret && devid)
		*devid = bind.out_devid;
	return ret;
}

int vdev_attach(int fd, uint32_t *pt_id)
{
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach),
		.pt_id = *pt_id,
	};
	int ret = check(ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach));

	if (!ret)
		*pt_id = attach.pt_id;
	return ret;
}

int vdev_detach(int fd)
{
	struct vfio_device_detach_iommufd_pt detach = { .argsz = sizeof(detach) };

	return check(ioctl(fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach));
}

int vdev_info(int fd, struct vfio_device_info *info)
{
	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	return check(ioctl(fd, VFIO_DEVICE_GET_INFO, info));
}

/* Find the capabilities that we know in the chain behind @info. */
static int parse_caps(const struct vfio_region_info *info, struct vdev_region *region)
{
	const struct vfio_region_info_cap_sparse_mmap *sparse;
	const struct vfio_region_info_cap_type *type;
	const struct vfio_info_cap_header *hdr;
	uint32_t off;

	if (!(info->flags & VFIO_REGION_INFO_FLAG_CAPS))
		return 0;
	for (off = info->cap_offset; off; off = hdr->next) {
		if (off + sizeof(*hdr) > info->argsz)
			return -EPROTO;
		hdr = (const void *)((const char *)info + off);
		if (hdr->id == VFIO_REGION_INFO_CAP_TYPE) {
			type = (const void *)hdr;
			region->type = type->type;
			region->subtype = type->subtype;
		}
		if (hdr->id != VFIO_REGION_INFO_CAP_SPARSE_MMAP)
			continue;
		sparse = (const void *)hdr;
		if (sparse->nr_areas > VDEV_MAX_AREAS)
			return -E2BIG;
		region->sparse = true;
		region->nr_areas = sparse->nr_areas;
		memcpy(region->areas, sparse->areas, sparse->nr_areas * sizeof(*sparse->areas));
	}
	return 0;
}

int vdev_region_info(int fd, unsigned int index, struct vdev_region *region)
{
	union {
		struct vfio_region_info info;
		char buf[1024];
	} u = { .info = { .argsz = sizeof(u), .index = index } };
	int ret;

	memset(region, 0, sizeof(*region));
	ret = check(ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &u.info));
	if (ret)
		return ret;
	region->offset = u.info.offset;
	region->size = u.info.size;
	region->flags = u.info.flags;
	u.info.argsz = sizeof(u);
	return parse_caps(&u.info, region);
}

int vdev_fault_region(int fd, struct vdev_region *region)
{
	struct vfio_device_info info;
	unsigned int i;
	int ret = vdev_info(fd, &info);

	for (i = 0; !ret && i < info.num_regions; i++) {
		ret = vdev_region_info(fd, i, region);
		if (!ret && region->type == VFIO_REGION_TYPE_MDEV_PASID &&
		    region->subtype == VFIO_REGION_SUBTYPE_MDEV_PASID_FAULTS)
			return 0;
	}
	return ret ?: -ENOENT;
}

int vdev_read_faults(int fd, struct vdev_faults *faults)
{
	struct vdev_region region;
	int ret = vdev_fault_region(fd, &region);

	if (ret)
		return ret;
	if (region.size > sizeof(*faults))
		return -E2BIG;
	memset(faults, 0, sizeof(*faults));
	ret = vdev_read(fd, &region, 0, faults, region.size);
	if (ret)
		return ret;
	return faults->header.offset == sizeof(faults->header) &&
	       faults->header.slot_size == sizeof(faults->slots[0]) ? 0 : -EPROTO;
}

long long vdev_fault_count(int fd)
{
	struct vdev_faults faults;
	int ret = vdev_read_faults(fd, &faults);

	return ret ?: (long long)faults.header.count;
}

const struct mdev_pasid_fault *vdev_fault(const struct vdev_faults *faults, uint64_t n)
{
	if (n >= faults->header.count || n + faults->header.slots < faults->header.count)
		return NULL;
	return &faults->slots[n % faults->header.slots];
}

int vdev_irq_info(int fd, unsigned int index, struct vfio_irq_info *info)
{
	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	info->index = index;
	return check(ioctl(fd, VFIO_DEVICE_GET_IRQ_INFO, info));
}

int vdev_set_irqs(int fd, uint32_t flags, unsigned int index, unsigned int start,
		  unsigned int count, const void *data, size_t len)
{
	struct vfio_irq_set *set = calloc(1, sizeof(*set) + len);
	int ret;

	if (!set)
		return -ENOMEM;
	set->argsz = sizeof(*set) + len;
	set->flags = flags;
	set->index = index;
	set->start = start;
	set->count = count;
	if (len)
		memcpy(set->data, data, len);
	ret = check(ioctl(fd, VFIO_DEVICE_SET_IRQS, set));
	free(set);
	return ret;
}

int vdev_irq_eventfds(int fd, unsigned int index, unsigned int start, unsigned int count,
		      const int32_t *fds)
{
	return vdev_set_irqs(fd, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			     index, start, count, fds, count * sizeof(*fds));
}

int vdev_reset(int fd)
{
	return check(ioctl(fd, VFIO_DEVICE_RESET));
}

int vdev_read(int fd, const struct vdev_region *region, uint64_t off, void *buf, size_t len)
{
	ssize_t ret = pread(fd, buf, len, region->offset + off);

	if (ret < 0)
		return -errno;
	return (size_t)ret == len ? 0 : -EIO;
}

int vdev_write(int fd, const struct vdev_region *region, uint64_t off, const void *buf,
	       size_t len)
{
	ssize_t ret = pwrite(fd, buf, len, region->offset + off);

	if (ret < 0)
		return -errno;
	return (size_t)ret == len ? 0 : -EIO;
}

uint64_t eventfd_wait(int fd, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	uint64_t count = 0;

	if (poll(&pfd, 1, ms) == 1 && read(fd, &count, sizeof(count)) != sizeof(count))
		count = 0;
	return count;
}

/* --- the log of the kernel --------------------------------------------- */

int log_open(void)
{
	int fd = check(open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC));

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

unsigned int log_lines(int fd, const char * const *what, unsigned int nr)
{
	unsigned int i, lines = 0;
	char text[8192];
	ssize_t len;

	while ((len = read(fd, text, sizeof(text) - 1)) > 0 || errno == EPIPE) {
		text[len > 0 ? len : 0] = '\0';
		/* Facility 0 is the kernel; only it, and its text, is of interest */
		if (strtoul(text, NULL, 10) >= 8)
			continue;
		for (i = 0; i < nr && !strstr(text, what[i]); i++)
			;
		lines += i < nr;
	}
	return lines;
}

bool log_wait(int fd, const char *what)
{
	unsigned int lines, i;

	for (i = 0; !(lines = log_lines(fd, &what, 1)) && i < 6000; i++)
		usleep(10000);
	return lines;
}

/* --- iommufd ----------------------------------------------------------- */

int iommufd_open(void)
{
	return check(open("/dev/iommu", O_RDWR | O_CLOEXEC));
}

int ioas_alloc(int iommufd, uint32_t *ioas)
{
	struct iommu_ioas_alloc cmd = { .size = sizeof(cmd) };
	int ret = check(ioctl(iommufd, IOMMU_IOAS_ALLOC, &cmd));

	if (!ret)
		*ioas = cmd.out_ioas_id;
	return ret;
}

int ioas_map(int iommufd, uint32_t ioas, void *va, uint64_t len, uint64_t iova, uint32_t prot)
{
	struct iommu_ioas_map cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | prot,
		.ioas_id = ioas,
		.user_va = (uintptr_t)va,
		.length = len,
		.iova = iova,
	};

	return check(ioctl(iommufd, IOMMU_IOAS_MAP, &cmd));
}

int ioas_unmap(int iommufd, uint32_t ioas, uint64_t iova, uint64_t len)
{
	struct iommu_ioas_unmap cmd = {
		.size = sizeof(cmd),
		.ioas_id = ioas,
		.iova = iova,
		.length = len,
	};

	return check(ioctl(iommufd, IOMMU_IOAS_UNMAP, &cmd));
}

static int do_hwpt_alloc(int iommufd, uint32_t flags, uint32_t devid, uint32_t pt_id,
			 uint32_t queue, uint32_t *hwpt)
{
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.flags = flags,
		.dev_id = devid,
		.pt_id = pt_id,
		.data_type = IOMMU_HWPT_DATA_NONE,
		.fault_id = queue,
	};
	int ret = check(ioctl(iommufd, IOMMU_HWPT_ALLOC, &cmd));

	if (!ret)
		*hwpt = cmd.out_hwpt_id;
	return ret;
}

int hwpt_alloc(int iommufd, uint32_t devid, uint32_t pt_id, uint32_t *hwpt)
{
	return do_hwpt_alloc(iommufd, 0, devid, pt_id, 0, hwpt);
}

int hwpt_alloc_with_queue(int iommufd, uint32_t devid, uint32_t pt_id, uint32_t queue,
			  uint32_t *hwpt)
{
	return do_hwpt_alloc(iommufd, IOMMU_HWPT_FAULT_ID_VALID, devid, pt_id, queue, hwpt);
}

int fault_queue_alloc(int iommufd, uint32_t *queue, int *fd)
{
	struct iommu_fault_alloc cmd = { .size = sizeof(cmd) };
	int ret = check(ioctl(iommufd, IOMMU_FAULT_QUEUE_ALLOC, &cmd));

	if (!ret) {
		*queue = cmd.out_fault_id;
		*fd = cmd.out_fault_fd;
	}
	return ret;
}

int iommufd_destroy(int iommufd, uint32_t id)
{
	struct iommu_destroy cmd = { .size = sizeof(cmd), .id = id };

	return check(ioctl(iommufd, IOMMU_DESTROY, &cmd));
}

/* --- privilege --------------------------------------------------------- */

int drop_rawio(void)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &hdr, data))
		return -errno;
	data[0].effective &= ~(1u << CAP_SYS_RAWIO);
	data[0].permitted &= ~(1u << CAP_SYS_RAWIO);
	data[0].inheritable &= ~(1u << CAP_SYS_RAWIO);
	return check(syscall(SYS_capset, &hdr, data));
}
