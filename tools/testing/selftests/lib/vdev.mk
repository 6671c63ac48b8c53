# SPDX-License-Identifier: GPL-2.0-only
# What the test directories of vdevs share. In a kernel tree lib.mk is in the
# parent directory; elsewhere KSRC names the tree to take it from.
CFLAGS += -Wall -O2 -std=gnu11 -Wno-misleading-indentation
CFLAGS += $(KHDR_INCLUDES)
LOCAL_HDRS := ../lib/vdev.h ../lib/dsa.h ../lib/fault.h ../lib/vdev_harness.h ../lib/user.h

include $(firstword $(wildcard ../lib.mk) $(KSRC)/tools/testing/selftests/lib.mk)

CFLAGS += -I$(selfdir) -I../lib
VDEV_LIB := ../lib/vdev.c ../lib/dsa.c ../lib/fault.c
# For tests of vdevs of any kind, see user.h
CFLAGS += -I../../../../samples/vfio-mdev
VDEV_USER := ../lib/user.c
