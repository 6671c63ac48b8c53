// SPDX-License-Identifier: GPL-2.0-only
/*
 * vdev-bench ROW: what a vdev costs, and what others cost that do a like thing
 *
 * Prints a line of JSON for each figure, and a comment where one cannot be had.
 * Documentation/admin-guide/vdev-bench.rst says what is counted, and how.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/perf_event.h>

#include "dsa.h"
#include "siov_regs.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof(*(a)))
#define PAGE		4096ull
#define IOVA		(1ull << 30)
/* A figure is the least of so many tries: what else happens only ever adds to it */
#define TRIES		20
#define CALLS		64

/* --- counting ------------------------------------------------------------ */

static int perf = -1;
static uint64_t overhead;
static const char *unit;

/*
 * Instructions that this thread has executed, in the kernel and outside. Where the CPU
 * cannot count them it is CPU time, in which an instruction takes a nanosecond if QEMU runs
 * with -icount shift=0, as BENCH_ICOUNT says.
 */
static uint64_t count_raw(void)
{
	struct timespec ts;
	uint64_t value;

	if (perf >= 0) {
		if (read(perf, &value, sizeof(value)) != sizeof(value))
			err(1, "the counter of instructions");
		return value;
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static uint64_t counted_since(uint64_t start)
{
	uint64_t value = count_raw() - start;

	return value > overhead ? value - overhead : 0;
}

static void counter_init(void)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_HARDWARE,
		.config = PERF_COUNT_HW_INSTRUCTIONS,
	};
	uint64_t least = UINT64_MAX;
	int i;

	perf = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	unit = perf >= 0 || getenv("BENCH_ICOUNT") ? "instructions" : "ns of CPU time";
	for (i = 0; i < 10 * TRIES; i++) {
		uint64_t start = count_raw(), value = counted_since(start);

		if (value < least)
			least = value;
	}
	overhead = least;
}

/* The least number of instructions that CODE takes, of TRIES, each of NR times */
#define LEAST(nr, code) ({						\
	double least_ = -1;						\
									\
	for (int try_ = 0; try_ < TRIES; try_++) {			\
		uint64_t start_ = count_raw();				\
									\
		for (int i_ = 0; i_ < (nr); i_++)			\
			code;						\
		double value_ = (double)counted_since(start_) / (nr);	\
		if (least_ < 0 || value_ < least_)			\
			least_ = value_;				\
	}								\
	least_;								\
})

/* What CODE takes, once */
#define ONCE(code) ({							\
	uint64_t start_ = count_raw();					\
									\
	code;								\
	(double)counted_since(start_);					\
})

/* --- what comes out ------------------------------------------------------ */

__attribute__((format(printf, 4, 5)))
static void figure(const char *row, const char *who, double value, const char *fmt, ...)
{
	char what[96];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	printf("{\"row\": \"%s\", \"who\": \"%s\", \"case\": \"%s\", \"unit\": \"%s\", \"value\": %.1f}\n",
	       row, who, what, unit, value);
	fflush(stdout);
}

static void must(int ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, strerror(-ret));
}

/* --- who is compared ----------------------------------------------------- */

struct kind {
	const char *name;
	const char *parent;
	const char *type;
	unsigned int max;	/* devices at a time */
};

static struct dsa_pool pool;
static struct dsa_snapshot before;

/* To which CPUs interrupts go that are requested from now on */
static const char default_cpus[] = "/proc/irq/default_smp_affinity";
static char cpus_before[64];

static void remember(void)
{
	dsa_snapshot(&before);
	must(sysfs_read(cpus_before, sizeof(cpus_before), "%s", default_cpus), default_cpus);
}

static void put_back(void)
{
	vdev_sweep();
	dsa_restore(&before);
	must(sysfs_write(cpus_before, "%s", default_cpus), default_cpus);
}

static const struct kind kinds[] = {
	{ "sample", "siov-pf", "siov_sample-copy", 4096 },
	{ "1dwq", pool.parent, DSA_TYPE, 8 },
	{ "mtty", "mtty", "mtty-1", 24 },
	{ "mdpy", "mdpy", "mdpy-vga", 24 },
};

