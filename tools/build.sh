#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# usage: tools/build.sh BUILDDIR [meson setup options...]
# Set the build directory up, or again with these options, and compile.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$1
shift
if [ -f "$dir/build.ninja" ]; then
	meson configure "$dir" "$@" >/dev/null
else
	mkdir -p "$dir"
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	meson setup "$dir" "$@" >"$log" 2>&1 || {
		cat "$log" >&2
		exit 1
	}
fi
exec meson compile -C "$dir"
