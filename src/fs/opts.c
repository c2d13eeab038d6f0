/* SPDX-License-Identifier: MIT */
/* The options of a mount, and what they give to all floors: clock and log. */
#include <string.h>
#include <time.h>

#include "fs/fs.h"

#define FS_META_CACHE ((size_t)64 << 20)
#define FS_PAGE_CACHE ((size_t)64 << 20)

struct timespec fs_now(void *owner)
{
	struct uext4_fs *fs = owner;
	struct timespec ts;

	if (fs->opts.now)
		return fs->opts.now(fs->opts.now_ctx);
	clock_gettime(CLOCK_REALTIME_COARSE, &ts);
	return ts;
}

static void fs_log(void *arg, enum log_level level, const char *msg)
{
	struct uext4_fs *fs = arg;

	if (fs->opts.log)
		fs->opts.log(fs->opts.log_ctx, (enum uext4_log_level)level,
				msg);
}

int fs_take_opts(struct uext4_fs *fs, const struct uext4_mount_opts *opts)
{
	if (opts) {
		if (opts->size < offsetof(struct uext4_mount_opts, errors))
			return -EINVAL;
		memcpy(&fs->opts, opts, min_of(opts->size, sizeof(fs->opts)));
	}
	fs->opts.size = sizeof(fs->opts);
	if (fs->opts.meta_cache == 0)
		fs->opts.meta_cache = FS_META_CACHE;
	if (fs->opts.page_cache == 0)
		fs->opts.page_cache = FS_PAGE_CACHE;
	if (fs->opts.commit_interval == 0)
		fs->opts.commit_interval = 5;
	if (fs->opts.log_level == 0)
		fs->opts.log_level = UEXT4_LOG_WARN;
	if (fs->opts.dio_alloc == UEXT4_DIO_ALLOC_DEFAULT)
		fs->opts.dio_alloc = UEXT4_DIO_ALLOC_DATAFIRST;
	if (fs->opts.dio_extend == UEXT4_DIO_EXTEND_DEFAULT)
		fs->opts.dio_extend = UEXT4_DIO_EXTEND_PARALLEL;
	if (fs->opts.dio_size == UEXT4_DIO_SIZE_DEFAULT)
		fs->opts.dio_size = UEXT4_DIO_SIZE_MAX;
	if (fs->opts.dio_alloc > UEXT4_DIO_ALLOC_DATAFIRST ||
			fs->opts.dio_extend > UEXT4_DIO_EXTEND_SERIAL ||
			fs->opts.dio_size > UEXT4_DIO_SIZE_PREFIX)
		return -EINVAL;
	if (fs->opts.flags & UEXT4_MNT_RDONLY)
		atomic_fetch_or(&fs->state, FS_S_RDONLY);
	log_init(&fs->log, fs_log, fs, (enum log_level)fs->opts.log_level);
	return 0;
}
