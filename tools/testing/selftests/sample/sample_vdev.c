// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vdev of the SIOV sample: its life, its data, its faults, its interrupt, its reset, and
 * that it is apart from another. The hardware is software, the path to it is not.
 */
#include "sample.h"

#define MEM_SIZE	(4 << 20)
#define REMOVERS	4

static void __attribute__((constructor)) register_sweep(void)
{
	atexit(vdev_sweep);
}

/* Two vdevs with an iommufd and an IOAS each, at the same IOVA. */
FIXTURE(sample)
{
	struct sample vdev[2];
	int iommufd[2];
	uint32_t ioas[2];
	uint8_t *mem[2];
};

FIXTURE_SETUP(sample)
{
	int i;

	if (!sample_load())
		SKIP(return, "no siov_sample module");
	vdev_sweep();
	for (i = 0; i < 2; i++) {
		self->iommufd[i] = iommufd_open();
		ASSERT_LE(0, self->iommufd[i]);
		ASSERT_EQ(0, ioas_alloc(self->iommufd[i], &self->ioas[i]));
		self->mem[i] = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(MAP_FAILED, (void *)self->mem[i]);
		ASSERT_EQ(0, ioas_map(self->iommufd[i], self->ioas[i], self->mem[i], MEM_SIZE,
				      SAMPLE_IOVA, IOAS_RW));
		ASSERT_EQ(0, sample_bind(&self->vdev[i], self->iommufd[i]));
		self->vdev[i].event = eventfd(0, EFD_CLOEXEC);
		ASSERT_EQ(0, sample_start(&self->vdev[i], self->ioas[i], self->vdev[i].event));
	}
}

FIXTURE_TEARDOWN(sample)
{
	int i;

	for (i = 0; i < 2; i++) {
		sample_close(&self->vdev[i]);
		EXPECT_EQ(0, vdev_remove(self->vdev[i].uuid));
		close(self->iommufd[i]);
	}
}

static void fill(uint8_t *mem, size_t len, unsigned int seed)
{
	size_t i;

	for (i = 0; i < len; i++) {
		seed = seed * 1103515245 + 12345;
		mem[i] = seed >> 16;
	}
}

static bool all_bytes(const uint8_t *mem, size_t len, uint8_t byte)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (mem[i] != byte)
			return false;
	return true;
}

TEST_F(sample, life_cycle)
{
	struct sample *s = &self->vdev[0];
	char parent[64];
	long long before;

	ASSERT_LT(0, vdev_attr(s->uuid, "parent", parent, sizeof(parent)));
	EXPECT_STREQ(SAMPLE_PARENT, parent);
	EXPECT_LT(0, vdev_pasid(s->uuid));
	EXPECT_NE(vdev_pasid(s->uuid), vdev_pasid(self->vdev[1].uuid));
	EXPECT_TRUE(vdev_state_is(s->uuid, "attached"));
	EXPECT_EQ(0, vdev_detach(s->fd));
	EXPECT_TRUE(vdev_state_is(s->uuid, "bound"));
	sample_close(s);
	EXPECT_TRUE(vdev_state_is(s->uuid, "closed"));
	EXPECT_FALSE(path_exists(MDEV_DEVICES "/%s/iommu_group", s->uuid));

	before = vdev_available(SAMPLE_PARENT, SAMPLE_TYPE);
	EXPECT_EQ(0, vdev_remove(s->uuid));
	EXPECT_EQ(before + 1, vdev_available(SAMPLE_PARENT, SAMPLE_TYPE));
	EXPECT_EQ(0, vdev_create(SAMPLE_PARENT, SAMPLE_TYPE, s->uuid));
	EXPECT_EQ(-EEXIST, vdev_create(SAMPLE_PARENT, SAMPLE_TYPE, s->uuid));
	EXPECT_EQ(before, vdev_available(SAMPLE_PARENT, SAMPLE_TYPE));
}

