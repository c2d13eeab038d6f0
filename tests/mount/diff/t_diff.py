#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same random calls on a mount of the kernel's and on ours.

usage: t_diff.py UEXT4 MOUNT_DIFF [CASE]...          the test; output is TAP
       t_diff.py UEXT4 MOUNT_DIFF --try PROFILE [mount_diff's options]
       t_diff.py UEXT4 MOUNT_DIFF --shrink PROFILE FILE
       t_diff.py UEXT4 MOUNT_DIFF --sweep PROFILE SEEDS CALLS

A case is a profile, or "tester" (what shows that the tester notices), "known"
(known.prog), "beside" (programs side by side), "writeback" (writeback_cache),
or "list" (of allowed differences: the page is right, and every entry is met).
--second kernel (or kernel:OPTIONS) ahead of --try and the like mounts the
second image with the kernel, too; --second ours:OPTIONS is our mount with options.

Environment: MOUNT_DIFF_OPS calls in all (200000), MOUNT_DIFF_SECONDS instead
for the whole, MOUNT_DIFF_SEED the first seed (1), MOUNT_DIFF_SECOND as --second.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import rig  # noqa: E402

OPS = int(os.environ.get("MOUNT_DIFF_OPS", 200_000))
SECONDS = int(os.environ.get("MOUNT_DIFF_SECONDS", 0))
SEED = int(os.environ.get("MOUNT_DIFF_SEED", 1))
PAGE = pathlib.Path(__file__).parents[3] / "docs" / "mount-differences.md"
KNOWN = pathlib.Path(__file__).parent / "known.prog"
SECOND = os.environ.get("MOUNT_DIFF_SECOND", "ours")
SHRINKS = 60                        # seconds at most, in the test
SHOWN = 50                          # calls of a program that failed
BESIDE = 4                          # programs
HANGS = 120                         # seconds without an end


class Tool:
    def __init__(self, uext4, mount_diff):
        self.uext4, self.mount_diff = uext4, mount_diff

    def judge(self, r, *args, live=True):
        """mount_diff on the mounts of @r: (exit status, what it said)."""
        less = cached(r, live)
        try:
            p = subprocess.run(
                [self.mount_diff, "--dir-a", r.mounts[0], "--dir-b",
                 r.mounts[1], "--profile", r.profile, *less,
                 *map(str, args)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace",
                timeout=HANGS + SECONDS, check=False)
        except subprocess.TimeoutExpired as e:
            said = (e.stdout or b"").decode(errors="replace")
            return 1, said + "difference: hangs\n"
        return p.returncode, p.stdout

    def once(self, r, *args, after=True):
        """On fresh images, with all that is looked at afterwards."""
        r.fresh()
        r.mount()
        status, said = self.judge(r, *args)
        dump = self.dump(r) if after and status == 0 else None
        for n in (1, 0):
            said += ended(r.umount(n, check=False))
        if after and status == 0:
            said += self.afterwards(r, dump)
        return 1 if "difference: " in said else status, said

    def dump(self, r):
        return rig.quiet(self.mount_diff, "--dir-b", r.mounts[1],
                         "--dump").stdout

    def afterwards(self, r, dump):
        """Both images, unmounted: what e2fsck says, and the kernel of ours."""
        for n, image in enumerate(r.images):
            wrong = rig.fsck(image)
            if wrong:
                return f"difference: e2fsck {'ab'[n]}\n{wrong}"
        r.mount_kernel(0)
        r.mount_kernel(1, options="noatime")
        again = self.dump(r)
        status, said = self.judge(r, "--trees", live=False)
        for n in (1, 0):
            r.umount(n)
        if status:
            return said
        if cached(r):
            dump, again = (re.sub(r" [amc]time(_n?sec)?=-?\d+| sum=.*", "", d)
                           for d in (dump, again))
        return differing_lines(dump, again)


def cached(r, live=True):
    """What cannot be compared with writeback_cache: while it is mounted so, and
    of what it has written."""
    if "writeback_cache" not in r.second:
        return []
    return ["--writeback"] if live else ["--no-times"]


def ended(p):
    return "" if not p or p.returncode == 0 else \
        f"difference: umount, status {p.returncode}\n{p.stdout}"


def differing_lines(before, after):
    """What the kernel reads of our image is what we said."""
    old, new = before.splitlines(), after.splitlines()
    wrong = [(a, b) for a, b in zip(old, new) if a != b]
    if not wrong and len(old) == len(new):
        return ""
    text = "".join(f"  - {a}\n  + {b}\n" for a, b in wrong[:5])
    return f"difference: remount, {len(wrong)} objects\n{text}"


# Of a call, by whom and from where: what can be left out and is the same call.
DETAILS = (r" w=[12]", r" u=\d", r" d=\d+", r" e=\d+")


def signature(said):
    """What the difference is, and which call shows it."""
    m = re.search(r"^difference: .*(\n +call: .*)?$", said, re.MULTILINE)
    if not m:
        return None
    sign = m[0]
    for part in DETAILS:
        sign = re.sub(part, "", sign)
    return re.sub(r"\n +call: +", ": ", sign)


# ---- shrinking ---------------------------------------------------------------

class Shrinker:
    """Delta debugging: the shortest program with the same difference."""

    def __init__(self, tool, r, program, seconds=24 * 3600):
        self.tool, self.rig = tool, r
        self.file = r.dir / "program"
        self.tries = 0
        self.until = time.monotonic() + seconds
        self.want = None
        status, said = self.attempt(program)
        if status == 0:
            sys.exit("the program makes no difference")
        self.want = signature(said)
        print(f"# {self.want}", flush=True)

    def attempt(self, calls):
        self.tries += 1
        self.file.write_text("\n".join(calls) + "\n")
        return self.tool.once(self.rig, "--replay", self.file,
                              after=self.want is None or
                              not self.early())

    def early(self):
        """Is the difference one that a call shows, not the end?"""
        return not re.match(r"difference: (end|settle|e2fsck|remount|umount)",
                            self.want)

    def fails(self, calls):
        if time.monotonic() > self.until:
            return False
        status, said = self.attempt(calls)
        return status != 0 and signature(said) == self.want

    def shrink(self, calls):
        chunk = max(len(calls) // 2, 1)
        while True:
            before = at = len(calls)
            while at > 0:
                low = max(at - chunk, 0)
                rest = calls[:low] + calls[at:]
                if rest and self.fails(rest):
                    calls = rest
                at = low
            print(f"# {len(calls)} calls left, {self.tries} tries",
                  flush=True)
            if chunk == 1 and len(calls) == before:
                return self.simpler(calls)
            chunk = max(chunk // 2, 1)

    def simpler(self, calls):
        """Without what is not needed: watching, other users, directories."""
        for n, call in enumerate(calls):
            for part in DETAILS:
                less = re.sub(part, "", calls[n])
                if less != calls[n] and self.fails(
                        calls[:n] + [less] + calls[n + 1:]):
                    calls[n] = less
        return calls


def read_calls(path):
    return [c for c in pathlib.Path(path).read_text().splitlines()
            if c and not c.startswith("#")]


def shrink(tool, profile, second, path):
    calls = read_calls(path)
    with rig.Rig(tool.uext4, profile, second) as r:
        calls = Shrinker(tool, r, calls).shrink(calls)
        status, said = Tool.once(tool, r, "--replay",
                                 write(r.dir / "program", calls))
    print(said)
    print(f"# the program, for --try {profile} --replay FILE:")
    print("\n".join(calls))
    return status


def write(path, calls):
    path.write_text("\n".join(calls) + "\n")
    return path


# ---- by hand -----------------------------------------------------------------

def sweep(tool, profile, second, seeds, ops):
    """Every seed for a while: which differences there are."""
    found, good = {}, 0
    with rig.Rig(tool.uext4, profile, second) as r:
        for seed in range(SEED, SEED + int(seeds)):
            status, said = tool.once(r, "--seed", seed, "--ops", ops, "--save",
                                     f"/tmp/mount_diff-{profile}-{seed}.prog")
            good += status == 0
            if status:
                found.setdefault(signature(said), []).append((seed, said))
    print(f"{good} of {seeds} programs are equal")
    for what, all_ in sorted(found.items(), key=lambda f: -len(f[1])):
        print(f"#### {what}: {len(all_)} seeds, as {all_[0][0]}")
        print(all_[0][1].split("    the last")[0][-1800:])
    return 0 if not found else 1


# ---- the test ----------------------------------------------------------------

def why_not():
    if os.geteuid() != 0:
        return "needs root"
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse"
    if not os.path.exists("/dev/loop-control"):
        return "there are no loop devices"
    try:
        rig.own_namespace()
    except OSError as e:
        return f"no {e.strerror}"
    return None


class Test:
    def __init__(self, tool):
        self.tool = tool
        self.met = {}               # entry of the list -> times

    def note(self, said):
        for n, what in re.findall(r"^met: (\d+) (.*)$", said, re.MULTILINE):
            self.met[what] = self.met.get(what, 0) + int(n)

    def profile(self, name):
        """Random calls on the profile's images, in a few programs."""
        budget = ["--seconds", max(SECONDS // len(rig.PROFILES), 1)] \
            if SECONDS else ["--ops", OPS // len(rig.PROFILES)]
        seed = SEED + list(rig.PROFILES).index(name)
        with rig.Rig(self.tool.uext4, name, SECOND) as r:
            keep = r.dir / "program"
            status, said = self.tool.once(r, "--seed", seed, *budget,
                                          "--save", keep)
            self.note(said)
            if status == 0:
                return said
            kept = tempfile.NamedTemporaryFile(
                prefix=f"mount_diff-{name}.", suffix=".prog", delete=False)
            kept.write(keep.read_bytes() if keep.exists() else b"")
            kept.close()
            raise AssertionError(
                f"{said}\n{self.shorter(r, pathlib.Path(kept.name))}\n"
                f"the program is in {kept.name}; shorter by: "
                f"{sys.argv[0]} UEXT4 MOUNT_DIFF --shrink {name} {kept.name}")

    def shorter(self, r, path):
        """The program in @path as short as it becomes in a minute, if it fails
        again at all."""
        calls = read_calls(path)
        try:
            calls = Shrinker(self.tool, r, calls, SHRINKS).shrink(calls)
        except SystemExit as e:
            return str(e)
        write(path, calls)
        return f"shorter, {len(calls)} calls:\n" + "\n".join(
            calls if len(calls) <= SHOWN else ["..."] + calls[-SHOWN:])

    def writeback(self):
        """Where the kernel in front writes back later, and whole pages: of
        smaller blocks there are more then."""
        ours = SECOND if SECOND != "ours" else "ours:writeback_cache"
        said = ""
        for name in "ext4-4k", "ext3", "ext4-1k", "newest":
            with rig.Rig(self.tool.uext4, name, ours) as r:
                status, more = self.tool.once(
                    r, "--seed", SEED, "--ops", OPS // len(rig.PROFILES) // 3)
            assert status == 0, more
            said += more
        return said

    def beside(self):
        """Programs side by side, each in a directory of its own."""
        ops = ["--ops", OPS // len(rig.PROFILES) // 2]
        if SECONDS:
            ops = ["--seconds", max(SECONDS // len(rig.PROFILES), 1)]
        with rig.Rig(self.tool.uext4, "ext4-4k", SECOND) as r:
            r.fresh()
            r.mount()
            works = []
            for n in range(BESIDE):
                dirs = [m / str(n) for m in r.mounts]
                for d in dirs:
                    d.mkdir()
                works.append(subprocess.Popen(
                    [self.tool.mount_diff, "--dir-a", dirs[0], "--dir-b",
                     dirs[1], "--profile", r.profile, "--shared",
                     *cached(r), "--seed", str(SEED + n), *map(str, ops)],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    text=True, errors="replace"))
            try:
                said = [w.communicate(timeout=HANGS + SECONDS)[0]
                        for w in works]
            finally:
                for w in works:
                    w.kill()
            dump = self.tool.dump(r)
            said += [ended(r.umount(n, check=False)) for n in (1, 0)]
            failed = any(w.returncode for w in works)
            if not failed:
                said.append(self.tool.afterwards(r, dump))
        said = "".join(said)
        self.note(said)
        assert not failed and "difference: " not in said, said
        return said

    def tester(self):
        """Nothing where both are the kernel's; every fault that is put on."""
        with rig.Rig(self.tool.uext4, "ext4-4k", "kernel") as r:
            status, said = self.tool.once(r, "--strict", "--ops", 4000)
            assert status == 0, said
            faults = rig.quiet(self.tool.mount_diff, "--breaks").stdout.split()
            for fault in faults:
                status, said = self.tool.once(r, "--strict", "--ops", 4000,
                                              "--break", fault)
                assert status == 1, f"{fault} was not noticed\n{said}"
        for option in ("bsdgroups", "lazytime,noatime"):
            with rig.Rig(self.tool.uext4, "ext4-4k", f"kernel:{option}") as r:
                status, said = self.tool.once(r, "--strict", "--ops", 4000)
                assert status == 1, f"{option} was not noticed\n{said}"
        return f"{len(faults)} faults and 2 mount options noticed"

    def known(self):
        """A program that makes the differences that are rare."""
        with rig.Rig(self.tool.uext4, "ext4-4k", SECOND) as r:
            status, said = self.tool.once(r, "--replay", KNOWN)
        self.note(said)
        assert status == 0, said
        return ""

    def list(self):
        """The page tells what is allowed; all that is allowed is met."""
        page = rig.quiet(self.tool.mount_diff, "--differences").stdout
        assert PAGE.read_text() == page, \
            f"{PAGE.name} is not what mount_diff --differences prints"
        unused = [w for w, n in self.met.items() if n == 0]
        for what, n in self.met.items():
            print(f"# {n} times: {what}")
        assert not unused, "not met, so not needed:\n" + "\n".join(unused)
        return ""

    def cases(self):
        return {"tester": self.tester,
                **{p: lambda p=p: self.profile(p) for p in rig.PROFILES},
                "known": self.known, "beside": self.beside, "writeback": self.writeback,
                "list": self.list}


def run(tool, names):
    test = Test(tool)
    cases = test.cases()
    names = names or list(cases)
    why, failed = why_not(), 0
    print(f"1..{len(names)}")
    for n, name in enumerate(names, 1):
        if why:
            print(f"ok {n} - {name} # SKIP {why}")
            continue
        try:
            said = cases[name]()
            verdict = "ok"
        except (AssertionError, SystemExit) as e:
            said, verdict, failed = str(e), "not ok", 1
        for line in said.splitlines():
            if not line.startswith("met: "):
                print(f"# {line}")
        print(f"{verdict} {n} - {name}", flush=True)
    return failed


def main():
    args = sys.argv[1:]
    # Mounts are undone, and their servers end, on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if len(args) < 2 or args[0].startswith("-"):
        sys.exit(__doc__)
    tool, rest, second = Tool(*map(os.path.abspath, args[:2])), args[2:], SECOND
    if rest[:1] == ["--second"]:
        second, rest = rest[1], rest[2:]
    if not rest or not rest[0].startswith("--"):
        return run(tool, rest)
    why = why_not()
    if why:
        sys.exit(why)
    if rest[0] == "--try":
        with rig.Rig(tool.uext4, rest[1], second) as r:
            status, said = tool.once(r, *rest[2:])
        print(said)
        return status
    if rest[0] == "--shrink":
        return shrink(tool, rest[1], second, rest[2])
    if rest[0] == "--sweep":
        return sweep(tool, rest[1], second, rest[2], rest[3])
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main())
