# SPDX-License-Identifier: MIT
# Bad input to `uext4 mount`: one line that says what is wrong, the right exit
# status, no mount left, and the image as it was.
. "$(dirname "$0")/../lib.sh"

SHARED=${UEXT4_SHARED:-$ROOT/../shared}/images/e2fsprogs
# How many of the images that are broken on purpose.
BROKEN=${BROKEN:-40}

# refused STATUS PATTERN IMAGE DIR [OPTION]...: in the foreground and behind.
refused() {
	local status=$1 says=$2 image=$3 dir=$4 before table way

	shift 4
	before=$([ ! -f "$image" ] || sha "$image")
	table=$(grep -c '' /proc/self/mountinfo)
	for way in "" -f; do
		fails "$status" "$says" timeout -k 5 60 \
			"$UEXT4" mount $way "$image" "$dir" "$@"
		[ "$(grep -c '' /proc/self/mountinfo)" -eq "$table" ] ||
			die "a mount was left: $(tail -n 1 /proc/self/mountinfo)"
		[ "$([ ! -f "$image" ] || sha "$image")" = "$before" ] ||
			die "$image was changed"
	done
}

# ---- mount points ------------------------------------------------------------

case_a_mount_point_that_is_none() {
	need_ours
	make_image "$WORK/img" 32M
	: >"$WORK/file"
	ln -s loop "$WORK/loop"
	ln -s nowhere "$WORK/dangling"
	refused 1 "none: .*No such file|none: not there|none: .*check the name" \
		"$WORK/img" "$WORK/none"
	refused 1 "dangling" "$WORK/img" "$WORK/dangling"
	refused 1 "file: not a directory" "$WORK/img" "$WORK/file"
	refused 1 "loop" "$WORK/img" "$WORK/loop"
	refused 1 "below" "$WORK/img" "$WORK/file/below"
	fsck_clean "$WORK/img"
}

case_a_mount_point_that_is_taken() {
	need_ours
	make_image "$WORK/img" 32M
	make_image "$WORK/other" 32M
	mount_ours "$WORK/img" "$MNT"
	refused 1 "mnt: something is mounted there" "$WORK/other" "$MNT"
	umount_ours "$MNT"
	mount -t tmpfs none "$MNT"
	refused 1 "mnt: something is mounted there" "$WORK/other" "$MNT"
	umount "$MNT"
}

case_wrong_use() {
	need_ours
	make_image "$WORK/img" 32M
	fails 2 "usage" "$UEXT4" mount
	fails 2 "usage" "$UEXT4" mount "$WORK/img"
	fails 2 "usage" "$UEXT4" mount "$WORK/img" "$MNT" more
	fails 2 "usage" "$UEXT4" umount
	refused 2 "nonsense" "$WORK/img" "$MNT" -o nonsense
	refused 2 "commit" "$WORK/img" "$MNT" -o commit=often
	refused 2 "data=" "$WORK/img" "$MNT" -o data=journal
	refused 1 "noload" "$WORK/img" "$MNT" -o noload
	fails 1 "no image of ours" "$UEXT4" umount "$MNT"
	fails 1 "none" "$UEXT4" umount "$WORK/none"
	mount -t tmpfs none "$MNT"
	fails 1 "no image of ours" "$UEXT4" umount "$MNT"
	is_mounted "$MNT"
	umount "$MNT"
}

case_a_mount_that_has_died() {
	need_ours
	make_image "$WORK/img" 32M
	mount_ours "$WORK/img" "$MNT"
	echo x >"$MNT/f"
	sync "$MNT/f"
	kill -9 "$(pid_of "$MNT")"
	ended "$MNT" 137 2>/dev/null
	# Nothing may take its place before it is gone.
	refused 1 "died|mounted there" "$WORK/img" "$MNT"
	is_mounted "$MNT"
	fails 1 "not everything was written|killed" "$UEXT4" umount "$MNT"
	! is_mounted "$MNT"
	mount_ours "$WORK/img" "$MNT"
	[ "$(cat "$MNT/f")" = x ]
	umount_ours "$MNT"
}

# ---- images in use -----------------------------------------------------------

