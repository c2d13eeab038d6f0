# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the scripts that test the mount share. To be sourced; then come the
# cases, functions named case_<behaviour>, and last `run_cases "$@"`:
#
#	bash t_x.sh UEXT4 [CASE]...
#
# UEXT4 is the tool to test. The output is TAP. A case runs in a subshell of
# its own, under `set -e`, in a fresh directory $WORK, with $MNT to mount at;
# whatever it leaves mounted or running is undone when it ends.
#
# Rules  (1) The whole script lives in a mount namespace of its own (as root),
#            so nothing it mounts can outlive its processes.
#        (2) Only processes that a case started are killed, by their pid.
#        (3) Nothing is waited for by sleeping: waits.py waits for events.
#        (4) The kernel mounts only what e2fsck has just called clean.
#
# UEXT4_MOUNT_WITH=kernel or fuse2fs mounts with those instead, to tell what
# is wrong with a test from what is wrong with us. Cases that are about us
# alone skip then.

LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$LIB/../.." && pwd)
UEXT4=$(readlink -f "${1:?usage: $0 UEXT4 [CASE]...}")
WITH=${UEXT4_MOUNT_WITH:-ours}
# More options for every mount of ours: "writeback_cache".
OURS=${UEXT4_MOUNT_OPTS-}
export LC_ALL=C UEXT4 LIB ROOT WITH OURS

if [ "$(id -u)" -eq 0 ] && [ -z "${MOUNT_NAMESPACE-}" ]; then
	MOUNT_NAMESPACE=$$ exec unshare --mount --propagation private \
		bash "$0" "$@"
fi
shift

# The namespace began as a copy: mounts of tests that run beside this one must
# not be held by it.
if [ -n "${MOUNT_NAMESPACE-}" ]; then
	findmnt -rno TARGET,SOURCE,FSTYPE | awk '$2 ~ "^/dev/loop" ||
		$3 ~ "^fuse" { print $1 }' | tac | while read -r dir; do
		umount -l "$(printf %b "$dir")"
	done
fi

# ---- cases -------------------------------------------------------------------

die() {
	echo "$*" >&2
	exit 1
}

skip() {
	echo "$*" >"$SKIP"
	exit 77
}

# Skip the case unless all these commands are there.
need() {
	local c

	for c in "$@"; do
		command -v "$c" >/dev/null || skip "$c is not installed"
	done
}

need_root() {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
}

need_ours() {
	[ "$WITH" = ours ] || skip "is about uext4, not about $WITH"
}

# For the whole script: why nothing can be mounted here, if so.
why_no_mount() {
	if [ "$(id -u)" -ne 0 ]; then
		echo "needs root"
	elif [ "$WITH" = ours ] && ! "$UEXT4" mount --help >/dev/null 2>&1; then
		echo "this uext4 was built without mount"
	elif [ "$WITH" != kernel ] && ! [ -c /dev/fuse ]; then
		echo "there is no /dev/fuse"
	elif [ "$WITH" != kernel ] && ! : 2>/dev/null <>/dev/fuse; then
		echo "/dev/fuse cannot be opened"
	fi
}

undo_case() {
	local status=$? pid dir

	trap - EXIT
	set +e
	cd /
	# Servers first: behind a dead one no umount can hang.
	for pid in $(cat "$WORK"/.pid.* 2>/dev/null) $(jobs -p); do
		kill -9 "$pid" 2>/dev/null
	done
	# What is mounted below $WORK, and what of it is mounted elsewhere.
	awk -v w="${WORK##*/}" 'index($0, w) { print $5 }' \
		/proc/self/mountinfo | tac | while read -r dir; do
		umount "$(printf %b "$dir")" 2>/dev/null ||
			umount -l "$(printf %b "$dir")"
	done
	wait 2>/dev/null
	rm -rf --one-file-system "$WORK"
	exit "$status"
}

# In a subshell: one case, whose exit status is the verdict.
one_case() {
	# In memory if it can be: what is tested here is not the disk. WORK_ON
	# says where else.
	[ -n "${WORK_ON-}" ] || [ ! -w /dev/shm ] || WORK_ON=/dev/shm
	WORK=$(mktemp -d -p "${WORK_ON-}" uext4.XXXXXX)
	chmod 755 "$WORK"
	MNT=$WORK/mnt
	mkdir "$MNT"
	trap undo_case EXIT
	trap 'exit 143' TERM INT HUP
	set -eu
	"$1"
}

