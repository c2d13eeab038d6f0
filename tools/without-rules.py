#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Take rules out of the code, one at a time, and see the tests notice.

Most rules of direct I/O can be switched off in a debug build (IOMAP_LACKS_*,
docs/dio-bugs.md). These are the ones that are a matter of structure: the lines that
hold the rule are changed in a copy of the tree, the copy is built, and the test that
is named for the bug has to fail there, or hang where the bug is a hang. The same test
has to pass in the copy as it is.

    tools/without-rules.py [NAME...]

Exit status 0 if every test noticed.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

BUGS = "tests/fs/t_dio_bugs"
ACCEPT = "tests/fs/t_dio_accept"
HANG_S = 30  # the scenes take less than one

# Name, what is gone, test, its filter, does it hang, [(file, old, new)...].
RULES = [
    ("b16", "fallocate drains, then samples the size", BUGS, "b16_falloc*", False, [
        ("src/fs/falloc.c",
         "static int falloc_finish(",
         "static _Thread_local uint64_t sampled;\n\nstatic int falloc_finish("),
        ("src/fs/falloc.c",
         "	return falloc_finish(inode, keep ? 0 : end);\n}\n\n/* FA3",
         "	ret = falloc_finish(inode, keep ? 0 : end);\n"
         "	if (!keep) {\n"
         "		inode_set_size(inode, max_u64(sampled, end));\n"
         "		inode_set_dsize(inode, max_u64(sampled, end));\n"
         "	}\n	return ret;\n}\n\n/* FA3"),
        ("src/fs/falloc.c",
         "	rwsem_write_lock(&inode->rwsem);\n	ret = falloc_locked",
         "	sampled = inode_size(inode);\n"
         "	rwsem_write_lock(&inode->rwsem);\n	ret = falloc_locked")]),
    ("b19", "no write makes an orphan", BUGS, "b19*", False, [
        ("src/fs/dio_write.c",
         "	dio_req_fly(r);\n",
         "	if (r->pos + r->it.count > inode_dsize(r->inode)) {\n"
         "		struct handle *h;\n\n"
         "		if (handle_start(r->inode->it->journal, 16, &h) == 0)\n"
         "			(void)handle_finish(h, orphan_add(h, r->inode));\n"
         "	}\n	dio_req_fly(r);\n"),
        ("src/fs/dio_write.c",
         '#include "fs/dio_req.h"\n',
         '#include "fs/dio_req.h"\n#include "inode/orphan.h"\n'
         '#include "journal/txn.h"\n')]),
    ("b23", "the flags of a call count without a journal", BUGS, "b23*", False, [
        ("src/fs/file_write.c",
         "(rwf & UEXT4_RW_DSYNC);",
         "((rwf & UEXT4_RW_DSYNC) &&\n"
         "			journal_has_log(file->inode->it->journal));"),
        ("src/fs/file_write.c",
         '#include "fs/fs.h"\n',
         '#include "fs/fs.h"\n#include "journal/journal.h"\n'),
        ("src/fs/dio_write.c",
         "(r->rwf & UEXT4_RW_DSYNC))",
         "((r->rwf & UEXT4_RW_DSYNC) &&\n"
         "				journal_has_log(r->inode->it->journal)))"),
        ("src/fs/dio_write.c",
         '#include "fs/dio_req.h"\n',
         '#include "fs/dio_req.h"\n#include "journal/journal.h"\n')]),
    ("b24", "a sync takes no iolock", BUGS, "b24*", True, [
        ("src/fs/fsync.c",
         "	if (!j)\n		return 0;\n",
         "	if (!j)\n		return 0;\n"
         "	rwsem_write_lock(&inode->rwsem);\n"
         "	rwsem_write_unlock(&inode->rwsem);\n")]),
    ("b30", "tree nodes are claimed before the start", ACCEPT, None, False, [
        ("src/fs/dio_nodes.c",
         "	ret = reserve_claim_convert(inode, &r->nodes);\n"
         "	if (ret != -ENOSPC)\n		return ret;",
         "	if (inode != NULL)\n		return 0;\n"
         "	ret = reserve_claim_convert(inode, &r->nodes);\n"
         "	if (ret != -ENOSPC)\n		return ret;")]),
    ("b36", "who drains polls the queues", BUGS, "b36*", True, [
        ("src/fs/queue.c",
         "		queue_help(q);\n		any |= queue_flies",
         "		any |= queue_flies")]),
    ("b40", "widen, then shift", BUGS, "b40*", False, [
        ("src/fs/fs_iomap.c",
         "		.offset = (uint64_t)run->lblk << bits,",
         "		.offset = (uint32_t)(run->lblk << bits),"),
        ("src/fs/dio_write.c",
         "		.offset = (uint64_t)run->lblk << bits,",
         "		.offset = (uint32_t)(run->lblk << bits),")]),
    ("b43", "a read is cut at the size sampled before", BUGS, "b43*", False, [
        ("src/iomap/dio.c",
         "	if (!write)\n		dio->end = min_u64(end, max_u64(dio->size, pos));\n",
         "")]),
]


def take_out(tree, edits):
    """Returns the files as they were; exits if the code has moved on."""
    kept = {}
    for name, old, new in edits:
        path = tree / name
        text = path.read_text()
        kept.setdefault(path, text)
        if text.count(old) != 1:
            sys.exit(f"without-rules: {name} does not hold these lines once; "
                     f"write the rule's entry anew:\n{old}")
        path.write_text(text.replace(old, new))
    return kept


def build(tree, test):
    done = subprocess.run(["ninja", "-C", tree / "build", test],
                          capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"without-rules: the copy does not build\n{done.stdout}")


def run(tree, test, which):
    """passed, failed or hangs."""
    command = [tree / "build" / test] + ([which] if which else [])
    images = tree.parent / "images"  # of a test that is killed, too
    images.mkdir(exist_ok=True)
    env = os.environ | {"UEXT4_TEST_DIR": str(images)}
    try:
        done = subprocess.run(command, cwd=tree / "build", capture_output=True,
                              text=True, timeout=HANG_S, env=env)
    except subprocess.TimeoutExpired:
        return "hangs"
    if done.returncode == 77 or "[==========] 0 test(s) run" in done.stdout:
        return "did not run"
    return "failed" if done.returncode else "passed"


def main():
    wanted = sys.argv[1:]
    unknown = set(wanted) - {rule[0] for rule in RULES}
    if unknown:
        sys.exit(f"without-rules: no rule {', '.join(sorted(unknown))}; there are "
                 + ", ".join(rule[0] for rule in RULES))
    missed = 0
    with tempfile.TemporaryDirectory(prefix="uext4-rules-") as top:
        tree = pathlib.Path(top) / "tree"
        shutil.copytree(".", tree, ignore=shutil.ignore_patterns("build", ".git"))
        subprocess.run(["meson", "setup", "-Dwerror=false", tree / "build", tree],
                       check=True, stdout=subprocess.DEVNULL)
        for name, what, test, which, hangs, edits in RULES:
            if wanted and name not in wanted:
                continue
            build(tree, test)
            before = run(tree, test, which)
            kept = take_out(tree, edits)
            build(tree, test)
            after = run(tree, test, which)
            for path, text in kept.items():
                path.write_text(text)
            good = before == "passed" and after == ("hangs" if hangs else "failed")
            missed += not good
            print(f"{'ok  ' if good else 'FAIL'} {name}: {what}: "
                  f"with it {before}, without it {after}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
