/* SPDX-License-Identifier: MIT */
/*
 * Multi-mount protection on the test device. Waits are a hook that says at once
 * that time has passed; what others do meanwhile, it does. What the kernel and
 * e2fsck make of it is tested in tests/interop.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "alloc/alloc.h"
#include "bdev/bdev.h"
#include "bug.h"
#include "disk/dmmp.h"
#include "journal/journal.h"

static const struct env_profile profiles[] = {
	{ "mmp-4k", "-t ext4 -b 4096 -O mmp,metadata_csum,64bit", 4096,
			ENV_ALL },
	{ "mmp-1k", "-t ext4 -b 1024 -O mmp,^metadata_csum,^64bit", 1024,
			ENV_ALL },
	{ "mmp-nojournal", "-t ext4 -b 4096 -O mmp,^has_journal", 4096,
			ENV_ALL & ~ENV_JOURNAL },
};

#define UPDATE 5u

struct m {
	struct bug b;
	struct fs_hooks hooks;
	struct geo geo;
	pblk_t pblk;
	/* of the hook */
	unsigned waits, seconds, act_at;
	void (*act)(struct m *m); /* what happens in wait number act_at */
	struct dmmp at_wait[2];   /* what stands there when a wait begins */
};

/* ---- the block ---- */

static void raw_read(struct m *m, uint8_t *raw)
{
	assert_int_equal(bdev_read(m->b.dev, m->pblk * m->b.e.bs, raw,
					 m->b.e.bs, 0, 0),
			0);
}

static void raw_write(struct m *m, const uint8_t *raw)
{
	assert_int_equal(bdev_write(m->b.dev, m->pblk * m->b.e.bs, raw,
					 m->b.e.bs, 0, 0),
			0);
}

static struct dmmp block_of(struct m *m)
{
	uint8_t raw[4096];
	struct dmmp d;

	raw_read(m, raw);
	assert_int_equal(dmmp_check(&m->geo, raw, NULL), 0);
	dmmp_decode(raw, &d);
	return d;
}

/* Somebody else writes it. */
static void foreign(struct m *m, uint32_t seq)
{
	struct dmmp d = { .node = "other", .device = "sdx" };
	uint8_t raw[4096];

	raw_read(m, raw);
	d.seq = seq;
	d.time = (uint64_t)m->b.now.tv_sec - 3;
	d.check_interval = 10;
	dmmp_encode(&m->geo, &d, raw);
	raw_write(m, raw);
}

static void foreign_counts(struct m *m)
{
	foreign(m, block_of(m).seq + 1);
}

/* ---- the image ---- */

static int wait_hook(void *ctx, unsigned seconds)
{
	struct m *m = ctx;

	if (seconds == 0) { /* ours is looked at again right away */
		if (m->act && m->act_at == 0)
			m->act(m);
		return 0;
	}
	assert_true(m->waits < 2);
	m->at_wait[m->waits++] = block_of(m);
	m->seconds = seconds;
	if (m->act && m->act_at == m->waits)
		m->act(m);
	return 0;
}

static void image(struct m *m, const struct env_profile *p)
{
	struct dsuper sb;
	struct emu_img *img;
	uint8_t raw[DSUPER_SIZE];

	memset(m, 0, sizeof(*m));
	bug_image_of(&m->b, p, "16M");
	m->hooks = (struct fs_hooks){ .sleep = wait_hook, .ctx = m };
	m->b.hooks = &m->hooks;
	assert_int_equal(emu_img_load(m->b.e.img, &img), 0);
	assert_int_equal(bdev_emu_open(img, &m->b.emu, &m->b.dev), 0);
	emu_img_free(img);
	assert_int_equal(bdev_emu_record(m->b.dev), 0);
	assert_int_equal(
			bdev_read(m->b.dev, DSUPER_OFF, raw, sizeof(raw), 0, 0),
			0);
	dsuper_decode(raw, &sb);
	assert_int_equal(geo_init(&m->geo, &sb, NULL), 0);
	m->pblk = sb.mmp_block;
}

static int try_mount(struct m *m)
{
	m->waits = 0;
	return bug_try_mount(&m->b);
}

static void mount_it(struct m *m)
{
	int ret = try_mount(m);

	if (ret < 0)
		fail_msg("mount: %d: %s", ret, m->b.e.log);
}

/* The device stays. */
static int unmount_it(struct m *m)
{
	struct uext4_fs *fs = m->b.e.fs;

	m->b.e.fs = NULL;
	return uext4_unmount(fs);
}

