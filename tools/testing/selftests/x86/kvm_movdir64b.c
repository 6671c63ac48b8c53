// SPDX-License-Identifier: GPL-2.0-only
/*
 * MOVDIR64B of a guest to memory that its VMM emulates, which KVM has to emulate:
 * what reaches the VMM, and every fault that the guest can get from it.
 *
 * The guest is a few bytes of code on a virtual CPU. It ends in HLT: at the end of
 * the code, or in the handler of the exception that it raised.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"

#define CPU_MOVDIR64B	(1u << 28)	/* CPUID.7.0:ECX */
#define UD		6
#define GP		13
#define PF		14

/* The guest's memory, identity mapped. MMIO is mapped too, but no memory. */
#define GDT		0x1000
#define IDT		0x2000
#define HANDLERS	0x3000
#define CODE		0x4000
#define STACK		0x6000
#define PML4		0x6000
#define PDPT		0x7000
#define PD		0x8000
#define DATA		0xa000
#define MEM_SIZE	0x20000
#define MMIO		0x100000ull
#define UNMAPPED	0x800000ull	/* by the guest's page table */

#define HANDLER_SIZE	16
#define STORE_SIZE	64

/* movdir64b (%rsi), %rdi; %esi and %edi where the code is of 32 bits */
#define STORE		"\x66\x0f\x38\xf8\x3e"
#define STORE_FS	"\x64" STORE
#define STORE_LOCK	"\xf0" STORE
#define STORE_REG	"\x66\x0f\x38\xf8\xfe"
#define STORE_NO_66	"\x0f\x38\xf8\x3e"
#define STORE_ADDR32	"\x67" STORE
#define NEXT		"\x8d\x7f\x40"	/* lea 64(%rdi), %edi */
/* movdir64b (%r9), %r8 */
#define STORE_R8_R9	"\x66\x45\x0f\x38\xf8\x01"
/* Tells KVM to emulate what follows, even if the CPU could execute it */
#define EMULATE		"\x0f\x0bkvm"

#define FORCE_EMULATION	"/sys/module/kvm/parameters/force_emulation_prefix"

struct vm {
	int kvm, vm, cpu;
	struct kvm_run *run;
	size_t run_size;
	uint8_t *mem;
	bool long_mode;
	char forced;

	/* What the VMM saw: the bytes written, in how many pieces */
	uint8_t seen[4 * STORE_SIZE];
	int writes, reads;
	bool in_order;
};

/* Swaps *@value with what KVM was told */
static bool force_emulation(char *value)
{
	int fd = open(FORCE_EMULATION, O_RDWR);
	char old;
	bool ok = fd >= 0 && read(fd, &old, 1) == 1 && pwrite(fd, value, 1, 0) == 1;

	*value = old;
	close(fd);
	return ok;
}

static void put64(struct vm *vm, uint64_t at, uint64_t val)
{
	memcpy(vm->mem + at, &val, sizeof(val));
}

static uint64_t get64(struct vm *vm, uint64_t at)
{
	uint64_t val;

	memcpy(&val, vm->mem + at, sizeof(val));
	return val;
}

static void make_idt(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < 32; i++) {
		uint64_t gate = HANDLERS + i * HANDLER_SIZE;

		vm->mem[gate] = 0xf4;	/* hlt */
		/* Interrupt gate, selector 8 */
		gate |= 8 << 16 | 0x8e00ull << 32;
		put64(vm, IDT + i * (vm->long_mode ? 16 : 8), gate);
	}
}

static int set_cpuid(struct vm *vm, bool movdir64b)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));
	int ret = -1;
	unsigned int i;

	cpuid->nent = 256;
	if (ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, cpuid))
		goto out;
	for (i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function != 7 || entry->index)
			continue;
		if (!(entry->ecx & CPU_MOVDIR64B))
			goto out;
		if (!movdir64b)
			entry->ecx &= ~CPU_MOVDIR64B;
		ret = 0;
	}
	if (!ret)
		ret = ioctl(vm->cpu, KVM_SET_CPUID2, cpuid);
out:
	free(cpuid);
	return ret;
}

