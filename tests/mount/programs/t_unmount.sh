# SPDX-License-Identifier: MIT
# Every way a mount may end, and how it begins: in the background, by
# mount(8), by a user. After the server's end with status 0 the image is clean
# and holds all that was written, synced or not.
. "$(dirname "$0")/../lib.sh"

# Data of all kinds that nobody has synced.
dirty() {
	mkdir -p "$1/a/b/c"
	seq 100000 >"$1/a/b/c/numbers"
	head -c 3000000 /dev/urandom >"$1/random"
	ln "$1/random" "$1/a/link"
	ln -s random "$1/a/symlink"
	truncate -s 200M "$1/sparse"
	printf x | dd of="$1/sparse" bs=1 seek=150M conv=notrunc status=none
	seq 1000 | sed "s#^#$1/a/b/#" | xargs touch
	python3 - "$1/mapped" <<'PY'
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 1 << 20)
m = mmap.mmap(fd, 1 << 20)
m[:] = b"m" * (1 << 20)
PY
	rm "$1"/a/b/7*
	cp "$1/random" "$WORK/random"
}

judge() {
	local k=$WORK/kernel

	fsck_clean "$WORK/img"
	mount_kernel "$WORK/img" "$k" ro
	seq 100000 | cmp - "$k/a/b/c/numbers"
	cmp "$WORK/random" "$k/random"
	[ "$k/random" -ef "$k/a/link" ]
	[ "$(readlink "$k/a/symlink")" = random ]
	[ "$(stat -c %s "$k/sparse")" -eq $((200 << 20)) ]
	[ "$(tr -d '\0' <"$k/sparse")" = x ]
	[ "$(wc -c <"$k/mapped") $(tr -d m <"$k/mapped")" = "1048576 " ]
	[ "$(find "$k/a/b" -type f -empty | wc -l)" -eq $((1000 - 111)) ]
	umount "$k"
}

# ends_by COMMAND...
ends_by() {
	need_ours
	make_image "$WORK/img" 64M
	mount_ours "$WORK/img" "$MNT"
	dirty "$MNT"
	"$@"
	ended "$MNT"
	! is_mounted "$MNT" || die "$MNT is still mounted"
	judge
}

signalled() {
	kill "-$1" "$(pid_of "$MNT")"
}

case_by_umount() { ends_by umount "$MNT"; }
case_by_fusermount() {
	need fusermount3
	ends_by fusermount3 -u "$MNT"
}
case_by_our_umount() { ends_by "$UEXT4" umount "$MNT"; }
case_by_sigterm() { ends_by signalled TERM; }
case_by_sigint() { ends_by signalled INT; }

# ---- in the background -------------------------------------------------------

case_the_background_mount_answers_when_it_returns() {
	local said server

	need_ours
	make_image "$WORK/img" 64M
	cd "$WORK"
	# Names as they come from the command line: relative.
	said=$("$UEXT4" mount img mnt -o kernel 2>&1)
	[ -z "$said" ] || die "it said: $said"
	is_mounted "$MNT"
	[ "$(findmnt -rno FSTYPE "$MNT")" = fuse.uext4 ]
	server=$(holder_of "$WORK/img")
	echo "$server" >"$WORK/.pid.server"
	# It has let go of what would keep its starter's terminal or disk busy.
	[ "$(readlink "/proc/$server/cwd")" = / ]
	[ "$(readlink "/proc/$server/fd/0")" = /dev/null ]
	[ "$(readlink "/proc/$server/fd/1")" = /dev/null ]
	[ "$(readlink "/proc/$server/fd/2")" = /dev/null ]
	[ "$(ps -o sid= -p "$server")" -eq "$server" ]
	dirty "$MNT"
	# When this returns, the server has written everything.
	said=$("$UEXT4" umount mnt 2>&1)
	[ -z "$said" ] || die "it said: $said"
	judge
	await exit "$server"
}

