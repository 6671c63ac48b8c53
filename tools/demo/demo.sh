#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The whole path, from a work queue to a vdev that does DMA into its own IOAS
# and back. Prints what a person would type and what came of it. Runs as root on a
# machine with a DSA that is not in use; DSA says which one (dsa0). `make demo` runs it in
# the lab machine.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
PATH=$PWD:$PATH

devices=/sys/bus/dsa/devices
mdevs=/sys/bus/mdev/devices
dsa=${DSA:-dsa0}
id=${dsa#dsa}
wqs=("wq$id.0" "wq$id.1")
uuids=()

step=start
# die WHAT REMEDY: one line that says what failed and what to do.
die() {
	echo "demo: step $step failed: $1; $2" >&2
	exit 1
}

# run COMMAND..: shows the command as typed, runs it, keeps its output to itself.
run() {
	local out
	echo "   # $*"
	out=$("$@" 2>&1) || die "$1 $2: ${out##*$'\n'}" "see the kernel log"
}

# put TEXT FILE
put() {
	echo "   # echo $1 > $2"
	# The shell's own message names the file and the error.
	{ echo "$1" >"$2"; } 2>/dev/null || die "cannot write $1 to $2" \
		"${3:-see $pf_dir/mdev_pasid/last_error: $(cat "$pf_dir/mdev_pasid/last_error" 2>/dev/null)}"
}

came() { printf '     %s\n' "$*"; }

cleanup() {
	local status=$? uuid wq
	set +e
	for uuid in "${uuids[@]}"; do
		[[ ! -e $mdevs/$uuid ]] || echo 1 >"$mdevs/$uuid/remove"
	done
	for wq in "${wqs[@]}"; do
		[[ $(cat "$devices/$wq/state" 2>/dev/null) != enabled ]] ||
			accel-config disable-wq "$dsa/$wq" &>/dev/null
	done
	[[ $(cat "$devices/$dsa/state" 2>/dev/null) != enabled ]] ||
		accel-config disable-device "$dsa" &>/dev/null
	rm -f "$table"
	exit $status
}
for tool in accel-config setpriv vdev-dsa; do
	command -v $tool >/dev/null || die "$tool is missing" "install accel-config and util-linux, and make -C tools/demo"
done

step=1
echo "1. Two dedicated work queues of $dsa are set aside for vdevs"
run modprobe -a iommufd idxd idxd_vdev
[[ -e $devices/$dsa ]] || die "there is no $dsa" \
	"check lspci for a DSA (8086:0b25 or 8086:11fb) and boot with intel_iommu=on,sm_on"
[[ $(<"$devices/$dsa/state") == disabled ]] || die "$dsa is in use" \
	"see accel-config list, and run accel-config disable-device $dsa, or set DSA to another one"
# From here on it is ours to switch off
table=$(mktemp)
trap cleanup EXIT
pf_dir=$(dirname "$(readlink -f "$devices/$dsa")")
pf=$(basename "$pf_dir")
run accel-config config-engine "$dsa/engine$id.0" --group-id=0
for i in 0 1; do
	run accel-config config-wq "$dsa/${wqs[i]}" --mode=dedicated --type=user \
		--driver-name=vdev --name="vdev$i" --group-id=0 --wq-size=16 --priority=10
done
run accel-config enable-device "$dsa"
for wq in "${wqs[@]}"; do
	run accel-config enable-wq "$dsa/$wq"
	came "$wq: $(<"$devices/$wq/mode"), $(<"$devices/$wq/size") entries, driver $(<"$devices/$wq/driver_name"), $(<"$devices/$wq/state")"
done
type=/sys/class/mdev_bus/$pf/mdev_supported_types/idxd-1dwq
[[ -e $type ]] || die "$pf is no mdev parent" "$(cat /sys/bus/mdev/drivers/idxd_vdev/last_error)"
echo "   # cat $type/available_instances"
came "$(<"$type/available_instances"): the PF, $pf, is an mdev parent"
[[ $(<"$type/available_instances") == 2 ]] || die "not two instances" "disable what else uses $dsa"

step=2
echo "2. A UUID makes a vdev"
for i in 0 1; do
	uuid=$(</proc/sys/kernel/random/uuid)
	put "$uuid" "$type/create"
	uuids+=("$uuid")
	cdev=$(basename "$mdevs/$uuid"/vfio-dev/vfio*)
	came "WQ $(<"$mdevs/$uuid/dsa/wq"), PASID $(<"$mdevs/$uuid/pasid/pasid") of $(<"$mdevs/$uuid/pasid/parent"), /dev/vfio/devices/$cdev"
	[[ ! -e $mdevs/$uuid/iommu_group ]] || die "the vdev has an IOMMU group" "report this"
done
echo "   # ls /dev/vfio"
groups=$(cd /dev/vfio 2>/dev/null && find . -maxdepth 1 -name '[0-9]*' | wc -l)
[[ $groups == 0 ]] || die "a VFIO group exists" "unbind other devices from vfio-pci and run again"
came "$(ls /dev/vfio): no group, neither real nor faked"

# Steps 3 to 5 are the user's, once with the right to map a portal and once without.
step=3
echo
echo "   # vdev-dsa ${uuids[*]}"
vdev-dsa -t "$table" "${uuids[@]}" || exit
echo
echo "   # setpriv --bounding-set=-sys_rawio vdev-dsa ${uuids[*]}"
setpriv --inh-caps=-sys_rawio --bounding-set=-sys_rawio \
	vdev-dsa -t "$table" "${uuids[@]}" || exit

step=6
echo
echo "6. The work queues go back"
for uuid in "${uuids[@]}"; do
	put 1 "$mdevs/$uuid/remove"
	[[ ! -e $mdevs/$uuid ]] || die "$uuid is still there" "close its users"
done
came "$(<"$type/available_instances") instances are free again"
uuids=()
run accel-config disable-wq "$dsa/${wqs[0]}"
# Size and group are those of step 1: idxd takes no others while the device is enabled.
run accel-config config-wq "$dsa/${wqs[0]}" --mode=dedicated --type=kernel \
	--driver-name=dmaengine --name=host --priority=10
before=$(ls /sys/class/dma)
run accel-config enable-wq "$dsa/${wqs[0]}"
channel=$(comm -13 <(echo "$before") <(ls /sys/class/dma))
[[ $channel ]] || die "no DMA channel appeared" "see the kernel log"
came "${wqs[0]} is the host's again: DMA channel $channel"
run modprobe dmatest timeout=10000 iterations=100 threads_per_chan=1
put "$channel" /sys/module/dmatest/parameters/channel "see the kernel log"
put 1 /sys/module/dmatest/parameters/run "see the kernel log"
# Its parameter "wait" does not wait for a thread that has not run yet
for ((tries = 0; tries < 600; tries++)); do
	result=$(dmesg | grep "dmatest: $channel.*summary") && break
	sleep 0.1
done
came "${result#*] }"
[[ $result == *"100 tests, 0 failures"* ]] || die "dmatest failed" "see the kernel log"
modprobe -r dmatest

echo
while IFS='|' read -r portal polled by_irq isolated cost; do
	printf '%-18s %-16s %-18s %-10s %s\n' "$portal" "$polled" "$by_irq" "$isolated" "$cost"
done < <(echo "portal|copies, polled|copies, by MSI-X|isolated|submit to completion"; cat "$table")
echo
echo "demo: done"
