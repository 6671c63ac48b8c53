// SPDX-License-Identifier: GPL-2.0-only
/*
 * A DSA that breaks: commands and descriptors that hang, a halt, a reset by somebody
 * else, a device that was pulled out. Whatever it is, nobody waits for ever, both vdevs
 * of the device end halted and their users are told, and no byte moves any more. Each
 * test ends with the device bound anew, and working.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "vdev_harness.h"

#define MEM_SIZE	(1 << 20)
#define NR		2

/* Two started vdevs with their portals mapped, and an eventfd for what each is told. */
struct pair {
	struct dsa_pool pool;
	struct test_vdev v[NR];
	int32_t err[NR];	/* the error interrupt */
	int32_t misc[NR];	/* vector 0 */
};

static int pair_up(struct pair *p, bool direct)
{
	int i, ret;

	if (!direct && drop_rawio())
		return -EPERM;
	for (i = 0; i < NR; i++) {
		struct test_vdev *v = &p->v[i];

		p->err[i] = eventfd(0, EFD_CLOEXEC);
		p->misc[i] = eventfd(0, EFD_CLOEXEC);
		ret = test_vdev_up(v, &p->pool, STARTED, MEM_SIZE);
		if (!ret && dsa_can_map(&v->dsa) != direct)
			ret = -EPROTO;
		if (!ret && direct)
			ret = dsa_map(&v->dsa, PORTAL_LIMITED);
		if (!ret)
			ret = vdev_irq_eventfds(v->fd, VFIO_PCI_ERR_IRQ_INDEX, 0, 1, &p->err[i]);
		if (!ret)
			ret = vdev_irq_eventfds(v->fd, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1,
						&p->misc[i]);
		if (!ret)
			ret = dsa_write32(&v->dsa, DSA_GENCTRL, GENCTRL_HALT_INT);
		if (!ret && test_copy(&v->dsa, &v->mem, i) != DSA_COMP_SUCCESS)
			ret = -EIO;
		if (ret)
			return ret;
	}
	return 0;
}

static int vdev_works(const struct dsa_pool *pool)
{
	struct test_vdev v;
	int ret, status;

	ret = test_vdev_up(&v, pool, STARTED, MEM_SIZE);
	if (ret)
		return ret;
	status = test_copy(&v.dsa, &v.mem, 7);
	ret = test_vdev_down(&v);
	return ret ?: status;
}

#define PAIR_UP(p, direct) do {								\
	TEST_FAULTS();									\
	TEST_POOL(&(p)->pool, NR);							\
	ASSERT_EQ(0, fault_clear());							\
	ASSERT_EQ(0, pair_up(p, direct));						\
} while (0)

#define PAIR_DOWN(p) do {								\
	int __i;									\
	EXPECT_EQ(0, fault_clear());							\
	for (__i = 0; __i < NR; __i++)							\
		if ((p)->v[__i].uuid[0])						\
			EXPECT_EQ(0, test_vdev_down(&(p)->v[__i]));			\
	EXPECT_EQ(0, sysfs_write(IDXD_CMD_TIMEOUT_DEFAULT, IDXD_CMD_TIMEOUT));		\
	EXPECT_EQ(0, dsa_rebind(&(p)->pool));						\
	ASSERT_EQ(0, dsa_pool_get(&(p)->pool, NR));					\
	EXPECT_EQ(DSA_COMP_SUCCESS, vdev_works(&(p)->pool));				\
} while (0)

/* Is there a halted device that does nothing, and was the user told? */
static const char *not_halted(struct test_vdev *v, int32_t err, int32_t misc)
{
	uint32_t gensts;

	if (eventfd_wait(err, 10000) != 1)
		return "no error interrupt";
	if (!eventfd_wait(misc, 10000))
		return "no interrupt of the device";
	gensts = dsa_read32(&v->dsa, DSA_GENSTS);
	if (GENSTS_STATE(gensts) != GENSTS_HALT ||
	    GENSTS_RESET_TYPE(gensts) != GENSTS_RESET_FLR)
		return "GENSTS";
	if (!(dsa_read32(&v->dsa, DSA_INTCAUSE) & INTC_HALT))
		return "INTCAUSE";
	if (CMDSTS_ERR(dsa_cmd(&v->dsa, CMD_DRAIN_ALL, 0)) != ERR_HW ||
	    CMDSTS_ERR(dsa_cmd(&v->dsa, CMD_RESET_DEVICE, 0)) != ERR_HW)
		return "a command does not fail";
	/* A reset ends, and does not bring the device back. */
	if (vdev_reset(v->fd) ||
	    dsa_set_command(&v->dsa, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER))
		return "reset";
	if (GENSTS_STATE(dsa_read32(&v->dsa, DSA_GENSTS)) != GENSTS_HALT)
		return "GENSTS after a reset";
	if (!moves_nothing(&v->dsa, &v->mem))
		return "bytes move";
	return NULL;
}

#define EXPECT_USER_HALTED(p, i) do {							\
	const char *__what = not_halted(&(p)->v[i], (p)->err[i], (p)->misc[i]);		\
	EXPECT_EQ(NULL, __what) {							\
		TH_LOG("vdev %d: %s", (int)(i), __what);				\
	}										\
} while (0)

#define EXPECT_HALTED(p, i) do {							\
	EXPECT_USER_HALTED(p, i);							\
	EXPECT_TRUE(last_error_is_sentence((p)->v[i].uuid, "the vdev has halted"));	\
} while (0)

#define EXPECT_SHORT(since) EXPECT_GT(IDXD_SHORT_SECONDS, time(NULL) - (since))

