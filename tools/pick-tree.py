#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Choose directories of this machine that make a tree worth copying.

usage: pick-tree.py MIN_FILES MIN_MB MAX_MB

Prints the chosen directories, each ended by a NUL. They lie in /usr/share and
/usr/lib, are readable throughout, hold together at least MIN_FILES files and
MIN_MB megabytes (10^6 bytes) and at most MAX_MB. What every Debian has comes
first; a directory above half the limit is taken apart and its parts looked at.
"""
import fnmatch
import os
import stat
import sys

ROOTS = ["/usr/share", "/usr/lib"]
USUAL = ["/usr/share/doc", "/usr/share/man", "/usr/share/locale",
         "/usr/share/zoneinfo", "/usr/share/perl*", "/usr/lib/python3*",
         "/usr/lib/gcc", "/usr/lib/*-linux-gnu*"]


def measure(top):
    """Files and bytes below @top; None if some of it cannot be read."""
    files = size = 0
    seen = set()
    todo = [top]
    while todo:
        path = todo.pop()
        if not os.access(path, os.R_OK | os.X_OK):
            return None
        with os.scandir(path) as entries:
            for e in entries:
                st = e.stat(follow_symlinks=False)
                if stat.S_ISDIR(st.st_mode):
                    todo.append(e.path)
                elif stat.S_ISREG(st.st_mode):
                    if not os.access(e.path, os.R_OK):
                        return None
                    files += 1
                    if st.st_nlink > 1 and (st.st_dev, st.st_ino) in seen:
                        continue
                    seen.add((st.st_dev, st.st_ino))
                    size += st.st_size
                elif not stat.S_ISLNK(st.st_mode):
                    return None
    return files, size


def parts(top):
    with os.scandir(top) as entries:
        return [e.path for e in entries if e.is_dir(follow_symlinks=False)]


def usual(path):
    return any(fnmatch.fnmatch(path, u) for u in USUAL)


def main():
    min_files, min_mb, max_mb = (int(a) for a in sys.argv[1:4])
    found = []
    todo = [d for r in ROOTS for d in parts(r)]
    while todo:
        path = todo.pop()
        m = measure(path)
        if m is None or m[1] > max_mb * 500_000:
            todo.extend(parts(path) if os.access(path, os.R_OK | os.X_OK)
                        else [])
        elif m[0]:
            found.append((m[0], m[1], path))
    # Many files first, then large directories until the bytes suffice.
    chosen, files, size = [], 0, 0
    for short_of, enough in (0, min_files), (1, min_mb * 1_000_000):
        for f in sorted(found,
                        key=lambda f: (not usual(f[2]), -f[short_of], f[2])):
            if (files, size)[short_of] >= enough:
                break
            if f in chosen:
                continue
            if size + f[1] <= max_mb * 1_000_000:
                chosen.append(f)
                files += f[0]
                size += f[1]
    if files < min_files or size < min_mb * 1_000_000:
        sys.exit(f"pick-tree: only {files} files and {size // 1_000_000} MB "
                 f"readable in {' and '.join(ROOTS)}")
    for f in chosen:
        sys.stdout.write(f[2] + "\0")


main()
