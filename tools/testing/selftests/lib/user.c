// SPDX-License-Identifier: GPL-2.0-only
/* The user of a vdev of a DSA or of the sample */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "siov_regs.h"
#include "user.h"

#define SPACE_SIZE	0x4000
#define SRC		0x1000
#define DST		0x2000
#define LEN		256
#define WAIT_MS		10000

int user_init(struct vdev_user *u, const char *parent, const char *type)
{
	int i, ret;

	memset(u, 0, sizeof(*u));
	u->is_dsa = !strcmp(type, DSA_TYPE);
	u->parent = parent;
	u->type = type;
	u->fd = -1;
	u->iommufd = iommufd_open();
	ret = u->iommufd < 0 ? u->iommufd : vdev_new_uuid(u->uuid);
	for (i = 0; !ret && i < USER_SPACES; i++) {
		ret = ioas_alloc(u->iommufd, &u->space[i].ioas);
		if (!ret)
			ret = dsa_mem_alloc(&u->space[i].mem, u->iommufd, u->space[i].ioas,
					    USER_IOVA, SPACE_SIZE);
	}
	return ret;
}

void user_exit(struct vdev_user *u)
{
	int i;

	user_close(u);
	if (u->iommufd >= 0)
		close(u->iommufd);
	u->iommufd = -1;
	for (i = 0; i < USER_SPACES; i++)
		dsa_mem_free(&u->space[i].mem);
}

int user_open(struct vdev_user *u)
{
	u->fd = vdev_open(u->uuid);
	return u->fd < 0 ? u->fd : 0;
}

void user_close(struct vdev_user *u)
{
	if (u->fd >= 0)
		close(u->fd);
	u->fd = -1;
}

int user_bind(struct vdev_user *u)
{
	int ret = vdev_bind(u->fd, u->iommufd, NULL);

	return ret ?: dsa_init(&u->dsa, u->fd);
}

int user_attach(struct vdev_user *u, int space)
{
	uint32_t pt = u->space[space].ioas;

	return vdev_attach(u->fd, &pt);
}

int user_set_command(struct vdev_user *u, uint16_t command)
{
	return dsa_set_command(&u->dsa, command);
}

int user_start(struct vdev_user *u)
{
	if (u->is_dsa)
		return dsa_start(&u->dsa);
	return user_set_command(u, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static int dsa_copy(struct vdev_user *u)
{
	struct dsa_hw_desc desc;
	int i, ms, ret;

	/* A record in each space, of which one will be written */
	for (i = 0; i < USER_SPACES; i++)
		desc = dsa_desc_move(&u->space[i].mem, 0, SRC, DST, LEN);
	ret = dsa_submit(&u->dsa, &desc);
	for (ms = 0; !ret && ms < WAIT_MS; ms++) {
		for (i = 0; i < USER_SPACES; i++)
			if (dsa_wait(dsa_cr(&u->space[i].mem, 0), 0) > 0)
				return 0;
		usleep(1000);
	}
	return ret ?: -ETIMEDOUT;
}

static int sample_copy(struct vdev_user *u)
{
	const uint64_t regs[] = {
		[SIOV_SRC / 8] = USER_IOVA + SRC,
		[SIOV_DST / 8] = USER_IOVA + DST,
		[SIOV_LEN / 8] = LEN,
	};
	uint64_t count = dsa_read64(&u->dsa, SIOV_COUNT);
	uint32_t *doorbell;
	unsigned int i, ms;
	int ret = 0;

	for (i = 0; !ret && i < sizeof(regs) / sizeof(*regs); i++)
		ret = dsa_write64(&u->dsa, i * 8, regs[i]);
	if (ret)
		return ret;
	doorbell = mmap(NULL, SIOV_DOORBELL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, u->fd,
			u->dsa.portals.offset);
	if (doorbell == MAP_FAILED)
		return -errno;
	__atomic_store_n(doorbell, 1, __ATOMIC_RELEASE);
	for (ms = 0; ms < WAIT_MS && dsa_read64(&u->dsa, SIOV_COUNT) == count; ms++)
		usleep(1000);
	munmap(doorbell, SIOV_DOORBELL_SIZE);
	return ms < WAIT_MS ? 0 : -ETIMEDOUT;
}

int user_copy(struct vdev_user *u)
{
	int i, ret, where = -ENOENT;

	for (i = 0; i < USER_SPACES; i++) {
		dsa_fill(u->space[i].mem.va + SRC, LEN, i + 1);
		memset(u->space[i].mem.va + DST, 0, LEN);
	}
	ret = u->is_dsa ? dsa_copy(u) : sample_copy(u);
	if (ret)
		return ret;
	for (i = 0; i < USER_SPACES; i++)
		if (dsa_check(u->space[i].mem.va + DST, LEN, i + 1) == -1)
			where = where < 0 ? i : -EXDEV;
	return where;
}