case_a_second_mount_of_the_same_image() {
	need_ours
	make_image "$WORK/img" 32M
	ln "$WORK/img" "$WORK/hard"
	ln -s img "$WORK/soft"
	mkdir "$WORK/second"
	mount_ours "$WORK/img" "$MNT"
	echo x >"$MNT/f"
	for name in img hard soft; do
		fails 1 "in use|another program" \
			"$UEXT4" mount "$WORK/$name" "$WORK/second"
		! is_mounted "$WORK/second"
		fails 1 "in use|another program" \
			"$UEXT4" mount "$WORK/$name" "$WORK/second" -o ro
	done
	fails 1 "in use|another program" "$UEXT4" recover "$WORK/img"
	fails 1 "in use|another program" "$UEXT4" mkdir "$WORK/img:/d"
	[ "$(cat "$MNT/f")" = x ]
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

# With mmp, what was not unmounted is waited for. Whoever waits can be stopped, in
# the foreground or behind, and nothing is left of it.
case_a_wait_that_is_given_up() {
	local way before status i

	need_ours
	make_image "$WORK/img" 32M -O mmp
	mount_ours "$WORK/img" "$MNT"
	echo x >"$MNT/f"
	sync "$MNT/f"
	kill_ours "$MNT"
	before=$(sha "$WORK/img")
	for way in -f ""; do
		status=0
		timeout -s INT 1 "$UEXT4" mount $way "$WORK/img" "$MNT" \
			>"$WORK/said" 2>&1 || status=$?
		[ "$status" -eq 124 ] || die "it waited for status $status"
		grep -q "waiting 42 s" "$WORK/said" ||
			die "it said: $(cat "$WORK/said")"
		for i in $(seq 50); do
			holder_of "$WORK/img" >/dev/null || break
			sleep 0.1
		done
		[ "$i" -lt 50 ] || die "a server was left"
		! is_mounted "$MNT" || die "a mount was left"
		[ "$(sha "$WORK/img")" = "$before" ] ||
			die "the image was changed"
	done
	tune2fs -f -E clear_mmp "$WORK/img"
	mount_ours "$WORK/img" "$MNT"
	[ "$(cat "$MNT/f")" = x ]
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

case_two_read_only_mounts_share_an_image() {
	need_ours
	make_image "$WORK/img" 32M
	mkdir "$WORK/second"
	mount_ours "$WORK/img" "$MNT" ro
	mount_ours "$WORK/img" "$WORK/second" ro
	ls "$MNT/lost+found" "$WORK/second/lost+found"
	fails 1 "in use|another program" \
		"$UEXT4" mount "$WORK/img" "$WORK/second/lost+found"
	umount_ours "$MNT"
	umount_ours "$WORK/second"
}

# A device that the kernel has mounted is refused; a file behind a loop device
# that it has mounted as well.
case_an_image_that_the_kernel_has_mounted() {
	local loop

	need_ours
	make_image "$WORK/img" 32M
	mount_kernel "$WORK/img" "$WORK/kernel"
	loop=$(findmnt -rno SOURCE "$WORK/kernel")
	fails 1 "in use|mounted|another program" "$UEXT4" mount "$loop" "$MNT"
	! is_mounted "$MNT"
	fails 1 "in use|mounted|another program" \
		"$UEXT4" mount "$WORK/img" "$MNT"
	! is_mounted "$MNT"
	umount "$WORK/kernel"
	fsck_clean "$WORK/img"
}

case_a_block_device() {
	local loop

	need_ours
	make_image "$WORK/img" 32M
	loop=$(losetup -f --show "$WORK/img")
	trap 'losetup -d "$loop"; undo_case' EXIT
	mount_ours "$loop" "$MNT"
	echo x >"$MNT/f"
	# The kernel may not have it at the same time.
	! mount -t ext4 "$loop" "$WORK" 2>/dev/null ||
		die "the kernel mounted it, too"
	umount_ours "$MNT"
	fsck_clean "$loop"
	losetup -d "$loop"
	trap undo_case EXIT
	fsck_clean "$WORK/img"
}

# ---- images of another kind, or damaged --------------------------------------

# put FILE OFFSET BYTES (as printf has them)
put() {
	printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

case_what_is_no_file_system_of_ours() {
	need_ours
	: >"$WORK/empty"
	echo text >"$WORK/text"
	truncate -s 32M "$WORK/zeroes"
	head -c 1M /dev/urandom >"$WORK/noise"
	truncate -s 32M "$WORK/xfs"
	put "$WORK/xfs" 0 'XFSB\0\0\20\0'
	mkfifo "$WORK/fifo"
	for name in empty text zeroes noise xfs; do
		refused 1 "$name: not an ext2/3/4 file system" \
			"$WORK/$name" "$MNT"
	done
	refused 1 "none" "$WORK/none" "$MNT"
	refused 1 "fifo" "$WORK/fifo" "$MNT"
	refused 1 "$WORK" "$WORK" "$MNT"
	refused 1 "null" /dev/null "$MNT"
}

case_features_that_nobody_knows_here() {
	need_ours
	make_image "$WORK/img" 32M
	debugfs -w -R 'set_super_value feature_incompat 0x80000242' \
		"$WORK/img" 2>/dev/null
	refused 1 "FEATURE_I31|0x80000000|unknown|feature" "$WORK/img" "$MNT"
	refused 1 "feature|unknown|0x80000000" "$WORK/img" "$MNT" -o ro
	make_image "$WORK/img" 32M -O encrypt
	refused 1 "encrypt" "$WORK/img" "$MNT"
}

case_features_that_are_only_read() {
	need_ours
	make_image "$WORK/img" 32M -O bigalloc
	# Mounted read-only, and so it looks; or refused.
	if "$UEXT4" mount "$WORK/img" "$MNT" >"$WORK/said" 2>&1; then
		holder_of "$WORK/img" >"$WORK/.pid.server"
		findmnt -rno OPTIONS "$MNT" | grep -qw ro
		! touch "$MNT/f" 2>/dev/null || die "it was written to"
		"$UEXT4" umount "$MNT"
	else
		[ "$(grep -c '' "$WORK/said")" -eq 1 ]
		grep -q bigalloc "$WORK/said"
	fi
	mount_ours "$WORK/img" "$MNT" ro
	ls "$MNT/lost+found"
	umount_ours "$MNT"
	e2fsck -fn "$WORK/img"
}

case_damaged_superblocks() {
	need_ours
	make_image "$WORK/good" 32M
	cp "$WORK/good" "$WORK/img"
	put "$WORK/img" $((1024 + 0x18)) '\377' # its checksum fails, too
	refused 3 "img: " "$WORK/img" "$MNT"
	cp "$WORK/good" "$WORK/img"
	put "$WORK/img" $((1024 + 0x38)) '\0\0' # the magic
	refused 1 "not an ext2/3/4 file system" "$WORK/img" "$MNT"
	make_image "$WORK/img" 32M -O ^metadata_csum,^64bit
	put "$WORK/img" $((1024 + 0x18)) '\377' # the block size
	refused 3 "img: " "$WORK/img" "$MNT"
	make_image "$WORK/img" 32M -O ^metadata_csum,^64bit
	put "$WORK/img" $((1024 + 0x4)) '\377\377\377\177' # more than there is
	refused 3 "img: " "$WORK/img" "$MNT"
	cp "$WORK/good" "$WORK/img"
	truncate -s 3M "$WORK/img"
	refused 3 "img: " "$WORK/img" "$MNT"
}

case_damaged_journals_groups_and_roots() {
	local jblk root

	need_ours
	make_image "$WORK/good" 32M -b 4096
	jblk=$(debugfs -R 'bmap <8> 0' "$WORK/good" 2>/dev/null)
	cp "$WORK/good" "$WORK/img"
	put "$WORK/img" $((jblk * 4096)) '\0\0\0\0' # the journal's magic
	refused 3 "journal" "$WORK/img" "$MNT"
	cp "$WORK/good" "$WORK/img"
	put "$WORK/img" $((jblk * 4096 + 20)) '\377\377' # where the log begins
	refused 3 "journal" "$WORK/img" "$MNT"
	cp "$WORK/good" "$WORK/img"
	put "$WORK/img" 4096 '\377\377\377\377' # group 0
	refused 3 "img" "$WORK/img" "$MNT"
	root=$(debugfs -R 'imap <2>' "$WORK/good" 2>/dev/null |
		sed -n 's/.*located at block \([0-9]*\), offset 0x\(.*\)/\1*4096+0x\2/p')
	cp "$WORK/good" "$WORK/img"
	put "$WORK/img" $((root)) '\0\0' # the root's mode
	fails 3 "img: inode 2" "$UEXT4" mount "$WORK/img" "$MNT"
	! is_mounted "$MNT"
	# This is known only when it is mounted, and is noted for e2fsck then.
	dumpe2fs -h "$WORK/img" 2>/dev/null | grep -q 'clean with errors'
}

# Whatever others have broken: refused with a line, or mounted, read through,
# and unmounted. Never a crash, a hang, or a mount that stays.
case_images_broken_on_purpose() {
	local f n=0 status mounted=0 refused=0

	need_ours
	[ -d "$SHARED" ] || skip "no images in $SHARED"
	find "$SHARED" -name '*.img.gz' | sort | awk -v n="$BROKEN" \
		'{ f[NR] = $0 } END { step = NR / n; if (step < 1) step = 1
		for (i = 1; i <= NR; i += step) print f[int(i)] }' \
		>"$WORK/list"
	while read -r f; do
		n=$((n + 1))
		gzip -dc "$f" | dd of="$WORK/img" bs=64k conv=sparse \
			status=none
		status=0
		timeout -k 5 60 "$UEXT4" mount "$WORK/img" "$MNT" -o kernel \
			>"$WORK/said" 2>&1 </dev/null || status=$?
		if [ "$status" -eq 0 ]; then
			mounted=$((mounted + 1))
			holder_of "$WORK/img" >"$WORK/.pid.server"
			find "$MNT" -xdev -type f -size -1M -exec cat {} + \
				>/dev/null 2>&1 || :
			touch "$MNT/new" 2>/dev/null || :
			umount "$MNT"
			await exit "$(cat "$WORK/.pid.server")"
			rm "$WORK/.pid.server"
		else
			refused=$((refused + 1))
			case $status in
			1 | 3) ;;
			*) die "$f: status $status, $(cat "$WORK/said")" ;;
			esac
			[ "$(grep -c '' "$WORK/said")" -eq 1 ] ||
				die "$f: $(cat "$WORK/said")"
		fi
		! is_mounted "$MNT" || die "$f: still mounted"
		rm -f "$WORK/img"
	done <"$WORK/list"
	echo "$mounted mounted, $refused refused"
	[ "$n" -ge 10 ]
}