/* Of a broken device no new vdev can be made. */
#define EXPECT_LENDS_NOTHING(pool) do {							\
	char __uuid[VDEV_UUID_LEN + 1];							\
	struct last_error __last;							\
	ASSERT_EQ(0, vdev_new_uuid(__uuid));						\
	ASSERT_EQ(0, last_error_watch(&__last, PCI_DEVICES "/%s/mdev_pasid/last_error",	\
				      (pool)->parent));					\
	EXPECT_EQ(-ENOSPC, vdev_create((pool)->parent, DSA_TYPE, __uuid));		\
	EXPECT_REFUSED(&__last, "cannot create %s: %s has halted; bind idxd to it again",	\
		       __uuid, (pool)->parent);						\
	EXPECT_EQ(0, vdev_available((pool)->parent, DSA_TYPE));				\
} while (0)

FIXTURE(fault) {
	struct pair pair;
};

FIXTURE_SETUP(fault)
{
	PAIR_UP(&self->pair, true);
}

FIXTURE_TEARDOWN(fault)
{
	PAIR_DOWN(&self->pair);
}

TEST_F(fault, halt)
{
	struct last_error last;

	ASSERT_EQ(0, last_error_watch(&last, MDEV_DEVICES "/%s/pasid/last_error",
				      self->pair.v[0].uuid));
	ASSERT_EQ(0, fault_set("halt", "1"));
	EXPECT_HALTED(&self->pair, 0);
	EXPECT_REFUSED(&last,
		       "the vdev has halted: its device %s failed; remove it, and bind idxd to the device again",
		       self->pair.pool.parent);
	EXPECT_HALTED(&self->pair, 1);
	EXPECT_LENDS_NOTHING(&self->pair.pool);
	EXPECT_EQ(0, test_vdev_down(&self->pair.v[1]));
	EXPECT_LENDS_NOTHING(&self->pair.pool);
}

/* One that says a software reset is enough does not come back by itself either. */
TEST_F(fault, halt_software)
{
	ASSERT_EQ(0, fault_set("halt", "0"));
	EXPECT_HALTED(&self->pair, 0);
	EXPECT_HALTED(&self->pair, 1);
	EXPECT_LENDS_NOTHING(&self->pair.pool);
}

/* The host has a WQ of its own on it, whose driver is to survive as well. */
TEST_F(fault, halt_with_kernel_wq)
{
	ASSERT_EQ(0, dsa_wq_enable(&self->pair.pool, NR, "kernel", "dmaengine"));
	ASSERT_EQ(0, fault_set("halt", "1"));
	EXPECT_HALTED(&self->pair, 0);
	EXPECT_EQ(0, dsa_wq_disable(&self->pair.pool, NR, "dmaengine"));
}

/* The interrupt of commands and errors: its number, and in *@count how often it came */
static int misc_irq(const struct dsa_pool *pool, unsigned long *count)
{
	FILE *file = fopen("/proc/interrupts", "r");
	int ret = -ENOENT;
	char line[512];

	if (!file)
		return -errno;
	while (ret == -ENOENT && fgets(line, sizeof(line), file)) {
		unsigned long on_cpu;
		char *end, *pos;

		if (!strstr(line, "idxd-misc") || !strstr(line, pool->parent))
			continue;
		ret = strtoul(line, &pos, 10);
		*count = 0;
		for (pos++; on_cpu = strtoul(pos, &end, 10), end != pos; pos = end)
			*count += on_cpu;
	}
	fclose(file);
	return ret;
}

/* Has the host done with all that the device reported until now? */
static bool host_is_done(struct pair *p)
{
	/*
	 * A thread is told of all, one report after the other. It wakes up who waits for a
	 * command before it is done, but begins with the next one only then.
	 */
	return !dsa_cmd(&p->v[1].dsa, CMD_DRAIN_ALL, 0) &&
	       !dsa_cmd(&p->v[1].dsa, CMD_DRAIN_ALL, 0);
}

/* Make the device report an error, and the host take notice. */
static bool host_notices(struct pair *p, const char *property, unsigned long long value)
{
	unsigned long before, now;
	char number[24];
	int i;

	snprintf(number, sizeof(number), "%llu", value);
	if (misc_irq(&p->pool, &before) < 0 || fault_set(property, number))
		return false;
	now = before;
	for (i = 0; i < 6000 && now == before; i++) {
		usleep(10000);
		misc_irq(&p->pool, &now);
	}
	return now != before && host_is_done(p);
}

/* The vdevs have seen nothing, and work on. */
#define EXPECT_UNAWARE(p) do {								\
	int __i;									\
	for (__i = 0; __i < NR; __i++) {						\
		EXPECT_EQ(0, dsa_read64(&(p)->v[__i].dsa, DSA_SWERR));			\
		EXPECT_EQ(0, eventfd_wait((p)->err[__i], 0));				\
		EXPECT_EQ(DSA_COMP_SUCCESS,						\
			  test_copy(&(p)->v[__i].dsa, &(p)->v[__i].mem, 3));		\
	}										\
} while (0)

/* An error of the device itself is the host's. */
TEST_F(fault, device_error)
{
	int log = log_open();

	ASSERT_LE(0, log);
	EXPECT_TRUE(host_notices(&self->pair, "error", 0x5a));
	EXPECT_TRUE(log_wait(log, "Device error 0x5a "));
	EXPECT_UNAWARE(&self->pair);
	close(log);
}