static const struct kind *kind(const char *name)
{
	unsigned int i;

	for (i = 0; strcmp(kinds[i].name, name); i++)
		;
	return &kinds[i];
}

struct device {
	char uuid[VDEV_UUID_LEN + 1];
	int fd;
};

static void device_create(const struct kind *k, struct device *d)
{
	d->fd = -1;
	must(vdev_new_uuid(d->uuid), "uuid");
	must(vdev_create(k->parent, k->type, d->uuid), k->name);
}

static void device_open(const struct kind *k, struct device *d)
{
	device_create(k, d);
	d->fd = vdev_open(d->uuid);
	must(d->fd, "open");
}

static void device_bind(const struct kind *k, struct device *d, int iommufd)
{
	device_open(k, d);
	must(vdev_bind(d->fd, iommufd, NULL), "bind");
}

static void device_remove(struct device *d)
{
	if (d->fd >= 0)
		close(d->fd);
	must(vdev_remove(d->uuid), "remove");
}

/* The second DSA, if there is one, is vfio-pci's */
static int pf_open(void)
{
	const char *pf = getenv("BENCH_PF");
	struct dirent *entry;
	char path[320] = "";
	DIR *dir;
	int fd;

	if (!pf)
		return -1;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", pf);
	dir = opendir(path);
	if (!dir)
		err(1, "%s", path);
	while ((entry = readdir(dir)))
		if (!strncmp(entry->d_name, "vfio", 4))
			snprintf(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
	closedir(dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	must(fd < 0 ? -errno : 0, path);
	return fd;
}

static int pf_bind(int iommufd)
{
	int fd = pf_open();

	if (fd >= 0)
		must(vdev_bind(fd, iommufd, NULL), "bind of the PF");
	return fd;
}

/* --- create and remove --------------------------------------------------- */

static void create(void)
{
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct kind *k = &kinds[i];
		struct device *d = calloc(k->max, sizeof(*d));
		struct device one;
		double least[2] = { -1, -1 }, value;
		int try;

		for (j = 0; j < k->max; j++) {
			bool counted = j == 0 || j == 9 || j == k->max - 1;

			for (try = 0; counted && try < TRIES; try++) {
				must(vdev_new_uuid(one.uuid), "uuid");
				value = ONCE(must(vdev_create(k->parent, k->type, one.uuid),
						  k->name));
				if (least[0] < 0 || value < least[0])
					least[0] = value;
				value = ONCE(must(vdev_remove(one.uuid), k->name));
				if (least[1] < 0 || value < least[1])
					least[1] = value;
			}
			if (counted) {
				figure("create", k->name, least[0], "%u", j + 1);
				figure("remove", k->name, least[1], "%u", j + 1);
				least[0] = -1;
				least[1] = -1;
			}
			device_create(k, &d[j]);
		}
		for (j = 0; j < k->max; j++)
			device_remove(&d[j]);
		free(d);
	}
}

/* --- bind and attach ----------------------------------------------------- */

#define MAPPED	(1ull << 30)

/* An IOAS that maps memory as that many ranges, none of which touches another */
static uint32_t mapped(int iommufd, uint8_t *mem, unsigned int ranges)
{
	uint64_t size = MAPPED / ranges;
	unsigned int i;
	uint32_t ioas;

	must(ioas_alloc(iommufd, &ioas), "IOAS");
	for (i = 0; i < ranges; i++)
		must(ioas_map(iommufd, ioas, mem + i * size, size, IOVA + i * (size + PAGE),
			      IOAS_RW), "map");
	return ioas;
}

/* Leaves D attached, or the PF if D is NULL: its file */
static int bind_and_attach(int iommufd, const struct device *d, uint32_t ioas, const char *who,
			   unsigned int ranges, unsigned int nth)
{
	static const char * const name[] = { "1st", [7] = "8th" };
	double bind, attach, least_bind = -1, least = -1;
	uint32_t pt = ioas;
	int try, fd = -1;

	for (try = 0; try < TRIES; try++) {
		if (try)
			close(fd);
		fd = d ? vdev_open(d->uuid) : pf_open();
		must(fd, "open");
		bind = ONCE(must(vdev_bind(fd, iommufd, NULL), "bind"));
		if (least_bind < 0 || bind < least_bind)
			least_bind = bind;
	}
	/* The first makes the page table, once */
	for (try = 0; try < (nth ? TRIES : 1); try++) {
		if (try)
			must(vdev_detach(fd), "detach");
		attach = ONCE(must(vdev_attach(fd, &pt), "attach"));
		if (least < 0 || attach < least)
			least = attach;
		pt = ioas;
	}
	if (name[nth]) {
		figure("bind", who, least_bind, "%u %s", ranges, name[nth]);
		figure("attach", who, least, "%u %s", ranges, name[nth]);
	}
	return fd;
}

static void attach(void)
{
	static const unsigned int ranges[] = { 1, 64, 4096 };
	static const char * const who[] = { "sample", "1dwq", "mtty" };
	struct device d[8];
	unsigned int i, j, r;
	uint32_t ioas;
	uint8_t *mem;
	int iommufd;

	mem = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (mem == MAP_FAILED)
		err(1, "1 GiB of memory");
	iommufd = iommufd_open();
	must(iommufd, "iommufd");

	for (r = 0; r < ARRAY_SIZE(ranges); r++) {
		for (i = 0; i < ARRAY_SIZE(who); i++) {
			ioas = mapped(iommufd, mem, ranges[r]);
			for (j = 0; j < ARRAY_SIZE(d); j++) {
				device_create(kind(who[i]), &d[j]);
				d[j].fd = bind_and_attach(iommufd, &d[j], ioas, who[i], ranges[r], j);
			}
			for (j = 0; j < ARRAY_SIZE(d); j++)
				device_remove(&d[j]);
			must(iommufd_destroy(iommufd, ioas), "destroy");
		}
		if (getenv("BENCH_PF")) {
			ioas = mapped(iommufd, mem, ranges[r]);
			close(bind_and_attach(iommufd, NULL, ioas, "vfio-pci", ranges[r], 0));
			must(iommufd_destroy(iommufd, ioas), "destroy");
		}
	}
	close(iommufd);
	munmap(mem, MAPPED);
}

/* --- trapped registers --------------------------------------------------- */

#define CONFIG	VFIO_PCI_CONFIG_REGION_INDEX

static void registers(void)
{
	static const struct {
		const char *who;
		unsigned int region;
		const char *what;
		uint64_t offset;
		unsigned int len;
		bool write;
	} regs[] = {
		/* The sample's registers are written as a whole */
		{ "sample", 0, "BAR 0", SIOV_SRC, 8, true },
		{ "sample", 0, "BAR 0", SIOV_SRC, 4, false },
		{ "sample", 0, "BAR 0", SIOV_SRC, 1, false },
		{ "1dwq", 0, "BAR 0", DSA_GENCAP, 8, false },
		{ "1dwq", 0, "BAR 0", DSA_GENCTRL, 4, true },
		{ "1dwq", 0, "BAR 0", DSA_GENCAP, 1, false },
		/* The modem control register of the UART, and its scratch register */
		{ "mtty", 0, "BAR 0", 4, 4, true },
		{ "mtty", 0, "BAR 0", 7, 1, true },
		{ "sample", CONFIG, "config", PCI_CACHE_LINE_SIZE, 1, true },
		{ "1dwq", CONFIG, "config", PCI_CACHE_LINE_SIZE, 1, true },
		{ "mtty", CONFIG, "config", PCI_CACHE_LINE_SIZE, 1, true },
		{ "vfio-pci", CONFIG, "config", PCI_CACHE_LINE_SIZE, 1, true },
	};
	const uint16_t command = PCI_COMMAND_MEMORY;
	struct device d = { .fd = -1 };
	struct vdev_region region;
	uint64_t value = 0;
	unsigned int i;
	int iommufd;

	iommufd = iommufd_open();
	must(iommufd, "iommufd");
	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		bool pf = !strcmp(regs[i].who, "vfio-pci");

		if (pf) {
			d.fd = pf_bind(iommufd);
			if (d.fd < 0)
				continue;
		} else {
			device_bind(kind(regs[i].who), &d, iommufd);
		}
		must(vdev_region_info(d.fd, CONFIG, &region), "config");
		must(vdev_write(d.fd, &region, PCI_COMMAND, &command, sizeof(command)), "enable");
		must(vdev_region_info(d.fd, regs[i].region, &region), "region");
		/* What fails is no figure */
		must(vdev_read(d.fd, &region, regs[i].offset, &value, regs[i].len), "read");
		figure("register read", regs[i].who,
		       LEAST(CALLS, vdev_read(d.fd, &region, regs[i].offset, &value, regs[i].len)),
		       "%s %u", regs[i].what, regs[i].len);
		if (regs[i].write) {
			must(vdev_write(d.fd, &region, regs[i].offset, &value, regs[i].len),
			     "write");
			figure("register write", regs[i].who,
			       LEAST(CALLS, vdev_write(d.fd, &region, regs[i].offset, &value,
						       regs[i].len)),
			       "%s %u", regs[i].what, regs[i].len);
		}
		if (pf)
			close(d.fd);
		else
			device_remove(&d);
	}
	close(iommufd);
}

