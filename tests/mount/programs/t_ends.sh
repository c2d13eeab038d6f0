# SPDX-License-Identifier: MIT
# The ways a mount begins and ends, good and bad: one line, the right status,
# nothing lost, nothing left mounted.
. "$(dirname "$0")/../lib.sh"

# Some of it still on its way when the mount ends.
write_some() {
	dd if=/dev/urandom of="$1/buffered" bs=64k count=40 status=none
	dd if=/dev/urandom of="$1/direct" bs=64k count=10 oflag=direct \
		status=none
	cat "$1/buffered" "$1/direct" >"$WORK/want"
}

all_there() {
	fsck_clean "$1"
	mount_kernel "$1" "$WORK/kernel" ro
	cat "$WORK/kernel/buffered" "$WORK/kernel/direct" | cmp - "$WORK/want"
	umount "$WORK/kernel"
}

# by_signal SIGNAL
by_signal() {
	make_image "$WORK/img" 32M
	mount_ours "$WORK/img" "$MNT"
	write_some "$MNT"
	kill "-$1" "$(pid_of "$MNT")"
	ended "$MNT"
	! is_mounted "$MNT" || die "still mounted"
	all_there "$WORK/img"
}

case_umount_writes_everything() {
	need_ours
	make_image "$WORK/img" 32M
	mount_ours "$WORK/img" "$MNT"
	write_some "$MNT"
	umount_ours "$MNT"
	all_there "$WORK/img"
}

case_sigterm_writes_everything() {
	need_ours
	by_signal TERM
}

case_sigint_writes_everything() {
	need_ours
	by_signal INT
}

case_fusermount_writes_everything() {
	need_ours
	need fusermount3
	make_image "$WORK/img" 32M
	mount_ours "$WORK/img" "$MNT"
	write_some "$MNT"
	fusermount3 -u "$MNT"
	ended "$MNT"
	all_there "$WORK/img"
}

# In the background: mount returns when it answers, umount when all is written.
case_mount_and_umount_wait() {
	need_ours
	make_image "$WORK/img" 32M
	for _ in 1 2 3 4 5 6 7 8; do
		"$UEXT4" mount "$WORK/img" "$MNT"
		mountpoint -q "$MNT"
		write_some "$MNT"
		"$UEXT4" umount "$MNT"
		fsck_clean "$WORK/img"
	done
	all_there "$WORK/img"
}

case_a_busy_mount_stays() {
	need_ours
	make_image "$WORK/img" 32M
	mount_ours "$WORK/img" "$MNT"
	exec 9>"$MNT/open"
	fails 1 'still in use' "$UEXT4" umount "$MNT"
	echo yes >&9
	exec 9>&-
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

# Files open and unlinked when the mount is torn down are freed.
case_open_files_do_not_hold_a_signal_up() {
	need_ours
	make_image "$WORK/img" 32M
	mount_ours "$WORK/img" "$MNT"
	exec 9>"$MNT/open" 8>"$MNT/gone"
	rm "$MNT/gone"
	echo kept >&9
	kill -TERM "$(pid_of "$MNT")"
	ended "$MNT"
	exec 8>&- 9>&- || true
	fsck_clean "$WORK/img"
	[ "$("$UEXT4" cat "$WORK/img:/open")" = kept ]
}

case_two_mounts_of_one_image() {
	need_ours
	make_image "$WORK/img" 32M
	mount_ours "$WORK/img" "$MNT"
	mkdir "$WORK/second"
	fails 1 'in use|another program' "$UEXT4" mount "$WORK/img" \
		"$WORK/second"
	! is_mounted "$WORK/second"
	fails 1 'mounted there already' "$UEXT4" mount "$WORK/img" "$MNT"
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

case_bad_mount_points() {
	need_ours
	make_image "$WORK/img" 32M
	: >"$WORK/file"
	fails 1 'check the name' "$UEXT4" mount "$WORK/img" "$WORK/none"
	fails 1 'not a directory' "$UEXT4" mount "$WORK/img" "$WORK/file"
	fails 1 'no image of ours' "$UEXT4" umount "$WORK"
	fails 2 'usage' "$UEXT4" mount "$WORK/img"
	fails 2 'no such option' "$UEXT4" mount -o nonsense "$WORK/img" "$MNT"
	fails 2 'data=ordered' "$UEXT4" mount -o data=journal "$WORK/img" "$MNT"
	fsck_clean "$WORK/img"
}

case_bad_images() {
	need_ours
	fails 1 'check the name' "$UEXT4" mount "$WORK/none" "$MNT"
	truncate -s 32M "$WORK/zeroes"
	fails 1 'not an ext' "$UEXT4" mount "$WORK/zeroes" "$MNT"
	make_image "$WORK/img" 32M
	cp "$WORK/img" "$WORK/damaged"
	printf '\377\377\377\377' | dd of="$WORK/damaged" bs=1 seek=1112 \
		conv=notrunc status=none
	fails 3 '.' "$UEXT4" mount "$WORK/damaged" "$MNT"
	fails 3 '.' "$UEXT4" mount -f "$WORK/damaged" "$MNT"
	! is_mounted "$MNT"
	fsck_clean "$WORK/img"
}

case_read_only() {
	need_ours
	make_image "$WORK/img" 32M
	mount_ours "$WORK/img" "$MNT"
	echo kept >"$MNT/file"
	umount_ours "$MNT"
	before=$(sha "$WORK/img")
	mount_ours "$WORK/img" "$MNT" ro
	[ "$(cat "$MNT/file")" = kept ]
	! : 2>/dev/null >"$MNT/new" || die "a read-only mount was written"
	umount_ours "$MNT"
	[ "$(sha "$WORK/img")" = "$before" ]
}

case_no_fuse_device() {
	need_ours
	make_image "$WORK/img" 32M
	# In this script's own mount namespace.
	mount --bind /dev/null /dev/fuse
	fails 1 'fuse' "$UEXT4" mount "$WORK/img" "$MNT"
	umount /dev/fuse
	! is_mounted "$MNT"
	fsck_clean "$WORK/img"
}

case_a_connection_that_dies() {
	need_ours
	make_image "$WORK/img" 32M
	mount_ours "$WORK/img" "$MNT"
	n=$(connection_of "$MNT")
	[ -w "/sys/fs/fuse/connections/$n/abort" ] ||
		mount -t fusectl none /sys/fs/fuse/connections 2>/dev/null ||
		skip "there is no fusectl"
	write_some "$MNT"
	sync "$MNT/buffered"
	echo 1 >"/sys/fs/fuse/connections/$n/abort"
	ended "$MNT" 1
	[ "$(grep -c '' "$WORK/.log.mnt")" -eq 1 ]
	! is_mounted "$MNT" || die "a dead mount was left"
	all_there "$WORK/img"
}

# An ordinary user, by the maps of ids: root's files are his.
case_root_inside_is_a_user_outside() {
	need_ours
	make_image "$WORK/img" 32M
	mount_ours "$WORK/img" "$MNT" 2>/dev/null
	umount_ours "$MNT"
	"$UEXT4" mount -f "$WORK/img" "$MNT" \
		-o uidmap=1234:0,gidmap=1234:0 >"$WORK/.log.mnt" 2>&1 &
	echo $! >"$WORK/.pid.mnt"
	await mounted "$MNT" "$(pid_of "$MNT")"
	[ "$(stat -c %u:%g "$MNT")" = 1234:1234 ]
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

run_cases "$@"