/* Fields of SWERR, and of the head of an event log entry, that a device may get wrong */
#define REPORT(valid, error, wq) ((valid) | (uint64_t)(error) << 8 | (uint64_t)(wq) << 16)
#define REPORT_VALID		0x1
#define REPORT_WQ_IDX_VALID	0x8

/*
 * Reports of a device that is out of its mind are the host's, too, and harmless. It does
 * not log all of them: not those of completion records that belong to nobody, and of
 * SWERR, whose log is rate-limited, the first one is waited for.
 */
TEST_F(fault, bad_reports)
{
	static const struct {
		uint64_t report;
		const char *logged[2];
	} bad[] = {
		/* What is read from a device that has just been pulled out */
		{ ~0ull, { "err[0]: 0xffffffffffffffff", "Device error 0x7f " } },
		/* WQs that are not there */
		{ REPORT(REPORT_VALID | REPORT_WQ_IDX_VALID, DSA_COMP_CRA_XLAT, 8) },
		{ REPORT(REPORT_VALID | REPORT_WQ_IDX_VALID, DSA_COMP_BAD_OPCODE, 200),
		  { NULL, "Device error 0x10 " } },
		{ REPORT(REPORT_VALID, DSA_COMP_CRA_XLAT, 255) },
		/* One that nobody uses, neither idxd nor a vdev */
		{ REPORT(REPORT_VALID | REPORT_WQ_IDX_VALID, DSA_COMP_CRA_XLAT, NR) },
		{ REPORT(REPORT_VALID | REPORT_WQ_IDX_VALID, DSA_COMP_BATCH_EVL_ERR, NR) },
	};
	static const char * const places[] = { "swerr", "event-log" };
	unsigned int i, place;
	int log = log_open();

	ASSERT_LE(0, log);
	for (i = 0; i < 2 * sizeof(bad) / sizeof(*bad); i++) {
		place = i % 2;
		EXPECT_TRUE(host_notices(&self->pair, places[place], bad[i / 2].report)) {
			TH_LOG("%s %#llx", places[place], (unsigned long long)bad[i / 2].report);
		}
		if (bad[i / 2].logged[place])
			EXPECT_TRUE(log_wait(log, bad[i / 2].logged[place]));
	}
	EXPECT_UNAWARE(&self->pair);
	close(log);
}

/* One that does not even know where its event log is has to go. */
TEST_F(fault, event_log_without_end)
{
	ASSERT_EQ(0, fault_set("event-log-tail", "60000"));
	EXPECT_HALTED(&self->pair, 0);
	EXPECT_HALTED(&self->pair, 1);
	EXPECT_LENDS_NOTHING(&self->pair.pool);
}

/* Run on @cpu only, and before everything else there if @first. */
static int on_cpu(int cpu, bool first)
{
	struct sched_param param = { .sched_priority = first ? 99 : 0 };
	cpu_set_t only;

	CPU_ZERO(&only);
	CPU_SET(cpu, &only);
	if (sched_setaffinity(0, sizeof(only), &only))
		return -errno;
	return sched_setscheduler(0, first ? SCHED_FIFO : SCHED_OTHER, &param) ? -errno : 0;
}

/* Handle the interrupt of commands and errors there as well. */
static int irq_on_cpu0(const struct dsa_pool *pool)
{
	unsigned long count;
	int irq = misc_irq(pool, &count);

	return irq < 0 ? irq : sysfs_write("0", "/proc/irq/%d/smp_affinity_list", irq);
}

/* Where the next entry of the host's event log goes */
static int event_log_tail(const struct dsa_pool *pool)
{
	char text[128];
	int tail, ret;

	ret = sysfs_read(text, sizeof(text), "/sys/kernel/debug/idxd/%s/event_log", pool->dsa);
	if (ret < 0)
		return ret;
	return sscanf(text, "Event Log head %*u tail %d", &tail) == 1 ? tail : -EPROTO;
}

/*
 * The device reports the end of a command together with errors that came before it. A
 * user who goes at the former, before the host has come to the latter, does not leave
 * them to the next one.
 */
TEST_F(fault, errors_of_the_last_user)
{
	struct test_vdev *v = &self->pair.v[0];
	struct dsa_hw_desc desc = dsa_desc(&v->mem, 0, DSA_OPCODE_NOOP);
	struct dsa dsa;
	int i, fd, next, tail;

	desc.flags |= IDXD_OP_FLAG_CRAV | IDXD_OP_FLAG_RCR;
	desc.completion_addr = 0x50000000;
	next = iommufd_open();
	ASSERT_GE(next, 0);
	tail = event_log_tail(&self->pair.pool);
	ASSERT_LE(0, tail);
	ASSERT_EQ(0, fault_set("latency-ns", "50000000"));
	ASSERT_EQ(0, irq_on_cpu0(&self->pair.pool));
	ASSERT_EQ(0, on_cpu(0, true));

	/* The command ends with the last of them */
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, dsa_submit(&v->dsa, &desc));
	dsa_unmap(&v->dsa);
	ASSERT_EQ(0, dsa_write32(&v->dsa, DSA_CMD, CMD_DISABLE_WQ << 20 | WQ0));
	close(v->fd);
	fd = vdev_open(v->uuid);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, vdev_bind(fd, next, &v->devid));

	EXPECT_EQ(0, on_cpu(0, false));
	v->fd = fd;
	ASSERT_EQ(0, dsa_init(&dsa, fd));
	ASSERT_EQ(0, dsa_set_command(&dsa, PCI_COMMAND_MEMORY));
	EXPECT_TRUE(host_is_done(&self->pair));
	EXPECT_EQ(tail + 4, event_log_tail(&self->pair.pool));
	EXPECT_EQ(0, dsa_read64(&dsa, DSA_SWERR));
	close(next);
}