static void crash(struct m *m)
{
	fs_crash(m->b.e.fs);
	m->b.e.fs = NULL;
}

static void end(struct m *m, bool judge)
{
	bug_close(&m->b, judge);
}

static void log_has(struct m *m, const char *text)
{
	if (!strstr(m->b.e.log, text))
		fail_msg("\"%s\" is not in: %s", text, m->b.e.log);
}

static uint64_t writes(struct m *m)
{
	return bug_count(&m->b, BDEV_WRITE) + bug_count(&m->b, BDEV_ZERO) +
			bug_count(&m->b, BDEV_DISCARD);
}

#define FOR_EACH_KIND(m)                                                       \
 for (size_t kind = 0; kind < sizeof(profiles) / sizeof(profiles[0]) &&        \
		 (image(m, &profiles[kind]), true);                            \
		 kind++)

/* ---- taking it ---- */

static void a_clean_one_is_taken_at_once_and_given_back(void **state)
{
	struct utsname u;
	struct dmmp d;
	struct m m;

	assert_int_equal(uname(&u), 0);
	FOR_EACH_KIND(&m)
	{
		mount_it(&m);
		assert_int_equal(m.waits, 0);
		d = block_of(&m);
		assert_true(d.seq > 0 && d.seq < DMMP_SEQ_FSCK);
		assert_int_equal(d.time, m.b.now.tv_sec);
		assert_int_equal(d.check_interval, 2 * UPDATE);
		assert_string_equal(d.node, u.nodename);
		assert_string_equal(d.device, "uext4");
		assert_true(alloc_is_system(m.b.e.fs->alloc, m.pblk, 1));
		assert_int_equal(env_create(&m.b.e, "/f", 0644), 0);

		assert_int_equal(unmount_it(&m), 0);
		d = block_of(&m);
		assert_int_equal(d.seq, DMMP_SEQ_CLEAN);
		assert_int_equal(d.check_interval, UPDATE);
		assert_string_equal(m.b.e.log, "");
		end(&m, true);
	}
}

static void set_label(struct m *m)
{
	uint8_t raw[DSUPER_SIZE];
	struct dsuper sb;

	assert_int_equal(
			bdev_read(m->b.dev, DSUPER_OFF, raw, sizeof(raw), 0, 0),
			0);
	dsuper_decode(raw, &sb);
	(void)snprintf(sb.volume_name, sizeof(sb.volume_name), "new");
	dsuper_encode(&sb, raw);
	dsuper_csum_set(raw);
	assert_int_equal(bdev_write(m->b.dev, DSUPER_OFF, raw, sizeof(raw), 0,
					 0),
			0);
}

/* Whoever had it may have written between our look at the superblock and ours
 * at the block. */
static void nothing_read_before_is_believed(void **state)
{
	char label[17];
	struct m m;

	image(&m, &profiles[0]);
	m.act = set_label;
	mount_it(&m);
	assert_int_equal(uext4_get_label(m.b.e.fs, label), 0);
	assert_string_equal(label, "new");
	end(&m, true);
}

static void after_a_crash_it_waits_twice(void **state)
{
	uint32_t was;
	struct m m;

	FOR_EACH_KIND(&m)
	{
		mount_it(&m);
		assert_int_equal(env_create(&m.b.e, "/f", 0644), 0);
		assert_int_equal(uext4_sync(m.b.e.fs), 0);
		was = block_of(&m).seq;
		crash(&m);
		assert_int_equal(block_of(&m).seq, was);

		mount_it(&m);
		assert_int_equal(m.waits, 2);
		assert_int_equal(m.seconds, 2 * 10 + 1);
		assert_int_equal(m.at_wait[0].seq, was);
		assert_int_not_equal(m.at_wait[1].seq, was);
		assert_int_equal(block_of(&m).seq, m.at_wait[1].seq);
		log_has(&m, "waiting 42 s");
		assert_int_equal(env_exists(&m.b.e, "/f"), 0);
		end(&m, m.b.e.p->has & ENV_JOURNAL);
	}
}

