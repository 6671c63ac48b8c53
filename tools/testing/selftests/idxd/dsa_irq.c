// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts of a DSA vdev: vector 0 for commands, vector 1 for descriptors that
 * ask for one, each on its eventfd and on nobody else's.
 */
#include <sys/eventfd.h>

#include "vdev_harness.h"

#define MEM_SIZE	(1 << 20)
#define MSIX		VFIO_PCI_MSIX_IRQ_INDEX

FIXTURE(irq) {
	struct dsa_pool pool;
	struct test_vdev v;
	struct dsa *dsa;
	struct dsa_mem *mem;
	int32_t efd[2];
};

FIXTURE_VARIANT(irq) {
	bool direct;
};

FIXTURE_VARIANT_ADD(irq, direct) { .direct = true };
FIXTURE_VARIANT_ADD(irq, mediated) { };

static int with_irqs(struct test_vdev *v, int32_t efd[2])
{
	efd[0] = eventfd(0, EFD_CLOEXEC);
	efd[1] = eventfd(0, EFD_CLOEXEC);
	if (efd[0] < 0 || efd[1] < 0)
		return -errno;
	return vdev_irq_eventfds(v->fd, MSIX, 0, 2, efd) ?: dsa_request_int_handle(&v->dsa);
}

FIXTURE_SETUP(irq)
{
	TEST_START(self, variant->direct, PORTAL_LIMITED, MEM_SIZE);
	ASSERT_EQ(0, with_irqs(&self->v, self->efd));
}

FIXTURE_TEARDOWN(irq)
{
	EXPECT_EQ(0, test_vdev_down(&self->v));
}

/* A NOOP into record @i that raises handle @handle at its end. */
static struct dsa_hw_desc noop_irq(struct dsa_mem *mem, unsigned int i, uint16_t handle)
{
	struct dsa_hw_desc desc = dsa_desc(mem, i, DSA_OPCODE_NOOP);

	desc.flags |= IDXD_OP_FLAG_RCI;
	desc.int_handle = handle;
	return desc;
}

TEST_F(irq, completion)
{
	int i;

	for (i = 0; i < 50; i++) {
		struct dsa_hw_desc desc = noop_irq(self->mem, i, self->dsa->int_handle);

		ASSERT_EQ(0, dsa_submit(self->dsa, &desc));
		ASSERT_EQ(1, eventfd_wait(self->efd[1], 5000));
		/* The record is there before the interrupt, not some time after. */
		EXPECT_EQ(DSA_COMP_SUCCESS, dsa_cr(self->mem, i)->status);
	}
	EXPECT_EQ(0, eventfd_wait(self->efd[1], 100));
	EXPECT_EQ(0, eventfd_wait(self->efd[0], 0));
}

TEST_F(irq, only_when_asked)
{
	struct dsa_hw_desc desc = noop_irq(self->mem, 0, self->dsa->int_handle);

	desc.flags &= ~IDXD_OP_FLAG_RCI;
	ASSERT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(0, eventfd_wait(self->efd[1], 200));
}

/* A failing descriptor raises its interrupt as well. */
TEST_F(irq, on_error)
{
	struct dsa_hw_desc desc = noop_irq(self->mem, 0, self->dsa->int_handle);

	desc.opcode = 0x7f;
	EXPECT_EQ(DSA_COMP_BAD_OPCODE, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(1, eventfd_wait(self->efd[1], 5000));
}

/* 64 copies, waited for by eventfd; none is lost when they come in a heap. */
TEST_F(irq, burst)
{
	int i, done, round;

	for (round = 0; round < 8; round++) {
		for (i = 0; i < DSA_WQ_SIZE; i++) {
			struct dsa_hw_desc desc = noop_irq(self->mem, i, self->dsa->int_handle);

			ASSERT_EQ(0, dsa_submit(self->dsa, &desc));
		}
		/* Interrupts may merge, but after the last one all is complete. */
		for (done = 0; done < DSA_WQ_SIZE;) {
			ASSERT_GE(eventfd_wait(self->efd[1], 5000), 1) {
				TH_LOG("round %d: %d of %d complete", round, done, DSA_WQ_SIZE);
			}
			for (i = 0, done = 0; i < DSA_WQ_SIZE; i++)
				done += dsa_cr(self->mem, i)->status == DSA_COMP_SUCCESS;
		}
		usleep(20000);
		eventfd_wait(self->efd[1], 0);
	}
}

/*
 * The device refuses every handle but the one that this PASID was given: those
 * of the PF, of the host's WQs, and of other vdevs. The record says so (0x19).
 */
TEST_F(irq, foreign_handles)
{
	struct test_vdev other;
	struct dsa_hw_desc desc;
	int32_t efd[2];
	unsigned int i;

	ASSERT_EQ(0, test_vdev_up(&other, &self->pool, STARTED, MEM_SIZE));
	ASSERT_EQ(0, with_irqs(&other, efd));
	EXPECT_NE(self->dsa->int_handle, other.dsa.int_handle);
	for (i = 0; i < 22; i++) {
		unsigned int h = i < 20 ? i : i == 20 ? other.dsa.int_handle : 0xffff;

		if (h == self->dsa->int_handle)
			continue;
		desc = noop_irq(self->mem, 0, h);
		EXPECT_EQ(DSA_COMP_INT_HANDLE_INVAL, dsa_run(self->dsa, self->mem, &desc)) {
			TH_LOG("handle %u", h);
		}
	}
	/* Nor is it taken away from the other one */
	EXPECT_EQ(ERR_INT_IDX, CMDSTS_ERR(dsa_cmd(self->dsa, CMD_RELEASE_INT_HANDLE,
						  other.dsa.int_handle)));
	EXPECT_EQ(0, eventfd_wait(efd[1], 200));
	EXPECT_EQ(0, eventfd_wait(efd[0], 0));
	EXPECT_EQ(0, eventfd_wait(self->efd[1], 0));

	/* Each one's own handle reaches its own eventfd. */
	desc = noop_irq(self->mem, 0, self->dsa->int_handle);
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(1, eventfd_wait(self->efd[1], 5000));
	EXPECT_EQ(0, eventfd_wait(efd[1], 100));
	desc = noop_irq(&other.mem, 0, other.dsa.int_handle);
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(&other.dsa, &other.mem, &desc));
	EXPECT_EQ(1, eventfd_wait(efd[1], 5000));
	EXPECT_EQ(0, eventfd_wait(self->efd[1], 100));
	EXPECT_EQ(0, test_vdev_down(&other));
}

