/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The user of a vdev, whether that is backed by a DSA or by the sample: it has two
 * address spaces with the same IOVA in them, and can tell by a copy which one the vdev
 * is attached to.
 *
 * As in vdev.h, functions return 0 or a negative errno if not said otherwise.
 */
#ifndef SELFTESTS_USER_H
#define SELFTESTS_USER_H

#include "dsa.h"

#define SAMPLE_PARENT	"siov-pf"
#define SAMPLE_TYPE	"siov_sample-copy"

#define USER_IOVA	0x10000000ull
#define USER_SPACES	2

struct vdev_user {
	bool is_dsa;
	const char *parent;
	const char *type;
	char uuid[VDEV_UUID_LEN + 1];
	int fd;				/* the vdev, or -1 */
	int iommufd;
	struct {
		uint32_t ioas;
		struct dsa_mem mem;
	} space[USER_SPACES];
	struct dsa dsa;			/* regions of both kinds */
};

/* Gets an iommufd and the address spaces, and a UUID for a vdev. */
int user_init(struct vdev_user *u, const char *parent, const char *type);
void user_exit(struct vdev_user *u);

int user_open(struct vdev_user *u);
void user_close(struct vdev_user *u);
int user_bind(struct vdev_user *u);
int user_attach(struct vdev_user *u, int space);
/* Memory Space and Bus Master; the DSA's device and WQ are enabled. */
int user_start(struct vdev_user *u);
int user_set_command(struct vdev_user *u, uint16_t command);
/* The vdev copies: the space that shows it, -EXDEV if it is both, -ENOENT if it is none. */
int user_copy(struct vdev_user *u);

#endif
