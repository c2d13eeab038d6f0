#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What was written before a file became immutable is there.

usage: frozen.py DIR

Through a mapping and by write(), which the kernel may still have in its cache;
the same for append-only.
"""
import fcntl
import mmap
import os
import struct
import sys

GETFLAGS, SETFLAGS = 0x80086601, 0x40086602
IMMUTABLE, APPEND = 0x10, 0x20


def flags(fd, on, off):
    old = struct.unpack("I", fcntl.ioctl(fd, GETFLAGS, bytes(4)))[0]
    fcntl.ioctl(fd, SETFLAGS, struct.pack("I", old & ~off | on))


def on_disk(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    room = mmap.mmap(-1, 8192)
    os.readv(fd, [room])
    os.close(fd)
    return room[:4], room[4096:4100]


for name, flag in ("immutable", IMMUTABLE), ("append", APPEND):
    path = os.path.join(sys.argv[1], name)
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"a" * 8192, 0)
    os.fsync(fd)
    with mmap.mmap(fd, 8192) as m:
        m[:4] = b"map!"
        os.pwrite(fd, b"pwr!", 4096)
        flags(fd, flag, 0)
        m.flush()
        os.fsync(fd)
    there = on_disk(path)
    flags(fd, 0, flag)
    os.close(fd)
    if there != (b"map!", b"pwr!"):
        sys.exit(f"{name}: {there} is there")