TEST_F(sample, second_user)
{
	int fd = vdev_open(self->vdev[0].uuid);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBUSY, vdev_bind(fd, self->iommufd[1], NULL));
	EXPECT_TRUE(last_error_is_sentence(self->vdev[0].uuid, "cannot bind:"));
	close(fd);
}

TEST_F(sample, surface)
{
	struct sample *s = &self->vdev[0];
	struct vdev_region region;
	uint16_t id[2];

	ASSERT_EQ(0, vdev_read(s->fd, &s->config, PCI_VENDOR_ID, id, sizeof(id)));
	EXPECT_EQ(SIOV_VENDOR_ID, id[0]);
	EXPECT_EQ(SIOV_DEVICE_ID, id[1]);

	EXPECT_EQ(SIOV_REGS_SIZE, s->regs.size);
	EXPECT_FALSE(s->regs.flags & VFIO_REGION_INFO_FLAG_MMAP);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, s->fd, s->regs.offset));

	ASSERT_EQ(0, vdev_region_info(s->fd, SIOV_DOORBELL_BAR, &region));
	EXPECT_EQ(SIOV_DOORBELL_SIZE, region.size);
	EXPECT_TRUE(region.flags & VFIO_REGION_INFO_FLAG_MMAP);
	ASSERT_EQ(1, region.nr_areas);
	EXPECT_EQ(0, region.areas[0].offset);
	EXPECT_EQ(SIOV_DOORBELL_SIZE, region.areas[0].size);
}

TEST_F(sample, registers)
{
	struct sample *s = &self->vdev[0];
	uint32_t half;

	EXPECT_EQ(0, sample_write(s, SIOV_SRC, 0x1122334455667788));
	EXPECT_EQ(0x1122334455667788, sample_read(s, SIOV_SRC));
	EXPECT_EQ(0, vdev_read(s->fd, &s->regs, SIOV_SRC + 4, &half, sizeof(half)));
	EXPECT_EQ(0x11223344, half);
	/* Half an address is none */
	half = 0;
	EXPECT_EQ(0, vdev_write(s->fd, &s->regs, SIOV_SRC, &half, sizeof(half)));
	EXPECT_EQ(0x1122334455667788, sample_read(s, SIOV_SRC));
	/* Read-only */
	EXPECT_EQ(0, sample_write(s, SIOV_COUNT, 77));
	EXPECT_EQ(0, sample_read(s, SIOV_COUNT));
	EXPECT_EQ(0, sample_read(s, SIOV_REGS_SIZE / 2 - 8));
}

FIXTURE(copy)
{
	struct sample vdev;
	int iommufd;
	uint8_t *mem;
};

FIXTURE_VARIANT(copy)
{
	uint32_t src;
	uint32_t dst;
	uint32_t len;
};

FIXTURE_VARIANT_ADD(copy, byte) { 0, 1 << 20, 1 };
FIXTURE_VARIANT_ADD(copy, page) { 0, 1 << 20, PAGE };
FIXTURE_VARIANT_ADD(copy, page_and_byte) { 0, 1 << 20, PAGE + 1 };
FIXTURE_VARIANT_ADD(copy, unaligned) { 1, (1 << 20) + 4095, 3 * PAGE - 2 };
FIXTURE_VARIANT_ADD(copy, longest) { 3, (2 << 20) + 5, SIOV_MAX_LEN };

FIXTURE_SETUP(copy)
{
	uint32_t ioas;

	if (!sample_load())
		SKIP(return, "no siov_sample module");
	vdev_sweep();
	self->iommufd = iommufd_open();
	ASSERT_LE(0, self->iommufd);
	ASSERT_EQ(0, ioas_alloc(self->iommufd, &ioas));
	self->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)self->mem);
	ASSERT_EQ(0, ioas_map(self->iommufd, ioas, self->mem, MEM_SIZE, SAMPLE_IOVA, IOAS_RW));
	ASSERT_EQ(0, sample_bind(&self->vdev, self->iommufd));
	self->vdev.event = eventfd(0, EFD_CLOEXEC);
	ASSERT_EQ(0, sample_start(&self->vdev, ioas, self->vdev.event));
}

