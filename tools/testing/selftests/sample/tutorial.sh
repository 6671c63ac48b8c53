#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Runs the steps of the tutorial, which tutorial.py has taken out of the text and a build
# of each has followed, as its reader would. SIOV_TUTORIAL is where they are, SIOV the
# checkout.
export SIOV=${SIOV:-../../../..}

if [[ ! -e ${SIOV_TUTORIAL:=tutorial}/step1/tutor.ko && ! ${VDEV_SELFTEST_REQUIRED:-} ]]; then
	echo "1..0 # SKIP the steps are not built"
	exit 4
fi

shopt -s nullglob
status=0
steps=("$SIOV_TUTORIAL"/step*)
echo TAP version 13
echo "1..$((${#steps[@]} + 1))"
for ((i = 1; i <= ${#steps[@]}; i++)); do
	if (cd "$SIOV_TUTORIAL/step$i" && bash -eux try.sh) 2>&1 </dev/null | sed 's/^/# /'
		((PIPESTATUS[0] == 0)); then
		echo "ok $i step $i"
	else
		echo "not ok $i step $i"
		status=1
		for vdev in /sys/bus/mdev/devices/5c0ffee5-*; do
			echo 1 >"$vdev/remove"
		done
		rmmod tutor 2>/dev/null
	fi
done
if ((${#steps[@]} >= 10)); then echo "ok $i all steps"; else echo "not ok $i all steps"; status=1; fi
exit $status
