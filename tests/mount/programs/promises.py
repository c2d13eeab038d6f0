# SPDX-License-Identifier: MIT
"""What a writer did to its directory, and what may be there after a crash.

A directory is a dict: name -> bytes of a file, or a str: the target of a
symlink, or DIR. An operation is a tuple (kind, name, arguments). Each ends
with the fsyncs that make it last, so after do() has returned it is promised;
while do() is under way, may_be() says what a crash may leave of it.

usage: promises.py DIR    tries itself
"""
import mmap
import os
import random
import sys

DIR = True
TMP = ".tmp"
SECTOR = 512
MAX = 96 << 10
LARGE = 512 << 10       # written in a few requests, as the server likes it best
PIECE = 128 << 10


def fill(seed, size):
    return random.Random(seed).randbytes(size)


def choose(r, state):
    """An operation that makes sense for @state."""
    files = [n for n, v in state.items()
             if isinstance(v, bytes) and n != "large"]
    name = r.choice("abcdefgh")
    kind = r.choices(["replace", "append", "overwrite", "truncate", "unlink",
                      "mkdir", "symlink", "move", "large"],
                     [8, 6, 6, 3, 2, 1, 1, 2, 2])[0]
    seed = r.randrange(1 << 40)
    if kind in ("overwrite", "truncate", "unlink", "move") and not files:
        kind = "replace"
    if kind == "replace":
        return (kind, name, seed, r.choice([0, 1, 59, 4096, r.randrange(MAX)]),
                r.choice(["write", "direct", "map"]))
    if kind == "large":
        return (kind, kind, seed)
    if kind == "append":
        name = "log"
        if len(state.get(name, b"")) > MAX:
            return ("truncate", name, 0)
        return (kind, name, seed, r.choice([1, 100, 4096, 10000]))
    if kind == "mkdir":
        if "dir" in state:
            return ("rmdir", "dir")
        return (kind, "dir")
    if kind == "symlink":
        if "link" in state:
            return ("unlink", "link")
        return (kind, "link", "x" * r.choice([5, 59, 60, 200]))
    name = r.choice(files)
    size = len(state[name])
    if kind == "overwrite":
        n = r.choice([1, 512, 4096, 20000])
        return (kind, name, r.randrange(size + 1), seed, n)
    if kind == "truncate":
        return (kind, name, r.choice([0, size // 2, min(size + 5000, MAX)]))
    if kind == "move":
        return (kind, name, r.choice("abcdefgh"))
    return (kind, name)


def after(state, op):
    """The directory when @op is done."""
    kind, name = op[:2]
    new = dict(state)
    old = state.get(name, b"")
    if kind == "replace":
        new[name] = fill(op[2], op[3])
    elif kind == "large":
        new[name] = fill(op[2], LARGE)
    elif kind == "append":
        new[name] = old + fill(op[2], op[3])
    elif kind == "overwrite":
        at, data = op[2], fill(op[3], op[4])
        new[name] = old[:at] + data + old[at + len(data):]
    elif kind == "truncate":
        new[name] = old[:op[2]] + bytes(max(0, op[2] - len(old)))
    elif kind in ("unlink", "rmdir"):
        del new[name]
    elif kind == "mkdir":
        new[name] = DIR
    elif kind == "symlink":
        new[name] = op[2]
    elif kind == "move":
        if op[2] != name:
            new[op[2]] = new.pop(name)
    return new


def write_all(fd, data, at=None):
    while data:
        n = os.write(fd, data) if at is None else os.pwrite(fd, data, at)
        data = data[n:]
        at = None if at is None else at + n


def write_new(path, data, how):
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
    whole = len(data) // 4096 * 4096
    if how == "direct" and whole:
        fd = os.open(path, flags | os.O_DIRECT, 0o644)
        room = mmap.mmap(-1, whole)
        room[:] = data[:whole]
        os.pwrite(fd, room, 0)
        os.close(fd)
        fd = os.open(path, os.O_RDWR)
        write_all(fd, data[whole:], whole)
    elif how == "map" and data:
        fd = os.open(path, flags, 0o644)
        os.ftruncate(fd, len(data))
        with mmap.mmap(fd, len(data)) as m:
            m[:] = data
            m.flush()
    else:
        fd = os.open(path, flags, 0o644)
        write_all(fd, data)
    os.fsync(fd)
    os.close(fd)


def do(top, op):
    """Do @op below @top, a directory, and make it last."""
    kind, name = op[:2]
    path = os.path.join(top, name)
    if kind == "replace":
        write_new(os.path.join(top, TMP), fill(op[2], op[3]), op[4])
        os.rename(os.path.join(top, TMP), path)
    elif kind == "large":
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o644)
        room = mmap.mmap(-1, LARGE)
        room[:] = fill(op[2], LARGE)
        for at in range(0, LARGE, PIECE):
            os.pwrite(fd, memoryview(room)[at:at + PIECE], at)
        os.fsync(fd)
        os.close(fd)
    elif kind in ("append", "overwrite", "truncate"):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT |
                     (os.O_APPEND if kind == "append" else 0), 0o644)
        if kind == "append":
            write_all(fd, fill(op[2], op[3]))
        elif kind == "overwrite":
            write_all(fd, fill(op[3], op[4]), op[2])
        else:
            os.ftruncate(fd, op[2])
        if kind == "append":
            os.fdatasync(fd)
        else:
            os.fsync(fd)
        os.close(fd)
    elif kind == "unlink":
        os.unlink(path)
    elif kind == "rmdir":
        os.rmdir(path)
    elif kind == "mkdir":
        os.mkdir(path)
    elif kind == "symlink":
        os.symlink(op[2], path)
    elif kind == "move":
        os.rename(path, os.path.join(top, op[2]))
    # Names last with either of them; sqlite3 takes the one, git the other.
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    (os.fdatasync if len(op) % 2 else os.fsync)(fd)
    os.close(fd)


def read(top):
    """The directory as it is, without the temporary name."""
    state = {}
    for e in os.scandir(top):
        if e.name == TMP:
            continue
        if e.is_symlink():
            state[e.name] = os.readlink(e.path)
        elif e.is_dir():
            state[e.name] = DIR
        else:
            with open(e.path, "rb") as f:
                state[e.name] = f.read()
    return state


def mixed(got, old, new):
    """Each sector of @got is that of @old or of @new, or old and new beside
    each other within one; the length is one of theirs or between."""
    lo, hi = sorted((len(old), len(new)))
    if not lo <= len(got) <= hi:
        return False
    for at in range(0, len(got), SECTOR):
        a, b, c = (x[at:min(at + SECTOR, len(got))] for x in (got, old, new))
        if a in (b, c):
            continue
        b, c = b.ljust(len(a), b"\0"), c.ljust(len(a), b"\0")
        if any(x not in (y, z) for x, y, z in zip(a, b, c)):
            return False
    return True


def may_be(got, state, op):
    """None if @got may be what a crash left; else what is wrong. @state is
    promised; @op was under way, or is None."""
    def differs(want):
        for n in sorted(set(got) | set(want)):
            if got.get(n) != want.get(n):
                a, b = (v[n] if n in v else None for v in (got, want))
                return f"{n} is {show(a)}, not {show(b)}"
        return None

    wrong = differs(state)
    if wrong is None or op is None:
        return wrong
    new = after(state, op)
    if differs(new) is None:
        return None
    kind, name = op[:2]
    # Data that was not yet synced may be there in part.
    if kind in ("append", "overwrite", "truncate", "large"):
        if all(got.get(n) == state.get(n)
               for n in set(got) | set(state) if n != name) and \
                isinstance(got.get(name), bytes) and \
                mixed(got[name], state.get(name, b""), new[name]):
            return None
    return f"{wrong}; while {op!r}"


def show(value):
    if not isinstance(value, bytes):
        return "not there" if value is None else repr(value)
    return f"{len(value)} bytes {value[:12].hex()}..."


def selftest(top, steps):
    """Does may_be() accept what is, and notice what is not?"""
    r = random.Random(1)
    state = {}
    noticed = 0
    for _ in range(steps):
        op = choose(r, state)
        do(top, op)
        new = after(state, op)
        got = read(top)
        assert may_be(got, new, None) is None, op
        assert may_be(got, state, op) is None, op
        assert may_be(state, state, op) is None, op
        if got != state:
            assert may_be(state, new, None) is not None, op
        for name, value in got.items():
            # A byte changed, cut, or a name lost, that no operation touched.
            if name in op or not isinstance(value, bytes) or not value:
                continue
            at = r.randrange(len(value))
            for bad in (value[:at], value[:at] + bytes([value[at] ^ 1]) +
                        value[at + 1:], None):
                wrong = dict(got)
                wrong[name] = bad
                if bad is None:
                    del wrong[name]
                assert may_be(wrong, state, op) is not None, (op, name)
                noticed += 1
        state = new
    print(f"{steps} operations, {noticed} broken promises noticed")


if __name__ == "__main__":
    selftest(sys.argv[1], 300)
