#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compare two directory trees in everything a copy must keep.

usage: compare-trees.py A B

Names, types, bytes, sizes, modes, owners, modification times to the
nanosecond, device numbers, link targets, which names are hard links of one
another, and extended attributes. Prints every difference (the first 50) and
exits 1, or one line of what was equal and exits 0.
"""
import os
import stat
import sys

CHUNK = 1 << 20


def walk(top):
    """Relative path -> lstat, for @top and all below it."""
    found = {}
    todo = [b"."]
    found[b"."] = os.lstat(top)
    while todo:
        rel = todo.pop()
        with os.scandir(os.path.join(top, rel)) as entries:
            for e in entries:
                path = os.path.normpath(os.path.join(rel, e.name))
                st = e.stat(follow_symlinks=False)
                found[path] = st
                if stat.S_ISDIR(st.st_mode):
                    todo.append(path)
    return found


def links(tree):
    """Path -> the smallest name of the same inode, for hard links."""
    groups = {}
    for path, st in tree.items():
        if st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode):
            groups.setdefault((st.st_dev, st.st_ino), []).append(path)
    return {p: min(g) for g in groups.values() for p in g}


def same_bytes(a, b):
    with open(a, "rb", buffering=0) as fa, open(b, "rb", buffering=0) as fb:
        while True:
            x, y = fa.read(CHUNK), fb.read(CHUNK)
            if x != y:
                return False
            if not x:
                return True


def xattrs(path):
    return {n: os.getxattr(path, n, follow_symlinks=False)
            for n in os.listxattr(path, follow_symlinks=False)}


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    top_a, top_b = (os.fsencode(a) for a in sys.argv[1:])
    tree_a, tree_b = walk(top_a), walk(top_b)
    link_a, link_b = links(tree_a), links(tree_b)
    bad = []
    n_xattr = n_bytes = n_files = 0

    def differ(path, what, a, b):
        bad.append(f"{os.fsdecode(path)!r}: {what}: {a!r} and {b!r}")

    for path in sorted(set(tree_a) | set(tree_b)):
        if path not in tree_a or path not in tree_b:
            bad.append(f"{os.fsdecode(path)!r}: only in "
                       f"{sys.argv[1 if path in tree_a else 2]}")
            continue
        a, b = tree_a[path], tree_b[path]
        full_a, full_b = os.path.join(top_a, path), os.path.join(top_b, path)
        for what in "st_mode", "st_uid", "st_gid", "st_mtime_ns":
            if getattr(a, what) != getattr(b, what):
                differ(path, what, getattr(a, what), getattr(b, what))
        if link_a.get(path) != link_b.get(path):
            differ(path, "hard link of", link_a.get(path), link_b.get(path))
        xa, xb = xattrs(full_a), xattrs(full_b)
        n_xattr += len(xa)
        if xa != xb:
            differ(path, "xattrs", xa, xb)
        if stat.S_IFMT(a.st_mode) != stat.S_IFMT(b.st_mode):
            continue
        if stat.S_ISREG(a.st_mode):
            n_files += 1
            n_bytes += a.st_size
            if a.st_size != b.st_size:
                differ(path, "size", a.st_size, b.st_size)
            elif not same_bytes(full_a, full_b):
                bad.append(f"{os.fsdecode(path)!r}: the bytes differ")
        elif stat.S_ISLNK(a.st_mode):
            if os.readlink(full_a) != os.readlink(full_b):
                differ(path, "target", os.readlink(full_a),
                       os.readlink(full_b))
        elif stat.S_ISBLK(a.st_mode) or stat.S_ISCHR(a.st_mode):
            if a.st_rdev != b.st_rdev:
                differ(path, "st_rdev", a.st_rdev, b.st_rdev)

    for line in bad[:50]:
        print(line)
    if bad:
        print(f"{len(bad)} differences")
        return 1
    print(f"equal: {len(tree_a)} names, {n_files} files, "
          f"{n_bytes / 1e6:.0f} MB, {len(link_a)} hard links, "
          f"{n_xattr} xattrs")
    return 0


sys.exit(main())
