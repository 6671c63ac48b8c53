// SPDX-License-Identifier: GPL-2.0-only
/*
 * The instructions that submit work to an accelerator: MOVDIRI, MOVDIR64B,
 * ENQCMD and ENQCMDS, and every fault that user space can get from them. They
 * are mostly used on MMIO; what a CPU (or an emulated one) makes of operands,
 * prefixes and privilege shows in ordinary memory just as well.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kselftest_harness.h"

/* CPUID.7.0:ECX */
#define CPU_MOVDIRI	(1u << 27)
#define CPU_MOVDIR64B	(1u << 28)
#define CPU_ENQCMD	(1u << 29)

#define EFLAGS_CF	0x0001ull
#define EFLAGS_PF	0x0004ull
#define EFLAGS_AF	0x0010ull
#define EFLAGS_ZF	0x0040ull
#define EFLAGS_SF	0x0080ull
#define EFLAGS_OF	0x0800ull
#define EFLAGS_ARITH	(EFLAGS_CF | EFLAGS_PF | EFLAGS_AF | EFLAGS_ZF | EFLAGS_SF | EFLAGS_OF)

#define MSR_IA32_PASID		0xd93
#define MSR_IA32_PASID_VALID	(1ull << 31)

#define CMD_SIZE	64
#define PAGE_SIZE	4096
#define CANARY		0xa5

/*
 * A machine without the instructions cannot run these tests.
 * VDEV_SELFTEST_REQUIRED in the environment says that it is meant to have them,
 * and makes that a failure.
 */
#define REQUIRE(condition, why) do {						\
	if (!(condition) && !getenv("VDEV_SELFTEST_REQUIRED"))			\
		SKIP(return, why);						\
	ASSERT_TRUE(condition);							\
} while (0)

#define REQUIRE_CPU(bits) \
	REQUIRE((cpu_bits() & (bits)) == (bits), "the CPU lacks the instructions")

static uint32_t cpu_bits(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) ? c : 0;
}

/*
 * The instructions as bytes, so that no assembler needs to know them. Each runs
 * with all arithmetic flags set, with its operands in %rdi and %rsi as well as in
 * %r8 and %r9, and returns the arithmetic flags that it leaves.
 */
typedef uint64_t insn_fn(void *dst, const void *src);

#define INSN(name, bytes)							\
static uint64_t name(void *dst, const void *src)				\
{										\
	uint64_t flags = EFLAGS_ARITH | 0x202;					\
										\
	asm volatile("sub $128, %%rsp; push %0; popf\n\t"			\
		     "mov %1, %%r8; mov %2, %%r9; .byte " bytes "\n\t"		\
		     "pushf; pop %0; add $128, %%rsp"				\
		     : "+r"(flags), "+D"(dst), "+S"(src)			\
		     : : "r8", "r9", "memory", "cc");				\
	return flags & EFLAGS_ARITH;						\
}

/* For MOVDIRI the value to store is in %rsi. */
INSN(movdiri32,		"0x0f, 0x38, 0xf9, 0x37")
INSN(movdiri64,		"0x48, 0x0f, 0x38, 0xf9, 0x37")
INSN(movdiri_reg,	"0x0f, 0x38, 0xf9, 0xf7")
INSN(movdiri_lock,	"0xf0, 0x0f, 0x38, 0xf9, 0x37")
INSN(movdiri_66,	"0x66, 0x0f, 0x38, 0xf9, 0x37")
INSN(movdiri_rep,	"0xf3, 0x0f, 0x38, 0xf9, 0x37")
INSN(movdir64b,		"0x66, 0x0f, 0x38, 0xf8, 0x3e")
INSN(movdir64b_r8_r9,	"0x66, 0x45, 0x0f, 0x38, 0xf8, 0x01")
INSN(movdir64b_addr32,	"0x67, 0x66, 0x0f, 0x38, 0xf8, 0x3e")
INSN(movdir64b_gs,	"0x65, 0x66, 0x0f, 0x38, 0xf8, 0x3e")
INSN(movdir64b_reg,	"0x66, 0x0f, 0x38, 0xf8, 0xfe")
INSN(movdir64b_lock,	"0xf0, 0x66, 0x0f, 0x38, 0xf8, 0x3e")
INSN(enqcmd,		"0xf2, 0x0f, 0x38, 0xf8, 0x3e")
INSN(enqcmd_66,		"0x66, 0xf2, 0x0f, 0x38, 0xf8, 0x3e")
INSN(enqcmd_reg,	"0xf2, 0x0f, 0x38, 0xf8, 0xfe")
INSN(enqcmd_lock,	"0xf0, 0xf2, 0x0f, 0x38, 0xf8, 0x3e")
INSN(enqcmds,		"0xf3, 0x0f, 0x38, 0xf8, 0x3e")
INSN(enqcmds_66,	"0x66, 0xf3, 0x0f, 0x38, 0xf8, 0x3e")
INSN(enqcmds_reg,	"0xf3, 0x0f, 0x38, 0xf8, 0xfe")

