/* SPDX-License-Identifier: MIT */
/*
 * The cases of t_profiles.c, by what they are about.
 */
#ifndef UEXT4_TESTS_FS_CASES_H
#define UEXT4_TESTS_FS_CASES_H

#include "env.h"

/* cases_names.c */
void names_create(struct env *e);
void names_mkdir(struct env *e);
void names_symlink(struct env *e);
void names_mknod(struct env *e);
void names_link(struct env *e);
void names_rename_files(struct env *e);
void names_rename_dirs(struct env *e);
void names_rename_flags(struct env *e);
/* cases_dir.c */
void dir_three_thousand(struct env *e);
void dir_cookies(struct env *e);
void dir_tmpfile(struct env *e);
void dir_unlinked_open(struct env *e);
void dir_many_subdirs(struct env *e);
/* cases_io.c */
void io_buffered(struct env *e);
void io_direct(struct env *e);
void io_direct_sectors(struct env *e);
void io_mixed(struct env *e);
void io_append(struct env *e);
void io_truncate(struct env *e);
void io_far(struct env *e);
/* cases_space.c */
void space_fallocate(struct env *e);
void space_punch(struct env *e);
void space_zero_range(struct env *e);
void space_block_maps(struct env *e);
void space_seek_fiemap(struct env *e);
void space_full(struct env *e);
void space_reserve(struct env *e);
void space_no_inodes(struct env *e);
void space_statfs(struct env *e);
/* cases_attr.c */
void attr_modes_times(struct env *e);
void attr_xattrs(struct env *e);
void attr_xattr_sharing(struct env *e);
void attr_acl(struct env *e);
void attr_permissions(struct env *e);
void attr_write_strips_suid(struct env *e);
/* cases_state.c */
void state_osync(struct env *e);
void state_shutdown_default(struct env *e);
void state_shutdown_logflush(struct env *e);
void state_shutdown_nologflush(struct env *e);
void state_errors_ro(struct env *e);
void state_errors_continue(struct env *e);
void state_errors_shutdown(struct env *e);
void state_readonly(struct env *e);
/* cases_kernel.c */
void kernel_setgid_of_outsiders(struct env *e);
void kernel_listing_without_atime(struct env *e);
void kernel_last_second(struct env *e);
void kernel_whiteout_inherits(struct env *e);
void kernel_one_time_to_now(struct env *e);
void kernel_no_change_of_attributes(struct env *e);
void kernel_fallocate_of_block_maps(struct env *e);
void kernel_largest_file_of_pointers(struct env *e);

#endif
