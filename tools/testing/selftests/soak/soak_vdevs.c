// SPDX-License-Identifier: GPL-2.0-only
/*
 * soak_vdevs SECONDS SEED PF NR_DSA NR_SAMPLE: so many vdevs at a time live random lives, one
 * after the other: each is created, opened and used by a process that does what comes to
 * its mind, which ends in order, just ends or is killed, and is removed.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "user.h"

#define MAX_STEPS	30
#define MAX_VDEVS	16

static time_t deadline;

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static unsigned int any(unsigned int below)
{
	return random() % below;
}

/* A vector of ours, by its loopback */
static int interrupt(struct vdev_user *u)
{
	int32_t event = eventfd(0, EFD_CLOEXEC), none = -1;
	int ret = event < 0 ? -errno : 0;

	if (!ret)
		ret = vdev_irq_eventfds(u->fd, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &event);
	if (!ret)
		ret = vdev_set_irqs(u->fd, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
				    VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, NULL, 0);
	if (!ret && !eventfd_wait(event, 5000))
		ret = -ETIMEDOUT;
	if (!ret)
		ret = vdev_irq_eventfds(u->fd, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &none);
	close(event);
	return ret;
}

/* The address space that the vdev is not in loses its memory and gets it again */
static int remap(struct vdev_user *u, int space)
{
	struct dsa_mem *mem = &u->space[space].mem;
	int ret = ioas_unmap(u->iommufd, u->space[space].ioas, mem->iova, mem->size);

	return ret ?: ioas_map(u->iommufd, u->space[space].ioas, mem->va, mem->size, mem->iova,
			       IOAS_RW);
}

/* 0 if the vdev copies in @space, and nowhere else */
static int copy(struct vdev_user *u, int space)
{
	int ret = user_copy(u);

	return ret < 0 ? ret : ret == space ? 0 : -EXDEV;
}

static int copy_mapped(struct vdev_user *u, int space)
{
	int ret;

	if (!u->is_dsa)
		return copy(u, space);
	ret = dsa_map(&u->dsa, any(2));
	if (!ret)
		ret = copy(u, space);
	dsa_unmap(&u->dsa);
	return ret;
}

static const char * const names[] = {
	"copy", "mapped copy", "replace", "detach", "reset", "interrupt", "remap", "bus master",
};

#define NR_NAMES (sizeof(names) / sizeof(*names))

static int use(struct vdev_user *u, unsigned int what, int *space)
{
	int ret;

	switch (what) {
	case 0:
		return copy(u, *space);
	case 1:
		return copy_mapped(u, *space);
	case 2:
		*space = !*space;
		return user_attach(u, *space);
	case 3:
		*space = any(2);
		ret = vdev_detach(u->fd);
		return ret ?: user_attach(u, *space);
	case 4:
		ret = vdev_reset(u->fd);
		return ret ?: user_start(u);
	case 5:
		return interrupt(u);
	case 6:
		return remap(u, !*space);
	default:
		ret = user_set_command(u, PCI_COMMAND_MEMORY);
		return ret ?: user_set_command(u, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	}
}

static int life(const char *parent, const char *type, const char *uuid)
{
	unsigned int steps = any(MAX_STEPS), what;
	struct vdev_user u;
	int ret, space = 0;

	ret = user_init(&u, parent, type);
	memcpy(u.uuid, uuid, sizeof(u.uuid));
	ret = ret ?: user_open(&u);
	ret = ret ?: user_bind(&u);
	ret = ret ?: user_attach(&u, space);
	ret = ret ?: user_start(&u);
	if (ret)
		fprintf(stderr, "%s: setting up: %s\n", type, strerror(-ret));
	while (!ret && steps--) {
		what = any(NR_NAMES);
		ret = use(&u, what, &space);
		if (ret)
			fprintf(stderr, "%s: %s: %s\n", type, names[what], strerror(-ret));
	}
	/* The rest is left to the end of the process, in one of three orders */
	if (any(2))
		close(u.iommufd);
	else if (any(2))
		user_exit(&u);
	return ret;
}

/* One of four users is killed, unless it is quick enough */
static void maybe_kill(pid_t pid)
{
	if (any(4))
		return;
	usleep(any(300000));
	kill(pid, SIGKILL);
}

static int live(const char *parent, const char *type)
{
	unsigned int nr = 0, killed = 0, seed;
	char uuid[VDEV_UUID_LEN + 1];
	int ret, status;
	pid_t pid;

	while (now() < deadline) {
		ret = vdev_new_uuid(uuid) ?: vdev_create(parent, type, uuid);
		if (ret) {
			fprintf(stderr, "%s: create: %s\n", type, strerror(-ret));
			return 1;
		}
		/* The child goes on from here with random numbers of its own */
		seed = random();
		pid = fork();
		if (!pid) {
			srandom(seed);
			_exit(!!life(parent, type, uuid));
		}
		maybe_kill(pid);
		if (pid < 0 || waitpid(pid, &status, 0) < 0)
			return 1;
		if (WIFEXITED(status) && WEXITSTATUS(status))
			return 1;
		killed += WIFSIGNALED(status);
		if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
			fprintf(stderr, "%s: signal %d\n", type, WTERMSIG(status));
			return 1;
		}
		if (!vdev_state_is(uuid, "closed")) {
			fprintf(stderr, "%s: not closed after its user has gone\n", type);
			return 1;
		}
		ret = vdev_remove(uuid);
		if (ret) {
			fprintf(stderr, "%s: remove: %s\n", type, strerror(-ret));
			return 1;
		}
		nr++;
	}
	printf("%s: %u lives, %u of them killed\n", type, nr, killed);
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int i, nr_dsa, nr, failed = 0;
	int status;

	if (argc != 6) {
		fprintf(stderr, "usage: %s SECONDS SEED PF NR_DSA NR_SAMPLE\n", argv[0]);
		return 2;
	}
	deadline = now() + atoi(argv[1]);
	nr_dsa = atoi(argv[4]);
	nr = nr_dsa + atoi(argv[5]);
	if (nr > MAX_VDEVS)
		return 2;
	for (i = 0; i < nr; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 2;
		if (pid)
			continue;
		srandom(atoi(argv[2]) + i);
		if (i < nr_dsa)
			_exit(live(argv[3], DSA_TYPE));
		_exit(live(SAMPLE_PARENT, SAMPLE_TYPE));
	}
	while (wait(&status) > 0)
		failed += !WIFEXITED(status) || WEXITSTATUS(status);
	return !!failed;
}
