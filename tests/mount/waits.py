#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Wait for an event, without asking again and again.

usage: waits.py mounted DIR PID    DIR is a mount point that answers
       waits.py gone DIR           DIR is no mount point any more
       waits.py umount DIR         as umount(8), which see umount() below
       waits.py exit PID           the process is no more (or a zombie)
       waits.py stopped PID        it has been stopped by a signal
       waits.py lines N FILE...    they hold N lines together; all of them in
                                   one directory, where they may be missing

Exits 1 when the process PID ends first, or after AWAIT_SECONDS (60).
"""
import ctypes
import errno
import os
import select
import sys
import time


def mounts():
    """The mount points of this namespace."""
    with open("/proc/self/mountinfo", "rb") as f:
        return [line.split()[4].decode("unicode_escape").encode("latin-1")
                for line in f]


def process(pid):
    """A descriptor that becomes readable when @pid ends; None: has ended."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def deadline():
    return time.monotonic() + float(os.environ.get("AWAIT_SECONDS", 60))


def wait_mounts(holds, pid=None):
    """Wait until @holds() of the mount table; False: @pid ended first."""
    end = deadline()
    poll = select.poll()
    with open("/proc/self/mountinfo", "rb") as table:
        poll.register(table, select.POLLPRI)
        child = None
        if pid is not None:
            child = process(pid)
            if child is None:
                return False
            poll.register(child, select.POLLIN)
        while not holds():
            left = end - time.monotonic()
            if left <= 0:
                return False
            for fd, _ in poll.poll(left * 1000):
                if fd == child:
                    return False
        return True


def wait_exit(pid):
    fd = process(pid)
    if fd is None:
        return True
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll((deadline() - time.monotonic()) * 1000))


def wait_stopped(pid):
    """Only a parent is told of it, so this has to look."""
    end = deadline()
    while time.monotonic() < end:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                state = f.read().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        if state in "TZX":
            return state == "T"
        time.sleep(0.005)
    return False


IN_MODIFY, IN_CREATE = 0x2, 0x100


def count_lines(names):
    n = 0
    for name in names:
        try:
            with open(name, "rb") as f:
                n += f.read().count(b"\n")
        except FileNotFoundError:
            pass
    return n


def wait_lines(n, names):
    end = deadline()
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_CLOEXEC)
    where = os.fsencode(os.path.dirname(names[0]) or ".")
    if fd < 0 or libc.inotify_add_watch(fd, where, IN_MODIFY | IN_CREATE) < 0:
        sys.exit("waits.py: inotify: " + os.strerror(ctypes.get_errno()))
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while count_lines(names) < n:
        if not poll.poll(max(0, end - time.monotonic()) * 1000):
            return False
        os.read(fd, 1 << 16)
    return True


def wait_mounted(where, pid):
    where = os.fsencode(os.path.realpath(where))
    if not wait_mounts(lambda: where in mounts(), pid):
        return False
    try:
        os.statvfs(where)       # waits for the server's first answer
    except OSError as e:
        print(f"waits.py: {os.fsdecode(where)}: {e.strerror}",
              file=sys.stderr)
        return False
    return True


def umount(where, flags=0):
    """As the system call; but a server that has just answered for the first
    time may be looking at its own mount for a moment still."""
    libc = ctypes.CDLL(None, use_errno=True)
    end = time.monotonic() + 2
    while libc.umount2(os.fsencode(where), flags) < 0:
        e = ctypes.get_errno()
        if e != errno.EBUSY or time.monotonic() > end:
            raise OSError(e, os.strerror(e), os.fsdecode(where))
        time.sleep(0.001)


def main():
    args = sys.argv[1:]
    if len(args) == 3 and args[0] == "mounted":
        done = wait_mounted(args[1], int(args[2]))
    elif len(args) == 2 and args[0] == "gone":
        where = os.fsencode(os.path.realpath(args[1]))
        done = wait_mounts(lambda: where not in mounts())
    elif len(args) == 2 and args[0] == "umount":
        umount(args[1])
        done = True
    elif len(args) == 2 and args[0] == "exit":
        done = wait_exit(int(args[1]))
    elif len(args) == 2 and args[0] == "stopped":
        done = wait_stopped(int(args[1]))
    elif len(args) >= 3 and args[0] == "lines":
        done = wait_lines(int(args[1]), args[2:])
    else:
        sys.exit(__doc__)
    if not done:
        sys.exit(f"waits.py: {' '.join(args)}: in vain")


if __name__ == "__main__":
    main()
