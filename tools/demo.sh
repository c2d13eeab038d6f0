#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# usage: tools/demo.sh PATH-OF-UEXT4
#
# The main job on real input: copy a tree of this machine into a fresh ext4
# image and out again, compare everything, let e2fsck and (as root) the kernel
# judge the image, and measure the same copy by the kernel's ext4 on a loop
# device. Two rounds, alternating; the better of each counts. Everything it
# makes lies in one directory and goes when it ends.
set -euo pipefail
uext4=$(realpath "$1")
tools=$(dirname "$(realpath "$0")")
PATH=$PATH:/usr/sbin:/sbin

rounds=2
image_mb=2048
features=metadata_csum,64bit,orphan_file,metadata_csum_seed
root=false
[ "$(id -u)" -eq 0 ] && root=true

step() { printf '\n* %s\n' "$*"; }

die() {
	echo "demo: $*" >&2
	exit 1
}

# --- a place to work in: memory if it fits there, else a disk ---------------

list=$(mktemp)
dir=
mnt=

cleanup() {
	local status=$?
	trap - EXIT
	if [ -n "$mnt" ] && mountpoint -q "$mnt"; then
		umount "$mnt" || umount -l "$mnt"
	fi
	[ -z "$dir" ] || rm -rf "$dir"
	rm -f "$list"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

"$tools/pick-tree.py" 10000 300 700 >"$list" ||
	die "this machine has no tree that is large enough"
tree_mb=$(du -cms --files0-from="$list" | tail -n 1 | cut -f1)
# The staged tree, its copy, two images that hold it, and their metadata.
need_mb=$((4 * tree_mb + 512))

has_room() { # directory, MB
	local avail
	[ -d "$1" ] && [ -w "$1" ] || return 1
	avail=$(df -m --output=avail "$1" | tail -n 1)
	[ "$avail" -ge "$2" ]
}

mem_mb=$(($(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo) / 1024))
for d in /dev/shm "${TMPDIR:-/tmp}" /var/tmp; do
	want=$need_mb
	# What lies in memory must leave memory to work with.
	if [ "$(stat -f -c %T "$d" 2>/dev/null)" = tmpfs ] &&
		[ "$mem_mb" -lt $((want + 1024)) ]; then
		continue
	fi
	if has_room "$d" "$want"; then
		dir=$(mktemp -d "$d/uext4-demo.XXXXXX")
		break
	fi
done
[ -n "$dir" ] || die "no $need_mb MB free in /dev/shm, ${TMPDIR:-/tmp} or /var/tmp"
stage=$dir/stage
out=$dir/out
results=$dir/results
chmod 700 "$dir"
mkdir "$stage" "$dir/mnt"

# --- the tree ---------------------------------------------------------------

mapfile -d '' -t picked <"$list"
step "staging ${picked[*]}"
for d in "${picked[@]}"; do
	mkdir -p "$stage${d%/*}"
	cp -a "$d" "$stage$d"
done

# What a tree of packages seldom holds: one of each kind of thing.
extra=$stage/extra
mkdir "$extra"
echo "one file, three names" >"$extra/name1"
ln "$extra/name1" "$extra/name2"
ln "$extra/name1" "$stage/name3"
: >"$extra/empty"
echo modes >"$extra/setuid"
chmod 6751 "$extra/setuid"
echo hidden >"$extra/nobody may read"
chmod 0400 "$extra/nobody may read"
echo utf8 >"$extra/$(printf 'gr\303\274n')"
echo newline >"$extra/$(printf 'two\nlines')"
ln -s name1 "$extra/short-link"
ln -s "$(printf 'x%.0s' {1..200})" "$extra/long-link"
mkfifo "$extra/fifo"
truncate -s 100M "$extra/sparse"
printf 'in the middle' |
	dd of="$extra/sparse" bs=1M seek=50 conv=notrunc status=none
mkdir -m 1777 "$extra/sticky"
echo tagged >"$extra/tagged"
if setfattr -n user.note -v "in the inode" "$extra/tagged" 2>/dev/null; then
	setfattr -n user.long -v "$(printf 'v%.0s' {1..2000})" "$extra/tagged"
fi
setfacl -m u:12345:rw "$extra/tagged" 2>/dev/null || true
if $root; then
	echo owned >"$extra/owned"
	chown 12345:70000 "$extra/owned"
	mknod "$extra/null" c 1 3
	mknod "$extra/disk" b 259 70000
	setfattr -n trusted.note -v "root only" "$extra/tagged" 2>/dev/null ||
		true
fi
touch -d '1969-07-20 20:17:40.123456789 UTC' "$extra/name1"
touch -d '2299-06-07 08:09:10.987654321 UTC' "$extra/empty"

files=$(find "$stage" -type f | wc -l)
mb=$(find "$stage" -type f ! -path "$extra/sparse" -printf '%D:%i %s\n' |
	sort -u | awk '{ s += $2 } END { printf "%.0f", s / 1e6 }')
echo "$files files, $mb MB, in $dir"

# --- the copies -------------------------------------------------------------

fresh_image() { # path
	rm -f "$1"
	truncate -s ${image_mb}M "$1"
	mke2fs -q -F -t ext4 -O $features "$1"
}

kernel_mount() { # image, options
	mnt=$dir/mnt
	mount -t ext4 -o "loop,$2" "$1" "$mnt"
}

kernel_umount() {
	umount "$dir/mnt"
	mnt=
}

kernel=false
if $root; then
	fresh_image "$dir/kernel.img"
	if kernel_mount "$dir/kernel.img" rw 2>"$dir/why"; then
		kernel=true
		kernel_umount
	else
		echo "no kernel to compare with: $(head -n 1 "$dir/why")"
	fi
fi

timed() { # name, command...
	"$tools/timed.py" "$results" "$@"
}

for round in $(seq $rounds); do
	step "round $round: copy in"
	fresh_image "$dir/uext4.img"
	timed uext4-in "$uext4" cp -r "$stage" "$dir/uext4.img:/tree"
	if $kernel; then
		fresh_image "$dir/kernel.img"
		kernel_mount "$dir/kernel.img" rw
		# shellcheck disable=SC2016 # the inner shell expands them
		timed kernel-in sh -c 'cp -a "$1" "$2/tree" && sync -f "$2"' \
			sh "$stage" "$mnt"
		kernel_umount
	fi

	step "round $round: copy out"
	rm -rf "$out"
	timed uext4-out "$uext4" cp -r "$dir/uext4.img:/tree" "$out"
	if $kernel; then
		[ "$round" -eq $rounds ] && mv "$out" "$out.uext4"
		rm -rf "$out"
		kernel_mount "$dir/kernel.img" ro
		timed kernel-out cp -a "$mnt/tree" "$out"
		kernel_umount
		rm -rf "$out"
		[ "$round" -eq $rounds ] && mv "$out.uext4" "$out"
	fi
	rm -f "$dir/kernel.img"
done

step "comparing what went in with what came out"
"$tools/compare-trees.py" "$stage" "$out"
rm -rf "$out"

step "e2fsck -fn"
e2fsck -fn "$dir/uext4.img" || die "e2fsck finds fault with the image"

if $kernel; then
	step "comparing again through the kernel's ext4"
	kernel_mount "$dir/uext4.img" ro
	"$tools/compare-trees.py" "$stage" "$mnt/tree"
	kernel_umount
fi
rm -rf "$stage" "$dir/uext4.img"

# --- a very large image -----------------------------------------------------

step "opening an image of 16 TiB"
big=
for d in "$dir" /dev/shm; do
	has_room "$d" 512 || continue
	if truncate -s 16T "$d/uext4-demo-big.$$" 2>/dev/null; then
		big=$d/uext4-demo-big.$$
		break
	fi
	rm -f "$d/uext4-demo-big.$$"
done
if [ -n "$big" ]; then
	ok=true
	mke2fs -q -F -t ext4 -E lazy_itable_init=1,lazy_journal_init=1 "$big" ||
		ok=false
	if $ok; then
		for _ in 1 2 3; do
			timed big "$uext4" info "$big" >/dev/null || ok=false
		done
	fi
	rm -f "$big"
	$ok || die "uext4 info fails on a 16 TiB image"
else
	echo "no file system here takes a file of 16 TiB: not measured"
fi

# --- the table --------------------------------------------------------------

step "figures"
awk -v files="$files" -v mb="$mb" -v rounds=$rounds '
	!($1 in best) || $2 < best[$1] { best[$1] = $2 }
	$4 > peak[$1] { peak[$1] = $4 }

	function row(what, ours, theirs, unit,   k, r) {
		k = (theirs in best)
		r = k ? sprintf("%8.2f", best[theirs] / best[ours]) : ""
		printf "%-9s %-8s %9.0f %9s %8s\n", what, unit[1], unit[0] / \
			best[ours], k ? sprintf("%.0f", unit[0] / \
			best[theirs]) : "-", r
	}
	END {
		printf "%d files, %d MB; the better of %d alternating rounds\n", \
			files, mb, rounds
		printf "%-9s %-8s %9s %9s %8s\n", "", "", "uext4", "kernel", \
			"ratio"
		f[0] = files; f[1] = "files/s"; m[0] = mb; m[1] = "MB/s"
		row("copy in", "uext4-in", "kernel-in", f)
		row("", "uext4-in", "kernel-in", m)
		row("copy out", "uext4-out", "kernel-out", f)
		row("", "uext4-out", "kernel-out", m)
		p = peak["uext4-in"] > peak["uext4-out"] ? \
			peak["uext4-in"] : peak["uext4-out"]
		printf "peak memory of uext4: %.0f MiB\n", p / 1024
		if ("big" in best)
			printf "open and describe 16 TiB: %.0f ms, %.0f MiB\n", \
				best["big"] * 1000, peak["big"] / 1024
	}' "$results"
if $kernel; then
	echo "kernel: cp -a and sync onto a loop mount; ratio above 1: uext4 is faster"
fi
echo "demo: everything agrees ($SECONDS s)"
