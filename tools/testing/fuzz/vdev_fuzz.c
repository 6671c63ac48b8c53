// SPDX-License-Identifier: GPL-2.0-only
/*
 * A fuzzer of all that the user of a vdev can reach: libFuzzer makes the input, the
 * kernel's KCOV says what is new.
 *
 * An input is a list of steps of 16 bytes each. A step is an operation with
 * its arguments, on one of NR_VDEVS vdevs and on the objects that earlier steps have made.
 * Each input starts with nothing open, and with the vdevs as after create, so that it
 * does the same each time. seeds.py writes the inputs to start from.
 *
 * What must not be random: the memory that a vdev can reach is the arena, since the
 * device writes to whatever is mapped, and calls that map memory are made by their
 * own operations only.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/kcov.h>
#include <linux/pci_regs.h>

#include "dsa.h"
#include "siov_regs.h"

#define NR_VDEVS	3	/* 0 and 1 are a DSA's, 2 is the sample's */
#define NR_FILES	2	/* that each vdev is opened as */
#define NR_IOMMUFDS	2
#define NR_IDS		8	/* iommufd objects that steps can name */
#define NR_MAPS		4
#define NR_EVENTS	4
#define NR_QUEUES	2	/* of page requests */
#define MAX_STEPS	64

#define ARENA_SIZE	0x40000ul
#define ARENA_VA	((uint8_t *)0x500000000000)
#define PORTAL_VA(i)	((uint8_t *)0x600000000000 + (i) * 0x100000)

#define KCOV_ENTRIES	(256 << 10)

struct step {
	uint8_t op;
	uint8_t who;	/* vdev in bits 1:0, file in 2, iommufd in 3, other object in 7:4 */
	uint16_t a;
	uint32_t b;
	uint64_t c;
} __attribute__((packed));

enum op {
	OP_OPEN,
	OP_CLOSE,
	OP_BIND,
	OP_ATTACH,
	OP_DETACH,
	OP_RESET,
	OP_IRQS_EVENTFD,
	OP_IRQS_RAW,
	OP_INFO,
	OP_REGION_INFO,
	OP_IRQ_INFO,
	OP_FEATURE,
	OP_VFIO_RAW,
	OP_READ,
	OP_WRITE,
	OP_CONFIG_WRITE,
	OP_COMMAND,
	OP_DESC,
	OP_MMAP,
	OP_MUNMAP,
	OP_STORE,
	OP_LOAD,
	OP_MADVISE,
	OP_IOAS_ALLOC,
	OP_IOAS_MAP,
	OP_IOAS_UNMAP,
	OP_HWPT_ALLOC,
	OP_DESTROY,
	OP_IOMMU_RAW,
	OP_COPY,
	OP_ATTR,
	OP_ARENA,
	OP_BAR_BURST,
	OP_RECREATE,
	OP_WQ,
	OP_IOMMUFD_CLOSE,
	OP_HW_INFO,
	OP_ACCESS_RAW,
	OP_DESC_TAIL,
	OP_IOAS_COPY,
	OP_QUEUE_ALLOC,
	OP_QUEUE_IO,
	OP_IOVA_RANGES,
	OP_DIRTY_BITMAP,
	OP_MREMAP,
	OP_FORK,
	OP_RAWIO,
	OP_DESC_HEAD,
	NR_OPS,
};

struct vdev {
	const char *parent;
	const char *type;
	char uuid[VDEV_UUID_LEN + 1];
	char cdev[VDEV_PATH_MAX];
	int fd[NR_FILES];
};

static struct dsa_pool pool;
static struct vdev vdevs[NR_VDEVS];
static int iommufd[NR_IOMMUFDS];
static uint32_t ids[NR_IDS];
static uint8_t *maps[NR_MAPS];
static int events[NR_EVENTS];
static int queues[NR_QUEUES];
static uint64_t desc_head[4];	/* what is changed in bytes 0 to 31 of each descriptor */
static uint64_t desc_tail[3];	/* bytes 40 to 63 of it */
static pid_t child;	/* has what was open and mapped when it was forked, or 0 */
static int first_fd;	/* of what an input may open */
static uint8_t *const arena = ARENA_VA;

/* --- coverage ------------------------------------------------------------- */

/* libFuzzer counts in these, too */
static uint8_t counters[64 << 10] __attribute__((section("__libfuzzer_extra_counters")));

static uint64_t *kcov;
static int kcov_fd;

/* Places in the kernel that were reached at least once, for the report */
static uint64_t *seen;
static size_t nr_seen, size_seen = 1 << 16;

