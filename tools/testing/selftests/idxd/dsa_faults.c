// SPDX-License-Identifier: GPL-2.0-only
/*
 * A DSA that breaks: commands and descriptors that hang, a halt, a reset by somebody
 * else, a device that was pulled out. Whatever it is, nobody waits for ever, both vdevs
 * of the device end halted and their users are told, and no byte moves any more. Each
 * test ends with the device bound anew, and working.
 */
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "vdev_harness.h"

#define MEM_SIZE	(1 << 20)
#define PCI_DRIVER	"/sys/bus/pci/drivers/idxd"
#define PCI_DEVICES	"/sys/bus/pci/devices"
#define CMD_TIMEOUT	"/sys/module/idxd/parameters/cmd_timeout_ms"
#define NR		2
#define ALL_COMMANDS	"4294967295"

/* Two started vdevs with their portals mapped, and an eventfd for what each is told. */
struct pair {
	struct dsa_pool pool;
	struct test_vdev v[NR];
	int32_t err[NR];	/* the error interrupt */
	int32_t misc[NR];	/* vector 0 */
};

static int pair_up(struct pair *p)
{
	int i, ret;

	for (i = 0; i < NR; i++) {
		struct test_vdev *v = &p->v[i];

		p->err[i] = eventfd(0, EFD_CLOEXEC);
		p->misc[i] = eventfd(0, EFD_CLOEXEC);
		ret = test_vdev_up(v, &p->pool, STARTED, MEM_SIZE);
		if (!ret)
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

/* Bind the driver of the PF anew: that is what it takes to use the device again. */
static int rebind(const struct dsa_pool *pool)
{
	int ret = 0;

	if (path_exists(PCI_DRIVER "/%s", pool->parent))
		ret = sysfs_write(pool->parent, PCI_DRIVER "/unbind");
	return ret ?: sysfs_write(pool->parent, PCI_DRIVER "/bind");
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

#define PAIR_UP(p) do {									\
	if (!fault_possible() && !getenv("VDEV_SELFTEST_REQUIRED"))			\
		SKIP(return, "no QEMU that makes the DSA misbehave");			\
	TEST_POOL(&(p)->pool, NR);							\
	ASSERT_EQ(0, fault_clear());							\
	ASSERT_EQ(0, pair_up(p));							\
} while (0)

#define PAIR_DOWN(p) do {								\
	int __i;									\
	EXPECT_EQ(0, fault_clear());							\
	for (__i = 0; __i < NR; __i++)							\
		if ((p)->v[__i].uuid[0])						\
			EXPECT_EQ(0, test_vdev_down(&(p)->v[__i]));			\
	EXPECT_EQ(0, sysfs_write("30000", CMD_TIMEOUT));				\
	EXPECT_EQ(0, rebind(&(p)->pool));						\
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
	if (!last_error_is_sentence(v->uuid, "the vdev has halted"))
		return "last_error";
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

#define EXPECT_HALTED(p, i) do {							\
	const char *__what = not_halted(&(p)->v[i], (p)->err[i], (p)->misc[i]);		\
	EXPECT_EQ(NULL, __what) {							\
		TH_LOG("vdev %d: %s", (int)(i), __what);				\
	}										\
} while (0)

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
	PAIR_UP(&self->pair);
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

/* An error of the device itself is the host's; vdevs do not see it and work on. */
TEST_F(fault, device_error)
{
	int i;

	ASSERT_EQ(0, fault_set("error", "90"));
	usleep(200000);
	for (i = 0; i < NR; i++) {
		EXPECT_EQ(0, dsa_read64(&self->pair.v[i].dsa, DSA_SWERR));
		EXPECT_EQ(0, eventfd_wait(self->pair.err[i], 0));
		EXPECT_EQ(DSA_COMP_SUCCESS,
			  test_copy(&self->pair.v[i].dsa, &self->pair.v[i].mem, 3));
	}
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
	ASSERT_EQ(0, sysfs_write("300", CMD_TIMEOUT));
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
	ASSERT_EQ(0, dsa_submit(&v->dsa, &desc));
	EXPECT_EQ(0, vdev_reset(v->fd));
	ASSERT_EQ(0, fault_set("hang-engines", "false"));
	EXPECT_EQ(0, dsa_cr(&v->mem, 0)->status);
	ASSERT_EQ(0, dsa_start(&v->dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, test_copy(&v->dsa, &v->mem, 5));
	EXPECT_EQ(0, eventfd_wait(self->pair.err[0], 0));
}

/* A drain waits for them in vain. What they were about does not happen later. */
TEST_F(fault, hung_drain)
{
	struct test_vdev *v = &self->pair.v[0];
	struct dsa_hw_desc desc = dsa_desc_move(&v->mem, 0, TEST_SRC, TEST_DST, 4096);

	ASSERT_EQ(0, sysfs_write("500", CMD_TIMEOUT));
	memset(v->mem.va + TEST_SRC, 0x11, 4096);
	memset(v->mem.va + TEST_DST, 0x22, 4096);
	ASSERT_EQ(0, fault_set("hang-engines", "true"));
	ASSERT_EQ(0, dsa_submit(&v->dsa, &desc));
	EXPECT_EQ(ERR_HW, CMDSTS_ERR(dsa_cmd(&v->dsa, CMD_DRAIN_ALL, 0)));
	/* The memory is still mapped: what keeps it as it is, is that the DMA has ended. */
	ASSERT_EQ(0, fault_set("hang-engines", "false"));
	usleep(300000);
	EXPECT_TRUE(is_all(v->mem.va + TEST_DST, 4096, 0x22));
	EXPECT_EQ(0, dsa_cr(&v->mem, 0)->status);
	EXPECT_HALTED(&self->pair, 0);
	EXPECT_HALTED(&self->pair, 1);
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

/* Its users notice by their own doing. */
TEST_F(fault, gone_and_closed)
{
	uint32_t pt = self->pair.v[0].ioas;

	ASSERT_EQ(0, fault_set("gone", "true"));
	EXPECT_TRUE(moves_nothing(&self->pair.v[1].dsa, &self->pair.v[1].mem));
	EXPECT_EQ(0, vdev_attach(self->pair.v[0].fd, &pt));
	EXPECT_HALTED(&self->pair, 0);
	EXPECT_EQ(0, test_vdev_down(&self->pair.v[0]));
	EXPECT_EQ(0, test_vdev_down(&self->pair.v[1]));
	ASSERT_EQ(0, fault_set("gone", "false"));
}

/* Somebody resets the function while it is used. */
TEST_F(fault, flr_under_us)
{
	struct test_vdev *v = &self->pair.v[0];
	struct dsa_hw_desc desc = dsa_desc_move(&v->mem, 0, TEST_SRC, TEST_DST, 4096);

	ASSERT_EQ(0, fault_set("latency-ns", "100000000"));
	ASSERT_EQ(0, dsa_submit(&v->dsa, &desc));
	ASSERT_EQ(0, sysfs_write("1", PCI_DEVICES "/%s/reset", self->pair.pool.parent));
	EXPECT_HALTED(&self->pair, 0);
	EXPECT_HALTED(&self->pair, 1);
	EXPECT_LENDS_NOTHING(&self->pair.pool);
}

/*
 * A device whose WQ does not stop and which does not stop its DMA either: its PASID is
 * not given to anybody again.
 */
TEST_F(fault, runaway)
{
	char old[32], new[32];
	struct test_vdev v;

	ASSERT_GT(vdev_attr(self->pair.v[0].uuid, "pasid", old, sizeof(old)), 0);
	ASSERT_EQ(0, sysfs_write("500", CMD_TIMEOUT));
	ASSERT_EQ(0, fault_set("hang-commands", ALL_COMMANDS));
	ASSERT_EQ(0, fault_set("pending", "true"));
	EXPECT_EQ(0, vdev_detach(self->pair.v[0].fd));
	EXPECT_EQ(1, eventfd_wait(self->pair.err[0], 10000));
	EXPECT_EQ(0, test_vdev_down(&self->pair.v[0]));
	EXPECT_EQ(0, test_vdev_down(&self->pair.v[1]));
	ASSERT_EQ(0, fault_clear());
	ASSERT_EQ(0, rebind(&self->pair.pool));
	ASSERT_EQ(0, dsa_pool_get(&self->pair.pool, NR));
	ASSERT_EQ(0, test_vdev_up(&v, &self->pair.pool, CREATED, 0));
	ASSERT_GT(vdev_attr(v.uuid, "pasid", new, sizeof(new)), 0);
	EXPECT_STRNE(old, new);
	EXPECT_EQ(0, test_vdev_down(&v));
}

/* --- every command hangs: who needs one gets to an end all the same ------- */

enum way { DETACH, ATTACH, RESET, DISABLE, CLOSE, REMOVE, UNBIND_WQ, UNBIND_PF };

FIXTURE(hang) {
	struct pair pair;
};

FIXTURE_VARIANT(hang) {
	enum way way;
};

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
	PAIR_UP(&self->pair);
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
	_exit(!!sysfs_write(p->pool.parent, PCI_DRIVER "/unbind"));
}

static void let_go(struct test_vdev *v)
{
	dsa_unmap(&v->dsa);
	close(v->fd);
	v->fd = -1;
}

TEST_F(hang, user_goes_on)
{
	struct pair *p = &self->pair;
	struct test_vdev *v = &p->v[0];
	uint32_t pt = v->ioas;
	struct last_error last;
	int status;
	pid_t pid;

	ASSERT_EQ(0, sysfs_write("500", CMD_TIMEOUT));
	ASSERT_EQ(0, fault_set("hang-commands", ALL_COMMANDS));
	switch (variant->way) {
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
		EXPECT_HALTED(p, 1);
		let_go(&p->v[1]);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
		v->uuid[0] = '\0';
		p->v[1].uuid[0] = '\0';
		return;
	}
	EXPECT_HALTED(p, 1);
	EXPECT_LENDS_NOTHING(&p->pool);
}

TEST_HARNESS_MAIN
