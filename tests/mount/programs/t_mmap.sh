# SPDX-License-Identifier: MIT
# Files of the mount that are mapped and shared; see shared_map.py.
. "$(dirname "$0")/../lib.sh"

mapped() {
	# A hang is what some of them look for.
	timeout -k 5 30 python3 "$LIB/programs/shared_map.py" "$1" "$2"
}

# alone CASE [OPTIONS]
alone() {
	make_image "$WORK/img" 32M
	mount_ours "$WORK/img" "$MNT" "${2-}"
	mapped "$1" "$MNT/f"
	cp "$MNT/f" "$WORK/f"
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
	mount_kernel "$WORK/img" "$WORK/kernel" ro
	cmp "$WORK/kernel/f" "$WORK/f"
	umount "$WORK/kernel"
}

case_two_processes_share_a_map() {
	make_image "$WORK/img" 32M
	mount_ours "$WORK/img" "$MNT"
	mapped two_processes "$MNT/f"
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
	mount_ours "$WORK/img" "$MNT"
	mapped kept "$MNT/f"
	umount_ours "$MNT"
	mount_kernel "$WORK/img" "$WORK/kernel" ro
	mapped kept "$WORK/kernel/f"
	umount "$WORK/kernel"
}

case_msync_outlives_the_server() {
	need_ours
	make_image "$WORK/img" 32M
	mount_ours "$WORK/img" "$MNT"
	python3 -c '
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 1 << 20)
m = mmap.mmap(fd, 1 << 20)
m[:] = b"m" * (1 << 20)
m.flush()' "$MNT/f"
	kill_ours "$MNT"
	mount_ours "$WORK/img" "$MNT"
	[ "$(tr -d m <"$MNT/f" | wc -c) $(wc -c <"$MNT/f")" = "0 1048576" ]
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

# The kernel reads the rest of a page with a handle that may only write.
case_parts_of_pages_in_the_writeback_cache() {
	need_ours
	make_image "$WORK/img" 32M
	mount_ours "$WORK/img" "$MNT"
	head -c 1000000 /dev/urandom >"$WORK/f"
	cp "$WORK/f" "$MNT/f"
	umount_ours "$MNT"
	mount_ours "$WORK/img" "$MNT" writeback_cache
	for at in 5 4090 8192 700001 999999; do
		for f in "$WORK/f" "$MNT/f"; do
			printf 'twelve bytes' | dd of="$f" bs=12 seek="$at" \
				oflag=seek_bytes conv=notrunc status=none
		done
	done
	printf more >>"$WORK/f"
	printf more >>"$MNT/f"
	cmp "$WORK/f" "$MNT/f"
	umount_ours "$MNT"
	mount_kernel "$WORK/img" "$WORK/kernel" ro
	cmp "$WORK/f" "$WORK/kernel/f"
	umount "$WORK/kernel"
}

case_direct_read_into_a_map_of_the_file() { alone read_into_own_map; }
case_direct_write_from_a_map_of_the_file() { alone write_from_own_map; }
case_direct_io_beside_a_map() { alone direct_and_mapped; }
case_stores_beyond_the_end() { alone beyond_the_end; }
case_private_and_unlinked_maps() { alone private_and_unlinked; }

run_cases "$@"
