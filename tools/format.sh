#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# clang-format over the tree: rewrite the files, or with --check only say
# which would change.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=(-i)
case "${1-}" in
"") ;;
--check) mode=(--dry-run --Werror) ;;
*)
	echo "usage: tools/format.sh [--check]" >&2
	exit 2
	;;
esac

find src include tests \( -name '*.c' -o -name '*.h' \) -print0 |
	sort -z | xargs -0 -r clang-format "${mode[@]}"
