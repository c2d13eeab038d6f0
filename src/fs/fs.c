/* SPDX-License-Identifier: MIT */
/*
 * Mount and unmount. The order stands in fs.h.
 */
#include "fs/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"
#include "base/le.h"
#include "bdev/bdev.h"
#include "cache/buf.h"
#include "fs/dio_req.h"
#include "fs/overlay.h"
#include "inode/orphan.h"
#include "journal/txn.h"

#define FS_MAX_IDLE 8192u

static bool fs_is_rdonly(struct uext4_fs *fs)
{
	return (atomic_load(&fs->state) & FS_S_RDONLY) != 0;
}

/* ---- the superblock and what it allows ---- */

static int fs_apply_gate(struct uext4_fs *fs)
{
	struct dsuper_gate gate;

	dsuper_gate(&fs->super.sb, &gate);
	if (gate.mode == DSUPER_MODE_REFUSE) {
		log_err(&fs->log, "feature %s is not supported%s%s", gate.names,
				gate.why ? ": " : "", gate.why ? gate.why : "");
		return -EOPNOTSUPP;
	}
	if (gate.mode == DSUPER_MODE_RO && !fs_is_rdonly(fs)) {
		log_err(&fs->log,
				"feature %s is supported read-only%s%s; "
				"mount it read-only",
				gate.names, gate.why ? ": " : "",
				gate.why ? gate.why : "");
		return -EROFS;
	}
	if (gate.mode == DSUPER_MODE_RO)
		(void)snprintf(fs->rdonly_why, sizeof(fs->rdonly_why),
				"feature %s%s%s", gate.names,
				gate.why ? ": " : "", gate.why ? gate.why : "");
	if (!fs_is_rdonly(fs) && bdev_is_rdonly(fs->dev)) {
		log_err(&fs->log,
				"the device cannot be written; mount it "
				"read-only");
		return -EROFS;
	}
	return 0;
}

static int fs_read_super(struct uext4_fs *fs, struct bdev *dev)
{
	const char *why = NULL;
	int ret;

	ret = super_read(&fs->super, dev, &fs->log);
	if (ret < 0)
		return ret;
	ret = fs_apply_gate(fs);
	if (ret < 0)
		return ret;
	ret = geo_init(&fs->geo, &fs->super.sb, &why);
	if (ret < 0)
		log_err(&fs->log, "superblock: %s; run e2fsck", why);
	return ret;
}

/* ---- the stack of floors over one device ---- */

static int fs_stack_up(struct uext4_fs *fs, struct bdev *dev)
{
	struct alloc_params ap = {
		.geo = &fs->geo,
		.log = &fs->log,
		.free_blocks = fs->super.sb.free_blocks_count,
		.root_blocks = fs->super.sb.r_blocks_count,
		.free_inodes = fs->super.sb.free_inodes_count,
	};
	int ret;

	ret = buf_cache_new(dev, fs->geo.block_size, fs->geo.blocks,
			fs->opts.meta_cache, &fs->log, &fs->cache);
	if (ret < 0)
		return ret;
	ret = page_pool_new(fs->geo.block_size, fs->opts.page_cache, &fs->pool);
	if (ret < 0)
		return ret;
	ap.cache = fs->cache;
	ret = alloc_open(&ap, &fs->alloc);
	if (ret < 0)
		return ret;
	ret = alloc_load(fs->alloc);
	if (ret < 0)
		return ret;

	fs->it.geo = &fs->geo;
	fs->it.cache = fs->cache;
	fs->it.journal = NULL;
	fs->it.alloc = fs->alloc;
	fs->it.log = &fs->log;
	fs->it.dev = dev;
	fs->it.pool = fs->pool;
	fs->it.iomap_ops = &fs_iomap_ops;
	/* A journal that is replayed in memory stands in front of dev's. */
	if ((fs->opts.flags & UEXT4_MNT_DAX) && dev == fs->dev)
		fs->it.dax_ops = &fs_dax_ops;
	else
		fs->it.dax_ops = NULL;
	fs->it.owner = fs;
	fs->it.max_idle = FS_MAX_IDLE;
	fs->it.now = fs_now;
	fs->it.shown = fs_queues_shown;
	fs->it.free_dio = inode_dio_free;
	ret = itable_init(&fs->it);
	if (ret < 0)
		return ret;
	return super_attach(&fs->super, fs->cache, fs->geo.block_size);
}

