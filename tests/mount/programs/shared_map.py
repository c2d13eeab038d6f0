#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Files that are mapped and shared on the mount.

usage: shared_map.py CASE FILE

Each case works on FILE, which it makes; "kept" says what the one before,
"two_processes", must have left after the image was mounted anew.
"""
import mmap
import os
import random
import sys

PAGE = mmap.PAGESIZE
SIZE = 256 * PAGE


def byte(page, n=0):
    return (page * 7 + n * 31) % 251 + 1


def check(what, got, want):
    if got != want:
        sys.exit(f"shared_map.py: {what}: {got[:16]!r}..., "
                 f"not {want[:16]!r}...")


def create(path, size=SIZE):
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    os.ftruncate(fd, size)
    return fd


def child(work):
    """Run @work in a child; its failure is ours."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except SystemExit as e:
            print(e, file=sys.stderr)
        finally:
            os._exit(status)
    return pid


def reap(pid):
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        sys.exit("shared_map.py: the other process failed")


def turns():
    """Two pipes: each process waits for the other's word."""
    a_in, a_out = os.pipe()
    b_in, b_out = os.pipe()
    return (lambda: os.write(a_out, b"x"), lambda: os.read(a_in, 1),
            lambda: os.write(b_out, b"x"), lambda: os.read(b_in, 1))


def two_processes(path):
    """Stores of one process are seen by the other: mapped, and by read();
    what the other writes with write() is seen in the map."""
    fd = create(path)
    say_a, hear_a, say_b, hear_b = turns()

    def other():
        mine = os.open(path, os.O_RDWR)
        m = mmap.mmap(mine, SIZE)
        for page in range(0, 256, 3):
            hear_a()
            want = bytes([byte(page)]) * PAGE
            check("the map", m[page * PAGE:(page + 1) * PAGE], want)
            check("read()", os.pread(mine, PAGE, page * PAGE), want)
            os.pwrite(mine, bytes([byte(page, 1)]) * 100, page * PAGE + 50)
            m[page * PAGE + 300] = byte(page, 2)
            say_b()
        m.close()

    pid = child(other)
    m = mmap.mmap(fd, SIZE)
    for page in range(0, 256, 3):
        m[page * PAGE:(page + 1) * PAGE] = bytes([byte(page)]) * PAGE
        if page % 2:
            m.flush(page * PAGE, PAGE)
        say_a()
        hear_b()
        check("the map", m[page * PAGE + 50:page * PAGE + 150],
              bytes([byte(page, 1)]) * 100)
        check("the map", m[page * PAGE + 300:page * PAGE + 301],
              bytes([byte(page, 2)]))
    reap(pid)
    # msync() and all: the next mount has it (kept). The last ones are left
    # to write-back: unmounting writes them.
    m.flush()
    m[255 * PAGE:] = b"\xee" * PAGE
    m.close()


def kept(path):
    with open(path, "rb") as f:
        data = f.read()
    check("the size", b"%d" % len(data), b"%d" % SIZE)
    for page in range(255):
        want = bytearray(PAGE)
        if page % 3 == 0:
            want[:] = bytes([byte(page)]) * PAGE
            want[50:150] = bytes([byte(page, 1)]) * 100
            want[300] = byte(page, 2)
        check(f"page {page}", data[page * PAGE:(page + 1) * PAGE],
              bytes(want))
    check("the last page", data[255 * PAGE:], b"\xee" * PAGE)


def read_into_own_map(path):
    """A direct read whose buffer is a mapping of the same file (B10 of
    docs/dio-bugs.md): faulting the buffer in must not wait for the read."""
    fd = create(path)
    for page in range(64):
        os.pwrite(fd, bytes([byte(page)]) * PAGE, page * PAGE)
    os.fsync(fd)
    direct = os.open(path, os.O_RDWR | os.O_DIRECT)
    m = mmap.mmap(fd, SIZE)
    view = memoryview(m)
    for n in 1, 4, 32:
        # From pages 0.. into pages 128..: not faulted in so far.
        got = os.preadv(direct, [view[128 * PAGE:(128 + n) * PAGE]], 0)
        check("the count", b"%d" % got, b"%d" % (n * PAGE))
        for page in range(n):
            at = (128 + page) * PAGE
            want = bytes([byte(page)]) * PAGE
            check("the map", m[at:at + PAGE], want)
            check("read()", os.pread(fd, PAGE, at), want)
    # The very same pages, source and target.
    m[0:PAGE] = b"\x11" * PAGE
    got = os.preadv(direct, [view[0:4 * PAGE]], 0)
    check("the count", b"%d" % got, b"%d" % (4 * PAGE))
    check("the map", m[0:PAGE], b"\x11" * PAGE)
    check("the map", m[PAGE:2 * PAGE], bytes([byte(1)]) * PAGE)


