#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# usage: tools/check-readme.sh BUILDDIR
# Build the program of README.md as a stranger would, against an installed
# library found by pkg-config; run it on a fresh image; let e2fsck and debugfs
# judge.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

builddir=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

meson install -C "$builddir" --no-rebuild --quiet --destdir "$work/dest"
pc=$(find "$work/dest" -name uext4.pc)
export PKG_CONFIG_PATH=${pc%/*}
export PKG_CONFIG_SYSROOT_DIR=$work/dest

tools/extract-readme-program >"$work/program.c"
read -ra flags < <(pkg-config --cflags --libs uext4)
"${CC:-cc}" -std=c11 -Wall -Wextra -Werror -o "$work/program" \
	"$work/program.c" "${flags[@]}"

truncate -s 64M "$work/disk.img"
mke2fs -q -t ext4 "$work/disk.img"
so=$(find "$work/dest" -name libuext4.so)
LD_LIBRARY_PATH=${so%/*} "$work/program" "$work/disk.img"
e2fsck -fn "$work/disk.img"
text=$(debugfs -R "cat /hello" "$work/disk.img" 2>/dev/null)
[ "$text" = "Written without a mount." ] || {
	echo "README program: the file holds '$text'" >&2
	exit 1
}