/* --- memory -------------------------------------------------------------- */

static double sum_of(const char *path, const char *fmt)
{
	char line[256];
	double sum = 0;
	FILE *f = fopen(path, "r");

	if (!f)
		err(1, "%s", path);
	while (fgets(line, sizeof(line), f)) {
		double value;

		if (sscanf(line, fmt, &value) == 1)
			sum += value;
	}
	fclose(f);
	return sum;
}

/* What allocated objects take, less what the slabs take that they are in */
static double slab_rounding(void)
{
	static const char path[] = "/proc/slabinfo";
	double sum = 0, active, size, pages, slabs;
	FILE *f = fopen(path, "r");
	char line[256];

	if (!f)
		err(1, "%s", path);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %lf %*f %lf %*f %lf : tunables %*f %*f %*f : slabdata %*f %lf",
			   &active, &size, &pages, &slabs) == 4)
			sum += active * size - slabs * pages * PAGE;
	fclose(f);
	return sum;
}

/*
 * Bytes that the kernel holds: all pages but those that are free or the user's or only cache,
 * and of a slab only what is allocated. Shrinking a slab cache makes it count well.
 */
static double read_held(void)
{
	static const char meminfo[] = "/proc/meminfo", slabs[] = "/sys/kernel/slab";
	char path[320];
	struct dirent *entry;
	double kib;
	DIR *dir;

	/* What is only cached is no cost */
	sysfs_write("3", "/proc/sys/vm/drop_caches");
	dir = opendir(slabs);
	if (!dir)
		err(1, "%s", slabs);
	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s/shrink", slabs, entry->d_name);
		if (entry->d_name[0] != '.')
			sysfs_write("1", "%s", path);
	}
	closedir(dir);
	kib = sum_of(meminfo, "MemTotal: %lf") - sum_of(meminfo, "MemFree: %lf") -
	      sum_of(meminfo, "Buffers: %lf") - sum_of(meminfo, "Cached: %lf") -
	      sum_of(meminfo, "AnonPages: %lf");
	return kib * 1024 - sum_of("/proc/zoneinfo", " count: %lf") * PAGE + slab_rounding();
}

