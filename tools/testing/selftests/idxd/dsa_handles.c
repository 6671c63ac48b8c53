// SPDX-License-Identifier: GPL-2.0-only
/*
 * A DSA whose interrupt handles are no vector numbers, but are requested from it, and
 * which takes them back at times.
 */
#include <sys/eventfd.h>

#include "vdev_harness.h"

#define MEM_SIZE	(1 << 20)
#define MSIX		VFIO_PCI_MSIX_IRQ_INDEX

FIXTURE(handle) {
	struct dsa_pool pool;
	struct test_vdev v;
	struct dsa *dsa;
	struct dsa_mem *mem;
	int32_t efd[2];
	bool broken;
};

FIXTURE_VARIANT(handle) {
	bool direct;
};

FIXTURE_VARIANT_ADD(handle, direct) { .direct = true };
FIXTURE_VARIANT_ADD(handle, mediated) { };

FIXTURE_SETUP(handle)
{
	int i;

	TEST_START(self, variant->direct, PORTAL_LIMITED, MEM_SIZE);
	for (i = 0; i < 2; i++)
		self->efd[i] = eventfd(0, EFD_CLOEXEC);
	ASSERT_EQ(0, vdev_irq_eventfds(self->v.fd, MSIX, 0, 2, self->efd));
	ASSERT_EQ(0, dsa_request_int_handle(self->dsa));
	if (self->dsa->int_handle <= 8 && !getenv("VDEV_SELFTEST_REQUIRED"))
		SKIP(return, "the device has no commands for interrupt handles");
	ASSERT_LT(8, self->dsa->int_handle);
}

FIXTURE_TEARDOWN(handle)
{
	EXPECT_EQ(0, test_vdev_down(&self->v));
	if (!self->broken)
		return;
	EXPECT_EQ(0, fault_clear());
	EXPECT_EQ(0, sysfs_write(IDXD_CMD_TIMEOUT_DEFAULT, IDXD_CMD_TIMEOUT));
	EXPECT_EQ(0, dsa_rebind(&self->pool));
}

static int noop_with(struct dsa *dsa, struct dsa_mem *mem, uint16_t handle)
{
	struct dsa_hw_desc desc = dsa_desc(mem, 0, DSA_OPCODE_NOOP);

	desc.flags |= IDXD_OP_FLAG_RCI;
	desc.int_handle = handle;
	return dsa_run(dsa, mem, &desc);
}

TEST_F(handle, request_and_release)
{
	uint16_t handle = self->dsa->int_handle;

	EXPECT_EQ(DSA_COMP_SUCCESS, noop_with(self->dsa, self->mem, handle));
	EXPECT_EQ(1, eventfd_wait(self->efd[1], 5000));
	EXPECT_EQ(DSA_COMP_INT_HANDLE_INVAL, noop_with(self->dsa, self->mem, handle + 1));
	EXPECT_EQ(DSA_COMP_INT_HANDLE_INVAL, noop_with(self->dsa, self->mem, 1));
	EXPECT_EQ(0, dsa_cmd(self->dsa, CMD_RELEASE_INT_HANDLE, handle));
	EXPECT_EQ(DSA_COMP_INT_HANDLE_INVAL, noop_with(self->dsa, self->mem, handle));
	EXPECT_EQ(0, eventfd_wait(self->efd[1], 200));
}

/* The device takes its handles back: the user is told, and requests another. */
TEST_F(handle, revoked)
{
	uint16_t old = self->dsa->int_handle;

	TEST_FAULTS();
	ASSERT_EQ(0, fault_set("revoke-int-handles", "true"));
	EXPECT_EQ(1, eventfd_wait(self->efd[0], 10000));
	EXPECT_EQ(INTC_REVOKED, dsa_read32(self->dsa, DSA_INTCAUSE));
	EXPECT_EQ(0, dsa_write32(self->dsa, DSA_INTCAUSE, INTC_REVOKED));
	EXPECT_EQ(0, dsa_read32(self->dsa, DSA_INTCAUSE));
	/* The old one cannot be used any more, nor given back. */
	EXPECT_EQ(DSA_COMP_INT_HANDLE_INVAL, noop_with(self->dsa, self->mem, old));
	EXPECT_EQ(ERR_INT_IDX, CMDSTS_ERR(dsa_cmd(self->dsa, CMD_RELEASE_INT_HANDLE, old)));
	ASSERT_EQ(0, dsa_request_int_handle(self->dsa));
	EXPECT_NE(old, self->dsa->int_handle);
	EXPECT_EQ(DSA_COMP_SUCCESS, noop_with(self->dsa, self->mem, self->dsa->int_handle));
	EXPECT_EQ(1, eventfd_wait(self->efd[1], 5000));
}

/* A reset after that gives back what is there to be given back, and no more. */
TEST_F(handle, revoked_and_reset)
{
	TEST_FAULTS();
	ASSERT_EQ(0, fault_set("revoke-int-handles", "true"));
	EXPECT_EQ(1, eventfd_wait(self->efd[0], 10000));
	EXPECT_EQ(0, vdev_reset(self->v.fd));
	ASSERT_EQ(0, dsa_start(self->dsa));
	ASSERT_EQ(0, dsa_request_int_handle(self->dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, noop_with(self->dsa, self->mem, self->dsa->int_handle));
	EXPECT_EQ(1, eventfd_wait(self->efd[1], 5000));
}

/*
 * The device ends no command any more. Neither does the user wait for ever, and he learns
 * that it is broken; NULL, or what is not so.
 */
static const char *not_bounded(struct test_vdev *v, uint32_t cmd, uint32_t operand)
{
	int32_t err = eventfd(0, EFD_CLOEXEC);
	time_t since;

	if (vdev_irq_eventfds(v->fd, VFIO_PCI_ERR_IRQ_INDEX, 0, 1, &err) ||
	    sysfs_write(IDXD_CMD_TIMEOUT_SHORT, IDXD_CMD_TIMEOUT) ||
	    fault_set("hang-commands", FAULT_ALL_COMMANDS))
		return "nothing hangs";
	since = time(NULL);
	if (dsa_cmd(&v->dsa, cmd, operand) != ERR_HW)
		return "the command does not fail";
	if (time(NULL) - since >= IDXD_SHORT_SECONDS)
		return "the command takes too long";
	if (eventfd_wait(err, 10000) != 1)
		return "no error interrupt";
	close(err);
	return GENSTS_STATE(dsa_read32(&v->dsa, DSA_GENSTS)) == GENSTS_HALT ? NULL : "GENSTS";
}

#define EXPECT_BOUNDED(...) do {							\
	const char *__what = not_bounded(__VA_ARGS__);					\
	EXPECT_EQ(NULL, __what) {							\
		TH_LOG("%s", __what);							\
	}										\
} while (0)

TEST_F(handle, hung_request)
{
	TEST_FAULTS();
	ASSERT_EQ(0, dsa_cmd(self->dsa, CMD_RELEASE_INT_HANDLE, self->dsa->int_handle));
	self->broken = true;
	EXPECT_BOUNDED(&self->v, CMD_REQUEST_INT_HANDLE, 1);
}

TEST_F(handle, hung_release)
{
	TEST_FAULTS();
	self->broken = true;
	EXPECT_BOUNDED(&self->v, CMD_RELEASE_INT_HANDLE, self->dsa->int_handle);
}

TEST_HARNESS_MAIN
