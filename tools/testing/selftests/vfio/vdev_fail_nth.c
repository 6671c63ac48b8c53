// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each step in the life of a vdev, with every allocation and every copy from or to the
 * user on its way failing in turn (fault injection, /proc/thread-self/fail-nth). The step
 * either succeeds nevertheless, or is refused and leaves exactly the state before: the
 * same vdevs, PASID, interrupts and open files, and DMA to where it went before. When
 * nothing fails any more it succeeds, so no failure has spoilt it.
 */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "vdev_harness.h"
#include "user.h"

#define MSIX		VFIO_PCI_MSIX_IRQ_INDEX
#define MAX_IRQS	2u
/* More than any step takes; it would be without end */
#define MAX_NTH		20000

/* Without its own page tables, so that a fault has to make them */
#define PORTAL_VA	((void *)0x600000000000)

/* A vdev, its user, and the PF that it is on */
struct target {
	struct vdev_user u;
	int nth;
	struct dsa_pool pool;
	char cdev[VDEV_PATH_MAX];
	/* "create" of the type, and "remove" of the vdev */
	int create;
	int remove;
	/* For set_irqs: its interrupts, and two eventfds for each of them */
	unsigned int irq_index, nr_irqs;
	int event[2][MAX_IRQS];
};

FIXTURE(fail_nth) {
	struct target t;
};

FIXTURE_VARIANT(fail_nth) {
	bool dsa;
};

FIXTURE_VARIANT_ADD(fail_nth, dsa) { .dsa = true };
FIXTURE_VARIANT_ADD(fail_nth, sample) { .dsa = false };

/* --- fault injection ------------------------------------------------------ */

/* Every allocation can fail, also one that may sleep, and none is reported. */
static int fault_injection(void)
{
	static const char * const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/min-order", "0" },
		{ "fail_page_alloc/verbose", "0" },
		{ "fail_usercopy/verbose", "0" },
	};
	unsigned int i;
	int ret;

	for (i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
		ret = sysfs_write(settings[i][1], "/sys/kernel/debug/%s", settings[i][0]);
		if (ret)
			return ret;
	}
	return 0;
}

static int nth_arm(int fd, unsigned int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	return pwrite(fd, text, len, 0) == len ? 0 : -errno;
}

/*
 * Was there an Nth since nth_arm()? To ask also copies to the user, and can be what
 * fails: then nothing before it did.
 */
static bool nth_disarm(int fd)
{
	char text[16] = "";
	bool hit = pread(fd, text, sizeof(text) - 1, 0) > 0 && atoi(text) == 0;

	while (pwrite(fd, "0", 1, 0) != 1)
		;
	return hit;
}

/* --- state ---------------------------------------------------------------- */

static int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	int nr = 0;

	if (!dir)
		return -errno;
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

static int count_interrupts(const char *uuid)
{
	FILE *file = fopen("/proc/interrupts", "r");
	char line[1024];
	int nr = 0;

	while (file && fgets(line, sizeof(line), file))
		nr += !!strstr(line, uuid);
	if (file)
		fclose(file);
	return nr;
}

/* Memory of this process that is pinned, in KiB */
static long count_pinned(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	long kib = -1;

	while (file && kib < 0 && fgets(line, sizeof(line), file))
		sscanf(line, "VmPin: %ld", &kib);
	if (file)
		fclose(file);
	return kib;
}

/* All that the host shows of vdevs and of this process, as text to be compared */
static void snapshot(const struct target *t, char *text, size_t size)
{
	char state[32] = "none", pasid[32] = "none", portal[32] = "none";

	vdev_attr(t->u.uuid, "state", state, sizeof(state));
	vdev_attr(t->u.uuid, "pasid", pasid, sizeof(pasid));
	sysfs_read(portal, sizeof(portal), MDEV_DEVICES "/%s/dsa/portal", t->u.uuid);
	snprintf(text, size,
		 "available %lld, mdevs %d, cdevs %d, state %s, pasid %s, portal %s, interrupts %d, files %d, pinned %ld",
		 vdev_available(t->u.parent, t->u.type), count_entries(MDEV_DEVICES),
		 count_entries("/sys/class/vfio-dev"), state, pasid, portal,
		 count_interrupts(t->u.uuid), count_entries("/proc/self/fd"), count_pinned());
}