/* What was freed before comes back bit by bit: wait until nothing does any more */
static double bytes_held(void)
{
	double before, now = read_held();
	int tries = 0;

	do {
		before = now;
		usleep(50000);
		now = read_held();
	} while (now < before && ++tries < 40);
	return now;
}

/* N devices of a kind, attached to one IOAS or each to one of its own, both of one page */
static void memory_of(const struct kind *k, bool own)
{
	struct device *d = calloc(k->max, sizeof(*d));
	uint32_t shared, ioas;
	uint8_t *mem;
	unsigned int i;
	double start;
	int iommufd;

	memset(d, 1, k->max * sizeof(*d));
	mem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
		   -1, 0);
	iommufd = iommufd_open();
	must(iommufd, "iommufd");
	must(ioas_alloc(iommufd, &shared), "IOAS");
	must(ioas_map(iommufd, shared, mem, PAGE, IOVA, IOAS_RW), "map");
	/* What the first devices of all allocate once is no cost of a device */
	for (i = 0; i < k->max && i < 64; i++) {
		device_bind(k, &d[i], iommufd);
		ioas = shared;
		must(vdev_attach(d[i].fd, &ioas), "attach");
	}
	while (i--)
		device_remove(&d[i]);
	start = bytes_held();
	for (i = 0; i < k->max; i++) {
		device_bind(k, &d[i], iommufd);
		ioas = shared;
		if (own) {
			must(ioas_alloc(iommufd, &ioas), "IOAS");
			must(ioas_map(iommufd, ioas, mem, PAGE, IOVA, IOAS_RW), "map");
		}
		must(vdev_attach(d[i].fd, &ioas), "attach");
		if (i + 1 == 1 || i + 1 == 8 || i + 1 == 10 || i + 1 == 64 || i + 1 == k->max)
			figure("memory", k->name, (bytes_held() - start) / (i + 1), "%u %s",
			       i + 1, own ? "own" : "shared");
	}
	for (i = 0; i < k->max; i++)
		device_remove(&d[i]);
	close(iommufd);
	munmap(mem, PAGE);
	free(d);
}