# ---- what cannot be written --------------------------------------------------

case_an_image_that_is_read_only() {
	need_ours
	mkdir "$WORK/place"
	make_image "$WORK/place/img" 32M
	mount --bind "$WORK/place" "$WORK/place"
	mount -o remount,bind,ro "$WORK/place"
	refused 1 "img: .*(read-only|Read-only)" "$WORK/place/img" "$MNT"
	mount_ours "$WORK/place/img" "$MNT" ro
	ls "$MNT/lost+found"
	umount_ours "$MNT"
	umount "$WORK/place"
	fsck_clean "$WORK/place/img"
}

# What lies below is full: the writers are told, and in the end so is who asks
# for the server's status. What was synced before stays.
case_no_room_below_the_image() {
	local status=0

	need_ours
	mkdir "$WORK/place"
	mount -t tmpfs -o size=12M none "$WORK/place"
	make_image "$WORK/place/img" 64M -E lazy_journal_init=1
	mount_ours "$WORK/place/img" "$MNT"
	echo early >"$MNT/early"
	sync "$MNT/early"
	dd if=/dev/urandom of="$MNT/big" bs=1M count=30 conv=fsync \
		status=none 2>"$WORK/said" || status=$?
	[ "$status" -ne 0 ] || die "30 MiB were synced into 12"
	umount "$MNT" || :
	ended "$MNT" 1
	[ -s "$WORK/.log.mnt" ] || die "it said nothing"
	! is_mounted "$MNT"
	cp --sparse=always "$WORK/place/img" "$WORK/img"
	umount "$WORK/place"
	e2fsck -fy "$WORK/img" || [ $? -eq 1 ]
	[ "$("$UEXT4" cat "$WORK/img:/early")" = early ]
}