static int set_mode(struct vm *vm)
{
	struct kvm_segment code = {
		.limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .g = 1,
		.db = !vm->long_mode, .l = vm->long_mode,
	};
	struct kvm_segment data = {
		.limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .g = 1, .db = 1,
	};
	struct kvm_sregs sregs;
	unsigned int i;

	if (ioctl(vm->cpu, KVM_GET_SREGS, &sregs))
		return -1;
	sregs.cs = code;
	sregs.ds = data;
	sregs.es = data;
	sregs.fs = data;
	sregs.gs = data;
	sregs.ss = data;
	sregs.gdt.base = GDT;
	sregs.gdt.limit = 3 * 8 - 1;
	sregs.idt.base = IDT;
	sregs.idt.limit = 32 * 16 - 1;
	put64(vm, GDT + 8, vm->long_mode ? 0x00af9b000000ffff : 0x00cf9b000000ffff);
	put64(vm, GDT + 16, 0x00cf93000000ffff);
	sregs.cr0 |= 1;
	if (vm->long_mode) {
		/* 8 MiB of pages of 2 MiB, present and writable */
		put64(vm, PML4, PDPT | 3);
		put64(vm, PDPT, PD | 3);
		for (i = 0; i < UNMAPPED >> 21; i++)
			put64(vm, PD + i * 8, (uint64_t)i << 21 | 0x83);
		sregs.cr3 = PML4;
		sregs.cr4 |= 1 << 5;
		sregs.efer |= 1 << 8 | 1 << 10;
		sregs.cr0 |= 1u << 31;
	}
	return ioctl(vm->cpu, KVM_SET_SREGS, &sregs);
}

static int vm_make(struct vm *vm, bool long_mode)
{
	struct kvm_userspace_memory_region region = { .memory_size = MEM_SIZE };
	int i;

	vm->long_mode = long_mode;
	vm->vm = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	vm->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (vm->vm < 0 || vm->mem == MAP_FAILED)
		return -1;
	region.userspace_addr = (uintptr_t)vm->mem;
	if (ioctl(vm->vm, KVM_SET_USER_MEMORY_REGION, &region))
		return -1;
	vm->cpu = ioctl(vm->vm, KVM_CREATE_VCPU, 0);
	vm->run_size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	vm->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->cpu, 0);
	if (vm->cpu < 0 || vm->run == MAP_FAILED)
		return -1;

	for (i = DATA; i < MEM_SIZE; i++)
		vm->mem[i] = i * 7 + i / 256;
	make_idt(vm);
	return set_cpuid(vm, true) ?: set_mode(vm);
}

static void vm_end(struct vm *vm)
{
	munmap(vm->run, vm->run_size);
	munmap(vm->mem, MEM_SIZE);
	close(vm->cpu);
	close(vm->vm);
}

/* The byte that the VMM has at a place in its MMIO */
static uint8_t mmio_byte(uint64_t at)
{
	return ~(at * 5);
}

static void take_mmio(struct vm *vm)
{
	uint64_t at = vm->run->mmio.phys_addr - MMIO;
	unsigned int len = vm->run->mmio.len, i;

	if (!vm->run->mmio.is_write) {
		for (i = 0; i < len; i++)
			vm->run->mmio.data[i] = mmio_byte(at + i);
		vm->reads++;
		return;
	}
	if (len != 8 || at != 8ull * vm->writes || at + len > sizeof(vm->seen))
		vm->in_order = false;
	else
		memcpy(vm->seen + at, vm->run->mmio.data, len);
	vm->writes++;
}

/*
 * Runs @len bytes of code from @dst and @src in their registers. Returns 0, the vector of
 * the exception that they raised, or -1 if KVM gave up.
 */
static int vm_run(struct vm *vm, const char *code, size_t len, uint64_t dst, uint64_t src)
{
	struct kvm_regs regs = {
		.rip = CODE, .rsp = STACK, .rflags = 0x8d7,
		.rdi = dst, .r8 = dst, .rsi = src, .r9 = src,
	};

	memcpy(vm->mem + CODE, code, len);
	vm->mem[CODE + len] = 0xf4;	/* hlt */
	vm->writes = 0;
	vm->reads = 0;
	vm->in_order = true;
	memset(vm->seen, 0, sizeof(vm->seen));
	if (ioctl(vm->cpu, KVM_SET_REGS, &regs))
		return -1;
	while (true) {
		if (ioctl(vm->cpu, KVM_RUN, 0))
			return -1;
		if (vm->run->exit_reason == KVM_EXIT_HLT)
			break;
		if (vm->run->exit_reason != KVM_EXIT_MMIO)
			return -1;
		take_mmio(vm);
	}

	if (ioctl(vm->cpu, KVM_GET_REGS, &regs))
		return -1;
	if (regs.rip == CODE + len + 1)
		/* No flag has changed */
		return regs.rflags == 0x8d7 ? 0 : -1;
	return regs.rip < HANDLERS ? -1 : (int)((regs.rip - HANDLERS) / HANDLER_SIZE);
}

#define RUN(vm, code, dst, src)		vm_run(vm, code, sizeof(code) - 1, dst, src)

/* The word that an exception has left on the stack, RIP being the first */
static uint64_t stacked(struct vm *vm, int word)
{
	if (vm->long_mode)
		return get64(vm, STACK - 40 - word * 8);
	return (uint32_t)get64(vm, STACK - 12 - word * 4);
}