static void memory(void)
{
	memory_of(kind("mtty"), false);
	memory_of(kind("1dwq"), false);
	memory_of(kind("sample"), false);
	memory_of(kind("sample"), true);
}

/* --- a DSA that is ready for descriptors --------------------------------- */

#define MEM	(6ull << 20)

struct target {
	const char *who;
	int iommufd;
	int event;
	struct device d;
	struct dsa dsa;
	struct dsa_mem mem;
};

/* What a user of the whole PF has to do himself: one group of WQ 0 and engine 0 */
static void pf_configure(struct dsa *dsa)
{
	uint64_t offsets = dsa_read64(dsa, DSA_OFFSETS);
	uint64_t group = (offsets & 0xffff) * 0x100, wq = (offsets >> 16 & 0xffff) * 0x100;
	uint64_t gencap = dsa_read64(dsa, DSA_GENCAP);

	dsa_write32(dsa, DSA_GENCFG, GENCFG_USER_INT_EN);
	dsa_write64(dsa, group, 1);
	dsa_write64(dsa, group + 32, 1);
	dsa_write64(dsa, group + 40, 0);
	dsa_write32(dsa, wq + 4 * WQCFG_SIZE, WQCAP_TOTAL_SIZE(dsa_read64(dsa, DSA_WQCAP)));
	dsa_write32(dsa, wq + 4 * WQCFG_MODE, WQCFG_DEDICATED | 10 << 4);
	dsa_write32(dsa, wq + 4 * WQCFG_LIMITS,
		    GENCAP_MAX_XFER(gencap) | GENCAP_MAX_BATCH(gencap) << 5);
}

static void target_start(struct target *t)
{
	if (t->d.uuid[0] == '\0') {
		must(dsa_set_command(&t->dsa, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER), "command");
		pf_configure(&t->dsa);
	}
	must(dsa_start(&t->dsa), t->who);
}

/* False if there is none: a second DSA for vfio-pci */
static bool target_open(struct target *t, const char *who, size_t size)
{
	bool pf = !strcmp(who, "vfio-pci");
	int32_t events[2] = { -1, -1 };
	uint32_t ioas;

	memset(t, 0, sizeof(*t));
	t->who = who;
	t->iommufd = iommufd_open();
	must(t->iommufd, "iommufd");
	if (pf) {
		t->d.fd = pf_bind(t->iommufd);
		if (t->d.fd < 0) {
			close(t->iommufd);
			return false;
		}
	} else {
		device_bind(kind("1dwq"), &t->d, t->iommufd);
	}
	must(ioas_alloc(t->iommufd, &ioas), "IOAS");
	must(dsa_mem_alloc(&t->mem, t->iommufd, ioas, IOVA, size), "memory");
	must(vdev_attach(t->d.fd, &ioas), "attach");
	must(dsa_init(&t->dsa, t->d.fd), "regions");
	t->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	events[1] = t->event;
	must(vdev_irq_eventfds(t->d.fd, VFIO_PCI_MSIX_IRQ_INDEX, 0, 2, events), "interrupts");
	target_start(t);
	t->dsa.int_handle = 1;
	if (!pf)
		must(dsa_request_int_handle(&t->dsa), "interrupt handle");
	if (dsa_can_map(&t->dsa))
		must(dsa_map(&t->dsa, PORTAL_LIMITED), "portal");
	return true;
}

