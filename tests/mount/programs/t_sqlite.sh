# SPDX-License-Identifier: MIT
# sqlite3 on the mount: locks, a mapped shared memory file, journals that are
# deleted, truncated or overwritten; and the server killed in the middle.
. "$(dirname "$0")/../lib.sh"

WRITERS=${WRITERS:-4}
TRANSFERS=${TRANSFERS:-60}
KILLS=${KILLS:-3}

bank() {
	python3 "$LIB/programs/bank.py" "$@"
}

# Also by another build of sqlite3, where there is one.
integrity() {
	! command -v sqlite3 >/dev/null ||
		[ "$(sqlite3 "$1" 'PRAGMA integrity_check')" = ok ]
}

start() {
	python3 -c 'import sqlite3' 2>/dev/null ||
		skip "python3 has no sqlite3"
	make_image "$WORK/img" 64M
	mount_ours "$WORK/img" "$MNT"
	bank make "$MNT/db" "$1"
}

# Writers until they are done, all at once.
concurrent() {
	local mode=$1 i pids=() status=0

	start "$mode"
	for i in $(seq "$WRITERS"); do
		bank work "$MNT/db" "$mode" "$i" 1 "$TRANSFERS" \
			"$WORK/promises.$i" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || status=$?
	done
	[ "$status" -eq 0 ] || die "a writer failed with $status"
	bank judge "$MNT/db" "$mode" "$WORK"/promises.*
	[ "$(cat "$WORK"/promises.* | wc -l)" -eq $((WRITERS * TRANSFERS)) ]
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
	mount_ours "$WORK/img" "$MNT"
	bank judge "$MNT/db" "$mode" "$WORK"/promises.*
	integrity "$MNT/db"
	umount_ours "$MNT"
	# And what another file system driver reads is the same database.
	mount_kernel "$WORK/img" "$WORK/kernel"
	bank judge "$WORK/kernel/db" "$mode" "$WORK"/promises.*
	umount "$WORK/kernel"
}

# Writers that go on until the server is killed. The journal of the file system
# and that of the database bring back all that was committed.
killed() {
	local mode=$1 round i pids status want files

	need_ours
	start "$mode"
	for round in $(seq "$KILLS"); do
		pids=()
		for i in $(seq "$WRITERS"); do
			bank work "$MNT/db" "$mode" "$i" "$round" 0 \
				"$WORK/promises.$i" 2>>"$WORK/said" &
			pids+=($!)
		done
		# In the middle: when this many more were committed.
		want=$((round * 40 + round * round * 7))
		mapfile -t files < <(seq -f "$WORK/promises.%g" "$WRITERS")
		await lines "$want" "${files[@]}"
		kill_ours "$MNT"
		for i in "${pids[@]}"; do
			status=0
			wait "$i" || status=$?
			[ "$status" -eq 3 ] || {
				cat "$WORK/said" >&2
				die "a writer ended with status $status"
			}
		done
		mount_ours "$WORK/img" "$MNT"
		bank judge "$MNT/db" "$mode" "$WORK"/promises.*
		integrity "$MNT/db"
	done
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

case_wal_under_concurrent_writers() { concurrent wal; }
case_delete_under_concurrent_writers() { concurrent delete; }
case_truncate_under_concurrent_writers() { concurrent truncate; }
case_persist_under_concurrent_writers() { concurrent persist; }
case_wal_and_kill() { killed wal; }
case_delete_and_kill() { killed delete; }
case_truncate_and_kill() { killed truncate; }
case_persist_and_kill() { killed persist; }

run_cases "$@"
