# SPDX-License-Identifier: MIT
# Trees of this machine in and out: tar and rsync, with everything a copy keeps.
. "$(dirname "$0")/../lib.sh"

TREE_MB=${TREE_MB:-24}

# $WORK/src: some of the machine's own files, and what those seldom have.
make_source() {
	local parts src=$WORK/src

	need tar setfacl setfattr
	mkdir "$src"
	mapfile -d '' parts < <(python3 "$ROOT/tools/pick-tree.py" 1000 \
		$((TREE_MB / 2)) "$TREE_MB")
	[ "${#parts[@]}" -gt 0 ] || skip "found no tree to copy"
	tar -c "${parts[@]}" 2>/dev/null | tar -x -C "$src"
	mkdir "$src/odd"
	cd "$src/odd"
	echo one >one
	ln one two
	ln one ../three
	ln -s one link
	ln -s "$(printf 'x%.0s' $(seq 200))" long-link
	mkfifo fifo
	mknod null c 1 3
	mknod loop b 7 300
	python3 -c 'import socket
socket.socket(socket.AF_UNIX).bind("socket")'
	truncate -s 20M sparse
	printf end | dd of=sparse bs=1 seek=15M conv=notrunc status=none
	: >"$(printf 'n%.0s' $(seq 255))"
	: >"$(printf 'name\nwith\tall \\ \377')"
	echo data >rights
	chmod 4751 rights
	chown 1234:70000 rights one
	setfattr -n user.colour -v green rights
	setfattr -n user.long -v "$(printf 'v%.0s' $(seq 900))" rights
	setfattr -n trusted.secret -v x rights
	setfattr -n user.of-a-directory -v y .
	setfacl -m u:1000:rw,g:2000:r rights
	mkdir shared
	chmod 3775 shared
	setfacl -d -m u:1001:rwx,g:2001:rx shared
	touch -d '1999-12-31 23:59:59.987654321' one
	touch -h -d '2030-01-02 03:04:05.000000001' link
	touch -d '2001-09-09 01:46:40.123456789' shared
	cd "$WORK"
}

image() {
	make_image "$WORK/img" $((TREE_MB * 3 + 64))M -N 40000
	mount_ours "$WORK/img" "$MNT"
}

# $MNT/in must be the source: now, mounted again, and to the kernel.
judge() {
	same_trees "$WORK/src" "$MNT/in"
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
	mount_ours "$WORK/img" "$MNT" ro
	same_trees "$WORK/src" "$MNT/in"
	umount_ours "$MNT"
	mount_kernel "$WORK/img" "$WORK/kernel" ro
	same_trees "$WORK/src" "$WORK/kernel/in"
	umount "$WORK/kernel"
}

case_tar_in_and_out() {
	local all=(--xattrs --xattrs-include='*' --acls --numeric-owner -S
		--warning=no-timestamp)

	make_source
	image
	mkdir "$MNT/in" "$WORK/out"
	# A socket is nothing that tar stores.
	rm "$WORK/src/odd/socket"
	touch -r "$WORK/src/odd/one" "$WORK/src/odd"
	tar "${all[@]}" --format=posix -C "$WORK/src" -c . |
		tar "${all[@]}" -C "$MNT/in" -xp
	tar "${all[@]}" --format=posix -C "$MNT/in" -c . |
		tar "${all[@]}" -C "$WORK/out" -xp
	same_trees "$WORK/src" "$WORK/out"
	judge
}

case_rsync_copies_and_finds_no_difference() {
	local said

	need rsync
	make_source
	image
	rsync -aHAXS -@-1 "$WORK/src/" "$MNT/in/"
	said=$(rsync -aHAXnci -@-1 --delete "$WORK/src/" "$MNT/in/")
	[ -z "$said" ] || die "rsync sees differences: $said"
	# A change and a removal are carried over; the rest stays.
	find "$WORK/src" -type f -name '*.gz' | head -n 200 |
		while read -r f; do
			echo more >>"$f"
		done
	rm -r "$(find "$WORK/src" -mindepth 3 -type d | sort | head -n 1)"
	rsync -aHAXS -@-1 --delete --inplace --no-whole-file "$WORK/src/" "$MNT/in/"
	judge
}

case_cp_keeps_everything_and_rm_frees_it() {
	local free

	make_source
	image
	sync -f "$MNT"
	free=$(stat -f -c '%f %d' "$MNT")
	cp -a "$WORK/src" "$MNT/first"
	cp -a --reflink=auto --sparse=always "$MNT/first" "$MNT/in"
	rm -rf "$MNT/first"
	judge
	mount_ours "$WORK/img" "$MNT"
	rm -rf "$MNT/in"
	sync -f "$MNT"
	# A directory that was large keeps its blocks; nothing else may.
	[ "$(stat -f -c '%f %d' "$MNT")" = "$free" ] ||
		die "not all is free again: $(stat -f -c '%f %d' "$MNT"), not $free"
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

run_cases "$@"
