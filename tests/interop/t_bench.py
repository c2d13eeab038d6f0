#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""uext4 bench: what it prints, what it refuses, and that nothing is left. The
figures themselves are nobody's business here."""
import os
import shutil
import signal
import subprocess
import time

from clitest import ROOT, TOOL, case, fails, main, ok, run, skip, usage

JOBS = ["overwrite4k", "read4k", "append4k", "append64k", "hole4k",
        "prealloc4k", "seqwrite1m", "seqread1m", "fsync4k", "create", "stat",
        "unlink"]
RAW = {"overwrite4k", "read4k", "seqwrite1m", "seqread1m", "fsync4k"}
NAMES = {"create", "stat", "unlink"}
FIGURES = ["iops", "mib_s", "p50_us", "p99_us", "cpu_us_per_io"]
SMALL = ["bench", "--size", "64M", "--rounds", "1", "--seconds", "0.02"]


def bench(*args, **kw):
    return ok(*SMALL, *args, **kw)


def measure(*args, **kw):
    return bench("--json", *args, **kw).json


def by_name(report):
    return {(r["job"], r["target"]): r for r in report["results"]}


def skipped(report):
    return {s["target"]: s["reason"] for s in report["skipped"]}


def looks_right(r):
    assert list(r) == ["job", "target", *FIGURES, "ratio"], r
    assert (r["ratio"] is None) == (r["target"] != "engine"), r
    if r["target"].startswith("raw") and r["job"] not in RAW:
        assert all(r[f] is None for f in FIGURES), r
        return
    assert r["iops"] > 0 and r["cpu_us_per_io"] >= 0, r
    assert 0 < r["p50_us"] <= r["p99_us"], r
    assert (r["mib_s"] is None) == (r["job"] in NAMES), r


# ---- what it prints --------------------------------------------------------

@case
def every_job_has_figures_as_json():
    report = measure()
    assert list(report) == ["machine", "options", "results", "targets",
                            "skipped", "checked"]
    assert report["machine"]["cpus"] >= 1 and report["machine"]["kernel"]
    assert report["options"]["size"] == 64 << 20
    assert report["options"]["depth"] == 32
    assert report["checked"] > 0
    targets = [t["target"] for t in report["targets"]]
    assert "engine" in targets
    assert set(targets) | set(skipped(report)) == {"raw", "engine", "kernel"}
    assert [(r["job"], r["target"]) for r in report["results"]] == \
        [(j, t) for j in JOBS for t in targets]
    for r in report["results"]:
        looks_right(r)
    fsck = {t["target"]: t["fsck"] for t in report["targets"]}
    assert fsck["engine"] == 0
    assert fsck.get("raw") is None and fsck.get("kernel") is None


@case
def the_table_has_a_row_for_each_job_and_target():
    done = bench("--targets", "raw,engine", "--jobs", "read4k,create")
    rows = [line.split() for line in done.lines]
    rows = [r for r in rows if r and r[0] in JOBS]
    assert [(r[0], r[1]) for r in rows] == [
        (j, t) for j in ("read4k", "create") for t in ("raw", "engine")] \
        or "skipped" in done.text, done.text
    assert ["create", "raw", "-", "-", "-", "-", "-"] in rows or \
        "skipped" in done.text
    assert "kernel" not in [r[1] for r in rows]
    assert "engine is clean" in done.text and "/kernel" in done.text


@case
def jobs_and_targets_are_chosen_by_name():
    report = measure("--jobs", "stat,hole4k", "--targets", "engine",
                     "--depth", "4", "--seed", "7", "--rounds", "2")
    assert list(by_name(report)) == [("hole4k", "engine"), ("stat", "engine")]
    assert report["options"]["seed"] == 7 and report["options"]["rounds"] == 2
    assert report["skipped"] == []


@case
def the_engine_is_compared_with_itself():
    for what, values in (("dio-extend", ["parallel", "serial"]),
                         ("dio-alloc", ["unwritten", "datafirst"])):
        report = measure("--jobs", "append4k,hole4k", "--targets", "engine",
                         "--compare", what)
        assert list(by_name(report)) == [
            (j, "engine-" + v) for j in ("append4k", "hole4k")
            for v in values]
        assert all(t["fsck"] == 0 for t in report["targets"])
    report = measure("--jobs", "read4k", "--targets", "engine", "--compare",
                     "backend")
    used = {t["target"] for t in report["targets"]}
    assert used | set(skipped(report)) == {
        "engine-uring", "engine-pool", "engine-inline"}
    assert "engine-inline" in used


@case
def the_ways_of_the_engine_are_taken():
    report = measure("--jobs", "append64k,fsync4k", "--targets", "engine",
                     "--dio-alloc", "unwritten", "--dio-extend", "serial",
                     "--dio-size", "prefix", "--backend", "inline")
    options = report["options"]
    assert (options["dio_alloc"], options["dio_extend"], options["dio_size"],
            options["backend"]) == ("unwritten", "serial", "prefix", "inline")
    for r in report["results"]:
        looks_right(r)


# ---- the kernel ------------------------------------------------------------

