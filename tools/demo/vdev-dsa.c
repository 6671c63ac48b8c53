// SPDX-License-Identifier: GPL-2.0-only
/*
 * vdev-dsa: what a user of a DSA vdev does, step by step
 *
 *	vdev-dsa [-t FILE] UUID OTHER-UUID
 *
 * The program opens a vdev, gives it an address space, lets it copy memory, and
 * shows that it reaches nothing else; the second vdev is the other tenant. It
 * prints a line for each call and what came of it. -t appends a row of results to
 * FILE. The calls themselves are in ../testing/selftests/lib: vdev.c has those of
 * VFIO and iommufd, dsa.c those of the device.
 *
 * How it submits depends on its privilege. A process with CAP_SYS_RAWIO maps the
 * portal page and stores descriptors into it; the kernel is not involved. Any other
 * process writes them to the same place of the device file (see INTEL-SA-01084).
 */
#include <errno.h>
#include <getopt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "dsa.h"

#define IOVA		0x10000000ull	/* where both vdevs see their memory */
#define HOLE		0x50000000ull	/* an IOVA that nobody maps */
#define MEM_SIZE	(4 << 20)
#define SRC		(1 << 20)	/* places in the memory */
#define DST		(2 << 20)
#define NR_COPIES	64
#define MAX_COPY	(1u << 20)
#define TIMEOUT_MS	10000

/* A vdev and what its user has around it */
struct user {
	const char *uuid;
	int fd;			/* /dev/vfio/devices/vfioN */
	int iommufd;		/* /dev/iommu */
	uint32_t devid;		/* the vdev in that iommufd */
	uint32_t ioas;
	int irq;		/* eventfd of MSI-X vector 1 */
	struct dsa_mem mem;
	struct dsa dsa;
};