static void fs_stack_down(struct uext4_fs *fs)
{
	if (fs->super.buf)
		super_detach(&fs->super);
	if (fs->it.owner)
		itable_fini(&fs->it);
	fs->it.owner = NULL;
	if (fs->alloc)
		alloc_close(fs->alloc);
	fs->alloc = NULL;
	if (fs->pool)
		page_pool_free(fs->pool);
	fs->pool = NULL;
	if (fs->cache)
		buf_cache_free(fs->cache);
	fs->cache = NULL;
}

/* ---- the journal ---- */

struct run_list {
	struct journal_run *v;
	uint32_t n, cap;
	uint64_t blocks;
};

static int run_list_push(struct run_list *l, pblk_t pblk, uint32_t len)
{
	struct journal_run *v;
	uint32_t cap;

	if (l->n == l->cap) {
		cap = l->cap ? l->cap * 2 : 16;
		v = realloc(l->v, cap * sizeof(*v));
		if (!v)
			return -ENOMEM;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n].pblk = pblk;
	l->v[l->n].len = len;
	l->n++;
	l->blocks += len;
	return 0;
}

/* The blocks of the journal inode, all of them written, in file order. */
static int fs_journal_runs(struct uext4_fs *fs, struct run_list *l)
{
	struct inode *inode;
	struct map_run run;
	uint64_t nblk;
	uint64_t at;
	int ret;

	ret = inode_get(&fs->it, fs->geo.journal_inum, &inode);
	if (ret < 0) {
		log_err(&fs->log,
				"journal inode %u: cannot be read: %s; run "
				"e2fsck",
				fs->geo.journal_inum, err_text(ret));
		return ret == -ESTALE ? -UEXT4_ECORRUPT : ret;
	}
	nblk = inode_size(inode) >> fs->geo.block_bits;
	for (at = 0; at < nblk; at += run.len) {
		ret = map_find(&inode->map, (lblk_t)at,
				(uint32_t)min_u64(nblk - at, 1u << 20), &run);
		if (ret == 0 && run.type != MAP_WRITTEN) {
			log_err(&fs->log,
					"journal inode %u: block %llu is "
					"not mapped; run e2fsck",
					inode->inum, (unsigned long long)at);
			ret = -UEXT4_ECORRUPT;
		}
		if (ret == 0)
			ret = run_list_push(l, run.pblk, run.len);
		if (ret < 0)
			break;
	}
	inode_put(inode);
	return ret;
}

static int fs_precommit(void *ctx, struct handle *h)
{
	struct uext4_fs *fs = ctx;
	struct super *s = &fs->super;
	uint64_t free_blocks;
	uint64_t free_inodes;
	int ret;

	ret = mmp_check_alive(fs);
	if (ret < 0)
		return ret;
	alloc_disk_counts(fs->alloc, &free_blocks, &free_inodes);
	buf_lock(s->buf);
	if (s->sb.free_blocks_count != free_blocks ||
			s->sb.free_inodes_count != free_inodes ||
			s->errors_dirty) {
		s->sb.free_blocks_count = free_blocks;
		s->sb.free_inodes_count = (uint32_t)free_inodes;
		s->sb.wtime = (uint64_t)fs_now(fs).tv_sec;
		ret = super_dirty_locked(h, s);
	}
	buf_unlock(s->buf);
	return ret;
}

static void fs_on_abort(void *ctx, int err)
{
	struct uext4_fs *fs = ctx;

	if (atomic_load(&fs->state) & FS_S_SHUTDOWN)
		return;
	if (atomic_fetch_or(&fs->state, FS_S_EMERG_RO) & FS_S_EMERG_RO)
		return;
	log_err(&fs->log,
			"journal stopped: %s; the file system is read-only "
			"from now on",
			err_text(err));
}

static int fs_journal_load(struct uext4_fs *fs, struct bdev *dev,
		struct journal **ret_j, bool *ret_dirty)
{
	struct run_list runs = { 0 };
	struct journal_params p = {
		.dev = dev,
		.cache = fs->cache,
		.log = &fs->log,
		.block_size = fs->geo.block_size,
		.fs_blocks = fs->geo.blocks,
		.uuid = fs->geo.uuid,
		.want_csum_v3 = geo_has_csum(&fs->geo),
		.want_64bit = geo_is_64bit(&fs->geo),
		.precommit = fs_precommit,
		.precommit_credits = 1,
		.on_abort = fs_on_abort,
		.ctx = fs,
	};
	uint32_t i;
	int ret;