run_cases() {
	local cases why n=0 failed=0 status begin c said

	SKIP=$(mktemp)
	said=$(mktemp)
	mapfile -t cases < <(
		[ $# -eq 0 ] || printf 'case_%s\n' "$@"
		[ $# -ne 0 ] || sed -n 's/^\(case_[a-z0-9_]*\)() {.*/\1/p' "$0")
	echo "1..${#cases[@]}"
	why=$(why_no_mount)
	for c in "${cases[@]}"; do
		n=$((n + 1))
		if [ -n "$why" ]; then
			echo "ok $n - ${c#case_} # SKIP $why"
			continue
		fi
		begin=$EPOCHREALTIME
		(one_case "$c") >"$said" 2>&1 </dev/null
		status=$?
		sed 's/^/# /' "$said"
		case $status in
		0) echo "ok $n - ${c#case_}" ;;
		77) echo "ok $n - ${c#case_} # SKIP $(cat "$SKIP")" ;;
		*)
			echo "# exit status $status"
			echo "not ok $n - ${c#case_}"
			failed=1
			;;
		esac
		echo "# $(((${EPOCHREALTIME/./} - ${begin/./}) / 1000)) ms"
	done
	rm -f "$SKIP" "$said"
	exit "$failed"
}

# ---- images ------------------------------------------------------------------

# make_image FILE SIZE [mke2fs option]...: an ext4 image, sparse.
make_image() {
	local file=$1 size=$2

	shift 2
	rm -f "$file"
	truncate -s "$size" "$file"
	case " $*" in
	*" -t "*) ;;
	*) set -- -t ext4 "$@" ;;
	esac
	mke2fs -q -E lazy_itable_init=0,lazy_journal_init=0 "$@" "$file"
}

# The judge: clean, without a journal to replay.
fsck_clean() {
	local said status=0

	said=$(e2fsck -fn "$1" 2>&1) || status=$?
	[ "$status" -eq 0 ] || die "e2fsck -fn $1: status $status
$said"
	! dumpe2fs -h "$1" 2>/dev/null | grep -q needs_recovery ||
		die "$1: the journal was left to be replayed"
	dumpe2fs -h "$1" 2>/dev/null | grep -q '^Filesystem state: *clean$' ||
		die "$1: not marked clean"
}

# ---- mounting ----------------------------------------------------------------
#
# A server is a child of the case and stays in the foreground, so that its exit
# status can be asked for. Its pid is in $WORK/.pid.<name of the directory>,
# what it says in $WORK/.log.<name>.

await() {
	python3 "$LIB/waits.py" "$@"
}

pid_of() {
	cat "$WORK/.pid.$(basename "$1")"
}

# The pid of who has IMAGE open: for servers in the background.
holder_of() {
	local fd

	# By name: to look at what is behind a descriptor may wait for ever.
	fd=$(find /proc/[0-9]*/fd -maxdepth 1 \
		-lname "$(readlink -f "$1")" 2>/dev/null | head -n 1)
	[ -n "$fd" ] || return 1
	fd=${fd#/proc/}
	echo "${fd%%/*}"
}

# preload: the C program on standard input goes into servers that mount_ours starts
# from now on.
preload() {
	need cc
	cc -shared -fPIC -o "$WORK/preload.so" -xc - -ldl
	PRELOAD=$WORK/preload.so
}

# mount_ours IMAGE DIR [OPTIONS]; returns when it answers.
mount_ours() {
	local image=$1 dir=$2 opts=${3-} name

	[ "$WITH" != ours ] || opts=$opts${opts:+${OURS:+,}}${OURS-}
	name=$(basename "$dir")
	mkdir -p "$dir"
	case $WITH in
	kernel)
		mount -o "loop${opts:+,$opts}" "$image" "$dir"
		return
		;;
	fuse2fs)
		fuse2fs -f "$image" "$dir" \
			-o "fakeroot,allow_other${opts:+,$opts}" \
			>"$WORK/.log.$name" 2>&1 &
		;;
	*)
		env ${PRELOAD:+LD_PRELOAD="$PRELOAD"} \
			ASAN_OPTIONS=verify_asan_link_order=0:"${ASAN_OPTIONS-}" \
			"$UEXT4" mount -f "$image" "$dir" \
			-o "kernel${opts:+,$opts}" >"$WORK/.log.$name" 2>&1 &
		;;
	esac
	echo $! >"$WORK/.pid.$name"
	await mounted "$dir" "$(pid_of "$dir")" || {
		cat "$WORK/.log.$name" >&2
		die "$image could not be mounted"
	}
}