/* One line: what was done, and what came of it. */
static void did(const char *what, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void did(const char *what, const char *fmt, ...)
{
	va_list ap;

	printf("   %-56s ", what);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* One line: what failed, and what to do. The vdev itself knows best why. */
static void fail(const struct user *u, const char *what, int ret, const char *remedy)
	__attribute__((noreturn));

static void fail(const struct user *u, const char *what, int ret, const char *remedy)
{
	char why[512] = "";

	fflush(stdout);
	vdev_attr(u->uuid, "last_error", why, sizeof(why));
	fprintf(stderr, "vdev-dsa: %s: %s; %s\n", what,
		ret < 0 ? strerror(-ret) : "wrong result", *why ? why : remedy);
	exit(1);
}

/* Step 3: from a UUID to a device with an address space */
static void set_up(struct user *u)
{
	char path[VDEV_PATH_MAX], what[64];
	uint32_t hwpt;
	int ret;

	u->fd = vdev_open(u->uuid);
	if (u->fd < 0)
		fail(u, "cannot open the vdev", u->fd, "see who owns its node in /dev/vfio");
	vdev_cdev(u->uuid, path);
	snprintf(what, sizeof(what), "open %.40s", path);
	did(what, "file %d", u->fd);

	u->iommufd = iommufd_open();
	if (u->iommufd < 0)
		fail(u, "cannot open /dev/iommu", u->iommufd, "load iommufd");
	did("open /dev/iommu", "file %d", u->iommufd);

	ret = vdev_bind(u->fd, u->iommufd, &u->devid);
	if (ret)
		fail(u, "cannot bind", ret, "see the kernel log");
	did("VFIO_DEVICE_BIND_IOMMUFD", "the vdev is device %u of the iommufd", u->devid);

	ret = ioas_alloc(u->iommufd, &u->ioas);
	if (ret)
		fail(u, "cannot allocate an IOAS", ret, "see the kernel log");
	did("IOMMU_IOAS_ALLOC", "IOAS %u, an empty address space", u->ioas);

	ret = dsa_mem_alloc(&u->mem, u->iommufd, u->ioas, IOVA, MEM_SIZE);
	if (ret)
		fail(u, "cannot map memory", ret, "raise the limit on locked memory (ulimit -l)");
	did("IOMMU_IOAS_MAP", "4 MiB of memory at IOVA 0x%llx", IOVA);

	ret = dsa_init(&u->dsa, u->fd);
	if (ret)
		fail(u, "cannot find the BARs", ret, "is the vdev a DSA?");
	if (dsa_can_map(&u->dsa)) {
		ret = dsa_map(&u->dsa, PORTAL_LIMITED);
		if (ret)
			fail(u, "cannot map the portal", ret, "see the kernel log");
		did("mmap BAR2, page 1", "the portal: stores go straight to the device");
	} else {
		did("VFIO_DEVICE_GET_REGION_INFO of BAR2",
		    "no mmap without CAP_SYS_RAWIO: write() submits");
	}

	hwpt = u->ioas;
	ret = vdev_attach(u->fd, &hwpt);
	if (ret)
		fail(u, "cannot attach", ret, "see the kernel log");
	did("VFIO_DEVICE_ATTACH_IOMMUFD_PT", "page table %u translates the vdev's PASID", hwpt);
}

/* The device as a PCI driver would start it */
static void start(struct user *u)
{
	int32_t efd = eventfd(0, EFD_CLOEXEC);
	int ret;

	ret = dsa_start(&u->dsa);
	if (ret)
		fail(u, "cannot enable the device", ret, "see the kernel log");
	did("commands ENABLE_DEVICE, ENABLE_WQ in BAR0", "version 0x%x, a WQ of %u entries",
	    dsa_read32(&u->dsa, DSA_VERSION), dsa_wqcfg(&u->dsa, WQCFG_SIZE) & 0xffff);

	ret = vdev_irq_eventfds(u->fd, VFIO_PCI_MSIX_IRQ_INDEX, 1, 1, &efd);
	if (!ret)
		ret = dsa_request_int_handle(&u->dsa);
	if (ret)
		fail(u, "cannot set up the interrupt", ret, "see the kernel log");
	u->irq = efd;
	did("VFIO_DEVICE_SET_IRQS, REQUEST_INT_HANDLE", "eventfd %d gets handle %u", efd,
	    u->dsa.int_handle);
}

static void noop(struct user *u)
{
	struct dsa_hw_desc desc = dsa_desc(&u->mem, 0, DSA_OPCODE_NOOP);
	int ret = dsa_run(&u->dsa, &u->mem, &desc);

	if (ret != DSA_COMP_SUCCESS)
		fail(u, "NOOP did not complete", ret, "see the kernel log");
	did("submit NOOP", "completion record: status 1, success");
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/*
 * Step 4: copies of 1 byte to 1 MiB, at odd places and across pages, each checked
 * byte by byte with what is around it. Returns seconds per submission of a byte.
 */
static double copies(struct user *u, bool by_irq)
{
	uint8_t *va = u->mem.va;
	size_t total = 0;
	uint32_t len = 1;
	double begin;
	int i, ret;

	for (i = 0; i < NR_COPIES; i++, len += len / 5 + 1) {
		/* Each one begins at another place, most of them just before a page's end. */
		size_t src = SRC + 2 * i + 1, dst = DST + 4097 - (i * 37 & 0xfff);
		struct dsa_hw_desc desc;

		if (i == NR_COPIES - 1)
			len = MAX_COPY;
		desc = dsa_desc_move(&u->mem, i, src, dst, len);
		if (by_irq) {
			desc.flags |= IDXD_OP_FLAG_RCI;
			desc.int_handle = u->dsa.int_handle;
		}
		dsa_fill(va + src, len, i + by_irq);
		memset(va + dst, 0, len);
		va[dst - 1] = 0x5c;
		va[dst + len] = 0xc5;

		ret = dsa_submit(&u->dsa, &desc);
		if (!ret && by_irq && !eventfd_wait(u->irq, TIMEOUT_MS))
			ret = -ETIMEDOUT;
		if (!ret)
			ret = dsa_wait(dsa_cr(&u->mem, i), TIMEOUT_MS);
		if (ret != DSA_COMP_SUCCESS)
			fail(u, "MEMMOVE did not complete", ret, "see the kernel log");
		if (dsa_check(va + dst, len, i + by_irq) >= 0 || va[dst - 1] != 0x5c ||
		    va[dst + len] != 0xc5)
			fail(u, "MEMMOVE copied wrong bytes", 0, "report this");
		total += len;
	}
	did(by_irq ? "64 x MEMMOVE, wait on the eventfd" : "64 x MEMMOVE, poll the record",
	    "1 byte to 1 MiB, %.1f MiB in all, every byte right", total / 1048576.0);

	begin = now();
	for (i = 0; i < 200; i++) {
		struct dsa_hw_desc desc = dsa_desc_move(&u->mem, 0, SRC, DST, 1);

		if (dsa_run(&u->dsa, &u->mem, &desc) != DSA_COMP_SUCCESS)
			fail(u, "MEMMOVE did not complete", 0, "see the kernel log");
	}
	return (now() - begin) / 200;
}

/* Step 5: two tenants, one IOVA */
static void same_iova(struct user *u, struct user *other)
{
	const uint32_t len = 100001;
	struct dsa_hw_desc mine, theirs;
	int i, ret;

	dsa_fill(u->mem.va + SRC, len, 1);
	dsa_fill(other->mem.va + SRC, len, 2);
	for (i = 0; i < 8; i++) {
		memset(u->mem.va + DST, 0, len);
		memset(other->mem.va + DST, 0, len);
		mine = dsa_desc_move(&u->mem, 0, SRC, DST, len);
		theirs = dsa_desc_move(&other->mem, 0, SRC, DST, len);
		ret = dsa_submit(&u->dsa, &mine) ?: dsa_submit(&other->dsa, &theirs);
		if (ret || dsa_wait(dsa_cr(&u->mem, 0), TIMEOUT_MS) != DSA_COMP_SUCCESS ||
		    dsa_wait(dsa_cr(&other->mem, 0), TIMEOUT_MS) != DSA_COMP_SUCCESS)
			fail(u, "MEMMOVE of two vdevs at once failed", ret, "see the kernel log");
		if (dsa_check(u->mem.va + DST, len, 1) >= 0 ||
		    dsa_check(other->mem.va + DST, len, 2) >= 0)
			fail(u, "a vdev reached the other one's memory", 0, "report this");
	}
	did("8 x both vdevs copy IOVA 0x10100000 at once",
	    "each has its own bytes, never the other's");
}

static void page_fault(struct user *u)
{
	struct dsa_hw_desc desc = dsa_desc_move(&u->mem, 0, SRC, DST, 4096);
	struct dsa_completion_record *cr = dsa_cr(&u->mem, 0);
	int ret;

	desc.dst_addr = HOLE;
	ret = dsa_run(&u->dsa, &u->mem, &desc);
	if (DSA_COMP_STATUS(ret) != DSA_COMP_PAGE_FAULT_NOBOF || cr->fault_addr != HOLE)
		fail(u, "a copy to an unmapped IOVA did not fault", ret, "report this");
	did("MEMMOVE to IOVA 0x50000000, which is not mapped",
	    "status 0x%02x, fault address 0x%llx", cr->status,
	    (unsigned long long)cr->fault_addr);
	noop(u);
}

static sigjmp_buf portal_gone;

static void on_sigbus(int sig)
{
	siglongjmp(portal_gone, sig);
}

/* Submit a copy without a translation: it must move nothing. */
static const char *try_copy(struct user *u)
{
	struct dsa_hw_desc desc = dsa_desc_move(&u->mem, 0, SRC, DST, 4096);
	const char *how = "no byte moved";

	memset(u->mem.va + SRC, 0xaa, 4096);
	memset(u->mem.va + DST, 0x55, 4096);
	signal(SIGBUS, on_sigbus);
	if (sigsetjmp(portal_gone, 1))
		how = "SIGBUS: the portal is not mapped; no byte moved";
	else
		dsa_submit(&u->dsa, &desc);
	signal(SIGBUS, SIG_DFL);
	usleep(200000);
	if (dsa_cr(&u->mem, 0)->status || u->mem.va[DST] != 0x55 ||
	    memcmp(u->mem.va + DST, u->mem.va + DST + 1, 4095))
		fail(u, "a vdev without an address space moved bytes", 0, "report this");
	return how;
}

static void no_translation(struct user *u)
{
	uint32_t hwpt = u->ioas;
	int ret;

	ret = vdev_detach(u->fd);
	if (ret)
		fail(u, "cannot detach", ret, "see the kernel log");
	did("VFIO_DEVICE_DETACH_IOMMUFD_PT, then MEMMOVE", "%s", try_copy(u));

	ret = vdev_attach(u->fd, &hwpt) ?: dsa_start(&u->dsa);
	if (ret)
		fail(u, "cannot attach again", ret, "see the kernel log");
	did("VFIO_DEVICE_ATTACH_IOMMUFD_PT again", "the vdev works on:");
	noop(u);
}

int main(int argc, char **argv)
{
	struct user u = { .fd = -1 }, other = { .fd = -1 };
	double seconds;
	FILE *table = NULL;
	const char *how;
	int opt;

	setlinebuf(stdout);
	while ((opt = getopt(argc, argv, "t:")) != -1) {
		if (opt != 't')
			return 2;
		table = fopen(optarg, "a");
	}
	if (argc - optind != 2) {
		fprintf(stderr, "usage: vdev-dsa [-t FILE] UUID OTHER-UUID\n");
		return 2;
	}
	u.uuid = argv[optind];
	other.uuid = argv[optind + 1];

	puts("3. A user opens the vdev and gives it an address space");
	set_up(&u);

	puts("4. It submits descriptors");
	start(&u);
	noop(&u);
	seconds = copies(&u, false);
	copies(&u, true);

	puts("5. The vdev reaches its own memory, and nothing else");
	other.fd = vdev_open(other.uuid);
	other.iommufd = iommufd_open();
	if (vdev_bind(other.fd, other.iommufd, &other.devid) ||
	    ioas_alloc(other.iommufd, &other.ioas) || dsa_init(&other.dsa, other.fd) ||
	    dsa_mem_alloc(&other.mem, other.iommufd, other.ioas, IOVA, MEM_SIZE))
		fail(&other, "cannot set up the other vdev", -errno, "see the kernel log");
	if (dsa_can_map(&other.dsa))
		dsa_map(&other.dsa, PORTAL_LIMITED);
	did("bind a second vdev, map other memory at the same IOVA", "not attached yet");
	dsa_start(&other.dsa);
	how = try_copy(&other);
	did("MEMMOVE on the second vdev, before any attach", "%s", how);
	other.devid = other.ioas;
	if (vdev_attach(other.fd, &other.devid) || dsa_start(&other.dsa))
		fail(&other, "cannot attach the other vdev", -errno, "see the kernel log");
	did("VFIO_DEVICE_ATTACH_IOMMUFD_PT of the second vdev", "its own page table, its own PASID");
	same_iova(&u, &other);
	page_fault(&u);
	no_translation(&u);

	if (table) {
		fprintf(table, "%s|%d of %d|%d of %d|yes|%.0f us\n",
			u.dsa.portal ? "direct (mmap)" : "mediated (write)", NR_COPIES,
			NR_COPIES, NR_COPIES, NR_COPIES, seconds * 1e6);
		fclose(table);
	}
	/* Closing is unbinding; a mapping of the portal would keep the file open. */
	dsa_unmap(&other.dsa);
	close(other.fd);
	dsa_unmap(&u.dsa);
	close(u.fd);
	if (!vdev_state_is(u.uuid, "closed"))
		fail(&u, "closing the vdev did not unbind it", 0, "report this");
	did("close both vdevs", "state closed: unbound, the hardware is quiet");
	return 0;
}
