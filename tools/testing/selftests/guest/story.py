#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What "make guest" shows is so."""

import os
import subprocess
import sys

import vm


def story():
    """The story that "make guest" tells comes to its end"""
    with subprocess.Popen([f"{os.path.dirname(vm.__file__)}/story"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines = []
        for line in process.stdout:
            print("#", line, end="", flush=True)
            lines.append(line)
    vm.check(process.returncode == 0, f"it ends with {process.returncode}")
    costs = {words[0]: words[1:] for words in map(str.split, lines)
             if words and words[0] in ("direct", "mediated")}
    vm.check(float(costs["direct"][0]) == 0, f"exits for a direct submission: {costs}")
    vm.check(float(costs["mediated"][0]) >= 1, f"exits for a mediated submission: {costs}")


sys.exit(vm.run_tests(story))