/* Without an eventfd work still completes; a new eventfd gets what comes then. */
TEST_F(irq, eventfd_comes_and_goes)
{
	int32_t none = -1, other = eventfd(0, EFD_CLOEXEC);
	struct dsa_hw_desc desc;

	ASSERT_GE(other, 0);
	ASSERT_EQ(0, vdev_irq_eventfds(self->v.fd, MSIX, 1, 1, &none));
	desc = noop_irq(self->mem, 0, self->dsa->int_handle);
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(0, eventfd_wait(self->efd[1], 100));

	ASSERT_EQ(0, vdev_irq_eventfds(self->v.fd, MSIX, 1, 1, &other));
	desc = noop_irq(self->mem, 0, self->dsa->int_handle);
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(1, eventfd_wait(other, 5000));
	EXPECT_EQ(0, eventfd_wait(self->efd[1], 100));

	ASSERT_EQ(0, vdev_set_irqs(self->v.fd,
				   VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
				   MSIX, 0, 0, NULL, 0));
	desc = noop_irq(self->mem, 0, self->dsa->int_handle);
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(0, eventfd_wait(other, 100));
}

/* Vectors work again after a reset, with the eventfds that were set before. */
TEST_F(irq, after_reset)
{
	struct dsa_hw_desc desc;

	ASSERT_EQ(0, vdev_reset(self->v.fd));
	ASSERT_EQ(0, dsa_start(self->dsa));
	ASSERT_EQ(0, vdev_irq_eventfds(self->v.fd, MSIX, 0, 2, self->efd));
	ASSERT_EQ(0, dsa_request_int_handle(self->dsa));
	desc = noop_irq(self->mem, 0, self->dsa->int_handle);
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(1, eventfd_wait(self->efd[1], 5000));
}

/* And after the address space has gone and come back. */
TEST_F(irq, after_reattach)
{
	struct dsa_hw_desc desc;
	uint32_t pt = self->v.ioas;

	ASSERT_EQ(0, vdev_detach(self->v.fd));
	ASSERT_EQ(0, vdev_attach(self->v.fd, &pt));
	ASSERT_EQ(0, dsa_start(self->dsa));
	ASSERT_EQ(0, dsa_request_int_handle(self->dsa));
	desc = noop_irq(self->mem, 0, self->dsa->int_handle);
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
	EXPECT_EQ(1, eventfd_wait(self->efd[1], 5000));
}

/* Vector 0: one interrupt for each command that asks, none for the others. */
TEST_F(irq, commands)
{
	int i;

	for (i = 0; i < 10; i++) {
		EXPECT_EQ(0, dsa_cmd(self->dsa, CMD_DRAIN_ALL, i & 1 ? CMD_INT_REQ : 0));
		EXPECT_EQ(i & 1, eventfd_wait(self->efd[0], i & 1 ? 5000 : 50));
		EXPECT_EQ(i & 1 ? INTC_CMD : 0, dsa_read32(self->dsa, DSA_INTCAUSE));
		EXPECT_EQ(0, dsa_write32(self->dsa, DSA_INTCAUSE, INTC_CMD));
	}
	EXPECT_EQ(0, eventfd_wait(self->efd[1], 0));
}

/*
 * An error that has no completion record to go to is told in SWERR and, if the
 * user wants that, by vector 0. What it says of PASID and WQ is the host's own. The host's
 * log says nothing of it.
 */
