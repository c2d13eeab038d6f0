#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the tests of a meson build directory and count their cases.

usage: run-tests.py BUILDDIR [--suite NAME]... [--jobs N] [--timeout-factor X]

A test is what meson.build calls test(). Its cases are read from TAP on its
standard output (cmocka is asked for it); a test that speaks no TAP is one
case, judged by its exit status, 77 meaning skipped. A crash, a timeout and a
planned case that never reported are failures. A case that skips prints
"skip: why" before it does so; the reasons are listed.

The suite "long" runs only when it is asked for. Lines "# power: N distinct
states judged, and M of ..." are added up, and so are "# power: of which N with
asynchronous writes in flight"; a whole suite "power" that judged fewer than
50,000, or 100,000 of the latter, has lost something and fails, unless PW_STATES
or the like asked for less.

The last line is "N passed, N failed" or "N passed, N failed, N skipped"; the
exit status is 0 only if something passed and nothing failed.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

FIRST = ["unit"]                    # suites that run before the others
PLAN = re.compile(r"^1\.\.(\d+)\s*$")
CASE = re.compile(r"(not ok|ok) (\d+)(?: - (.*?))?(?:\s*# SKIP ?(.*))?$",
                  re.IGNORECASE)
REASON = re.compile(r"^#?\s*skip(?:ped)?: *(.*)$", re.IGNORECASE)
LAST = "long"                       # not unless it is asked for
POWER = re.compile(r"^# power: (\d+) distinct states judged, and (\d+) of")
ASYNC = re.compile(r"^# power: of which (\d+) with asynchronous writes")
POWER_LEAST = 50_000
ASYNC_LEAST = 100_000
SHOWN = 200                         # lines of a failed test's output
say_lock = threading.Lock()


class Result:
    def __init__(self, test):
        self.name = test["name"]
        self.suite = test["suite"][0].split(":")[-1] if test["suite"] else "-"
        self.passed = self.failed = 0
        self.notes = []             # what went wrong, one line each
        self.skipped = []           # (case, reason)
        self.seconds = 0.0
        self.states = self.nested = 0   # of power cuts
        self.inflight = 0           # of states: with asynchronous writes
        self.log = None


def parse(text, status, result):
    """Fill the counts of @result from TAP @text and the exit @status."""
    planned = seen = 0
    reason = None
    for line in text.splitlines():
        line = line.rstrip()
        if m := POWER.match(line):
            result.states += int(m[1])
            result.nested += int(m[2])
        if m := ASYNC.match(line):
            result.inflight += int(m[1])
        if m := PLAN.match(line):
            planned += int(m[1])
        elif m := REASON.match(line):
            reason = m[1]
        elif (m := CASE.search(line)) and (m[3] or m[4] is not None):
            if m[4] is not None:
                seen += 1
                if m[3]:            # TAP proper: "ok 1 - case # SKIP why"
                    result.skipped.append((m[3], m[4] or reason))
                else:               # cmocka: "not ok 1 # SKIP case"
                    result.skipped.append((m[4], reason))
            elif m[1].lower() == "ok":
                seen += 1
                result.passed += 1
            else:                   # case 0 is a group's setup or teardown
                seen += m[2] != "0"
                result.failed += 1
                result.notes.append(m[3])
            reason = None
    if planned == 0 and seen == 0:
        if status == 0:
            result.passed += 1
        elif status == 77:
            result.skipped.append((result.name, reason))
        else:
            result.failed += 1
            result.notes.append(f"exit status {status}")
        return
    if seen < planned:
        result.failed += planned - seen
        result.notes.append(f"{planned - seen} of {planned} cases never "
                            f"reported (exit status {status})")
    if status != 0 and result.failed == 0:
        result.failed += 1
        result.notes.append(f"exit status {status}")


