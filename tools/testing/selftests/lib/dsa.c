// SPDX-License-Identifier: GPL-2.0-only
/* A DSA seen from user space: WQ pool, registers, commands, descriptors. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "dsa.h"

#define CMD_TIMEOUT_MS	10000

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

/* --- the pool of WQs ----------------------------------------------------- */

static bool state_is(const char *dev, const char *state)
{
	char buf[32];

	return sysfs_read(buf, sizeof(buf), DSA_DEVICES "/%s/state", dev) > 0 &&
	       !strcmp(buf, state);
}

/* idxd's numbers: "dsa0" has "wq0.N", "engine0.N" and "group0.N". */
static void wq_name(const struct dsa_pool *pool, unsigned int wq, char *name, size_t size)
{
	snprintf(name, size, "wq%s.%u", pool->dsa + strlen("dsa"), wq);
}

/*
 * idxd lets size and group of a WQ be set only while the device is disabled, so
 * all WQs get them now, whatever they will be used for.
 */
static int device_enable(const struct dsa_pool *pool)
{
	char name[32], size[8];
	unsigned int wq;
	int ret = 0;

	snprintf(size, sizeof(size), "%d", DSA_WQ_SIZE);
	for (wq = 0; !ret; wq++) {
		wq_name(pool, wq, name, sizeof(name));
		if (!path_exists(DSA_DEVICES "/%s", name))
			break;
		ret = sysfs_write(size, DSA_DEVICES "/%s/size", name);
		if (!ret)
			ret = sysfs_write("0", DSA_DEVICES "/%s/group_id", name);
	}
	if (!ret)
		ret = sysfs_write("0", DSA_DEVICES "/engine%s.0/group_id",
				  pool->dsa + strlen("dsa"));
	return ret ?: sysfs_write(pool->dsa, DSA_DRIVERS "/idxd/bind");
}

/*
 * A WQ that was disabled counts as shared, and without ENQCMD idxd then refuses
 * to configure any WQ of the device.
 */
static void all_dedicated(const struct dsa_pool *pool)
{
	char name[32];
	unsigned int wq;

	for (wq = 0;; wq++) {
		wq_name(pool, wq, name, sizeof(name));
		if (!path_exists(DSA_DEVICES "/%s", name))
			break;
		if (!state_is(name, "enabled"))
			sysfs_write("dedicated", DSA_DEVICES "/%s/mode", name);
	}
}

int dsa_wq_configure(const struct dsa_pool *pool, unsigned int wq, const char *type,
		     const char *driver)
{
	char name[32], label[32];
	const char *config[][2] = {
		/* the order matters: a change of the type clears the name */
		{ "type", type },
		{ "name", label },
		{ "driver_name", driver },
		{ "priority", "10" },
	};
	unsigned int i;
	int ret;

	wq_name(pool, wq, name, sizeof(name));
	all_dedicated(pool);
	if (!state_is(pool->dsa, "enabled")) {
		ret = device_enable(pool);
		if (ret)
			return ret;
	}
	snprintf(label, sizeof(label), "%s%u", driver, wq);
	for (i = 0; i < sizeof(config) / sizeof(*config); i++) {
		ret = sysfs_write(config[i][1], DSA_DEVICES "/%s/%s", name, config[i][0]);
		if (ret)
			return ret;
	}
	return 0;
}

int dsa_wq_enable(const struct dsa_pool *pool, unsigned int wq, const char *type,
		  const char *driver)
{
	char name[32];
	int ret;

	wq_name(pool, wq, name, sizeof(name));
	if (state_is(name, "enabled"))
		return 0;
	ret = dsa_wq_configure(pool, wq, type, driver);
	if (!ret)
		ret = sysfs_write(name, DSA_DRIVERS "/%s/bind", driver);
	if (ret)
		return ret;
	return state_is(name, "enabled") ? 0 : -EIO;
}

int dsa_wq_disable(const struct dsa_pool *pool, unsigned int wq, const char *driver)
{
	char name[32];

	wq_name(pool, wq, name, sizeof(name));
	return sysfs_write(name, DSA_DRIVERS "/%s/unbind", driver);
}

