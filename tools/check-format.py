#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs/format.md lists the features exactly as src/disk/dfeature.c gates them.

usage: check-format.py [--print]    --print writes the tables to stdout
"""
import pathlib
import re
import sys

top = pathlib.Path(__file__).resolve().parent.parent
ENTRY = re.compile(r'^\t(COMPAT|INCOMPAT|RO_COMPAT)\(\s*\w+,\s*(RW|RO|REFUSE),'
                   r'\s*"([^"]+)",\s*(NULL|"[^"]*")\)', re.MULTILINE)
WORD = {"RW": "read and written", "RO": "read-only", "REFUSE": "refused"}

source = (top / "src/disk/dfeature.c").read_text()
want = []
for kind, rule, name, why in ENTRY.findall(source):
    text = WORD[rule] + ("" if why == "NULL" else ": " + why.strip('"'))
    want.append(f"| `{name}` | {kind.lower()} | {text} |")
if not want:
    sys.exit("check-format: no feature table found in src/disk/dfeature.c")
if sys.argv[1:] == ["--print"]:
    print("\n".join(want))
    sys.exit(0)
have = re.findall(r"^\| `\w[^`]*` \| (?:compat|incompat|ro_compat) \|.*$",
                  (top / "docs/format.md").read_text(), re.MULTILINE)
for line in want:
    if line not in have:
        print(f"docs/format.md lacks:  {line}")
for line in have:
    if line not in want:
        print(f"docs/format.md is wrong: {line}")
sys.exit(sorted(want) != sorted(have))
