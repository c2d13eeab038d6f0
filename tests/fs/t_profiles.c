/* SPDX-License-Identifier: MIT */
/*
 * Everything the public header offers, over every kind of file system that we
 * write. What is run is in cases_*.c, how it is judged in env.h.
 *
 *	t_profiles [part of a case's name]...	"names/", "ext2-1k"
 */
#include "cases.h"

#define CASE(group, what)                                                      \
 {                                                                             \
  .name = #group "/" #what, .body = group##_##what                             \
 }

static const struct env_case cases[] = {
	CASE(names, create),
	CASE(names, mkdir),
	CASE(names, symlink),
	CASE(names, mknod),
	CASE(names, link),
	CASE(names, rename_files),
	CASE(names, rename_dirs),
	CASE(names, rename_flags),
	CASE(dir, three_thousand),
	CASE(dir, cookies),
	CASE(dir, tmpfile),
	CASE(dir, unlinked_open),
	CASE(dir, many_subdirs),
	CASE(io, buffered),
	CASE(io, direct),
	CASE(io, direct_sectors),
	CASE(io, mixed),
	CASE(io, append),
	CASE(io, truncate),
	CASE(io, far),
	{ .name = "space/fallocate",
			.body = space_fallocate,
			.need = ENV_EXTENT },
	CASE(space, block_maps),
	CASE(space, punch),
	{ .name = "space/zero_range",
			.body = space_zero_range,
			.need = ENV_EXTENT },
	CASE(space, seek_fiemap),
	{ .name = "space/full", .body = space_full, .size = "16M" },
	{ .name = "space/reserve", .body = space_reserve, .size = "16M" },
	{ .name = "space/no_inodes", .body = space_no_inodes, .size = "8M" },
	CASE(space, statfs),
	CASE(attr, modes_times),
	CASE(attr, xattrs),
	CASE(attr, xattr_sharing),
	CASE(attr, acl),
	CASE(attr, permissions),
	CASE(attr, write_strips_suid),
	CASE(kernel, setgid_of_outsiders),
	CASE(kernel, listing_without_atime),
	CASE(kernel, last_second),
	CASE(kernel, whiteout_inherits),
	CASE(kernel, one_time_to_now),
	CASE(kernel, no_change_of_attributes),
	CASE(kernel, fallocate_of_block_maps),
	{ .name = "kernel/largest_file_of_pointers",
			.body = kernel_largest_file_of_pointers,
			.only = "ext2-4k-plain" },
	{ .name = "state/osync", .body = state_osync, .need = ENV_JOURNAL },
	{ .name = "state/shutdown_default",
			.body = state_shutdown_default,
			.need = ENV_JOURNAL },
	{ .name = "state/shutdown_logflush",
			.body = state_shutdown_logflush,
			.need = ENV_JOURNAL },
	{ .name = "state/shutdown_nologflush",
			.body = state_shutdown_nologflush,
			.need = ENV_JOURNAL },
	{ .name = "state/errors_ro",
			.body = state_errors_ro,
			.need = ENV_EXTENT },
	{ .name = "state/errors_continue",
			.body = state_errors_continue,
			.need = ENV_EXTENT },
	{ .name = "state/errors_shutdown",
			.body = state_errors_shutdown,
			.need = ENV_EXTENT },
	CASE(state, readonly),
};

int main(int argc, char **argv)
{
	return env_run("profiles", cases, sizeof(cases) / sizeof(cases[0]),
			argc, argv);
}