FIXTURE_TEARDOWN(copy)
{
	sample_close(&self->vdev);
	EXPECT_EQ(0, vdev_remove(self->vdev.uuid));
	close(self->iommufd);
}

TEST_F(copy, bytes)
{
	uint8_t *src = self->mem + variant->src, *dst = self->mem + variant->dst;

	fill(src, variant->len, variant->len);
	memset(dst - 64, 0xa5, variant->len + 128);
	ASSERT_EQ(SIOV_DONE, sample_copy(&self->vdev, SAMPLE_IOVA + variant->src,
					 SAMPLE_IOVA + variant->dst, variant->len));
	EXPECT_EQ(0, memcmp(src, dst, variant->len));
	EXPECT_TRUE(all_bytes(dst - 64, 64, 0xa5));
	EXPECT_TRUE(all_bytes(dst + variant->len, 64, 0xa5));
	EXPECT_EQ(1, sample_read(&self->vdev, SIOV_COUNT));
}

TEST_F(sample, bad_length)
{
	struct sample *s = &self->vdev[0];

	EXPECT_EQ(SIOV_BAD_LEN, sample_copy(s, SAMPLE_IOVA, SAMPLE_IOVA + PAGE, 0));
	EXPECT_EQ(SIOV_BAD_LEN, sample_copy(s, SAMPLE_IOVA, SAMPLE_IOVA + PAGE,
					    SIOV_MAX_LEN + 1));
	EXPECT_EQ(SIOV_BAD_LEN, sample_copy(s, SAMPLE_IOVA, SAMPLE_IOVA + PAGE, -1ull));
	EXPECT_EQ(SIOV_DONE, sample_copy(s, SAMPLE_IOVA, SAMPLE_IOVA + PAGE, PAGE));
}

TEST_F(sample, unmapped)
{
	struct sample *s = &self->vdev[0];
	uint64_t end = SAMPLE_IOVA + MEM_SIZE;
	uint8_t *dst = self->mem[0] + 0x10000;

	EXPECT_EQ(SIOV_READ_FAULT, sample_copy(s, end, SAMPLE_IOVA, PAGE));
	EXPECT_EQ(end, sample_read(s, SIOV_FAULT));
	EXPECT_EQ(SIOV_WRITE_FAULT, sample_copy(s, SAMPLE_IOVA, SAMPLE_IOVA - PAGE, PAGE));
	EXPECT_EQ(SAMPLE_IOVA - PAGE, sample_read(s, SIOV_FAULT));
	/* Beyond what the IOMMU can address */
	EXPECT_EQ(SIOV_READ_FAULT, sample_copy(s, 1ull << 48 | SAMPLE_IOVA, SAMPLE_IOVA, PAGE));
	EXPECT_EQ(SIOV_READ_FAULT, sample_copy(s, -PAGE, SAMPLE_IOVA, 2 * PAGE));
	EXPECT_EQ(-PAGE, sample_read(s, SIOV_FAULT));

	/* In the middle: all before it was done, nothing after it */
	memset(self->mem[0] + MEM_SIZE - PAGE, 0x5a, PAGE);
	memset(dst, 0, 2 * PAGE);
	EXPECT_EQ(SIOV_READ_FAULT,
		  sample_copy(s, end - PAGE, SAMPLE_IOVA + 0x10000, 2 * PAGE));
	EXPECT_EQ(end, sample_read(s, SIOV_FAULT));
	EXPECT_TRUE(all_bytes(dst, PAGE, 0x5a));
	EXPECT_TRUE(all_bytes(dst + PAGE, PAGE, 0));

	/* What is unmapped is gone at once */
	EXPECT_EQ(0, ioas_unmap(self->iommufd[0], self->ioas[0], SAMPLE_IOVA, MEM_SIZE));
	EXPECT_EQ(SIOV_READ_FAULT, sample_copy(s, SAMPLE_IOVA, SAMPLE_IOVA + PAGE, PAGE));
	EXPECT_EQ(SAMPLE_IOVA, sample_read(s, SIOV_FAULT));
}