# The server of DIR must end by itself with STATUS (0).
ended() {
	local want=${2-0} status=0 name

	name=$(basename "$1")
	[ "$WITH" != kernel ] || return 0
	# The child of another subshell cannot be waited for, only its end.
	await exit "$(pid_of "$1")" || die "the server of $1 did not end"
	wait "$(pid_of "$1")" || status=$?
	rm -f "$WORK/.pid.$name"
	[ "$status" -eq "$want" ] || {
		cat "$WORK/.log.$name" >&2
		die "the server of $1 ended with status $status, not $want"
	}
}

is_mounted() {
	mountpoint -q "$1" || findmnt -rn "$1" >/dev/null
}

umount_ours() {
	await umount "$1"
	ended "$1"
	! is_mounted "$1" || die "$1 is still mounted"
}

# As a power cut for the server: what it had in memory is gone.
kill_ours() {
	kill -9 "$(pid_of "$1")"
	ended "$1" 137 2>/dev/null
	umount -l "$1"
}

# The number of a FUSE mount under /sys/fs/fuse/connections: the minor number
# of its device, which can be asked for while the server does not answer.
connection_of() {
	awk -v dir="$1" '$5 == dir { split($3, dev, ":"); print dev[2] }' \
		/proc/self/mountinfo
}

# mount_kernel IMAGE DIR [OPTIONS]: only what e2fsck calls clean.
mount_kernel() {
	fsck_clean "$1"
	mkdir -p "$2"
	mount -t ext4 -o "loop${3:+,$3}" "$1" "$2"
}

# With writeback_cache what is written to an open file, and what is stored through
# a mapping, is in the kernel's pages until it is asked for. Holds both until it is
# killed: process $HOLDER. hold_pages [COMMAND...]: run by that, as another user.
hold_pages() {
	: >"$WORK/held"
	chmod 666 "$WORK/held"
	# One that everybody may run.
	"$@" env PATH=/usr/bin:/bin python3 - "$MNT" "$WORK/held" <<'PY' &
import mmap, os, signal, sys
fd = os.open(sys.argv[1] + "/open", os.O_RDWR | os.O_CREAT)
os.write(fd, b"w" * 3000000)
other = os.open(sys.argv[1] + "/mapped", os.O_RDWR | os.O_CREAT)
os.ftruncate(other, 1 << 20)
m = mmap.mmap(other, 1 << 20)
m[:] = b"m" * (1 << 20)
with open(sys.argv[2], "w") as f:
    f.write("held\n")
signal.pause()
PY
	HOLDER=$!
	await lines 1 "$WORK/held"
}

# The image has what it held.
has_held_pages() {
	local top=$WORK/kernel

	mount_kernel "$WORK/img" "$top" ro
	[ "$(tr -d w <"$top/open" | wc -c)" -eq 0 ]
	[ "$(wc -c <"$top/open")" -eq 3000000 ]
	[ "$(tr -d m <"$top/mapped" | wc -c)" -eq 0 ]
	[ "$(wc -c <"$top/mapped")" -eq $((1 << 20)) ]
	umount "$top"
}

# as_user UID COMMAND...: without any privilege or other group.
as_user() {
	local uid=$1

	shift
	setpriv --reuid="$uid" --regid="$uid" --clear-groups "$@"
}

# ---- what must hold ----------------------------------------------------------

# fails STATUS PATTERN COMMAND...: one line on stderr, none on stdout.
fails() {
	local want=$1 says=$2 status=0

	shift 2
	"$@" >"$WORK/.out" 2>"$WORK/.err" </dev/null || status=$?
	[ "$status" -eq "$want" ] && [ ! -s "$WORK/.out" ] &&
		[ "$(grep -c '' "$WORK/.err")" -eq 1 ] &&
		grep -Eq -- "$says" "$WORK/.err" || {
		cat "$WORK/.out" "$WORK/.err" >&2
		die "$*: status $status (not $want?), or not one line '$says'"
	}
}

sha() {
	sha256sum "$@" | cut -d ' ' -f 1
}

# Both trees are the same in all that a copy must keep.
same_trees() {
	python3 "$ROOT/tools/compare-trees.py" "$1" "$2"
}