/* The interval of who was there before counts, within limits. */
static void the_wait_goes_by_the_block(void **state)
{
	static const struct {
		uint16_t check;
		unsigned wait;
	} t[] = { { 0, 11 }, { 5, 11 }, { 10, 21 }, { 59, 119 }, { 120, 180 },
		{ 65535, 360 } };
	uint8_t raw[4096];
	struct dmmp d;
	struct m m;

	image(&m, &profiles[0]);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		d = block_of(&m);
		d.seq = 7;
		d.check_interval = t[i].check;
		raw_read(&m, raw);
		dmmp_encode(&m.geo, &d, raw);
		raw_write(&m, raw);
		mount_it(&m);
		assert_int_equal(m.waits, 2);
		assert_int_equal(m.seconds, t[i].wait);
		assert_int_equal(unmount_it(&m), 0);
	}
	end(&m, true);
}

static void who_moves_is_left_alone(void **state)
{
	uint32_t seq;
	uint64_t n;
	struct m m;

	for (unsigned at = 1; at <= 2; at++) {
		image(&m, &profiles[0]);
		foreign(&m, 41);
		m.act = foreign_counts;
		m.act_at = at;
		n = writes(&m);
		assert_int_equal(try_mount(&m), -EBUSY);
		assert_int_equal(m.waits, at);
		/* its own two, and ours before the second wait */
		assert_int_equal(writes(&m), n + 1 + (at == 2));
		seq = block_of(&m).seq;
		assert_int_equal(seq, m.at_wait[at - 1].seq + 1);
		log_has(&m, "in use");
		log_has(&m, "node other, device sdx, which wrote 3 s ago");
		end(&m, false);
	}
}

static void ends_clean(struct m *m)
{
	foreign(m, DMMP_SEQ_CLEAN);
}

static void e2fsck_begins(struct m *m)
{
	foreign(m, DMMP_SEQ_FSCK);
}

/* As the kernel: the next try will have it. */
static void any_change_is_a_sign_of_life(void **state)
{
	struct m m;

	image(&m, &profiles[0]);
	foreign(&m, 41);
	m.act_at = 1;
	m.act = ends_clean;
	assert_int_equal(try_mount(&m), -EBUSY);
	m.act = e2fsck_begins;
	foreign(&m, 41);
	assert_int_equal(try_mount(&m), -EBUSY);
	log_has(&m, "e2fsck is at work");
	assert_int_equal(block_of(&m).seq, DMMP_SEQ_FSCK);
	end(&m, false);
}

static void e2fsck_is_not_waited_for(void **state)
{
	uint64_t n;
	struct m m;

	image(&m, &profiles[0]);
	foreign(&m, DMMP_SEQ_FSCK);
	n = writes(&m);
	assert_int_equal(try_mount(&m), -EBUSY);
	assert_int_equal(m.waits, 0);
	assert_int_equal(writes(&m), n);
	log_has(&m, "e2fsck is at work on it: node other, device sdx");
	log_has(&m, "clear_mmp");
	end(&m, false);
}

static void a_damaged_block_is_refused(void **state)
{
	struct uext4_info info;
	uint8_t raw[4096];
	struct m m;

	image(&m, &profiles[0]);
	raw_read(&m, raw);
	raw[0x3fc] ^= 1;
	raw_write(&m, raw);
	assert_int_equal(try_mount(&m), -EBADMSG);
	log_has(&m, "its checksum does not match; run e2fsck");
	raw[0] ^= 1;
	raw_write(&m, raw);
	assert_int_equal(try_mount(&m), -EUCLEAN);
	log_has(&m, "no magic number");

	/* Reading goes on, as with a kernel. */
	m.b.opts.flags |= UEXT4_MNT_RDONLY;
	mount_it(&m);
	assert_int_equal(uext4_info(m.b.e.fs, &info), 0);
	assert_string_equal(info.rdonly_why, "");
	end(&m, false);
}

static void a_block_that_cannot_be_is_refused(void **state)
{
	static const uint64_t places[] = { 0, 1, 1 << 30 };
	uint8_t raw[DSUPER_SIZE];
	struct dsuper sb;
	struct m m;

	image(&m, &profiles[0]);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		assert_int_equal(bdev_read(m.b.dev, DSUPER_OFF, raw,
						 sizeof(raw), 0, 0),
				0);
		dsuper_decode(raw, &sb);
		sb.mmp_block = places[i];
		dsuper_encode(&sb, raw);
		dsuper_csum_set(raw);
		assert_int_equal(bdev_write(m.b.dev, DSUPER_OFF, raw,
						 sizeof(raw), 0, 0),
				0);
		assert_int_equal(try_mount(&m), -EUCLEAN);
	}
	end(&m, false);
}

static bool at_once(void *ctx)
{
	++*(unsigned *)ctx;
	return true;
}