/* --- the way to each stage, with nothing failing -------------------------- */

static int up_created(struct target *t)
{
	char path[VDEV_PATH_MAX];
	int ret = vdev_create(t->u.parent, t->u.type, t->u.uuid);

	if (!ret)
		ret = vdev_cdev(t->u.uuid, t->cdev);
	if (ret)
		return ret;
	snprintf(path, sizeof(path), MDEV_DEVICES "/%s/remove", t->u.uuid);
	t->remove = open(path, O_WRONLY | O_CLOEXEC);
	return t->remove < 0 ? -errno : 0;
}

static int down_created(struct target *t)
{
	close(t->remove);
	t->remove = -1;
	return vdev_remove(t->u.uuid);
}

static int up_opened(struct target *t)
{
	return user_open(&t->u);
}

static int down_opened(struct target *t)
{
	user_close(&t->u);
	return 0;
}

static int up_bound(struct target *t)
{
	return user_bind(&t->u);
}

static int attach(struct target *t, int space)
{
	return user_attach(&t->u, space);
}

static int start(struct target *t)
{
	return user_start(&t->u);
}

static int dma(struct target *t)
{
	return user_copy(&t->u);
}

FIXTURE_SETUP(fail_nth)
{
	struct target *t = &self->t;
	char path[VDEV_PATH_MAX];
	int i, j;

	t->nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (t->nth < 0 && !getenv("VDEV_SELFTEST_FAIL_NTH"))
		SKIP(return, "no fault injection in this kernel");
	ASSERT_LE(0, t->nth);
	ASSERT_EQ(0, fault_injection());

	if (variant->dsa) {
		TEST_POOL(&t->pool, 2);
		ASSERT_EQ(0, user_init(&t->u, t->pool.parent, DSA_TYPE));
	} else {
		/* A kernel without the sample cannot run these tests */
		if (system("modprobe -q siov_sample") && !getenv("VDEV_SELFTEST_REQUIRED"))
			SKIP(return, "no siov_sample module");
		vdev_sweep();
		ASSERT_EQ(0, user_init(&t->u, SAMPLE_PARENT, SAMPLE_TYPE));
	}
	snprintf(path, sizeof(path), MDEV_BUS_CLASS "/%s/mdev_supported_types/%s/create",
		 t->u.parent, t->u.type);
	t->create = open(path, O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, t->create);
	for (i = 0; i < 2; i++)
		for (j = 0; j < MAX_IRQS; j++) {
			t->event[i][j] = eventfd(0, EFD_CLOEXEC);
			ASSERT_LE(0, t->event[i][j]);
		}
	t->remove = -1;
}

FIXTURE_TEARDOWN(fail_nth)
{
	struct target *t = &self->t;

	user_exit(&t->u);
	if (t->remove >= 0)
		close(t->remove);
	if (path_exists(MDEV_DEVICES "/%s", t->u.uuid))
		EXPECT_EQ(0, vdev_remove(t->u.uuid));
}

/* --- one step ------------------------------------------------------------- */

/**
 * struct step - what is done with failing allocations, and how to see what came of it
 * @name: for the log
 * @run: 0 or a negative error
 * @before: 0 if all is as before @run; what snapshot() shows is compared anyway
 * @after: 0 if @run has done its work
 * @undo: back to the state before @run
 * @must: @run cannot be refused, whatever fails on its way. It may need no memory at all.
 * @unanswered: back to the state before @run, after it was undone because its result could
 *	not be written to the user
 */
struct step {
	const char *name;
	int (*run)(struct target *t);
	int (*before)(struct target *t);
	int (*after)(struct target *t);
	int (*undo)(struct target *t);
	int (*unanswered)(struct target *t);
	bool must;
};

