#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The sample from loading to unloading: what one would type, what comes of it and what it
# means. Runs as root on any machine whose kernel has the modules; "make sample" runs it in
# the lab machine.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
type=/sys/class/mdev_bus/siov-pf/mdev_supported_types/siov_sample-copy
mdevs=/sys/bus/mdev/devices
faults=/sys/kernel/debug/siov_iommu/faults
uuids=()

die() {
	echo "sample: $1; $2" >&2
	exit 1
}

# run COMMAND..: shows a command as typed, and what it prints.
run() {
	echo "   # $*"
	"$@" 2>&1 | sed 's/^/     /' || die "$1 failed" "see the kernel log"
}

# put TEXT FILE
put() {
	echo "   # echo $1 > $2"
	{ echo "$1" >"$2"; } 2>/dev/null || die "cannot write to $2" \
		"see $(cat /sys/class/mdev_bus/siov-pf/mdev_pasid/last_error 2>/dev/null || echo "the kernel log")"
}

means() { printf '     => %s\n' "$*"; }

cleanup() {
	local uuid
	for uuid in "${uuids[@]}"; do
		[[ ! -e $mdevs/$uuid ]] || echo 1 >"$mdevs/$uuid/remove"
	done
}
trap cleanup EXIT

# The user program: built already, or here
if ! command -v siov_copy >/dev/null; then
	bin=$(mktemp -d)
	trap 'cleanup; rm -rf "$bin"' EXIT
	cc -O2 -o "$bin/siov_copy" "$here/siov_copy.c" || die "cannot build siov_copy.c" \
		"install a C compiler and the headers of Linux 6.6 or later"
	PATH=$bin:$PATH
fi

echo "1. Load the IOMMU, the physical function (PF) behind it, and its driver"
run modprobe siov_sample
run ls /sys/class/iommu
means "siov-iommu is a module; the PF it translates is /sys/devices/platform/siov-pf"
run cat $type/available_instances
means "the PF has so many contexts, and as many PASIDs: each can become a vdev"

echo
echo "2. Make three vdevs of it: a UUID names a vdev"
for ((i = 0; i < 3; i++)); do
	uuid=$(</proc/sys/kernel/random/uuid)
	put "$uuid" $type/create
	uuids+=("$uuid")
	name=$(basename "$mdevs/$uuid"/vfio-dev/vfio*)
	means "/dev/vfio/devices/$name, PASID $(<"$mdevs/$uuid/pasid/pasid") of $(<"$mdevs/$uuid/pasid/parent")"
done
! command -v udevadm >/dev/null || udevadm settle

echo
echo "3. The shortest user (siov_copy.py)"
run python3 "$here/siov_copy.py" "${uuids[0]}"
means "the copy went through the page table of the user, and only there"

echo
echo "4. A user of all three (siov_copy.c)"
echo "   # siov_copy ${uuids[*]}"
siov_copy "${uuids[@]}" | sed 's/^./     &/' || die "siov_copy failed" "see above"

echo
echo "5. What the IOMMU saw"
if [[ -e $faults ]]; then
	run cat $faults
	means "each fault was stopped in the PASID that made it"
	pasid=$(<"$mdevs/${uuids[0]}/pasid/pasid")
	read=${faults%/*}/read
	echo "   # echo $pasid 0x100000 > $read"
	! { echo "$pasid 0x100000" >"$read"; } 2>/dev/null ||
		die "PASID $pasid still reaches memory" "report this"
	means "PASID $pasid reaches nothing any more: its user has gone, and the page table with him"
else
	echo "   (mount debugfs to see it)"
fi

echo
echo "6. Remove them"
for uuid in "${uuids[@]}"; do
	put 1 "$mdevs/$uuid/remove"
done
uuids=()
run modprobe -r siov_sample
[[ ! -e $type ]] || die "the module is still there" "close the users of its vdevs"
echo
echo "sample: done"