static bool see(uint64_t pc)
{
	size_t i = (pc * 0x9e3779b97f4a7c15ull) >> 48;

	while (seen[i]) {
		if (seen[i] == pc)
			return false;
		i = (i + 1) % size_seen;
	}
	if (nr_seen == size_seen / 2)
		return false;
	seen[i] = pc;
	nr_seen++;
	return true;
}

static void die(const char *what)
{
	fprintf(stderr, "fuzz: %s: %s\n", what, strerror(errno));
	_exit(2);
}

static void kcov_open(void)
{
	kcov_fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
	if (kcov_fd < 0)
		die("/sys/kernel/debug/kcov");
	if (ioctl(kcov_fd, KCOV_INIT_TRACE, KCOV_ENTRIES))
		die("KCOV_INIT_TRACE");
	kcov = mmap(NULL, KCOV_ENTRIES * sizeof(*kcov), PROT_READ | PROT_WRITE, MAP_SHARED,
		    kcov_fd, 0);
	seen = calloc(size_seen, sizeof(*seen));
	if (kcov == MAP_FAILED || !seen)
		die("no memory for KCOV");
}

static void kcov_start(void)
{
	if (ioctl(kcov_fd, KCOV_ENABLE, KCOV_TRACE_PC))
		die("KCOV_ENABLE");
	__atomic_store_n(kcov, 0, __ATOMIC_RELAXED);
}

/* A pair of places makes an edge, which says more than each of them */
static void kcov_stop(void)
{
	uint64_t i, nr = __atomic_load_n(kcov, __ATOMIC_RELAXED), last = 0;

	if (ioctl(kcov_fd, KCOV_DISABLE, 0))
		die("KCOV_DISABLE");
	for (i = 1; i <= nr; i++) {
		uint64_t edge = (kcov[i] ^ last >> 1) * 0x9e3779b97f4a7c15ull >> 48;

		if (!counters[edge])
			see(kcov[i]);
		if (counters[edge] < 255)
			counters[edge]++;
		last = kcov[i];
	}
}

/* --- reports -------------------------------------------------------------- */

static int kmsg;

/* As strstr(), whose arguments libFuzzer would put into the input */
static bool contains(const char *text, const char *part)
{
	size_t i;

	for (; *text; text++) {
		for (i = 0; part[i] && text[i] == part[i]; i++)
			;
		if (!part[i])
			return true;
	}
	return false;
}

/* The kernel's reports about itself; check-log looks for more when all is over. */
static void check_kernel(void)
{
	static const char * const reports[] = {
		"BUG:", "WARNING:", "KASAN", "UBSAN", "Oops", "INFO: possible", "INFO: task",
		"ODEBUG", "refcount_t:", "corruption",
	};
	static char line[8192];
	unsigned int i;
	ssize_t len;

	for (;;) {
		len = read(kmsg, line, sizeof(line) - 1);
		if (len < 0 && errno == EPIPE)
			continue;
		if (len <= 0)
			return;
		line[len] = '\0';
		for (i = 0; i < sizeof(reports) / sizeof(*reports); i++) {
			if (!contains(line, reports[i]))
				continue;
			fprintf(stderr, "fuzz: the kernel reports: %s", line);
			/* libFuzzer writes the input to a file */
			abort();
		}
	}
}

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static size_t execs;

static void report(void)
{
	static size_t last_seen, minute, last_execs;

	minute++;
	printf("fuzz: minute %zu: %zu inputs, %zu places in the kernel, %zu of them new\n",
	       minute, execs - last_execs, nr_seen, nr_seen - last_seen);
	fflush(stdout);
	last_seen = nr_seen;
	last_execs = execs;
}

static void progress(void)
{
	static time_t next;

	execs++;
	if (!next)
		next = now() + 60;
	if (now() < next)
		return;
	next += 60;
	report();
}

/* --- the vdevs ------------------------------------------------------------ */

static int create(struct vdev *v)
{
	int i;

	for (i = 0; i < NR_FILES; i++)
		v->fd[i] = -1;
	return vdev_create(v->parent, v->type, v->uuid) ?: vdev_cdev(v->uuid, v->cdev);
}

static struct vdev *vdev_of(const struct step *s)
{
	return &vdevs[(s->who & 3) % NR_VDEVS];
}

static int *file_of(const struct step *s)
{
	return &vdev_of(s)->fd[s->who >> 2 & 1];
}

static int *iommufd_of(const struct step *s)
{
	return &iommufd[s->who >> 3 & 1];
}

static uint32_t *id_of(const struct step *s)
{
	return &ids[(s->who >> 4) % NR_IDS];
}