/* Each fault is told to the vdev that made it, none is lost, and the other has none. */
TEST_F(sample, faults)
{
	struct sample *s = &self->vdev[0], *other = &self->vdev[1];
	int32_t event = eventfd(0, EFD_CLOEXEC);
	uint64_t hole = SAMPLE_IOVA + MEM_SIZE;
	const struct mdev_pasid_fault *f;
	struct vdev_faults faults;
	int i;

	ASSERT_EQ(0, vdev_irq_eventfds(s->fd, VFIO_MDEV_PASID_FAULT_IRQ_INDEX, 0, 1, &event));
	for (i = 0; i < 100; i++) {
		bool write = i % 3 == 0;

		ASSERT_EQ(write ? SIOV_WRITE_FAULT : SIOV_READ_FAULT,
			  sample_copy(s, write ? SAMPLE_IOVA : hole + i * PAGE + 8,
				      write ? hole + i * PAGE + 8 : SAMPLE_IOVA, PAGE));
		ASSERT_EQ(SIOV_DONE, sample_copy(other, SAMPLE_IOVA, SAMPLE_IOVA + PAGE, PAGE));
		ASSERT_LT(0, eventfd_wait(event, 10000));
		ASSERT_EQ(0, vdev_read_faults(s->fd, &faults));
		ASSERT_EQ(i + 1, faults.header.count);
		f = vdev_fault(&faults, i);
		ASSERT_NE(NULL, f);
		EXPECT_EQ(hole + i * PAGE + 8, f->addr);
		EXPECT_EQ(vdev_pasid(s->uuid), f->pasid);
		EXPECT_EQ(write ? MDEV_PASID_FAULT_WRITE : 0, f->flags);
	}
	EXPECT_EQ(0, vdev_fault_count(other->fd));
	EXPECT_EQ(100, sysfs_read_num(MDEV_DEVICES "/%s/pasid/faults", s->uuid));
	EXPECT_EQ(0, sysfs_read_num(MDEV_DEVICES "/%s/pasid/faults", other->uuid));

	/* A PF that uses a PASID on its own is a fault of that PASID, if it is attached */
	EXPECT_EQ(-EFAULT, sample_rogue_read(vdev_pasid(other->uuid), hole));
	EXPECT_EQ(1, vdev_fault_count(other->fd));
	EXPECT_EQ(100, vdev_fault_count(s->fd));
	EXPECT_EQ(0, vdev_detach(other->fd));
	EXPECT_EQ(-EFAULT, sample_rogue_read(vdev_pasid(other->uuid), hole));
	EXPECT_EQ(1, vdev_fault_count(other->fd));
}

TEST_F(sample, read_only)
{
	struct sample *s = &self->vdev[0];
	uint64_t iova = SAMPLE_IOVA + MEM_SIZE;

	fill(self->mem[0], PAGE, 3);
	ASSERT_EQ(0, ioas_map(self->iommufd[0], self->ioas[0], self->mem[0], PAGE, iova,
			      IOMMU_IOAS_MAP_READABLE));
	EXPECT_EQ(SIOV_WRITE_FAULT, sample_copy(s, SAMPLE_IOVA + PAGE, iova, PAGE));
	EXPECT_EQ(iova, sample_read(s, SIOV_FAULT));
	EXPECT_EQ(SIOV_DONE, sample_copy(s, iova, SAMPLE_IOVA + 2 * PAGE, PAGE));
	EXPECT_EQ(0, memcmp(self->mem[0], self->mem[0] + 2 * PAGE, PAGE));
}