static sigjmp_buf fault_env;
static siginfo_t fault;

static void on_fault(int sig, siginfo_t *info, void *ctx)
{
	fault = *info;
	siglongjmp(fault_env, 1);
}

static void catch_faults(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
}

/* Run an instruction and leave in @fault what signal it got, if any. */
static uint64_t run(insn_fn *insn, const void *dst, const void *src)
{
	memset(&fault, 0, sizeof(fault));
	return sigsetjmp(fault_env, 1) ? ~0ull : insn((void *)dst, src);
}

#define EXPECT_FLAGS(want, insn, dst, src) do {					\
	EXPECT_EQ(want, run(insn, dst, src));					\
	EXPECT_EQ(0, fault.si_signo);						\
} while (0)

/* A direct store leaves all flags as they are. */
#define EXPECT_STORE(insn, dst, src)	EXPECT_FLAGS(EFLAGS_ARITH, insn, dst, src)

#define EXPECT_UD(insn, dst, src) do {						\
	run(insn, dst, src);							\
	EXPECT_EQ(SIGILL, fault.si_signo);					\
} while (0)

/* #GP names no address; a page fault does. */
#define EXPECT_GP(insn, dst, src) do {						\
	run(insn, dst, src);							\
	EXPECT_EQ(SIGSEGV, fault.si_signo);					\
	EXPECT_EQ(SI_KERNEL, fault.si_code);					\
} while (0)

#define EXPECT_PF(address, insn, dst, src) do {					\
	run(insn, dst, src);							\
	EXPECT_EQ(SIGSEGV, fault.si_signo);					\
	EXPECT_EQ(SEGV_ACCERR, fault.si_code);					\
	EXPECT_EQ((uintptr_t)(address), (uintptr_t)fault.si_addr);		\
} while (0)

/* Two pages for the destination and two for the source, each pair with an end. */
struct test_mem {
	uint8_t *dst;
	uint8_t *src;
};