int dsa_rebind(const struct dsa_pool *pool)
{
	int ret = 0;

	if (path_exists(DSA_PCI_DRIVER "/%s", pool->parent))
		ret = sysfs_write(pool->parent, DSA_PCI_DRIVER "/unbind");
	return ret ?: sysfs_write(pool->parent, DSA_PCI_DRIVER "/bind");
}

/* As a whole: the compiler must not make it a load of two bytes, which no register takes */
static uint32_t bar_read32(const void *bar, unsigned int off)
{
	return __atomic_load_n((const uint32_t *)((const char *)bar + off), __ATOMIC_RELAXED);
}

long long dsa_host_wqcfg(const struct dsa_pool *pool, unsigned int wq, unsigned int dw)
{
	unsigned int off;
	char path[128];
	long long ret;
	void *bar;
	int fd;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/resource0", pool->parent);
	fd = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	bar = mmap(NULL, 0x10000, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (bar == MAP_FAILED)
		return -errno;
	off = (bar_read32(bar, DSA_OFFSETS) >> 16) * 0x100 +
	      wq * WQCAP_STRIDE(bar_read32(bar, DSA_WQCAP)) + 4 * dw;
	ret = bar_read32(bar, off);
	munmap(bar, 0x10000);
	return ret;
}

void dsa_snapshot(struct dsa_snapshot *snap)
{
	DIR *dir = opendir(DSA_DEVICES);
	struct dirent *ent;

	memset(snap, 0, sizeof(*snap));
	if (!dir)
		return;
	while ((ent = readdir(dir)))
		if (snap->nr < 32 && state_is(ent->d_name, "enabled"))
			snprintf(snap->name[snap->nr++], sizeof(*snap->name), "%.15s",
				 ent->d_name);
	closedir(dir);
}

static bool in_snapshot(const struct dsa_snapshot *snap, const char *name)
{
	unsigned int i;

	for (i = 0; i < snap->nr; i++)
		if (!strcmp(snap->name[i], name))
			return true;
	return false;
}

void dsa_restore(const struct dsa_snapshot *snap)
{
	/* First the WQs, then the devices that have them. */
	static const char * const kinds[] = { "wq", "dsa" };
	struct dsa_snapshot now;
	unsigned int i, kind;

	dsa_snapshot(&now);
	for (kind = 0; kind < 2; kind++)
		for (i = 0; i < now.nr; i++)
			if (!in_snapshot(snap, now.name[i]) &&
			    !strncmp(now.name[i], kinds[kind], strlen(kinds[kind])))
				sysfs_write(now.name[i], DSA_DEVICES "/%s/driver/unbind",
					    now.name[i]);
}

static int find_dsa(char *name, size_t size)
{
	const char *env = getenv("DSA");
	struct dirent **list;
	int i, n, ret = -ENODEV;

	if (env) {
		snprintf(name, size, "%s", env);
		return path_exists(DSA_DEVICES "/%s", name) ? 0 : -ENODEV;
	}
	n = scandir(DSA_DEVICES, &list, NULL, alphasort);
	if (n < 0)
		return -ENODEV;
	for (i = 0; i < n; i++) {
		if (ret && !strncmp(list[i]->d_name, "dsa", 3)) {
			snprintf(name, size, "%.15s", list[i]->d_name);
			ret = 0;
		}
		free(list[i]);
	}
	free(list);
	return ret;
}

int dsa_pool_get(struct dsa_pool *pool, unsigned int nr)
{
	char link[VDEV_PATH_MAX], path[VDEV_PATH_MAX];
	unsigned int wq;
	ssize_t len;
	int ret;

	memset(pool, 0, sizeof(*pool));
	if (!path_exists(DSA_DRIVERS "/" DSA_WQ_DRIVER) || !path_exists("/dev/iommu"))
		if (system("modprobe -a iommufd idxd idxd_vdev"))
			return -ENODEV;
	ret = find_dsa(pool->dsa, sizeof(pool->dsa));
	if (ret)
		return ret;

	/* The dsa device is a child of the PF's PCI device. */
	snprintf(path, sizeof(path), DSA_DEVICES "/%s", pool->dsa);
	len = readlink(path, link, sizeof(link) - 1);
	if (len < 0)
		return -errno;
	link[len] = '\0';
	*strrchr(link, '/') = '\0';
	snprintf(pool->parent, sizeof(pool->parent), "%.31s", strrchr(link, '/') + 1);

	for (wq = 0; wq < nr; wq++) {
		ret = dsa_wq_enable(pool, wq, "user", DSA_WQ_DRIVER);
		if (ret)
			return ret;
	}
	pool->nr_wqs = nr;
	return 0;
}

/* --- one device ---------------------------------------------------------- */

int dsa_init(struct dsa *dsa, int fd)
{
	int ret;

	memset(dsa, 0, sizeof(*dsa));
	dsa->fd = fd;
	dsa->page = PORTAL_LIMITED;
	ret = vdev_region_info(fd, VFIO_PCI_CONFIG_REGION_INDEX, &dsa->cfg);
	if (!ret)
		ret = vdev_region_info(fd, VFIO_PCI_BAR0_REGION_INDEX, &dsa->regs);
	if (!ret)
		ret = vdev_region_info(fd, VFIO_PCI_BAR2_REGION_INDEX, &dsa->portals);
	return ret;
}

bool dsa_can_map(const struct dsa *dsa)
{
	return dsa->portals.flags & VFIO_REGION_INFO_FLAG_MMAP;
}

int dsa_map(struct dsa *dsa, unsigned int page)
{
	void *va = mmap(NULL, PORTAL_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, dsa->fd,
			dsa->portals.offset + page * PORTAL_PAGE);

	if (va == MAP_FAILED)
		return -errno;
	dsa->portal = va;
	dsa->page = page;
	return 0;
}

void dsa_unmap(struct dsa *dsa)
{
	if (dsa->portal)
		munmap(dsa->portal, PORTAL_PAGE);
	dsa->portal = NULL;
}

uint32_t dsa_read32(struct dsa *dsa, uint64_t reg)
{
	uint32_t value = ~0u;

	vdev_read(dsa->fd, &dsa->regs, reg, &value, sizeof(value));
	return value;
}

uint64_t dsa_read64(struct dsa *dsa, uint64_t reg)
{
	uint64_t value = ~0ull;

	vdev_read(dsa->fd, &dsa->regs, reg, &value, sizeof(value));
	return value;
}

int dsa_write32(struct dsa *dsa, uint64_t reg, uint32_t value)
{
	return vdev_write(dsa->fd, &dsa->regs, reg, &value, sizeof(value));
}

int dsa_write64(struct dsa *dsa, uint64_t reg, uint64_t value)
{
	return vdev_write(dsa->fd, &dsa->regs, reg, &value, sizeof(value));
}

uint32_t dsa_wqcfg(struct dsa *dsa, unsigned int word)
{
	uint64_t wqcfg = ((dsa_read64(dsa, DSA_OFFSETS) >> 16) & 0xffff) * 0x100;

	return dsa_read32(dsa, wqcfg + word * 4);
}

long dsa_cmd_wait(struct dsa *dsa)
{
	long long end = now_ms() + CMD_TIMEOUT_MS;
	uint32_t sts;

	while ((sts = dsa_read32(dsa, DSA_CMDSTS)) & CMDSTS_ACTIVE) {
		/* A device that is gone reads as all ones */
		if (sts == ~0u)
			return -ENODEV;
		if (now_ms() > end)
			return -ETIMEDOUT;
		usleep(100);
	}
	return sts;
}

long dsa_cmd(struct dsa *dsa, uint32_t code, uint32_t operand)
{
	int ret = dsa_write32(dsa, DSA_CMD, (code << 20) | operand);

	return ret ?: dsa_cmd_wait(dsa);
}

int dsa_set_command(struct dsa *dsa, uint16_t command)
{
	return vdev_write(dsa->fd, &dsa->cfg, PCI_COMMAND, &command, sizeof(command));
}

int dsa_start(struct dsa *dsa)
{
	long sts;
	int ret;

	ret = dsa_set_command(dsa, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	if (ret)
		return ret;
	sts = dsa_cmd(dsa, CMD_ENABLE_DEVICE, 0);
	if (sts && sts != ERR_DEV_ENABLED)
		return sts < 0 ? sts : -EIO;
	sts = dsa_cmd(dsa, CMD_ENABLE_WQ, 0);
	if (sts && sts != ERR_WQ_ENABLED)
		return sts < 0 ? sts : -EIO;
	return 0;
}

int dsa_request_int_handle(struct dsa *dsa)
{
	long sts = dsa_cmd(dsa, CMD_REQUEST_INT_HANDLE, 1);

	if (sts < 0)
		return sts;
	if (CMDSTS_ERR(sts))
		return -EIO;
	dsa->int_handle = CMDSTS_RESULT(sts);
	return 0;
}

int dsa_submit(struct dsa *dsa, const struct dsa_hw_desc *desc)
{
	if (!dsa->portal)
		return vdev_write(dsa->fd, &dsa->portals, dsa->page * PORTAL_PAGE, desc,
				  sizeof(*desc));

	/* Everything the descriptor points to must be in memory before it. */
	asm volatile("sfence\n\tmovdir64b %1, %0"
		     : : "r"(dsa->portal), "m"(*desc) : "memory");
	return 0;
}

int dsa_wait(const struct dsa_completion_record *cr, int ms)
{
	long long end = now_ms() + ms;
	unsigned int spins;

	/* Most work is done in microseconds; what is not, is not worth a CPU. */
	for (spins = 0; !cr->status; spins++) {
		if (spins < 1000) {
			asm volatile("pause");
			continue;
		}
		if (now_ms() > end)
			return -ETIMEDOUT;
		usleep(50);
	}
	/* The rest of the record is read after its status. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return cr->status;
}

uint64_t dsa_wait_swerr(struct dsa *dsa)
{
	uint64_t err;
	int i;

	for (i = 0; i < 6000; i++) {
		err = dsa_read64(dsa, DSA_SWERR);
		if (err & SWERR_VALID)
			return err;
		usleep(10000);
	}
	return 0;
}

/* --- memory for descriptors and data ------------------------------------- */

int dsa_mem_alloc(struct dsa_mem *mem, int iommufd, uint32_t ioas, uint64_t iova, size_t size)
{
	void *va = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	int ret;

	if (va == MAP_FAILED)
		return -errno;
	ret = ioas_map(iommufd, ioas, va, size, iova, IOAS_RW);
	if (ret) {
		munmap(va, size);
		return ret;
	}
	mem->va = va;
	mem->iova = iova;
	mem->size = size;
	return 0;
}

void dsa_mem_free(struct dsa_mem *mem)
{
	if (mem->va)
		munmap(mem->va, mem->size);
	mem->va = NULL;
}

struct dsa_hw_desc dsa_desc(const struct dsa_mem *mem, unsigned int i, enum dsa_opcode opcode)
{
	memset(dsa_cr(mem, i), 0, sizeof(*dsa_cr(mem, i)));
	return (struct dsa_hw_desc) {
		.opcode = opcode,
		.flags = IDXD_OP_FLAG_CRAV | IDXD_OP_FLAG_RCR,
		.completion_addr = mem->iova + i * sizeof(struct dsa_completion_record),
	};
}

struct dsa_hw_desc dsa_desc_move(const struct dsa_mem *mem, unsigned int i, size_t src,
				 size_t dst, uint32_t len)
{
	struct dsa_hw_desc desc = dsa_desc(mem, i, DSA_OPCODE_MEMMOVE);

	desc.src_addr = mem->iova + src;
	desc.dst_addr = mem->iova + dst;
	desc.xfer_size = len;
	return desc;
}

int dsa_run(struct dsa *dsa, const struct dsa_mem *mem, const struct dsa_hw_desc *desc)
{
	struct dsa_completion_record *cr =
		(void *)(mem->va + (desc->completion_addr - mem->iova));
	int ret;

	/* One that ran before has left its status there */
	memset(cr, 0, sizeof(*cr));
	ret = dsa_submit(dsa, desc);
	return ret ?: dsa_wait(cr, 10000);
}

void dsa_fill(uint8_t *buf, size_t len, uint32_t seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = (i * 7 + (i >> 8) * 13 + seed * 31 + 1) & 0xff;
}

long dsa_check(const uint8_t *buf, size_t len, uint32_t seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (buf[i] != ((i * 7 + (i >> 8) * 13 + seed * 31 + 1) & 0xff))
			return i;
	return -1;
}
