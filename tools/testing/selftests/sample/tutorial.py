#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""tutorial.py RST DIR: takes the code out of the tutorial.

Makes DIR/stepN/ for each step, with the files as they are after that step, and try.sh, its
"try it" block. A code block belongs to a file if its caption says so: "FILE, SECTION"
replaces that section, or adds it at the end; "FILE, SECTION, before OTHER" adds it there.
"""
import pathlib
import re
import sys

BLOCK = re.compile(r"^\.\. code-block:: \w+\n   :caption: (?P<caption>[^\n]*)\n\n"
                   r"(?P<code>(?:(?:   [^\n]*)?\n)*)", re.M)
STEP = re.compile(r"^Step (\d+): [^\n]*\n=+$", re.M)


def undent(code):
    return "".join(line[3:] + "\n" for line in code.rstrip("\n").split("\n"))


def add(files, caption, code):
    name, _, rest = caption.partition(", ")
    section, _, other = rest.partition(", before ")
    sections = files.setdefault(name, {})
    if section in sections or not other:
        sections[section] = code
        return
    items = list(sections.items())
    items.insert([s for s, _ in items].index(other), (section, code))
    files[name] = dict(items)


def text(name, sections):
    # Kernel code is shown with spaces, and stored with tabs
    joined = "\n".join(sections.values())
    if name.endswith(".c"):
        joined = re.sub(r"^(?: {8})+", lambda m: "\t" * (len(m[0]) // 8), joined, flags=re.M)
    return joined


def main():
    source = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    out = pathlib.Path(sys.argv[2])
    parts = STEP.split(source)
    files = {}
    steps = 0
    for caption, code in BLOCK.findall(parts[0]):
        add(files, caption, undent(code))
    for number, body in zip(parts[1::2], parts[2::2]):
        tries = ""
        for caption, code in BLOCK.findall(body):
            if caption == "try it":
                tries += undent(code)
            else:
                add(files, caption, undent(code))
        step = out / f"step{number}"
        step.mkdir(parents=True)
        (step / "try.sh").write_text(tries, encoding="utf-8")
        for name, sections in files.items():
            (step / name).write_text(text(name, sections), encoding="utf-8")
        steps += 1
    if steps != int(number) or not tries:
        sys.exit(f"{sys.argv[1]}: the steps are not numbered 1 to {steps}")


main()
