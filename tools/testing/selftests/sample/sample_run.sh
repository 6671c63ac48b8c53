#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The programs that come with the sample do what they say. SIOV_SAMPLES is where they are.
samples=${SIOV_SAMPLES:-../../../../samples/vfio-mdev}

echo TAP version 13
echo 1..1
if ! modprobe -n siov_sample 2>/dev/null && [[ ! ${VDEV_SELFTEST_REQUIRED:-} ]]; then
	echo "ok 1 # SKIP no siov_sample module"
	exit 4
fi
"$samples/sample.sh" 2>&1 | sed 's/^/# /'
if ((PIPESTATUS[0] == 0)); then
	echo "ok 1 sample.sh"
else
	echo "not ok 1 sample.sh"
	exit 1
fi