/* Slow is not broken. */
TEST_F(fault, slow)
{
	struct test_vdev *v = &self->pair.v[0];
	uint32_t pt = v->ioas;

	ASSERT_EQ(0, fault_set("command-latency-ns", "300000000"));
	ASSERT_EQ(0, fault_set("latency-ns", "100000000"));
	EXPECT_EQ(0, dsa_cmd(&v->dsa, CMD_DISABLE_WQ, WQ0));
	EXPECT_EQ(0, dsa_cmd(&v->dsa, CMD_ENABLE_WQ, 0));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v->dsa, &v->mem, 4));
	EXPECT_EQ(0, vdev_detach(v->fd));
	EXPECT_EQ(0, vdev_attach(v->fd, &pt));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v->dsa, &v->mem, 5));
	EXPECT_EQ(0, eventfd_wait(self->pair.err[0], 0));
}

/* Too slow is: and when the end comes, nobody is there whom it could confuse. */
TEST_F(fault, too_slow)
{
	ASSERT_EQ(0, sysfs_write("300", IDXD_CMD_TIMEOUT));
	ASSERT_EQ(0, fault_set("command-latency-ns", "2000000000"));
	EXPECT_EQ(ERR_HW, CMDSTS_ERR(dsa_cmd(&self->pair.v[0].dsa, CMD_DRAIN_ALL, 0)));
	EXPECT_HALTED(&self->pair, 0);
	EXPECT_HALTED(&self->pair, 1);
	usleep(2500000);
}

/* Descriptors hang: an abort gets rid of them, so nothing is lost. */
TEST_F(fault, hung_descriptors)
{
	struct test_vdev *v = &self->pair.v[0];
	struct dsa_hw_desc desc = dsa_desc_move(&v->mem, 0, TEST_SRC, TEST_DST, 4096);
	int i;

	ASSERT_EQ(0, fault_set("hang-engines", "true"));
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, dsa_submit(&v->dsa, &desc));
	EXPECT_EQ(0, dsa_cmd(&v->dsa, CMD_ABORT_WQ, WQ0));
	/* It would wait for what was left */
	EXPECT_EQ(0, dsa_cmd(&v->dsa, CMD_DRAIN_WQ, WQ0));
	ASSERT_EQ(0, dsa_submit(&v->dsa, &desc));
	EXPECT_EQ(0, vdev_reset(v->fd));
	ASSERT_EQ(0, fault_set("hang-engines", "false"));
	EXPECT_EQ(0, dsa_cr(&v->mem, 0)->status);
	ASSERT_EQ(0, dsa_start(&v->dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v->dsa, &v->mem, 5));
	EXPECT_EQ(0, eventfd_wait(self->pair.err[0], 0));
}

/*
 * Nor does who takes the memory or the bus away wait for them: the device goes on, and
 * what they were about does not happen later.
 */
TEST_F(fault, hung_detach)
{
	struct test_vdev *v = &self->pair.v[0];
	struct dsa_hw_desc desc = dsa_desc_move(&v->mem, 1, TEST_SRC, TEST_DST, 4096);
	uint16_t on = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	uint32_t pt = v->ioas;
	int bus;

	ASSERT_EQ(0, sysfs_write(IDXD_CMD_TIMEOUT_SHORT, IDXD_CMD_TIMEOUT));
	for (bus = 0; bus < 2; bus++) {
		memset(v->mem.va + TEST_SRC, 0x11, 4096);
		memset(v->mem.va + TEST_DST, 0x22, 4096);
		ASSERT_EQ(0, fault_set("hang-engines", "true"));
		ASSERT_EQ(0, dsa_submit(&v->dsa, &desc));
		EXPECT_EQ(0, bus ? dsa_set_command(&v->dsa, PCI_COMMAND_MEMORY) :
				   vdev_detach(v->fd));
		ASSERT_EQ(0, fault_set("hang-engines", "false"));
		ASSERT_EQ(0, bus ? dsa_set_command(&v->dsa, on) : vdev_attach(v->fd, &pt));
		usleep(100000);
		EXPECT_EQ(0, dsa_cr(&v->mem, 1)->status);
		EXPECT_TRUE(is_all(v->mem.va + TEST_DST, 4096, 0x22));
		EXPECT_UNAWARE(&self->pair);
	}
}

/* A drain waits for them in vain. What they were about does not happen later. */
TEST_F(fault, hung_drain)
{
	struct test_vdev *v = &self->pair.v[0];
	struct dsa_hw_desc desc = dsa_desc_move(&v->mem, 0, TEST_SRC, TEST_DST, 4096);
	time_t since;

	ASSERT_EQ(0, sysfs_write(IDXD_CMD_TIMEOUT_SHORT, IDXD_CMD_TIMEOUT));
	memset(v->mem.va + TEST_SRC, 0x11, 4096);
	memset(v->mem.va + TEST_DST, 0x22, 4096);
	ASSERT_EQ(0, fault_set("hang-engines", "true"));
	ASSERT_EQ(0, dsa_submit(&v->dsa, &desc));
	since = time(NULL);
	EXPECT_EQ(ERR_HW, CMDSTS_ERR(dsa_cmd(&v->dsa, CMD_DRAIN_ALL, 0)));
	EXPECT_SHORT(since);
	/* The memory is still mapped: what keeps it as it is, is that the DMA has ended. */
	ASSERT_EQ(0, fault_set("hang-engines", "false"));
	usleep(300000);
	EXPECT_TRUE(is_all(v->mem.va + TEST_DST, 4096, 0x22));
	EXPECT_EQ(0, dsa_cr(&v->mem, 0)->status);
	EXPECT_HALTED(&self->pair, 0);
	EXPECT_HALTED(&self->pair, 1);
}

