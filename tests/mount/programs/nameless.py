#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""O_TMPFILE and the time of birth, inside a mount.

usage: nameless.py DIR

77: the kernel's FUSE does not carry them (Linux 6.2 and 6.6).
"""
import errno
import os
import subprocess
import sys

os.chdir(sys.argv[1])
here = os.open(".", os.O_RDONLY)


def nameless(flags=0):
    return os.open(".", os.O_TMPFILE | os.O_RDWR | flags, 0o640)


def name(fd, path):
    # Through /proc: by an empty path, only root may.
    os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=here, dst_dir_fd=here,
            follow_symlinks=True)


def free():
    st = os.statvfs(".")
    return st.f_bfree, st.f_ffree


def check(what, holds):
    if not holds:
        sys.exit(what)


before = free()
try:
    fd = nameless()
except OSError as e:
    if e.errno == errno.EOPNOTSUPP:
        print("this kernel's FUSE has no O_TMPFILE")
        sys.exit(77)
    raise
os.write(fd, b"x" * 100_000)
check("it has a name", os.listdir(".") == ["lost+found"])
st = os.fstat(fd)
check("attributes", (st.st_nlink, st.st_size, st.st_mode & 0o777) ==
      (0, 100_000, 0o640))
check("it takes no room", free()[1] == before[1] - 1)
os.fsync(fd)
os.close(fd)
os.sync()
check("it was not freed", free()[1] == before[1])

fd = nameless()
os.write(fd, b"named later")
name(fd, "named")
check("links of what has a name", os.fstat(fd).st_nlink == 1)
os.close(fd)
with open("named", "rb") as f:
    check("what was written before it had a name", f.read() == b"named later")

fd = nameless(os.O_EXCL)
try:
    name(fd, "never")
    sys.exit("O_EXCL, and it got a name")
except OSError as e:
    check("errno of that", e.errno == errno.ENOENT)
os.close(fd)


def born(path):
    said = subprocess.run(["stat", "-c", "%W", path], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    return int(said)


st = os.stat("named")
check("no time of birth", born("named") > 0)
os.utime("named", (st.st_atime - 1000, st.st_mtime - 1000))
check("born when it was changed", abs(born("named") - st.st_mtime) < 60)
os.mkdir("dir")
os.symlink("named", "link")
check("a directory is not born", born("dir") >= int(st.st_mtime))
check("a symlink is not born", born("link") >= int(st.st_mtime))
