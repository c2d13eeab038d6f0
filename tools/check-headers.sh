#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every header compiles alone; the public ones as C++ too. Run anywhere.
set -euo pipefail
cd "$(dirname "$0")/.."

cc=${CC:-cc}
cxx=${CXX:-c++}
warn=(-Wall -Wextra -Werror -Wno-unused-parameter -fsyntax-only)
defs=(-D_GNU_SOURCE -D_FILE_OFFSET_BITS=64)
bad=0
n=0

try() { # header, compiler and flags...
	local header=$1
	shift
	n=$((n + 1))
	if ! "$@" -include "$header" /dev/null; then
		echo "$header: does not compile alone ($1)"
		bad=1
	fi
}

while IFS= read -r -d '' h; do
	try "$h" "$cc" -std=gnu17 "${warn[@]}" "${defs[@]}" -Isrc -Iinclude -x c
done < <(find src include -name '*.h' -print0 | sort -z)

while IFS= read -r -d '' h; do
	try "$h" "$cc" -std=c11 -pedantic "${warn[@]}" -Iinclude -x c
	try "$h" "$cxx" -std=c++11 -pedantic "${warn[@]}" -Iinclude -x c++
done < <(find include -name '*.h' -print0 | sort -z)

[ "$bad" -eq 0 ] && echo "check-headers: $n compilations, all headers stand alone"
exit "$bad"
