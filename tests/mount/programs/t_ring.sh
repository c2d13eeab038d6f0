# SPDX-License-Identifier: MIT
# The mount through FUSE over io_uring: what is special about it, and what others
# test without it. RING_ALL=1: all of that.
#
# The kernel offers it when root has said so for the whole host; that is said
# here and taken back at the end.
. "$(dirname "$0")/../lib.sh"

SWITCH=/sys/module/fuse/parameters/enable_uring
RING_ALL=${RING_ALL-}
export SWITCH

WAS=$(cat "$SWITCH" 2>/dev/null)
give_back() {
	[ -z "$WAS" ] || echo "$WAS" >"$SWITCH"
}

need_offer() {
	need_root
	need_ours
	[ -e "$SWITCH" ] || skip "this kernel has no FUSE over io_uring"
	[ ! -e /proc/sys/kernel/io_uring_disabled ] ||
		[ "$(cat /proc/sys/kernel/io_uring_disabled)" -ne 2 ] ||
		skip "io_uring is switched off"
	echo Y >"$SWITCH" 2>/dev/null || skip "$SWITCH cannot be written"
}

mount_ring() {
	need_offer
	make_image "$WORK/img" "${1:-64M}"
	mount_ours "$WORK/img" "$MNT" "${2:-io_uring}"
}

