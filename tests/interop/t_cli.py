#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every command of the tool on images of mke2fs, judged by debugfs, dumpe2fs
and e2fsck. Copies and bad input have files of their own."""
import os
import re
import subprocess

from clitest import (TOOL, case, debugfs, fails, fsck, get, main, mke2fs, ok, pattern,
                     put, run, sh, sha, usage)

IMG = "disk.img"


def fresh(*args, **kw):
    return mke2fs(IMG, *args, **kw)


def at(path):
    return IMG + ":" + path


def write(path, data=b"", *args):
    ok("write", *args, at(path), stdin=data)


def names(path, *args):
    return ok("ls", *args, at(path)).lines


def st(path, *args):
    return ok("stat", "--json", *args, at(path)).json[0]


def dump(field):
    m = re.search(f"^{field}: +(.*)$", sh("dumpe2fs", "-h", IMG), re.M)
    return m[1]


# ---- the door --------------------------------------------------------------

@case
def wrong_usage_ends_with_status_2():
    assert run().status == 2
    done = run("frobnicate", "x")
    assert done.status == 2 and b"no such command" in done.err
    assert len(done.err.splitlines()) == 1
    for cmd in ("info ls cat stat map cp write mkdir rm mv ln chmod chown "
                "touch truncate fallocate xattr recover").split():
        assert cmd in usage(cmd)
        assert "-Z: no such option" in usage(cmd, "-Z", "x", "y")
    assert "-m: needs a value" in usage("mkdir", "-m")
    assert "no valid mode" in usage("chmod", "u+z", at("/"))
    assert "no valid owner" in usage("chown", "no such user", at("/"))
    assert "no valid time" in usage("touch", "-d", "2024-02-31", at("/"))
    assert "no valid size" in usage("truncate", "-s", "-4", at("/"))
    usage("fallocate", "-p", "-z", "-l", "1", at("/"))
    usage("mv", "-n", "-x", at("/a"), at("/b"))
    usage("xattr", "frob", at("/"))
    done = run("ls", "--offset", "x", at("/"))
    assert done.status == 2 and b"needs a number" in done.err


@case
def help_and_version_go_to_standard_output():
    done = ok("--help")
    assert "recover" in done.text and "Exit status" in done.text
    assert re.fullmatch(r"uext4 \d+\.\d+\.\d+\n", ok("--version").text)
    assert "usage: uext4 cp" in ok("cp", "--help").text


@case
def a_path_without_an_image_is_told_how_to_write_it():
    fresh()
    fails("ls", "/etc", says="write it as IMAGE:/path")
    fails("cp", "a", "b", says="write it as IMAGE:/path")


@case
def an_image_name_may_hold_a_colon():
    os.mkdir("a:")
    mke2fs("a:/b:c.img")
    ok("mkdir", "a:/b:c.img:/d")
    assert names_of("a:/b:c.img:/") == ["d", "lost+found"]
    assert names_of("a:/b:c.img:") == ["d", "lost+found"]


def names_of(target):
    return ok("ls", target).lines


# ---- looking ---------------------------------------------------------------

@case
def info_tells_what_dumpe2fs_tells():
    fresh("-t", "ext4", "-L", "a label", "-b", "2048", "-N", "4096")
    i = ok("info", "--json", IMG).json
    assert i["kind"] == "ext4" and i["label"] == "a label"
    assert i["uuid"] == dump("Filesystem UUID")
    assert i["blocks"] == int(dump("Block count"))
    assert i["free_blocks"] == int(dump("Free blocks"))
    assert i["reserved_blocks"] == int(dump("Reserved block count"))
    assert i["inodes"] == int(dump("Inode count"))
    assert i["free_inodes"] == int(dump("Free inodes"))
    assert i["block_size"] == 2048 and i["inode_size"] == 256
    assert i["inodes_per_group"] == int(dump("Inodes per group"))
    assert i["features"] == [f for f in dump("Filesystem features").split()]
    assert i["clean"] and not i["needed_recovery"] and i["has_journal"]
    text = ok("info", IMG).text
    for word in "a label", i["uuid"], "clean", "metadata_csum", "ext4":
        assert word in text, word
    fresh("-t", "ext2")
    assert ok("info", "--json", IMG).json["kind"] == "ext2"
    assert "no journal" in ok("info", IMG + ":").text


@case
def ls_sorts_hides_dots_and_shows_attributes():
    fresh()
    for name in "b", "a", ".hidden", "c":
        write("/" + name, b"x" * 5)
    ok("mkdir", at("/dir"))
    ok("ln", "-s", "a/target", at("/link"))
    assert names("/") == ["a", "b", "c", "dir", "link", "lost+found"]
    assert names("/", "-a")[:3] == [".", "..", ".hidden"]
    assert names("/", "-d") == ["/"]
    assert names("/a") == ["/a"]
    ok("touch", "-d", "2001-02-03 04:05:06", at("/a"))
    long = {x.split()[-1]: x for x in names("/", "-l")}
    assert long["a"].startswith("-rw-r--r-- 1 0 0")
    assert long["a"].endswith(" 2001-02-03 04:05:06 a")
    assert long["dir"].startswith("drwxr-xr-x 2 ")
    assert long["a/target"].startswith("lrwxrwxrwx ")
    assert " link -> a/target" in long["a/target"]
    assert names("/link", "-l")[0].startswith("l")
    assert re.match(r"\s*12 ", names("/b", "-i")[0])
    e = {x["name"]: x for x in ok("ls", "--json", at("/")).json}
    assert e["a"]["path"] == "/a" and e["a"]["size"] == 5
    assert e["a"]["mode"] == "0644" and e["a"]["type"] == "file"
    assert e["link"]["target"] == "a/target"
    assert ok("ls", "--json", at("/dir")).json == []


@case
def ls_lists_trees_and_several_directories():
    fresh()
    ok("mkdir", "-p", at("/a/b"), at("/c"))
    write("/a/b/f")
    out = names("/", "-R")
    assert "/a/b:" in out and "f" in out and "/c:" in out
    e = ok("ls", "-R", "--json", at("/")).json
    assert [x["path"] for x in e] == [
        "/a", "/c", "/lost+found", "/a/b", "/a/b/f"]
    out = ok("ls", at("/a"), at("/c")).lines
    assert out == ["/a:", "b", "", "/c:"]


@case
def names_that_act_on_a_terminal_are_escaped():
    fresh()
    odd = [b"new\nline", b"esc\x1b[31m", b"latin\xe4", b'q"uote\x7f',
           "right\u202eleft".encode()]
    os.mkdir("src")
    for n in odd:
        put(b"src/" + n, b"")
    put("src/grün ☃", b"")
    ok("cp", "-r", "src", at("/d"))
    out = names("/d")
    assert len(out) == 6
    assert '"new\\nline"' in out and '"esc\\033[31m"' in out
    assert '"latin\\344"' in out and '"q\\"uote\\177"' in out
    assert '"right\\342\\200\\256left"' in out and "grün ☃" in out
    e = ok("ls", "--json", at("/d")).json
    back = {bytes.fromhex(x["name_hex"]) if "name_hex" in x
            else x["name"].encode() for x in e}
    assert back == set(odd) | {"grün ☃".encode()}
    fails("cat", at("/d/x\ny"), says="x\\ny")
    fsck(IMG)


@case
def stat_tells_what_debugfs_tells():
    fresh()
    write("/f", b"x" * 5000)
    ok("chown", "70000:80000", at("/f"))
    ok("chmod", "6751", at("/f"))
    ok("touch", "-d", "2031-05-06 07:08:09.123456789", at("/f"))
    ok("ln", at("/f"), at("/g"))
    s = st("/f")
    assert (s["mode"], s["type"], s["nlink"]) == ("6751", "file", 2)
    assert (s["uid"], s["gid"], s["size"]) == (70000, 80000, 5000)
    assert s["mtime"]["nsec"] == 123456789
    d = debugfs(IMG, "stat /f")
    assert f"Inode: {s['ino']} " in d and "Mode:  06751" in d
    assert re.search(r"User: 70000 +Group: 80000", d)
    assert f"Blockcount: {s['sectors']}" in d and "Links: 2" in d
    assert f"mtime: 0x{s['mtime']['sec'] & 0xffffffff:08x}:" in d
    text = ok("stat", at("/f")).text
    assert "2031-05-06 07:08:09.123456789 +0000" in text
    assert "6751 (-rwsr-s--x)" in text
    ok("ln", "-s", "f", at("/l"))
    assert st("/l")["type"] == "symlink" and st("/l")["target"] == "f"
    assert st("/l", "-L")["ino"] == s["ino"]
    assert [x["path"] for x in
            ok("stat", "--json", at("/f"), at("/l")).json] == ["/f", "/l"]


@case
def map_says_where_the_bytes_are():
    for args in ("-t", "ext4", "-b", "4096"), ("-t", "ext2", "-b", "1024"):
        fresh(*args)
        data = pattern(300000)
        write("/f", data)
        write("/f", data[:9000], "-o", "2M")
        m = ok("map", "--json", at("/f")).json[0]
        assert m["size"] == (2 << 20) + 9000
        image = get(IMG)
        seen = 0
        for e in m["extents"]:
            want = (data + bytes((2 << 20) - len(data)) + data[:9000])[
                e["logical"]:e["logical"] + e["length"]]
            assert image[e["physical"]:e["physical"] + len(want)] == want
            seen += e["length"]
        assert seen * 1.1 > 309000 and seen < 400000
        assert m["extents"][-1]["flags"] == ["last"]
        text = ok("map", at("/f")).text
        assert str(m["extents"][0]["physical"]) in text
    fresh()
    ok("fallocate", "-l", "1M", at("/u"))
    assert "unwritten" in ok("map", at("/u")).text


# ---- contents --------------------------------------------------------------

@case
def write_and_cat_give_the_bytes_back():
    fresh()
    for n in 0, 1, 4095, 4096, 4097, 3000000:
        data = pattern(n)
        write("/f", data)
        assert ok("cat", at("/f")).out == data, n
        assert ok("cat", "--cached", at("/f")).out == data, n
    write("/f", b"short")
    assert ok("cat", at("/f")).out == b"short"
    write("/f", b" and more", "-a")
    write("/f", b"LONG-", "-o", "0")
    assert ok("cat", at("/f")).out == b"LONG- and more"
    write("/f", b"far", "-o", "10000")
    assert ok("cat", at("/f")).out == b"LONG- and more" + bytes(9986) + b"far"
    assert ok("cat", at("/f"), at("/f")).out == 2 * ok("cat", at("/f")).out
    fails("cat", at("/lost+found"), says="Is a directory")
    fails("write", at("/no/f"), says="/no/f")
    fsck(IMG)


@case
def truncate_sets_the_length():
    fresh()
    write("/f", pattern(10000))
    for size, n in ("5000", 5000), ("3K", 3072), ("2M", 2 << 20), ("0", 0), \
            ("0x10", 16), ("5G", 5 << 30):
        ok("truncate", "-s", size, at("/f"))
        assert st("/f")["size"] == n
    assert st("/f")["sectors"] <= 8
    ok("truncate", "-s", "7", at("/new"))
    assert ok("cat", at("/new")).out == bytes(7)
    ok("truncate", "-c", "-s", "7", at("/never"))
    assert "never" not in names("/")
    fails("truncate", "-s", "100P", at("/f"), says="File too large")
    fsck(IMG)


@case
def fallocate_allocates_punches_and_zeroes():
    fresh("-t", "ext4", "-b", "4096")
    ok("fallocate", "-l", "1M", at("/f"))
    assert st("/f")["size"] == 1 << 20 and st("/f")["sectors"] == 2048
    assert ok("cat", at("/f")).out == bytes(1 << 20)
    ok("fallocate", "-n", "-o", "1M", "-l", "1M", at("/f"))
    assert st("/f")["size"] == 1 << 20 and st("/f")["sectors"] >= 4096
    data = pattern(1 << 20)
    write("/g", data)
    ok("fallocate", "-p", "-o", "4096", "-l", "8192", at("/g"))
    ok("fallocate", "-z", "-o", "100000", "-l", "50001", at("/g"))
    want = bytearray(data)
    want[4096:12288] = bytes(8192)
    want[100000:150001] = bytes(50001)
    assert ok("cat", at("/g")).out == want
    assert st("/g")["sectors"] == 2048 - 16
    fails("fallocate", "-p", "-l", "1", at("/missing"), says="/missing")
    fsck(IMG)
    fresh("-t", "ext2")
    fails("fallocate", "-l", "1M", at("/f"), says="extents")
    fsck(IMG)


# ---- names -----------------------------------------------------------------

@case
def mkdir_makes_parents_and_modes():
    fresh()
    ok("mkdir", at("/a"))
    fails("mkdir", at("/a"), says="File exists")
    fails("mkdir", at("/x/y"), says="No such file or directory")
    fails("mkdir", at("/"), says="File exists")
    ok("mkdir", "-p", at("/a/b/c/"), at("/a/b"), at("/"))
    ok("mkdir", "-m", "1751", at("/m"))
    assert st("/m")["mode"] == "1751"
    ok("mkdir", "-m", "u=rwx,go=", at("/n"))
    assert st("/n")["mode"] == "0700"
    write("/file")
    fails("mkdir", "-p", at("/file/x"), says="Not a directory")
    fails("mkdir", at("/a"), at("/file"), at("/new"), lines=2)
    assert "new" in names("/")
    fsck(IMG)


@case
def rm_removes_trees_and_respects_what_it_should():
    fresh()
    free = int(dump("Free inodes"))
    ok("mkdir", "-p", at("/t/" + "/".join("d" * 60)))
    for i in range(50):
        write(f"/t/{i}", b"x" * i)
    ok("ln", "-s", "/lost+found", at("/t/link"))
    fails("rm", at("/t"), says="remove it with -r")
    fails("rm", "-d", at("/t"), says="not empty")
    fails("rm", "-r", at("/"), says="root cannot be removed")
    fails("rm", "-r", at("/t/."), says="ends in . or ..")
    fails("rm", at("/none"), says="/none")
    ok("rm", "-f", at("/none"), at("/t/0/none"), at("/no/ne"))
    ok("rm", at("/t/1"), at("/t/link"))
    ok("rm", "-r", at("/t"))
    assert names("/") == ["lost+found"]
    ok("mkdir", at("/e"))
    ok("rm", "-d", at("/e"))
    assert ok("info", "--json", IMG).json["free_inodes"] == free
    fsck(IMG)


@case
def rm_survives_a_very_deep_tree():
    fresh()
    part = "/".join(["d"] * 1000)
    ok("mkdir", "-p", at("/" + part))
    # deeper than a path is long: one tree is moved into the end of another
    for i in range(3):
        ok("mkdir", "-p", at("/x/" + part))
        ok("mv", at("/d"), at("/x/" + part + "/d"))
        ok("mv", at("/x/d"), at("/d"))
    assert len(ok("ls", "-R", "--json", at("/d")).json) == 3999
    ok("chmod", "-R", "0700", at("/d"))
    ok("rm", "-r", at("/d"), at("/x"))
    assert names("/") == ["lost+found"]
    fsck(IMG)


@case
def mv_renames_replaces_exchanges():
    fresh()
    write("/a", b"A")
    write("/b", b"B")
    ok("mkdir", "-p", at("/d/e"))
    ok("mv", at("/a"), at("/c"))
    assert ok("cat", at("/c")).out == b"A"
    fails("mv", "-n", at("/b"), at("/c"), says="exists")
    ok("mv", "-x", at("/b"), at("/c"))
    assert ok("cat", at("/b"), at("/c")).out == b"AB"
    ok("mv", at("/b"), at("/c"))
    assert ok("cat", at("/c")).out == b"A" and "b" not in names("/")
    ok("mv", at("/c"), at("/d"))
    assert names("/d") == ["c", "e"]
    fails("mv", at("/d"), at("/d/e/x"), says="below it")
    fails("mv", at("/d"), at("/d/e"), says="below it")
    fails("mv", at("/none"), at("/x"), says="/none")
    write("/p")
    write("/q")
    ok("mv", at("/p"), at("/q"), at("/d"))
    assert names("/d") == ["c", "e", "p", "q"]
    fails("mv", at("/d/p"), at("/d/q"), at("/none"), says="/none", lines=2)
    fails("mv", at("/d"), "other.img:/d", says="not in one image")
    fails("mv", at("/d"), "/tmp/x", says="not in one image")
    ok("ln", "-s", "loop", at("/loop"))
    ok("mv", at("/loop"), at("/loop2"))
    ok("write", at("/w"))
    ok("mv", at("/w"), at("/loop2"))
    assert st("/loop2")["type"] == "file"
    ok("mv", "-x", at("/d/e"), at("/d/p"))
    assert st("/d/p")["type"] == "directory"
    fsck(IMG)


@case
def ln_links():
    fresh()
    write("/a", b"A")
    ok("ln", at("/a"), at("/b"))
    ok("ln", "/a", at("/c"))
    assert st("/a")["nlink"] == 3 and st("/b")["ino"] == st("/c")["ino"]
    fails("ln", at("/a"), at("/b"), says="exists")
    write("/x", b"X")
    ok("ln", "-f", at("/x"), at("/b"))
    assert ok("cat", at("/b")).out == b"X"
    ok("ln", "-f", at("/x"), at("/b"))
    assert st("/x")["nlink"] == 2 and st("/a")["nlink"] == 2
    assert names("/", "-a") == [".", "..", "a", "b", "c", "lost+found", "x"]
    ok("mkdir", at("/d"))
    ok("ln", at("/a"), at("/d"))
    assert names("/d") == ["a"]
    fails("ln", at("/d"), at("/e"), says="second name")
    fails("ln", "other.img:/a", at("/e"), says="not in one image")
    for target in "x", "y" * 59, "z" * 60, "long/" * 100:
        ok("ln", "-sf", target, at("/s"))
        assert st("/s")["target"] == target
        assert "s" in names("/")
    ok("rm", at("/s"))
    fails("ln", "-s", "t" * 5000, at("/s"), says="s: ")
    fsck(IMG)


# ---- attributes ------------------------------------------------------------

@case
def chmod_speaks_octal_and_symbols():
    fresh()
    write("/f")
    ok("mkdir", at("/d"))
    os.umask(0o022)
    for start, change, f, d in [
            ("0644", "755", "0755", "0755"),
            ("0644", "u+x", "0744", "0744"),
            ("0777", "go-w", "0755", "0755"),
            ("0777", "a=rX", "0555", "0555"),
            ("0644", "a+X", "0644", "0755"),
            ("0640", "o=g", "0644", "0644"),
            ("0600", "u+s,g+s,+t", "7600", "7600"),
            ("0000", "+w", "0200", "0200"),
            ("0755", "u=rw,g=u-w,o=", "0640", "0640"),
            ("6755", "u-s", "2755", "2755")]:
        for path, want in ("/f", f), ("/d", d):
            ok("chmod", start, at(path))
            ok("chmod", change, at(path))
            assert st(path)["mode"] == want, (start, change, path, st(path))
    ok("mkdir", "-p", at("/t/u"))
    write("/t/u/f")
    ok("ln", "-s", "/d", at("/t/link"))
    before = st("/d")["mode"]
    ok("chmod", "-R", "g+w,o=", at("/t"))
    assert st("/t/u")["mode"] == "0770" and st("/t/u/f")["mode"] == "0660"
    assert st("/d")["mode"] == before
    for bad in "8", "u", "rwx", "u+x,", "77777":
        usage("chmod", bad, at("/f"))
    fails("chmod", "644", at("/none"), says="/none")
    fsck(IMG)


@case
def chown_speaks_numbers_and_names():
    fresh()
    write("/f")
    ok("ln", "-s", "f", at("/l"))

    def owner(path):
        return st(path)["uid"], st(path)["gid"]
    ok("chown", "1:2", at("/f"))
    assert owner("/f") == (1, 2)
    ok("chown", "3", at("/f"))
    assert owner("/f") == (3, 2)
    ok("chown", ":4294967294", at("/f"))
    assert owner("/f") == (3, 4294967294)
    ok("chown", "root:root", at("/l"))
    assert owner("/f") == (0, 0)
    ok("chown", "-h", "5:6", at("/l"))
    assert owner("/l") == (5, 6) and owner("/f") == (0, 0)
    ok("mkdir", "-p", at("/t/u"))
    ok("ln", "-s", "/f", at("/t/l"))
    ok("chown", "-R", "8:9", at("/t"))
    assert owner("/t/u") == owner("/t/l") == (8, 9) and owner("/f") == (0, 0)
    for bad in "", ":", "4294967295", "-1", "no-such-name":
        usage("chown", "--", bad, at("/f"))
    fsck(IMG)


@case
def touch_speaks_seconds_and_dates():
    fresh()
    for text, sec, nsec in [
            ("@0", 0, 0), ("@1700000000.5", 1700000000, 500000000),
            ("@-1.25", -2, 750000000), ("@-2147483648", -2147483648, 0),
            ("2038-01-19 03:14:08", 2147483648, 0),
            ("2446-05-10T22:38:55Z", 15032385535, 0),
            ("2001-02-03", 981158400, 0),
            ("2001-02-03 04:05", 981173100, 0),
            ("2001-02-03 04:05:06.000000007", 981173106, 7)]:
        ok("touch", "-d", text, at("/f"))
        for key in "atime", "mtime":
            assert st("/f")[key] == {"sec": sec, "nsec": nsec}, (text, st("/f"))
    ok("touch", "-a", "-d", "@5", at("/f"))
    assert st("/f")["atime"]["sec"] == 5 and st("/f")["mtime"]["sec"] != 5
    ok("touch", "-m", "-d", "@6", at("/f"))
    assert st("/f")["atime"]["sec"] == 5 and st("/f")["mtime"]["sec"] == 6
    ok("touch", at("/f"))
    assert st("/f")["mtime"]["sec"] > 1700000000
    ok("touch", "-c", at("/none"))
    assert "none" not in names("/")
    ok("ln", "-s", "f", at("/l"))
    ok("touch", "-h", "-d", "@9", at("/l"))
    assert st("/l")["mtime"]["sec"] == 9 and st("/f")["mtime"]["sec"] != 9
    for bad in "now", "@", "@1x", "2001-13-01", "2001-02-03 25:00", \
            "2001-02-03 04:05:06.", "":
        usage("touch", "-d", bad, at("/f"))
    fsck(IMG)


@case
def xattr_sets_gets_lists_and_removes():
    fresh("-t", "ext4", "-b", "4096")
    write("/f")
    ok("xattr", "set", at("/f"), "user.a", "text")
    ok("xattr", "set", at("/f"), "user.bin", "0x00ff0a")
    ok("xattr", "set", at("/f"), "trusted.empty")
    ok("xattr", "set", at("/f"), "user.long", "v" * 2000)
    assert ok("xattr", "get", at("/f"), "user.a").out == b"text\n"
    assert ok("xattr", "get", at("/f"), "user.bin").out == b"0x00ff0a\n"
    lines = ok("xattr", "list", at("/f")).lines
    assert "user.a=text" in lines and "trusted.empty=" in lines
    got = ok("xattr", "list", "--json", at("/f")).json
    v = {x["name"]: (x["encoding"], x["value"]) for x in got["attributes"]}
    assert v["user.a"] == ("utf-8", "text")
    assert v["user.bin"] == ("hex", "00ff0a")
    assert v["user.long"] == ("utf-8", "v" * 2000) and len(v) == 4
    assert ok("xattr", "get", "--json", at("/f"), "user.a").json == {
        "name": "user.a", "encoding": "utf-8", "value": "text"}
    assert 'a (4) = "text"' in debugfs(IMG, "ea_list /f")
    ok("xattr", "set", at("/f"), "user.a", "-other")
    assert ok("xattr", "get", at("/f"), "user.a").out == b"-other\n"
    ok("xattr", "rm", at("/f"), "user.a")
    fails("xattr", "get", at("/f"), "user.a", says="no attribute user.a")
    fails("xattr", "rm", at("/f"), "user.a", says="no attribute user.a")
    fails("xattr", "set", at("/f"), "frob.x", "1", says="frob.x")
    fails("xattr", "set", at("/f"), "user.big", "x" * 60000, says="not fit")
    assert "hexadecimal" in usage("xattr", "set", at("/f"), "user.x", "0x0g")
    ok("ln", "-s", "f", at("/l"))
    ok("xattr", "-h", "set", at("/l"), "trusted.l", "1")
    assert ok("xattr", "-h", "list", at("/l")).lines == ["trusted.l=1"]
    assert "user.long" in ok("xattr", "list", at("/l")).text
    fsck(IMG)


@case
def a_full_standard_output_is_a_failure():
    fresh()
    write("/f", b"x" * 100000)
    for args in ["cat", at("/f")], ["ls", "-l", at("/")], ["info", IMG], \
            ["ls", "--json", at("/")]:
        with open("/dev/full", "wb") as full:
            p = subprocess.run([TOOL, *args], stdout=full,
                               stderr=subprocess.PIPE)
        assert p.returncode == 1, args
        assert b"standard output: No space left" in p.stderr, p.stderr


# ---- recovery --------------------------------------------------------------

def dirty_journal():
    """A file whose new contents are only in the journal."""
    fresh("-t", "ext4", "-b", "4096")
    write("/f", b"old" * 1000)
    where = ok("map", "--json", at("/f")).json[0]["extents"][0]["physical"]
    put("new", b"new" * 1000 + bytes(1096))
    put("script", f"jo\njw -b {where // 4096} new\njc\n".encode())
    sh("debugfs", "-w", "-f", "script", IMG)
    assert "needs_recovery" in dump("Filesystem features")


@case
def a_dirty_journal_is_replayed_in_memory_by_readers():
    dirty_journal()
    before = sha(IMG)
    assert ok("cat", at("/f")).out == b"new" * 1000
    i = ok("info", "--json", IMG).json
    assert i["needed_recovery"] and i["replayed_transactions"] == 1
    assert i["replayed_blocks"] == 1
    assert "journal to be replayed" in ok("info", IMG).text
    assert sha(IMG) == before


@case
def recover_replays_the_journal():
    dirty_journal()
    r = ok("recover", "--json", IMG).json
    assert r["needed_recovery"] and r["transactions"] == 1
    assert r["blocks"] == 1
    assert "needs_recovery" not in dump("Filesystem features")
    fsck(IMG)
    assert debugfs(IMG, "cat /f").endswith("new" * 1000)
    assert "nothing to replay" in ok("recover", IMG).text
    dirty_journal()
    assert "1 transactions, 1 blocks" in ok("recover", IMG).text
    fsck(IMG)


@case
def recover_deletes_and_truncates_orphans():
    fresh("-t", "ext4", "-b", "4096", "-O", "^orphan_file")
    write("/gone", pattern(100000))
    write("/long", pattern(100000))
    gone, long = st("/gone")["ino"], st("/long")["ino"]
    for command in ("unlink /gone", f"sif <{gone}> links_count 0",
                    f"sif <{gone}> dtime {long}", f"sif <{long}> size 5000",
                    f"sif <{long}> dtime 0", f"ssv last_orphan {gone}",
                    "ssv free_inodes_count 0"):
        if not command.startswith("ssv free"):
            debugfs(IMG, command, write=True)
    r = ok("recover", "--json", IMG).json
    assert r["orphans_deleted"] == 1 and r["orphans_truncated"] == 1, r
    assert ok("cat", at("/long")).out == pattern(100000)[:5000]
    assert st("/long")["sectors"] == 16
    fsck(IMG)


@case
def recover_tells_of_an_orphan_that_makes_no_sense():
    fresh("-t", "ext4", "-b", "4096", "-O", "^orphan_file,^metadata_csum")
    write("/odd", pattern(5000))
    ino = st("/odd")["ino"]
    for command in ("unlink /odd", f"sif <{ino}> links_count 0",
                    f"sif <{ino}> mode 0170000", f"ssv last_orphan {ino}"):
        debugfs(IMG, command, write=True)
    p = fails("recover", IMG, status=3, says="recorded errors", lines=3)
    assert f"orphan {ino}: ".encode() in p.err, p.err


@case
def every_kind_of_file_system_takes_every_command():
    """A short life on many profiles; each ends clean."""
    for args in (["-t", "ext2", "-b", "1024", "-I", "128"],
                 ["-t", "ext2", "-b", "4096"],
                 ["-t", "ext3", "-b", "2048"],
                 ["-t", "ext3", "-b", "1024", "-I", "128"],
                 ["-t", "ext4", "-b", "1024"],
                 ["-t", "ext4", "-b", "4096", "-I", "1024"],
                 ["-t", "ext4", "-O", "^has_journal"],
                 ["-t", "ext4", "-O", "^extent,^64bit"],
                 ["-t", "ext4", "-O", "^metadata_csum,uninit_bg"],
                 ["-t", "ext4", "-O", "metadata_csum_seed,orphan_file"],
                 ["-t", "ext4", "-O", "^flex_bg,^dir_index"]):
        fresh(*args)
        ok("mkdir", "-p", at("/a/b/c"))
        write("/a/f", pattern(200000))
        ok("ln", at("/a/f"), at("/a/b/g"))
        ok("ln", "-s", "../f", at("/a/b/s"))
        ok("chmod", "600", at("/a/f"))
        ok("chown", "1000:1000", at("/a/f"))
        ok("truncate", "-s", "150001", at("/a/f"))
        ok("touch", "-d", "@1000000000", at("/a/f"))
        ok("xattr", "set", at("/a/f"), "user.x", "y" * 50)
        ok("mv", at("/a/b"), at("/b"))
        assert ok("cat", at("/b/g")).out == pattern(200000)[:150001]
        ok("rm", at("/a/f"))
        ok("cp", "-r", at("/b"), at("/copy"))
        assert ok("cat", at("/copy/g")).out == pattern(200000)[:150001]
        s = st("/copy/g")
        assert s["mode"] == "0600" and s["uid"] == 1000
        assert s["mtime"]["sec"] == 1000000000
        ok("rm", "-r", at("/b"))
        fsck(IMG)


main()
