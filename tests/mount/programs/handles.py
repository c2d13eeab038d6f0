#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""File handles, as NFS servers and backup programs use them, outlive what the
kernel has in its cache, and mounts; old and made up ones find nothing.

usage: handles.py make DIR FILE     what was made below DIR stands in FILE
       handles.py use DIR FILE
       handles.py stale DIR FILE    after these all is gone again
       handles.py race DIR SECONDS  old handles while their numbers are reused
"""
import ctypes
import errno
import os
import pickle
import random
import stat
import struct
import sys
import time
import traceback

AT_FDCWD, HANDLE_MAX = -100, 128
FUSE = 0x81             # the type of FUSE's handles; ext4's is 1
libc = ctypes.CDLL(None, use_errno=True)


def handle_of(path):
    buf = ctypes.create_string_buffer(8 + HANDLE_MAX)
    struct.pack_into("Ii", buf, 0, HANDLE_MAX, 0)
    if libc.name_to_handle_at(AT_FDCWD, path.encode(), buf,
                              ctypes.byref(ctypes.c_int()), 0) < 0:
        raise OSError(ctypes.get_errno(), "name_to_handle_at", path)
    n, kind = struct.unpack_from("Ii", buf)
    return kind, buf.raw[8:8 + n]


def open_handle(top, handle, flags=os.O_RDONLY):
    kind, data = handle
    buf = ctypes.create_string_buffer(8 + HANDLE_MAX)
    struct.pack_into("Ii", buf, 0, len(data), kind)
    buf[8:8 + len(data)] = data
    where = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    fd = libc.open_by_handle_at(where, buf, flags)
    err = ctypes.get_errno()
    os.close(where)
    if fd < 0:
        raise OSError(err, errno.errorcode[err])
    return fd


def made_up(kind, ino, generation):
    if kind == FUSE:
        return kind, struct.pack("III", ino >> 32, ino & 0xffffffff,
                                 generation)
    return kind, struct.pack("II", ino & 0xffffffff, generation)


def generation_of(handle):
    return struct.unpack("I", handle[1][-4:])[0]


def forget():
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
        f.write("2")


def make(top):
    os.makedirs(f"{top}/d/sub")
    with open(f"{top}/d/f", "w", encoding="ascii") as f:
        f.write("hello")
    os.symlink("f", f"{top}/d/l")
    os.mkfifo(f"{top}/d/p")
    os.link(f"{top}/d/f", f"{top}/d/sub/other")
    return {name: (handle_of(f"{top}/{name}"), os.lstat(f"{top}/{name}").st_ino)
            for name in ("", "d", "d/sub", "d/f", "d/l", "d/p")}


def use(top, handles):
    for name, (handle, ino) in handles.items():
        flags = os.O_PATH if name == "d/l" else os.O_RDONLY | os.O_NONBLOCK
        fd = open_handle(top, handle, flags)
        st = os.fstat(fd)
        assert st.st_ino == ino, name
        if name == "d/f":
            assert os.read(fd, 100) == b"hello"
        if stat.S_ISDIR(st.st_mode):
            up = os.stat("..", dir_fd=fd).st_ino
            assert name == "" or up == handles[os.path.dirname(name)][1], name
            assert name != "d" or sorted(os.listdir(fd)) == ["f", "l", "p",
                                                             "sub"]
        if name == "d/l":
            assert os.readlink("", dir_fd=fd) == "f"
        os.close(fd)


def is_stale(top, handle, also=errno.ESTALE):
    try:
        os.close(open_handle(top, handle, os.O_RDONLY | os.O_NONBLOCK))
    except OSError as e:
        assert e.errno in (errno.ESTALE, also), f"{handle}: {e}"
        return True
    return False


def stale(top, handles):
    kind = handles["d/f"][0][0]
    generation = generation_of(handles["d/f"][0])
    ino = handles["d/f"][1]
    assert is_stale(top, made_up(kind, ino, generation ^ 1))
    numbers = [1, 3, 7, 8, 10, 0, 4000, 1 << 31, (1 << 32) - 1]
    if kind == FUSE:
        numbers += [(1 << 32) + ino, 1 << 40, (1 << 64) - 1]
        numbers += [random.randrange(1 << 48) & ~7 for _ in range(50)]
    for number in numbers:
        if kind == FUSE and number == 1:
            continue                    # its name for the root
        for g in (0, 1, generation):
            assert is_stale(top, made_up(kind, number, g)), hex(number)
    # Its number may be another file's soon.
    for name in ("d/f", "d/sub/other", "d/l", "d/p"):
        os.unlink(f"{top}/{name}")
    os.rmdir(f"{top}/d/sub")
    forget()
    for name in ("d/f", "d/sub", "d/p"):
        assert is_stale(top, handles[name][0]), name
    os.mkfifo(f"{top}/d/p")
    for name in ("d/f", "d/sub", "d/p"):
        assert is_stale(top, handles[name][0]), name
    fd = open_handle(top, handles["d"][0])
    assert os.listdir(fd) == ["p"]
    os.close(fd)


def race(top, seconds):
    """Two make and remove files, two open what is gone or is it again."""
    names = [f"{top}/r{n}" for n in range(8)]
    old = []
    for name in names:
        os.mknod(name, 0o644 | stat.S_IFREG)
        old.append(handle_of(name))
        os.unlink(name)
    end = time.monotonic() + seconds
    pids = []
    for n in range(4):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                while time.monotonic() < end:
                    if n < 2:
                        name = f"{top}/race{n}"
                        os.mknod(name, 0o644 | stat.S_IFREG)
                        os.unlink(name)
                    else:
                        for handle in old:
                            # What ext4 in the kernel says of one that is
                            # just being made.
                            assert is_stale(top, handle, errno.ENOMEM)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        pids.append(pid)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    os.stat(top)


def main():
    what, top, path = sys.argv[1:]
    if what == "race":
        race(top, float(path))
        return
    if what == "make":
        handles = make(top)
        with open(path, "wb") as f:
            pickle.dump(handles, f)
        use(top, handles)
    else:
        with open(path, "rb") as f:
            handles = pickle.load(f)
    forget()
    (stale if what == "stale" else use)(top, handles)


main()