/* A command that another thread waits for */
struct command {
	pthread_t thread;
	struct dsa *dsa;
	bool first;	/* of those that wait, to go on */
	long status;
};

static void *run_command(void *arg)
{
	struct command *c = arg;

	c->status = on_cpu(0, c->first) ?: dsa_cmd(c->dsa, CMD_DRAIN_ALL, 0);
	return NULL;
}

/* It hangs, and so does what is behind it. @timeout is that of the device. */
static int hang_commands(struct pair *p, struct command *c, int nr, const char *timeout)
{
	int i, ret;

	ret = sysfs_write(timeout, IDXD_CMD_TIMEOUT);
	if (!ret)
		ret = fault_set("hang-commands", FAULT_ALL_COMMANDS);
	for (i = 0; !ret && i < nr; i++) {
		c[i] = (struct command) { .dsa = &p->v[i].dsa, .first = i };
		ret = -pthread_create(&c[i].thread, NULL, run_command, &c[i]);
		usleep(300000);
	}
	return ret;
}

/* A timeout that nobody waits for */
#define FAR_OFF		"100000"
#define FAR_OFF_S	100

/* All commands fail, and long before that. */
static bool commands_fail(struct command *c, int nr)
{
	time_t since = time(NULL);
	bool fail = true;
	int i;

	for (i = 0; i < nr; i++) {
		fail &= !pthread_join(c[i].thread, NULL);
		fail &= CMDSTS_ERR(c[i].status) == ERR_HW;
	}
	return fail && time(NULL) - since < FAR_OFF_S / 2;
}

/* The one that waits for its turn learns that there is none. */
TEST_F(fault, hung_command_and_waiter)
{
	struct command c[NR];

	ASSERT_EQ(0, hang_commands(&self->pair, c, NR, "3000"));
	ASSERT_EQ(0, sysfs_write(FAR_OFF, IDXD_CMD_TIMEOUT));
	EXPECT_TRUE(commands_fail(c, NR));
	EXPECT_HALTED(&self->pair, 0);
	EXPECT_HALTED(&self->pair, 1);
}

/* The command that is under way does not outlive the device. */
TEST_F(fault, hung_command_and_flr)
{
	struct command c[1];

	ASSERT_EQ(0, hang_commands(&self->pair, c, 1, FAR_OFF));
	ASSERT_EQ(0, sysfs_write("1", PCI_DEVICES "/%s/reset", self->pair.pool.parent));
	EXPECT_TRUE(commands_fail(c, 1));
	EXPECT_HALTED(&self->pair, 0);
	EXPECT_HALTED(&self->pair, 1);
}

/* Lets nobody else run on CPU 0 as long as @arg is not 0. */
static void *hog_cpu0(void *arg)
{
	atomic_int *hogging = arg;

	*hogging = on_cpu(0, true) ? -1 : 2;
	while (*hogging == 2)
		;
	return NULL;
}

static void *bind_on_cpu0(void *wq)
{
	return (void *)(long)(on_cpu(0, false) ?: sysfs_write(wq, DSA_DRIVERS "/dmaengine/bind"));
}

/* What the status register says after the reset is not the status of the command. */
TEST_F(fault, hung_enable_and_flr)
{
	pthread_t enabler, hog;
	atomic_int hogging = 1;
	char wq[32];
	void *ret;

	snprintf(wq, sizeof(wq), "wq%s.%d", self->pair.pool.dsa + strlen("dsa"), NR);
	ASSERT_EQ(0, dsa_wq_configure(&self->pair.pool, NR, "kernel", "dmaengine"));
	ASSERT_EQ(0, on_cpu(1, false));
	ASSERT_EQ(0, sysfs_write(FAR_OFF, IDXD_CMD_TIMEOUT));
	ASSERT_EQ(0, fault_set("hang-commands", FAULT_ALL_COMMANDS));
	ASSERT_EQ(0, pthread_create(&enabler, NULL, bind_on_cpu0, wq));
	usleep(500000);
	/* Who waits for the command can read the register only when it has been reset */
	ASSERT_EQ(0, pthread_create(&hog, NULL, hog_cpu0, &hogging));
	while (hogging == 1)
		usleep(1000);
	EXPECT_EQ(2, hogging);
	EXPECT_EQ(0, sysfs_write("1", PCI_DEVICES "/%s/reset", self->pair.pool.parent));
	hogging = 0;
	ASSERT_EQ(0, pthread_join(hog, NULL));
	ASSERT_EQ(0, pthread_join(enabler, &ret));
	EXPECT_EQ(-ENXIO, (long)ret);
	EXPECT_HALTED(&self->pair, 0);
	EXPECT_HALTED(&self->pair, 1);
}

TEST_F(fault, hung_command_and_gone)
{
	struct command c[1];

	ASSERT_EQ(0, hang_commands(&self->pair, c, 1, FAR_OFF));
	ASSERT_EQ(0, fault_set("gone", "true"));
	EXPECT_EQ(GENSTS_HALT, GENSTS_STATE(dsa_read32(&self->pair.v[1].dsa, DSA_GENSTS)));
	EXPECT_TRUE(commands_fail(c, 1));
	EXPECT_HALTED(&self->pair, 0);
	EXPECT_HALTED(&self->pair, 1);
	EXPECT_EQ(0, test_vdev_down(&self->pair.v[0]));
	EXPECT_EQ(0, test_vdev_down(&self->pair.v[1]));
	ASSERT_EQ(0, fault_set("gone", "false"));
}

