#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Install from Debian's packages what is missing to build and test uext4;
# with --lint also what .ci/run needs, with --bench what `make bench` draws with
# and measures against. Does nothing when nothing is missing.
set -euo pipefail

build=(gcc libc6-dev make meson ninja-build pkg-config
	libisal-dev libbsd-dev libfuse3-dev fuse3 liburing-dev libjansson-dev libcmocka-dev
	systemtap-sdt-dev scdoc e2fsprogs attr acl util-linux mount fdisk python3 procps)
# What the tests run on a mount.
programs=(git rsync sqlite3 fio dbench fsmark)
bench=(gnuplot-nox fuse2fs)
lint=(g++ clang clang-format clang-tidy cppcheck)

die() {
	echo "install-deps: $*" >&2
	exit 1
}

installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		env DEBIAN_FRONTEND=noninteractive "$@"
	else
		sudo env DEBIAN_FRONTEND=noninteractive "$@"
	fi
}

apt_install() {
	as_root apt-get -q -y -o DPkg::Lock::Timeout=300 install \
		--no-install-recommends "$@"
}

# Install those of the named packages that are missing, with one apt-get.
need() {
	local p missing=()

	for p in "$@"; do
		installed "$p" || missing+=("$p")
	done
	[ ${#missing[@]} -gt 0 ] || return 0

	command -v apt-get >/dev/null ||
		die "no apt-get here; please install: ${missing[*]}"
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null ||
			die "not root and no sudo; please install: ${missing[*]}"
		sudo -n true 2>/dev/null || [ -t 0 ] ||
			die "sudo asks for a password and there is no terminal;" \
				"please install: ${missing[*]}"
	fi
	echo "install-deps: installing ${missing[*]}"
	# The package lists are only fetched when those at hand do not serve.
	apt_install "${missing[@]}" && return 0
	as_root apt-get -q -o DPkg::Lock::Timeout=300 update ||
		die "apt-get update failed; please install: ${missing[*]}"
	apt_install "${missing[@]}" ||
		die "apt-get could not install: ${missing[*]}"
}

command -v dpkg-query >/dev/null ||
	die "this is no Debian; please install: ${build[*]}"
case "${1-}" in
"")
	need "${build[@]}" "${programs[@]}"
	;;
--lint)
	need "${build[@]}" "${lint[@]}"
	# The sanitizers' runtime is packaged by the major version of clang.
	need "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
	;;
--bench)
	need "${build[@]}" "${bench[@]}"
	;;
*)
	echo "usage: tools/install-deps.sh [--lint | --bench]" >&2
	exit 2
	;;
esac
