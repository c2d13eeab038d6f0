#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who copies by SEEK_DATA and SEEK_HOLE loses nothing, though much of what was
written is only in the kernel's page cache yet.

usage: seek_cached.py DIR
"""
import errno
import mmap
import os
import sys

path = os.path.join(sys.argv[1], "f")
BLOCK = 4096
PLACES = range(10 * BLOCK, 200 * BLOCK, 2 * BLOCK)


def fresh():
    if os.path.exists(path):
        os.unlink(path)
    return os.open(path, os.O_RDWR | os.O_CREAT)


def data(fd):
    """Ranges that are told to be data."""
    at = 0
    while True:
        try:
            begin = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as e:
            if e.errno != errno.ENXIO:
                raise
            return
        at = os.lseek(fd, begin, os.SEEK_HOLE)
        yield begin, at


def copy(fd):
    got = bytearray(os.fstat(fd).st_size)
    for begin, end in data(fd):
        got[begin:end] = os.pread(fd, end - begin, begin)
    return bytes(got)


def check(what, fd):
    want = os.pread(fd, 1 << 21, 0)
    if copy(fd) != want:
        sys.exit(f"{what}: a copy by holes is not the file")


fd = fresh()
for at in PLACES:
    os.pwrite(fd, b"x" * 100, at)
check("written", fd)
os.pwrite(fd, b"end", 1 << 20)
check("longer", fd)
os.close(fd)

fd = fresh()
os.ftruncate(fd, 1 << 20)
with mmap.mmap(fd, 1 << 20) as m:
    for at in PLACES:
        m[at] = 1
    m.flush()
    check("mapped", fd)
os.close(fd)