/* A PF that mixes up its PASIDs gets no further than the IOMMU. */
TEST_F(sample, wrong_pasid)
{
	struct sample *s = &self->vdev[0];
	char faults[4096], expected[64];
	long long pasid = vdev_pasid(s->uuid);
	long long count;

	EXPECT_EQ(0, sample_rogue_read(pasid, SAMPLE_IOVA));
	EXPECT_EQ(-EFAULT, sample_rogue_read(pasid, SAMPLE_IOVA - PAGE));
	/* The PF itself, and a PASID that nobody has */
	EXPECT_EQ(-EFAULT, sample_rogue_read(0, SAMPLE_IOVA));
	ASSERT_LT(0, sysfs_read(faults, sizeof(faults), SAMPLE_DEBUGFS "/faults"));
	count = atoll(faults);
	EXPECT_EQ(-EFAULT, sample_rogue_read(8191, SAMPLE_IOVA));
	ASSERT_LT(0, sysfs_read(faults, sizeof(faults), SAMPLE_DEBUGFS "/faults"));
	EXPECT_EQ(count + 1, atoll(faults));
	snprintf(expected, sizeof(expected), "PASID 8191 read %#llx: the PASID has no page table",
		 SAMPLE_IOVA);
	EXPECT_NE(NULL, strstr(faults, expected));

	EXPECT_EQ(0, vdev_detach(s->fd));
	EXPECT_EQ(-EFAULT, sample_rogue_read(pasid, SAMPLE_IOVA));
}

/* The registers of the hardware which decide on isolation are out of reach. */
TEST_F(sample, hidden_registers)
{
	struct sample *s = &self->vdev[0];

	EXPECT_EQ(0, sample_read(s, SAMPLE_HW_PASID));
	EXPECT_EQ(0, sample_write(s, SAMPLE_HW_PASID, vdev_pasid(self->vdev[1].uuid)));
	EXPECT_EQ(0, sample_write(s, SAMPLE_HW_CTRL, 2));
	memset(self->mem[0], 0x11, PAGE);
	memset(self->mem[1], 0x22, 2 * PAGE);
	ASSERT_EQ(SIOV_DONE, sample_copy(s, SAMPLE_IOVA, SAMPLE_IOVA + PAGE, PAGE));
	EXPECT_TRUE(all_bytes(self->mem[0], 2 * PAGE, 0x11));
	EXPECT_TRUE(all_bytes(self->mem[1], 2 * PAGE, 0x22));
}

TEST_F(sample, isolation)
{
	int i, round;

	for (i = 0; i < 2; i++)
		memset(self->mem[i], 0x11 * (i + 1), PAGE);
	for (round = 1; round < 32; round++)
		for (i = 0; i < 2; i++)
			ASSERT_EQ(SIOV_DONE,
				  sample_copy(&self->vdev[i], SAMPLE_IOVA,
					      SAMPLE_IOVA + round * PAGE, PAGE));
	for (i = 0; i < 2; i++)
		EXPECT_TRUE(all_bytes(self->mem[i], 32 * PAGE, 0x11 * (i + 1)));
}

/* The same IOVA leads elsewhere as soon as the IOAS is another. */
TEST_F(sample, replace_ioas)
{
	struct sample *s = &self->vdev[0];
	uint32_t ioas, pt;

	ASSERT_EQ(0, ioas_alloc(self->iommufd[0], &ioas));
	ASSERT_EQ(0, ioas_map(self->iommufd[0], ioas, self->mem[1], MEM_SIZE, SAMPLE_IOVA,
			      IOAS_RW));
	memset(self->mem[0], 0x11, PAGE);
	memset(self->mem[0] + PAGE, 0, PAGE);
	memset(self->mem[1], 0x22, PAGE);
	pt = ioas;
	ASSERT_EQ(0, vdev_attach(s->fd, &pt));
	ASSERT_EQ(SIOV_DONE, sample_copy(s, SAMPLE_IOVA, SAMPLE_IOVA + PAGE, PAGE));
	EXPECT_TRUE(all_bytes(self->mem[1], 2 * PAGE, 0x22));
	EXPECT_TRUE(all_bytes(self->mem[0] + PAGE, PAGE, 0));
}

