# SPDX-License-Identifier: MIT
# Mounts by somebody who is not root, through fusermount3.
. "$(dirname "$0")/../lib.sh"

# Who has an entry in every passwd, and belongs to nobody else.
USER_ID=65534

as_nobody() {
	as_user "$USER_ID" "$@"
}

# A FUSE device that everybody may open, in this namespace; an image and a
# mount point of the user's own.
prepare() {
	need_ours
	need fusermount3 setpriv
	[ -u "$(command -v fusermount3)" ] || skip "fusermount3 is not setuid"
	getent passwd "$USER_ID" >/dev/null ||
		skip "there is no user $USER_ID, whom fusermount3 would know"
	if ! as_nobody test -r /dev/fuse; then
		mknod -m 666 "$WORK/fuse" c 10 229
		mount --bind "$WORK/fuse" /dev/fuse
	fi
	make_image "$WORK/img" 32M
	chown "$USER_ID:$USER_ID" "$WORK/img" "$MNT"
	as_nobody test -x "$UEXT4" || cp_tool
}

# The tool may lie where only root gets.
cp_tool() {
	cp "$UEXT4" "$WORK/uext4"
	ldd "$UEXT4" | awk '$3 ~ /uext4/ { print $3 }' |
		xargs -r cp -t "$WORK"
	export LD_LIBRARY_PATH=$WORK
	UEXT4=$WORK/uext4
}

case_a_user_mounts_and_unmounts() {
	local server

	prepare
	"$UEXT4" chown "$USER_ID:$USER_ID" "$WORK/img:/"
	as_nobody "$UEXT4" mount "$WORK/img" "$MNT"
	server=$(holder_of "$WORK/img")
	echo "$server" >"$WORK/.pid.server"
	[ "$(stat -c %u "/proc/$server")" -eq "$USER_ID" ]
	findmnt -rno OPTIONS "$MNT" | grep -w nosuid | grep -qw nodev
	as_nobody sh -c "mkdir '$MNT/d' && echo x >'$MNT/d/f'"
	[ "$(as_nobody stat -c %u "$MNT/d/f")" -eq "$USER_ID" ]
	# It is for this user alone, even root has no business here.
	! ls "$MNT" 2>/dev/null || die "root was let in"
	# What is root's inside is not the user's.
	! as_nobody touch "$MNT/lost+found/f" 2>/dev/null ||
		die "a directory of root's was written to"
	as_nobody "$UEXT4" umount "$MNT"
	! is_mounted "$MNT"
	await exit "$server"
	fsck_clean "$WORK/img"
	[ "$("$UEXT4" cat "$WORK/img:/d/f")" = x ]
}

case_a_user_edits_an_image_of_roots() {
	local server

	prepare
	echo root >"$WORK/text"
	"$UEXT4" cp "$WORK/text" "$WORK/img:/file"
	as_nobody "$UEXT4" mount "$WORK/img" "$MNT" -o idmap=root
	server=$(holder_of "$WORK/img")
	echo "$server" >"$WORK/.pid.server"
	[ "$(as_nobody stat -c %u:%g "$MNT/file")" = "$USER_ID:$USER_ID" ]
	as_nobody sh -c "echo more >>'$MNT/file' && chmod 600 '$MNT/file' &&
		mkdir '$MNT/new' && : >'$MNT/new/f'"
	as_nobody fusermount3 -u "$MNT"
	await exit "$server"
	fsck_clean "$WORK/img"
	mount_kernel "$WORK/img" "$WORK/kernel" ro
	[ "$(stat -c %u:%g:%a "$WORK/kernel/file")" = 0:0:600 ]
	[ "$(stat -c %u:%g "$WORK/kernel/new/f")" = 0:0 ]
	umount "$WORK/kernel"
}

case_signals_end_the_mount_of_a_user() {
	local server

	prepare
	as_nobody "$UEXT4" mount "$WORK/img" "$MNT" -o idmap=root
	server=$(holder_of "$WORK/img")
	echo "$server" >"$WORK/.pid.server"
	as_nobody sh -c "seq 10000 >'$MNT/f'"
	kill -TERM "$server"
	await exit "$server"
	! is_mounted "$MNT"
	fsck_clean "$WORK/img"
	[ "$("$UEXT4" cat "$WORK/img:/f" | wc -l)" -eq 10000 ]
}

case_a_signal_fetches_the_pages_of_a_user() {
	local server

	prepare
	"$UEXT4" chown "$USER_ID:$USER_ID" "$WORK/img:/"
	as_nobody "$UEXT4" mount "$WORK/img" "$MNT" -o writeback_cache
	server=$(holder_of "$WORK/img")
	echo "$server" >"$WORK/.pid.server"
	hold_pages as_nobody
	kill -TERM "$server"
	await exit "$server"
	kill "$HOLDER"
	has_held_pages
}

