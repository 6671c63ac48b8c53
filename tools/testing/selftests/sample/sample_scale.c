// SPDX-License-Identifier: GPL-2.0-only
/*
 * Thousands of vdevs on one PF: they all work at a time, and the memory for the next
 * one does not depend on how many there are. SAMPLE_SCALE in the environment sets
 * another number than 4096.
 */
#include <sys/resource.h>
#include <time.h>

#include "sample.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 900

#define FIRST		10	/* vdevs before anything is measured */
#define WINDOW		64	/* vdevs that a time is the median of */

/* Kept when all are gone, for other reasons. A page of each vdev is more than that. */
#define KEPT_KIB	1024.0
#define KEPT_KIB_EACH	1.0

/* One page in and one out for each vdev, at the same IOVA in each IOAS of its own */
#define MEM_EACH	(2 * PAGE)

static struct sample *vdevs;
static double *seconds;

/*
 * udev works on the events of a vdev for longer than the kernel works on the vdev, and is
 * not what is measured. So it is put aside where nothing would start it again.
 */
static void stop_udev(void)
{
	if (access("/run/systemd/system", F_OK))
		system("udevadm control --exit");
}

static void start_udev(void)
{
	if (access("/run/systemd/system", F_OK))
		system("/usr/lib/systemd/systemd-udevd --daemon");
}

static void at_end(void)
{
	vdev_sweep();
	start_udev();
}

static void __attribute__((constructor)) at_start(void)
{
	stop_udev();
	atexit(at_end);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* In milliseconds */
static double median(int from)
{
	double window[WINDOW];

	memcpy(window, seconds + from, sizeof(window));
	qsort(window, WINDOW, sizeof(*window), compare);
	return window[WINDOW / 2] * 1000;
}

/* Sum of the numbers in lines of a format */
static double sum_of(const char *path, const char *format)
{
	double sum = 0, value;
	FILE *f = fopen(path, "r");
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, format, &value) == 1)
			sum += value;
	if (f)
		fclose(f);
	return sum;
}

/* What is only cached is no cost, nor what KASAN keeps, or each CPU of free pages */
static double kib_available(void)
{
	sysfs_write("3", "/proc/sys/vm/drop_caches");
	system("for cache in /sys/kernel/slab/*/shrink; do echo 1 >$cache; done");
	sysfs_write("1", "/proc/sys/vm/stat_refresh");
	return sum_of("/proc/meminfo", "MemAvailable: %lf") +
	       sum_of("/proc/zoneinfo", " count: %lf") * (PAGE / 1024);
}

/* Memory is counted. Times are only reported: they are the machine's, not the code's. */
static bool flat(double first, double last)
{
	return last < 3 * first;
}