TEST_F(sample, interrupt)
{
	struct sample *s = &self->vdev[0];
	int32_t none = -1;
	int i;

	for (i = 0; i < 10; i++)
		ASSERT_EQ(SIOV_DONE, sample_copy(s, SAMPLE_IOVA, SAMPLE_IOVA + PAGE, 64));
	EXPECT_EQ(0, eventfd_wait(s->event, 50));
	EXPECT_EQ(0, eventfd_wait(self->vdev[1].event, 0));

	ASSERT_EQ(0, vdev_irq_eventfds(s->fd, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &none));
	sample_ring(s);
	for (i = 0; i < 3000 && sample_read(s, SIOV_COUNT) != 11; i++)
		usleep(10000);
	EXPECT_EQ(11, sample_read(s, SIOV_COUNT));
	EXPECT_EQ(0, eventfd_wait(s->event, 50));
}

TEST_F(sample, reset)
{
	struct sample *s = &self->vdev[0];
	uint16_t command;

	ASSERT_EQ(SIOV_DONE, sample_copy(s, SAMPLE_IOVA, SAMPLE_IOVA + PAGE, PAGE));
	ASSERT_EQ(0, vdev_reset(s->fd));
	ASSERT_EQ(0, vdev_read(s->fd, &s->config, PCI_COMMAND, &command, sizeof(command)));
	EXPECT_EQ(0, command);
	EXPECT_TRUE(vdev_state_is(s->uuid, "attached"));

	ASSERT_EQ(0, sample_command(s, PCI_COMMAND_MEMORY));
	EXPECT_EQ(0, sample_read(s, SIOV_SRC));
	EXPECT_EQ(0, sample_read(s, SIOV_COUNT));
	EXPECT_EQ(SIOV_IDLE, sample_read(s, SIOV_STATUS));

	/* What is rung without Bus Master Enable is dropped, not kept for later */
	ASSERT_EQ(0, sample_describe(s, SAMPLE_IOVA, SAMPLE_IOVA + PAGE, PAGE));
	sample_ring(s);
	ASSERT_EQ(0, sample_command(s, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER));
	EXPECT_EQ(0, eventfd_wait(s->event, 200));
	EXPECT_EQ(0, sample_read(s, SIOV_COUNT));

	EXPECT_EQ(SIOV_DONE, sample_copy(s, SAMPLE_IOVA, SAMPLE_IOVA + PAGE, PAGE));
}

/* The status of a child that rings the doorbell */
static int ring_in_child(struct sample *s)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		signal(SIGBUS, SIG_DFL);
		sample_ring(s);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return status;
}

TEST_F(sample, detached)
{
	struct sample *s = &self->vdev[0];
	uint32_t pt = self->ioas[0];
	int status;

	ASSERT_EQ(SIOV_DONE, sample_copy(s, SAMPLE_IOVA, SAMPLE_IOVA + PAGE, PAGE));
	ASSERT_EQ(0, vdev_detach(s->fd));
	status = ring_in_child(s);
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	EXPECT_EQ(1, sample_read(s, SIOV_COUNT));

	/* The same mapping, after another attach */
	ASSERT_EQ(0, vdev_attach(s->fd, &pt));
	EXPECT_EQ(SIOV_DONE, sample_copy(s, SAMPLE_IOVA, SAMPLE_IOVA + PAGE, PAGE));
	EXPECT_EQ(2, sample_read(s, SIOV_COUNT));
}

