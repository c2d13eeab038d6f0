#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Kill the server at random moments: nothing that was fsynced may be missing.

usage: kill_loop.py UEXT4 IMAGE DIR ROUNDS SEED [SECONDS]

Writers change files on the mount DIR; each notes beside the mount what it is
about to do, and that its fsyncs have returned (promises.py). The server is
killed while they work, while it mounts, or while it unmounts. Then the image
is recovered, by `uext4 recover`, by the next mount, or on copies by e2fsck
and by the kernel; e2fsck must find nothing, and the promises must be kept
byte for byte. Ends after ROUNDS kills, or SECONDS if that is less.
"""
import errno
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback

import promises
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import waits  # noqa: E402

WRITERS = 3
COPY_EVERY = 10                 # rounds between judgements by the kernel
MNT_DETACH = 2
OPTIONS = "kernel," + os.environ.get("OURS", "")


def fail(what):
    sys.exit(f"kill_loop.py: {what}")


def run(*args):
    done = subprocess.run(args, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout


def judge_clean(image):
    status, said = run("e2fsck", "-fn", image)
    if status != 0:
        fail(f"e2fsck -fn {image}: status {status}\n{said}")


class Writer:
    """One process a round, in a directory of its own."""

    def __init__(self, n, where):
        self.n = n
        self.top = os.path.join(where, f"w{n}")
        self.state = {}         # promised
        self.op = None          # was under way
        self.kept = 0
        self.notes = None
        self.pid = None

    def start(self, seed, beside):
        self.notes = os.path.join(beside, f"notes.{self.n}")
        fd = os.open(self.notes, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        top = os.open(self.top, os.O_RDONLY | os.O_DIRECTORY)
        self.pid = os.fork()
        if self.pid != 0:
            os.close(fd)
            os.close(top)
            return
        status = 1
        try:
            r = random.Random(seed)
            state = self.state
            # Names from here on lead into the mount, also when it is taken
            # away from its place (SIGTERM): not into what was below it.
            os.fchdir(top)
            os.close(top)
            while True:
                op = promises.choose(r, state)
                os.write(fd, pickle.dumps(op))
                promises.do(".", op)
                os.write(fd, pickle.dumps("done"))
                state = promises.after(state, op)
        except OSError as e:
            status = e.errno
            if status in UNSURE and self.is_dead():
                status = errno.ENOTCONN
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def is_dead(self):
        for _ in range(10):
            try:
                os.statvfs(".")             # nobody caches that
            except OSError as e:
                if e.errno in UNSURE:
                    time.sleep(0.01)
                    continue
                return e.errno in GONE
            return False
        return False

    def is_at_work(self):
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG |
                         os.WNOWAIT) is None

    def end(self, kind, alive=False):
        """Wait for the process and take over what it noted. @alive: the
        server had not been killed when it ended."""
        _, status = os.waitpid(self.pid, 0)
        status = os.waitstatus_to_exitcode(status)
        self.op = None
        with open(self.notes, "rb") as f:
            while True:
                try:
                    note = pickle.load(f)
                except EOFError:
                    break
                if note == "done":
                    self.state = promises.after(self.state, self.op)
                    self.op = None
                    self.kept += 1
                else:
                    self.op = note
        if status not in GONE or alive:
            fail(f"writer {self.n}, {kind}, met status {status} "
                 f"({os.strerror(abs(status))}) in {self.op!r}")

    def judge(self, top, settle):
        """Is what was promised below @top? With @settle, what is there is
        the truth from now on."""
        got = promises.read(os.path.join(top, f"w{self.n}"))
        wrong = promises.may_be(got, self.state, self.op)
        if wrong:
            return f"w{self.n}: {wrong}"
        if settle:
            self.state = got
            self.op = None
        return None


# What a writer is told when the server is gone: ENOTCONN of later calls,
# ECONNABORTED of the call that was under way. A page that nobody can read any
# more is a SIGBUS.
GONE = {errno.ENOTCONN, errno.ECONNABORTED, -signal.SIGBUS}
# And of a request that the server was just reading, or that was in a ring: what
# a server may say, too. EAGAIN and EFAULT are the kernel's for memory of a process
# that is being killed.
UNSURE = {errno.EIO, errno.ECANCELED, errno.EINTR, errno.EAGAIN, errno.EFAULT}


class Loop:
    def __init__(self, tool, image, where, seed):
        self.tool = tool
        self.image = image
        self.where = os.path.realpath(where)
        self.beside = os.path.dirname(image)
        self.r = random.Random(seed)
        self.seed = seed
        self.server = None
        self.log = os.path.join(self.beside, "server.log")
        self.writers = [Writer(n, self.where) for n in range(WRITERS)]
        self.kinds = {}
        self.judged = 0

    def start(self):
        with open(self.log, "ab") as log:
            self.server = subprocess.Popen(
                [self.tool, "mount", "-f", self.image, self.where,
                 "-o", OPTIONS], stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT)

    def mount(self):
        self.start()
        if not waits.wait_mounted(self.where, self.server.pid):
            self.fail("the image could not be mounted again")

    def fail(self, what):
        with open(self.log, "r", errors="replace") as f:
            print("".join(f.readlines()[-10:]), file=sys.stderr)
        fail(f"seed {self.seed}, round {sum(self.kinds.values())}: {what}")

    def unmount(self):
        waits.umount(self.where)
        status = self.server.wait()
        if status != 0:
            self.fail(f"the server ended with status {status}")

    def kill(self):
        self.server.send_signal(signal.SIGKILL)
        self.server.wait()

    def detach(self):
        """Whatever is mounted there is no more."""
        try:
            waits.umount(self.where, MNT_DETACH)
        except OSError as e:
            if e.errno != errno.EINVAL:     # nothing was mounted
                raise

    def judge(self, top, settle):
        for w in self.writers:
            wrong = w.judge(top, settle)
            if wrong:
                self.fail(wrong)

    def on_copies(self):
        """What e2fsck and the kernel make of it."""
        copy = self.image + ".copy"
        shutil.copyfile(self.image, copy)
        status, said = run("e2fsck", "-fy", copy)
        if status not in (0, 1) or re.search(r"\? yes|<y>|FIXED", said):
            self.fail(f"e2fsck -fy on a copy: status {status}\n{said}")
        judge_clean(copy)
        # So the image itself is sound apart from its journal, and safe to
        # let the kernel replay that.
        shutil.copyfile(self.image, copy)
        top = os.path.join(self.beside, "kernel")
        os.makedirs(top, exist_ok=True)
        status, said = run("mount", "-t", "ext4", "-o", "loop", copy, top)
        if status != 0:
            self.fail(f"the kernel refuses a copy: {said}")
        try:
            self.judge(top, False)
        finally:
            waits.umount(top)
        judge_clean(copy)
        os.unlink(copy)
        self.judged += 1

    def work_and_kill(self, number):
        for w in self.writers:
            w.start(self.r.randrange(1 << 40), self.beside)
        kind = "unmounting" if self.r.random() < 0.1 else "working"
        # No waiting for anything: the moment is what is random here.
        time.sleep(self.r.choice([0.002, 0.01, 0.03]) * self.r.random() * 2 +
                   0.003)
        if kind == "unmounting":
            self.server.send_signal(signal.SIGTERM)
            time.sleep(self.r.random() * 0.01)
        for w in self.writers:
            if kind == "working" and not w.is_at_work():
                w.end("nobody was killed", True)
        self.kill()
        for w in self.writers:
            w.end("killed while " + kind)
        self.detach()
        return kind

    def mount_and_kill(self):
        self.start()
        time.sleep(self.r.random() * 0.02)
        self.kill()
        self.detach()
        return "mounting"

    def round(self, number):
        if self.r.random() < 0.1:
            kind = self.mount_and_kill()
            self.kinds[kind] = self.kinds.get(kind, 0) + 1
        self.mount()
        self.judge(self.where, True)
        kind = self.work_and_kill(number)
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if number % COPY_EVERY == 0:
            self.on_copies()
        if number % 2:
            status, said = run(self.tool, "recover", self.image)
            if status != 0:
                self.fail(f"uext4 recover: status {status}: {said}")
        else:
            self.mount()
            self.judge(self.where, True)
            self.unmount()
        judge_clean(self.image)

    def run(self, rounds, seconds):
        self.mount()
        for w in self.writers:
            os.mkdir(w.top)
        fd = os.open(self.where, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        self.unmount()
        end = time.monotonic() + seconds
        number = 0
        while sum(self.kinds.values()) < rounds and time.monotonic() < end:
            number += 1
            self.round(number)
        self.mount()
        self.judge(self.where, True)
        self.unmount()
        kept = sum(w.kept for w in self.writers)
        print(f"seed {self.seed}: " +
              ", ".join(f"{n} kills while {kind}"
                        for kind, n in sorted(self.kinds.items())) +
              f"; {kept} promises kept; the kernel judged {self.judged}")
        # Or the writers never came to anything.
        if kept < sum(self.kinds.values()) * WRITERS:
            self.fail("hardly anything was ever promised")


def main():
    if len(sys.argv) not in (6, 7):
        sys.exit(__doc__)
    tool, image, where, rounds, seed = sys.argv[1:6]
    seconds = float(sys.argv[6]) if len(sys.argv) == 7 else float("inf")
    Loop(tool, image, where, int(seed)).run(int(rounds), seconds)


if __name__ == "__main__":
    main()
