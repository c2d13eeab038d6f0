#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make directories until that is not possible any more, and say which were made.

usage: makers.py DIR N BEGUN   N processes, each in a directory of its own; each
                               adds a line to BEGUN when it has made some
"""
import os
import sys

where, n, begun = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def make(me):
    os.mkdir(f"{where}/m{me}")
    top = os.open(f"{where}/m{me}", os.O_RDONLY)
    made = []
    try:
        while True:
            name = f"m{me}.{len(made)}"
            os.mkdir(name, dir_fd=top)
            made.append(name)
            if len(made) == 20:
                with open(begun, "a", encoding="ascii") as f:
                    f.write("x\n")
    except OSError:
        pass
    for name in made:
        os.write(1, name.encode() + b"\n")


for i in range(n):
    if os.fork() == 0:
        make(i)
        os._exit(0)
for _ in range(n):
    os.wait()
