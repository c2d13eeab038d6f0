#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SEEK_DATA and SEEK_HOLE know what only the kernel's page cache has yet.

usage: seek_cached.py DIR
"""
import mmap
import os
import sys

path = os.path.join(sys.argv[1], "f")
BLOCK = 4096


def fresh():
    if os.path.exists(path):
        os.unlink(path)
    return os.open(path, os.O_RDWR | os.O_CREAT)


def expect(what, got, want):
    if got != want:
        sys.exit(f"{what}: {got}, not {want}")


fd = fresh()
os.ftruncate(fd, 1 << 20)
with mmap.mmap(fd, 1 << 20) as m:
    for at in range(10 * BLOCK, 200 * BLOCK, 2 * BLOCK):
        m[at] = 1
    expect("first of a map", os.lseek(fd, 0, os.SEEK_DATA), 10 * BLOCK)
    for at in range(10 * BLOCK, 200 * BLOCK, 2 * BLOCK):
        expect("data", os.lseek(fd, at - BLOCK, os.SEEK_DATA), at)
        expect("hole", os.lseek(fd, at, os.SEEK_HOLE), at + BLOCK)
    # A run of them, found one by one.
    for at in range(210 * BLOCK, 220 * BLOCK, BLOCK):
        m[at] = 1
    expect("end of a run", os.lseek(fd, 210 * BLOCK, os.SEEK_HOLE), 220 * BLOCK)
os.close(fd)

fd = fresh()
os.pwrite(fd, b"x" * 5000, 25 * BLOCK)
expect("written", os.lseek(fd, 0, os.SEEK_DATA), 25 * BLOCK)
expect("its end", os.lseek(fd, 25 * BLOCK, os.SEEK_HOLE), 25 * BLOCK + 5000)
