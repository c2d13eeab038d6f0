# SPDX-License-Identifier: MIT
# Calls that few programs make, or that need somebody else to be seen.
. "$(dirname "$0")/../lib.sh"

case_nameless_files_and_times_of_birth() {
	local status=0

	need_ours
	make_image "$WORK/img" 64M
	mount_ours "$WORK/img" "$MNT"
	python3 "$LIB/programs/nameless.py" "$MNT" || status=$?
	[ "$status" -ne 77 ] || skip "this kernel's FUSE does not carry them"
	[ "$status" -eq 0 ]
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

case_the_time_of_birth_is_that_of_the_image() {
	local ours

	need_ours
	make_image "$WORK/img" 64M
	mount_ours "$WORK/img" "$MNT"
	touch -d 2001-01-01 "$MNT/f"
	ours=$(stat -c %w "$MNT/f")
	[ "$ours" != - ] || skip "this kernel's FUSE does not carry it"
	umount_ours "$MNT"
	mount_kernel "$WORK/img" "$MNT" ro
	[ "$(stat -c %w "$MNT/f")" = "$ours" ]
}

# Small inodes have no room for it.
case_no_time_of_birth_is_made_up() {
	make_image "$WORK/img" 64M -I 128
	mount_ours "$WORK/img" "$MNT"
	touch "$MNT/f"
	[ "$(stat -c %w "$MNT/f")" = - ]
	umount_ours "$MNT"
}

case_an_interrupted_copy_stops() {
	make_image "$WORK/img" 2G
	mount_ours "$WORK/img" "$MNT"
	python3 "$LIB/programs/interrupt.py" "$MNT" 600
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

# each_way PROGRAM: on mounts that keep more and less in the kernel's cache.
each_way() {
	local opts all="threads=1 writeback_cache"

	[ "$WITH" = ours ] || all=
	for opts in "" $all; do
		make_image "$WORK/img" 64M
		mount_ours "$WORK/img" "$MNT" "$opts"
		timeout 20 python3 "$LIB/programs/$1" "$MNT"
		umount_ours "$MNT"
		fsck_clean "$WORK/img"
	done
}

case_what_was_written_before_a_file_became_immutable_stays() {
	each_way frozen.py
}

case_who_copies_by_holes_loses_nothing() {
	each_way seek_cached.py
}

# EXT4_IOC_GETVERSION and SETVERSION beside FS_IOC_*.
case_ext4_has_numbers_of_its_own_for_the_generation() {
	make_image "$WORK/img" 64M -O ^metadata_csum
	mount_ours "$WORK/img" "$MNT"
	python3 - "$MNT/f" <<-'END'
		import fcntl, os, struct, sys
		fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
		def get(number):
		    return struct.unpack("I", fcntl.ioctl(fd, number, bytes(8))[:4])
		assert get(0x80086603) == get(0x80087601)
		fcntl.ioctl(fd, 0x40086604, struct.pack("Q", 77))
		assert get(0x80086603) == get(0x80087601) == (77,)
	END
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

case_a_file_handle_lasts_as_long_as_the_file() {
	local handles="python3 $LIB/programs/handles.py"

	need_root
	make_image "$WORK/img" 64M
	mount_ours "$WORK/img" "$MNT"
	$handles make "$MNT" "$WORK/handles"
	umount_ours "$MNT"
	mount_ours "$WORK/img" "$MNT"
	$handles use "$MNT" "$WORK/handles"
	$handles stale "$MNT" "$WORK/handles"
	$handles race "$MNT" 4
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

# The kernel has the mode cached, and must hear that it changed.
case_truncating_by_others_takes_setuid_away() {
	need setpriv
	make_image "$WORK/img" 64M
	mount_ours "$WORK/img" "$MNT"
	echo data >"$MNT/f"
	chmod 6777 "$MNT/f"
	[ "$(stat -c %a "$MNT/f")" = 6777 ]
	as_user 1234 sh -c ": >'$MNT/f'"
	[ "$(stat -c '%a %s' "$MNT/f")" = "777 0" ]
	chmod 6777 "$MNT/f"
	as_user 1234 sh -c "echo x >>'$MNT/f'"
	[ "$(stat -c '%a %s' "$MNT/f")" = "777 2" ]
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

run_cases "$@"