case_umount_of_a_background_mount() {
	local server

	need_ours
	make_image "$WORK/img" 64M
	"$UEXT4" mount "$WORK/img" "$MNT" -o kernel
	server=$(holder_of "$WORK/img")
	echo "$server" >"$WORK/.pid.server"
	dirty "$MNT"
	umount "$MNT"
	await exit "$server"
	judge
}

# Put the tool where it would be installed, in this namespace alone: mount(8)
# looks for its helpers in /sbin.
install_helpers() {
	local dir=$WORK/sbin sbin

	sbin=$(readlink -f /sbin)
	mkdir "$dir"
	ln -s "$UEXT4" "$dir/mount.fuse.uext4"
	ln -s "$UEXT4" "$dir/umount.fuse.uext4"
	mount -t overlay -o "lowerdir=$dir:$sbin" "$WORK" "$sbin" 2>/dev/null ||
		skip "nothing can be laid over $sbin"
}

case_mount_8_finds_us_by_type() {
	local server

	need_ours
	make_image "$WORK/img" 64M
	install_helpers
	mount -t fuse.uext4 -o rw,noauto,nofail "$WORK/img" "$MNT"
	server=$(holder_of "$WORK/img")
	echo "$server" >"$WORK/.pid.server"
	[ "$(findmnt -rno FSTYPE "$MNT")" = fuse.uext4 ]
	dirty "$MNT"
	umount "$MNT"
	await exit "$server"
	judge
}

case_fstab_finds_us_by_type() {
	local server

	need_ours
	make_image "$WORK/img" 64M
	install_helpers
	echo "$WORK/img $MNT fuse.uext4 defaults,x-systemd.automount 0 0" \
		>"$WORK/fstab"
	mount -T "$WORK/fstab" "$MNT"
	server=$(holder_of "$WORK/img")
	echo "$server" >"$WORK/.pid.server"
	dirty "$MNT"
	# By the table of mounts umount(8) finds the helper that waits.
	umount -a -t fuse.uext4
	! is_mounted "$MNT"
	judge
	await exit "$server"
	# And a failure is one.
	: >"$WORK/img"
	! mount -T "$WORK/fstab" "$MNT" 2>"$WORK/said" ||
		die "nothing was mounted"
	grep -q "not an ext2/3/4 file system" "$WORK/said"
	! is_mounted "$MNT"
}

# ---- what only the kernel has ------------------------------------------------

flusher_of() {
	pgrep -P "$(pid_of "$1")" -x uext4-flusher
}

# with_held_pages COMMAND...: does it, then SIGTERM keeps them all.
with_held_pages() {
	need_ours
	make_image "$WORK/img" 64M
	mount_ours "$WORK/img" "$MNT" writeback_cache
	hold_pages
	"$@"
	kill -TERM "$(pid_of "$MNT")"
	ended "$MNT"
	kill "$HOLDER"
	has_held_pages
}

case_sigterm_fetches_the_kernels_pages() { with_held_pages true; }

kill_flusher() {
	kill -9 "$(flusher_of "$MNT")"
}

case_sigterm_fetches_them_also_without_who_asks_for_them() {
	with_held_pages kill_flusher
}

stop_flusher() {
	kill -STOP "$(flusher_of "$MNT")"
}

case_sigterm_fetches_them_also_when_who_asks_was_stopped() {
	with_held_pages stop_flusher
}

# Not everybody may look at the kernel's count of requests.
case_sigterm_fetches_them_also_without_a_count() {
	preload <<'C'
int fsopen(const char *name, unsigned flags)
{
	(void)name;
	(void)flags;
	return -1;
}
C
	with_held_pages true
}

case_an_umount_waits_for_no_stopped_flusher() {
	need_ours
	make_image "$WORK/img" 64M
	mount_ours "$WORK/img" "$MNT"
	stop_flusher
	umount_ours "$MNT"
}