def write_from_own_map(path):
    """The other way round: a direct write whose bytes are mapped from the
    file that is written."""
    fd = create(path)
    for page in range(64):
        os.pwrite(fd, bytes([byte(page)]) * PAGE, page * PAGE)
    os.fsync(fd)
    direct = os.open(path, os.O_RDWR | os.O_DIRECT)
    m = mmap.mmap(fd, SIZE)
    view = memoryview(m)
    room = mmap.mmap(-1, PAGE)
    m[3 * PAGE:4 * PAGE] = b"\x77" * PAGE      # dirty in the map alone
    for to in 128, 200:
        got = os.pwritev(direct, [view[0:32 * PAGE]], to * PAGE)
        check("the count", b"%d" % got, b"%d" % (32 * PAGE))
        for page in range(32):
            want = b"\x77" if page == 3 else bytes([byte(page)])
            at = (to + page) * PAGE
            check("the map", m[at:at + PAGE], want * PAGE)
            check("read()", os.pread(fd, PAGE, at), want * PAGE)
            os.preadv(direct, [room], at)
            check("a direct read", room[:], want * PAGE)
    # Onto itself.
    got = os.pwritev(direct, [view[0:8 * PAGE]], 0)
    check("the count", b"%d" % got, b"%d" % (8 * PAGE))
    check("the map", m[3 * PAGE:4 * PAGE], b"\x77" * PAGE)


def direct_and_mapped(path):
    """Direct writes and reads beside a map of the same pages: each sees what
    was there before it began."""
    r = random.Random(1)
    fd = create(path)
    direct = os.open(path, os.O_RDWR | os.O_DIRECT)
    m = mmap.mmap(fd, SIZE)
    room = mmap.mmap(-1, 8 * PAGE)
    model = bytearray(SIZE)
    for step in range(600):
        n = r.randint(1, 8)
        page = r.randrange(256 - n)
        at, end = page * PAGE, (page + n) * PAGE
        fill = bytes([r.randrange(1, 256)]) * (n * PAGE)
        how = r.randrange(5)
        if how == 0:
            m[at:end] = fill
            model[at:end] = fill
        elif how == 1:
            room[:n * PAGE] = fill
            os.pwritev(direct, [memoryview(room)[:n * PAGE]], at)
            model[at:end] = fill
        elif how == 2:
            os.preadv(direct, [memoryview(room)[:n * PAGE]], at)
            check(f"step {step}, a direct read", room[:n * PAGE],
                  bytes(model[at:end]))
        elif how == 3:
            check(f"step {step}, the map", m[at:end], bytes(model[at:end]))
        else:
            os.pwrite(fd, fill[:100], at + 7)
            model[at + 7:at + 107] = fill[:100]
        if step % 50 == 0:
            m.flush()
    check("all of it", m[:], bytes(model))
    with open(path, "rb") as f:
        check("all of it", f.read(), bytes(model))


def beyond_the_end(path):
    """Bytes stored behind the end of the file are nobody's: they are not
    there when the file grows."""
    fd = create(path, PAGE + 100)
    m = mmap.mmap(fd, PAGE + 100)
    m[PAGE:PAGE + 100] = b"a" * 100
    m.flush()
    os.ftruncate(fd, 3 * PAGE)
    check("read()", os.pread(fd, 2 * PAGE, PAGE),
          b"a" * 100 + bytes(2 * PAGE - 100))
    # Cut while it is mapped: what was cut is gone, too.
    m2 = mmap.mmap(fd, 3 * PAGE)
    m2[:] = b"b" * (3 * PAGE)
    os.ftruncate(fd, 10)
    os.ftruncate(fd, 3 * PAGE)
    check("read()", os.pread(fd, 3 * PAGE, 0), b"b" * 10 +
          bytes(3 * PAGE - 10))
    check("the map", m2[:PAGE], b"b" * 10 + bytes(PAGE - 10))


def private_and_unlinked(path):
    """A private map does not change the file; a shared map of an unlinked
    file lives on."""
    fd = create(path)
    os.pwrite(fd, b"c" * PAGE, 0)
    private = mmap.mmap(fd, SIZE, flags=mmap.MAP_PRIVATE)
    private[0:10] = b"d" * 10
    check("read()", os.pread(fd, 10, 0), b"c" * 10)
    shared = mmap.mmap(fd, SIZE)
    os.unlink(path)
    shared[0:10] = b"e" * 10
    shared.flush()
    check("read()", os.pread(fd, 12, 0), b"e" * 10 + b"cc")
    if os.path.exists(path):
        sys.exit("shared_map.py: the name is still there")
    create(path)


def main():
    cases = (two_processes, kept, read_into_own_map, write_from_own_map,
             direct_and_mapped, beyond_the_end, private_and_unlinked)
    for case in cases:
        if sys.argv[1:2] == [case.__name__] and len(sys.argv) == 3:
            case(sys.argv[2])
            return
    sys.exit(__doc__)


if __name__ == "__main__":
    main()
