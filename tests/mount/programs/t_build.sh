# SPDX-License-Identifier: MIT
# This project, built on the mount, and its tests run from there: compilers,
# ninja's logs, archives, mapped executables.
. "$(dirname "$0")/../lib.sh"

# Tests of two floors and all below; BUILD_ALL=1: all there is.
TARGETS=(tests/t_bdev tests/t_buddy)
BUILD_ALL=${BUILD_ALL-}

case_the_project_builds_and_its_tests_run() {
	local t

	need meson ninja cc
	make_image "$WORK/img" "$([ -n "$BUILD_ALL" ] && echo 2G || echo 256M)"
	mount_ours "$WORK/img" "$MNT"
	mkdir "$MNT/src"
	tar -C "$ROOT" --exclude=./build --exclude=./.git -c . |
		tar -C "$MNT/src" -x
	cd "$MNT/src"
	meson setup build --buildtype=debug >"$WORK/log" 2>&1 ||
		die "$(tail -n 20 "$WORK/log")"
	if [ -n "$BUILD_ALL" ]; then
		TARGETS=()
	fi
	ninja -C build "${TARGETS[@]}" >"$WORK/log" 2>&1 ||
		die "$(tail -n 20 "$WORK/log")"
	if [ -n "$BUILD_ALL" ]; then
		python3 tools/run-tests.py build --suite unit >"$WORK/log" ||
			die "$(tail -n 20 "$WORK/log")"
		tail -n 1 "$WORK/log"
	else
		for t in "${TARGETS[@]}"; do
			CMOCKA_MESSAGE_OUTPUT=TAP "build/$t" >"$WORK/log" 2>&1 ||
				die "$t: $(cat "$WORK/log")"
			grep -c '^ok' "$WORK/log"
		done
	fi
	# Nothing is left to do: all times are as the linker left them.
	ninja -C build "${TARGETS[@]}" | tail -n 1 |
		grep -q 'no work to do'
	cd /
	umount_ours "$MNT"
	fsck_clean "$WORK/img"
	mount_ours "$WORK/img" "$MNT"
	ninja -C "$MNT/src/build" "${TARGETS[@]}" | tail -n 1 |
		grep -q 'no work to do'
	umount_ours "$MNT"
}

run_cases "$@"
