// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_DEVICE_SET_IRQS of a vdev: eventfds come and go, loopback triggers reach
 * the right one, and every misuse is refused and changes nothing.
 */
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "vdev_harness.h"

#define MSIX		VFIO_PCI_MSIX_IRQ_INDEX
#define NR_VECTORS	2
#define TRIG_NONE	(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER)
#define TRIG_BOOL	(VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER)
#define TRIG_FD		(VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)

FIXTURE(irq) {
	struct dsa_pool pool;
	struct test_vdev v;
	int32_t efd[NR_VECTORS];
};

FIXTURE_SETUP(irq)
{
	int i;

	TEST_POOL(&self->pool, 2);
	ASSERT_EQ(0, test_vdev_up(&self->v, &self->pool, BOUND, 0));
	for (i = 0; i < NR_VECTORS; i++) {
		self->efd[i] = eventfd(0, EFD_CLOEXEC);
		ASSERT_GE(self->efd[i], 0);
	}
}

FIXTURE_TEARDOWN(irq)
{
	EXPECT_EQ(0, test_vdev_down(&self->v));
}

/* Trigger vector @i by loopback, and see it on @efd and not on @other. */
#define EXPECT_LOOPBACK(fd, i, efd, other) do {					\
	EXPECT_EQ(0, vdev_set_irqs(fd, TRIG_NONE, MSIX, i, 1, NULL, 0));	\
	EXPECT_EQ(1, eventfd_wait(efd, 2000));					\
	EXPECT_EQ(0, eventfd_wait(other, 0));					\
} while (0)

TEST_F(irq, info)
{
	struct vfio_device_info dev;
	struct vfio_irq_info info;
	unsigned int i;

	ASSERT_EQ(0, vdev_info(self->v.fd, &dev));
	EXPECT_EQ(VFIO_DEVICE_FLAGS_PCI, dev.flags & VFIO_DEVICE_FLAGS_PCI);
	EXPECT_GE(dev.num_regions, VFIO_PCI_NUM_REGIONS);
	EXPECT_EQ(VFIO_MDEV_PASID_FAULT_IRQ_INDEX + 1, dev.num_irqs);
	for (i = 0; i < dev.num_irqs; i++) {
		unsigned int count = i == MSIX ? NR_VECTORS :
				     i == VFIO_PCI_ERR_IRQ_INDEX ||
				     i == VFIO_PCI_REQ_IRQ_INDEX ||
				     i == VFIO_MDEV_PASID_FAULT_IRQ_INDEX;

		/* An interrupt that is not there may be refused or have no vectors. */
		if (vdev_irq_info(self->v.fd, i, &info)) {
			EXPECT_EQ(0, count);
			continue;
		}
		EXPECT_EQ(count, info.count) {
			TH_LOG("interrupt index %u", i);
		}
		if (count)
			EXPECT_EQ(VFIO_IRQ_INFO_EVENTFD, info.flags & VFIO_IRQ_INFO_EVENTFD);
	}
	EXPECT_EQ(-EINVAL, vdev_irq_info(self->v.fd, dev.num_irqs, &info));
	EXPECT_EQ(-EINVAL, vdev_irq_info(self->v.fd, ~0u, &info));
}

TEST_F(irq, info_argsz)
{
	struct vfio_irq_info info = { .argsz = sizeof(info) - 1, .index = MSIX };

	EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_DEVICE_GET_IRQ_INFO, &info));
	EXPECT_EQ(EINVAL, errno);
	info.argsz = 0;
	EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_DEVICE_GET_IRQ_INFO, &info));
	EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_DEVICE_GET_IRQ_INFO, NULL));
	EXPECT_EQ(EFAULT, errno);
}