case_pages_that_cannot_be_fetched_are_told() {
	need_ours
	make_image "$WORK/img" 64M
	preload <<'C'
#include <errno.h>
int syncfs(int fd)
{
	(void)fd;
	errno = EIO;
	return -1;
}
C
	mount_ours "$WORK/img" "$MNT"
	kill -TERM "$(pid_of "$MNT")"
	ended "$MNT" 1 2>/dev/null
	grep -q "could not be fetched.*: Input/output error" "$WORK/.log.mnt"
	! is_mounted "$MNT"
	fsck_clean "$WORK/img"
}

case_who_asks_ends_with_a_server_that_is_killed() {
	local flusher

	need_ours
	make_image "$WORK/img" 64M
	# What it waits for is a request that a stopped server does not answer.
	preload <<'C'
#include <signal.h>
#include <unistd.h>
int syncfs(int fd)
{
	(void)fd;
	return kill(getppid(), SIGSTOP);
}
C
	mount_ours "$WORK/img" "$MNT" writeback_cache
	hold_pages
	flusher=$(flusher_of "$MNT")
	kill -TERM "$(pid_of "$MNT")"
	await stopped "$(pid_of "$MNT")"
	(exec 7<>"$MNT/open") 2>/dev/null &
	kill -0 "$flusher"
	kill -9 "$(pid_of "$MNT")"
	ended "$MNT" 137 2>/dev/null
	await exit "$flusher"
	kill "$HOLDER"
	umount -l "$MNT"
	"$UEXT4" recover "$WORK/img" >/dev/null
}

# Who asks is a child, so a copy of the server. Were it one of a server that has the
# image open, it would have its lock as well, until it gets to closing it. Here no
# child gets to anything before there is a file, and none asks before the server is
# dead.
case_killed_while_it_ends_no_child_keeps_the_image_locked() {
	need_ours
	make_image "$WORK/img" 64M
	preload <<'C'
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
static int there(const char *name)
{
	return access(getenv(name), F_OK) == 0;
}
static void late(void)
{
	while (there("MOUNTED") && !there("OVER"))
		usleep(10000);
}
__attribute__((constructor)) static void set(void)
{
	(void)pthread_atfork(NULL, NULL, late);
}
int syncfs(int fd)
{
	(void)kill(getppid(), SIGSTOP);
	return fsync(fd);
}
C
	export MOUNTED=$WORK/mounted OVER=$WORK/over
	mount_ours "$WORK/img" "$MNT"
	echo kept >"$MNT/file"
	sync "$MNT/file"
	: >"$MOUNTED"
	kill -TERM "$(pid_of "$MNT")"
	await stopped "$(pid_of "$MNT")"
	kill -9 "$(pid_of "$MNT")"
	ended "$MNT" 137 2>/dev/null
	"$UEXT4" recover "$WORK/img" >/dev/null
	: >"$OVER"
	umount -l "$MNT"
	[ "$("$UEXT4" cat "$WORK/img:/file")" = kept ]
}

# ---- what is in use ----------------------------------------------------------

case_open_files_keep_it_busy() {
	need_ours
	make_image "$WORK/img" 64M
	mount_ours "$WORK/img" "$MNT"
	exec 7>"$MNT/open"
	echo one >&7
	! umount "$MNT" 2>"$WORK/said" || die "it was unmounted"
	grep -q busy "$WORK/said"
	fails 1 "in use|busy" "$UEXT4" umount "$MNT"
	is_mounted "$MNT"
	echo two >&7
	exec 7>&-
	umount_ours "$MNT"
	mount_kernel "$WORK/img" "$WORK/kernel" ro
	[ "$(echo $(cat "$WORK/kernel/open"))" = "one two" ]
	umount "$WORK/kernel"
}

