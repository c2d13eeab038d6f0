/* SPDX-License-Identifier: MIT */
/*
 * Multi-mount protection: see mmp.h.
 *
 * The MMP block holds a sequence that whoever writes the file system counts up
 * every few seconds. Who finds one that stands still for long takes it for a
 * dead one's; who finds one that moves keeps off.
 *
 * States   free   -> held    mmp_take()
 *          held   -> free    mmp_release(), the sequence says clean
 *          held   -> stale   a crash, a power cut, a shutdown: nobody counts
 *          stale  -> held    mmp_take(), after waiting
 *          held   -> lost    the block is not what we wrote, or fails
 *
 * Rules    (MM1) A clean block is taken at once. e2fsck's is refused. Any other
 *                must stand still for a wait; then ours is written, and must
 *                stand for another one. A wait is the smaller of 2c + 1 and
 *                c + 60 seconds, c being the check interval in the block.
 *          (MM2) The block is read before each write, and must hold what we wrote
 *                last. The device is used past the host's caches: one would
 *                show an old block, and write it back with its neighbours in
 *                the same page.
 *          (MM3) A process that stood still (SIGSTOP, a frozen group) for longer
 *                than the check interval it has promised looks before it
 *                begins a write; and no host writes for it meanwhile.
 *          (MM4) When lost, nothing more is written, whatever errors= says: it
 *                would hit the other's. Reads go on, unless errors=panic.
 *          (MM5) The block is written whole, FUA, never through the journal or
 *                the cache of metadata; it is a system block to both.
 *          (MM6) Our sequences begin at random: two that take a clean block at
 *                the same moment see each other at the next look.
 *
 * Locks    mmp->lock (rank MMP): the block and what is known of it; I/O on it is
 *          done under this lock.
 */
#include "fs/mmp.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>

#include "base/err.h"
#include "bdev/bdev.h"
#include "fs/fs.h"
#include "journal/journal.h"

#define NS_PER_S UINT64_C(1000000000)
#define SLICE_MS 100u

/* ---- the block ---- */

static int mmp_read(struct uext4_fs *fs, struct dmmp *ret_found)
{
	struct mmp *m = &fs->mmp;
	const char *why = NULL;
	int ret;

	ret = bdev_read(fs->dev, m->pblk * m->geo.block_size, m->raw,
			m->geo.block_size, 0, BDEV_TAG_MMP);
	if (ret == 0)
		ret = dmmp_check(&m->geo, m->raw, &why);
	if (ret < 0)
		log_err(&fs->log, "mmp: block %llu: %s; run e2fsck",
				(unsigned long long)m->pblk,
				why ? why : err_text(ret));
	else
		dmmp_decode(m->raw, ret_found);
	return ret;
}

/* @seq over what was read last. */
static int mmp_write(struct uext4_fs *fs, uint32_t seq)
{
	struct mmp *m = &fs->mmp;
	int ret;

	m->mine.seq = seq;
	m->mine.time = (uint64_t)fs_now(fs).tv_sec;
	dmmp_encode(&m->geo, &m->mine, m->raw);
	m->written_ns = time_now_ns();
	ret = bdev_write(fs->dev, m->pblk * m->geo.block_size, m->raw,
			m->geo.block_size, BDEV_F_FUA, BDEV_TAG_MMP); /* MM5 */
	if (ret < 0)
		log_err(&fs->log, "mmp: block %llu cannot be written: %s",
				(unsigned long long)m->pblk, err_text(ret));
	else
		atomic_store(&m->due_ns,
				m->written_ns +
						m->mine.check_interval *
								NS_PER_S);
	return ret;
}

/* Is it still what we, or those that we wait for, have written? -EBUSY. */
static int mmp_look(struct uext4_fs *fs, uint32_t seq, struct dmmp *ret_found)
{
	int ret = mmp_read(fs, ret_found);

	return ret == 0 && ret_found->seq != seq ? -EBUSY : ret;
}

static unsigned long long mmp_age(struct uext4_fs *fs, const struct dmmp *d)
{
	uint64_t now = (uint64_t)fs_now(fs).tv_sec;

	return now > d->time ? now - d->time : 0;
}

/* ---- taking it ---- */

static uint32_t mmp_random(void)
{
	uint32_t seq;

	if (getrandom(&seq, sizeof(seq), GRND_NONBLOCK) != sizeof(seq))
		seq = (uint32_t)time_now_ns();
	return seq % (DMMP_SEQ_FSCK - 1) + 1;
}

static void mmp_name_us(struct uext4_fs *fs, struct dmmp *mine)
{
	const char *name = bdev_name(fs->dev);
	struct utsname u;

	if (uname(&u) == 0)
		memcpy(mine->node, u.nodename,
				strnlen(u.nodename, DMMP_NODE_MAX));
	memcpy(mine->device, name, strnlen(name, DMMP_DEVICE_MAX));
}

static uint16_t mmp_clamp(uint64_t seconds)
{
	return (uint16_t)min_u64(
			max_u64(seconds, DMMP_CHECK_MIN), DMMP_CHECK_MAX);
}

