#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Bad input: the tool says one line that names what, where and why, ends with
the right status, and never crashes. And disks with partitions, good and bad.

UEXT4_SHARED=dir: dir/images/e2fsprogs holds images broken on purpose.
"""
import glob
import gzip
import os
import random
import shutil
import struct
import subprocess
import time

from clitest import (ROOT, TOOL, case, debugfs, fails, fsck, get, main, mke2fs,
                     ok, pattern, put, run, sh, sha, skip)

IMG = "disk.img"
READERS = [["info", IMG], ["ls", IMG + ":/"], ["cat", IMG + ":/f"],
           ["stat", IMG + ":/"], ["map", IMG + ":/f"],
           ["cp", IMG + ":/f", "out"], ["xattr", "list", IMG + ":/f"]]
WRITERS = [["mkdir", IMG + ":/d"], ["rm", IMG + ":/f"],
           ["write", IMG + ":/n"], ["mv", IMG + ":/f", IMG + ":/g"],
           ["ln", "-s", "x", IMG + ":/s"], ["chmod", "600", IMG + ":/f"],
           ["chown", "1", IMG + ":/f"], ["touch", IMG + ":/f"],
           ["truncate", "-s", "1", IMG + ":/f"],
           ["fallocate", "-l", "1", IMG + ":/f"],
           ["xattr", "set", IMG + ":/f", "user.a", "b"],
           ["cp", "/dev/null", IMG + ":/c"], ["recover", IMG]]


def at(path):
    return IMG + ":" + path


def everyone_fails(says, status=1, commands=READERS + WRITERS):
    for args in commands:
        fails(*args, status=status, says=says)


# ---- images ----------------------------------------------------------------

@case
def an_empty_file_is_refused():
    put(IMG, b"")
    everyone_fails("not an ext2/3/4 file system")
    put(IMG, b"x" * 1500)
    everyone_fails("not an ext2/3/4 file system")
    assert get(IMG) == b"x" * 1500


@case
def something_else_is_refused():
    put(IMG, os.urandom(1 << 20))
    before = sha(IMG)
    everyone_fails("not an ext2/3/4 file system")
    assert sha(IMG) == before


@case
def a_missing_image_and_a_directory_are_refused():
    everyone_fails("No such file or directory")
    os.mkdir(IMG)
    everyone_fails("directory")


@case
def a_truncated_image_is_damaged():
    mke2fs(IMG, size="32M")
    os.truncate(IMG, 16 << 20)
    before = sha(IMG)
    everyone_fails("truncated", status=3)
    assert sha(IMG) == before


@case
def a_damaged_superblock_is_status_3():
    mke2fs(IMG)
    with open(IMG, "r+b") as f:
        f.seek(1024 + 4)
        f.write(b"\xff\xff\xff\x00")
    everyone_fails("superblock", status=3)


@case
def a_damaged_directory_is_status_3():
    mke2fs(IMG, "-t", "ext4", "-b", "4096")
    ok("mkdir", at("/d"))
    ok("write", at("/d/f"), stdin=b"f")
    ok("write", at("/g"), stdin=b"g")
    block = debugfs(IMG, "blocks /d").split("\n")[-2].split()[0]
    with open(IMG, "r+b") as f:
        f.seek(int(block) * 4096 + 4)
        f.write(b"\xff\xff")
    done = fails("ls", at("/d"), status=3)
    assert b"e2fsck" in done.err
    fails("cat", at("/d/f"), status=3)
    fails("cp", "-r", at("/"), "out", status=3)
    assert get("out/g") == b"g"
    assert ok("cat", at("/g")).out == b"g"


@case
def a_directory_inside_itself_ends():
    mke2fs(IMG, "-t", "ext4", "-O", "^metadata_csum")
    ok("mkdir", "-p", at("/a/b"))
    debugfs(IMG, "link /a /a/b/again", write=True)
    debugfs(IMG, "link / /a/root", write=True)
    for args in (["ls", "-R", at("/")], ["cp", "-r", at("/"), "out"],
                 ["chmod", "-R", "755", at("/")], ["rm", "-r", at("/a")]):
        done = run(*args)
        assert done.status in (1, 3), args
        assert len(done.err.splitlines()) <= 4, done.err
        assert b"inside itself" in done.err or args[0] == "rm", done.err
    assert os.path.isdir("out/a/b")


@case
def an_unknown_feature_is_named():
    mke2fs(IMG, "-t", "ext4", "-O", "^metadata_csum")
    with open(IMG, "r+b") as f:
        f.seek(1024 + 0x60)
        incompat = struct.unpack("<I", f.read(4))[0]
        f.seek(1024 + 0x60)
        f.write(struct.pack("<I", incompat | 1 << 30))
    everyone_fails("FEATURE_I30")
    mke2fs(IMG, "-t", "ext4", "-O", "^metadata_csum")
    with open(IMG, "r+b") as f:
        f.seek(1024 + 0x64)
        ro_compat = struct.unpack("<I", f.read(4))[0]
        f.seek(1024 + 0x64)
        f.write(struct.pack("<I", ro_compat | 1 << 30))
    assert ok("ls", at("/")).lines == ["lost+found"]
    info = ok("info", "--json", IMG).json
    assert "FEATURE_R30" in info["rdonly_why"], info
    everyone_fails("FEATURE_R30", commands=WRITERS)


@case
def an_image_without_write_permission_is_read():
    if not ROOT:
        skip("needs root to become somebody else")
    mke2fs(IMG)
    ok("write", at("/f"), stdin=b"f")
    os.chmod(IMG, 0o444)
    nobody = dict(user=65534, group=65534, extra_groups=[])
    try:
        assert ok("cat", at("/f"), **nobody).out == b"f"
    except PermissionError:
        skip("the program cannot be reached by others than root")
    before = sha(IMG)
    for args in READERS[:5]:
        ok(*args, **nobody)
    for args in WRITERS:
        fails(*args, says="ermission", **nobody)
    os.chmod(IMG, 0)
    for args in READERS[:5]:
        fails(*args, says="ermission", **nobody)
    assert sha(IMG) == before


@case
def a_dirty_journal_is_not_written_by_readers():
    mke2fs(IMG, "-t", "ext4", "-b", "4096")
    ok("write", at("/f"), stdin=b"old" * 1000)
    block = debugfs(IMG, "blocks /f").split("\n")[-2].split()[0]
    put("new", b"new" * 1000 + bytes(1096))
    put("script", f"jo\njw -b {block} new\njc\n".encode())
    sh("debugfs", "-w", "-f", "script", IMG)
    before = sha(IMG)
    for args in READERS:
        ok(*args)
    assert get("out") == b"new" * 1000
    assert sha(IMG) == before


def hold(path):
    """A writer that waits for its input, and has the image by now."""
    for _ in range(50):
        p = subprocess.Popen([TOOL, "write", at(path)], stdin=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
        time.sleep(0.2)
        if p.poll() is None and b"in use" in run("mkdir", at("/probe")).err:
            return p
        run("rm", "-rf", at("/probe"))
        p.communicate(b"")      # it was slow, or met the probe
    raise AssertionError("no writer gets the image")


@case
def two_writers_do_not_meet():
    mke2fs(IMG)
    ok("write", at("/f"), stdin=b"f")
    first = hold("/slow")
    try:
        everyone_fails("in use", commands=WRITERS)
    finally:
        first.communicate(b"done", timeout=60)
    assert first.returncode == 0
    assert ok("cat", at("/slow")).out == b"done"
    assert ok("cat", at("/f")).out == b"f"
    fsck(IMG)


# ---- paths -----------------------------------------------------------------

@case
def bad_paths_are_told_apart():
    mke2fs(IMG)
    ok("write", at("/f"), stdin=b"f")
    ok("ln", "-s", "loop", at("/loop"))
    ok("ln", "-s", "there", at("/back"))
    ok("ln", "-s", "back", at("/there"))
    long = "/" + "n" * 256
    for args in (["cat"], ["write"], ["mkdir"], ["touch"], ["stat"],
                 ["truncate", "-s", "1"], ["rm"], ["cp", "/dev/null"]):
        fails(*args, at(long), says="at most 255 bytes")
        fails(*args, at("/f/x"), says="no directory")
        fails(*args, at("/loop/x"), says="symlinks lead in a circle")
        fails(*args, at("/" + "d/" * 2500 + "x"), says="too long")
    fails("cat", at("/loop"), says="symlinks lead in a circle")
    fails("cat", at("/there"), says="symlinks lead in a circle")
    fails("cat", at("/none"), says="/none: No such file or directory")
    ok("write", at("/" + "n" * 255), stdin=b"n")
    fsck(IMG)


# ---- broken images ---------------------------------------------------------

def survive(commands):
    """Any status, but no crash, no hang, and a word about a failure."""
    for args in commands:
        done = run(*args)
        assert done.status in (0, 1, 3), (args, done.status, done.err)
        assert (done.status == 0) or done.err, args
        for line in done.err.decode().splitlines():
            assert line.startswith("uext4: "), line


TOUR = [["info", "--json", IMG], ["ls", "-laiR", at("/")],
        ["ls", "-R", "--json", at("/")], ["cp", "-r", at("/"), "out"]]
CHANGES = [["mkdir", at("/uext4-new")], ["cp", "-r", "src", at("/")],
           ["chmod", "-R", "u+w", at("/")], ["rm", "-rf", at("/lost+found")],
           ["recover", IMG]]


def clean_out():
    if os.path.isdir("out"):
        sh("chmod", "-R", "u+rwx", "out", check=False)
    shutil.rmtree("out", ignore_errors=True)


@case
def images_broken_on_purpose_are_survived():
    top = os.environ.get("UEXT4_SHARED")
    files = sorted(glob.glob(f"{top}/images/e2fsprogs/*.gz")) if top else []
    if not files:
        skip("UEXT4_SHARED is not set, or holds no images")
    os.mkdir("src")
    put("src/f", pattern(100000))
    for path in files:
        try:
            data = gzip.decompress(get(path))
        except (OSError, EOFError):
            continue
        put(IMG, data)
        before = sha(IMG)
        survive(TOUR)
        assert sha(IMG) == before, path
        clean_out()
        survive(CHANGES)


@case
def random_damage_is_survived():
    seed = int(os.environ.get("UEXT4_SEED", "1"))
    print(f"# seed {seed}")
    r = random.Random(seed)
    mke2fs("good.img", "-t", "ext4", "-b", "1024", "-O", "^metadata_csum",
           size="4M")
    os.mkdir("src")
    for i in range(30):
        put(f"src/file-{i}", pattern(i * 997))
    os.symlink("x" * 200, "src/link")
    ok("cp", "-r", "src", "good.img:/tree")
    good = get("good.img")
    used = [i for i in range(0, len(good), 1024)
            if any(good[i:i + 1024]) and i > 1024]
    for _ in range(40):
        bad = bytearray(good)
        for _ in range(r.choice([1, 3, 20])):
            i = r.choice(used[:len(used) // 2]) + r.randrange(1024)
            bad[i] = r.choice([0, 255, r.randrange(256)])
        put(IMG, bad)
        survive(TOUR)
        assert get(IMG) == bad
        clean_out()
        survive(CHANGES[:r.randrange(1, 6)])


# ---- partitions ------------------------------------------------------------

DISK = "parts.img"
SECTOR = 512


def mbr(entries, signature=b"\x55\xaa"):
    """A sector of up to four (type, first, count)."""
    s = bytearray(512)
    for i, (kind, first, count) in enumerate(entries):
        s[446 + 16 * i + 4] = kind
        struct.pack_into("<II", s, 446 + 16 * i + 8, first, count)
    s[510:] = signature
    return bytes(s)


def file_system(label):
    mke2fs("one.img", "-t", "ext4", "-L", label, size="4M")
    return get("one.img")


def label(*args):
    return ok("info", "--json", *args, DISK).json["label"]


@case
def an_offset_reaches_into_a_disk():
    put(DISK, bytes(1 << 20) + file_system("there") + b"\xee" * 4096)
    assert label("--offset", "1M") == "there"
    assert label("--offset=1048576") == "there"
    ok("write", "--offset", "1M", DISK + ":/f", stdin=b"f")
    assert ok("cat", "--offset", "1M", DISK + ":/f").out == b"f"
    data = get(DISK)
    assert data[:1 << 20] == bytes(1 << 20) and data[5 << 20:] == b"\xee" * 4096
    put("one.img", data[1 << 20:5 << 20])
    fsck("one.img")
    fails("info", DISK, says="not an ext2/3/4 file system")
    fails("info", "--offset", "1G", DISK, says=DISK)


@case
def primary_and_logical_partitions_are_found():
    disk = bytearray(24 << 20)
    sectors = (4 << 20) // SECTOR

    def place(first, name):
        disk[first * SECTOR:(first + sectors) * SECTOR] = file_system(name)
    disk[:512] = mbr([(0x83, 2048, sectors), (0x05, 12288, 30000),
                      (0, 0, 0), (0x83, 44000 - 11000, sectors)])
    place(2048, "first")
    place(44000 - 11000, "fourth")
    base = 12288
    disk[base * SECTOR:base * SECTOR + 512] = mbr(
        [(0x83, 64, sectors), (0x05, 10000, 9000)])
    place(base + 64, "fifth")
    link = base + 10000
    disk[link * SECTOR:link * SECTOR + 512] = mbr([(0x83, 64, sectors)])
    place(link + 64, "sixth")
    put(DISK, disk)
    for n, name in (1, "first"), (4, "fourth"), (5, "fifth"), (6, "sixth"):
        assert label("--partition", str(n)) == name
    for n in 2, 3, 7, 4096:
        fails("info", "--partition", str(n), DISK,
              says=f"has no partition {n}")
    before = sha(DISK)
    ok("mkdir", "--partition", "5", DISK + ":/made")
    after = get(DISK)
    assert sha(DISK) != before
    put("one.img", after[(base + 64) * SECTOR:(base + 64 + sectors) * SECTOR])
    fsck("one.img")
    assert after[:base * SECTOR] == disk[:base * SECTOR]


def gpt(entries, count=128, size=128, table=2, unit=512):
    head = bytearray(unit)
    head[:8] = b"EFI PART"
    struct.pack_into("<QII", head, 72, table, count, size)
    t = bytearray(128 * 128)
    for n, first, last in entries:
        t[128 * (n - 1)] = 0xaf
        struct.pack_into("<QQ", t, 128 * (n - 1) + 32, first, last)
    return mbr([(0xee, 1, 0xffffffff)]).ljust(unit, b"\0") + bytes(head) + \
        bytes(t)


@case
def gpt_partitions_are_found():
    for unit in 512, 4096:
        n = (4 << 20) // unit
        first = (1 << 20) // unit
        head = gpt([(1, first, first + n - 1), (7, first + n,
                                                first + 2 * n - 1)], unit=unit)
        put(DISK, head.ljust(1 << 20, b"\0") + file_system("first") +
            file_system("seventh") + bytes(unit))
        assert label("--partition", "1") == "first"
        assert label("--partition", "7") == "seventh"
        for bad in 2, 128, 129, 4096:
            fails("info", "--partition", str(bad), DISK,
                  says=f"has no partition {bad}")


@case
def gpt_of_sfdisk_is_understood():
    if not shutil.which("sfdisk"):
        skip("no sfdisk")
    for kind in "gpt", "dos":
        with open(DISK, "wb") as f:
            f.truncate(24 << 20)
        script = f"label: {kind}\nsize=4M\nsize=4M\n"
        subprocess.run(["sfdisk", "-q", DISK], input=script.encode(),
                       check=True, capture_output=True)
        starts = [int(x.split("start=")[1].split(",")[0])
                  for x in sh("sfdisk", "-d", DISK).splitlines()
                  if "start=" in x]
        with open(DISK, "r+b") as f:
            for n, start in enumerate(starts, 1):
                f.seek(start * SECTOR)
                f.write(file_system(f"{kind}{n}"))
        for n in 1, 2:
            assert label("--partition", str(n)) == f"{kind}{n}"


@case
def a_hostile_partition_table_is_bounded():
    big = 0xffffffff
    tables = [
        mbr([(0x83, big, big)]), mbr([(0x83, 0, 10)]), mbr([(0x83, 10, big)]),
        mbr([(0x83, 5000, 1)]), mbr([(5, big, 1)]), mbr([(5, 0, 1)]),
        mbr([], b"\0\0"), b"", b"x" * 511,
        mbr([(5, 1, 9)]) + mbr([(0, 0, 0), (5, 0, 9)]),
        mbr([(5, 1, 9)]) + mbr([(0x83, 1, 0), (5, 1, 9)]) +
        mbr([(0, 0, 0), (5, 1, 9)]),
        mbr([(5, 1, 9)]) + mbr([(0, 0, 0), (5, big, 9)]),
        mbr([(0xee, 1, 9)]),
        gpt([(1, 1 << 63, (1 << 64) - 1)]), gpt([(1, 100, 99)]),
        gpt([(1, 0, 5)]), gpt([(1, 10, (1 << 64) - 1)]),
        gpt([(1, 10, 20)], table=(1 << 64) - 1), gpt([(1, 9, 9)], size=0),
        gpt([(1, 9, 9)], size=big), gpt([(1, 9, 9)], count=0),
        gpt([(1, 9, 9)], count=big, table=1 << 55)]
    for table in tables:
        put(DISK, table.ljust(16384, b"\0")[:16384] if table else b"")
        for n in 1, 2, 5, 6, 200, 4096:
            done = run("info", "--partition", str(n), DISK)
            assert done.status == 1, (table[:64], n, done.err)
            assert len(done.err.splitlines()) == 1, done.err
    fails("info", "--partition", "1", "none.img", says="No such file")
    assert run("info", "--partition", "0", DISK).status == 2
    assert run("info", "--partition", "4097", DISK).status == 2


main()