case_a_lazy_umount_waits_for_the_last_file() {
	need_ours
	make_image "$WORK/img" 64M
	mount_ours "$WORK/img" "$MNT"
	echo bye >"$MNT/unlinked"
	exec 7<>"$MNT/open" 8<"$MNT/unlinked"
	rm "$MNT/unlinked"
	umount -l "$MNT"
	! is_mounted "$MNT" || die "$MNT is still mounted"
	echo late >&7
	[ "$(cat <&8)" = bye ]
	kill -0 "$(pid_of "$MNT")"
	fails 1 "in use|busy|locked" "$UEXT4" mount "$WORK/img" "$MNT"
	exec 7>&- 8>&-
	ended "$MNT"
	mount_kernel "$WORK/img" "$WORK/kernel" ro
	[ "$(cat "$WORK/kernel/open")" = late ]
	[ ! -e "$WORK/kernel/unlinked" ]
	umount "$WORK/kernel"
}

case_sigterm_with_open_files_keeps_what_was_written() {
	need_ours
	make_image "$WORK/img" 64M
	mount_ours "$WORK/img" "$MNT"
	echo bye >"$MNT/unlinked"
	exec 7<>"$MNT/open" 8<"$MNT/unlinked"
	rm "$MNT/unlinked"
	echo early >&7
	kill -TERM "$(pid_of "$MNT")"
	ended "$MNT"
	! is_mounted "$MNT" || die "$MNT is still mounted"
	# Those who still have files open are told, not left hanging.
	! python3 -c 'import os; os.write(7, b"late"); os.fsync(7)' \
		2>/dev/null || die "a write after the end was synced"
	! cat <&8 2>/dev/null || die "a read after the end succeeded"
	exec 7>&- 8>&-
	mount_kernel "$WORK/img" "$WORK/kernel" ro
	[ "$(cat "$WORK/kernel/open")" = early ]
	[ ! -e "$WORK/kernel/unlinked" ]
	umount "$WORK/kernel"
}

case_a_signal_while_others_work() {
	local i pids=()

	need_ours
	make_image "$WORK/img" 64M
	mount_ours "$WORK/img" "$MNT"
	for i in 1 2 3; do
		mkdir "$MNT/$i"
		(
			n=0
			while echo $n >"$MNT/$i/$n" && mv "$MNT/$i/$n" \
				"$MNT/$i/done"; do
				n=$((n + 1))
				echo $n >>"$WORK/n.$i"
			done
		) 2>/dev/null &
		pids+=($!)
	done
	await lines 100 "$WORK/n.1" "$WORK/n.2" "$WORK/n.3"
	kill -TERM "$(pid_of "$MNT")"
	ended "$MNT"
	wait "${pids[@]}" || :
	! is_mounted "$MNT" || die "$MNT is still mounted"
	mount_kernel "$WORK/img" "$WORK/kernel" ro
	for i in 1 2 3; do
		# The last but one was whole before the signal came.
		[ "$(cat "$WORK/kernel/$i/done")" -ge \
			$(($(tail -n 1 "$WORK/n.$i") - 1)) ]
	done
	umount "$WORK/kernel"
}

# ---- read-only, and nothing lost ---------------------------------------------

case_a_read_only_mount_changes_nothing() {
	local before

	make_image "$WORK/img" 64M
	mount_ours "$WORK/img" "$MNT"
	echo x >"$MNT/f"
	mkdir "$MNT/d"
	umount_ours "$MNT"
	before=$(sha "$WORK/img")
	mount_ours "$WORK/img" "$MNT" ro
	[ "$(cat "$MNT/f")" = x ]
	ls -lR "$MNT" >/dev/null
	! echo y 2>/dev/null >"$MNT/f" || die "it was written to"
	! rm -f "$MNT/f" 2>/dev/null || die "a name was removed"
	! touch "$MNT/d" 2>/dev/null || die "a time was set"
	umount_ours "$MNT"
	[ "$(sha "$WORK/img")" = "$before" ] || die "the image was changed"
}

case_many_mounts_in_a_row() {
	local i

	make_image "$WORK/img" 64M
	for i in $(seq 12); do
		mount_ours "$WORK/img" "$MNT"
		[ "$(ls "$MNT" | wc -l)" -eq "$i" ] # and lost+found
		echo "$i" >"$MNT/$i"
		umount_ours "$MNT"
	done
	fsck_clean "$WORK/img"
}

run_cases "$@"
