#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same random program of calls on a kernel mount and on ours.

usage: mount_diff.py [--replay FILE] [--seed N] [--ops M] KERNEL_DIR OUR_DIR

After every call the errno and what came out of it must be equal; at the end
the trees, their attributes, and the counts of statfs. Calls are made as root
and as two other users. What may differ stands in ALLOWED, with a reason. The
first difference is printed with the calls before it; with --out FILE the
program up to it is kept, for --replay and for shrink.py.
"""
import argparse
import ctypes
import errno
import fcntl
import json
import mmap
import os
import random
import stat
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
USERS = [(0, 0, []), (1001, 1001, [2000]), (1002, 2000, [])]
NAMES = ["a", "b", "c", "d1", "d2", "l", "n" * 255, "n" * 256, "x\n\\\xff"]
GETFLAGS, SETFLAGS = 0x80086601, 0x40086602
FSGETXATTR, GETVERSION, GETFSLABEL = 0x801c581f, 0x80087601, 0x81009431
FLAGS = [0x8, 0x10, 0x20, 0x40, 0x80]   # sync, immutable, append, nodump, noatime

# (call, errno of the kernel, ours): reason.
ALLOWED = {
    ("rmdir", errno.EPERM, errno.ENOTDIR):
        "FUSE: the kernel in front does not know append-only and immutable",
    ("unlink", errno.EPERM, errno.EISDIR): "the same",
    ("rename", errno.EPERM, None): "the same",
    ("fallocate_other", None, errno.EOPNOTSUPP):
        "FUSE: collapse, insert and unshare are refused by the kernel's FUSE",
}


def acl(*entries):
    return struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", *e) for e in entries)


ACLS = [acl((1, 6, 0xffffffff), (2, 7, 1001), (4, 4, 0xffffffff),
            (16, 5, 0xffffffff), (32, 0, 0xffffffff)),
        acl((1, 7, 0xffffffff), (4, 5, 0xffffffff), (8, 6, 2000),
            (16, 7, 0xffffffff), (32, 5, 0xffffffff)), b"\2\0\0\0", b"junk"]


class Program:
    """Chooses calls; knows nothing of what they did."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def path(self):
        r = self.r
        depth = r.choice([1, 1, 1, 2, 2, 3])
        parts = [r.choice(["d1", "d2", "d1", "a", "l", ".", ".."])
                 for _ in range(depth - 1)] + [r.choice(NAMES[:6] + NAMES[:6] +
                                                        NAMES)]
        return "/".join(parts) + ("/" if r.random() < 0.02 else "")

    def pos(self):
        r = self.r
        return r.choice([0, 0, r.randrange(1 << 18), 4096 * r.randrange(64),
                         r.randrange(1 << 12), 1 << 24, (1 << 44) + 5])

    def length(self):
        r = self.r
        return r.choice([0, 1, r.randrange(9000), 4096, 8192, 65536])

    def next(self):
        r = self.r
        kind = r.choice(KINDS)
        user = r.choice([0, 0, 0, 1, 2])
        p, q = self.path(), self.path()
        if kind == "open":
            flags = os.O_NONBLOCK | r.choice(
                [os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR])
            for f, chance in ((os.O_CREAT, .6), (os.O_EXCL, .1),
                              (os.O_TRUNC, .1), (os.O_APPEND, .15),
                              (os.O_DIRECT, .2), (os.O_SYNC, .05),
                              (os.O_DSYNC, .05), (os.O_NOFOLLOW, .1),
                              (os.O_DIRECTORY, .03), (os.O_NOATIME, .05)):
                if r.random() < chance:
                    flags |= f
            args = [p, flags, r.choice([0o644, 0o600, 0o666, 0o4755, 0o2770])]
        elif kind in ("close", "fsync", "fdatasync", "fstat"):
            args = [r.randrange(8)]
        elif kind in ("pread", "pwrite", "write", "mapstore", "direct"):
            args = [r.randrange(8), self.pos(), self.length(), r.randrange(256)]
            if kind == "write":
                args[1] %= 1 << 43  # FUSE: lseek knows no limit of ours
            elif kind == "mapstore":
                args[1] = r.randrange(8192)
            elif kind == "direct":
                args[1:3] = [4096 * r.randrange(64), 4096 * r.randrange(1, 9)]
        elif kind in ("fallocate", "fallocate_other"):
            modes = [0, 1, 3, 0x10, 0x11] if kind == "fallocate" else [8, 0x20]
            args = [r.randrange(8), r.choice(modes), self.pos() % (1 << 25),
                    self.length()]
        elif kind == "seek":
            args = [r.randrange(8), self.pos(), r.choice([3, 4])]
        elif kind == "copy":
            args = [r.randrange(8), r.randrange(8), self.pos() % (1 << 25),
                    self.pos() % (1 << 25), self.length()]
        elif kind == "ftruncate":
            args = [r.randrange(8), self.pos()]
        elif kind == "truncate":
            args = [p, self.pos()]
        elif kind in ("mkdir", "chmod"):
            args = [p, r.choice([0o755, 0o700, 0o777, 0o1777, 0o2775, 0o4755,
                                 0o644, 0o6777])]
        elif kind == "chown":
            args = [p, r.choice([0, 1001, 1002]), r.choice([-1, 0, 2000])]
        elif kind == "mknod":
            args = [p, r.choice([stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR,
                                 stat.S_IFBLK, stat.S_IFREG]) | 0o640,
                    os.makedev(240, 5)]
        elif kind in ("rename", "link"):
            args = [p, q, r.choice([0, 0, 0, 1, 2, 4, 3])]
        elif kind == "symlink":
            args = [r.choice(["a", "d1", "l", "../a", "none", "t" * 200]), p]
        elif kind == "utime":
            args = [p, r.choice([0, 1, 10**9 + 123456789, 5 * 10**18,
                                 15 * 10**18, -10**18]), r.randrange(10**18)]
        elif kind in ("setxattr", "getxattr", "removexattr"):
            name = r.choice(["user.a", "user.b", "user." + "n" * 250,
                             "user." + "n" * 251, "trusted.t", "security.s",
                             "system.posix_acl_access",
                             "system.posix_acl_default", "nothing.x", "user."])
            value = r.choice(ACLS) if "acl" in name else bytes(
                [r.randrange(256)]) * r.choice([0, 1, 30, 500, 5000])
            args = [p, name, value.hex(), r.choice([0, 0, 1, 2])]
        elif kind == "setflags":
            args = [p, r.choice([0, 0, 0, 0, r.choice(FLAGS),
                                 r.choice(FLAGS) | r.choice(FLAGS)])]
        elif kind == "access":
            args = [p, r.randrange(8)]
        elif kind == "umask":
            args = [r.choice([0, 0o022, 0o077])]
        else:
            args = [p]
        return [kind, user, args]


