#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A copy inside a mount stops when who asked for it is killed.

usage: interrupt.py DIR MB     DIR, on the mount, has room for MB twice
"""
import os
import pathlib
import signal
import sys
import time

where, size = pathlib.Path(sys.argv[1]), int(sys.argv[2]) << 20
chunk = os.urandom(1 << 20)
with open(where / "from", "wb") as f:
    for _ in range(size >> 20):
        f.write(chunk)

def copied_until(delay):
    """How much is copied when the copy is killed after @delay seconds."""
    began, begins = os.pipe()
    pid = os.fork()
    if pid == 0:
        a = os.open(where / "from", os.O_RDONLY)
        b = os.open(where / "to", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(begins, b"x")
        os.copy_file_range(a, b, size)      # one request
        os._exit(0)
    os.read(began, 1)
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return os.stat(where / "to").st_size


# It has to be under way.
delay = 0.01
while (copied := copied_until(delay)) == 0:
    delay *= 2
print(f"{copied >> 20} of {size >> 20} MiB were copied")
with open(where / "from", "rb") as a, open(where / "to", "rb") as b:
    if a.read(copied) != b.read():
        sys.exit("what was copied is not what was to be copied")
if copied == size:
    sys.exit("the copy went on to its end")