static int mem_setup(struct test_mem *mem)
{
	void *p = mmap(NULL, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	int i;

	if (p == MAP_FAILED)
		return -errno;
	catch_faults();
	mem->dst = p;
	mem->src = mem->dst + 2 * PAGE_SIZE;
	memset(mem->dst, CANARY, 2 * PAGE_SIZE);
	for (i = 0; i < 2 * PAGE_SIZE; i++)
		mem->src[i] = i * 7 + i / 256;
	return 0;
}

/* Nothing but @len bytes at @dst + @off was written, and these are @want. */
static bool only_written(struct test_mem *mem, size_t off, const void *want,
			 size_t len)
{
	size_t i;

	for (i = 0; i < 2 * PAGE_SIZE; i++)
		if ((i < off || i >= off + len) && mem->dst[i] != CANARY)
			return false;
	return !memcmp(mem->dst + off, want, len);
}

static bool unwritten(struct test_mem *mem)
{
	return only_written(mem, 0, NULL, 0);
}

static void mem_teardown(struct test_mem *mem)
{
	munmap(mem->dst, 4 * PAGE_SIZE);
}

FIXTURE(direct_store) {
	struct test_mem mem;
	uint8_t *dst;
	uint8_t *src;
};

FIXTURE_SETUP(direct_store)
{
	ASSERT_EQ(0, mem_setup(&self->mem));
	self->dst = self->mem.dst;
	self->src = self->mem.src;
}

FIXTURE_TEARDOWN(direct_store)
{
	mem_teardown(&self->mem);
}

TEST_F(direct_store, movdiri)
{
	const uint64_t val = 0x1122334455667788ull;
	size_t off;

	REQUIRE_CPU(CPU_MOVDIRI);

	/* Any alignment, and across a page. */
	for (off = PAGE_SIZE - 8; off <= PAGE_SIZE; off++) {
		EXPECT_STORE(movdiri32, self->dst + off, (void *)val);
		EXPECT_TRUE(only_written(&self->mem, off, &val, 4));
		memset(self->dst, CANARY, 2 * PAGE_SIZE);

		EXPECT_STORE(movdiri64, self->dst + off, (void *)val);
		EXPECT_TRUE(only_written(&self->mem, off, &val, 8));
		memset(self->dst, CANARY, 2 * PAGE_SIZE);
	}
}

TEST_F(direct_store, movdiri_faults)
{
	REQUIRE_CPU(CPU_MOVDIRI);

	EXPECT_UD(movdiri_reg, self->dst, NULL);
	EXPECT_UD(movdiri_lock, self->dst, NULL);
	EXPECT_UD(movdiri_66, self->dst, NULL);
	EXPECT_UD(movdiri_rep, self->dst, NULL);
	EXPECT_TRUE(unwritten(&self->mem));

	ASSERT_EQ(0, mprotect(self->dst, PAGE_SIZE, PROT_READ));
	EXPECT_PF(self->dst + 8, movdiri64, self->dst + 8, NULL);
	EXPECT_TRUE(unwritten(&self->mem));
}

TEST_F(direct_store, movdir64b)
{
	size_t off, from;

	REQUIRE_CPU(CPU_MOVDIR64B);

	/* The destination is aligned; the source is not, and may cross a page. */
	for (off = 0; off < 2 * PAGE_SIZE; off += PAGE_SIZE - CMD_SIZE) {
		for (from = PAGE_SIZE - CMD_SIZE - 1; from <= PAGE_SIZE + 1; from++) {
			EXPECT_STORE(movdir64b, self->dst + off, self->src + from);
			EXPECT_TRUE(only_written(&self->mem, off, self->src + from, CMD_SIZE));
			memset(self->dst, CANARY, 2 * PAGE_SIZE);
		}
	}

	/* A page that is not there yet is faulted in. */
	ASSERT_EQ(0, madvise(self->dst, PAGE_SIZE, MADV_DONTNEED));
	EXPECT_STORE(movdir64b, self->dst, self->src);
	EXPECT_EQ(0, memcmp(self->dst, self->src, CMD_SIZE));
}

TEST_F(direct_store, movdir64b_operands)
{
	unsigned long old_gs;

	REQUIRE_CPU(CPU_MOVDIR64B);

	/* REX extends both registers. */
	EXPECT_STORE(movdir64b_r8_r9, self->dst, self->src);
	EXPECT_TRUE(only_written(&self->mem, 0, self->src, CMD_SIZE));
	memset(self->dst, CANARY, CMD_SIZE);

	/* 67 cuts both addresses to 32 bits. */
	EXPECT_STORE(movdir64b_addr32, (void *)((uintptr_t)self->dst | 0xdead00000000ull),
		     (void *)((uintptr_t)self->src | 0xbeef00000000ull));
	EXPECT_TRUE(only_written(&self->mem, 0, self->src, CMD_SIZE));
	memset(self->dst, CANARY, CMD_SIZE);

	/* A segment override is for the source only. */
	ASSERT_EQ(0, syscall(SYS_arch_prctl, ARCH_GET_GS, &old_gs));
	ASSERT_EQ(0, syscall(SYS_arch_prctl, ARCH_SET_GS, self->src));
	EXPECT_STORE(movdir64b_gs, self->dst, (void *)100);
	ASSERT_EQ(0, syscall(SYS_arch_prctl, ARCH_SET_GS, old_gs));
	EXPECT_TRUE(only_written(&self->mem, 0, self->src + 100, CMD_SIZE));
}

TEST_F(direct_store, movdir64b_faults)
{
	int i;

	REQUIRE_CPU(CPU_MOVDIR64B);

	for (i = 1; i < CMD_SIZE; i++)
		EXPECT_GP(movdir64b, self->dst + i, self->src);
	EXPECT_UD(movdir64b_reg, self->dst, self->src);
	EXPECT_UD(movdir64b_lock, self->dst, self->src);

	/* A source whose second page is not readable moves nothing. */
	ASSERT_EQ(0, mprotect(self->src + PAGE_SIZE, PAGE_SIZE, PROT_NONE));
	EXPECT_PF(self->src + PAGE_SIZE, movdir64b, self->dst, self->src + PAGE_SIZE - 1);
	EXPECT_TRUE(unwritten(&self->mem));

	ASSERT_EQ(0, mprotect(self->dst, PAGE_SIZE, PROT_READ));
	EXPECT_PF(self->dst + CMD_SIZE, movdir64b, self->dst + CMD_SIZE, self->src);
	EXPECT_TRUE(unwritten(&self->mem));
}

/* Without a PASID a task can submit nothing, and ENQCMDS is the kernel's. */
TEST_F(direct_store, enqueue_without_pasid)
{
	REQUIRE_CPU(CPU_ENQCMD);

	memset(self->src, 0, CMD_SIZE);
	EXPECT_GP(enqcmd, self->dst, self->src);
	EXPECT_GP(enqcmd_66, self->dst, self->src);
	EXPECT_GP(enqcmds, self->dst, self->src);
	EXPECT_GP(enqcmds_66, self->dst, self->src);
	EXPECT_UD(enqcmd_reg, self->dst, self->src);
	EXPECT_UD(enqcmd_lock, self->dst, self->src);
	EXPECT_UD(enqcmds_reg, self->dst, self->src);
	EXPECT_TRUE(unwritten(&self->mem));
}

/*
 * With a PASID: it is put into the MSR by hand, since only a bound address space
 * would get one. Writing an MSR from user space needs root and
 * msr.allow_writes=on.
 */
FIXTURE(pasid) {
	struct test_mem mem;
	int msr;
};

static int pasid_set(int msr, uint64_t val)
{
	return pwrite(msr, &val, sizeof(val), MSR_IA32_PASID) == sizeof(val) ? 0 : -errno;
}

static uint64_t pasid_get(int msr)
{
	uint64_t val;

	return pread(msr, &val, sizeof(val), MSR_IA32_PASID) == sizeof(val) ? val : ~0ull;
}

FIXTURE_SETUP(pasid)
{
	cpu_set_t cpu;
	char on[8] = "";
	int fd;

	self->msr = -1;
	ASSERT_EQ(0, mem_setup(&self->mem));
	REQUIRE_CPU(CPU_ENQCMD);

	fd = open("/sys/module/msr/parameters/allow_writes", O_RDONLY);
	if (fd >= 0) {
		ASSERT_LE(0, read(fd, on, sizeof(on) - 1));
		close(fd);
	}
	REQUIRE(!strcmp(on, "on\n"), "the kernel is not booted with msr.allow_writes=on");

	CPU_ZERO(&cpu);
	CPU_SET(0, &cpu);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpu), &cpu));
	self->msr = open("/dev/cpu/0/msr", O_RDWR);
	REQUIRE(self->msr >= 0, "cannot open /dev/cpu/0/msr");
}