static void keep_id(const struct step *s, int ret, uint32_t id)
{
	if (!ret)
		*id_of(s) = id;
}

static uint64_t region_offset(unsigned int index, uint64_t off)
{
	/* MDEV_PASID_OFFSET */
	return ((uint64_t)index << 40) + off;
}

/* --- memory that must not hurt us ----------------------------------------- */

static sigjmp_buf fault;

static void on_fault(int sig)
{
	siglongjmp(fault, sig);
}

/* Of a step's choice: in the arena, or where there is nothing */
static void *user_va(uint64_t c, size_t len)
{
	if (c >> 63)
		return (void *)((c & ~0xfffull) | 0xffff800000000000);
	if (c >> 62)
		return NULL;
	return arena + c % (ARENA_SIZE - (len < ARENA_SIZE ? len : ARENA_SIZE - 1));
}

/* --- steps ---------------------------------------------------------------- */

static void do_open(const struct step *s)
{
	int *fd = file_of(s);

	if (*fd < 0)
		*fd = open(vdev_of(s)->cdev, O_RDWR | O_CLOEXEC | (s->a & O_NONBLOCK));
}

static void do_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void do_irqs(const struct step *s, bool raw)
{
	uint32_t buf[sizeof(struct vfio_irq_set) / 4 + 80] = { };
	struct vfio_irq_set *set = (void *)buf;
	int32_t *fds = (void *)set->data;
	unsigned int i;

	set->argsz = sizeof(buf);
	set->index = s->a % (VFIO_PCI_NUM_IRQS + 2);
	set->start = s->c & 0xff;
	set->count = s->c >> 8 & 0xff;
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	for (i = 0; i < 80; i++)
		fds[i] = s->b >> (i % 32) & 1 ? events[i % NR_EVENTS] : -1;
	if (raw) {
		set->flags = s->b & 0xffff;
		set->argsz = s->b >> 16;
		set->count = s->c >> 8;
		fds[0] = s->c >> 40 & 0xff;
	}
	ioctl(*file_of(s), VFIO_DEVICE_SET_IRQS, set);
}

static void do_region_info(const struct step *s)
{
	struct vfio_region_info *info = (void *)arena;

	memset(info, 0, sizeof(*info));
	info->argsz = s->b & 0x3ff;
	info->index = s->a;
	ioctl(*file_of(s), VFIO_DEVICE_GET_REGION_INFO, info);
}

static void do_vfio_raw(const struct step *s)
{
	unsigned int nr = VFIO_BASE + s->a % 32;

	memcpy(arena, &s->b, sizeof(s->b));
	memcpy(arena + 4, &s->c, sizeof(s->c));
	/* Has an iommufd in it, which may be any file of ours */
	ioctl(*file_of(s), _IO(VFIO_TYPE, nr), s->c >> 63 ? NULL : arena);
}

static void do_access(const struct step *s, bool write)
{
	unsigned int index = s->a & 0xf;
	uint64_t off = region_offset(index, s->b);
	size_t len = s->a >> 4;
	void *buf = user_va(s->c, len);

	if (write)
		pwrite(*file_of(s), buf, len, off);
	else
		pread(*file_of(s), buf, len, off);
}

/* Any offset and length: where the arena ends, there is no memory */
static void do_access_raw(const struct step *s)
{
	uint8_t *buf = arena + (s->a >> 1) * 8;

	if (s->a & 1)
		pwrite(*file_of(s), buf, s->b, s->c);
	else
		pread(*file_of(s), buf, s->b, s->c);
}

static void write_region(const struct step *s, unsigned int index, uint64_t off, const void *data,
			 size_t len)
{
	pwrite(*file_of(s), data, len, region_offset(index, off));
}

/* A DSA's command, with what a driver sets up before it if asked for */
static void do_command(const struct step *s)
{
	uint32_t cmd = (s->a & 0xff) << 20 | (s->b & 0xfffff) | (s->a >> 8 & 1) << 31;
	uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	uint32_t status;

	if (s->a >> 9 & 1)
		write_region(s, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, &command, 2);
	write_region(s, VFIO_PCI_BAR0_REGION_INDEX, DSA_CMD, &cmd, sizeof(cmd));
	pread(*file_of(s), &status, 4, region_offset(VFIO_PCI_BAR0_REGION_INDEX, DSA_CMDSTS));
}

static void store64(void *to, const void *data)
{
	asm volatile("movdir64b %1, %0"
		     : : "r"(to), "m"(*(const struct dsa_hw_desc *)data) : "memory");
}

