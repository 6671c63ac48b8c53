// SPDX-License-Identifier: GPL-2.0-only
/*
 * submit - runs in a guest and uses the portal of its DSA without a driver
 *
 * The guest's idxd has enabled the device and the WQ; this program maps the portal
 * through sysfs, submits descriptors one at a time, polls for their completion and
 * checks every byte they wrote. Buffers are at fixed guest-physical addresses
 * that the kernel's command line has reserved (memmap=4M$128M).
 *
 *   submit [-o OPCODE] [-n COUNT | -t SECONDS] [-s SIZE] [-p PATTERN] [-i HANDLE]
 *
 * Prints one line and exits with 0 if each descriptor succeeded.
 */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/idxd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BUFFERS		(128UL << 20)
#define BUFFERS_SIZE	(4UL << 20)
#define SRC		0UL
#define DST		(1UL << 20)
#define RECORD		(2UL << 20)
#define BATCH		(3UL << 20)
#define MAX_SIZE	(1UL << 20)

#define LIMITED_PORTAL	0x1000
#define TIMEOUT_NS	(20 * 1000000000ULL)

static uint8_t *buffers;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static bool has_text(const char *device, const char *file, const char *text)
{
	char path[300], line[16] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", device, file);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return false;
	if (read(fd, line, sizeof(line) - 1) < 0)
		line[0] = 0;
	close(fd);
	return !strncmp(line, text, strlen(text));
}

static void *map_portal(void)
{
	DIR *dir = opendir("/sys/bus/pci/devices");
	struct dirent *entry;
	char path[300] = "";
	void *portal;
	int fd;

	while (dir && (entry = readdir(dir)))
		if (has_text(entry->d_name, "vendor", "0x8086") &&
		    (has_text(entry->d_name, "device", "0x0b25") ||
		     has_text(entry->d_name, "device", "0x11fb")))
			snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource2",
				 entry->d_name);
	if (!path[0])
		errx(2, "there is no DSA");
	fd = open(path, O_RDWR);
	portal = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, LIMITED_PORTAL);
	if (portal == MAP_FAILED)
		err(2, "%s", path);
	return portal;
}

static void movdir64b(void *dst, const void *src)
{
	/* movdir64b (%rdx), %rax */
	asm volatile(".byte 0x66, 0x0f, 0x38, 0xf8, 0x02" : : "a" (dst), "d" (src) : "memory");
}

/* Status of the completion record, 0 if none came */
static uint8_t wait_for(volatile struct dsa_completion_record *record)
{
	uint64_t end = now_ns() + TIMEOUT_NS;

	while (!record->status && now_ns() < end)
		asm volatile("pause");
	return record->status;
}

static void fill(uint64_t seed, size_t size)
{
	uint64_t *word = (uint64_t *)(buffers + SRC);
	size_t i;

	for (i = 0; i < size / 8; i++)
		word[i] = (seed << 32 | i) * 0x9e3779b97f4a7c15ULL;
}

int main(int argc, char **argv)
{
	uint64_t count = 1, deadline = 0, done = 0, good = 0, differ = 0, spent = 0, pattern = 1;
	uint8_t opcode = DSA_OPCODE_MEMMOVE, status = 0;
	struct dsa_completion_record *record;
	struct dsa_hw_desc desc __attribute__((aligned(64)));
	size_t size = 4096;
	int handle = -1;
	void *portal;
	int fd, opt;

	while ((opt = getopt(argc, argv, "o:n:t:s:p:i:")) != -1) {
		switch (opt) {
		case 'o':
			opcode = strtoul(optarg, NULL, 0);
			break;
		case 'n':
			count = strtoull(optarg, NULL, 0);
			break;
		case 't':
			deadline = now_ns() + strtoull(optarg, NULL, 0) * 1000000000ULL;
			break;
		case 's':
			size = strtoul(optarg, NULL, 0);
			break;
		case 'p':
			pattern = strtoul(optarg, NULL, 0);
			break;
		case 'i':
			handle = strtoul(optarg, NULL, 0);
			break;
		default:
			return 2;
		}
	}
	if (size < 64 || size > MAX_SIZE || size % 64)
		errx(2, "the size must be a multiple of 64 up to %lu", MAX_SIZE);

	portal = map_portal();
	fd = open("/dev/mem", O_RDWR);
	buffers = mmap(NULL, BUFFERS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, BUFFERS);
	if (buffers == MAP_FAILED)
		err(2, "/dev/mem at %#lx", BUFFERS);
	record = (struct dsa_completion_record *)(buffers + RECORD);

	while (deadline ? now_ns() < deadline : done < count) {
		uint64_t start;

		memset(&desc, 0, sizeof(desc));
		desc.opcode = opcode;
		desc.flags = IDXD_OP_FLAG_RCR | IDXD_OP_FLAG_CRAV;
		desc.completion_addr = BUFFERS + RECORD;
		if (handle >= 0) {
			desc.flags |= IDXD_OP_FLAG_RCI;
			desc.int_handle = handle;
		}
		if (opcode == DSA_OPCODE_MEMMOVE) {
			fill(pattern * 1000003 + done, size);
			memset(buffers + DST, 0xa5, size);
			desc.src_addr = BUFFERS + SRC;
			desc.dst_addr = BUFFERS + DST;
			desc.xfer_size = size;
		} else if (opcode == DSA_OPCODE_BATCH) {
			/* Two descriptors of zeroes: NOOPs without a record */
			memset(buffers + BATCH, 0, 2 * sizeof(desc));
			desc.desc_list_addr = BUFFERS + BATCH;
			desc.desc_count = 2;
		}
		memset(record, 0, sizeof(*record));

		start = now_ns();
		movdir64b((char *)portal + done % 64 * 64, &desc);
		spent += now_ns() - start;

		status = wait_for(record);
		done++;
		if (status != DSA_COMP_SUCCESS)
			break;
		if (opcode == DSA_OPCODE_MEMMOVE &&
		    memcmp(buffers + SRC, buffers + DST, size))
			differ++;
		else
			good++;
	}

	printf("submitted=%" PRIu64 " good=%" PRIu64 " differ=%" PRIu64 " status=%#x ns=%" PRIu64 "\n",
	       done, good, differ, status, done ? spent / done : 0);
	return good == done ? 0 : 1;
}