	*ret_dirty = false;
	if (!geo_has_compat(&fs->geo, FC_HAS_JOURNAL))
		return journal_open_none(&p, ret_j);

	ret = fs_journal_runs(fs, &runs);
	p.runs = runs.v;
	p.nruns = runs.n;
	fs->journal_blocks = runs.blocks;
	if (ret == 0)
		ret = journal_load(&p, ret_j, ret_dirty);
	for (i = 0; ret == 0 && i < runs.n; i++)
		ret = alloc_add_system(
				fs->alloc, runs.v[i].pblk, runs.v[i].len);
	free(runs.v);
	return ret;
}

/* ---- recovery ---- */

/* Replay, with the temporary stack that found the journal. */
static int fs_replay(struct uext4_fs *fs, struct journal *j)
{
	int ret;

	fs->needed_recovery = true;
	if (fs_is_rdonly(fs)) {
		ret = journal_recover_memory(j, &fs->recovered);
		if (ret < 0)
			return ret;
		fs->replayed = j;
		if (fs->opts.flags & UEXT4_MNT_DAX)
			log_warn(&fs->log,
					"DAX: the journal is replayed in "
					"memory, so files are read through "
					"the cache");
		return overlay_open(fs->dev, j, fs->geo.block_size, &fs->over);
	}
	ret = journal_recover(j, &fs->recovered);
	if (ret == 0)
		log_info(&fs->log, "journal replayed: %llu blocks",
				(unsigned long long)fs->recovered.replayed);
	return ret;
}

/* A dirty log that nobody asks us to replay is an old one: what it would write
 * may be in use for something else by now. Linux throws it away, too. */
static int fs_wipe_log(struct uext4_fs *fs, struct journal *j)
{
	log_warn(&fs->log,
			"journal: holds transactions, but the superblock "
			"does not ask for recovery; they are %s",
			fs_is_rdonly(fs) ? "not looked at" : "thrown away");
	return fs_is_rdonly(fs) ? 0 : journal_discard_log(j);
}

/* Phase one: is there something to replay? Nothing else is kept of it. */
static int fs_recover(struct uext4_fs *fs)
{
	struct journal *j = NULL;
	bool dirty = false;
	int jerr = 0;
	int ret;

	/* One on another device is clean, or the gate had refused. */
	if (!geo_has_compat(&fs->geo, FC_HAS_JOURNAL) ||
			fs->geo.journal_inum == 0 ||
			(fs->opts.flags & UEXT4_MNT_NOLOAD))
		return 0;

	ret = fs_stack_up(fs, fs->dev);
	if (ret == 0)
		ret = fs_journal_load(fs, fs->dev, &j, &dirty);
	if (ret == 0) {
		jerr = journal_recorded_error(j);
		if (geo_has_incompat(&fs->geo, FI_RECOVER))
			ret = fs_replay(fs, j);
		else if (dirty)
			ret = fs_wipe_log(fs, j);
	}
	if (j && j != fs->replayed)
		journal_free(j);
	fs_stack_down(fs);
	if (ret < 0) {
		log_err(&fs->log, "journal: recovery failed: %s; run e2fsck",
				err_text(ret));
		return ret;
	}
	/* Nothing read before the replay is believed after it. */
	ret = fs_read_super(fs, fs->over ? fs->over : fs->dev);
	if (ret == 0 && jerr != 0) {
		fs->super.sb.state |= DSUPER_STATE_ERROR;
		log_warn(&fs->log,
				"journal: stopped by an error (%d) when it "
				"was last used; run e2fsck",
				jerr);
	}
	return ret;
}

/* ---- mount ---- */

static int fs_set_last_orphan(void *ctx, struct handle *h, inum_t inum)
{
	struct uext4_fs *fs = ctx;
	inum_t was;
	int ret;

	buf_lock(fs->super.buf);
	was = fs->super.sb.last_orphan;
	fs->super.sb.last_orphan = inum;
	ret = super_dirty_locked(h, &fs->super);
	if (ret < 0)
		fs->super.sb.last_orphan = was;
	buf_unlock(fs->super.buf);
	return ret;
}