static void do_desc(const struct step *s)
{
	uint64_t iova = s->c & 0xffff0, portal = (s->who >> 4) * 64;
	struct dsa_hw_desc desc = {
		.opcode = s->a & 0xff,
		.flags = s->b & 0xffffff,
		.completion_addr = iova ^ (s->b >> 31 ? 0x10 : 0),
		.src_addr = iova + 0x1000,
		.dst_addr = iova + (s->c >> 20 & 0xffff),
		.xfer_size = s->c >> 36 & 0xfffff,
		.pasid = s->b >> 24 & 0x7f,
		.int_handle = s->a >> 8,
	};
	uint8_t *map = maps[s->c >> 60 & (NR_MAPS - 1)];
	uint64_t words[8] __attribute__((aligned(64)));
	unsigned int i;

	memcpy(words, &desc, sizeof(words));
	for (i = 0; i < 4; i++)
		words[i] ^= desc_head[i];
	memcpy(words + 5, desc_tail, sizeof(desc_tail));
	if (map && s->c >> 63)
		store64(map + portal, words);
	else
		write_region(s, VFIO_PCI_BAR2_REGION_INDEX, s->c >> 62 ? 0x1000 : portal, words,
			     sizeof(words));
}

static void do_mmap(const struct step *s)
{
	unsigned int i = s->who >> 4 & (NR_MAPS - 1);
	size_t len = ((s->a >> 8 & 3) + 1) * 0x1000;
	int prot = s->a >> 4 & 7, flags = s->a >> 10 & 1 ? MAP_PRIVATE : MAP_SHARED;
	uint8_t *va;

	if (maps[i])
		return;
	va = mmap(PORTAL_VA(i), len, prot, flags | MAP_FIXED, *file_of(s),
		  region_offset(s->a & 0xf, (uint64_t)s->b << 12));
	if (va != MAP_FAILED)
		maps[i] = va;
}

static void do_munmap(unsigned int i)
{
	if (maps[i])
		munmap(maps[i], 0x4000);
	maps[i] = NULL;
}

static void do_store(const struct step *s)
{
	uint8_t *map = maps[s->who >> 4 & (NR_MAPS - 1)], data[64] __attribute__((aligned(64)));
	unsigned int i, off = s->b & 0xfff;

	if (!map)
		return;
	for (i = 0; i < 64; i += 8)
		memcpy(data + i, &s->c, 8);
	switch (s->a & 3) {
	case 0:
		__atomic_store_n(map + off, s->c, __ATOMIC_RELAXED);
		break;
	case 1:
		__atomic_store_n((uint32_t *)(map + (off & ~3u)), s->c, __ATOMIC_RELAXED);
		break;
	case 2:
		__atomic_store_n((uint64_t *)(map + (off & ~7u)), s->c, __ATOMIC_RELAXED);
		break;
	default:
		store64(map + (off & ~63u), data);
	}
}

static void do_load(const struct step *s)
{
	uint8_t *map = maps[s->who >> 4 & (NR_MAPS - 1)];

	if (map)
		__atomic_load_n((uint32_t *)(map + (s->b & 0xffc)), __ATOMIC_RELAXED);
}

static void do_madvise(const struct step *s)
{
	static const int advice[] = {
		MADV_DONTNEED, MADV_WILLNEED, MADV_DONTFORK, MADV_PAGEOUT, MADV_POPULATE_READ,
		MADV_POPULATE_WRITE,
	};
	uint8_t *map = maps[s->who >> 4 & (NR_MAPS - 1)];
	struct iovec io = { .iov_base = map, .iov_len = 64 };

	if (!map)
		return;
	if (s->a & 1)
		madvise(map, 0x1000, advice[s->b % (sizeof(advice) / sizeof(*advice))]);
	else if (s->a & 2)
		mprotect(map, 0x1000, s->b & 7);
	else if (s->a & 4)
		/* The kernel reads from, or writes to, a portal */
		s->b & 1 ? preadv(*file_of(s), &io, 1, region_offset(7, 0)) :
			   pwritev(*file_of(s), &io, 1, region_offset(7, 0));
	else
		msync(map, 0x1000, MS_SYNC);
}

/* To a place of ours, or where it is */
static void do_mremap(const struct step *s)
{
	unsigned int to = s->a & (NR_MAPS - 1);
	size_t old = (s->a >> 2 & 7) * 0x1000, new = ((s->a >> 5 & 3) + 1) * 0x1000;
	int flags = s->a >> 7 & 1 ? MREMAP_MAYMOVE | MREMAP_FIXED : 0;
	uint8_t *map = maps[s->who >> 4 & (NR_MAPS - 1)], *va;

	if (!map)
		return;
	if (s->a >> 8 & 1)
		flags |= MREMAP_DONTUNMAP;
	va = mremap(map, old, new, flags, PORTAL_VA(to));
	if (va == PORTAL_VA(to))
		maps[to] = va;
}