static void target_close(struct target *t)
{
	dsa_unmap(&t->dsa);
	if (t->d.fd >= 0)
		close(t->d.fd);
	if (t->d.uuid[0])
		must(vdev_remove(t->d.uuid), "remove");
	close(t->event);
	close(t->iommufd);
	dsa_mem_free(&t->mem);
}

static const char * const targets[] = { "1dwq", "vfio-pci" };

/* --- submission ---------------------------------------------------------- */

#define BURST	8	/* fits in a WQ */

static void submit_burst(struct dsa *dsa, const struct dsa_hw_desc *desc)
{
	int i;

	for (i = 0; i < BURST; i++)
		dsa_submit(dsa, &desc[i]);
}

static void submit_by(struct dsa *dsa, const struct dsa_mem *mem, const char *who)
{
	struct dsa_hw_desc desc[BURST];
	double least = -1;
	int try, i;

	for (try = 0; try < TRIES; try++) {
		double value;

		for (i = 0; i < BURST; i++)
			desc[i] = dsa_desc(mem, i, DSA_OPCODE_NOOP);
		value = ONCE(submit_burst(dsa, desc)) / BURST;
		for (i = 0; i < BURST; i++)
			if (dsa_wait(dsa_cr(mem, i), 10000) != DSA_COMP_SUCCESS)
				errx(1, "%s: descriptor %d fails", who, i);
		if (least < 0 || value < least)
			least = value;
	}
	figure("submit", who, least, "one descriptor");
}

static void submit(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct target t;

	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	if (target_open(&t, "1dwq", MEM)) {
		submit_by(&t.dsa, &t.mem, "vdev, direct");
		target_close(&t);
	}
	if (target_open(&t, "vfio-pci", MEM)) {
		submit_by(&t.dsa, &t.mem, "vfio-pci");
		target_close(&t);
	}
	/* A user whose portal has to be mediated */
	must(drop_rawio(), "CAP_SYS_RAWIO");
	target_open(&t, "1dwq", MEM);
	if (t.dsa.portal)
		errx(1, "who has no CAP_SYS_RAWIO can map the portal");
	submit_by(&t.dsa, &t.mem, "vdev, mediated");
	target_close(&t);
}

/* --- completion interrupt ------------------------------------------------ */