TEST(all_contexts)
{
	int nr = getenv("SAMPLE_SCALE") ? atoi(getenv("SAMPLE_SCALE")) : 4096;
	struct rlimit files = { 2 * nr + 64, 2 * nr + 64 };
	double kib_first, kib_half, kib_last, kept = 0, start;
	uint32_t shared;
	int iommufd, event, i, j;
	int *order;
	uint8_t *mem;
	uint64_t events;

	setlinebuf(stdout);
	if (!sample_load())
		SKIP(return, "no siov_sample module");
	vdev_sweep();
	ASSERT_LE(FIRST + 2 * WINDOW, nr);
	ASSERT_LE(nr, vdev_available(SAMPLE_PARENT, SAMPLE_TYPE));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	vdevs = calloc(nr, sizeof(*vdevs));
	seconds = calloc(nr, sizeof(*seconds));
	order = calloc(nr, sizeof(*order));
	mem = mmap(NULL, nr * MEM_EACH, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)mem);
	iommufd = iommufd_open();
	event = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, iommufd);
	ASSERT_LE(0, event);
	ASSERT_EQ(0, ioas_alloc(iommufd, &shared));
	ASSERT_EQ(0, ioas_map(iommufd, shared, mem, nr * MEM_EACH, SAMPLE_IOVA, IOAS_RW));

	kib_first = 0;
	kib_half = 0;
	for (i = 0; i < nr; i++) {
		if (i == FIRST)
			kib_first = kib_available();
		if (i == nr / 2)
			kib_half = kib_available();
		start = now();
		ASSERT_EQ(0, sample_bind(&vdevs[i], iommufd)) TH_LOG("vdev %d", i);
		seconds[i] = now() - start;
		if (i % 512 == 511)
			TH_LOG("%d vdevs are there", i + 1);
	}
	kib_last = kib_available();
	printf("# create, open, bind: %.2f ms for the %dth vdev, %.2f ms for the %dth\n",
	       median(FIRST), FIRST, median(nr - WINDOW), nr);
	printf("# memory: %.1f KiB a vdev up to the %dth, %.1f KiB from there to the %dth\n",
	       (kib_first - kib_half) / (nr / 2 - FIRST), nr / 2,
	       (kib_half - kib_last) / (nr - nr / 2), nr);
	EXPECT_TRUE(flat((kib_first - kib_half) / (nr / 2 - FIRST),
			 (kib_half - kib_last) / (nr - nr / 2)));

	/* Even ones share an IOAS, odd ones have one each */
	for (i = 0; i < nr; i++) {
		uint32_t ioas = shared;

		start = now();
		if (i % 2) {
			ASSERT_EQ(0, ioas_alloc(iommufd, &ioas));
			ASSERT_EQ(0, ioas_map(iommufd, ioas, mem + i * MEM_EACH, MEM_EACH,
					      SAMPLE_IOVA, IOAS_RW));
		}
		ASSERT_EQ(0, sample_start(&vdevs[i], ioas, event)) TH_LOG("vdev %d", i);
		seconds[i] = now() - start;
	}
	printf("# attach, enable, map: %.2f ms for the %dth, %.2f ms for the %dth\n",
	       median(FIRST), FIRST, median(nr - WINDOW), nr);

	/* All at work at a time */
	start = now();
	for (i = 0; i < nr; i++) {
		uint64_t iova = SAMPLE_IOVA + (i % 2 ? 0 : i * MEM_EACH);

		memset(mem + i * MEM_EACH, i % 251 + 1, PAGE);
		ASSERT_EQ(0, sample_describe(&vdevs[i], iova, iova + PAGE, PAGE));
	}
	for (i = 0; i < nr; i++)
		sample_ring(&vdevs[i]);
	for (events = 0; events < (uint64_t)nr; events += j) {
		j = eventfd_wait(event, 60000);
		ASSERT_NE(0, j);
	}
	for (i = 0; i < nr; i++) {
		ASSERT_EQ(SIOV_DONE, sample_read(&vdevs[i], SIOV_STATUS)) TH_LOG("vdev %d", i);
		ASSERT_EQ(1, sample_read(&vdevs[i], SIOV_COUNT));
		ASSERT_EQ(0, memcmp(mem + i * MEM_EACH, mem + i * MEM_EACH + PAGE, PAGE));
		ASSERT_EQ(i % 251 + 1, mem[i * MEM_EACH + PAGE]);
	}
	printf("# a copy by each, with setup: %.2f ms\n", (now() - start) * 1000 / nr);

	/* Away in random order; those that stay still work */
	srand(1);
	for (i = 0; i < nr; i++) {
		j = rand() % (i + 1);
		order[i] = order[j];
		order[j] = i;
	}
	for (i = 0; i < nr; i++) {
		struct sample *s = &vdevs[order[i]];

		if (i == nr / 2) {
			s->event = event;
			ASSERT_EQ(SIOV_DONE, sample_copy(s, sample_read(s, SIOV_SRC),
							 sample_read(s, SIOV_DST), PAGE));
			s->event = -1;
		}
		start = now();
		sample_close(s);
		ASSERT_EQ(0, vdev_remove(s->uuid)) TH_LOG("vdev %d", order[i]);
		seconds[i] = now() - start;
		if (i % 512 == 511)
			TH_LOG("%d vdevs are gone", i + 1);
	}
	printf("# close, remove: %.2f ms with %d vdevs, %.2f ms with the last\n",
	       median(FIRST), nr, median(nr - WINDOW));
	close(iommufd);
	/* Some of it goes in the background */
	for (i = 0; i < 60; i++) {
		kept = kib_first - kib_available();
		if (kept < KEPT_KIB + nr * KEPT_KIB_EACH)
			break;
		sleep(1);
	}
	printf("# memory kept after all are gone: %.0f KiB\n", kept);
	EXPECT_LT(kept, KEPT_KIB + nr * KEPT_KIB_EACH);
}

TEST_HARNESS_MAIN