TEST_F(irq, loopback)
{
	uint8_t second[NR_VECTORS] = { 0, 1 };
	int32_t *efd = self->efd;

	ASSERT_EQ(0, vdev_irq_eventfds(self->v.fd, MSIX, 0, NR_VECTORS, efd));
	EXPECT_LOOPBACK(self->v.fd, 0, efd[0], efd[1]);
	EXPECT_LOOPBACK(self->v.fd, 1, efd[1], efd[0]);

	EXPECT_EQ(0, vdev_set_irqs(self->v.fd, TRIG_BOOL, MSIX, 0, 2, second, 2));
	EXPECT_EQ(1, eventfd_wait(efd[1], 2000));
	EXPECT_EQ(0, eventfd_wait(efd[0], 0));

	EXPECT_EQ(0, vdev_set_irqs(self->v.fd, TRIG_NONE, MSIX, 0, 2, NULL, 0));
	EXPECT_EQ(1, eventfd_wait(efd[0], 2000));
	EXPECT_EQ(1, eventfd_wait(efd[1], 2000));
}

/* Each vector can be set, moved to another eventfd, and taken away alone. */
TEST_F(irq, one_vector)
{
	int32_t none = -1, *efd = self->efd, other = eventfd(0, EFD_CLOEXEC);
	int32_t skip[NR_VECTORS] = { -1, other };

	ASSERT_GE(other, 0);
	ASSERT_EQ(0, vdev_irq_eventfds(self->v.fd, MSIX, 1, 1, &efd[1]));
	EXPECT_LOOPBACK(self->v.fd, 1, efd[1], efd[0]);

	/* Replaced: the old eventfd gets nothing more. */
	ASSERT_EQ(0, vdev_irq_eventfds(self->v.fd, MSIX, 0, NR_VECTORS, skip));
	EXPECT_LOOPBACK(self->v.fd, 1, other, efd[1]);

	/* -1 takes it away; a trigger then goes nowhere and hurts nobody. */
	ASSERT_EQ(0, vdev_irq_eventfds(self->v.fd, MSIX, 1, 1, &none));
	vdev_set_irqs(self->v.fd, TRIG_NONE, MSIX, 1, 1, NULL, 0);
	EXPECT_EQ(0, eventfd_wait(other, 50));
}

/* count 0 with DATA_NONE turns the whole index off. */
TEST_F(irq, disable_index)
{
	int32_t *efd = self->efd;

	ASSERT_EQ(0, vdev_irq_eventfds(self->v.fd, MSIX, 0, NR_VECTORS, efd));
	EXPECT_EQ(0, vdev_set_irqs(self->v.fd, TRIG_NONE, MSIX, 0, 0, NULL, 0));
	vdev_set_irqs(self->v.fd, TRIG_NONE, MSIX, 0, NR_VECTORS, NULL, 0);
	EXPECT_EQ(0, eventfd_wait(efd[0], 50));
	EXPECT_EQ(0, eventfd_wait(efd[1], 0));

	/* And it can be turned on again. */
	ASSERT_EQ(0, vdev_irq_eventfds(self->v.fd, MSIX, 0, NR_VECTORS, efd));
	EXPECT_LOOPBACK(self->v.fd, 0, efd[0], efd[1]);
}

