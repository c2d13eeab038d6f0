#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A copy inside a mount stops when who asked for it is killed.

usage: interrupt.py DIR MB [queued | others]

DIR, on the mount, has room for MB twice, and as much again for "queued": the
server does one copy at a time, and what is killed is one that waits for another.
"others": what waits and is no copy is not disturbed by signals.
"""
import ctypes
import errno
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

def copy(to):
    """The pid of who copies, about to begin."""
    began, begins = os.pipe()
    pid = os.fork()
    if pid == 0:
        a = os.open(where / "from", os.O_RDONLY)
        b = os.open(where / to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(begins, b"x")
        os.copy_file_range(a, b, size)      # one request
        os._exit(0)
    os.read(began, 1)
    return pid


def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def running():
    """The copy that is done is killed."""
    delay = 0.01
    copied = 0
    while copied == 0:          # it has to be under way
        pid = copy("to")
        time.sleep(delay)
        end(pid)
        copied = os.stat(where / "to").st_size
        delay *= 2
    print(f"{copied >> 20} of {size >> 20} MiB were copied")
    with open(where / "from", "rb") as a, open(where / "to", "rb") as b:
        if a.read(copied) != b.read():
            sys.exit("what was copied is not what was to be copied")
    if copied == size:
        sys.exit("the copy went on to its end")


def queued():
    """The copy that waits is killed."""
    first = copy("first")
    time.sleep(0.01)            # the server is at it
    second = copy("second")
    time.sleep(0.02)            # and that one waits
    if os.waitpid(first, os.WNOHANG) != (0, 0):
        print("the first copy was too quick for this test")
        sys.exit(77)
    end(second)
    ended = time.monotonic()
    os.waitpid(first, 0)
    left = time.monotonic() - ended
    print(f"the first copy went on for {left:.3f} s after that")
    if left < 0.05:
        sys.exit("the second copy waited for the first")
    if os.stat(where / "first").st_size != size:
        sys.exit("the first copy was cut short")
    if os.stat(where / "second").st_size != 0:
        sys.exit("the second copy was done")


def others():
    """Calls that no program expects EINTR of, without Python's own retry."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(where / "other", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"x")
    first = copy("first")
    time.sleep(0.01)            # the server is at it
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    began = time.monotonic()
    failed = [name for name, call in {
        "fsync": lambda: libc.fsync(fd),
        "fchmod": lambda: libc.fchmod(fd, 0o640),
        "ftruncate": lambda: libc.ftruncate(fd, 4096)}.items()
        if call() != 0 and ctypes.get_errno() == errno.EINTR]
    signal.setitimer(signal.ITIMER_REAL, 0)
    took = time.monotonic() - began
    print(f"they took {took:.3f} s, with a signal in each of its milliseconds")
    os.waitpid(first, 0)
    if failed:
        sys.exit(f"EINTR of {', '.join(failed)}")
    if took < 0.02:
        print("the first copy was too quick for this test")
        sys.exit(77)


{"queued": queued, "others": others}.get(sys.argv[-1], running)()
