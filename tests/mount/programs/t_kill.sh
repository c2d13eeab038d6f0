# SPDX-License-Identifier: MIT
# kill -9 of the server, hundreds of times: see kill_loop.py.
# KILLS: how many per case. KILL_SEED: other moments, other operations.
. "$(dirname "$0")/../lib.sh"

KILLS=${KILLS:-90}
KILL_SEED=${KILL_SEED:-1}
KILL_SECONDS=${KILL_SECONDS:-}

# killed N SIZE [mke2fs option]...
killed() {
	local n=$1 size=$2

	shift 2
	need_ours
	make_image "$WORK/img" "$size" "$@"
	python3 "$LIB/programs/kill_loop.py" "$UEXT4" "$WORK/img" "$MNT" \
		"$KILLS" $((KILL_SEED * 10 + n)) $KILL_SECONDS
}

case_the_judge_notices_a_broken_promise() {
	mkdir "$WORK/d"
	python3 "$LIB/programs/promises.py" "$WORK/d"
}

case_a_usual_image() { killed 1 32M; }
# The log is full again and again, and checkpoints are under way.
case_small_blocks_and_a_small_log() { killed 2 16M -b 1024 -J size=1; }
case_no_extents_no_checksums() {
	killed 3 32M -O ^extent,^metadata_csum,^64bit
}

# Much of what is written is in the kernel when the server ends, or dies while
# it asks for it.
case_with_the_writeback_cache() {
	OURS=$OURS${OURS:+,}writeback_cache
	killed 4 32M
}

run_cases "$@"
