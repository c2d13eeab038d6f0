# SPDX-License-Identifier: MIT
# fio, dbench and fs_mark on the mount: what was written must be read back, at
# once and after the image was mounted again.
. "$(dirname "$0")/../lib.sh"

FIO_SIZE=${FIO_SIZE:-16M}
DBENCH_SECONDS=${DBENCH_SECONDS:-2}
FS_MARK_FILES=${FS_MARK_FILES:-500}

image() {
	need "$1"
	make_image "$WORK/img" "${2:-192M}"
	mount_ours "$WORK/img" "$MNT"
}

again() {
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
	mount_ours "$WORK/img" "$MNT"
}

# verified ENGINE DIRECT [OPTION]...: random writes and reads, each block with
# a checksum; verified in the run, then again from the image.
verified() {
	local engine=$1 direct=$2 job

	shift 2
	image fio
	fio --enghelp | grep -qw "$engine" || skip "fio has no $engine"
	job=(--name=v --directory="$MNT" --ioengine="$engine"
		--direct="$direct" --rw=randrw --bsrange=4k-64k --bs_unaligned=0
		--blockalign=4k --size="$FIO_SIZE" --numjobs=2 --iodepth=32
		--verify=crc32c --verify_fatal=1 --group_reporting
		--randseed=4711 --verify_state_save=0 --output-format=terse
		"$@")
	fio "${job[@]}" --do_verify=1 --end_fsync=1 >"$WORK/fio" ||
		die "$(cat "$WORK/fio")"
	again
	# Only what the first run wrote, in its order.
	fio "${job[@]}" --verify_only=1 >"$WORK/fio" ||
		die "$(cat "$WORK/fio")"
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

case_fio_psync_buffered() { verified psync 0; }
case_fio_psync_direct() { verified psync 1; }
case_fio_libaio_buffered() { verified libaio 0; }
case_fio_libaio_direct() { verified libaio 1; }
case_fio_io_uring_buffered() { verified io_uring 0; }
case_fio_io_uring_direct() { verified io_uring 1; }
case_fio_mmap() { verified mmap 0; }
case_fio_direct_into_preallocated() {
	verified libaio 1 --fallocate=posix
}
case_fio_direct_with_fsyncs() {
	verified libaio 1 --fsync=16
}
case_fio_small_blocks_buffered() {
	verified psync 0 --bsrange=512-4k --blockalign=512
}

# dbenched CLIENTS [OPTION]...
dbenched() {
	local clients=$1

	shift
	dbench -t "$DBENCH_SECONDS" -D "$MNT" "$@" \
		-c /usr/share/dbench/client.txt "$clients" >"$WORK/dbench" ||
		die "$(tail -n 20 "$WORK/dbench")"
	grep '^Throughput' "$WORK/dbench"
}

case_dbench_then_e2fsck() {
	image dbench
	dbenched 4
	again
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

case_dbench_synchronous_then_e2fsck() {
	image dbench
	dbenched 2 -s
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

case_fs_mark_then_e2fsck() {
	image fs_mark
	mkdir "$MNT/a" "$MNT/b"
	cd "$WORK"
	fs_mark -d "$MNT/a" -d "$MNT/b" -t 2 -n "$FS_MARK_FILES" -s 10240 \
		-D 16 -S 1 -k -l "$WORK/fs_mark.log"
	[ "$(find "$MNT" -type f -size 10240c | wc -l)" -eq \
		$((FS_MARK_FILES * 2)) ]
	again
	[ "$(find "$MNT" -type f -size 10240c | wc -l)" -eq \
		$((FS_MARK_FILES * 2)) ]
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

run_cases "$@"