/* Work that was accepted before a replace completes in the old address space. */
TEST_F(sample, drain)
{
	struct sample *s = &self->vdev[0];
	uint32_t ioas, pt;
	int i;

	ASSERT_EQ(0, ioas_alloc(self->iommufd[0], &ioas));
	for (i = 0; i < 20; i++) {
		memset(self->mem[0], i + 1, SIOV_MAX_LEN);
		ASSERT_EQ(0, sample_describe(s, SAMPLE_IOVA, SAMPLE_IOVA + (2 << 20),
					     SIOV_MAX_LEN));
		sample_ring(s);
		pt = ioas;
		ASSERT_EQ(0, vdev_attach(s->fd, &pt));
		EXPECT_EQ(i + 1, sample_read(s, SIOV_COUNT));
		EXPECT_EQ(SIOV_DONE, sample_read(s, SIOV_STATUS));
		EXPECT_TRUE(all_bytes(self->mem[0] + (2 << 20), SIOV_MAX_LEN, i + 1));
		pt = self->ioas[0];
		ASSERT_EQ(0, vdev_attach(s->fd, &pt));
	}
}

/* A detach stops the hardware first: whatever becomes of its work, that does not fault. */
TEST_F(sample, detach_under_load)
{
	struct sample *s = &self->vdev[0];
	uint32_t pt;
	int i;

	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, sample_describe(s, SAMPLE_IOVA, SAMPLE_IOVA + (2 << 20),
					     SIOV_MAX_LEN));
		sample_ring(s);
		/* It may have begun, or not */
		usleep(100 * i);
		ASSERT_EQ(0, vdev_detach(s->fd));
		EXPECT_EQ(0, vdev_fault_count(s->fd));
		EXPECT_GE(SIOV_DONE, sample_read(s, SIOV_STATUS));
		pt = self->ioas[0];
		ASSERT_EQ(0, vdev_attach(s->fd, &pt));
	}
}

/* The next user finds nothing of the last one, not even in the doorbell page. */
TEST_F(sample, next_user)
{
	struct sample *s = &self->vdev[0];
	int event = eventfd(0, EFD_CLOEXEC);

	ASSERT_EQ(SIOV_DONE, sample_copy(s, SAMPLE_IOVA, SAMPLE_IOVA + PAGE, PAGE));
	memset((uint8_t *)s->doorbell + 64, 0x77, SIOV_DOORBELL_SIZE - 64);
	sample_close(s);

	s->fd = vdev_open(s->uuid);
	ASSERT_LE(0, s->fd);
	ASSERT_EQ(0, vdev_bind(s->fd, self->iommufd[1], NULL));
	s->event = event;
	ASSERT_EQ(0, sample_start(s, self->ioas[1], event));
	EXPECT_TRUE(all_bytes((uint8_t *)s->doorbell, SIOV_DOORBELL_SIZE, 0));
	EXPECT_EQ(0, sample_read(s, SIOV_COUNT));
	EXPECT_EQ(0, sample_read(s, SIOV_SRC));
	EXPECT_EQ(SIOV_DONE, sample_copy(s, SAMPLE_IOVA, SAMPLE_IOVA + PAGE, PAGE));
}

/* Removing a vdev asks its user, and waits. */
TEST_F(sample, remove_in_use)
{
	struct sample *s = &self->vdev[0];
	int32_t req = eventfd(0, EFD_CLOEXEC);
	int status;
	pid_t pid;

	ASSERT_EQ(0, vdev_irq_eventfds(s->fd, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, &req));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		/* Its copies of the files must not keep the vdev open */
		sample_close(s);
		_exit(vdev_remove(s->uuid) ? 1 : 0);
	}
	EXPECT_LT(0, eventfd_wait(req, 30000));
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	sample_close(s);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_FALSE(path_exists(MDEV_DEVICES "/%s", s->uuid));
	EXPECT_EQ(0, vdev_create(SAMPLE_PARENT, SAMPLE_TYPE, s->uuid));
}