/* Pulled out, and put back in later. */
TEST_F(fault, gone)
{
	ASSERT_EQ(0, fault_set("gone", "true"));
	/* No interrupt can tell: whoever looks finds it, and then all are told. */
	EXPECT_EQ(GENSTS_HALT, GENSTS_STATE(dsa_read32(&self->pair.v[0].dsa, DSA_GENSTS)));
	EXPECT_HALTED(&self->pair, 0);
	EXPECT_HALTED(&self->pair, 1);
	EXPECT_LENDS_NOTHING(&self->pair.pool);
	EXPECT_EQ(0, test_vdev_down(&self->pair.v[0]));
	EXPECT_EQ(0, test_vdev_down(&self->pair.v[1]));
	EXPECT_EQ(0, sysfs_write("1", PCI_DEVICES "/%s/remove", self->pair.pool.parent));
	ASSERT_EQ(0, fault_set("gone", "false"));
	EXPECT_EQ(0, sysfs_write("1", "/sys/bus/pci/rescan"));
}

/* Its users notice by their own doing, and wait for no command that is not sent. */
TEST_F(fault, gone_and_closed)
{
	uint32_t pt = self->pair.v[0].ioas;
	time_t since;

	ASSERT_EQ(0, sysfs_write(FAR_OFF, IDXD_CMD_TIMEOUT));
	ASSERT_EQ(0, fault_set("gone", "true"));
	EXPECT_TRUE(moves_nothing(&self->pair.v[1].dsa, &self->pair.v[1].mem));
	since = time(NULL);
	EXPECT_EQ(0, vdev_attach(self->pair.v[0].fd, &pt));
	EXPECT_GT(FAR_OFF_S / 2, time(NULL) - since);
	EXPECT_HALTED(&self->pair, 0);
	EXPECT_EQ(0, test_vdev_down(&self->pair.v[0]));
	EXPECT_EQ(0, test_vdev_down(&self->pair.v[1]));
	ASSERT_EQ(0, fault_set("gone", "false"));
}

/* Somebody resets the function while it is used. */
TEST_F(fault, flr_under_us)
{
	struct test_vdev *v = &self->pair.v[0];
	/* Not where others copy to */
	struct dsa_hw_desc desc = dsa_desc_move(&v->mem, 1, TEST_SRC, MEM_SIZE - 4096, 4096);
	const uint8_t *dst = v->mem.va + MEM_SIZE - 4096;

	memset(v->mem.va + TEST_SRC, 0x11, 4096);
	ASSERT_EQ(0, fault_set("hang-engines", "true"));
	ASSERT_EQ(0, dsa_submit(&v->dsa, &desc));
	ASSERT_EQ(0, sysfs_write("1", PCI_DEVICES "/%s/reset", self->pair.pool.parent));
	EXPECT_HALTED(&self->pair, 0);
	EXPECT_HALTED(&self->pair, 1);
	/* What it was doing is gone, and not only late */
	ASSERT_EQ(0, fault_set("hang-engines", "false"));
	usleep(100000);
	EXPECT_EQ(0, dsa_cr(&v->mem, 1)->status);
	EXPECT_TRUE(is_all(dst, 4096, 0));
	EXPECT_LENDS_NOTHING(&self->pair.pool);
}

/*
 * A device whose WQ does not stop and which does not stop its DMA either: its PASID is
 * not given to anybody again.
 */
TEST_F(fault, runaway)
{
	struct test_vdev v;
	long long pasid;
	time_t since;

	pasid = vdev_pasid(self->pair.v[0].uuid);
	ASSERT_LT(0, pasid);
	ASSERT_EQ(0, sysfs_write(IDXD_CMD_TIMEOUT_SHORT, IDXD_CMD_TIMEOUT));
	ASSERT_EQ(0, fault_set("hang-commands", FAULT_ALL_COMMANDS));
	ASSERT_EQ(0, fault_set("pending", "true"));
	since = time(NULL);
	EXPECT_EQ(0, vdev_detach(self->pair.v[0].fd));
	EXPECT_SHORT(since);
	EXPECT_EQ(1, eventfd_wait(self->pair.err[0], 10000));
	EXPECT_EQ(0, test_vdev_down(&self->pair.v[0]));
	EXPECT_EQ(0, test_vdev_down(&self->pair.v[1]));
	ASSERT_EQ(0, fault_clear());
	ASSERT_EQ(0, dsa_rebind(&self->pair.pool));
	ASSERT_EQ(0, dsa_pool_get(&self->pair.pool, NR));
	ASSERT_EQ(0, test_vdev_up(&v, &self->pair.pool, CREATED, 0));
	EXPECT_LT(0, vdev_pasid(v.uuid));
	EXPECT_NE(pasid, vdev_pasid(v.uuid));
	EXPECT_EQ(0, test_vdev_down(&v));
}

/* --- the same for a user whose descriptors the kernel submits ------------- */

FIXTURE(mediated) {
	struct pair pair;
};

FIXTURE_VARIANT(mediated) {
	const char *fault;	/* NULL: somebody resets the function */
	const char *value;
};

FIXTURE_VARIANT_ADD(mediated, halt) { .fault = "halt", .value = "1" };
FIXTURE_VARIANT_ADD(mediated, gone) { .fault = "gone", .value = "true" };
FIXTURE_VARIANT_ADD(mediated, flr) { };