FIXTURE_TEARDOWN(pasid)
{
	if (self->msr >= 0) {
		EXPECT_EQ(0, pasid_set(self->msr, 0));
		close(self->msr);
	}
	mem_teardown(&self->mem);
}

TEST_F(pasid, msr)
{
	uint64_t val = MSR_IA32_PASID_VALID | 0xfffff;

	EXPECT_EQ(0, pasid_set(self->msr, val));
	EXPECT_EQ(val, pasid_get(self->msr));

	/* Bits 30:20 and 63:32 are reserved. */
	EXPECT_EQ(-EIO, pasid_set(self->msr, 1ull << 20));
	EXPECT_EQ(-EIO, pasid_set(self->msr, 1ull << 30));
	EXPECT_EQ(-EIO, pasid_set(self->msr, 1ull << 32));
	EXPECT_EQ(-EIO, pasid_set(self->msr, 1ull << 63));
	EXPECT_EQ(val, pasid_get(self->msr));
}

TEST_F(pasid, enqcmd)
{
	uint8_t *dst = self->mem.dst, *src = self->mem.src;

	memset(src, 0, 4);
	ASSERT_EQ(0, pasid_set(self->msr, MSR_IA32_PASID_VALID | 5));

	/* Memory is no enqueue register: "retry", and nothing is written. */
	EXPECT_FLAGS(EFLAGS_ZF, enqcmd, dst, src);
	EXPECT_FLAGS(EFLAGS_ZF, enqcmd_66, dst, src);
	EXPECT_TRUE(unwritten(&self->mem));

	EXPECT_GP(enqcmd, dst + 32, src);
	EXPECT_GP(enqcmds, dst, src);

	/* The first four bytes of the source must be zero. */
	src[2] = 1;
	EXPECT_GP(enqcmd, dst, src);
	src[2] = 0;

	/* The destination must be writable all the same. */
	ASSERT_EQ(0, mprotect(dst, PAGE_SIZE, PROT_READ));
	EXPECT_PF(dst, enqcmd, dst, src);

	ASSERT_EQ(0, mprotect(dst, PAGE_SIZE, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, pasid_set(self->msr, 5));
	EXPECT_GP(enqcmd, dst, src);
	EXPECT_TRUE(unwritten(&self->mem));
}

TEST_HARNESS_MAIN
