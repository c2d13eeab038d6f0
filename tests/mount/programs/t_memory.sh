# SPDX-License-Identifier: MIT
# Images in memory, whose data is copied through a mapping (src/bdev/mapcopy.h).
. "$(dirname "$0")/../lib.sh"

in_memory() {
	need_ours
	case $(stat -f -c %T "$WORK") in
	tmpfs | ramfs) ;;
	*) skip "$WORK is not in memory" ;;
	esac
}

# read_all FILE: so often that it is mapped, past the kernel's cache.
read_all() {
	local i

	for i in 1 2 3 4; do
		dd if="$1" bs=1M iflag=direct status=none | cmp - "$2" || return
	done
}

case_what_is_read_and_written_again_and_again_is_right() {
	local i

	in_memory
	make_image "$WORK/img" 128M
	mount_ours "$WORK/img" "$MNT"
	for i in 1 2 3 4; do
		dd if=/dev/urandom of="$WORK/f" bs=1M count=40 status=none
		dd if="$WORK/f" of="$MNT/f" bs=1M oflag=direct conv=notrunc \
			status=none
		read_all "$MNT/f" "$WORK/f"
	done
	# Freed, and written by others.
	rm "$MNT/f"
	fstrim "$MNT"
	for i in 1 2 3; do
		head -c 13M "$WORK/f" >"$MNT/g$i"
		cmp -n 13M "$WORK/f" "$MNT/g$i"
	done
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
	mount_kernel "$WORK/img" "$MNT" ro
	for i in 1 2 3; do
		cmp -n 13M "$WORK/f" "$MNT/g$i"
	done
}

case_reading_does_not_fill_the_holes_of_an_image() {
	local before after

	in_memory
	make_image "$WORK/img" 128M
	mount_ours "$WORK/img" "$MNT"
	head -c 64M /dev/zero >"$WORK/zero"
	cp "$WORK/zero" "$MNT/zero"
	umount_ours "$MNT"
	fallocate --dig-holes "$WORK/img"
	mount_ours "$WORK/img" "$MNT"
	before=$(stat -c %b "$WORK/img")
	read_all "$MNT/zero" "$WORK/zero"
	cmp "$MNT/zero" "$WORK/zero"
	after=$(stat -c %b "$WORK/img")
	# The journal and the like may have grown.
	[ $((after - before)) -lt 8192 ] ||
		die "$before blocks before, $after after"
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

case_an_image_cut_short_is_eio_and_the_server_stays() {
	local pid

	in_memory
	make_image "$WORK/img" 128M
	mount_ours "$WORK/img" "$MNT"
	pid=$(pid_of "$MNT")
	dd if=/dev/urandom of="$WORK/f" bs=1M count=64 status=none
	cp "$WORK/f" "$MNT/f"
	sync "$MNT/f"
	read_all "$MNT/f" "$WORK/f"
	truncate -s 1M "$WORK/img"
	fails 1 'Input/output error' dd if="$MNT/f" of="$WORK/back" bs=1M \
		iflag=direct status=none
	# Another read finds the same server.
	fails 1 'Input/output error' dd if="$MNT/f" of="$WORK/back" bs=1M \
		iflag=direct skip=10 status=none
	kill -0 "$pid"
	umount "$MNT"
	! is_mounted "$MNT"
}

run_cases "$@"