static void end_child(void)
{
	if (child <= 0)
		return;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	child = 0;
}

/* A child that uses what it has got, and ends, or stays until the input has ended */
static void do_fork(const struct step *s)
{
	end_child();
	child = fork();
	if (child)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!sigsetjmp(fault, 1)) {
		if (s->a & 1)
			do_load(s);
		if (s->a & 2)
			do_desc(s);
		if (s->a & 4)
			vdev_reset(*file_of(s));
	}
	if (s->a & 8)
		_exit(0);
	for (;;)
		pause();
}

/* Whether this may map the portal of a DSA that is not safe to be given to users */
static void set_rawio(bool on)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	const uint32_t bit = 1u << CAP_SYS_RAWIO;
	static bool off;

	if (off == !on)
		return;
	if (syscall(SYS_capget, &hdr, data))
		die("capget");
	data[0].effective = on ? data[0].effective | bit : data[0].effective & ~bit;
	if (syscall(SYS_capset, &hdr, data))
		die("capset");
	off = !on;
}

static void do_map(const struct step *s)
{
	struct iommu_ioas_map cmd = {
		.size = sizeof(cmd),
		.flags = s->a & 7,
		.ioas_id = *id_of(s),
		.length = (uint64_t)(s->b & 0xffff) * (s->a >> 8 & 1 ? 1 : 0x1000),
		.iova = s->c & ~0xfffull,
	};

	/* In the arena, page by page, or where there is nothing */
	if (s->b >> 31)
		cmd.user_va = s->c | 0x700000000000;
	else
		cmd.user_va = (uintptr_t)arena + (s->b >> 16 & 0xff) * 0x1000 % ARENA_SIZE;
	if (!(s->b >> 31) && cmd.length > (uintptr_t)arena + ARENA_SIZE - cmd.user_va)
		cmd.length = (uintptr_t)arena + ARENA_SIZE - cmd.user_va;
	ioctl(*iommufd_of(s), IOMMU_IOAS_MAP, &cmd);
}

static void do_hwpt_alloc(const struct step *s)
{
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.flags = s->b & 7,
		.dev_id = ids[s->a % NR_IDS],
		.pt_id = ids[(s->a >> 4) % NR_IDS],
		.data_type = s->b >> 8 & 1,
		.fault_id = ids[(s->b >> 16) % NR_IDS],
	};

	keep_id(s, ioctl(*iommufd_of(s), IOMMU_HWPT_ALLOC, &cmd), cmd.out_hwpt_id);
}

static void do_queue_alloc(const struct step *s)
{
	struct iommu_fault_alloc cmd = { .size = sizeof(cmd), .flags = s->b };
	int *queue = &queues[s->a % NR_QUEUES];

	if (ioctl(*iommufd_of(s), IOMMU_FAULT_QUEUE_ALLOC, &cmd))
		return;
	do_close(queue);
	*queue = cmd.out_fault_fd;
	keep_id(s, 0, cmd.out_fault_id);
}

/* Reads page requests, or answers one or two */
static void do_queue_io(const struct step *s)
{
	struct iommu_hwpt_page_response resp[2] = {
		{ .cookie = s->c, .code = s->c >> 32 }, { .cookie = s->c + 1 },
	};
	struct pollfd pfd = { .fd = queues[s->a % NR_QUEUES], .events = POLLIN };
	size_t len = s->b % (sizeof(resp) + 1);

	if (s->a >> 1 & 1) {
		write(pfd.fd, s->a >> 2 & 1 ? user_va(s->c, len) : resp, len);
		return;
	}
	/* One that was caused takes a moment */
	if (s->a >> 2 & 1)
		poll(&pfd, 1, 500);
	read(pfd.fd, user_va(s->c, s->b & 0xfff), s->b & 0xfff);
}

static void do_ioas_copy(const struct step *s)
{
	struct iommu_ioas_copy cmd = {
		.size = sizeof(cmd),
		.flags = s->a & 7,
		.dst_ioas_id = *id_of(s),
		.src_ioas_id = ids[(s->a >> 4) % NR_IDS],
		.length = (uint64_t)(s->b & 0xffff) * (s->a >> 8 & 1 ? 1 : 0x1000),
		.dst_iova = s->c & 0xffffffff,
		.src_iova = s->c >> 32,
	};

	ioctl(*iommufd_of(s), IOMMU_IOAS_COPY, &cmd);
}