KINDS = ("open open open open close fsync fdatasync fstat pread pread pwrite "
         "pwrite write write direct direct mapstore fallocate seek copy "
         "ftruncate truncate mkdir mkdir rmdir unlink unlink chmod chmod chown "
         "mknod rename rename link symlink readlink utime stat stat lstat "
         "listdir setxattr setxattr getxattr listxattr removexattr setflags "
         "getflags xflags version access umask statfs fallocate_other chmod_back").split()


def become(user):
    os.setresuid(0, 0, 0)
    uid, gid, groups = USERS[user]
    os.setgroups(groups)
    os.setresgid(gid, gid, 0)
    os.setresuid(uid, uid, 0)


class Side:
    """One mount: carries the calls out below @top."""

    def __init__(self, top):
        # Deep enough for paths that go up.
        top = os.path.join(top, "x/x/x/x")
        os.makedirs(top)
        self.top = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
        self.fds = [-1] * 8
        self.turn = 0
        self.room = mmap.mmap(-1, 1 << 17)

    def attrs(self, st):
        return [st.st_mode, st.st_nlink, st.st_uid, st.st_gid, st.st_rdev,
                0 if stat.S_ISDIR(st.st_mode) else st.st_size]

    def run(self, kind, a):
        return getattr(self, "do_" + kind)(*a)

    def do_open(self, p, flags, mode):
        fd = os.open(p, flags, mode, dir_fd=self.top)
        at = self.turn % 8
        if self.fds[at] >= 0:
            os.close(self.fds[at])
        self.fds[at] = fd
        self.turn += 1
        return self.attrs(os.fstat(fd))

    def fd(self, n):
        if self.fds[n] < 0:
            raise OSError(errno.EBADF, "closed")
        return self.fds[n]

    def do_close(self, n):
        fd, self.fds[n] = self.fd(n), -1
        os.close(fd)

    def do_fsync(self, n):
        os.fsync(self.fd(n))

    def do_fdatasync(self, n):
        os.fdatasync(self.fd(n))

    def do_fstat(self, n):
        return self.attrs(os.fstat(self.fd(n)))

    def is_direct(self, fd):
        return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT

    def do_pread(self, n, pos, length, _):
        fd = self.fd(n)
        if self.is_direct(fd):  # python's memory is not aligned
            return None
        return os.pread(fd, length, pos).hex()

    def do_pwrite(self, n, pos, length, byte):
        fd = self.fd(n)
        if self.is_direct(fd):
            return None
        return os.pwrite(fd, bytes([byte]) * length, pos)

    def do_write(self, n, pos, length, byte):
        fd = self.fd(n)
        if self.is_direct(fd):
            return None
        os.lseek(fd, pos, os.SEEK_SET)
        return [os.write(fd, bytes([byte]) * length),
                os.lseek(fd, 0, os.SEEK_CUR)]

    def do_direct(self, n, pos, length, byte):
        fd = self.fd(n)
        with memoryview(self.room)[:length] as m:
            if byte & 1:
                done = os.preadv(fd, [m], pos)
                return [done, bytes(m[:done]).hex()]
            m[:] = bytes([byte]) * length
            return os.pwritev(fd, [m], pos)

    def do_mapstore(self, n, pos, length, byte):
        fd = self.fd(n)
        size = os.fstat(fd).st_size
        if size == 0 or size > 1 << 20:
            return None
        with mmap.mmap(fd, size) as m:
            m[min(pos, size - 1)] = byte
            m.flush()

    def do_fallocate(self, n, mode, pos, length):
        if libc.fallocate(self.fd(n), mode, ctypes.c_long(pos),
                          ctypes.c_long(length)) < 0:
            raise OSError(ctypes.get_errno(), "fallocate")
        return self.attrs(os.fstat(self.fd(n)))

    do_fallocate_other = do_fallocate

    def do_seek(self, n, pos, whence):
        return os.lseek(self.fd(n), pos, whence)

    def do_copy(self, n, m, pos, to, length):
        if n == m:
            return None
        return os.copy_file_range(self.fd(n), self.fd(m), length, pos, to)

    def do_ftruncate(self, n, size):
        os.ftruncate(self.fd(n), size)

    def at(self, p):
        return f"/proc/self/fd/{self.top}/{p}"

    def do_truncate(self, p, size):
        os.truncate(self.at(p), size)

    def do_mkdir(self, p, mode):
        os.mkdir(p, mode, dir_fd=self.top)
        return self.do_lstat(p)

    def do_rmdir(self, p):
        os.rmdir(p, dir_fd=self.top)

    def do_unlink(self, p):
        os.unlink(p, dir_fd=self.top)

    def do_chmod(self, p, mode):
        os.chmod(p, mode, dir_fd=self.top)
        return self.do_stat(p)

    def do_chmod_back(self, p):
        os.chmod(p, 0o777, dir_fd=self.top)

    def do_chown(self, p, uid, gid):
        os.chown(p, uid, gid, dir_fd=self.top, follow_symlinks=False)
        return self.do_lstat(p)

    def do_mknod(self, p, mode, dev):
        os.mknod(p, mode, dev, dir_fd=self.top)
        return self.do_lstat(p)

    def do_rename(self, p, q, flags):
        if libc.renameat2(self.top, os.fsencode(p), self.top, os.fsencode(q),
                          flags) < 0:
            raise OSError(ctypes.get_errno(), "rename")

    def do_link(self, p, q, _):
        os.link(p, q, src_dir_fd=self.top, dst_dir_fd=self.top,
                follow_symlinks=False)
        return self.do_lstat(q)

    def do_symlink(self, target, p):
        os.symlink(target, p, dir_fd=self.top)
        return self.do_lstat(p)

    def do_readlink(self, p):
        return os.readlink(p, dir_fd=self.top)

    def do_utime(self, p, atime, mtime):
        os.utime(p, ns=(atime, mtime), dir_fd=self.top, follow_symlinks=False)
        st = os.stat(p, dir_fd=self.top, follow_symlinks=False)
        return [st.st_atime_ns, st.st_mtime_ns]

    def do_stat(self, p):
        return self.attrs(os.stat(p, dir_fd=self.top))

    def do_lstat(self, p):
        return self.attrs(os.stat(p, dir_fd=self.top, follow_symlinks=False))

    def do_listdir(self, p):
        fd = os.open(p, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.top)
        try:
            return sorted(os.listdir(fd))
        finally:
            os.close(fd)

    def do_setxattr(self, p, name, value, flags):
        os.setxattr(self.at(p), name, bytes.fromhex(value), flags)
        return self.do_stat(p)

    def do_getxattr(self, p, name, *_):
        return os.getxattr(self.at(p), name).hex()

    def do_removexattr(self, p, name, *_):
        os.removexattr(self.at(p), name)

    def do_listxattr(self, p):
        return sorted(os.listxattr(self.at(p)))

    def ioctl(self, p, what, arg):
        fd = os.open(p, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW,
                     dir_fd=self.top)
        try:
            if not stat.S_IFMT(os.fstat(fd).st_mode) in (stat.S_IFREG,
                                                         stat.S_IFDIR):
                return None
            return fcntl.ioctl(fd, what, arg)
        finally:
            os.close(fd)

    def do_getflags(self, p):
        got = self.ioctl(p, GETFLAGS, bytes(8))
        return got and struct.unpack("<I", got[:4])[0] & 0xfff

    def do_setflags(self, p, flags):
        now = self.ioctl(p, GETFLAGS, bytes(8))
        if now is None:
            return None
        keep = struct.unpack("<I", now[:4])[0] & ~0xf8
        self.ioctl(p, SETFLAGS, struct.pack("<Q", keep | flags))
        return self.do_getflags(p)

    def do_xflags(self, p):
        got = self.ioctl(p, FSGETXATTR, bytes(28))
        return got and struct.unpack("<I", got[:4])[0] & 0x7fff

    def do_version(self, p):
        self.ioctl(p, GETVERSION, bytes(8))

    def do_access(self, p, mode):
        return os.access(p, mode, dir_fd=self.top, effective_ids=True)

    def do_umask(self, mask):
        os.umask(mask)

    def do_statfs(self, p):
        st = os.statvfs(self.at(p))
        return [st.f_bsize, st.f_frsize, st.f_blocks, st.f_files, st.f_namemax]

    def close_all(self):
        for n, fd in enumerate(self.fds):
            if fd >= 0:
                os.close(fd)
                self.fds[n] = -1

    def tree(self):
        """All there is, as root."""
        found = {}
        for path, dirs, files, fd in os.fwalk(".", dir_fd=self.top):
            for name in ["."] + sorted(dirs + files):
                st = os.stat(name, dir_fd=fd, follow_symlinks=False)
                p = f"/proc/self/fd/{fd}/{name}"
                is_link = stat.S_ISLNK(st.st_mode)
                data = None
                if stat.S_ISREG(st.st_mode) and st.st_size <= 1 << 25:
                    with open(p, "rb") as f:
                        data = hash(f.read())
                found[os.path.join(path, name)] = self.attrs(st) + [
                    st.st_blocks, data,
                    os.readlink(name, dir_fd=fd) if is_link else None,
                    sorted((n, os.getxattr(p, n, follow_symlinks=False).hex())
                           for n in os.listxattr(p, follow_symlinks=False))]
        return found