# The same of a server in the background: who unmounts is told.
case_umount_tells_that_not_all_was_written() {
	need_ours
	mkdir "$WORK/place"
	mount -t tmpfs -o size=12M none "$WORK/place"
	make_image "$WORK/place/img" 64M -E lazy_journal_init=1
	"$UEXT4" mount "$WORK/place/img" "$MNT"
	holder_of "$WORK/place/img" >"$WORK/.pid.server"
	# All of it fits into the memory of the server.
	dd if=/dev/urandom of="$MNT/big" bs=1M count=20 status=none \
		2>/dev/null || :
	fails 1 "not everything was written" "$UEXT4" umount "$MNT"
	await exit "$(cat "$WORK/.pid.server")"
	! is_mounted "$MNT"
	umount "$WORK/place"
}

# ---- the FUSE device and its connection --------------------------------------

case_no_fuse_device() {
	local status other

	need_ours
	make_image "$WORK/img" 32M
	mount --bind /dev/null /dev/fuse
	status=0
	(refused 1 "fuse" "$WORK/img" "$MNT") || status=$?
	umount /dev/fuse
	[ "$status" -eq 0 ]
	# None at all: in a namespace whose /dev has hardly anything.
	other=$(mktemp -d /tmp/uext4.XXXXXX)
	mkdir "$other/mnt"
	cp --sparse=always "$WORK/img" "$other/img"
	status=0
	(fails 1 "fuse" unshare --mount --propagation private bash -euc '
		mount -t tmpfs none /dev
		mknod -m 666 /dev/null c 1 3
		"$@" || status=$?
		umount /dev
		! grep -F "$4" /proc/self/mountinfo >&2
		exit "$status"' \
		-- "$UEXT4" mount "$other/img" "$other/mnt") || status=$?
	rm -r "$other"
	[ "$status" -eq 0 ]
	fsck_clean "$WORK/img"
}

case_a_connection_that_dies() {
	local n

	need_ours
	make_image "$WORK/img" 32M
	mount_ours "$WORK/img" "$MNT"
	n=$(connection_of "$MNT")
	[ -w "/sys/fs/fuse/connections/$n/abort" ] ||
		mount -t fusectl none /sys/fs/fuse/connections 2>/dev/null ||
		skip "there is no fusectl"
	exec 7<>"$MNT/open"
	echo synced >"$MNT/synced"
	sync "$MNT/synced"
	echo 1 >"/sys/fs/fuse/connections/$n/abort"
	ended "$MNT" 1
	[ "$(grep -c '' "$WORK/.log.mnt")" -eq 1 ] || {
		cat "$WORK/.log.mnt" >&2
		die "it is not one line"
	}
	! is_mounted "$MNT" || die "a dead mount was left"
	! echo x 2>/dev/null >&7 || die "a dead file was written to"
	exec 7>&-
	fsck_clean "$WORK/img"
	[ "$("$UEXT4" cat "$WORK/img:/synced")" = synced ]
}

# errors=panic: nobody goes on with what is damaged.
case_damage_ends_a_mount_with_errors_panic() {
	need_ours
	need debugfs
	make_image "$WORK/img" 32M
	mount_ours "$WORK/img" "$MNT"
	echo good >"$MNT/good"
	mkdir "$MNT/bad"
	umount_ours "$MNT"
	debugfs -w -R 'set_inode_field bad extra_isize 9999' "$WORK/img" \
		2>/dev/null
	mount_ours "$WORK/img" "$MNT" errors=panic
	exec 7<"$MNT/good"
	! ls "$MNT/bad" >/dev/null 2>&1 || die "damage was not found"
	ended "$MNT" 3
	grep -q 'damage was found, and errors=panic ends the mount' \
		"$WORK/.log.mnt" || {
		cat "$WORK/.log.mnt" >&2
		die "it does not say why"
	}
	! is_mounted "$MNT" || die "a dead mount was left"
	! cat <&7 >/dev/null 2>&1 || die "it still answers"
	exec 7<&-
	# Without, the rest of it goes on.
	mount_ours "$WORK/img" "$MNT" errors=continue
	! ls "$MNT/bad" >/dev/null 2>&1 || die "damage was not found"
	[ "$(cat "$MNT/good")" = good ]
	umount_ours "$MNT"
}

run_cases "$@"