TEST_F(irq, bad_ranges)
{
	static const struct { uint32_t start, count; } bad[] = {
		{ 0, NR_VECTORS + 1 }, { 1, NR_VECTORS }, { NR_VECTORS, 1 }, { NR_VECTORS, 0 },
		{ 0, 0xffffffff }, { 1, 0xffffffff }, { 0xffffffff, 1 }, { 0xffffffff, 2 },
		{ 0x80000000, 0x80000000 },
	};
	struct vfio_irq_set *set;
	int32_t *efd = self->efd;
	char buf[256] = { 0 };
	unsigned int i;

	ASSERT_EQ(0, vdev_irq_eventfds(self->v.fd, MSIX, 0, NR_VECTORS, efd));
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		set = (struct vfio_irq_set *)buf;
		*set = (struct vfio_irq_set) {
			.argsz = sizeof(buf),
			.flags = TRIG_FD,
			.index = MSIX,
			.start = bad[i].start,
			.count = bad[i].count,
		};
		memcpy(set->data, efd, sizeof(self->efd));
		EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_DEVICE_SET_IRQS, set)) {
			TH_LOG("start 0x%x count 0x%x was taken", bad[i].start, bad[i].count);
		}
		EXPECT_EQ(EINVAL, errno);
	}
	/* An index that does not exist, and indexes with no vectors. */
	EXPECT_EQ(-EINVAL, vdev_irq_eventfds(self->v.fd, VFIO_MDEV_PASID_FAULT_IRQ_INDEX + 1,
					     0, 1, efd));
	EXPECT_EQ(-EINVAL, vdev_irq_eventfds(self->v.fd, ~0u, 0, 1, efd));
	EXPECT_GT(0, vdev_irq_eventfds(self->v.fd, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, efd));
	EXPECT_GT(0, vdev_irq_eventfds(self->v.fd, VFIO_PCI_MSI_IRQ_INDEX, 0, 1, efd));
	EXPECT_EQ(-EINVAL, vdev_irq_eventfds(self->v.fd, VFIO_PCI_REQ_IRQ_INDEX, 0, 2, efd));
	EXPECT_EQ(-EINVAL, vdev_irq_eventfds(self->v.fd, VFIO_PCI_REQ_IRQ_INDEX, 1, 1, efd));

	EXPECT_LOOPBACK(self->v.fd, 0, efd[0], efd[1]);
	EXPECT_LOOPBACK(self->v.fd, 1, efd[1], efd[0]);
}

TEST_F(irq, bad_flags)
{
	static const uint32_t bad[] = {
		0, VFIO_IRQ_SET_DATA_NONE, VFIO_IRQ_SET_ACTION_TRIGGER,
		VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_ACTION_MASK,
		TRIG_FD | 1 << 6, TRIG_FD | 1u << 31,
	};
	struct vfio_irq_info info;
	int32_t *efd = self->efd;
	unsigned int i;

	ASSERT_EQ(0, vdev_irq_info(self->v.fd, MSIX, &info));
	EXPECT_EQ(0, info.flags & VFIO_IRQ_INFO_MASKABLE);
	ASSERT_EQ(0, vdev_irq_eventfds(self->v.fd, MSIX, 0, NR_VECTORS, efd));
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		EXPECT_GT(0, vdev_set_irqs(self->v.fd, bad[i], MSIX, 0, 1, efd, 4)) {
			TH_LOG("flags 0x%x were taken", bad[i]);
		}
	}
	/* The vectors are not maskable by SET_IRQS, and the info says so. */
	EXPECT_EQ(-ENOTTY, vdev_set_irqs(self->v.fd,
					 VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK,
					 MSIX, 0, 1, NULL, 0));
	EXPECT_EQ(-ENOTTY, vdev_set_irqs(self->v.fd,
					 VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK,
					 MSIX, 0, 1, NULL, 0));
	EXPECT_LOOPBACK(self->v.fd, 0, efd[0], efd[1]);
}

TEST_F(irq, bad_argsz)
{
	struct vfio_irq_set *set;
	char buf[64] = { 0 };
	int32_t *efd = self->efd;

	set = (struct vfio_irq_set *)buf;
	*set = (struct vfio_irq_set) { .flags = TRIG_FD, .index = MSIX, .count = 2 };
	memcpy(set->data, efd, sizeof(self->efd));
	/* Shorter than the header, and shorter than the data that it announces. */
	for (set->argsz = 0; set->argsz < sizeof(*set) + sizeof(self->efd); set->argsz += 4) {
		EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_DEVICE_SET_IRQS, set)) {
			TH_LOG("argsz %u was taken", set->argsz);
		}
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_EQ(0, ioctl(self->v.fd, VFIO_DEVICE_SET_IRQS, set));
	EXPECT_EQ(-1, ioctl(self->v.fd, VFIO_DEVICE_SET_IRQS, NULL));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_LOOPBACK(self->v.fd, 0, efd[0], efd[1]);
}

