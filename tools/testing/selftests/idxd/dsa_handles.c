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

	if (!fault_possible() && !getenv("VDEV_SELFTEST_REQUIRED"))
		SKIP(return, "no QEMU that makes the DSA misbehave");
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
	ASSERT_EQ(0, fault_set("revoke-int-handles", "true"));
	EXPECT_EQ(1, eventfd_wait(self->efd[0], 10000));
	EXPECT_EQ(0, vdev_reset(self->v.fd));
	ASSERT_EQ(0, dsa_start(self->dsa));
	ASSERT_EQ(0, dsa_request_int_handle(self->dsa));
	EXPECT_EQ(DSA_COMP_SUCCESS, noop_with(self->dsa, self->mem, self->dsa->int_handle));
	EXPECT_EQ(1, eventfd_wait(self->efd[1], 5000));
}

TEST_HARNESS_MAIN
