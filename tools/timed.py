#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run a command; append its name, seconds, CPU seconds and peak KiB to a file.

usage: timed.py FILE NAME COMMAND...
"""
import os
import sys
import time

out, name, command = sys.argv[1], sys.argv[2], sys.argv[3:]
begin = time.monotonic()
# posix_spawn and not fork: the child's peak is its own, not this program's.
pid = os.posix_spawnp(command[0], command, os.environ)
_, status, usage = os.wait4(pid, 0)
seconds = time.monotonic() - begin
with open(out, "a", encoding="utf-8") as f:
    print(name, f"{seconds:.6f}", f"{usage.ru_utime + usage.ru_stime:.6f}",
          usage.ru_maxrss, file=f)
sys.exit(os.waitstatus_to_exitcode(status))