# Nobody can have written there.
case_a_root_directory_that_is_not_the_users_is_no_failure() {
	prepare
	"$UEXT4" chmod 700 "$WORK/img:/"
	(
		exec setpriv --reuid="$USER_ID" --regid="$USER_ID" \
			--clear-groups "$UEXT4" mount -f "$WORK/img" "$MNT"
	) >"$WORK/.log.mnt" 2>&1 &
	echo $! >"$WORK/.pid.mnt"
	await mounted "$MNT" "$(pid_of "$MNT")" 2>/dev/null || :
	! as_nobody ls "$MNT" 2>/dev/null || die "it is the user's"
	kill -TERM "$(pid_of "$MNT")"
	ended "$MNT"
	! is_mounted "$MNT"
}

case_what_is_not_the_users() {
	prepare
	mkdir "$WORK/roots"
	fails 1 "roots: not yours" \
		as_nobody "$UEXT4" mount "$WORK/img" "$WORK/roots"
	make_image "$WORK/other" 32M
	chmod 600 "$WORK/other"
	fails 1 "other: Permission denied|other: .*not allowed|other: .*permission" \
		as_nobody "$UEXT4" mount "$WORK/other" "$MNT"
	# May be read, but not written.
	chmod 644 "$WORK/other"
	fails 1 "other" as_nobody "$UEXT4" mount "$WORK/other" "$MNT"
	! is_mounted "$MNT"
	as_nobody "$UEXT4" mount "$WORK/other" "$MNT" -o ro
	as_nobody ls "$MNT" >/dev/null
	as_nobody "$UEXT4" umount "$MNT"
	! is_mounted "$MNT"
	# The mount of somebody else.
	mount_ours "$WORK/img" "$MNT"
	fails 1 "" as_nobody "$UEXT4" umount "$MNT"
	is_mounted "$MNT"
	umount_ours "$MNT"
}

case_options_that_a_user_may_not_give() {
	prepare
	echo "mount_max = 1000" >"$WORK/fuse.conf"
	[ ! -e /etc/fuse.conf ] || mount --bind "$WORK/fuse.conf" /etc/fuse.conf
	fails 1 "allow_other" \
		as_nobody "$UEXT4" mount "$WORK/img" "$MNT" -o allow_other
	! is_mounted "$MNT"
	fsck_clean "$WORK/img"
}

case_allow_other_where_it_is_allowed() {
	prepare
	[ -e /etc/fuse.conf ] || skip "there is no /etc/fuse.conf"
	echo user_allow_other >"$WORK/fuse.conf"
	mount --bind "$WORK/fuse.conf" /etc/fuse.conf
	"$UEXT4" chmod 755 "$WORK/img:/"
	as_nobody "$UEXT4" mount "$WORK/img" "$MNT" -o allow_other
	ls "$MNT" >/dev/null
	# And modes are judged for everybody.
	! as_user 12345 touch "$MNT/f" 2>/dev/null ||
		die "another user wrote into root's directory"
	as_nobody "$UEXT4" umount "$MNT"
	fsck_clean "$WORK/img"
}

case_without_the_device_or_its_helper() {
	local status=0

	prepare
	# Made unreadable, as some hosts have it.
	! is_mounted /dev/fuse || umount /dev/fuse
	mknod -m 600 "$WORK/closed" c 10 229
	mount --bind "$WORK/closed" /dev/fuse
	(fails 1 "fuse" as_nobody "$UEXT4" mount "$WORK/img" "$MNT") || status=$?
	umount /dev/fuse
	[ "$status" -eq 0 ]
	! is_mounted "$MNT"
	mount --bind /dev/null "$(readlink -f "$(command -v fusermount3)")"
	(fails 1 "fuse" as_nobody "$UEXT4" mount "$WORK/img" "$MNT") || status=$?
	umount "$(readlink -f "$(command -v fusermount3)")"
	[ "$status" -eq 0 ]
	! is_mounted "$MNT"
	fsck_clean "$WORK/img"
}

case_a_user_that_nobody_knows() {
	prepare
	chown 54321:54321 "$WORK/img" "$MNT"
	! getent passwd 54321 >/dev/null || skip "user 54321 is known here"
	fails 1 "fuse|user" as_user 54321 "$UEXT4" mount "$WORK/img" "$MNT"
	! is_mounted "$MNT"
	fsck_clean "$WORK/img"
}

run_cases "$@"