static void do_iova_ranges(const struct step *s)
{
	struct iommu_ioas_iova_ranges cmd = {
		.size = sizeof(cmd),
		.ioas_id = *id_of(s),
		.num_iovas = s->a,
		.allowed_iovas = (uintptr_t)user_va(s->c, s->a * sizeof(struct iommu_iova_range)),
	};

	ioctl(*iommufd_of(s), IOMMU_IOAS_IOVA_RANGES, &cmd);
}

static void do_dirty_bitmap(const struct step *s)
{
	struct iommu_hwpt_get_dirty_bitmap cmd = {
		.size = sizeof(cmd),
		.hwpt_id = *id_of(s),
		.flags = s->a >> 6 & 1,
		.iova = s->b,
		.length = (s->a >> 7) * 0x1000ull,
		.page_size = 1ull << (s->a & 0x3f),
		.data = (uintptr_t)user_va(s->c, 0x1000),
	};

	ioctl(*iommufd_of(s), IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd);
}

static void do_iommu_raw(const struct step *s)
{
	unsigned int nr = IOMMUFD_CMD_BASE + s->a % 0x10;
	struct {
		uint32_t size;
		uint32_t words[15];
	} *cmd = (void *)arena;

	/* These map what is not the arena, or write where a random pointer says: see their own */
	if (nr == IOMMUFD_CMD_IOAS_MAP || nr == IOMMUFD_CMD_GET_HW_INFO ||
	    nr == IOMMUFD_CMD_IOAS_IOVA_RANGES || nr == IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP)
		return;
	memset(cmd, 0, sizeof(*cmd));
	cmd->size = s->a >> 4 & 0x3f;
	cmd->words[0] = s->b;
	cmd->words[1] = ids[s->c % NR_IDS];
	cmd->words[2] = s->c >> 8;
	cmd->words[s->c >> 4 & 0xf & 7] ^= s->c >> 32;
	ioctl(*iommufd_of(s), _IO(IOMMUFD_TYPE, nr), cmd);
}

static void do_hw_info(const struct step *s)
{
	struct iommu_hw_info cmd = {
		.size = sizeof(cmd),
		.flags = s->a & 1,
		.dev_id = *id_of(s),
		.data_len = s->b % ARENA_SIZE,
		.data_uptr = (uintptr_t)arena,
	};

	ioctl(*iommufd_of(s), IOMMU_GET_HW_INFO, &cmd);
}

/* The sample copies */
static void do_copy(const struct step *s)
{
	uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	uint64_t regs[] = { s->c & 0xffffff, s->c >> 24 & 0xffffff, s->b };
	uint8_t *map = maps[s->who >> 4 & (NR_MAPS - 1)];

	write_region(s, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, &command, 2);
	write_region(s, SIOV_REGS_BAR, SIOV_SRC, &regs[0], 8);
	write_region(s, SIOV_REGS_BAR, SIOV_DST, &regs[1], 8);
	write_region(s, SIOV_REGS_BAR, SIOV_LEN, &regs[2], 8);
	if (map)
		__atomic_store_n((uint32_t *)map, s->a, __ATOMIC_RELEASE);
}

static void do_attr(const struct step *s)
{
	static const char * const attrs[] = {
		"pasid/state", "pasid/pasid", "pasid/parent", "pasid/last_error", "dsa/wq",
		"dsa/portal",
	};
	char text[512];

	sysfs_read(text, sizeof(text), MDEV_DEVICES "/%s/%s", vdev_of(s)->uuid,
		   attrs[s->a % (sizeof(attrs) / sizeof(*attrs))]);
}

/* All of a piece of BAR0 with the same value, with accesses of the same size */
static void do_bar_burst(const struct step *s)
{
	size_t len = 1 << (s->a & 3);
	unsigned int i, count = s->a >> 4 & 0x3f;

	for (i = 0; i < count; i++)
		write_region(s, s->a >> 12, (s->b & 0xffff) + i * len, &s->c, len);
}

static bool is_open(const struct vdev *v)
{
	int i;

	for (i = 0; i < NR_FILES; i++)
		if (v->fd[i] >= 0)
			return true;
	/* A mapping keeps its file, and so does a child */
	if (child > 0)
		return true;
	for (i = 0; i < NR_MAPS; i++)
		if (maps[i])
			return true;
	return false;
}

