#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make directories until that is not possible any more, and say which were made.

usage: makers.py DIR N BEGUN   N at a time; each adds a line to BEGUN when it has
                               made some
"""
import os
import sys
import threading

where, n, begun = sys.argv[1], int(sys.argv[2]), sys.argv[3]
top = os.open(where, os.O_RDONLY)
made = [[] for _ in range(n)]


def make(me):
    i = 0
    try:
        while True:
            name = f"m.{me}.{i}"
            os.mkdir(name, dir_fd=top)
            made[me].append(name)
            i += 1
            if i == 20:
                with open(begun, "a", encoding="ascii") as f:
                    f.write("x\n")
    except OSError:
        pass


threads = [threading.Thread(target=make, args=(i,)) for i in range(n)]
for t in threads:
    t.start()
for t in threads:
    t.join()
for names in made:
    for name in names:
        print(name)
