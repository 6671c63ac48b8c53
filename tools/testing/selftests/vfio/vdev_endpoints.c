// SPDX-License-Identifier: GPL-2.0-only
/*
 * debugfs mdev_pasid/endpoints has a line for each vdev that is bound, which follows its
 * life and ends with it.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "vdev_harness.h"

#define ENDPOINTS	"/sys/kernel/debug/mdev_pasid/endpoints"
#define MEM_SIZE	(1 << 16)

FIXTURE(endpoints) {
	struct dsa_pool pool;
	struct test_vdev v;
	char text[4096];
};

FIXTURE_SETUP(endpoints)
{
	TEST_POOL(&self->pool, 2);
	ASSERT_EQ(0, test_vdev_up(&self->v, &self->pool, CREATED, 0));
}

FIXTURE_TEARDOWN(endpoints)
{
	EXPECT_EQ(0, test_vdev_down(&self->v));
}

/* The line of the vdev, or NULL */
static char *line_of(const char *uuid, char text[4096])
{
	char *line;

	if (sysfs_read(text, 4096, ENDPOINTS) < 0)
		return NULL;
	line = strstr(text, uuid);
	if (line)
		line[strcspn(line, "\n")] = '\0';
	return line;
}

static bool line_is(const char *uuid, const char *start, const char *end)
{
	char text[4096], *line = line_of(uuid, text);

	return line && !strncmp(line, start, strlen(start)) && strstr(line, end);
}

TEST_F(endpoints, life)
{
	struct test_vdev *v = &self->v;
	char head[256], start[512], comm[32], holder[64];
	uint32_t ioas2, hwpt, pt;
	long long pasid;

	ASSERT_EQ(0, access(ENDPOINTS, R_OK));
	pasid = vdev_pasid(v->uuid);
	ASSERT_LT(0, pasid);
	ASSERT_LT(0, sysfs_read(comm, sizeof(comm), "/proc/self/comm"));
	snprintf(holder, sizeof(holder), " holder %d %s", getpid(), comm);

	/* Neither a vdev that nobody has nor one that is only open */
	EXPECT_EQ(NULL, line_of(v->uuid, self->text));
	v->fd = vdev_open(v->uuid);
	v->iommufd = iommufd_open();
	EXPECT_EQ(NULL, line_of(v->uuid, self->text));

	ASSERT_EQ(0, vdev_bind(v->fd, v->iommufd, &v->devid));
	ASSERT_EQ(0, dsa_init(&v->dsa, v->fd));
	snprintf(head, sizeof(head), "%s pf %s pasid %lld device %u", v->uuid,
		 self->pool.parent, pasid, v->devid);
	snprintf(start, sizeof(start), "%s unattached faults 0 since 20", head);
	EXPECT_TRUE(line_is(v->uuid, start, holder)) {
		TH_LOG("%s", self->text);
	}

	ASSERT_EQ(0, test_vdev_attach(v, MEM_SIZE));
	snprintf(start, sizeof(start), "%s ioas %u hwpt %u faults 0 since 20", head, v->ioas,
		 v->hwpt);
	EXPECT_TRUE(line_is(v->uuid, start, holder));

	/* A replace; one that is refused; a HWPT of the user's own */
	ASSERT_EQ(0, ioas_alloc(v->iommufd, &ioas2));
	pt = ioas2;
	ASSERT_EQ(0, vdev_attach(v->fd, &pt));
	snprintf(start, sizeof(start), "%s ioas %u hwpt %u faults 0 since 20", head, ioas2, pt);
	EXPECT_TRUE(line_is(v->uuid, start, holder));
	pt = 0xdead;
	EXPECT_EQ(-ENOENT, vdev_attach(v->fd, &pt));
	EXPECT_TRUE(line_is(v->uuid, start, holder));
	ASSERT_EQ(0, hwpt_alloc(v->iommufd, v->devid, v->ioas, &hwpt));
	pt = hwpt;
	ASSERT_EQ(0, vdev_attach(v->fd, &pt));
	snprintf(start, sizeof(start), "%s hwpt %u faults 0 since 20", head, hwpt);
	EXPECT_TRUE(line_is(v->uuid, start, holder));

	EXPECT_EQ(0, vdev_detach(v->fd));
	snprintf(start, sizeof(start), "%s unattached faults 0 since 20", head);
	EXPECT_TRUE(line_is(v->uuid, start, holder));
	pt = v->ioas;
	ASSERT_EQ(0, vdev_attach(v->fd, &pt));
	close(v->fd);
	v->fd = -1;
	EXPECT_EQ(NULL, line_of(v->uuid, self->text));
}

/* The holder is who bound it, though another process has the file, too. */
TEST_F(endpoints, two_holders)
{
	struct test_vdev *v = &self->v, w;
	char text[4096], holder[64];
	int up[2], down[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, test_vdev_up(&w, &self->pool, ATTACHED, MEM_SIZE));
	ASSERT_EQ(0, pipe(up));
	ASSERT_EQ(0, pipe(down));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		v->fd = vdev_open(v->uuid);
		v->iommufd = iommufd_open();
		if (vdev_bind(v->fd, v->iommufd, NULL))
			_exit(1);
		write(up[1], "", 1);
		read(down[0], &c, 1);
		_exit(0);
	}
	close(up[1]);
	ASSERT_EQ(1, read(up[0], &c, 1));
	snprintf(holder, sizeof(holder), " holder %d ", pid);
	EXPECT_TRUE(line_is(v->uuid, v->uuid, holder));
	snprintf(holder, sizeof(holder), " holder %d ", getpid());
	EXPECT_TRUE(line_is(w.uuid, w.uuid, holder));
	EXPECT_FALSE(line_is(v->uuid, v->uuid, holder));

	/* One goes, the other stays */
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_EQ(NULL, line_of(v->uuid, text));
	EXPECT_NE(NULL, line_of(w.uuid, text));
	EXPECT_EQ(0, test_vdev_down(&w));
}

static atomic_bool done;

static void *read_on(void *arg)
{
	unsigned long *lines = arg;
	char text[4096];

	while (!done)
		if (sysfs_read(text, sizeof(text), ENDPOINTS) > 0)
			++*lines;
	return NULL;
}

/* Who reads meets vdevs in every state, and those that go. */
TEST_F(endpoints, read_while_they_come_and_go)
{
	unsigned long lines = 0;
	struct test_vdev w;
	pthread_t reader;
	int i;

	ASSERT_EQ(0, pthread_create(&reader, NULL, read_on, &lines));
	for (i = 0; i < 30; i++) {
		ASSERT_EQ(0, test_vdev_up(&w, &self->pool, STARTED, MEM_SIZE));
		ASSERT_EQ(0, test_vdev_down(&w));
	}
	done = true;
	pthread_join(reader, NULL);
	EXPECT_LT(0, lines);
}

TEST_HARNESS_MAIN