static void waiting_can_be_given_up(void **state)
{
	unsigned asked = 0;
	uint64_t n;
	struct m m;

	image(&m, &profiles[0]);
	foreign(&m, 41);
	n = writes(&m);
	m.b.hooks = NULL;
	m.b.opts.cancel = at_once;
	m.b.opts.cancel_ctx = &asked;
	assert_int_equal(try_mount(&m), -EINTR);
	assert_int_equal(asked, 1);
	assert_int_equal(writes(&m), n);
	end(&m, false);
}

/* Nobody is shut out by a mount that did not come to be. */
static void a_mount_that_fails_gives_it_back(void **state)
{
	const struct emu_fault fault = {
		.ops = EMU_OP(BDEV_WRITE),
		.tags = 1u << BDEV_TAG_SUPERBLOCK,
		.err = -EIO,
	};
	struct m m;

	image(&m, &profiles[0]);
	assert_int_equal(bdev_emu_fault_add(m.b.dev, &fault), 0);
	assert_int_equal(try_mount(&m), -EIO);
	bdev_emu_fault_clear(m.b.dev);
	assert_int_equal(block_of(&m).seq, DMMP_SEQ_CLEAN);
	mount_it(&m);
	assert_int_equal(m.waits, 0);
	end(&m, true);
}

static void readers_only_look(void **state)
{
	uint64_t n;
	struct m m;

	image(&m, &profiles[0]);
	n = writes(&m);
	m.b.opts.flags |= UEXT4_MNT_RDONLY;
	mount_it(&m);
	assert_string_equal(m.b.e.log, "");
	assert_int_equal(unmount_it(&m), 0);
	assert_int_equal(writes(&m), n);

	foreign(&m, DMMP_SEQ_FSCK);
	n = writes(&m);
	mount_it(&m);
	assert_int_equal(m.waits, 0);
	log_has(&m, "not unmounted, or in use: node other");
	assert_int_equal(unmount_it(&m), 0);
	m.b.opts.flags |= UEXT4_MNT_NOLOAD;
	mount_it(&m);
	assert_string_equal(m.b.e.log, "");
	assert_int_equal(unmount_it(&m), 0);
	assert_int_equal(writes(&m), n);
	end(&m, false);
}

/* ---- two at once ---- */

static void first_ticks(struct m *m)
{
	mmp_tick(m->b.e.fs);
}

static void a_second_mount_is_refused(void **state)
{
	struct uext4_fs *fs;
	struct m m;

	image(&m, &profiles[0]);
	mount_it(&m);
	m.act = first_ticks;
	m.act_at = 1;
	assert_int_equal(fs_mount_hooked(m.b.dev, false, &m.b.opts, &m.hooks,
					 &fs),
			-EBUSY);
	assert_int_equal(m.waits, 1);
	log_has(&m, "in use: mounted at node");
	assert_int_equal(env_create(&m.b.e, "/f", 0644), 0);
	assert_int_equal(unmount_it(&m), 0);
	end(&m, true);
}

static void another_takes_it(struct m *m)
{
	struct uext4_mount_opts o = m->b.opts;

	m->act = NULL;
	m->waits = 0;
	assert_int_equal(fs_mount_hooked(m->b.dev, false, &o, &m->hooks,
					 &m->b.e.fs),
			0);
	assert_int_equal(m->waits, 2);
}

/* Both find a dead one's sequence, and write theirs. */
static void of_two_that_wait_one_wins(void **state)
{
	struct uext4_fs *fs;
	struct m m;

	for (unsigned at = 1; at <= 2; at++) {
		image(&m, &profiles[0]);
		foreign(&m, 41);
		m.act = another_takes_it;
		m.act_at = at;
		assert_int_equal(fs_mount_hooked(m.b.dev, false, &m.b.opts,
						 &m.hooks, &fs),
				-EBUSY);
		assert_non_null(m.b.e.fs);
		mmp_tick(m.b.e.fs);
		assert_int_equal(env_create(&m.b.e, "/f", 0644), 0);
		assert_int_equal(unmount_it(&m), 0);
		end(&m, true);
	}
}

/* ---- keeping it ---- */

static void it_counts_by_itself(void **state)
{
	struct env_profile p = profiles[0];
	struct dmmp d;
	uint32_t seq;
	struct m m;

	p.mke2fs = "-t ext4 -b 4096 -O mmp -E mmp_update_interval=1";
	image(&m, &p);
	mount_it(&m);
	seq = block_of(&m).seq;
	usleep(1300000);
	d = block_of(&m);
	assert_int_equal(d.seq, seq % (DMMP_SEQ_FSCK - 1) + 1);
	assert_int_equal(d.check_interval, DMMP_CHECK_MIN);
	end(&m, true);
}