TEST_F(irq, software_error)
{
	/* What idxd begins its lines about errors with */
	static const char * const logged[] = { "err[", "Device error" };
	const uint64_t hole = self->mem->iova + 0x40000000;
	struct dsa_hw_desc desc;
	int i, log = log_open();
	uint64_t err;

	EXPECT_EQ(0, dsa_read64(self->dsa, DSA_SWERR));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, dsa_write32(self->dsa, DSA_GENCTRL, i ? GENCTRL_SOFTERR_INT : 0));
		desc = dsa_desc(self->mem, 0, DSA_OPCODE_NOOP);
		desc.completion_addr = hole;
		ASSERT_EQ(0, dsa_submit(self->dsa, &desc));
		err = dsa_wait_swerr(self->dsa);
		EXPECT_EQ(SWERR_VALID, err & (SWERR_VALID | SWERR_OVERFLOW));
		EXPECT_EQ(DSA_COMP_CRA_XLAT, SWERR_ERROR(err));
		EXPECT_EQ(DSA_OPCODE_NOOP, err >> 32 & 0xff);
		EXPECT_EQ(0, err >> 40 & 0xfffff);
		EXPECT_EQ(0, err >> 16 & 0xff);
		EXPECT_EQ(hole, dsa_read64(self->dsa, DSA_SWERR + 16) & ~0xfffull);
		EXPECT_EQ(i, eventfd_wait(self->efd[0], i ? 5000 : 100));
		EXPECT_EQ(i ? INTC_ERR : 0, dsa_read32(self->dsa, DSA_INTCAUSE));

		/* A second one meanwhile: overflow, and the first one stays. */
		desc = dsa_desc(self->mem, 0, DSA_OPCODE_NOOP);
		desc.completion_addr = hole + 0x1000;
		ASSERT_EQ(0, dsa_submit(self->dsa, &desc));
		usleep(300000);
		err = dsa_read64(self->dsa, DSA_SWERR);
		EXPECT_EQ(SWERR_VALID | SWERR_OVERFLOW, err & (SWERR_VALID | SWERR_OVERFLOW));
		EXPECT_EQ(hole, dsa_read64(self->dsa, DSA_SWERR + 16) & ~0xfffull);

		/* Only ones clear it. */
		EXPECT_EQ(0, dsa_write64(self->dsa, DSA_SWERR, 0));
		EXPECT_EQ(err, dsa_read64(self->dsa, DSA_SWERR));
		EXPECT_EQ(0, dsa_write64(self->dsa, DSA_SWERR, SWERR_VALID | SWERR_OVERFLOW));
		EXPECT_EQ(0, dsa_read64(self->dsa, DSA_SWERR) & (SWERR_VALID | SWERR_OVERFLOW));
		EXPECT_EQ(0, dsa_write32(self->dsa, DSA_INTCAUSE, INTC_ERR));
		eventfd_wait(self->efd[0], 0);
	}
	EXPECT_EQ(0, log_lines(log, logged, ARRAY_SIZE(logged)));
	close(log);
	/* Nothing of it was the other vectors', and the WQ works on. */
	EXPECT_EQ(0, eventfd_wait(self->efd[1], 0));
	desc = dsa_desc(self->mem, 0, DSA_OPCODE_NOOP);
	EXPECT_EQ(DSA_COMP_SUCCESS, dsa_run(self->dsa, self->mem, &desc));
}

/* The mediated portal itself refuses a record that is not aligned. */
TEST_F(irq, completion_alignment_error)
{
	struct dsa_hw_desc desc = dsa_desc(self->mem, 0, DSA_OPCODE_NOOP);
	uint64_t err;

	if (variant->direct)
		SKIP(return, "what the device reports is the device's business");
	desc.completion_addr += 8;
	ASSERT_EQ(0, dsa_submit(self->dsa, &desc));
	err = dsa_wait_swerr(self->dsa);
	EXPECT_EQ(SWERR_VALID, err & (SWERR_VALID | SWERR_OVERFLOW));
	EXPECT_EQ(DSA_COMP_CRA_ALIGN, SWERR_ERROR(err));
}

/* Errors of one vdev are not seen by another. */
TEST_F(irq, software_error_is_private)
{
	struct dsa_hw_desc desc = dsa_desc(self->mem, 0, DSA_OPCODE_NOOP);
	struct test_vdev other;
	int32_t efd[2];

	ASSERT_EQ(0, test_vdev_up(&other, &self->pool, STARTED, MEM_SIZE));
	ASSERT_EQ(0, with_irqs(&other, efd));
	EXPECT_EQ(0, dsa_write32(&other.dsa, DSA_GENCTRL, GENCTRL_SOFTERR_INT));
	desc.completion_addr = self->mem->iova + 0x40000000;
	ASSERT_EQ(0, dsa_submit(self->dsa, &desc));
	EXPECT_NE(0, dsa_wait_swerr(self->dsa));
	EXPECT_EQ(0, dsa_read64(&other.dsa, DSA_SWERR));
	EXPECT_EQ(0, eventfd_wait(efd[0], 100));
	EXPECT_EQ(0, test_vdev_down(&other));
}

TEST_HARNESS_MAIN