FIXTURE_SETUP(mediated)
{
	PAIR_UP(&self->pair, false);
}

FIXTURE_TEARDOWN(mediated)
{
	PAIR_DOWN(&self->pair);
}

/* A write to a portal is lost, but no error, as with a store to one that is mapped. */
TEST_F(mediated, write_is_lost)
{
	struct pair *p = &self->pair;
	struct dsa_hw_desc desc;
	int i;

	ASSERT_EQ(0, variant->fault ? fault_set(variant->fault, variant->value) :
		     sysfs_write("1", PCI_DEVICES "/%s/reset", p->pool.parent));
	/* Before anybody has noticed that something is wrong, if nothing tells it */
	for (i = 0; i < NR; i++) {
		desc = dsa_desc_move(&p->v[i].mem, 0, TEST_SRC, TEST_DST, 4096);
		EXPECT_EQ(0, dsa_submit(&p->v[i].dsa, &desc));
		EXPECT_TRUE(moves_nothing(&p->v[i].dsa, &p->v[i].mem));
	}
	EXPECT_EQ(GENSTS_HALT, GENSTS_STATE(dsa_read32(&p->v[0].dsa, DSA_GENSTS)));
	for (i = 0; i < NR; i++) {
		EXPECT_HALTED(p, i);
		EXPECT_EQ(0, dsa_submit(&p->v[i].dsa, &desc));
	}
	EXPECT_LENDS_NOTHING(&p->pool);
}

/* --- every command hangs: who needs one gets to an end all the same ------- */

enum way {
	START, ATTACH_STARTED, OPEN,	/* the WQ is to run */
	LEND, LEND_STOPPED,		/* the host has yet another one */
	DETACH, ATTACH, RESET, DISABLE, CLOSE, REMOVE, UNBIND_WQ, UNBIND_PF
};

FIXTURE(hang) {
	struct pair pair;
};

FIXTURE_VARIANT(hang) {
	enum way way;
};

FIXTURE_VARIANT_ADD(hang, start) { .way = START };
FIXTURE_VARIANT_ADD(hang, attach_started) { .way = ATTACH_STARTED };
FIXTURE_VARIANT_ADD(hang, open) { .way = OPEN };
FIXTURE_VARIANT_ADD(hang, lend) { .way = LEND };
FIXTURE_VARIANT_ADD(hang, lend_stopped) { .way = LEND_STOPPED };
FIXTURE_VARIANT_ADD(hang, detach) { .way = DETACH };
FIXTURE_VARIANT_ADD(hang, attach) { .way = ATTACH };
FIXTURE_VARIANT_ADD(hang, reset) { .way = RESET };
FIXTURE_VARIANT_ADD(hang, disable) { .way = DISABLE };
FIXTURE_VARIANT_ADD(hang, close) { .way = CLOSE };
FIXTURE_VARIANT_ADD(hang, remove) { .way = REMOVE };
FIXTURE_VARIANT_ADD(hang, unbind_wq) { .way = UNBIND_WQ };
FIXTURE_VARIANT_ADD(hang, unbind_pf) { .way = UNBIND_PF };

FIXTURE_SETUP(hang)
{
	PAIR_UP(&self->pair, true);
}

FIXTURE_TEARDOWN(hang)
{
	PAIR_DOWN(&self->pair);
}

/* What waits for the user of a vdev, in another process. */
static pid_t meanwhile(struct pair *p, enum way way)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	/* What was inherited would make the writer wait for itself. */
	dsa_unmap(&p->v[0].dsa);
	dsa_unmap(&p->v[1].dsa);
	close(p->v[0].fd);
	close(p->v[1].fd);
	if (way == REMOVE)
		_exit(!!vdev_remove(p->v[0].uuid));
	_exit(!!sysfs_write(p->pool.parent, DSA_PCI_DRIVER "/unbind"));
}

static void let_go(struct test_vdev *v)
{
	dsa_unmap(&v->dsa);
	close(v->fd);
	v->fd = -1;
}

/* What the way goes on from, while the device still works */
static int get_ready(struct test_vdev *v, enum way way)
{
	if (way == START)
		return dsa_cmd(&v->dsa, CMD_DISABLE_WQ, WQ0);
	if (way == ATTACH_STARTED)
		return vdev_detach(v->fd);
	if (way == OPEN)
		let_go(v);
	return 0;
}

#define ONLY_DISABLE_WQ "128"	/* 1 << CMD_DISABLE_WQ */