static void do_recreate(const struct step *s)
{
	struct vdev *v = vdev_of(s);

	/* To remove one that is open is to wait for ourselves */
	if (is_open(v))
		return;
	if (vdev_remove(v->uuid) || create(v))
		die("cannot create the vdev again");
}

static void do_wq(const struct step *s)
{
	char name[32];

	snprintf(name, sizeof(name), "wq%s.%u", pool.dsa + strlen("dsa"), s->a % 4);
	sysfs_write(name, MDEV_DEVICES "/%s/dsa/wq", vdev_of(s)->uuid);
}

static void do_step(const struct step *s)
{
	uint32_t id;
	int ret;

	switch (s->op % NR_OPS) {
	case OP_OPEN:
		do_open(s);
		break;
	case OP_CLOSE:
		do_close(file_of(s));
		break;
	case OP_BIND:
		ret = vdev_bind(*file_of(s), s->b ? (int)s->b : *iommufd_of(s), &id);
		keep_id(s, ret, id);
		break;
	case OP_ATTACH:
		id = s->b ? s->b : *id_of(s);
		vdev_attach(*file_of(s), &id);
		break;
	case OP_DETACH:
		vdev_detach(*file_of(s));
		break;
	case OP_RESET:
		vdev_reset(*file_of(s));
		break;
	case OP_IRQS_EVENTFD:
		do_irqs(s, false);
		break;
	case OP_IRQS_RAW:
		do_irqs(s, true);
		break;
	case OP_INFO:
		memcpy(arena, &s->b, 4);
		ioctl(*file_of(s), VFIO_DEVICE_GET_INFO, user_va(s->c, 64));
		break;
	case OP_REGION_INFO:
		do_region_info(s);
		break;
	case OP_IRQ_INFO:
		memcpy(arena, &s->b, 4);
		memcpy(arena + offsetof(struct vfio_irq_info, index), &s->a, 2);
		ioctl(*file_of(s), VFIO_DEVICE_GET_IRQ_INFO, arena);
		break;
	case OP_FEATURE:
		memcpy(arena, (uint32_t []){ s->b & 0xfff, s->a | s->b >> 16 << 16 }, 8);
		ioctl(*file_of(s), VFIO_DEVICE_FEATURE, arena);
		break;
	case OP_VFIO_RAW:
		do_vfio_raw(s);
		break;
	case OP_READ:
		do_access(s, false);
		break;
	case OP_WRITE:
		do_access(s, true);
		break;
	case OP_CONFIG_WRITE:
		write_region(s, VFIO_PCI_CONFIG_REGION_INDEX, s->a & 0xfff, &s->c,
			     s->b % (sizeof(s->c) + 1));
		break;
	case OP_COMMAND:
		do_command(s);
		break;
	case OP_DESC:
		do_desc(s);
		break;
	case OP_MMAP:
		do_mmap(s);
		break;
	case OP_MUNMAP:
		do_munmap(s->who >> 4 & (NR_MAPS - 1));
		break;
	case OP_STORE:
		do_store(s);
		break;
	case OP_LOAD:
		do_load(s);
		break;
	case OP_MADVISE:
		do_madvise(s);
		break;
	case OP_IOAS_ALLOC:
		keep_id(s, ioas_alloc(*iommufd_of(s), &id), id);
		break;
	case OP_IOAS_MAP:
		do_map(s);
		break;
	case OP_IOAS_UNMAP:
		ioas_unmap(*iommufd_of(s), *id_of(s), s->c & ~0xfffull,
			   s->b >> 31 ? ~0ull : (uint64_t)s->b * 0x1000);
		break;
	case OP_HWPT_ALLOC:
		do_hwpt_alloc(s);
		break;
	case OP_DESTROY:
		iommufd_destroy(*iommufd_of(s), s->b ? s->b : *id_of(s));
		break;
	case OP_IOMMU_RAW:
		do_iommu_raw(s);
		break;
	case OP_COPY:
		do_copy(s);
		break;
	case OP_ATTR:
		do_attr(s);
		break;
	case OP_ARENA:
		memcpy(arena + s->b % (ARENA_SIZE - 8), &s->c, 8);
		break;
	case OP_BAR_BURST:
		do_bar_burst(s);
		break;
	case OP_RECREATE:
		do_recreate(s);
		break;
	case OP_WQ:
		do_wq(s);
		break;
	case OP_IOMMUFD_CLOSE:
		do_close(iommufd_of(s));
		*iommufd_of(s) = iommufd_open();
		break;
	case OP_HW_INFO:
		do_hw_info(s);
		break;
	case OP_ACCESS_RAW:
		do_access_raw(s);
		break;
	case OP_DESC_TAIL:
		desc_tail[s->a % 3] = s->c;
		break;
	case OP_DESC_HEAD:
		desc_head[s->a % 4] = s->c;
		break;
	case OP_IOAS_COPY:
		do_ioas_copy(s);
		break;
	case OP_QUEUE_ALLOC:
		do_queue_alloc(s);
		break;
	case OP_QUEUE_IO:
		do_queue_io(s);
		break;
	case OP_IOVA_RANGES:
		do_iova_ranges(s);
		break;
	case OP_DIRTY_BITMAP:
		do_dirty_bitmap(s);
		break;
	case OP_MREMAP:
		do_mremap(s);
		break;
	case OP_FORK:
		do_fork(s);
		break;
	case OP_RAWIO:
		set_rawio(s->a & 1);
		break;
	}
}

