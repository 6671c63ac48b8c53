/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a vdev of the sample looks like to its user: a copy engine.
 *
 * BAR 0 holds registers of 64 bits each, accessed by pread() and pwrite() of the
 * device file. BAR 2 is the doorbell page, which the user maps: storing anything but 0 in
 * its first 32 bits starts the copy that the registers describe.
 */
#ifndef SIOV_REGS_H
#define SIOV_REGS_H

#define SIOV_VENDOR_ID		0xfff0	/* not assigned by the PCI-SIG */
#define SIOV_DEVICE_ID		0x510f

#define SIOV_REGS_BAR		0
#define SIOV_REGS_SIZE		0x1000
#define SIOV_DOORBELL_BAR	2
#define SIOV_DOORBELL_SIZE	0x1000

#define SIOV_SRC		0x00	/* IOVA to copy from */
#define SIOV_DST		0x08	/* IOVA to copy to */
#define SIOV_LEN		0x10	/* bytes, at most SIOV_MAX_LEN */
#define SIOV_STATUS		0x18	/* how the last copy ended, read-only */
#define SIOV_FAULT		0x20	/* the IOVA that it failed at, read-only */
#define SIOV_COUNT		0x28	/* copies that have ended, read-only */
#define SIOV_USER_REGS		0x30	/* end of the registers of the user */

#define SIOV_MAX_LEN		0x100000

enum siov_status {
	SIOV_IDLE,		/* nothing was copied yet */
	SIOV_DONE,
	SIOV_READ_FAULT,
	SIOV_WRITE_FAULT,
	SIOV_BAD_LEN,
};

#endif /* SIOV_REGS_H */