/* One more bit in a feature word of the superblock, in a handle of its own. */
static int fs_add_feature(struct uext4_fs *fs, uint32_t *word, uint32_t bit)
{
	struct handle *h;
	int ret;

	ret = handle_start(fs->journal, 1, &h);
	if (ret < 0)
		return ret;
	buf_lock(fs->super.buf);
	*word |= bit;
	ret = super_dirty_locked(h, &fs->super);
	buf_unlock(fs->super.buf);
	return handle_finish(h, ret);
}

int fs_allow_size(struct uext4_fs *fs, uint64_t size)
{
	int ret;

	if (size <= INT32_MAX || atomic_load(&fs->large_files))
		return 0;
	if (fs->super.sb.rev_level == DSUPER_REV_GOOD_OLD)
		return -EFBIG;
	ret = fs_add_feature(
			fs, &fs->super.sb.feature_ro_compat, FR_LARGE_FILE);
	if (ret == 0)
		atomic_store(&fs->large_files, true);
	return ret;
}

int fs_allow_xattrs(struct uext4_fs *fs)
{
	int ret;

	if (atomic_load(&fs->xattrs))
		return 0;
	if (fs->super.sb.rev_level == DSUPER_REV_GOOD_OLD)
		return -EOPNOTSUPP;
	ret = fs_add_feature(fs, &fs->super.sb.feature_compat, FC_EXT_ATTR);
	if (ret == 0)
		atomic_store(&fs->xattrs, true);
	return ret;
}

/* The superblock says "in use" before the first change (S2). */
static int fs_mark_mounted(struct uext4_fs *fs)
{
	struct dsuper *sb = &fs->super.sb;

	buf_lock(fs->super.buf);
	sb->mtime = (uint64_t)fs_now(fs).tv_sec;
	sb->wtime = sb->mtime;
	sb->mnt_count++;
	if (geo_has_compat(&fs->geo, FC_HAS_JOURNAL))
		sb->feature_incompat |= FI_RECOVER;
	else
		sb->state &= (uint16_t)~DSUPER_STATE_VALID;
	if (geo_has_compat(&fs->geo, FC_ORPHAN_FILE))
		sb->feature_ro_compat |= FR_ORPHAN_PRESENT;
	buf_unlock(fs->super.buf);
	return super_write_now(&fs->super);
}

static int fs_open_orphans(struct uext4_fs *fs)
{
	struct orphan_sb_ops ops = {
		.set_last_orphan = fs_set_last_orphan,
		.ctx = fs,
	};
	inum_t file = 0;
	int ret;

	if (geo_has_compat(&fs->geo, FC_ORPHAN_FILE))
		file = fs->geo.orphan_file_inum;
	ret = orphans_open(&fs->it, &ops, fs->super.sb.last_orphan, file,
			&fs->orphans);
	if (ret < 0)
		return ret;
	fs->it.orphans = fs->orphans;
	ret = orphans_process(fs->orphans, &fs->orphans_deleted,
			&fs->orphans_truncated);
	if (ret == -UEXT4_ECORRUPT || ret == -UEXT4_EBADCSUM) {
		fs_error(fs, -ret, 0, __func__, __LINE__);
		return (atomic_load(&fs->state) & FS_S_EMERG_RO) ? ret : 0;
	}
	return ret;
}

/* Numbers that no earlier mount has given to an inode of the same number, in
 * all likelihood. */
static void fs_seed_generations(struct uext4_fs *fs)
{
	const struct dsuper *sb = &fs->super.sb;
	uint64_t seed = get_le64(sb->uuid) ^ (uint64_t)sb->mnt_count << 48;

	atomic_store(&fs->it.next_gen, (uint32_t)hmap_mix(seed ^ sb->mtime));
}

static int fs_start_writing(struct uext4_fs *fs)
{
	bool dirty;
	int ret;

	ret = fs_journal_load(fs, fs->dev, &fs->journal, &dirty);
	if (ret == 0)
		ret = mmp_guard_journal(fs);
	if (ret == 0 && fs->mmp.is_held)
		ret = alloc_add_system(fs->alloc, fs->mmp.pblk, 1);
	if (ret < 0)
		return ret;
	alloc_set_journal(fs->alloc, fs->journal);
	if (!(fs->super.sb.state & DSUPER_STATE_VALID))
		log_warn(&fs->log,
				"was not unmounted cleanly; running e2fsck "
				"is recommended");
	if (fs->super.sb.state & DSUPER_STATE_ERROR)
		log_warn(&fs->log,
				"has recorded errors; running e2fsck is "
				"recommended");
	ret = fs_mark_mounted(fs);
	if (ret < 0)
		return ret;
	ret = journal_start(fs->journal);
	if (ret < 0)
		return ret;
	fs->it.journal = fs->journal;
	fs_seed_generations(fs);
	ret = fs_open_orphans(fs);
	if (ret < 0)
		return ret;
	return fs_flusher_start(fs);
}

