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

began, begins = os.pipe()
pid = os.fork()
if pid == 0:
    a = os.open(where / "from", os.O_RDONLY)
    b = os.open(where / "to", os.O_WRONLY | os.O_CREAT)
    os.write(begins, b"x")
    os.copy_file_range(a, b, size)          # one request
    os._exit(0)
os.read(began, 1)
time.sleep(0.02)        # the copy is under way now, as a rule
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
copied = os.stat(where / "to").st_size
print(f"{copied >> 20} of {size >> 20} MiB were copied")
with open(where / "from", "rb") as a, open(where / "to", "rb") as b:
    if a.read(copied) != b.read():
        sys.exit("what was copied is not what was to be copied")
if copied == size:
    sys.exit("the copy went on to its end")