TEST_F(hang, user_goes_on)
{
	struct pair *p = &self->pair;
	struct test_vdev *v = &p->v[0];
	struct last_error last, lent;
	uint32_t pt = v->ioas;
	char wq[32], next_wq[32];
	int ret, status;
	time_t since;
	pid_t pid;

	ASSERT_LT(0, sysfs_read(wq, sizeof(wq), MDEV_DEVICES "/%s/dsa/wq", v->uuid));
	snprintf(next_wq, sizeof(next_wq), "wq%s.%d", p->pool.dsa + strlen("dsa"), NR);
	ASSERT_EQ(0, last_error_watch(&last, MDEV_DEVICES "/%s/pasid/last_error", v->uuid));
	ASSERT_EQ(0, last_error_watch(&lent, "/sys/bus/mdev/drivers/idxd_vdev/last_error"));
	ASSERT_EQ(0, get_ready(v, variant->way));
	ASSERT_EQ(0, sysfs_write(IDXD_CMD_TIMEOUT_SHORT, IDXD_CMD_TIMEOUT));
	ASSERT_EQ(0, fault_set("hang-commands", variant->way == LEND_STOPPED ?
			       ONLY_DISABLE_WQ : FAULT_ALL_COMMANDS));
	since = time(NULL);
	switch (variant->way) {
	case START:
		EXPECT_EQ(ERR_HW, CMDSTS_ERR(dsa_cmd(&v->dsa, CMD_ENABLE_WQ, 0)));
		EXPECT_USER_HALTED(p, 0);
		break;
	case ATTACH_STARTED:
		EXPECT_EQ(0, vdev_attach(v->fd, &pt));
		EXPECT_USER_HALTED(p, 0);
		break;
	case OPEN:
		/* All of this is no matter of the device's */
		v->fd = vdev_open(v->uuid);
		ASSERT_LE(0, v->fd);
		ASSERT_EQ(0, vdev_bind(v->fd, v->iommufd, &v->devid));
		ASSERT_EQ(0, vdev_attach(v->fd, &pt));
		v->dsa.fd = v->fd;
		EXPECT_EQ(0, vdev_irq_eventfds(v->fd, VFIO_PCI_ERR_IRQ_INDEX, 0, 1, &p->err[0]));
		EXPECT_EQ(-EIO, dsa_start(&v->dsa));
		EXPECT_EQ(1, eventfd_wait(p->err[0], 10000));
		EXPECT_EQ(GENSTS_HALT, GENSTS_STATE(dsa_read32(&v->dsa, DSA_GENSTS)));
		break;
	case LEND:
		ret = dsa_wq_enable(&p->pool, NR, "user", DSA_WQ_DRIVER);
		EXPECT_EQ(-ENXIO, ret);
		EXPECT_REFUSED(&lent,
			       "cannot lend %s: idxd does not enable it (error %d); see cmd_status of %s",
			       next_wq, ret, p->pool.dsa);
		EXPECT_HALTED(p, 0);
		break;
	case LEND_STOPPED:
		/* A WQ that the device does not stop is no more lent than one it does not start. */
		ret = dsa_wq_enable(&p->pool, NR, "user", DSA_WQ_DRIVER);
		EXPECT_EQ(-EIO, ret);
		EXPECT_REFUSED(&lent,
			       "cannot lend %s: the device does not stop it (error %d); disable and enable %s",
			       next_wq, ret, p->pool.dsa);
		EXPECT_HALTED(p, 0);
		break;
	case DETACH:
		EXPECT_EQ(0, vdev_detach(v->fd));
		/* Its portal goes with the page table, as always */
		pt = v->ioas;
		EXPECT_EQ(0, vdev_attach(v->fd, &pt));
		EXPECT_HALTED(p, 0);
		break;
	case ATTACH:
		EXPECT_EQ(0, vdev_attach(v->fd, &pt));
		EXPECT_HALTED(p, 0);
		break;
	case RESET:
		EXPECT_EQ(0, vdev_reset(v->fd));
		EXPECT_EQ(1, eventfd_wait(p->err[0], 10000));
		EXPECT_EQ(0, dsa_set_command(&v->dsa, PCI_COMMAND_MEMORY));
		EXPECT_EQ(GENSTS_HALT, GENSTS_STATE(dsa_read32(&v->dsa, DSA_GENSTS)));
		break;
	case DISABLE:
		EXPECT_EQ(ERR_HW, CMDSTS_ERR(dsa_cmd(&v->dsa, CMD_DISABLE_DEVICE, 0)));
		EXPECT_HALTED(p, 0);
		break;
	case CLOSE:
		let_go(v);
		EXPECT_TRUE(vdev_state_is(v->uuid, "closed"));
		/* Nobody can have it any more. */
		v->fd = vdev_open(v->uuid);
		ASSERT_GE(v->fd, 0);
		ASSERT_EQ(0, last_error_watch(&last, MDEV_DEVICES "/%s/pasid/last_error",
					      v->uuid));
		EXPECT_EQ(-EIO, vdev_bind(v->fd, v->iommufd, &v->devid));
		EXPECT_REFUSED(&last,
			       "cannot bind: %s has halted; remove the vdev, and bind idxd to it again",
			       p->pool.parent);
		break;
	case REMOVE:
		pid = meanwhile(p, REMOVE);
		usleep(300000);
		let_go(v);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
		v->uuid[0] = '\0';
		break;
	case UNBIND_WQ:
		EXPECT_EQ(0, dsa_wq_disable(&p->pool, 0, DSA_WQ_DRIVER));
		EXPECT_EQ(~0u, dsa_read32(&v->dsa, DSA_GENSTS));
		break;
	case UNBIND_PF:
		pid = meanwhile(p, UNBIND_PF);
		usleep(300000);
		let_go(v);
		/* What sysfs has of it may be gone already */
		EXPECT_USER_HALTED(p, 1);
		let_go(&p->v[1]);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
		v->uuid[0] = '\0';
		p->v[1].uuid[0] = '\0';
		break;
	}
	EXPECT_SHORT(since);
	if (variant->way <= OPEN) {
		/* Before that: it has halted */
		last.was.count++;
		EXPECT_REFUSED(&last,
			       "cannot start %s: the device refused (error %d); see its errors in the log, and reset the vdev",
			       wq, -ENXIO);
	}
	if (variant->way == UNBIND_PF)
		return;
	EXPECT_HALTED(p, 1);
	EXPECT_LENDS_NOTHING(&p->pool);
}

TEST_HARNESS_MAIN