static int fs_mount_stack(struct uext4_fs *fs)
{
	struct dsuper *sb = &fs->super.sb;
	size_t n;
	int ret;

	ret = fs_check_dax(fs);
	if (ret < 0)
		return ret;
	ret = fs_read_super(fs, fs->dev);
	if (ret < 0)
		return ret;
	ret = mmp_take(fs);
	if (ret == 0 && fs->mmp.is_held)
		ret = fs_read_super(fs, fs->dev);
	if (ret < 0)
		return ret;
	ret = fs_recover(fs);
	if (ret < 0)
		return ret;
	fs->was_valid = (sb->state & DSUPER_STATE_VALID) != 0;

	n = dfeature_names(DFEATURE_COMPAT, sb->feature_compat, " ",
			fs->features, sizeof(fs->features));
	n = min_of(n, sizeof(fs->features) - 2);
	fs->features[n++] = ' ';
	n += dfeature_names(DFEATURE_INCOMPAT, sb->feature_incompat, " ",
			fs->features + n, sizeof(fs->features) - n);
	n = min_of(n, sizeof(fs->features) - 2);
	fs->features[n++] = ' ';
	dfeature_names(DFEATURE_RO_COMPAT, sb->feature_ro_compat, " ",
			fs->features + n, sizeof(fs->features) - n);

	atomic_store(&fs->large_files,
			geo_has_ro_compat(&fs->geo, FR_LARGE_FILE));
	atomic_store(&fs->xattrs, geo_has_compat(&fs->geo, FC_EXT_ATTR));
	/* Not before mmp has chosen how the device is used. */
	if (fs->opts.flags & UEXT4_MNT_MAPPED)
		err_ignore(bdev_map_copies(fs->dev));
	ret = fs_stack_up(fs, fs->over ? fs->over : fs->dev);
	if (ret == 0 && !fs_is_rdonly(fs))
		ret = fs_start_writing(fs);
	return ret;
}

/* Free everything; writes nothing. */
static void fs_free(struct uext4_fs *fs)
{
	orphans_close(fs->orphans);
	if (fs->journal)
		journal_free(fs->journal);
	fs_stack_down(fs);
	if (fs->over)
		err_ignore(bdev_close(fs->over));
	if (fs->replayed)
		journal_free(fs->replayed);
	mutex_fini(&fs->lock);
	mutex_fini(&fs->rename_lock);
	mutex_fini(&fs->queues_lock);
	mutex_fini(&fs->flush_lock);
	cond_fini(&fs->flush_wait);
	log_fini(&fs->log);
	free(fs);
}

static void fs_forget_pages(struct uext4_fs *fs);

int fs_mount(struct bdev *dev, bool owns_dev,
		const struct uext4_mount_opts *opts, struct uext4_fs **ret_fs)
{
	return fs_mount_hooked(dev, owns_dev, opts, NULL, ret_fs);
}

int fs_mount_hooked(struct bdev *dev, bool owns_dev,
		const struct uext4_mount_opts *opts,
		const struct fs_hooks *hooks, struct uext4_fs **ret_fs)
{
	struct uext4_fs *fs;
	int ret;

	fs = calloc(1, sizeof(*fs));
	if (!fs)
		return -ENOMEM;
	ret = fs_take_opts(fs, opts);
	if (ret < 0) {
		free(fs);
		return ret;
	}
	fs->dev = dev;
	fs->hooks = hooks;
	mutex_init(&fs->lock, "fs", LOCK_RANK_LEAF);
	mutex_init(&fs->rename_lock, "rename", LOCK_RANK_RENAME);
	mutex_init(&fs->queues_lock, "queues", LOCK_RANK_LEAF);
	LIST_INIT(&fs->queues);
	mutex_init(&fs->flush_lock, "flusher", LOCK_RANK_FS);
	cond_init(&fs->flush_wait);

	ret = fs_mount_stack(fs);
	if (ret < 0) {
		mmp_unguard(fs);
		if (fs->journal)
			journal_abort(fs->journal, -ESHUTDOWN, false);
		if (fs->pool)
			fs_forget_pages(fs);
		err_ignore(mmp_release(fs, true));
		fs_free(fs);
		return ret;
	}
	fs->owns_dev = owns_dev;
	*ret_fs = fs;
	return 0;
}