static void begin(void)
{
	int i;

	for (i = 0; i < NR_IOMMUFDS; i++)
		iommufd[i] = iommufd_open();
	for (i = 0; i < NR_EVENTS; i++)
		events[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (i = 0; i < NR_QUEUES; i++)
		queues[i] = -1;
	memset(ids, 0, sizeof(ids));
	memset(desc_head, 0, sizeof(desc_head));
	memset(desc_tail, 0, sizeof(desc_tail));
	set_rawio(true);
}

static void end(void)
{
	int i, j;

	for (i = 0; i < NR_MAPS; i++)
		do_munmap(i);
	for (i = 0; i < NR_VDEVS; i++)
		for (j = 0; j < NR_FILES; j++)
			do_close(&vdevs[i].fd[j]);
	/* Among them what the kernel made: fault queues, migration files */
	close_range(first_fd, ~0u, 0);
	end_child();
}

static void check_vdevs(void)
{
	int i;

	for (i = 0; i < NR_VDEVS; i++)
		if (!vdev_state_is(vdevs[i].uuid, "closed")) {
			fprintf(stderr, "fuzz: vdev %d is not closed\n", i);
			abort();
		}
}

/* FUZZ_LAST names a file that holds the input, in case the kernel does not survive it */
static int last_fd = -1;

static void keep_last(const uint8_t *data, size_t size)
{
	if (last_fd < 0)
		return;
	if (ftruncate(last_fd, 0) || pwrite(last_fd, data, size, 0) != (ssize_t)size)
		die("FUZZ_LAST");
}

/* The names are libFuzzer's */
int fuzz_init(int *argc, char ***argv) __asm__("LLVMFuzzerInitialize");
int fuzz_one(const uint8_t *data, size_t size) __asm__("LLVMFuzzerTestOneInput");

int fuzz_one(const uint8_t *data, size_t size)
{
	static size_t nr;
	static struct step step;

	keep_last(data, size);
	begin();
	kcov_start();
	for (nr = 0; nr < MAX_STEPS && (nr + 1) * sizeof(step) <= size; nr++) {
		memcpy(&step, data + nr * sizeof(step), sizeof(step));
		if (!sigsetjmp(fault, 1))
			do_step(&step);
	}
	end();
	kcov_stop();
	check_vdevs();
	check_kernel();
	progress();
	return 0;
}

int fuzz_init(int *argc, char ***argv)
{
	struct sigaction action = { .sa_handler = on_fault };
	int i;

	if (dsa_pool_get(&pool, 4) || system("modprobe -q siov_sample"))
		die("no vdevs here");
	for (i = 0; i < NR_VDEVS; i++) {
		struct vdev *v = &vdevs[i];

		v->parent = i < 2 ? pool.parent : "siov-pf";
		v->type = i < 2 ? DSA_TYPE : "siov_sample-copy";
		if (vdev_new_uuid(v->uuid) || create(v))
			die("cannot create a vdev");
	}
	if (mmap(arena, ARENA_SIZE, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE | MAP_FIXED_NOREPLACE, -1, 0) != arena)
		die("no arena");
	/* A portal that must not be used, and a mapping without the right to use it */
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);

	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg < 0)
		die("/dev/kmsg");
	lseek(kmsg, 0, SEEK_END);
	kcov_open();
	if (getenv("FUZZ_LAST")) {
		last_fd = open(getenv("FUZZ_LAST"),
			       O_WRONLY | O_CREAT | O_TRUNC | O_DSYNC | O_CLOEXEC, 0644);
		if (last_fd < 0)
			die("FUZZ_LAST");
	}
	first_fd = dup(kmsg);
	close(first_fd);
	atexit(report);
	return 0;
}