static uint64_t tsc(void)
{
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The longest time that this thread was away while an interrupt came; 0 if none came */
static double interruption(struct target *t)
{
	struct dsa_hw_desc desc = dsa_desc(&t->mem, 0, DSA_OPCODE_NOOP);
	uint64_t last, now, longest = 0, events;
	unsigned int left = 1u << 28, rest = 20000;	/* seconds, and enough after it */

	desc.flags |= IDXD_OP_FLAG_RCI;
	desc.int_handle = t->dsa.int_handle;
	dsa_submit(&t->dsa, &desc);
	for (last = tsc(); left && rest; last = now, left--) {
		now = tsc();
		if (now - last > longest)
			longest = now - last;
		/* The interrupt comes after the record */
		if (dsa_cr(&t->mem, 0)->status)
			rest--;
	}
	if (dsa_cr(&t->mem, 0)->status != DSA_COMP_SUCCESS)
		errx(1, "%s: status %#x", t->who, dsa_cr(&t->mem, 0)->status);
	return read(t->event, &events, sizeof(events)) == sizeof(events) ? longest : 0;
}

static void interrupt(void)
{
	double took[2 * TRIES];
	struct target t;
	unsigned int i, n;
	cpu_set_t cpu;
	int try;

	/* What is requested from now on comes to the CPU that waits for it */
	must(sysfs_write("1", "%s", default_cpus), default_cpus);
	CPU_ZERO(&cpu);
	CPU_SET(0, &cpu);
	if (sched_setaffinity(0, sizeof(cpu), &cpu))
		err(1, "CPU 0");
	for (i = 0; i < ARRAY_SIZE(targets); i++) {
		if (!target_open(&t, targets[i], MEM))
			continue;
		n = 0;
		for (try = 0; try < 2 * TRIES; try++) {
			took[n] = interruption(&t);
			n += took[n] > 0;
		}
		if (n < TRIES)
			errx(1, "%s: %u interrupts of %d", t.who, n, 2 * TRIES);
		/* The clock tick falls into some of them, and some fall into the read() */
		qsort(took, n, sizeof(*took), compare);
		if (!getenv("BENCH_ICOUNT"))
			unit = "ticks of the TSC";
		figure("interrupt", t.who, took[n / 2], "vector 1");
		target_close(&t);
	}
}

/* --- walks --------------------------------------------------------------- */

/* The emulated IOMMU keeps the account; it knows by the size whose copies these are */
static void walk(void)
{
	static const uint32_t sizes[] = { 4096 + 64, 4096 + 128 };
	struct dsa_hw_desc desc;
	struct target t;
	unsigned int i;
	int try;

	for (i = 0; i < ARRAY_SIZE(targets); i++) {
		if (!target_open(&t, targets[i], MEM))
			continue;
		for (try = 0; try < TRIES; try++) {
			desc = dsa_desc_move(&t.mem, 0, 1 << 20, 2 << 20, sizes[i]);
			if (dsa_run(&t.dsa, &t.mem, &desc) != DSA_COMP_SUCCESS)
				errx(1, "%s: a copy fails", t.who);
		}
		target_close(&t);
	}
}

/* --- copies -------------------------------------------------------------- */

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

/* Bytes to copy with each size and depth, in 2 rounds to ROUNDS */
#define ENOUGH		(256u << 20)
#define ROUNDS		32u
#define COPY_SRC	(2 << 20)
#define COPY_DST	(4 << 20)

static void copies_of(struct target *t, uint32_t size, unsigned int depth)
{
	unsigned int rounds = ENOUGH / size / depth, round, i;
	double least = -1, value;
	struct dsa_hw_desc desc;

	rounds = rounds < 2 ? 2 : rounds > ROUNDS ? ROUNDS : rounds;
	for (round = 0; round < rounds; round++) {
		value = now_ns();
		for (i = 0; i < depth; i++) {
			desc = dsa_desc_move(&t->mem, i, COPY_SRC, COPY_DST, size);
			dsa_submit(&t->dsa, &desc);
		}
		for (i = 0; i < depth; i++)
			if (dsa_wait(dsa_cr(&t->mem, i), 60000) != DSA_COMP_SUCCESS)
				errx(1, "%s: copy %u of %u bytes fails", t->who, i, size);
		value = (now_ns() - value) / depth;
		if (least < 0 || value < least)
			least = value;
	}
	figure("copy", t->who, least, "%u x %u", size, depth);
}

static void copy_memcpy(struct target *t, uint32_t size)
{
	double least = -1, value;
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		value = now_ns();
		memcpy(t->mem.va + COPY_DST, t->mem.va + COPY_SRC, size);
		asm volatile("" : : : "memory");
		value = now_ns() - value;
		if (least < 0 || value < least)
			least = value;
	}
	figure("copy", "memcpy", least, "%u x 1", size);
}

static void copy_row(void)
{
	static const uint32_t sizes[] = { 64, 4096, 65536, 2 << 20 };
	static const unsigned int depths[] = { 1, 16, 128 };
	unsigned int i, s, d;
	struct target t;

	for (i = 0; i < ARRAY_SIZE(targets); i++) {
		if (!target_open(&t, targets[i], MEM))
			continue;
		dsa_fill(t.mem.va + COPY_SRC, 2 << 20, 1);
		for (s = 0; s < ARRAY_SIZE(sizes); s++)
			for (d = 0; d < ARRAY_SIZE(depths); d++)
				copies_of(&t, sizes[s], depths[d]);
		if (dsa_check(t.mem.va + COPY_DST, 2 << 20, 1) >= 0)
			errx(1, "%s: the copy differs", t.who);
		for (s = 0; !i && s < ARRAY_SIZE(sizes); s++)
			copy_memcpy(&t, sizes[s]);
		target_close(&t);
	}
}