static uint64_t cr2(struct vm *vm)
{
	struct kvm_sregs sregs;

	return ioctl(vm->cpu, KVM_GET_SREGS, &sregs) ? 0 : sregs.cr2;
}

FIXTURE(kvm) {
	struct vm vm;
};

FIXTURE_VARIANT(kvm) {
	bool long_mode;
};

FIXTURE_VARIANT_ADD(kvm, bits64) { .long_mode = true };
FIXTURE_VARIANT_ADD(kvm, bits32) { };

/* A machine that lacks something need not run this, see direct_store.c */
#define REQUIRE(condition, why) do {						\
	if (!(condition) && !getenv("VDEV_SELFTEST_REQUIRED"))			\
		SKIP(return, why);						\
	ASSERT_TRUE(condition);							\
} while (0)

FIXTURE_SETUP(kvm)
{
	struct vm *vm = &self->vm;
	bool ready;

	vm->forced = '1';
	vm->kvm = open("/dev/kvm", O_RDWR);
	ready = vm->kvm >= 0 && force_emulation(&vm->forced);
	REQUIRE(ready, "no KVM that can be told to emulate");
	ready = !vm_make(vm, variant->long_mode);
	REQUIRE(ready, "KVM has no MOVDIR64B for guests");
}

FIXTURE_TEARDOWN(kvm)
{
	vm_end(&self->vm);
	force_emulation(&self->vm.forced);
	close(self->vm.kvm);
}

/* The VMM saw one store, of the bytes at @want, and nothing else */
#define EXPECT_SEEN(vm, want) do {						\
	EXPECT_TRUE((vm)->in_order);						\
	EXPECT_EQ(8, (vm)->writes);						\
	EXPECT_EQ(0, memcmp((vm)->seen, want, STORE_SIZE));			\
} while (0)

#define EXPECT_STORE(vm, code, dst, src, want) do {				\
	EXPECT_EQ(0, RUN(vm, code, dst, src));					\
	EXPECT_SEEN(vm, want);							\
	EXPECT_EQ(0, (vm)->reads);						\
} while (0)

/* The exception is that of the instruction, and the VMM saw nothing of it */
#define EXPECT_RAISED(vector, vm, code, at, dst, src) do {			\
	EXPECT_EQ(vector, RUN(vm, code, dst, src));				\
	EXPECT_EQ(CODE + (at) + 0ull, stacked(vm, 0));					\
	EXPECT_EQ(0, (vm)->writes + (vm)->reads);				\
} while (0)

/* Both if the CPU executes the instruction, which may see the reason itself, and if KVM does */
#define EXPECT_FAULT(vector, vm, code, dst, src) do {				\
	EXPECT_RAISED(vector, vm, code, 0, dst, src);				\
	EXPECT_RAISED(vector, vm, EMULATE code, sizeof(EMULATE) - 1, dst, src);	\
} while (0)

/* 64 bytes reach the VMM in eight pieces, in ascending order */
TEST_F(kvm, store)
{
	struct vm *vm = &self->vm;
	uint64_t src;

	/* The source may lie anywhere, also across a page */
	for (src = DATA + 0xfc0 - 1; src <= DATA + 0x1001; src++)
		EXPECT_STORE(vm, STORE, MMIO, src, vm->mem + src);
	EXPECT_STORE(vm, EMULATE STORE, MMIO, DATA, vm->mem + DATA);

	/* Two in a row are two */
	EXPECT_EQ(0, RUN(vm, STORE NEXT STORE, MMIO, DATA));
	EXPECT_TRUE(vm->in_order);
	EXPECT_EQ(16, vm->writes);
	EXPECT_EQ(0, memcmp(vm->seen, vm->mem + DATA, STORE_SIZE));
	EXPECT_EQ(0, memcmp(vm->seen + STORE_SIZE, vm->mem + DATA, STORE_SIZE));
}

TEST_F(kvm, store_from_mmio)
{
	struct vm *vm = &self->vm;
	uint8_t want[STORE_SIZE];
	unsigned int i;

	for (i = 0; i < STORE_SIZE; i++)
		want[i] = mmio_byte(0x1000 + i);
	EXPECT_EQ(0, RUN(vm, STORE, MMIO, MMIO + 0x1000));
	EXPECT_SEEN(vm, want);
	EXPECT_EQ(8, vm->reads);
}

TEST_F(kvm, store_to_memory)
{
	struct vm *vm = &self->vm;
	uint8_t before[3 * STORE_SIZE];

	memcpy(before, vm->mem + DATA, sizeof(before));
	memcpy(before + STORE_SIZE, vm->mem + DATA + 0x1003, STORE_SIZE);
	EXPECT_EQ(0, RUN(vm, EMULATE STORE, DATA + STORE_SIZE, DATA + 0x1003));
	EXPECT_EQ(0, memcmp(vm->mem + DATA, before, sizeof(before)));
	EXPECT_EQ(0, vm->writes);
}

