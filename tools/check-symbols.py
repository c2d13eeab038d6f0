#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The public names agree: headers, symbol map, shared library.

usage: check-symbols.py [LIBUEXT4.SO]
"""
import pathlib
import re
import subprocess
import sys

top = pathlib.Path(__file__).resolve().parent.parent
declared = set()
for header in (top / "include").rglob("*.h"):
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
    declared |= set(re.findall(r"UEXT4_API[^;]*?\b(uext4_\w+)\s*\(", text))
mapped = set(re.findall(r"^\s*(uext4_\w+);$",
                        (top / "src/lib/uext4.map").read_text(), re.MULTILINE))

bad = [f"{n}: declared, not in src/lib/uext4.map" for n in declared - mapped]
bad += [f"{n}: in src/lib/uext4.map, not declared" for n in mapped - declared]
if len(sys.argv) > 1:
    nm = subprocess.run(["nm", "-D", "--defined-only", sys.argv[1]],
                        check=True, stdout=subprocess.PIPE, text=True).stdout
    exported = {line.split()[-1].split("@")[0] for line in nm.splitlines()
                if line.split()[-2] != "A"}
    bad += [f"{n}: declared, not in the library" for n in declared - exported]
    bad += [f"{n}: exported, not declared" for n in exported - declared]
print("\n".join(sorted(bad)), end="\n" if bad else "")
sys.exit(bool(bad))
