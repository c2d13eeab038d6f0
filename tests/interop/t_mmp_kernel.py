#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Multi-mount protection with a kernel and e2fsck beside us, and two of us on
two block devices that are one and the same (loop devices over one file: what
one host has cached is not seen by the other). Root and loop devices only.

waits() takes a minute: each of its parts waits as the protocol asks for, all of
them at the same time. It is in the suite "long"; the others do not wait."""
import contextlib
import os
import signal
import struct
import subprocess
import threading
import time

from clitest import (ROOT, TOOL, case, debugfs, fails, fsck, main, mke2fs, ok,
                     put, run, sh, skip)

CLEAN, FSCK = 0xFF4D4D50, 0xE24D4D50
QUICK = ("-t", "ext4", "-O", "mmp,^metadata_csum", "-E",
         "mmp_update_interval=1")   # a check interval of 5 s, waits of 11 s


def needs_loop():
    if not ROOT:
        skip("needs root to mount")
    mke2fs("probe", *QUICK)
    os.mkdir("dir")
    if subprocess.run(["mount", "-o", "loop", "probe", "dir"],
                      capture_output=True).returncode:
        skip("the kernel mounts no images with mmp here")
    sh("umount", "dir")


class Image(contextlib.ExitStack):
    """An image in a directory of its own; all mounts of it end with it."""

    def __init__(self, name, *args):
        super().__init__()
        self.dir = os.path.join(os.getcwd(), name)
        os.mkdir(self.dir)
        self.path = self.at("img")
        mke2fs(self.path, *(args or QUICK))
        with open(self.path, "rb") as f:
            f.seek(1024)
            sb = f.read(1024)
        self.place = struct.unpack_from("<Q", sb, 0x168)[0] << (
            10 + struct.unpack_from("<I", sb, 0x18)[0])

    def at(self, name):
        return os.path.join(self.dir, name)

    def block(self):
        with open(self.path, "rb") as f:
            f.seek(self.place)
            return f.read(1024)

    def seq(self):
        return struct.unpack_from("<I", self.block(), 4)[0]

    def put_seq(self, seq):
        """Without a checksum to keep right."""
        with open(self.path, "r+b") as f:
            f.seek(self.place + 4)
            f.write(struct.pack("<I", seq))

    def loop(self):
        dev = sh("losetup", "-f", "--show", self.path).strip()
        self.callback(sh, "losetup", "-d", dev, check=False)
        return dev

    def kernel(self, opts="rw"):
        """Mounted by the kernel, or None if it is busy."""
        d = self.at(f"k{len(os.listdir(self.dir))}")
        os.mkdir(d)
        p = subprocess.run(["mount", "-t", "ext4", "-o", opts, self.loop(), d],
                           capture_output=True)
        if p.returncode:
            assert b"already mounted or mount point busy" in p.stderr, p.stderr
            return None
        self.callback(sh, "umount", d, check=False)
        return d

    def ours(self, what=None):
        """Mounted by us; the server can be killed: (directory, pid)."""
        d = self.at(f"u{len(os.listdir(self.dir))}")
        os.mkdir(d)
        p = subprocess.Popen([TOOL, "mount", "-f", what or self.path, d],
                             stderr=subprocess.PIPE)
        self.callback(self.end, d, p)
        while not os.path.ismount(d) and p.poll() is None:
            time.sleep(0.01)
        os.stat(d)              # it answers
        return d, p

    @staticmethod
    def end(d, p):
        if p.poll() is None:
            p.send_signal(signal.SIGTERM)
        p.wait(60)
        sh("umount", "-l", d, check=False)


def sync(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def took(seconds, at_least, at_most):
    assert at_least <= seconds <= at_most, f"took {seconds:.1f} s"


# ---- without waits ----

@case
def clean_ones_go_round():
    """Kernel, we, e2fsck, and again: nobody waits for the one before."""
    needs_loop()
    start = time.time()
    for args in (("-t", "ext4", "-O", "mmp,metadata_csum"), QUICK):
        with Image("i" + args[3][:5], *args) as i:
            for turn in range(2):
                d = i.kernel()
                put(d + f"/kernel{turn}", b"k")
                sh("umount", d)
                assert i.seq() == CLEAN
                ok("cp", put("f", b"u"), f"{i.path}:/ours{turn}")
                assert i.seq() == CLEAN
                assert ok("cat", f"{i.path}:/kernel{turn}").out == b"k"
                fsck(i.path)
            text = debugfs(i.path, "dump_mmp")
            assert "device_name: img\n" in text and "ff4d4d50" in text, text
            if "checksum" in text:
                d = i.kernel("ro")
                assert os.listdir(d)
    took(time.time() - start, 0, 5)


@case
def a_running_e2fsck_is_left_alone():
    """Its sequence: refused at once by the kernel and by us."""
    needs_loop()
    with Image("i") as i:
        i.put_seq(FSCK)
        assert i.kernel() is None
        fails("cp", put("f", b"u"), i.path + ":/f", says="e2fsck is at work")
        fails("mount", i.path, "dir", says="clear_mmp")
        assert i.seq() == FSCK
        assert run("ls", i.path + ":/").status == 0     # reading goes on
        sh("tune2fs", "-f", "-E", "clear_mmp", i.path)
        ok("cp", "f", i.path + ":/f")
        fsck(i.path)


@case
def what_others_wrote_is_seen():
    """Ours on a block device whose page cache holds an older block."""
    needs_loop()
    with Image("i") as i:
        dev = i.loop()
        fd = os.open(dev, os.O_RDONLY)
        i.callback(os.close, fd)        # keeps the cache of the device
        os.pread(fd, 1 << 20, i.place & ~0xfff)
        i.put_seq(FSCK)
        assert os.pread(fd, 8, i.place)[4:] == struct.pack("<I", CLEAN)
        fails("cp", put("f", b"u"), dev + ":/f", says="e2fsck is at work")


# ---- with waits, all at once ----

def kernel_keeps_off_ours(i):
    d, _ = i.ours()
    put(d + "/f", b"ours")
    start = time.time()
    assert i.kernel() is None
    took(time.time() - start, 10, 40)
    put(d + "/g", b"still")
    sync(d + "/g")


def we_keep_off_the_kernel(i):
    d = i.kernel()
    put(d + "/f", b"kernel")
    sync(d + "/f")
    start = time.time()
    p = run("cp", put(i.at("x"), b"x"), i.path + ":/x")
    took(time.time() - start, 10, 40)
    err = p.err.decode()
    assert p.status == 1 and "waiting 22 s" in err, err
    assert "in use: mounted at node" in err and "device loop" in err, err
    put(d + "/g", b"still")


def we_keep_off_each_other(i):
    """Two hosts: flock does not tell, nor does the page cache."""
    d, _ = i.ours(i.loop())
    put(d + "/f", b"one")
    p = run("cp", put(i.at("x"), b"x"), i.loop() + ":/x")
    assert p.status == 1 and b"in use: mounted at node" in p.err, p.err
    put(d + "/g", b"still")
    sync(d + "/g")


def e2fsck_keeps_off_ours(i):
    d, _ = i.ours(i.loop())
    put(d + "/f", b"ours")
    # on another device, or the table of mounts tells
    p = subprocess.run(["e2fsck", "-fy", i.loop()], capture_output=True)
    assert p.returncode & 8 and b"MMP" in p.stderr + p.stdout, p.stdout
    put(d + "/g", b"still")


def we_keep_off_e2fsck(i):
    """It writes a sequence at random first and waits, like a mount."""
    p = subprocess.Popen(["e2fsck", "-fy", i.path], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT)
    while i.seq() == CLEAN and p.poll() is None:
        time.sleep(0.01)
    assert i.seq() not in (CLEAN, FSCK)
    done = run("cp", put(i.at("x"), b"x"), i.path + ":/x")
    assert done.status == 1, done.err
    p.communicate()
    assert p.returncode == 0
    ok("cp", i.at("x"), i.path + ":/x")


def kernel_waits_for_our_dead(i):
    d, server = i.ours()
    put(d + "/f", b"ours")
    sync(d + "/f")
    server.kill()
    server.wait()
    sh("umount", "-l", d)
    start = time.time()
    d = i.kernel()
    took(time.time() - start, 20, 60)
    with open(d + "/f", "rb") as f:
        assert f.read() == b"ours"


def we_wait_for_the_kernels_dead(i):
    d = i.kernel()
    put(d + "/f", b"kernel")
    sync(d + "/f")
    sh("cp", i.path, i.at("copy"))
    sh("umount", d)
    os.rename(i.at("copy"), i.path)
    start = time.time()
    p = run("cp", put(i.at("x"), b"x"), i.path + ":/x")
    took(time.time() - start, 22, 40)
    assert p.status == 0 and b"waiting 22 s" in p.err, p.err
    assert ok("cat", i.path + ":/f").out == b"kernel"


def e2fsck_agrees_after_a_crash(i):
    d, server = i.ours()
    put(d + "/f", b"ours")
    sync(d + "/f")
    server.kill()
    server.wait()
    sh("umount", "-l", d)
    p = subprocess.run(["e2fsck", "-fp", i.path], capture_output=True)
    assert p.returncode <= 1, p.stdout
    assert ok("cat", i.path + ":/f").out == b"ours"


def a_stopped_server_does_no_harm(i):
    """It stands still until it is taken for dead; another works on; when it
    wakes up it writes nothing more."""
    d, server = i.ours(i.loop())
    put(d + "/f", b"first")
    sync(d + "/f")
    with open(d + "/late", "wb") as f:
        f.write(b"never")
    server.send_signal(signal.SIGSTOP)
    p = run("cp", put(i.at("x"), b"x"), i.loop() + ":/x")
    assert p.status == 0, p.err
    assert i.seq() == CLEAN
    with open(i.path, "rb") as f:
        was = f.read()
    server.send_signal(signal.SIGCONT)
    time.sleep(3)
    try:
        put(d + "/g", b"no")
        wrote = True
    except OSError:
        wrote = False
    server.send_signal(signal.SIGTERM)
    err = server.communicate()[1]
    assert not wrote, (err, hex(i.seq()))
    assert b"another has taken it" in err, err
    assert server.returncode == 1
    with open(i.path, "rb") as f:
        assert f.read() == was


PARTS = [kernel_keeps_off_ours, we_keep_off_the_kernel, we_keep_off_each_other,
         e2fsck_keeps_off_ours, we_keep_off_e2fsck, kernel_waits_for_our_dead,
         we_wait_for_the_kernels_dead, e2fsck_agrees_after_a_crash,
         a_stopped_server_does_no_harm]


@case
def waits():
    needs_loop()
    failed = []

    def part(f):
        try:
            with Image(f.__name__) as i:
                f(i)
            fsck(i.path)
        except BaseException as e:      # in the main thread, below
            failed.append(f"{f.__name__}: {e!r}")

    threads = [threading.Thread(target=part, args=(f,)) for f in PARTS]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed, "\n".join(failed)


if __name__ == "__main__":
    main()
