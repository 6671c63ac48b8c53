#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The host's own use of a DSA beside vdevs: a dmaengine work queue copies while
# vdevs work, accel-config sees everything, and a work queue that a vdev had
# goes back to idxd and works there. TAP on standard output.

set -uo pipefail
cd "$(dirname "$0")" || exit 1

dsa=${DSA:-dsa0}
devices=/sys/bus/dsa/devices
drivers=/sys/bus/dsa/drivers
n=0
failed=0

ok() {
	local status=$1
	shift
	n=$((n + 1))
	if ((status == 0)); then
		echo "ok $n $*"
	else
		echo "not ok $n $*"
		failed=$((failed + 1))
	fi
}

note() { sed 's/^/# /'; }

# configure WQ DRIVER TYPE: sets up a WQ and enables it. idxd takes size and group
# only while the device is disabled, so all WQs get them then. A WQ that is disabled
# counts as shared, which idxd refuses without ENQCMD, so all are set to dedicated.
configure() {
	local wq=wq${dsa#dsa}.$1 attr other
	for other in "$devices/wq${dsa#dsa}".*; do
		[[ $(<"$other/state") == enabled ]] || echo dedicated >"$other/mode" || return
	done
	if [[ $(<"$devices/$dsa/state") != enabled ]]; then
		for other in "$devices/wq${dsa#dsa}".*; do
			{ echo 16 >"$other/size" && echo 0 >"$other/group_id"; } || return
		done
		echo 0 >"$devices/engine${dsa#dsa}.0/group_id" || return
		echo "$dsa" >"$drivers/idxd/bind" || return
	fi
	for attr in "type=$3" "name=$2$1" "driver_name=$2" priority=10; do
		echo "${attr#*=}" >"$devices/$wq/${attr%%=*}" || return
	done
	echo "$wq" >"$drivers/$2/bind"
	[[ $(<"$devices/$wq/state") == enabled ]]
}

disable() {
	local wq=wq${dsa#dsa}.$1
	[[ $(<"$devices/$wq/state") != enabled ]] || echo "$wq" >"$devices/$wq/driver/unbind"
}

channels() { (cd /sys/class/dma && printf '%s\n' dma*chan* | sort); }

# dmatest CHANNEL ITERATIONS: runs it and prints its summary; fails on a failure.
dmatest() {
	local param=/sys/module/dmatest/parameters log tries
	echo "dsa_host: dmatest on $1" >/dev/kmsg
	echo 2000 >$param/timeout
	echo "$2" >$param/iterations
	echo 1 >$param/threads_per_chan
	echo "$1" >$param/channel || return
	echo 1 >$param/run || return
	# Reading "wait" does not wait for a thread that has not run yet.
	for ((tries = 0; tries < 600; tries++)); do
		# Only what came after the note above.
		log=$(dmesg | tac | sed "/dsa_host: dmatest on $1/q" | grep "dmatest: $1.*summary")
		[[ ! $log ]] || break
		sleep 0.1
	done
	echo "$log" | note
	echo 0 >$param/run
	grep -q "summary $2 tests, 0 failures" <<<"$log"
}

# shellcheck disable=SC2317 # called by the trap
cleanup() {
	local mdev wq
	for mdev in /sys/bus/mdev/devices/5e1f7e57-*; do
		[[ ! -e $mdev ]] || echo 1 >"$mdev/remove"
	done
	for wq in 0 1 4; do disable "$wq"; done
	[[ ! -e $devices/$dsa || $(<"$devices/$dsa/state") != enabled ]] ||
		echo "$dsa" >"$drivers/idxd/unbind"
	modprobe -rq dmatest
}

if ! modprobe -a iommufd idxd idxd_vdev dmatest || [[ ! -e $devices/$dsa ]]; then
	if [[ ${VDEV_SELFTEST_REQUIRED:-} ]]; then
		echo "Bail out! no $dsa, idxd_vdev or dmatest"
		exit 1
	fi
	echo "1..0 # SKIP no $dsa, idxd_vdev or dmatest"
	exit 4
fi
trap cleanup EXIT
echo TAP version 13

pf=$(basename "$(dirname "$(readlink -f "$devices/$dsa")")")
type=/sys/class/mdev_bus/$pf/mdev_supported_types/idxd-1dwq
before=$(channels)

configure 0 vdev user && configure 1 vdev user
ok $? "two WQs for vdevs"
configure 4 dmaengine kernel
ok $? "a dmaengine WQ on the same device"
channel=$(comm -13 <(echo "$before") <(channels))
[[ $channel ]]
ok $? "has a DMA channel: $channel"

dmatest "$channel" 1000
ok $? "dmatest: 1000 copies with no vdev about"

uuid=5e1f7e57-0000-4000-8000-000000000001
echo $uuid >"$type/create"
[[ -e /sys/bus/mdev/devices/$uuid ]]
ok $? "a vdev is created beside it"
[[ $(<"$type/available_instances") == 1 ]]
ok $? "the dmaengine WQ is not counted as free"
dmatest "$channel" 1000
ok $? "dmatest: 1000 copies beside an idle vdev"
echo 1 >"/sys/bus/mdev/devices/$uuid/remove"

# A user of a vdev and the host at the same time, for as long as the user takes.
log=$(mktemp)
./dsa_data -r data.direct.memmove >"$log" 2>&1 &
user=$!
dmatest "$channel" 1000
ok $? "dmatest: 1000 copies beside a busy vdev"
wait $user
ok $? "and the vdev's copies are right"
note <"$log"
rm -f "$log"

# Enabling and disabling the host's WQ does not disturb a vdev, nor the reverse.
echo $uuid >"$type/create"
disable 4 && configure 4 dmaengine kernel
ok $? "the dmaengine WQ is disabled and enabled again"
[[ -e /sys/bus/mdev/devices/$uuid && $(<"$devices/wq${dsa#dsa}.0/state") == enabled ]]
ok $? "the vdev and its WQ are still there"
echo 1 >"/sys/bus/mdev/devices/$uuid/remove"
[[ ! -e /sys/bus/mdev/devices/$uuid ]]
ok $? "the vdev is removed"

# The WQ that the vdev had goes back to idxd and works there.
disable 4
disable 0
[[ $(<"$devices/wq${dsa#dsa}.0/state") == disabled ]]
ok $? "WQ 0 goes back to idxd"
[[ $(<"$type/available_instances") == 1 ]]
ok $? "and is no longer offered"
before=$(channels)
configure 0 dmaengine kernel
ok $? "WQ 0 becomes a dmaengine WQ"
channel=$(comm -13 <(echo "$before") <(channels))
dmatest "$channel" 1000
ok $? "dmatest: 1000 copies on WQ 0"
disable 0

# The last WQ of the pool takes the parent away, and it comes back with the next.
disable 1
for ((i = 0; i < 50; i++)); do
	[[ -e $type ]] || break
	sleep 0.1
done
[[ ! -e $type ]]
ok $? "without WQs the PF is no mdev parent"
configure 0 vdev user && [[ $(<"$type/available_instances") == 1 ]]
ok $? "WQ 0 is lent again"

if command -v accel-config >/dev/null; then
	accel-config list 2>&1 | grep -A 20 "wq${dsa#dsa}.0" | grep -q '"state":"enabled"'
	ok $? "accel-config lists the WQ as enabled"
	accel-config disable-wq "$dsa/wq${dsa#dsa}.0" 2>&1 | note
	[[ $(<"$devices/wq${dsa#dsa}.0/state") == disabled ]]
	ok $? "accel-config disables it"
fi

echo "1..$n"
exit $((failed > 0))