/* A file that is not an eventfd: refused, and the vector keeps its eventfd. */
TEST_F(irq, not_an_eventfd)
{
	int32_t *efd = self->efd, closed = dup(efd[0]), bad[] = {
		self->v.iommufd, self->v.fd, closed, 0x7fffffff, -2,
		open("/dev/null", O_RDWR | O_CLOEXEC),
	};
	int32_t mixed[NR_VECTORS];
	unsigned int i;

	close(closed);
	ASSERT_EQ(0, vdev_irq_eventfds(self->v.fd, MSIX, 0, NR_VECTORS, efd));
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		EXPECT_GT(0, vdev_irq_eventfds(self->v.fd, MSIX, 1, 1, &bad[i])) {
			TH_LOG("file %d was taken as an eventfd", bad[i]);
		}
		EXPECT_GT(0, vdev_irq_eventfds(self->v.fd, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, &bad[i]));
	}
	EXPECT_LOOPBACK(self->v.fd, 1, efd[1], efd[0]);

	/* A bad one behind a good one: no half of the request stays. */
	mixed[0] = eventfd(0, EFD_CLOEXEC);
	mixed[1] = self->v.iommufd;
	EXPECT_GT(0, vdev_irq_eventfds(self->v.fd, MSIX, 0, NR_VECTORS, mixed));
	EXPECT_LOOPBACK(self->v.fd, 0, efd[0], mixed[0]);
	EXPECT_LOOPBACK(self->v.fd, 1, efd[1], efd[0]);
}

/* One eventfd for both vectors counts both. */
TEST_F(irq, shared_eventfd)
{
	int32_t both[NR_VECTORS] = { self->efd[0], self->efd[0] };

	ASSERT_EQ(0, vdev_irq_eventfds(self->v.fd, MSIX, 0, NR_VECTORS, both));
	EXPECT_EQ(0, vdev_set_irqs(self->v.fd, TRIG_NONE, MSIX, 0, NR_VECTORS, NULL, 0));
	EXPECT_EQ(2, eventfd_wait(self->efd[0], 2000));
}

/* The user may close its eventfd first: the vector holds on to it. */
TEST_F(irq, eventfd_closed_first)
{
	int32_t dups = dup(self->efd[0]);

	ASSERT_EQ(0, vdev_irq_eventfds(self->v.fd, MSIX, 0, 1, &dups));
	close(dups);
	EXPECT_LOOPBACK(self->v.fd, 0, self->efd[0], self->efd[1]);
	close(self->efd[0]);
	EXPECT_EQ(0, vdev_set_irqs(self->v.fd, TRIG_NONE, MSIX, 0, 1, NULL, 0));
}

/* Eventfds do not outlive their user: the next one starts without any. */
TEST_F(irq, gone_after_close)
{
	ASSERT_EQ(0, vdev_irq_eventfds(self->v.fd, MSIX, 0, NR_VECTORS, self->efd));
	close(self->v.fd);
	self->v.fd = vdev_open(self->v.uuid);
	ASSERT_GE(self->v.fd, 0);
	ASSERT_EQ(0, vdev_bind(self->v.fd, self->v.iommufd, &self->v.devid));
	vdev_set_irqs(self->v.fd, TRIG_NONE, MSIX, 0, NR_VECTORS, NULL, 0);
	EXPECT_EQ(0, eventfd_wait(self->efd[0], 50));
	EXPECT_EQ(0, eventfd_wait(self->efd[1], 0));
}

/* REQ and ERR: one eventfd each, loopback, and away again. */
TEST_F(irq, req_and_err)
{
	static const unsigned int index[] = { VFIO_PCI_REQ_IRQ_INDEX, VFIO_PCI_ERR_IRQ_INDEX };
	int32_t none = -1;
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vdev_irq_eventfds(self->v.fd, index[i], 0, 1, &self->efd[i]));
		EXPECT_EQ(0, vdev_set_irqs(self->v.fd, TRIG_NONE, index[i], 0, 1, NULL, 0));
		EXPECT_EQ(1, eventfd_wait(self->efd[i], 2000));
		EXPECT_EQ(0, vdev_irq_eventfds(self->v.fd, index[i], 0, 1, &none));
		vdev_set_irqs(self->v.fd, TRIG_NONE, index[i], 0, 1, NULL, 0);
		EXPECT_EQ(0, eventfd_wait(self->efd[i], 50));
	}
}

TEST_HARNESS_MAIN
