#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""uext4 bench on mounts: ours, fuse2fs and the kernel's. They are measured, they
are skipped with a reason, and whatever ends the run nothing is left of them."""
import os
import shutil
import signal
import subprocess
import time

from clitest import ROOT, TOOL, case, fails, main, ok, run, skip

JOBS = ["overwrite4k", "read4k", "append4k", "append64k", "hole4k",
        "prealloc4k", "seqwrite1m", "seqread1m", "fsync4k", "create", "stat",
        "unlink"]
SMALL = ["bench", "--size", "64M", "--rounds", "1", "--seconds", "0.02"]
BASES = ["raw", "kernel", "fuse2fs"]


def measure(*args, **kw):
    return ok(*SMALL, "--json", *args, **kw).json


def skipped(report):
    return {s["target"]: s["reason"] for s in report["skipped"]}


def by_name(report):
    return {(r["job"], r["target"]): r for r in report["results"]}


def here():
    return os.path.realpath("d")


def needs_fuse():
    if not ROOT:
        skip("needs root to mount")
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as e:
        skip(f"/dev/fuse: {e.strerror}")


def needs_fuse2fs():
    needs_fuse()
    if not shutil.which("fuse2fs"):
        skip("there is no fuse2fs")


def script(name, text):
    with open(name, "w") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(name, 0o755)
    return os.path.realpath(name)


def servers(place):
    """The processes whose command line names a mount point below @place."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                args = f.read()
            if os.fsencode(place) + b"/" in args and b".mnt\0" in args:
                found.append(int(pid))
        except OSError:
            pass
    return found


def nothing_is_left(files=True):
    until = time.monotonic() + 20
    while servers(here()) and time.monotonic() < until:
        time.sleep(0.02)
    assert servers(here()) == []
    with open("/proc/self/mounts") as f:
        assert here() not in f.read()
    if files:
        assert os.listdir("d") == []


# ---- figures ---------------------------------------------------------------

@case
def every_job_has_figures_on_every_mount():
    needs_fuse2fs()
    os.mkdir("d")
    report = measure("--mount", "--dir", here())
    targets = [t["target"] for t in report["targets"]]
    if "kernel" in skipped(report):
        assert targets == ["mount", "fuse2fs"], report
    else:
        assert targets == ["kernel", "mount", "fuse2fs"], report
    assert list(by_name(report)) == [(j, t) for j in JOBS for t in targets]
    for r in report["results"]:
        assert r["iops"] > 0 and 0 < r["p50_us"] <= r["p99_us"], r
        assert r["cpu_us_per_io"] > 0, r
    fsck = {t["target"]: t["fsck"] for t in report["targets"]}
    assert fsck["mount"] == 0 and fsck["fuse2fs"] is None
    assert report["options"]["dir_io"] == "aio" and report["checked"] > 0
    nothing_is_left()


@case
def ours_is_divided_by_the_others():
    needs_fuse2fs()
    report = measure("--targets", "raw,engine,mount,fuse2fs", "--jobs",
                     "read4k,create")
    rows = by_name(report)
    assert rows["read4k", "raw"]["ratio"] is None
    assert rows["read4k", "fuse2fs"]["ratio"] is None
    for job in "read4k", "create":
        for target in "engine", "mount":
            r = rows[job, target]
            assert list(r["ratio"]) == BASES, r
            assert r["ratio"]["kernel"] is None, r
            for base in "raw", "fuse2fs":
                if rows[job, base]["iops"] is None:
                    assert r["ratio"][base] is None, r
                    continue
                want = r["iops"] / rows[job, base]["iops"]
                assert abs(r["ratio"][base] - want) < 0.001 * want, r
    done = ok(*SMALL, "--targets", "mount,fuse2fs", "--jobs", "stat")
    head = [x.split() for x in done.lines if x.startswith("job ")]
    row = [x.split() for x in done.lines if x.startswith("stat ")]
    assert head[0][-3:] == ["/raw", "/kernel", "/fuse2fs"], done.text
    assert row[0][1] == "mount" and row[0][-3:-1] == ["-", "-"], done.text
    assert float(row[0][-1]) > 0, done.text
    assert row[1][1] == "fuse2fs" and len(row[1]) == 7, done.text
    assert "mount is clean" in done.text


@case
def both_ways_of_the_host_are_taken():
    needs_fuse()
    for io in "uring", "aio":
        report = measure("--targets", "kernel,mount", "--dir-io", io,
                         "--depth", "200")
        if any("refused" in why for why in skipped(report).values()):
            skip(f"{io}: {skipped(report)}")
        assert report["options"]["dir_io"] == io
        name = {"uring": "io_uring", "aio": "aio"}[io]
        assert all(t["how"].startswith(name) for t in report["targets"])
        for job in JOBS:
            assert by_name(report)[job, "mount"]["iops"] > 0


@case
def the_options_of_the_engine_reach_the_mount():
    needs_fuse()
    report = measure("--targets", "mount", "--jobs", "append4k,hole4k",
                     "--dio-alloc", "unwritten", "--dio-extend", "serial",
                     "--dio-size", "prefix")
    how = report["targets"][0]["how"]
    for word in "dio_alloc=unwritten", "dio_extend=serial", "dio_size=prefix":
        assert word in how, how
    assert report["targets"][0]["fsck"] == 0


@case
def the_time_of_the_server_is_counted():
    needs_fuse()
    report = measure("--targets", "mount", "--jobs", "seqread1m",
                     "--seconds", "0.2")
    # this process copies nothing: the server moves each MiB at least once
    assert by_name(report)["seqread1m", "mount"]["cpu_us_per_io"] > 20, report