/* MM1. Sleeps in slices, so that the caller can give up. */
static int mmp_wait(struct uext4_fs *fs, unsigned seconds)
{
	const struct timespec slice = { .tv_nsec = SLICE_MS * 1000000L };
	const struct uext4_mount_opts *o = &fs->opts;
	uint64_t end = time_now_ns() + seconds * NS_PER_S;

	if (fs->hooks && fs->hooks->sleep)
		return fs->hooks->sleep(fs->hooks->ctx, seconds);
	while (time_now_ns() < end) {
		if (o->cancel && o->cancel(o->cancel_ctx))
			return -EINTR;
		(void)nanosleep(&slice, NULL); /* less, if a signal comes */
	}
	return 0;
}

static int mmp_say_busy(struct uext4_fs *fs, const struct dmmp *d)
{
	if (d->seq == DMMP_SEQ_FSCK)
		log_err(&fs->log,
				"e2fsck is at work on it: node %s, device %s, "
				"since %llu s; let it end, or, if it died, run "
				"tune2fs -f -E clear_mmp",
				d->node, d->device, mmp_age(fs, d));
	else
		log_err(&fs->log,
				"in use: mounted at node %s, device %s, which "
				"wrote %llu s ago; unmount it there first",
				d->node, d->device, mmp_age(fs, d));
	return -EBUSY;
}

/* Wait, and look whether @seq still stands there. */
static int mmp_wait_and_look(
		struct uext4_fs *fs, unsigned seconds, uint32_t seq)
{
	struct dmmp found = { 0 };
	int ret;

	ret = mmp_wait(fs, seconds);
	if (ret == 0)
		ret = mmp_look(fs, seq, &found);
	return ret == -EBUSY ? mmp_say_busy(fs, &found) : ret;
}

/* The steps of MM1. */
static int mmp_take_block(struct uext4_fs *fs)
{
	struct mmp *m = &fs->mmp;
	unsigned wait = 0;
	struct dmmp found;
	unsigned c;
	int ret;

	ret = mmp_read(fs, &found);
	if (ret < 0)
		return ret;
	if (found.seq == DMMP_SEQ_FSCK)
		return mmp_say_busy(fs, &found);
	if (found.seq != DMMP_SEQ_CLEAN) {
		c = mmp_clamp(max_of(found.check_interval, m->update));
		wait = min_of(2 * c + 1, c + 60);
		log_warn(&fs->log,
				"not unmounted, or in use: node %s, device %s, "
				"wrote %llu s ago; waiting %u s to see whether "
				"it is alive",
				found.node, found.device, mmp_age(fs, &found),
				2 * wait);
		ret = mmp_wait_and_look(fs, wait, found.seq);
		if (ret < 0)
			return ret;
	}
	mmp_name_us(fs, &m->mine);
	m->mine.check_interval = mmp_clamp(2 * (uint64_t)m->update);
	ret = mmp_write(fs, mmp_random());
	return ret < 0 ? ret : mmp_wait_and_look(fs, wait, m->mine.seq);
}

static void mmp_warn_reader(struct uext4_fs *fs)
{
	struct dmmp found;

	if (!(fs->opts.flags & UEXT4_MNT_NOLOAD) && mmp_read(fs, &found) == 0 &&
			found.seq != DMMP_SEQ_CLEAN)
		log_warn(&fs->log,
				"not unmounted, or in use: node %s, device %s, "
				"wrote %llu s ago; if it is in use, what is "
				"read may be half of a change",
				found.node, found.device, mmp_age(fs, &found));
}

static void *mmp_main(void *arg);

static int mmp_hold(struct uext4_fs *fs)
{
	struct mmp *m = &fs->mmp;
	int ret;

	/* MM2, MM3; where it cannot be, one host alone is guarded. */
	if (!(fs->opts.flags & UEXT4_MNT_DAX))
		err_ignore(bdev_set_direct(fs->dev));
	ret = mmp_take_block(fs);
	if (ret < 0)
		return ret;
	mutex_init(&m->lock, "mmp", LOCK_RANK_MMP);
	cond_init(&m->wake);
	m->is_held = true;
	ret = pthread_create(&m->thread, NULL, mmp_main, fs);
	m->has_thread = ret == 0;
	return -ret;
}

int mmp_take(struct uext4_fs *fs)
{
	const struct dsuper *sb = &fs->super.sb;
	bool is_rdonly = atomic_load(&fs->state) & FS_S_RDONLY;
	struct mmp *m = &fs->mmp;
	int ret = 0;

	if (!geo_has_incompat(&fs->geo, FI_MMP))
		return 0;
	m->geo = fs->geo;
	m->pblk = sb->mmp_block;
	m->update = sb->mmp_update_interval;
	if (m->update == 0)
		m->update = DMMP_CHECK_MIN;
	m->update = min_of(m->update, DMMP_CHECK_MAX);
	if (!geo_block_ok(&fs->geo, m->pblk)) {
		log_err(&fs->log, "mmp: there is no block %llu; run e2fsck",
				(unsigned long long)m->pblk);
		return is_rdonly ? 0 : -UEXT4_ECORRUPT;
	}
	m->raw = aligned_alloc(4096, round_up_u64(fs->geo.block_size, 4096));
	if (!m->raw)
		return -ENOMEM;
	if (is_rdonly)
		mmp_warn_reader(fs);
	else
		ret = mmp_hold(fs);
	if (!m->is_held) {
		free(m->raw);
		m->raw = NULL;
	}
	return ret;
}

