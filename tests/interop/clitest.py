# SPDX-License-Identifier: MIT
"""What the tests of the tool share: cases as TAP, images, runs, judges.

A case is a function with @case; it runs in a directory of its own. assert
makes it fail, skip(why) leaves it out. The program under test is argv[1]; names
of cases behind it choose among them.
"""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback

os.environ["PATH"] += ":/usr/sbin:/sbin"
os.environ["TZ"] = "UTC"
os.environ["LC_ALL"] = "C.UTF-8"
os.environ["MKE2FS_DEVICE_SECTSIZE"] = "512"
TOOL = os.path.realpath(sys.argv[1]) if len(sys.argv) > 1 else None
ROOT = os.geteuid() == 0
cases = []


class Skip(Exception):
    pass


def case(f):
    cases.append(f)
    return f


def skip(why):
    raise Skip(why)


class Done:
    """A finished run."""

    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    @property
    def text(self):
        return self.out.decode()

    @property
    def lines(self):
        return self.text.splitlines()

    @property
    def json(self):
        return json.loads(self.out)


def sane(done, args):
    """No crash, and no word of a sanitizer, whatever the test wants."""
    err = done.err.decode(errors="replace")
    assert done.status >= 0, f"{args}: killed by {-done.status}: {err}"
    for word in "Sanitizer", "runtime error:", "Assertion":
        assert word not in err, f"{args}: {err}"


def run(*args, stdin=b"", **kw):
    """uext4 with @args, whatever its status."""
    p = subprocess.run([TOOL, *args], input=stdin, capture_output=True,
                       timeout=120, **kw)
    done = Done(p.returncode, p.stdout, p.stderr)
    sane(done, args)
    if not ROOT:                # all that lies in an image belongs to root
        done.err = b"".join(x for x in done.err.splitlines(True)
                            if b"owner cannot be restored" not in x)
    return done


def ok(*args, **kw):
    done = run(*args, **kw)
    assert done.status == 0, f"{args}: status {done.status}: {done.err}"
    assert done.err == b"", f"{args}: {done.err}"
    return done


def fails(*args, status=1, says="", lines=1, **kw):
    """It fails, with one line that names the command and holds @says."""
    done = run(*args, **kw)
    err = done.err.decode()
    assert done.status == status, f"{args}: status {done.status}: {err}"
    assert len(err.splitlines()) == lines, f"{args}: not {lines} line: {err}"
    assert err.startswith(f"uext4: {args[0]}: "), f"{args}: {err}"
    assert says in err, f"{args}: no '{says}' in: {err}"
    return done


def usage(*args):
    done = run(*args)
    err = done.err.decode()
    assert done.status == 2, f"{args}: status {done.status}: {err}"
    assert len(err.splitlines()) == 1 and "usage: uext4 " in err, err
    return err


def sh(*args, check=True, **kw):
    p = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=120, **kw)
    text = p.stdout.decode(errors="replace")
    assert not check or p.returncode == 0, f"{args}: {text}"
    return text


def mke2fs(path, *args, size="32M"):
    with open(path, "wb") as f:
        f.truncate(int(size[:-1]) << {"K": 10, "M": 20, "G": 30}[size[-1]])
    sh("mke2fs", "-q", "-F", *(args or ("-t", "ext4")), path)
    return path


def fsck(path):
    p = subprocess.run(["e2fsck", "-fn", path], capture_output=True,
                       timeout=120)
    assert p.returncode == 0, p.stdout.decode(errors="replace")


def debugfs(path, command, write=False):
    return sh("debugfs", *(["-w"] if write else []), "-R", command, path)


def sha(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while piece := f.read(1 << 20):
            h.update(piece)
    return h.hexdigest()


def put(name, data):
    pathlib.Path(os.fsdecode(name)).write_bytes(data)
    return name


def get(name):
    return pathlib.Path(name).read_bytes()


def pattern(n, seed=1):
    """@n bytes that say where they are."""
    return (b"".join(b"%08x%08x" % (seed, i) for i in range(n // 16 + 1)))[:n]


def compare_trees(a, b):
    tool = pathlib.Path(__file__).parent.parent.parent / "tools"
    return sh(sys.executable, str(tool / "compare-trees.py"), a, b)


def main():
    if not TOOL or not shutil.which("mke2fs"):
        print("skip: " + ("no e2fsprogs" if TOOL else "no program given"))
        sys.exit(77)
    # A shell starts what runs in the background with SIGINT ignored, and what
    # is started here would go on ignoring it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in sys.argv[2:]:
        assert any(f.__name__ == name for f in cases), f"no case {name}"
    cases[:] = [f for f in cases if not sys.argv[2:] or
                f.__name__ in sys.argv[2:]]
    print(f"1..{len(cases)}", flush=True)
    bad = 0
    for i, f in enumerate(cases, 1):
        home = os.getcwd()
        with tempfile.TemporaryDirectory(prefix="uext4-cli.") as d:
            os.chmod(d, 0o755)
            os.chdir(d)
            try:
                f()
                print(f"ok {i} - {f.__name__}", flush=True)
            except Skip as e:
                print(f"ok {i} - {f.__name__} # SKIP {e}", flush=True)
            except Exception:
                bad += 1
                print("# " + traceback.format_exc().replace("\n", "\n# "))
                print(f"not ok {i} - {f.__name__}", flush=True)
            finally:
                os.chdir(home)
    sys.exit(1 if bad else 0)