/* Returns how many failures there were */
static unsigned int run_step(struct __test_metadata *_metadata, struct target *t,
			     const struct step *step)
{
	unsigned int nth, refused = 0;
	char before[256], now[256];
	bool hit = true;
	int ret;

	for (nth = 1; hit; nth++) {
		ASSERT_GT(MAX_NTH, nth);
		snapshot(t, before, sizeof(before));
		ASSERT_EQ(0, nth_arm(t->nth, nth));
		ret = step->run(t);
		hit = nth_disarm(t->nth);
		if (ret) {
			ASSERT_TRUE(hit) {
				TH_LOG("%s: error %d, but nothing failed, at %u", step->name, ret,
				       nth);
			}
			ASSERT_FALSE(step->must) {
				TH_LOG("%s: error %d at %u", step->name, ret, nth);
			}
			refused++;
			if (ret == -EFAULT && step->unanswered)
				ASSERT_EQ(0, step->unanswered(t));
			snapshot(t, now, sizeof(now));
			ASSERT_STREQ(before, now) {
				TH_LOG("%s: refused with %d at %u, and not undone", step->name, ret,
				       nth);
			}
			if (step->before) {
				ret = step->before(t);
				ASSERT_EQ(0, ret) {
					TH_LOG("%s: after a refusal at %u", step->name, nth);
				}
			}
			continue;
		}
		ret = step->after(t);
		ASSERT_EQ(0, ret) {
			TH_LOG("%s: not done after %u", step->name, nth);
		}
		if (step->undo)
			ASSERT_EQ(0, step->undo(t));
		snapshot(t, now, sizeof(now));
		ASSERT_STREQ(before, now) {
			TH_LOG("%s: done and undone after %u", step->name, nth);
		}
	}
	if (!step->must) {
		EXPECT_LT(0, refused) {
			TH_LOG("%s: nothing failed", step->name);
		}
	}
	TH_LOG("%s: %u failures, %u refusals", step->name, nth - 2, refused);
	return nth - 2;
}

#define ASSERT_UP(stage) do {							\
	if ((stage) >= CREATED)							\
		ASSERT_EQ(0, up_created(t));					\
	if ((stage) >= OPENED)							\
		ASSERT_EQ(0, up_opened(t));					\
	if ((stage) >= BOUND)							\
		ASSERT_EQ(0, up_bound(t));					\
	if ((stage) >= ATTACHED)						\
		ASSERT_EQ(0, attach(t, 0));					\
	if ((stage) >= STARTED) {						\
		ASSERT_EQ(0, start(t));					\
		ASSERT_EQ(0, dma(t));					\
	}									\
} while (0)

/* --- create and remove ---------------------------------------------------- */

static int run_create(struct target *t)
{
	return write(t->create, t->u.uuid, VDEV_UUID_LEN) == VDEV_UUID_LEN ? 0 : -errno;
}

static int after_create(struct target *t)
{
	if (!vdev_state_is(t->u.uuid, "closed"))
		return -ENODEV;
	return vdev_cdev(t->u.uuid, t->cdev);
}

static int undo_create(struct target *t)
{
	return vdev_remove(t->u.uuid);
}

TEST_F(fail_nth, create)
{
	struct target *t = &self->t;
	static const struct step step = {
		.name = "create", .run = run_create, .after = after_create, .undo = undo_create,
	};
	long long pasid;

	ASSERT_UP(CREATED);
	pasid = vdev_pasid(t->u.uuid);
	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, down_created(t));
	run_step(_metadata, t, &step);
	/* The lowest free PASID is taken, so a lost one would show */
	ASSERT_UP(STARTED);
	EXPECT_EQ(pasid, vdev_pasid(t->u.uuid));
}

static int run_remove(struct target *t)
{
	return write(t->remove, "1", 1) == 1 ? 0 : -errno;
}