/* ---- unmount ---- */

static int fs_drop_pages(void *ctx, struct inode *inode)
{
	rwsem_write_lock(&inode->file.inval);
	(void)iomap_drop_pages(&inode->file, 0, UINT64_MAX);
	rwsem_write_unlock(&inode->file.inval);
	return 0;
}

static void fs_forget_pages(struct uext4_fs *fs)
{
	if (fs->it.owner)
		(void)itable_for_each(&fs->it, fs_drop_pages, NULL);
}

/* The superblock says "clean" after the last change is home (S2). */
static int fs_mark_clean(struct uext4_fs *fs)
{
	struct dsuper *sb = &fs->super.sb;
	bool no_orphans = orphans_file_is_empty(fs->orphans);
	uint64_t free_blocks;
	uint64_t free_inodes;

	alloc_disk_counts(fs->alloc, &free_blocks, &free_inodes);
	buf_lock(fs->super.buf);
	sb->free_blocks_count = free_blocks;
	sb->free_inodes_count = (uint32_t)free_inodes;
	sb->wtime = (uint64_t)fs_now(fs).tv_sec;
	sb->feature_incompat &= ~FI_RECOVER;
	if (no_orphans)
		sb->feature_ro_compat &= ~FR_ORPHAN_PRESENT;
	if (fs->was_valid)
		sb->state |= DSUPER_STATE_VALID;
	buf_unlock(fs->super.buf);
	return super_write_now(&fs->super);
}

static int fs_stop_writing(struct uext4_fs *fs)
{
	int ret;
	int err;

	fs_flusher_stop(fs);
	ret = fs_writeback_all(fs);
	err = orphans_finish(fs->orphans);
	if (ret == 0)
		ret = err;
	itable_shrink(&fs->it, 0);
	err = orphans_reap(fs->orphans);
	if (ret == 0)
		ret = err;
	err = journal_error(fs->journal);
	if (err == 0)
		err = journal_flush(fs->journal);
	mmp_unguard(fs);
	if (err == 0 && hmap_count(&fs->it.inodes) == 0)
		err = journal_close(fs->journal);
	else
		journal_free(fs->journal);
	fs->journal = NULL;
	if (err == 0)
		err = fs_mark_clean(fs);
	else if (fs->super.errors_dirty && !mmp_is_lost(&fs->mmp))
		(void)super_write_errors(&fs->super);
	return ret < 0 ? ret : err < 0 ? err : 0;
}

int uext4_unmount(struct uext4_fs *fs)
{
	struct bdev *dev;
	int ret = 0;
	int err;

	if (!fs)
		return 0;
	/* Files that are closed live until their requests have ended. */
	fs_queues_settle(fs);
	if (atomic_load(&fs->nopen) != 0)
		return -EBUSY;
	fs_queues_detach(fs);

	dev = fs->owns_dev ? fs->dev : NULL;
	if (fs->journal)
		ret = fs_stop_writing(fs);
	/* After a shutdown nothing is written: the block looks like a crash. */
	err = mmp_release(fs, !(atomic_load(&fs->state) & FS_S_SHUTDOWN));
	if (ret == 0)
		ret = err;
	fs_forget_pages(fs);
	fs_free(fs);
	err = dev ? bdev_close(dev) : 0;
	return ret < 0 ? ret : err;
}

void fs_crash(struct uext4_fs *fs)
{
	struct bdev *dev = fs->owns_dev ? fs->dev : NULL;

	fs_flusher_stop(fs);
	atomic_fetch_or(&fs->state, FS_S_SHUTDOWN);
	mmp_unguard(fs);
	if (fs->journal)
		journal_abort(fs->journal, -ESHUTDOWN, false);
	err_ignore(mmp_release(fs, false));
	fs_queues_detach(fs);
	fs_forget_pages(fs);
	fs_free(fs);
	if (dev)
		err_ignore(bdev_close(dev));
}