static void sequences_go_round(void **state)
{
	struct m m;

	image(&m, &profiles[0]);
	mount_it(&m);
	m.b.e.fs->mmp.mine.seq = DMMP_SEQ_FSCK - 1;
	foreign(&m, DMMP_SEQ_FSCK - 1);
	mmp_tick(m.b.e.fs);
	assert_int_equal(block_of(&m).seq, 1);
	end(&m, true);
}

static void who_is_late_asks_for_patience(void **state)
{
	struct m m;

	image(&m, &profiles[0]);
	mount_it(&m);
	m.b.e.fs->mmp.written_ns -= UINT64_C(18200000000);
	mmp_tick(m.b.e.fs);
	assert_int_equal(block_of(&m).check_interval, 36);
	mmp_tick(m.b.e.fs);
	assert_int_equal(block_of(&m).check_interval, 10);
	end(&m, true);
}

/* Mounted, with a committed transaction that is not home, and if @is_busy with a
 * running one and dirty pages. */
static struct uext4_file *busy_mount(struct m *m, bool is_busy)
{
	struct uext4_file *f;

	mount_it(m);
	f = env_open(&m->b.e, "/f", UEXT4_O_RDWR | UEXT4_O_CREAT);
	env_fill(f, 0, 10 * m->b.e.bs, 'o');
	assert_int_equal(uext4_sync(m->b.e.fs), 0);
	if (!is_busy)
		return f;
	env_fill(f, 5 * m->b.e.bs, 10 * m->b.e.bs, 'n');
	assert_int_equal(env_create(&m->b.e, "/g", 0644), 0);
	return f;
}

static void expect_silence(struct m *m, struct uext4_file *f, uint64_t n)
{
	int dead = m->b.opts.errors == UEXT4_ERRORS_SHUTDOWN ? -EIO : -EROFS;
	struct uext4_info info;
	char byte;

	assert_int_equal(uext4_pwrite(f, "x", 1, 0), dead);
	assert_int_equal(env_create(&m->b.e, "/h", 0644), dead);
	(void)!uext4_fsync(f);
	assert_int_equal(uext4_sync(m->b.e.fs), dead);
	/* What is read meanwhile may look like damage. */
	fs_error(m->b.e.fs, EUCLEAN, 0, "test", 1);
	assert_int_equal(uext4_pread(f, &byte, 1, 0), dead == -EIO ? -EIO : 1);
	assert_int_equal(uext4_info(m->b.e.fs, &info), 0);
	assert_true(info.rdonly);
	assert_non_null(strstr(info.rdonly_why, "mmp"));
	env_close(f);
	assert_true(unmount_it(m) < 0);
	assert_int_equal(writes(m), n);
}

static void whoever_takes_it_is_not_disturbed(void **state)
{
	static const enum uext4_errors policies[] = { UEXT4_ERRORS_RO,
		UEXT4_ERRORS_CONTINUE, UEXT4_ERRORS_SHUTDOWN };
	struct uext4_file *f;
	uint64_t n;
	struct m m;

	for (size_t i = 0; i < 6; i++) {
		FOR_EACH_KIND(&m)
		{
			m.b.opts.errors = policies[i / 2];
			f = busy_mount(&m, i % 2);
			foreign(&m, 77);
			n = writes(&m);
			mmp_tick(m.b.e.fs);
			log_has(&m, "another has taken it: node other");
			expect_silence(&m, f, n);
			assert_int_equal(block_of(&m).seq, 77);
			end(&m, false);
		}
	}
}

static void a_block_that_fails_ends_writing(void **state)
{
	struct emu_fault fault = { .err = -EIO, .len = 1 };
	struct uext4_file *f;
	uint64_t n;
	struct m m;

	for (unsigned op = BDEV_READ; op <= BDEV_WRITE; op++) {
		image(&m, &profiles[0]);
		f = busy_mount(&m, true);
		fault.ops = EMU_OP(op);
		fault.pos = m.pblk * m.b.e.bs;
		assert_int_equal(bdev_emu_fault_add(m.b.dev, &fault), 0);
		mmp_tick(m.b.e.fs);
		log_has(&m, "cannot be kept up");
		bdev_emu_fault_clear(m.b.dev);
		n = writes(&m);
		expect_silence(&m, f, n);
		end(&m, false);
	}
}