def run(test, args, logdir):
    result = Result(test)
    result.log = logdir / (result.suite + "." +
                           re.sub(r"[^\w.-]", "_", result.name) + ".log")
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    env.setdefault("TSAN_OPTIONS", "halt_on_error=1:second_deadlock_stack=1")
    env.update(test.get("env") or {})
    limit = (test.get("timeout") or 0) * args.timeout_factor or None
    begin = time.monotonic()
    timed_out = False
    with open(result.log, "wb") as log:
        try:
            child = subprocess.Popen(
                test["cmd"], stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, env=env, start_new_session=True,
                cwd=test.get("workdir") or args.builddir)
        except OSError as e:
            result.failed = 1
            result.notes.append(f"cannot run: {e}")
            return result
        try:
            status = child.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            timed_out = True
            os.killpg(child.pid, signal.SIGKILL)
            status = child.wait()
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
    result.seconds = time.monotonic() - begin
    parse(result.log.read_text(errors="replace"), status, result)
    if timed_out:
        if result.failed == 0:
            result.failed = 1
        result.notes.append(f"timed out after {limit:.0f} s")
    return result


def report(result):
    word = "FAIL" if result.failed else "skip" if not result.passed else "ok"
    counts = f"{result.passed} passed"
    if result.failed:
        counts += f", {result.failed} FAILED"
    if result.skipped:
        counts += f", {len(result.skipped)} skipped"
    with say_lock:
        print(f"{word:4} {result.suite:8} {result.name:28} "
              f"{result.seconds:7.1f} s  {counts}", flush=True)
        if result.failed and result.log.exists():
            lines = result.log.read_text(errors="replace").splitlines()
            if len(lines) > SHOWN:
                print(f"     ... {len(lines) - SHOWN} lines above in "
                      f"{result.log}")
            for line in lines[-SHOWN:]:
                print("     | " + line)
            sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("builddir", type=pathlib.Path)
    parser.add_argument("--suite", action="append")
    parser.add_argument("--jobs", type=int,
                        default=len(os.sched_getaffinity(0)))
    parser.add_argument("--timeout-factor", type=float, default=1.0)
    args = parser.parse_args()
    args.builddir = args.builddir.resolve()

    listed = json.loads(subprocess.run(
        ["meson", "introspect", str(args.builddir), "--tests"],
        check=True, stdout=subprocess.PIPE).stdout)
    tests = []
    for test in listed:
        suites = {s.split(":")[-1] for s in test["suite"]}
        if suites & set(args.suite) if args.suite else LAST not in suites:
            tests.append(test)
    # Quick suites first, then the longest, so that no core idles at the end.
    tests.sort(key=lambda t: (Result(t).suite not in FIRST,
                              -(t.get("timeout") or 0), t["name"]))
    logdir = args.builddir / "test-logs"
    logdir.mkdir(exist_ok=True)

    results = []
    begin = time.monotonic()

    def one(test):
        result = run(test, args, logdir)
        results.append(result)
        report(result)

    shared = [t for t in tests if t.get("is_parallel", True)]
    alone = [t for t in tests if not t.get("is_parallel", True)]
    with concurrent.futures.ThreadPoolExecutor(max(args.jobs, 1)) as pool:
        for future in [pool.submit(one, t) for t in shared]:
            future.result()
    for test in alone:
        one(test)

    power = [r for r in results if r.suite == "power"]
    states = sum(r.states for r in results)
    inflight = sum(r.inflight for r in results)
    if states:
        print(f"\npower cuts: {states:,} distinct states judged, of which "
              f"{inflight:,} with asynchronous writes in flight, and "
              f"{sum(r.nested for r in results):,} of cuts inside recoveries")
    whole = power and not any(name.startswith("PW_") for name in os.environ)
    for what, n, least in (("", states, POWER_LEAST),
                           (" with asynchronous writes in flight", inflight,
                            ASYNC_LEAST)):
        if whole and n < least:
            power[0].failed += 1
            power[0].notes.append(f"the suite judged {n:,} states{what}, "
                                  f"which is less than {least:,}")

    passed = sum(r.passed for r in results)
    failed = sum(r.failed for r in results)
    skipped = [(r, c, why) for r in results for c, why in r.skipped]
    print(f"\n{len(results)} test programs in "
          f"{time.monotonic() - begin:.0f} s, logs in {logdir}")
    for r, case, why in skipped:
        print(f"skipped: {r.name}: {case}: {why or 'gave no reason'}")
    for r in results:
        for note in r.notes:
            print(f"failed: {r.name}: {note}")
    line = f"{passed} passed, {failed} failed"
    if skipped:
        line += f", {len(skipped)} skipped"
    print(line, flush=True)
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
