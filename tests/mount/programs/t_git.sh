# SPDX-License-Identifier: MIT
# git on the mount: a clone of this project, its branches, gc, commits.
# Packs are mapped, indexes renamed over, locks made with O_EXCL and link().
. "$(dirname "$0")/../lib.sh"

export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_CONFIG_COUNT=4
export GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
export GIT_CONFIG_KEY_1=user.name GIT_CONFIG_VALUE_1=Test
export GIT_CONFIG_KEY_2=user.email GIT_CONFIG_VALUE_2=test@example.org
export GIT_CONFIG_KEY_3=core.fsync GIT_CONFIG_VALUE_3=all

# A clone of the project, at $repo; of an archive without history, a new one.
clone() {
	need git
	make_image "$WORK/img" 256M
	mount_ours "$WORK/img" "$MNT"
	repo=$MNT/uext4
	if git -C "$ROOT" rev-parse -q --verify HEAD >/dev/null 2>&1; then
		git clone -q --no-local "file://$ROOT" "$repo"
	else
		mkdir "$repo"
		tar -C "$ROOT" --exclude ./build -c . | tar -C "$repo" -x
		git -C "$repo" init -q
		git -C "$repo" add -A
		git -C "$repo" commit -qm all
	fi
	cd "$repo"
}

# The same must be there when it is mounted again.
judge() {
	local head

	head=$(git -C "$repo" rev-parse HEAD)
	cd /
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
	mount_ours "$WORK/img" "$MNT"
	[ "$(git -C "$repo" rev-parse HEAD)" = "$head" ]
	git -C "$repo" fsck --full --strict
	[ -z "$(git -C "$repo" status --porcelain)" ]
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
}

case_a_clone_is_sound_and_survives_gc() {
	clone
	git fsck --full --strict
	[ -z "$(git status --porcelain)" ]
	git repack -qadf --window=5
	git gc -q --prune=now
	git fsck --full --strict
	judge
}

case_branches_are_checked_out_back_and_forth() {
	local old i

	clone
	old=$(git rev-list --max-count=200 HEAD | tail -n 1)
	git checkout -q -b old "$old"
	[ -z "$(git status --porcelain)" ]
	for i in 1 2 3; do
		git checkout -q -
		[ -z "$(git status --porcelain)" ]
	done
	# Every file is as it was when it was committed.
	mkdir "$WORK/tmp"
	git archive HEAD | tar -x -C "$WORK/tmp"
	git ls-files -z | while IFS= read -r -d '' i; do
		[ -L "$i" ] || cmp "$i" "$WORK/tmp/$i"
	done
	judge
}

case_commits_merges_and_stashes() {
	local i

	clone
	git checkout -q -b left
	for i in $(seq 10); do
		echo "left $i" >>left.txt
		git add left.txt
		git commit -qm "left $i"
	done
	git checkout -q -b right HEAD~10
	mkdir -p deep/er
	for i in $(seq 10); do
		echo "right $i" >"deep/er/$i"
		git add deep
		git commit -qm "right $i"
	done
	git merge -q -m merged left
	[ "$(cat left.txt | wc -l)" -eq 10 ] && [ -f deep/er/10 ]
	git mv deep shallow
	git stash -q
	[ -f deep/er/10 ] && [ ! -e shallow ]
	git stash pop -q
	git commit -qam moved
	git rebase -q left
	git worktree add -q "$MNT/second" HEAD~1
	[ -z "$(git -C "$MNT/second" status --porcelain)" ]
	git worktree remove "$MNT/second"
	[ ! -e "$MNT/second" ]
	git reset -q --hard HEAD~3
	git clean -qfdx
	git reflog expire --expire=now --all
	git gc -q --prune=now
	judge
}

run_cases "$@"