static int commit_something(struct m *m, struct uext4_file *f)
{
	return journal_sync(m->b.e.fs->journal);
}

static int write_pages(struct m *m, struct uext4_file *f)
{
	return fs_writeback_all(m->b.e.fs);
}

static int write_file(struct m *m, struct uext4_file *f)
{
	return (int)uext4_pwrite(f, "x", 1, 0);
}

/* MM3: the thread has not run either. */
static void standing_still(int (*write)(struct m *m, struct uext4_file *f))
{
	struct uext4_file *f;
	uint64_t n;
	struct m m;

	FOR_EACH_KIND(&m)
	{
		f = busy_mount(&m, true);
		atomic_store(&m.b.e.fs->mmp.due_ns, 0);
		assert_int_equal(uext4_sync(m.b.e.fs), 0);
		assert_int_equal(env_create(&m.b.e, "/i", 0644), 0);
		env_fill(f, 0, m.b.e.bs, 'p');

		atomic_store(&m.b.e.fs->mmp.due_ns, 0);
		foreign(&m, 77);
		n = writes(&m);
		assert_true(write(&m, f) < 0);
		expect_silence(&m, f, n);
		end(&m, false);
	}
}

static void after_standing_still_each_write_looks_first(void **state)
{
	standing_still(commit_something);
	standing_still(write_pages);
	standing_still(write_file);
}

/* ---- the end ---- */

static void a_shutdown_leaves_it(void **state)
{
	uint32_t seq;
	struct m m;

	image(&m, &profiles[0]);
	mount_it(&m);
	seq = block_of(&m).seq;
	assert_int_equal(uext4_shutdown(m.b.e.fs, UEXT4_SHUTDOWN_DEFAULT), 0);
	(void)!unmount_it(&m);
	assert_int_equal(block_of(&m).seq, seq);
	mount_it(&m);
	assert_int_equal(m.waits, 2);
	end(&m, true);
}

/* As by a kernel: it has written its last. */
static void after_an_error_it_is_given_back(void **state)
{
	struct m m;

	image(&m, &profiles[0]);
	m.b.opts.errors = UEXT4_ERRORS_RO;
	mount_it(&m);
	fs_error(m.b.e.fs, EUCLEAN, 0, "test", 1);
	mmp_tick(m.b.e.fs);
	assert_int_not_equal(block_of(&m).seq, DMMP_SEQ_CLEAN);
	(void)!unmount_it(&m);
	assert_int_equal(block_of(&m).seq, DMMP_SEQ_CLEAN);
	end(&m, false);
}

static void one_that_was_taken_is_not_called_clean(void **state)
{
	struct m m;

	image(&m, &profiles[0]);
	mount_it(&m);
	foreign(&m, 77);
	assert_int_equal(unmount_it(&m), -EBUSY);
	assert_int_equal(block_of(&m).seq, 77);
	end(&m, false);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_clean_one_is_taken_at_once_and_given_back),
		cmocka_unit_test(nothing_read_before_is_believed),
		cmocka_unit_test(after_a_crash_it_waits_twice),
		cmocka_unit_test(the_wait_goes_by_the_block),
		cmocka_unit_test(who_moves_is_left_alone),
		cmocka_unit_test(any_change_is_a_sign_of_life),
		cmocka_unit_test(e2fsck_is_not_waited_for),
		cmocka_unit_test(a_damaged_block_is_refused),
		cmocka_unit_test(a_block_that_cannot_be_is_refused),
		cmocka_unit_test(waiting_can_be_given_up),
		cmocka_unit_test(a_mount_that_fails_gives_it_back),
		cmocka_unit_test(readers_only_look),
		cmocka_unit_test(a_second_mount_is_refused),
		cmocka_unit_test(of_two_that_wait_one_wins),
		cmocka_unit_test(it_counts_by_itself),
		cmocka_unit_test(sequences_go_round),
		cmocka_unit_test(who_is_late_asks_for_patience),
		cmocka_unit_test(whoever_takes_it_is_not_disturbed),
		cmocka_unit_test(a_block_that_fails_ends_writing),
		cmocka_unit_test(after_standing_still_each_write_looks_first),
		cmocka_unit_test(a_shutdown_leaves_it),
		cmocka_unit_test(after_an_error_it_is_given_back),
		cmocka_unit_test(one_that_was_taken_is_not_called_clean),
	};

	if (!env_tools())
		return 77;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