@case
def mounts_are_drawn():
    needs_fuse2fs()
    if not shutil.which("gnuplot"):
        skip("there is no gnuplot")
    ok(*SMALL, "--targets", "engine,mount,fuse2fs", "--jobs", "read4k",
       "--plot", "bars.svg")
    with open("bars.svg", "rb") as f:
        data = f.read()
    assert b"mount" in data and b"fuse2fs" in data


# ---- what is not here ------------------------------------------------------

@case
def a_missing_fuse2fs_is_said():
    if os.path.exists("/usr/sbin/fuse2fs") or \
            os.path.exists("/usr/local/sbin/fuse2fs"):
        skip("fuse2fs is where every PATH ends")
    env = {**os.environ, "PATH": "/nonexistent"}
    report = measure("--targets", "engine,fuse2fs", "--jobs", "stat", env=env)
    assert "install fuse2fs" in skipped(report)["fuse2fs"], report
    done = ok(*SMALL, "--targets", "engine,fuse2fs", "--jobs", "stat", env=env)
    assert "skipped  fuse2fs: there is no fuse2fs" in done.text, done.text
    fails(*SMALL, "--targets", "fuse2fs", env=env,
          says="no target is left: fuse2fs: there is no fuse2fs")


@case
def a_fuse_device_that_cannot_be_opened_is_said():
    kw = dict(user=65534, group=65534, extra_groups=[]) if ROOT else {}
    try:
        p = subprocess.run(["sh", "-c", "exec 3<>/dev/fuse"],
                           capture_output=True, **kw)
        if p.returncode == 0:
            skip("anybody may open /dev/fuse here")
        os.mkdir("d")
        os.chmod("d", 0o777)
        report = measure("--targets", "engine,mount", "--jobs", "stat",
                         "--dir", here(), **kw)
    except PermissionError:
        skip("the program cannot be reached by others")
    assert skipped(report)["mount"].startswith("/dev/fuse: "), report
    assert os.listdir("d") == []


@case
def a_server_that_does_not_mount_is_skipped_with_its_words():
    needs_fuse()
    os.mkdir("d")
    for text, says in (("echo warning; echo 'no such luck' >&2; exit 3\n",
                        "it cannot be mounted: no such luck"),
                       ("exit 3\n", "it cannot be mounted: exit status 3"),
                       ("exit 0\n", "it cannot be mounted: exit status 0"),
                       ("kill -9 $$\n", "it cannot be mounted: killed by "
                        "signal 9")):
        env = {**os.environ, "UEXT4_BENCH_MOUNT": script("server", text)}
        report = measure("--targets", "engine,mount", "--jobs", "stat",
                         "--dir", here(), env=env)
        assert skipped(report)["mount"] == says, report
        fails(*SMALL, "--targets", "mount", "--dir", here(), env=env, says=says)
    env = {**os.environ, "UEXT4_BENCH_MOUNT": "/nonexistent"}
    fails(*SMALL, "--targets", "mount", "--dir", here(), env=env,
          says="exit status 127")
    nothing_is_left()


# ---- the end ---------------------------------------------------------------

@case
def a_server_that_dies_ends_the_run_with_one_line():
    needs_fuse()
    os.mkdir("d")
    dies = script("dies", f"{TOOL} \"$@\" & sleep 1; kill -9 $!; wait; "
                  "echo 'gone' >&2; exit 9\n")
    env = {**os.environ, "UEXT4_BENCH_MOUNT": dies}
    done = run("bench", "--size", "64M", "--seconds", "60", "--jobs", "read4k",
               "--targets", "mount", "--dir", here(), env=env)
    assert done.status == 1, done.err
    assert done.err.count(b"\n") == 1 and b"read4k on mount" in done.err
    assert b"(gone)" in done.err, done.err
    nothing_is_left()


@case
def a_server_that_does_not_end_well_is_an_error():
    needs_fuse()
    os.mkdir("d")
    bad = script("bad", f"{TOOL} \"$@\"; echo 'not written' >&2; exit 4\n")
    env = {**os.environ, "UEXT4_BENCH_MOUNT": bad}
    fails(*SMALL, "--targets", "mount", "--jobs", "stat", "--dir", here(),
          env=env, says="the server did not end well: not written")
    nothing_is_left()


def begin(targets):
    """A run that does not end, with its server up."""
    os.makedirs("d", exist_ok=True)
    p = subprocess.Popen([TOOL, "bench", "--size", "64M", "--seconds", "60",
                          "--targets", targets, "--dir", here()],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         start_new_session=True)
    until = time.monotonic() + 20
    while not servers(here()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return p


@case
def a_signal_ends_it_and_no_mount_is_left():
    needs_fuse2fs()
    for targets, pause in (("mount", 0.7), ("mount", 0), ("fuse2fs", 0.7),
                           ("kernel,mount,fuse2fs", 1)):
        for sig in signal.SIGINT, signal.SIGTERM:
            p = begin(targets)
            time.sleep(pause)
            # as a terminal does: to all that belong to it
            os.killpg(p.pid, sig)
            out, err = p.communicate(timeout=60)
            assert p.returncode == -sig, (p.returncode, err)
            assert out == b"" and err == b"", err
            nothing_is_left()


@case
def a_run_that_is_killed_takes_its_server_with_it():
    needs_fuse2fs()
    for targets in "mount", "fuse2fs":
        p = begin(targets)
        time.sleep(0.7)
        assert len(servers(here())) >= 1
        p.kill()
        p.communicate(timeout=60)
        nothing_is_left(files=False)
        shutil.rmtree("d")


main()