/* Who removes a vdev, and who takes the PF away from all of them, do so at the same time. */
TEST(remove_and_unregister)
{
	static const char driver[] = "/sys/bus/platform/drivers/siov_sample";
	char uuid[REMOVERS][VDEV_UUID_LEN + 1];
	pid_t pid[REMOVERS];
	int round, i, status;

	if (!sample_load())
		SKIP(return, "no siov_sample module");
	for (round = 0; round < 20; round++) {
		for (i = 0; i < REMOVERS; i++) {
			ASSERT_EQ(0, vdev_new_uuid(uuid[i]));
			ASSERT_EQ(0, vdev_create(SAMPLE_PARENT, SAMPLE_TYPE, uuid[i]));
		}
		for (i = 0; i < REMOVERS; i++) {
			pid[i] = fork();
			ASSERT_LE(0, pid[i]);
			/* Either of them removes it; none is there when both have */
			if (!pid[i]) {
				vdev_remove(uuid[i / 2 * 2]);
				_exit(0);
			}
		}
		usleep(round * 500);
		ASSERT_EQ(0, sysfs_write(SAMPLE_PARENT, "%s/unbind", driver));
		for (i = 0; i < REMOVERS; i++) {
			ASSERT_EQ(pid[i], waitpid(pid[i], &status, 0));
			EXPECT_EQ(0, status);
			EXPECT_FALSE(path_exists(MDEV_DEVICES "/%s", uuid[i]));
		}
		ASSERT_EQ(0, sysfs_write(SAMPLE_PARENT, "%s/bind", driver));
	}
}

/* --- the modules go, while there are users ---------------------------------- */

struct users {
	unsigned int bound;	/* lives with a bind */
	unsigned int lost;	/* vdevs that went with the module */
};

static void use_until_killed(struct users *users)
{
	for (;;) {
		int iommufd = iommufd_open();
		struct sample s;
		bool created, bound;

		bound = !sample_bind(&s, iommufd);
		created = s.fd >= 0;
		usleep(rand() % 20000);
		sample_close(&s);
		close(iommufd);
		/* Now the vdev is there, and nobody has it */
		usleep(rand() % 20000);
		if (bound)
			__atomic_fetch_add(&users->bound, 1, __ATOMIC_SEQ_CST);
		if (vdev_remove(s.uuid) && created)
			__atomic_fetch_add(&users->lost, 1, __ATOMIC_SEQ_CST);
	}
}

/* The modules are refused while a vdev is bound; else all vdevs go with them. */
TEST(unload)
{
	static const char * const modules[] = { "siov_sample", "siov_pf", "siov_iommu" };
	unsigned int m, unloaded[3] = { }, refused = 0;
	time_t deadline = time(NULL) + 100;
	struct users *users;
	long long available;
	char command[64];
	int n, ret;
	pid_t pid;

	if (!sample_load())
		SKIP(return, "no siov_sample module");
	vdev_sweep();
	available = vdev_available(SAMPLE_PARENT, SAMPLE_TYPE);
	users = mmap(NULL, sizeof(*users), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)users);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		use_until_killed(users);

	for (n = 0; n < 8 || !unloaded[0] || !refused ||
	     !__atomic_load_n(&users->lost, __ATOMIC_SEQ_CST); n++) {
		if (time(NULL) > deadline)
			break;
		for (m = 0; m < ARRAY_SIZE(modules); m++) {
			snprintf(command, sizeof(command), "rmmod %s 2>/dev/null", modules[m]);
			ret = system(command);
			unloaded[m] += !ret;
			refused += !m && ret;
		}
		EXPECT_EQ(0, system("modprobe siov_sample"));
		usleep(rand() % 50000);
	}
	EXPECT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(pid, waitpid(pid, NULL, 0));
	vdev_sweep();

	EXPECT_LT(0, users->bound);
	EXPECT_LT(0, users->lost);
	EXPECT_LT(0, refused);
	EXPECT_LT(0, unloaded[0]);
	EXPECT_EQ(available, vdev_available(SAMPLE_PARENT, SAMPLE_TYPE));
	TH_LOG("%s unloaded %u times, %s %u, %s %u; refused %u times; %u binds, %u vdevs lost",
	       modules[0], unloaded[0], modules[1], unloaded[1], modules[2], unloaded[2], refused,
	       users->bound, users->lost);
}

TEST_HARNESS_MAIN