static int after_remove(struct target *t)
{
	/* Its node in /dev can stay, for want of memory, and lead nowhere */
	int fd = open(t->cdev, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return path_exists(MDEV_DEVICES "/%s", t->u.uuid) || fd >= 0 ? -EEXIST : 0;
}

static int undo_remove(struct target *t)
{
	close(t->remove);
	return up_created(t);
}

TEST_F(fail_nth, remove)
{
	struct target *t = &self->t;
	static const struct step step = {
		.name = "remove", .run = run_remove, .after = after_remove, .undo = undo_remove,
	};

	ASSERT_UP(CREATED);
	run_step(_metadata, t, &step);
}

/* --- open, bind, close ---------------------------------------------------- */

static int run_open(struct target *t)
{
	t->u.fd = open(t->cdev, O_RDWR | O_CLOEXEC);
	return t->u.fd < 0 ? -errno : 0;
}

static int after_open(struct target *t)
{
	return fcntl(t->u.fd, F_GETFD) < 0 ? -errno : 0;
}

TEST_F(fail_nth, open)
{
	struct target *t = &self->t;
	static const struct step step = {
		.name = "open", .run = run_open, .after = after_open, .undo = down_opened,
	};

	ASSERT_UP(CREATED);
	run_step(_metadata, t, &step);
}

static int run_bind(struct target *t)
{
	return vdev_bind(t->u.fd, t->u.iommufd, NULL);
}

static int after_bind(struct target *t)
{
	return vdev_state_is(t->u.uuid, "bound") ? 0 : -EINVAL;
}

static int undo_bind(struct target *t)
{
	return down_opened(t) ?: up_opened(t);
}

TEST_F(fail_nth, bind)
{
	struct target *t = &self->t;
	static const struct step step = {
		.name = "bind", .run = run_bind, .after = after_bind, .undo = undo_bind,
	};

	ASSERT_UP(OPENED);
	run_step(_metadata, t, &step);
}

static int run_close(struct target *t)
{
	close(t->u.fd);
	return 0;
}

static int after_close(struct target *t)
{
	return vdev_state_is(t->u.uuid, "closed") && !count_interrupts(t->u.uuid) ? 0 : -EBUSY;
}

static int undo_close(struct target *t)
{
	int ret = up_opened(t) ?: up_bound(t) ?: attach(t, 0) ?: start(t);

	return ret ?: dma(t);
}

TEST_F(fail_nth, close)
{
	struct target *t = &self->t;
	static const struct step step = {
		.name = "close", .run = run_close, .after = after_close, .undo = undo_close,
		.must = true,
	};

	ASSERT_UP(STARTED);
	run_step(_metadata, t, &step);
}

/* --- attach, replace, detach ---------------------------------------------- */

static int run_attach(struct target *t)
{
	return attach(t, 0);
}

static int after_attach(struct target *t)
{
	int ret = start(t);

	if (!vdev_state_is(t->u.uuid, "attached"))
		return -EINVAL;
	return ret ?: dma(t);
}

static int undo_attach(struct target *t)
{
	return vdev_detach(t->u.fd);
}

TEST_F(fail_nth, attach)
{
	struct target *t = &self->t;
	static const struct step step = {
		.name = "attach", .run = run_attach, .after = after_attach, .undo = undo_attach,
	};

	ASSERT_UP(BOUND);
	run_step(_metadata, t, &step);
}

static int run_replace(struct target *t)
{
	return attach(t, 1);
}

/* VFIO detaches if it cannot write the ID of the HWPT to the user, as if it had failed */
static int unanswered_replace(struct target *t)
{
	return vdev_state_is(t->u.uuid, "bound") ? attach(t, 0) : 0;
}

static int after_replace(struct target *t)
{
	return dma(t) == 1 ? 0 : -EINVAL;
}

TEST_F(fail_nth, replace)
{
	struct target *t = &self->t;
	static const struct step step = {
		.name = "replace", .run = run_replace, .before = dma, .after = after_replace,
		.undo = run_attach, .unanswered = unanswered_replace,
	};

	ASSERT_UP(STARTED);
	run_step(_metadata, t, &step);
	EXPECT_EQ(0, dma(t));
}

static int run_detach(struct target *t)
{
	return vdev_detach(t->u.fd);
}

static int after_detach(struct target *t)
{
	return vdev_state_is(t->u.uuid, "bound") ? 0 : -EINVAL;
}

static int undo_detach(struct target *t)
{
	return attach(t, 0) ?: dma(t);
}

TEST_F(fail_nth, detach)
{
	struct target *t = &self->t;
	static const struct step step = {
		.name = "detach", .run = run_detach, .before = dma, .after = after_detach,
		.undo = undo_detach,
	};

	ASSERT_UP(STARTED);
	run_step(_metadata, t, &step);
}

/* --- interrupts ----------------------------------------------------------- */

/* Each interrupt reaches its event @i, and no other */
static int triggers(struct target *t, int i)
{
	unsigned int n, m;
	int ret;

	for (n = 0; n < t->nr_irqs; n++) {
		ret = vdev_set_irqs(t->u.fd, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
				    t->irq_index, n, 1, NULL, 0);
		if (ret)
			return ret;
		if (eventfd_wait(t->event[i][n], 2000) != 1)
			return -EINVAL;
		for (m = 0; m < MAX_IRQS; m++)
			if (eventfd_wait(t->event[!i][m], 0) ||
			    (m != n && eventfd_wait(t->event[i][m], 0)))
				return -EINVAL;
	}
	return 0;
}

static int set_irqs(struct target *t, int i)
{
	return vdev_irq_eventfds(t->u.fd, t->irq_index, 0, t->nr_irqs, t->event[i]);
}

static int run_set_irqs(struct target *t)
{
	return set_irqs(t, 1);
}

static int before_set_irqs(struct target *t)
{
	return triggers(t, 0);
}

static int after_set_irqs(struct target *t)
{
	return triggers(t, 1);
}

static int undo_set_irqs(struct target *t)
{
	return set_irqs(t, 0);
}

/* One vector, all vectors, and what is no vector */
TEST_F(fail_nth, set_irqs)
{
	struct target *t = &self->t;
	static const struct step step = {
		.name = "SET_IRQS", .run = run_set_irqs, .before = before_set_irqs,
		.after = after_set_irqs, .undo = undo_set_irqs,
	};
	struct vfio_irq_info info;

	ASSERT_UP(BOUND);
	ASSERT_EQ(0, vdev_irq_info(t->u.fd, MSIX, &info));
	ASSERT_GE(MAX_IRQS, info.count);
	t->irq_index = MSIX;
	for (t->nr_irqs = 1; t->nr_irqs <= info.count; t->nr_irqs++) {
		ASSERT_EQ(0, undo_set_irqs(t));
		run_step(_metadata, t, &step);
	}
	t->irq_index = VFIO_PCI_ERR_IRQ_INDEX;
	t->nr_irqs = 1;
	ASSERT_EQ(0, undo_set_irqs(t));
	run_step(_metadata, t, &step);
}

/* --- portals -------------------------------------------------------------- */

static int run_mmap(struct target *t)
{
	void *va = mmap(PORTAL_VA, PORTAL_PAGE, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_FIXED_NOREPLACE, t->u.fd, t->u.dsa.portals.offset);

	return va == PORTAL_VA ? 0 : -errno;
}

static int before_mmap(struct target *t)
{
	/* Nothing is there: */
	return msync(PORTAL_VA, PORTAL_PAGE, MS_ASYNC) && errno == ENOMEM ? 0 : -EEXIST;
}

static int undo_mmap(struct target *t)
{
	return munmap(PORTAL_VA, PORTAL_PAGE) ? -errno : 0;
}

static sigjmp_buf bus_error;

static void on_bus_error(int sig)
{
	siglongjmp(bus_error, 1);
}

static int touch(struct target *t)
{
	if (sigsetjmp(bus_error, 1))
		return -EFAULT;
	/* Stored, 0 means nothing to the sample's doorbell. The DSA ignores reads. */
	if (t->u.is_dsa)
		__atomic_load_n((uint32_t *)PORTAL_VA, __ATOMIC_RELAXED);
	else
		__atomic_store_n((uint32_t *)PORTAL_VA, 0, __ATOMIC_RELAXED);
	return 0;
}

TEST_F(fail_nth, mmap)
{
	struct target *t = &self->t;
	static const struct step step = {
		.name = "mmap", .run = run_mmap, .before = before_mmap, .after = touch,
		.undo = undo_mmap,
	};

	signal(SIGBUS, on_bus_error);
	ASSERT_UP(STARTED);
	run_step(_metadata, t, &step);
}

static int undo_fault(struct target *t)
{
	return undo_mmap(t) ?: run_mmap(t);
}

/* Of a portal of the hardware, and of what stands in for it while DMA is off */
TEST_F(fail_nth, fault)
{
	struct target *t = &self->t;
	static const struct step step = {
		.name = "fault", .run = touch, .after = touch, .undo = undo_fault, .must = true,
	};

	signal(SIGBUS, on_bus_error);
	ASSERT_UP(STARTED);
	ASSERT_EQ(0, run_mmap(t));
	/* Page tables */
	EXPECT_LT(0u, run_step(_metadata, t, &step));
	undo_mmap(t);
}

static int bus_master(struct target *t, bool on)
{
	uint16_t command = PCI_COMMAND_MEMORY | (on ? PCI_COMMAND_MASTER : 0);

	return user_set_command(&t->u, command);
}

/* The page that stands in is kept until the last close */
static int undo_fault_sink(struct target *t)
{
	return undo_mmap(t) ?: down_opened(t) ?: up_opened(t) ?: up_bound(t) ?:
	       attach(t, 0) ?: bus_master(t, false) ?: run_mmap(t);
}

TEST_F(fail_nth, fault_sink)
{
	struct target *t = &self->t;
	static const struct step step = {
		.name = "fault without DMA", .run = touch, .after = touch, .undo = undo_fault_sink,
	};

	signal(SIGBUS, on_bus_error);
	ASSERT_UP(ATTACHED);
	ASSERT_EQ(0, bus_master(t, false));
	ASSERT_EQ(0, run_mmap(t));
	run_step(_metadata, t, &step);
	undo_mmap(t);
}

/* --- nothing left at all ---------------------------------------------------- */

/* A replace by a task that gets @bytes of memory and then no more. To open a file takes some. */
static int run_replace_undone(struct target *t, int make_it_fail, int bytes)
{
	char text[16];
	int ret;

	snprintf(text, sizeof(text), "%d", bytes);
	ret = sysfs_write(text, "/sys/kernel/debug/failslab/space");
	if (ret)
		return ret;
	if (pwrite(make_it_fail, "1", 1, 0) != 1)
		return -errno;
	ret = attach(t, 1);
	return pwrite(make_it_fail, "0", 1, 0) == 1 ? ret : -errno;
}

/*
 * A replace that fails and cannot be undone, since that takes memory as well. Such a vdev
 * does no DMA, and neither do its portals lead anywhere, until it is attached again.
 */
TEST_F_TIMEOUT(fail_nth, replace_undone, 300)
{
	static const char * const settings[][2] = {
		{ "task-filter", "Y" }, { "times", "-1" }, { "interval", "1" },
		{ "probability", "100" },
	};
	struct target *t = &self->t;
	int make_it_fail = open("/proc/self/make-it-fail", O_WRONLY | O_CLOEXEC);
	int i, bytes, ret = -1, undone = 0;
	uint32_t nothing = 0xdead;
	struct last_error last;

	ASSERT_LE(0, make_it_fail);
	signal(SIGBUS, on_bus_error);
	ASSERT_UP(STARTED);
	ASSERT_EQ(0, run_mmap(t));
	for (i = 0; i < (int)(sizeof(settings) / sizeof(*settings)); i++)
		ASSERT_EQ(0, sysfs_write(settings[i][1], "/sys/kernel/debug/failslab/%s",
					 settings[i][0]));
	for (bytes = 1; ret; bytes += 64) {
		ASSERT_GT(1 << 20, bytes);
		EXPECT_EQ(0, last_error_watch(&last, MDEV_DEVICES "/%s/pasid/last_error",
					      t->u.uuid));
		ret = run_replace_undone(t, make_it_fail, bytes);
		if (ret == -ENOTRECOVERABLE) {
			undone++;
			EXPECT_REFUSED(&last,
				       "cannot attach: PASID %u got neither the page table of object %u nor its old one back; free some memory and attach it again, until then it does no DMA",
				       (unsigned int)vdev_pasid(t->u.uuid), t->u.space[1].ioas);
			/* Nor does an attach that fails start anything on the blocked PASID */
			EXPECT_EQ(-ENOENT, vdev_attach(t->u.fd, &nothing));
			EXPECT_TRUE(vdev_state_is(t->u.uuid, "bound"));
			EXPECT_EQ(-EFAULT, touch(t));
			ASSERT_EQ(0, attach(t, undone % 2));
			EXPECT_EQ(undone % 2, dma(t));
			ASSERT_EQ(0, attach(t, 0));
		}
		EXPECT_EQ(!ret, dma(t));
		EXPECT_EQ(0, touch(t));
	}
	EXPECT_EQ(0, sysfs_write("0", "/sys/kernel/debug/failslab/probability"));
	EXPECT_EQ(0, sysfs_write("N", "/sys/kernel/debug/failslab/task-filter"));
	EXPECT_EQ(0, sysfs_write("0", "/sys/kernel/debug/failslab/space"));
	close(make_it_fail);
	EXPECT_LT(0, undone);
	TH_LOG("%d bytes at most, %d times neither page table", bytes, undone);
	undo_mmap(t);
}

/* --- the rest of the interface -------------------------------------------- */

static int run_region_info(struct target *t)
{
	struct vdev_region region;
	int ret = vdev_region_info(t->u.fd, VFIO_PCI_BAR2_REGION_INDEX, &region);

	return ret ?: memcmp(&region, &t->u.dsa.portals, sizeof(region)) ? -EIO : 0;
}

static int run_config(struct target *t)
{
	uint8_t config[256];
	struct vdev_region region = { .offset = t->u.dsa.portals.offset };
	int ret = vdev_region_info(t->u.fd, VFIO_PCI_CONFIG_REGION_INDEX, &region);

	ret = ret ?: vdev_read(t->u.fd, &region, 0, config, sizeof(config));
	return ret ?: vdev_write(t->u.fd, &region, 0, config, sizeof(config));
}

TEST_F(fail_nth, info_and_config)
{
	struct target *t = &self->t;
	static const struct step info = {
		.name = "GET_REGION_INFO", .run = run_region_info, .before = dma,
		.after = run_region_info,
	};
	static const struct step config = {
		.name = "config space", .run = run_config, .before = dma, .after = dma,
	};

	ASSERT_UP(STARTED);
	run_step(_metadata, t, &info);
	run_step(_metadata, t, &config);
}

static int run_reset(struct target *t)
{
	return vdev_reset(t->u.fd);
}

TEST_F(fail_nth, reset)
{
	struct target *t = &self->t;
	static const struct step step = {
		.name = "reset", .run = run_reset, .before = dma, .after = after_attach,
		.must = true,
	};

	ASSERT_UP(STARTED);
	run_step(_metadata, t, &step);
}

/* --- a WQ joins the pool and leaves it ------------------------------------ */

static const char *wq1(struct target *t, char *name, size_t size)
{
	snprintf(name, size, "wq%s.1", t->pool.dsa + strlen("dsa"));
	return name;
}

static int run_lend(struct target *t)
{
	char name[32];

	return sysfs_write(wq1(t, name, sizeof(name)), DSA_DRIVERS "/" DSA_WQ_DRIVER "/bind");
}

static int after_lend(struct target *t)
{
	char name[32], state[32];

	sysfs_read(state, sizeof(state), DSA_DEVICES "/%s/state",
		   wq1(t, name, sizeof(name)));
	return strcmp(state, "enabled") ? -ENODEV : 0;
}

/* The WQ forgets its configuration as it leaves */
static int undo_lend(struct target *t)
{
	int ret = dsa_wq_disable(&t->pool, 1, DSA_WQ_DRIVER);

	return ret ?: dsa_wq_configure(&t->pool, 1, "user", DSA_WQ_DRIVER);
}

TEST_F(fail_nth, lend)
{
	struct target *t = &self->t;
	static const struct step step = {
		.name = "lend", .run = run_lend, .after = after_lend, .undo = undo_lend,
	};

	if (!variant->dsa)
		SKIP(return, "the sample has no WQs");
	ASSERT_UP(STARTED);
	ASSERT_EQ(0, undo_lend(t));
	run_step(_metadata, t, &step);
	EXPECT_EQ(0, dma(t));
}

TEST_HARNESS_MAIN
