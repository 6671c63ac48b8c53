#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
#
# The life of a vdev in trace events, by the commands of mdev-pasid-endpoints.rst.
# SIOV_SAMPLES is where the samples are, in a tree with its Documentation.

import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid

SAMPLES = os.environ.get("SIOV_SAMPLES", "../../../../samples/vfio-mdev")
PAGE = SAMPLES + "/../../Documentation/driver-api/mdev-pasid-endpoints.rst"
TYPE = "/sys/class/mdev_bus/siov-pf/mdev_supported_types/siov_sample-copy"

# What siov_copy does to its vdev, in this order, whatever comes between
LIFE = ["bind", "attach", "portal_map", "fault", "reset", "detach", "unbind"]


def skip(why):
    print(f"TAP version 13\n1..0 # SKIP {why}")
    sys.exit(4)


def commands():
    with open(PAGE, encoding="utf-8") as page:
        lines = [line.strip() for line in page if line.startswith("   trace-cmd ")]
    return [line for line in lines if "sleep" not in line]


def run(command, env):
    done = subprocess.run(command, shell=True, env=env, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        print("# " + done.stdout.replace("\n", "\n# "))
        sys.exit(f"{command} failed")
    return done.stdout


def events(report, name):
    """[(event, {field: value})] of one vdev."""
    found = []
    for line in report.splitlines():
        match = re.search(r"\bmdev_pasid_(\w+): +(.*)", line)
        if match:
            fields = dict(f.split("=", 1) for f in match.group(2).split())
            if fields["vdev"] == name:
                found.append((match.group(1), fields))
    return found


def in_order(names, wanted):
    names = iter(names)
    return all(want in names for want in wanted)


def main():
    if subprocess.run(["modprobe", "-q", "siov_sample"], check=False).returncode and \
            not os.environ.get("VDEV_SELFTEST_REQUIRED"):
        skip("no siov_sample module")
    if not shutil.which("trace-cmd") and not os.environ.get("VDEV_SELFTEST_REQUIRED"):
        skip("no trace-cmd")
    name = "5e1f7e57" + str(uuid.uuid4())[8:]
    with open(TYPE + "/create", "w", encoding="ascii") as create:
        create.write(name)
    try:
        with open(f"/sys/bus/mdev/devices/{name}/pasid/pasid", encoding="ascii") as pasid:
            pasid = pasid.read().strip()
        with tempfile.TemporaryDirectory() as tmp:
            os.chdir(tmp)
            env = dict(os.environ, UUID=name)
            output = [run(command, env) for command in commands()]
    finally:
        with open(f"/sys/bus/mdev/devices/{name}/remove", "w", encoding="ascii") as remove:
            remove.write("1")

    found = events(output[-1], name)
    names = [event for event, _ in found]
    fields = dict(found)
    checks = [
        ("the page has a record and a report", len(output) == 2),
        ("the life of a vdev in its order", in_order(names, LIFE)),
        ("nothing before bind and nothing after unbind",
         names[:1] == ["bind"] and names[-1:] == ["unbind"]),
        ("each event has the PASID", all(f["pasid"] == pasid for _, f in found)),
        ("one bind, which succeeded",
         names.count("bind") == 1 and fields["bind"]["ret"] == "0" and
         fields["bind"]["pf"] == "siov-pf"),
        ("attached to an IOAS, by a HWPT",
         fields["attach"]["ret"] == "0" and fields["attach"]["pt"] != fields["attach"]["hwpt"]),
        ("the doorbell led to the hardware", fields["portal_map"]["to"] == "hardware"),
        ("a fault where siov_copy makes one",
         [(f["addr"], f["access"]) for event, f in found if event == "fault"] ==
         [("0x102000", "read")]),
    ]
    print(f"TAP version 13\n1..{len(checks)}")
    for nr, (what, passed) in enumerate(checks, 1):
        print(f"{'ok' if passed else 'not ok'} {nr} {what}")
    if not all(passed for _, passed in checks):
        print("# " + output[-1].replace("\n", "\n# "))
        sys.exit(1)


main()