/* ---- keeping it ---- */

/* MM4 */
static void mmp_lose_locked(struct uext4_fs *fs, int err,
		const struct dmmp *found) UEXT4_REQUIRES(fs->mmp.lock)
{
	struct mmp *m = &fs->mmp;

	fs_forbid_writes(fs);
	atomic_store(&m->is_lost, true);
	if (err == -EBUSY)
		log_err(&fs->log,
				"mmp: another has taken it: node %s, device "
				"%s, %llu s ago; nothing is written from now "
				"on; unmount it everywhere and run e2fsck",
				found->node, found->device, mmp_age(fs, found));
	else
		log_err(&fs->log,
				"mmp: the guard against two mounts cannot be "
				"kept up: nothing is written from now on");
}

/* MM2: look, and write @seq. */
static int mmp_step_locked(struct uext4_fs *fs, uint32_t seq)
		UEXT4_REQUIRES(fs->mmp.lock)
{
	struct mmp *m = &fs->mmp;
	struct dmmp found = { 0 };
	int ret;

	if (mmp_is_lost(m))
		return -EBUSY;
	ret = mmp_look(fs, m->mine.seq, &found);
	if (ret == 0)
		ret = mmp_write(fs, seq);
	if (ret < 0)
		mmp_lose_locked(fs, ret, &found);
	return ret;
}

void mmp_tick(struct uext4_fs *fs)
{
	struct mmp *m = &fs->mmp;
	struct journal *lost = NULL;
	uint64_t took;
	uint32_t seq;

	mutex_lock(&fs->mmp.lock);
	seq = m->mine.seq % (DMMP_SEQ_FSCK - 1) + 1;
	took = (time_now_ns() - m->written_ns) / NS_PER_S;
	/* Who is slow asks the others for patience. */
	m->mine.check_interval = mmp_clamp(2 * max_u64(m->update, took));
	if (mmp_step_locked(fs, seq) < 0)
		lost = m->journal;
	mutex_unlock(&fs->mmp.lock);
	if (lost)
		journal_abort(lost, -EIO, false);
}

static void *mmp_main(void *arg)
{
	struct uext4_fs *fs = arg;
	struct mmp *m = &fs->mmp;
	bool is_over;
	uint64_t at;

	for (;;) {
		mutex_lock(&fs->mmp.lock);
		at = m->written_ns + m->update * NS_PER_S;
		while (!m->stop && time_now_ns() < at)
			(void)cond_wait_until(&m->wake, &fs->mmp.lock, at);
		is_over = m->stop || mmp_is_lost(m);
		mutex_unlock(&fs->mmp.lock);
		if (is_over)
			return NULL;
		mmp_tick(fs);
	}
}

int mmp_guard_journal(struct uext4_fs *fs)
{
	struct mmp *m = &fs->mmp;
	int ret;

	if (!m->is_held)
		return 0;
	mutex_lock(&fs->mmp.lock);
	m->journal = fs->journal;
	ret = mmp_is_lost(m) ? -EBUSY : 0;
	mutex_unlock(&fs->mmp.lock);
	return ret;
}

int mmp_check_alive(struct uext4_fs *fs)
{
	struct mmp *m = &fs->mmp;
	int ret = 0;

	if (!m->is_held)
		return 0;
	if (!mmp_is_lost(m) && time_now_ns() < atomic_load(&m->due_ns))
		return 0;
	mutex_lock(&fs->mmp.lock);
	ret = mmp_step_locked(fs, m->mine.seq); /* MM3 */
	mutex_unlock(&fs->mmp.lock);
	return ret < 0 ? -ESHUTDOWN : 0;
}

/* ---- the end ---- */

void mmp_unguard(struct uext4_fs *fs)
{
	struct mmp *m = &fs->mmp;

	if (!m->has_thread)
		return;
	mutex_lock(&fs->mmp.lock);
	m->stop = true;
	cond_broadcast(&m->wake);
	mutex_unlock(&fs->mmp.lock);
	pthread_join(m->thread, NULL);
	m->has_thread = false;
}

int mmp_release(struct uext4_fs *fs, bool is_clean)
{
	struct mmp *m = &fs->mmp;
	int ret = 0;

	if (!m->is_held)
		return 0;
	mmp_unguard(fs);
	mutex_lock(&fs->mmp.lock);
	if (is_clean) {
		m->mine.check_interval = mmp_clamp(m->update);
		ret = mmp_step_locked(fs, DMMP_SEQ_CLEAN);
	}
	free(m->raw);
	m->raw = NULL;
	mutex_unlock(&fs->mmp.lock);
	m->is_held = false;
	mutex_fini(&m->lock);
	cond_fini(&m->wake);
	return ret;
}