TEST_F(kvm, operands)
{
	struct vm *vm = &self->vm;
	const uint64_t high = 1ull << 32;

	if (!variant->long_mode)
		SKIP(return, "there is none in 32 bits");

	EXPECT_STORE(vm, STORE_R8_R9, MMIO, DATA + 1, vm->mem + DATA + 1);
	EXPECT_STORE(vm, STORE_ADDR32, high | MMIO, high | (DATA + 1), vm->mem + DATA + 1);
}

/* The destination is in ES whatever the prefix, which the source obeys */
TEST_F(kvm, segments)
{
	struct vm *vm = &self->vm;
	struct kvm_sregs sregs;
	uint64_t dst = MMIO;

	ASSERT_EQ(0, ioctl(vm->cpu, KVM_GET_SREGS, &sregs));
	sregs.fs.base = 0x100;
	sregs.es.base = STORE_SIZE;
	ASSERT_EQ(0, ioctl(vm->cpu, KVM_SET_SREGS, &sregs));
	/* There is no base of ES in 64 bits */
	if (!variant->long_mode)
		dst -= STORE_SIZE;
	EXPECT_STORE(vm, STORE, dst, DATA, vm->mem + DATA);
	EXPECT_STORE(vm, STORE_FS, dst, DATA, vm->mem + DATA + 0x100);
	EXPECT_STORE(vm, EMULATE STORE_FS, dst, DATA, vm->mem + DATA + 0x100);

	if (variant->long_mode)
		return;

	/* What has to be aligned is the address, not the offset */
	sregs.es.base = 8;
	ASSERT_EQ(0, ioctl(vm->cpu, KVM_SET_SREGS, &sregs));
	EXPECT_STORE(vm, STORE, MMIO - 8, DATA, vm->mem + DATA);
	EXPECT_FAULT(GP, vm, STORE, MMIO, DATA);

	/* All of it has to be within the limit, which not all CPUs check themselves */
	sregs.es.base = 0;
	sregs.es.limit = DATA + STORE_SIZE - 2;
	sregs.es.g = 0;
	ASSERT_EQ(0, ioctl(vm->cpu, KVM_SET_SREGS, &sregs));
	EXPECT_RAISED(GP, vm, EMULATE STORE, sizeof(EMULATE) - 1, DATA, DATA + STORE_SIZE);
	sregs.es.limit++;
	ASSERT_EQ(0, ioctl(vm->cpu, KVM_SET_SREGS, &sregs));
	EXPECT_EQ(0, RUN(vm, EMULATE STORE, DATA, DATA + STORE_SIZE));
}

TEST_F(kvm, misaligned)
{
	struct vm *vm = &self->vm;
	unsigned int off;

	for (off = 1; off < STORE_SIZE; off++) {
		EXPECT_FAULT(GP, vm, STORE, MMIO + off, DATA);
		/* The error code */
		EXPECT_EQ(0ull, stacked(vm, 1));
	}
	EXPECT_STORE(vm, STORE, MMIO, DATA, vm->mem + DATA);
}

TEST_F(kvm, undefined)
{
	struct vm *vm = &self->vm;

	EXPECT_FAULT(UD, vm, STORE_LOCK, MMIO, DATA);
	EXPECT_FAULT(UD, vm, STORE_REG, MMIO, DATA);
	EXPECT_FAULT(UD, vm, STORE_NO_66, MMIO, DATA);
	EXPECT_STORE(vm, STORE, MMIO, DATA, vm->mem + DATA);
}

TEST_F(kvm, no_cpuid)
{
	struct vm *vm = &self->vm;

	ASSERT_EQ(0, set_cpuid(vm, false));
	EXPECT_FAULT(UD, vm, STORE, MMIO, DATA);
	/* Undefined comes before misaligned */
	EXPECT_RAISED(UD, vm, EMULATE STORE, sizeof(EMULATE) - 1, MMIO + 1, DATA);
}

TEST_F(kvm, page_fault)
{
	struct vm *vm = &self->vm;

	if (!variant->long_mode)
		SKIP(return, "there is none in 32 bits");

	EXPECT_FAULT(PF, vm, STORE, UNMAPPED + STORE_SIZE, DATA);
	EXPECT_EQ(UNMAPPED + STORE_SIZE, cr2(vm));
	EXPECT_EQ(2ull, stacked(vm, 1));

	EXPECT_FAULT(PF, vm, STORE, MMIO, UNMAPPED + 8);
	EXPECT_EQ(UNMAPPED + 8, cr2(vm));
	EXPECT_EQ(0ull, stacked(vm, 1));
}

TEST_HARNESS_MAIN