def outcome(side, user, kind, args):
    try:
        become(user)
        return [0, side.run(kind, args)]
    except OSError as e:
        return [e.errno, None]
    except (ValueError, OverflowError) as e:
        return [-1, str(e)]


def allowed(kind, a, b):
    for (k, ours, theirs), _ in ALLOWED.items():
        if k == kind and (ours is None or a[0] == ours) and \
                (b[0] == theirs or (theirs is None and b[0] > 0)):
            return (k, ours, theirs)
    return None


def compare_ends(kernel, ours):
    become(0)
    os.umask(0)
    for side in (kernel, ours):
        side.close_all()
        os.fsync(side.top)
        libc.syncfs(side.top)
        for _, dirs, files, fd in os.fwalk(".", dir_fd=side.top):
            for name in files:
                if stat.S_ISREG(os.stat(name, dir_fd=fd,
                                        follow_symlinks=False).st_mode):
                    f = os.open(name, os.O_RDONLY, dir_fd=fd)
                    os.fsync(f)
                    os.close(f)
    a, b = kernel.tree(), ours.tree()
    wrong = [(p, a.get(p), b.get(p)) for p in sorted(set(a) | set(b))
             if a.get(p) != b.get(p)]
    for p, x, y in wrong[:10]:
        print(f"at the end: {p!r}\n  kernel: {x}\n  ours:   {y}")
    x, y = (os.fstatvfs(s.top) for s in (kernel, ours))
    if x.f_ffree != y.f_ffree:
        print(f"at the end: free inodes {x.f_ffree} and {y.f_ffree}")
        wrong.append(None)
    return not wrong


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--ops", type=int, default=10000)
    p.add_argument("--replay")
    p.add_argument("--out")
    p.add_argument("kernel")
    p.add_argument("ours")
    args = p.parse_args()
    kernel, ours = Side(args.kernel), Side(args.ours)
    program = Program(args.seed)
    done, met, good = [], {}, 0
    ops = json.load(open(args.replay)) if args.replay else None
    for n in range(len(ops) if ops else args.ops):
        kind, user, a = ops[n] if ops else program.next()
        done.append([kind, user, a])
        x, y = (outcome(s, user, kind, a) for s in (kernel, ours))
        good += x[0] == 0
        if x == y:
            continue
        reason = allowed(kind, x, y)
        if reason:
            met[reason] = met.get(reason, 0) + 1
            continue
        become(0)
        print(f"seed {args.seed}, call {n}: {kind} {a!r} as {USERS[user]}\n"
              f"  kernel: {str(x)[:300]}\n  ours:   {str(y)[:300]}")
        for d in done[-12:]:
            print("   ", json.dumps(d)[:200])
        if args.out:
            json.dump(done, open(args.out, "w"))
        sys.exit(1)
    if not compare_ends(kernel, ours):
        if args.out:
            json.dump(done, open(args.out, "w"))
        sys.exit(f"seed {args.seed}: the trees differ after {len(done)} calls")
    print(f"seed {args.seed}: {len(done)} calls equal, {good} of which "
          f"succeeded; " + ", ".join(f"{n} times {k[0]}"
                                     for k, n in met.items()))


if __name__ == "__main__":
    main()