# rings DIR: how many the server of DIR has.
rings() {
	local fd

	for fd in /proc/"$(pid_of "$1")"/fd/*; do
		readlink "$fd" || :
	done | grep -c io_uring || :
}

case_it_is_used_where_it_is_asked_for() {
	mount_ring
	[ "$(rings "$MNT")" -gt 0 ]
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

case_it_is_used_by_itself_in_memory() {
	[ -w /dev/shm ] || skip "there is no /dev/shm"
	mount_ring 64M rw
	[ "$(rings "$MNT")" -gt 0 ]
	umount_ours "$MNT"
	mount_ours "$WORK/img" "$MNT" noio_uring
	[ "$(rings "$MNT")" -eq 0 ]
	umount_ours "$MNT"
}

case_it_is_not_used_by_itself_on_a_disk() {
	on_disk
	rm -r "$WORK"
	WORK=$(mktemp -d -p "$WORK_ON" uext4.XXXXXX)
	MNT=$WORK/mnt
	mkdir "$MNT"
	mount_ring 64M rw
	[ "$(rings "$MNT")" -eq 0 ]
	umount_ours "$MNT"
}

case_what_the_kernel_does_not_offer_is_one_clear_line() {
	need_offer
	echo N >"$SWITCH"
	make_image "$WORK/img" 64M
	fails 1 'io_uring: the kernel does not offer it; write Y to' \
		"$UEXT4" mount -o io_uring "$WORK/img" "$MNT"
	! is_mounted "$MNT"
	fsck_clean "$WORK/img"
}

# One ring is enough for a mount to answer. The others meet the end of it.
case_unmounted_before_all_rings_are_there_ends_well() {
	need_offer
	[ "$(nproc)" -gt 1 ] || skip "there is one ring on one CPU"
	make_image "$WORK/img" 64M
	preload <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
int io_uring_register_ring_fd(struct io_uring *r)
{
	static atomic_uint rings;
	int (*real)(struct io_uring *) =
		dlsym(RTLD_NEXT, "io_uring_register_ring_fd");

	if ((r->flags & IORING_SETUP_SQE128) && atomic_fetch_add(&rings, 1) > 0) {
		while (access(getenv("GONE"), F_OK) < 0)
			usleep(10000);
	}
	return real(r);
}
C
	export GONE=$WORK/gone
	mount_ours "$WORK/img" "$MNT" io_uring
	await umount "$MNT"
	: >"$GONE"
	ended "$MNT"
	fsck_clean "$WORK/img"
}

case_a_signal_ends_it_with_all_written() {
	mount_ring
	dd if=/dev/urandom of="$WORK/f" bs=1M count=8 status=none
	cp "$WORK/f" "$MNT/f"
	kill -TERM "$(pid_of "$MNT")"
	ended "$MNT"
	! is_mounted "$MNT"
	fsck_clean "$WORK/img"
	mount_kernel "$WORK/img" "$MNT" ro
	cmp "$WORK/f" "$MNT/f"
}

# What was answered is there, and what is there was answered.
case_a_signal_under_load_answers_what_was_done() {
	mount_ring
	python3 "$LIB/programs/makers.py" "$MNT" 16 "$WORK/begun" \
		>"$WORK/answered" &
	await lines 16 "$WORK/begun"
	kill -TERM "$(pid_of "$MNT")"
	ended "$MNT"
	wait "$!"
	fsck_clean "$WORK/img"
	mount_kernel "$WORK/img" "$MNT" ro
	sort "$WORK/answered" >"$WORK/sorted"
	find "$MNT" -name 'm*.*' -printf '%f\n' | sort >"$WORK/there"
	diff "$WORK/sorted" "$WORK/there" >&2 ||
		die "< was answered, > is there"
	[ "$(wc -l <"$WORK/answered")" -gt 0 ]
}

case_long_and_short_requests_side_by_side() {
	local i pids=

	mount_ring 512M io_uring,threads=2
	for i in 1 2 3 4 5 6; do
		(
			fallocate -l 32M "$MNT/long$i"
			dd if=/dev/zero of="$MNT/long$i" bs=1M count=32 \
				conv=notrunc,fsync status=none
			rm "$MNT/long$i"
		) &
		pids="$pids $!"
	done
	for i in $(seq 200); do
		echo "$i" >"$MNT/short$i"
		[ "$(cat "$MNT/short$i")" -eq "$i" ]
	done
	for i in $pids; do
		wait "$i"
	done
	[ "$(find "$MNT" -name 'short*' | wc -l)" -eq 200 ]
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

# interrupt HOW: with one helper.
interrupt() {
	local status=0

	mount_ring 3G io_uring,threads=1
	python3 "$LIB/programs/interrupt.py" "$MNT" 600 "$1" || status=$?
	[ "$status" -ne 77 ] || skip "the first copy was too quick"
	[ "$status" -eq 0 ]
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

case_a_copy_that_waits_for_a_helper_can_be_interrupted() {
	interrupt queued
}

case_what_waits_for_a_helper_and_is_no_copy_is_not_interrupted() {
	interrupt others
}

# through SCRIPT [CASE]...: the cases of another script.
through() {
	local script=$1

	shift
	need_offer
	[ -z "$RING_ALL" ] || set --
	UEXT4_MOUNT_OPTS=io_uring bash "$LIB/programs/t_$script.sh" "$UEXT4" \
		"$@" >"$WORK/out" 2>&1 || die "$(cat "$WORK/out")"
	grep '^ok' "$WORK/out" | grep -qv '# SKIP'
}

# What waits for a device goes to helpers.
on_disk() {
	[ "$(stat -f -c %T /var/tmp)" != tmpfs ] || skip "/var/tmp is no disk"
	export WORK_ON=/var/tmp
}

case_fio_verifies() {
	need fio
	through fio fio_libaio_direct fio_io_uring_buffered \
		fio_direct_with_fsyncs fio_mmap
}

case_kill_9_loses_nothing_that_was_promised() {
	export KILLS=${KILLS:-30} KILL_SEED=${KILL_SEED:-7}
	through kill a_usual_image with_the_writeback_cache
}

case_a_cut_connection_ends_it() { through bad_mount a_connection_that_dies; }
case_fio_verifies_on_a_disk() {
	need fio
	on_disk
	through fio fio_libaio_direct fio_psync_buffered
}

case_git_works_on_a_disk() {
	need git
	on_disk
	through git
}

case_sqlite_works() {
	need sqlite3
	through sqlite
}

case_rare_calls_work() { through calls; }
case_shared_mappings_work() { through mmap; }
case_unmounting_works() { through unmount; }
case_users_are_kept_apart() { through user; }

trap give_back EXIT
trap 'exit 143' TERM INT HUP
run_cases "$@"