@case
def the_kernel_is_skipped_without_root():
    kw = {}
    os.mkdir("d")
    os.chmod("d", 0o777)
    if ROOT:
        kw = dict(user=65534, group=65534, extra_groups=[])
    try:
        report = measure("--jobs", "create", "--dir", "d", **kw)
    except PermissionError:
        skip("the program cannot be reached by others")
    assert "root" in skipped(report)["kernel"], report
    assert ("create", "engine") in by_name(report)
    done = run(*SMALL, "--targets", "kernel", "--dir", "d", **kw)
    assert done.status == 1 and b"no target is left: kernel" in done.err
    assert os.listdir("d") == []


@case
def the_kernel_leaves_no_mount_and_no_loop_device():
    if not ROOT:
        skip("needs root to mount")
    os.mkdir("d")
    report = measure("--jobs", "append4k,unlink", "--targets", "kernel,raw",
                     "--dir", "d")
    if "kernel" in skipped(report):
        skip(skipped(report)["kernel"])
    assert by_name(report)["append4k", "kernel"]["iops"] > 0
    assert os.listdir("d") == []
    here = os.path.realpath("d")
    with open("/proc/self/mounts") as f:
        assert here not in f.read()
    loops = subprocess.run(["losetup", "-a"], capture_output=True, text=True)
    assert here not in loops.stdout


# ---- the end ---------------------------------------------------------------

@case
def a_signal_ends_it_and_nothing_is_left():
    for sig in (signal.SIGTERM, signal.SIGINT):
        os.makedirs("d", exist_ok=True)
        p = subprocess.Popen([TOOL, "bench", "--size", "64M", "--seconds",
                              "60", "--dir", "d"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        until = time.monotonic() + 20
        while not os.listdir("d") and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.7)
        p.send_signal(sig)
        out, err = p.communicate(timeout=60)
        assert p.returncode == -sig, (p.returncode, err)
        assert out == b"" and err == b"", err
        assert os.listdir("d") == []


@case
def a_plot_is_drawn():
    for name, magic in (("bars.png", b"\x89PNG"), ("bars.svg", b"<?xml")):
        args = [*SMALL, "--targets", "engine", "--jobs", "create,read4k",
                "--plot", name]
        if not shutil.which("gnuplot"):
            fails(*args, says="install gnuplot-nox")
            continue
        done = ok(*args)
        assert "engine is clean" in done.text
        with open(name, "rb") as f:
            data = f.read()
        assert data.startswith(magic) and len(data) > 1000
        if name.endswith(".svg"):
            assert b"read4k" in data and b"engine" in data
    if not shutil.which("gnuplot"):
        skip("there is no gnuplot")


@case
def a_missing_gnuplot_is_said_before_anything_is_measured():
    begin = time.monotonic()
    if os.path.exists("/usr/sbin/gnuplot"):
        skip("gnuplot is where every PATH ends")
    fails("bench", "--plot", "x.png", says="install gnuplot-nox",
          env={**os.environ, "PATH": "/nonexistent"})
    assert time.monotonic() - begin < 5
    assert os.listdir(".") == []


# ---- bad input -------------------------------------------------------------

@case
def wrong_usage_is_one_line():
    for value, args in (
            ("frob", ["--jobs", "frob"]), ("", ["--jobs", ""]),
            ("read4k,", ["--jobs", "read4k,"]),
            ("read", ["--jobs", "read"]), ("disk", ["--targets", "disk"]),
            ("size", ["--compare", "size"]), ("0", ["--depth", "0"]),
            ("4097", ["--depth", "4097"]), ("-1", ["--depth=-1"]),
            ("0", ["--seconds", "0"]), ("nan", ["--seconds", "nan"]),
            ("1e9", ["--seconds", "1e9"]), ("0", ["--rounds", "0"]),
            ("1M", ["--size", "1M"]), ("x", ["--size", "x"]),
            ("x", ["--seed", "x"]), ("linux", ["--dio-alloc", "linux"]),
            ("both", ["--dio-extend", "both"]), ("min", ["--dio-size", "min"]),
            ("aio", ["--backend", "aio"]), ("pool", ["--dir-io", "pool"]), ("x.gif", ["--plot", "x.gif"]),
            (".png", ["--plot", ".png"])):
        err = usage("bench", *args)
        name = args[0].split("=")[0]
        assert f"{value}: no valid value for {name}" in err, err
    assert "read4k" in usage("bench", "--jobs", "frob")
    assert "--frob: no such option" in usage("bench", "--frob")
    assert "-d: no such option" in usage("bench", "-d", "8")
    assert "--mount=x" in usage("bench", "--mount=x")
    assert "--depth: needs a value" in usage("bench", "--depth")
    assert "disk.img" in usage("bench", "disk.img")


@case
def a_place_without_room_is_refused():
    fails(*SMALL, "--dir", "nowhere", says="No such file or directory")
    fails("bench", "--size", "16T", "--dir", ".", says="--size")
    fails(*SMALL, "--plot", "nowhere/x.png" if shutil.which("gnuplot")
          else "x.png")
    assert os.listdir(".") == []


main()
