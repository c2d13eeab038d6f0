#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""uext4 cp: into images, out of them, inside and between; what it keeps, what it
replaces, and what is left when it fails."""
import os
import socket
import subprocess
import threading

from clitest import (ROOT, TOOL, case, compare_trees, debugfs, fails, fsck, get,
                     main, mke2fs, ok, pattern, put, run, sh, skip)

IMG = "disk.img"


def at(path):
    return IMG + ":" + path


def st(path):
    return ok("stat", "--json", at(path)).json[0]


def make_tree(top):
    """One of each kind of thing."""
    os.makedirs(top + "/empty dir")
    os.makedirs(top + "/a/b/c")
    for n in 0, 1, 100, 1023, 1024, 4095, 4096, 4097, 65536, 1000001:
        put(f"{top}/a/{n}", pattern(n, n))
    put(top + "/a/b/one", b"several names")
    os.link(top + "/a/b/one", top + "/two")
    os.link(top + "/a/b/one", top + "/a/three")
    os.symlink("../two", top + "/a/short")
    os.symlink("x" * 300, top + "/long-link")
    os.symlink("nowhere", top + "/dangling")
    os.mkfifo(top + "/fifo")
    s = socket.socket(socket.AF_UNIX)
    s.bind(top + "/socket")
    s.close()
    for name in "grün", "two\nlines", " blank ", "-r", "*", "n" * 255, "q'\"":
        put(f"{top}/a/b/{name}", name.encode())
    put(os.fsencode(top) + b"/a/latin\xe4", b"")
    with open(top + "/sparse", "wb") as f:
        f.truncate(50 << 20)
        f.seek(20 << 20)
        f.write(pattern(5000))
        f.seek(40 << 20)
        f.write(pattern(1 << 20))
    put(top + "/tagged", b"t")
    try:
        os.setxattr(top + "/tagged", "user.note", b"\0\1binary")
        os.setxattr(top + "/tagged", "user.long", b"v" * 600)
        os.setxattr(top + "/empty dir", "user.dir", b"d")
    except OSError:
        pass
    put(top + "/setuid", b"s")
    os.chmod(top + "/setuid", 0o6711)
    put(top + "/unreadable", b"u")
    os.chmod(top + "/unreadable", 0o000 if ROOT else 0o400)
    os.mkdir(top + "/sticky")
    os.chmod(top + "/sticky", 0o1777)
    os.mkdir(top + "/locked")
    put(top + "/locked/in", b"i")
    os.chmod(top + "/locked", 0o500)
    if ROOT:
        put(top + "/owned", b"o")
        os.chown(top + "/owned", 12345, 70000)
        os.chmod(top + "/owned", 0o4755)
        os.lchown(top + "/dangling", 1, 2)
        try:
            os.mknod(top + "/null", 0o020666, os.makedev(1, 3))
            os.mknod(top + "/disk", 0o060640, os.makedev(259, 70000))
            os.setxattr(top + "/tagged", "trusted.t", b"root")
            os.setxattr(top + "/owned", "security.capability", bytes.fromhex(
                "0100000200040000000000000000000000000000"))
        except OSError:
            pass
    for path, ns in ((top + "/tagged", -12345678901234567),
                     (top + "/a", 4000000000123456789),
                     (top + "/a/1", 1)):
        os.utime(path, ns=(ns, ns))
    os.utime(top + "/long-link", ns=(5, 6), follow_symlinks=False)


def unlock(top):
    """So that an ordinary user can remove it."""
    if os.path.exists(top + "/locked"):
        os.chmod(top + "/locked", 0o700)


@case
def a_tree_comes_back_as_it_went_in():
    make_tree("src")
    try:
        for args in (["-t", "ext4", "-b", "4096"], ["-t", "ext4", "-b", "1024"],
                     ["-t", "ext4", "-b", "16384"],
                     ["-t", "ext2", "-b", "1024", "-I", "256"],
                     ["-t", "ext3", "-b", "2048", "-I", "256"],
                     ["-t", "ext4", "-b", "4096", "-O", "^has_journal"]):
            for extra in [], ["--cached"]:
                mke2fs(IMG, *args, size="64M")
                ok("cp", "-r", *extra, "src", at("/tree"))
                fsck(IMG)
                ok("cp", "-r", *extra, at("/tree"), "out")
                compare_trees("src", "out")
                assert os.stat("out/sparse").st_blocks < 4096
                assert st("/tree/sparse")["sectors"] < 4096
                unlock("out")
                sh("rm", "-rf", "out")
        if ROOT:
            assert st("/tree/null")["type"] == "char"
            assert (st("/tree/disk")["major"],
                    st("/tree/disk")["minor"]) == (259, 70000)
        assert st("/tree/two")["nlink"] == 3
        assert st("/tree/two")["ino"] == st("/tree/a/three")["ino"]
    finally:
        unlock("src")
        unlock("out")


@case
def a_tree_is_copied_inside_and_between_images():
    make_tree("src")
    try:
        mke2fs(IMG, "-t", "ext4", "-b", "4096", size="128M")
        mke2fs("other.img", "-t", "ext3", "-b", "4096", size="64M")
        ok("cp", "-r", "src", at("/one"))
        ok("cp", "-r", at("/one"), at("/two"))
        ok("cp", "-r", at("/one"), "other.img:/three")
        fsck(IMG)
        fsck("other.img")
        ok("cp", "-r", at("/two"), "out2")
        ok("cp", "-r", "other.img:/three", "out3")
        compare_trees("src", "out2")
        compare_trees("src", "out3")
        ok("cp", at("/one/a/1000001"), at("/alone"))
        assert ok("cat", at("/alone")).out == pattern(1000001, 1000001)
    finally:
        for top in "src", "out2", "out3":
            unlock(top)


@case
def a_copy_inside_an_image_leaves_itself_out():
    mke2fs(IMG)
    ok("mkdir", "-p", at("/d/e"))
    ok("write", at("/d/f"), stdin=b"f")
    fails("cp", "-r", at("/d"), at("/d/e/copy"), says="left out")
    assert ok("cat", at("/d/e/copy/f")).out == b"f"
    assert ok("ls", at("/d/e/copy/e")).lines == []
    fails("cp", "-r", at("/"), at("/all"), says="left out")
    assert ok("cat", at("/all/d/f")).out == b"f"
    fails("cp", "-r", at("/d"), at("/d/e"), says="left out")
    fails("cp", "-r", at("/d/."), at("/d"), says="source and target")
    fsck(IMG)


@case
def sources_go_into_directories_under_their_names():
    mke2fs(IMG)
    os.mkdir("dir")
    put("dir/x", b"x")
    put("f", b"f")
    put("g", b"g")
    ok("mkdir", at("/to"))
    ok("cp", "-r", "f", "g", "dir", at("/to"))
    assert ok("ls", at("/to")).lines == ["dir", "f", "g"]
    ok("cp", "f", at("/to/"))
    ok("cp", "f", at("/new"))
    assert ok("cat", at("/new")).out == b"f"
    ok("cp", "f", IMG + ":")
    assert ok("cat", at("/f")).out == b"f"
    fails("cp", "f", "g", at("/none"), says="/none", lines=2)
    fails("cp", "f", "g", at("/new"), says="Not a directory", lines=2)
    fails("cp", "f", at("/no/where"), says="/no/where")
    fails("cp", "dir", at("/to"), says="copy it with -r")
    os.mkdir("host")
    ok("cp", "-r", at("/to/f"), at("/to/dir"), "host")
    assert sorted(os.listdir("host")) == ["dir", "f"]
    ok("cp", at("/to/f"), "host/named")
    assert get("host/named") == b"f"
    fails("cp", at("/to/f"), at("/new"), "host/none", says="host/none",
          lines=2)
    fails("cp", at("/to/f"), "none/x", says="none/x")
    fails("cp", at("/to/dir"), "host", says="copy it with -r")
    os.mkdir("other")
    put("other/f", b"second")
    fails("cp", "f", "other/f", at("/to"), says="both become f")
    fails("cp", "f", at("/f"), "host", says="in one image")
    fsck(IMG)


@case
def a_source_without_a_name_goes_into_the_target_itself():
    mke2fs(IMG)
    os.makedirs("src/sub")
    put("src/x", b"x")
    ok("cp", "-r", "src/.", at("/"))
    assert "x" in ok("ls", at("/")).lines
    ok("cp", "-r", at("/"), "out")
    assert sorted(os.listdir("out")) == ["lost+found", "sub", "x"]
    os.mkdir("out2")
    ok("cp", "-r", at("/"), "out2")
    assert sorted(os.listdir("out2")) == ["lost+found", "sub", "x"]
    fsck(IMG)


@case
def existing_files_are_replaced_and_directories_merged():
    mke2fs(IMG)
    os.makedirs("src/d")
    put("src/f", b"new")
    put("src/d/n", b"n")
    os.symlink("new", "src/l")
    os.mkfifo("src/p")
    os.link("src/f", "src/h")
    ok("mkdir", "-p", at("/t/d"))
    for name in "f", "l", "p", "h", "d/o":
        ok("write", at("/t/" + name), stdin=b"an older and longer one")
    ok("ln", at("/t/f"), at("/keep"))
    ok("ln", "-sf", "/keep", at("/t/h"))
    ok("cp", "-r", "src/.", at("/t"))
    assert ok("cat", at("/t/f")).out == b"new"
    assert ok("cat", at("/keep")).out == b"an older and longer one"
    assert st("/t/h")["ino"] == st("/t/f")["ino"]
    assert st("/t/l")["target"] == "new" and st("/t/p")["type"] == "fifo"
    assert ok("ls", at("/t/d")).lines == ["n", "o"]
    assert ok("ls", "-a", at("/t")).lines == [
        ".", "..", "d", "f", "h", "l", "p"]
    fsck(IMG)
    ok("cp", "-r", "src/.", at("/t"))
    fsck(IMG)
    # the other way round
    os.makedirs("out/d")
    for name in "f", "l", "p", "h", "d/o":
        put("out/" + name, b"an older and longer one")
    os.link("out/f", "keep")
    ok("cp", "-r", at("/t/."), "out")
    assert get("out/f") == b"new"
    assert get("keep") == b"an older and longer one"
    assert os.readlink("out/l") == "new" and os.path.samefile("out/f", "out/h")
    assert sorted(os.listdir("out")) == ["d", "f", "h", "l", "p"]


@case
def a_file_does_not_replace_a_directory_nor_the_reverse():
    mke2fs(IMG)
    os.makedirs("src/x")
    put("src/y", b"y")
    ok("write", at("/x"), stdin=b"x")
    ok("mkdir", at("/y"))
    fails("cp", "-r", "src/x", at("/"), says="Not a directory")
    fails("cp", "-r", "src/y", at("/"), says="Is a directory")
    assert ok("cat", at("/x")).out == b"x"
    os.makedirs("out/x")
    put("out/y", b"old")
    fails("cp", at("/x"), "out", says="Is a directory")
    fails("cp", "-r", at("/y"), "out", says="Not a directory")
    assert get("out/y") == b"old"
    fsck(IMG)


@case
def a_symlink_on_the_host_is_not_written_through():
    mke2fs(IMG)
    ok("mkdir", at("/d"))
    ok("write", at("/d/f"), stdin=b"from the image")
    put("victim", b"precious")
    os.makedirs("out/d")
    os.symlink("../../victim", "out/d/f")
    os.mkdir("elsewhere")
    ok("cp", "-r", at("/d"), "out")
    assert get("victim") == b"precious"
    assert get("out/d/f") == b"from the image"
    sh("rm", "-rf", "out/d")
    os.symlink("../elsewhere", "out/d")
    fails("cp", "-r", at("/d"), "out", says="Not a directory")
    assert os.listdir("elsewhere") == []


@case
def a_device_is_not_replaced():
    if not ROOT:
        skip("only root makes devices")
    mke2fs(IMG)
    ok("write", at("/f"), stdin=b"f")
    try:
        os.mknod("null", 0o020666, os.makedev(1, 3))
    except OSError as e:
        skip(f"mknod: {e}")
    fails("cp", at("/f"), "null", says="File exists")
    assert os.stat("null").st_rdev == os.makedev(1, 3)


@case
def the_image_is_not_copied_into_itself():
    os.mkdir("src")
    put("src/f", b"f")
    mke2fs("src/" + IMG)
    fails("cp", "-r", "src", f"src/{IMG}:/", says="is the image itself")
    assert ok("ls", f"src/{IMG}:/src").lines == ["f"]
    fails("cp", f"src/{IMG}:/src/f", "src/" + IMG, says="in use")
    fsck("src/" + IMG)


@case
def a_full_image_keeps_what_was_copied():
    mke2fs(IMG, "-t", "ext4", "-b", "4096", size="16M")
    os.mkdir("src")
    for i in range(40):
        put(f"src/{i:02}", pattern(1 << 20, i))
    done = fails("cp", "-r", "src", at("/t"), says="No space left on device")
    assert b"make the file system larger" in done.err
    fsck(IMG)
    whole = ok("ls", at("/t")).lines
    assert 2 < len(whole) < 16
    for name in whole:
        assert ok("cat", at("/t/" + name)).out == pattern(1 << 20, int(name))
        assert st("/t/" + name)["mode"] == "0644"
    # the directory has its attributes all the same
    assert st("/t")["mode"] == f"{os.stat('src').st_mode & 0o7777:04o}"
    # an old file survives the copy that would not fit in its place
    ok("write", at("/t/" + whole[0]), stdin=b"old")
    put("big", pattern(14 << 20))
    fails("cp", "big", at("/t/" + whole[0]), says="No space left")
    assert ok("cat", at("/t/" + whole[0])).out == b"old"
    assert ok("ls", "-a", at("/t")).lines == [".", ".."] + whole
    fsck(IMG)


@case
def an_image_without_inodes_keeps_what_was_copied():
    mke2fs(IMG, "-t", "ext4", "-N", "32", size="8M")
    os.mkdir("src")
    for i in range(60):
        put(f"src/{i:02}", b"%d" % i)
    fails("cp", "-r", "src", at("/t"), says="No space left on device")
    fsck(IMG)
    for name in ok("ls", at("/t")).lines:
        assert ok("cat", at("/t/" + name)).out == b"%d" % int(name)


@case
def a_full_host_keeps_what_was_copied():
    if not ROOT:
        skip("only root mounts a small tmpfs")
    mke2fs(IMG)
    for i in range(8):
        put("x", pattern(1 << 20, i))
        ok("cp", "x", at(f"/{i}"))
    os.mkdir("small")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs",
                       "small"], capture_output=True).returncode:
        skip("cannot mount a tmpfs")
    try:
        fails("cp", "-r", at("/"), "small/t", says="No space left on device")
        whole = [x for x in sorted(os.listdir("small/t")) if x.isdigit()]
        assert len(whole) >= 2
        for name in whole:
            assert get("small/t/" + name) == pattern(1 << 20, int(name))
    finally:
        sh("umount", "small")


@case
def a_source_that_vanishes_is_one_line():
    mke2fs(IMG)
    fails("cp", "-r", "none", at("/x"), says="none: No such file")
    fails("cp", at("/none"), "x", says="/none: No such file")
    put("a", b"a")
    put("c", b"c")
    ok("mkdir", at("/t"))
    fails("cp", "a", "none", "c", at("/t"), says="none: No such file")
    assert ok("ls", at("/t")).lines == ["a", "c"]
    fsck(IMG)


@case
def a_tree_that_changes_while_it_is_copied_is_copied_as_far_as_it_goes():
    mke2fs(IMG, size="128M")
    os.mkdir("src")
    for i in range(600):
        os.makedirs(f"src/{i}/sub")
        put(f"src/{i}/sub/f", pattern(30000, i))
        put(f"src/{i}/g", pattern(3000, i))
    put("src/stays", b"here")
    stop = threading.Event()

    def churn():
        i = 0
        while not stop.is_set() and i < 600:
            os.rename(f"src/{i}/sub", f"moved{i}")
            os.unlink(f"src/{599 - i}/g")
            i += 1
    t = threading.Thread(target=churn)
    t.start()
    done = run("cp", "-r", "src", at("/t"))
    stop.set()
    t.join()
    err = done.err.decode().splitlines()
    assert done.status == (1 if err else 0), err
    for line in err:
        assert line.startswith("uext4: cp: src"), line
    fsck(IMG)
    ok("cp", "-r", at("/t"), "out")
    assert get("out/stays") == b"here"
    for top, _, files in os.walk("out"):
        for name in set(files) - {"stays"}:
            i = int(top.split("/")[1])
            n = 30000 if name == "f" else 3000
            assert get(f"{top}/{name}") == pattern(n, i), (top, name)


@case
def a_file_of_unknown_length_is_copied_whole():
    mke2fs(IMG)
    ok("cp", "/proc/version", at("/v"))
    assert ok("cat", at("/v")).out == get("/proc/version")


@case
def a_deep_tree_goes_in_and_out():
    mke2fs(IMG, "-t", "ext4", "-N", "8192")
    depth = 1500
    home = os.open(".", os.O_RDONLY)
    try:
        os.mkdir("src")
        os.chdir("src")
        for i in range(depth):
            os.mkdir("dir-%d" % i)
            os.chdir("dir-%d" % i)
        put("bottom", b"deep")
        os.link("bottom", "link")
        os.fchdir(home)
        ok("cp", "-r", "src", at("/deep"))
        fsck(IMG)
        ok("cp", "-r", at("/deep"), "out")
        for top in "src", "out":
            os.chdir(top)
            for i in range(depth):
                os.chdir("dir-%d" % i)
            assert get("bottom") == b"deep"
            assert os.stat("bottom").st_nlink == 2
            os.fchdir(home)
        ok("rm", "-r", at("/deep"))
        fsck(IMG)
    finally:
        os.fchdir(home)
        os.close(home)
        sh("rm", "-rf", "src", "out")


@case
def many_files_cost_little_memory():
    mke2fs(IMG, "-t", "ext4", "-N", "20000", size="128M")
    os.mkdir("src")
    for i in range(10000):
        put(f"src/{i}", b"%d" % i)
    done = run("cp", "-r", "--stats", "src", at("/t"))
    assert done.status == 0, done.err
    if "asan" not in sh("ldd", TOOL):
        assert int(done.err.split()[2]) < 200 << 10, done.err
    ok("cp", "-r", at("/t"), "out")
    compare_trees("src", "out")
    fsck(IMG)


@case
def an_ordinary_user_copies_what_he_may():
    if not ROOT:
        skip("needs root to become somebody else")
    os.chmod(".", 0o777)
    mke2fs(IMG)
    put("f", b"f")
    os.chmod(IMG, 0o666)
    nobody = dict(user=65534, group=65534, extra_groups=[])
    try:
        ok("cp", "f", at("/f"), **nobody)
    except PermissionError:
        skip("the program cannot be reached by others than root")
    ok("chown", "5:6", at("/f"))
    ok("chmod", "6755", at("/f"))
    ok("cp", at("/f"), "out", **nobody)
    done = run("cp", "-r", at("/f"), "out", **nobody)
    assert done.status == 0 and b"owner cannot be restored" in done.err
    assert len(done.err.splitlines()) == 1
    s = os.stat("out")
    assert (s.st_uid, s.st_mode & 0o7777) == (65534, 0o755)
    assert run("cp", "-rq", at("/f"), "out", **nobody).err == b""
    put("secret", b"s")
    os.chmod("secret", 0)
    fails("cp", "secret", "f", at("/"), says="secret: Permission denied",
          **nobody)
    os.mkdir("closed")
    os.chmod("closed", 0o755)
    fails("cp", at("/f"), "closed", says="closed", **nobody)


@case
def debugfs_writes_and_cp_reads():
    mke2fs(IMG)
    put("f", pattern(77777))
    debugfs(IMG, "write f f", write=True)
    debugfs(IMG, "symlink s f", write=True)
    ok("cp", "-r", at("/"), "out")
    assert get("out/f") == pattern(77777) and os.readlink("out/s") == "f"


main()