/* --- reset and close ----------------------------------------------------- */

/* False if the device is too fast for that */
static bool in_flight(struct target *t, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		struct dsa_hw_desc desc = dsa_desc(&t->mem, i, DSA_OPCODE_NOOP);

		dsa_submit(&t->dsa, &desc);
	}
	return !nr || !dsa_cr(&t->mem, nr - 1)->status;
}

static double least_reset(struct target *t, unsigned int nr)
{
	double least = -1;
	int try;

	for (try = 0; try < TRIES; try++) {
		bool busy = in_flight(t, nr);
		double value = ONCE(must(vdev_reset(t->d.fd), "reset"));

		if (busy && (least < 0 || value < least))
			least = value;
		target_start(t);
	}
	return least;
}

static double close_once(struct target *t, unsigned int nr)
{
	bool busy = in_flight(t, nr);
	double value;

	/* A mapping holds the file open */
	dsa_unmap(&t->dsa);
	value = ONCE(close(t->d.fd));
	t->d.fd = -1;
	return busy ? value : -1;
}

static void reset(void)
{
	static const unsigned int flights[] = { 0, 1, 128 };
	unsigned int i, f;
	struct target t;

	for (i = 0; i < ARRAY_SIZE(targets); i++) {
		for (f = 0; f < ARRAY_SIZE(flights); f++) {
			double least = -1, reset = -1;
			int try;

			for (try = 0; try < TRIES && target_open(&t, targets[i], PAGE); try++) {
				double value;

				if (!try)
					reset = least_reset(&t, flights[f]);
				value = close_once(&t, flights[f]);
				if (value >= 0 && (least < 0 || value < least))
					least = value;
				target_close(&t);
			}
			if (reset >= 0)
				figure("reset", targets[i], reset, "%u in flight", flights[f]);
			if (least >= 0)
				figure("close", targets[i], least, "%u in flight", flights[f]);
			if (try && (reset < 0 || least < 0))
				printf("# %s: %u descriptors are done too soon\n", targets[i],
				       flights[f]);
		}
	}
}

/* ------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*run)(void);
	unsigned int wqs;	/* that it needs; "count" prepares the one of reset */
	const char *unit;	/* if it is not counted */
} rows[] = {
	{ "create", create, 8, NULL },
	{ "attach", attach, 8, NULL },
	{ "register", registers, 1, NULL },
	{ "memory", memory, 8, "bytes a device" },
	{ "submit", submit, 1, NULL },
	{ "interrupt", interrupt, 1, NULL },
	{ "reset", reset, 1, NULL },
	{ "walk", walk, 1, NULL },
	{ "copy", copy_row, 1, "ns a copy" },
};

int main(int argc, char **argv)
{
	struct rlimit files = { 8192 + 64, 8192 + 64 };
	unsigned int i = 0;
	int status;
	pid_t child;

	while (argc == 2 && i < ARRAY_SIZE(rows) && strcmp(argv[1], rows[i].name))
		i++;
	/* One, as a row can leave less to the next: "submit" drops a capability */
	if (argc != 2 || i == ARRAY_SIZE(rows))
		errx(2, "say which row, of those in Documentation/admin-guide/vdev-bench.rst");
	setrlimit(RLIMIT_NOFILE, &files);
	remember();
	/* In a process of its own, with which all that it has open ends, however it ends */
	child = fork();
	if (child) {
		/* It ends the child, and that is waited for */
		signal(SIGINT, SIG_IGN);
		if (child < 0 || waitpid(child, &status, 0) < 0)
			err(1, "fork");
		put_back();
		return !WIFEXITED(status) || WEXITSTATUS(status);
	}
	must(dsa_pool_get(&pool, rows[i].wqs), "the pool of WQs");
	unit = rows[i].unit;
	if (!unit)
		counter_init();
	rows[i].run();
	return 0;
}
