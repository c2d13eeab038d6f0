/* SPDX-License-Identifier: MIT */
/*
 * What is asked of direct writes that extend a file side by side: the same
 * result in every order of completion, nobody waits for anybody, no byte is
 * lost where blocks are shared, and nothing fails for lack of space once it was
 * accepted. The test device of hold.h lets requests end in the order that a
 * test wants. Power cuts in the middle are in tests/power.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "alloc/alloc.h"
#include "hold.h"
#include "inode/inode.h"

#define BS 4096u

static const struct hold_opts all_ways[] = {
	{ .alloc = UEXT4_DIO_ALLOC_DATAFIRST, .size = UEXT4_DIO_SIZE_MAX },
	{ .alloc = UEXT4_DIO_ALLOC_DATAFIRST, .size = UEXT4_DIO_SIZE_PREFIX },
	{ .alloc = UEXT4_DIO_ALLOC_UNWRITTEN, .size = UEXT4_DIO_SIZE_MAX },
	{ .alloc = UEXT4_DIO_ALLOC_UNWRITTEN, .size = UEXT4_DIO_SIZE_PREFIX },
};
#define NWAYS (sizeof(all_ways) / sizeof(all_ways[0]))

static void results_clear(int64_t *res, int n)
{
	for (int i = 0; i < n; i++)
		res[i] = HOLD_NONE;
}

/* ---- 1: every order of completion ---- */

#define ORDER_MAX 5

struct order {
	int n;
	int at[ORDER_MAX]; /* who ends first, second ... */
	unsigned fails;    /* bit i: the data of append i fails */
	bool together;     /* all end before anybody looks */
};

/* The next of all orders; false: that was the last. */
static bool order_next(struct order *o)
{
	int i = o->n - 2;
	int k = o->n - 1;
	int t;

	while (i >= 0 && o->at[i] > o->at[i + 1])
		i--;
	if (i < 0)
		return false;
	while (o->at[k] < o->at[i])
		k--;
	t = o->at[i];
	o->at[i] = o->at[k];
	o->at[k] = t;
	for (int a = i + 1, z = o->n - 1; a < z; a++, z--) {
		t = o->at[a];
		o->at[a] = o->at[z];
		o->at[z] = t;
	}
	return true;
}

/* Which of the appends have to be over when the data of @done is? */
static unsigned order_over(const struct order *o, unsigned done, bool prefix)
{
	unsigned over = 0;

	if (!prefix)
		return done;
	for (int i = 0; i < o->n && (done & 1u << i); i++)
		over |= 1u << i;
	return over;
}

static void order_expect(const struct order *o, struct uext4_file *f,
		const int64_t *res, unsigned over)
{
	uint64_t size = 0;

	for (int i = 0; i < o->n; i++) {
		bool fails = (o->fails & 1u << i) != 0;

		if (!(over & 1u << i)) {
			assert_true(res[i] == HOLD_NONE);
			continue;
		}
		assert_int_equal(res[i], fails ? -EIO : (int64_t)BS);
		if (!fails)
			size = (uint64_t)(i + 1) * BS;
	}
	assert_int_equal(inode_size(f->inode), size);
	assert_int_equal(inode_dsize(f->inode), size);
}

static void order_expect_contents(const struct order *o, struct uext4_file *f)
{
	for (int i = 0; i < o->n; i++) {
		uint64_t pos = (uint64_t)i * BS;

		if (pos < inode_size(f->inode))
			env_expect(f, pos, BS,
					o->fails & 1u << i ? 0 : 'A' + i);
	}
}

static void order_run(struct hold *r, struct uext4_queue *q,
		const struct order *o, bool prefix)
{
	struct uext4_file *f =
			env_open(&r->b.e, "/f", HOLD_DIRECT | UEXT4_O_APPEND);
	int64_t res[ORDER_MAX];
	unsigned done = 0;

	results_clear(res, ORDER_MAX);
	hold_next(r, o->n);
	for (int i = 0; i < o->n; i++)
		hold_write(q, f, 0, BS, 'A' + i, 0, (unsigned)i);
	assert_int_equal(hold_count(r), o->n);
	assert_int_equal(hold_events(q, 0, res), 0);
	for (int i = 0; i < o->n; i++) {
		int who = o->at[i];

		hold_end(r, who, o->fails & 1u << who ? -EIO : 0);
		done |= 1u << who;
		if (o->together && i + 1 < o->n)
			continue;
		(void)hold_events(q, 0, res);
		order_expect(o, f, res, order_over(o, done, prefix));
	}
	assert_int_equal(uext4_queue_pending(q), 0);
	order_expect_contents(o, f);
	env_close(f);
	assert_int_equal(env_unlink(&r->b.e, "/f"), 0);
}

static void orders_of(const struct hold_opts *way)
{
	bool prefix = way->size == UEXT4_DIO_SIZE_PREFIX;
	struct order o = { .n = 5, .at = { 0, 1, 2, 3, 4 } };
	struct uext4_queue *q;
	struct hold r;

	hold_open(&r, "ext4-4k-full", NULL, way);
	q = hold_queue(&r, ORDER_MAX);
	do {
		order_run(&r, q, &o, prefix);
	} while (order_next(&o));
	o.n = 4;
	for (o.fails = 0; o.fails < 16; o.fails++) {
		for (int i = 0; i < o.n; i++)
			o.at[i] = i;
		do {
			o.together = false;
			order_run(&r, q, &o, prefix);
			o.together = true;
			order_run(&r, q, &o, prefix);
		} while (order_next(&o));
	}
	uext4_queue_close(q);
	hold_close(&r, true);
}

static void completions_in_any_order_have_one_result(void **state)
{
	for (unsigned i = 0; i < NWAYS; i++)
		orders_of(&all_ways[i]);
}

/* ---- 3: nobody waits for another's data ---- */

static void an_append_ends_while_an_earlier_one_is_in_flight(void **state)
{
	for (unsigned i = 0; i < NWAYS; i++) {
		struct hold_call a;
		struct uext4_file *f;
		struct hold r;

		if (all_ways[i].size != UEXT4_DIO_SIZE_MAX)
			continue;
		hold_open(&r, "ext4-4k-full", NULL, &all_ways[i]);
		f = env_open(&r.b.e, "/f", HOLD_DIRECT | UEXT4_O_APPEND);
		hold_next(&r, 1);
		hold_call_write(&a, f, 0, BS, 'A', 0);
		hold_wait(&r, 1);
		env_fill(f, 0, BS, 'B'); /* it returns */
		assert_int_equal(atomic_load(&a.done), 0);
		assert_int_equal(env_size(f), 2 * BS);
		env_expect(f, 0, BS, 0);
		env_expect(f, BS, BS, 'B');
		hold_end(&r, 0, 0);
		assert_int_equal(hold_call_join(&a), BS);
		env_expect(f, 0, BS, 'A');
		assert_int_equal(env_size(f), 2 * BS);
		env_close(f);
		hold_close(&r, true);
	}
}

static void in_serial_mode_the_second_append_waits(void **state)
{
	const struct hold_opts serial = { .extend = UEXT4_DIO_EXTEND_SERIAL };
	struct hold_call a, b;
	struct uext4_file *f;
	struct hold r;

	hold_open(&r, "ext4-4k-full", NULL, &serial);
	f = env_open(&r.b.e, "/f", HOLD_DIRECT | UEXT4_O_APPEND);
	hold_next(&r, 1);
	hold_call_write(&a, f, 0, BS, 'A', 0);
	hold_wait(&r, 1);
	hold_call_write(&b, f, 0, BS, 'B', 0);
	hold_wait_contended(f);
	assert_int_equal(atomic_load(&b.done), 0);
	assert_int_equal(env_size(f), 0);
	hold_end(&r, 0, 0);
	assert_int_equal(hold_call_join(&a), BS);
	assert_int_equal(hold_call_join(&b), BS);
	env_expect(f, 0, BS, 'A');
	env_expect(f, BS, BS, 'B');
	env_close(f);
	hold_close(&r, true);
}

/* ---- 5: truncate ---- */

#define NFLIGHT 6

static void a_truncate_waits_for_all_appends(void **state)
{
	for (unsigned i = 0; i < NWAYS; i++) {
		struct uext4_file *f, *g, *cached;
		int64_t res[NFLIGHT];
		struct uext4_queue *q;
		struct hold_call t;
		struct hold r;

		hold_open(&r, "ext4-4k-full", NULL, &all_ways[i]);
		f = env_open(&r.b.e, "/f", HOLD_DIRECT);
		g = env_open(&r.b.e, "/g", HOLD_DIRECT);
		cached = env_open(&r.b.e, "/f", HOLD_RW);
		q = hold_queue(&r, NFLIGHT);
		results_clear(res, NFLIGHT);
		hold_next(&r, NFLIGHT);
		for (unsigned k = 0; k < NFLIGHT; k++)
			hold_write(q, f, 0, BS, 'A' + (int)k, UEXT4_RW_APPEND,
					k);
		hold_call_truncate(&t, f, 100);
		while (atomic_load(&f->inode->file.dio_waiters) == 0)
			usleep(200);
		for (int k = NFLIGHT - 1; k >= 0; k--) {
			assert_int_equal(atomic_load(&t.done), 0);
			hold_end(&r, k, k == 2 ? -EIO : 0);
		}
		/* It does for itself what the owner of the queue does not. */
		assert_int_equal(hold_call_join(&t), 0);
		assert_int_equal(env_size(f), 100);
		assert_true(hold_next_block(f, 100) == UINT64_MAX);
		env_fill(g, 0, 64 * BS, 'g');
		assert_int_equal(hold_events(q, 0, res), NFLIGHT);
		for (int k = 0; k < NFLIGHT; k++)
			assert_int_equal(res[k], k == 2 ? -EIO : (int64_t)BS);
		env_expect(g, 0, 64 * BS, 'g');
		env_expect(cached, 0, 100, 'A');
		assert_int_equal(uext4_ftruncate(f, BS), 0);
		env_expect(cached, 100, BS - 100, 0);
		uext4_queue_close(q);
		env_close(f);
		env_close(g);
		env_close(cached);
		hold_close(&r, true);
	}
}

/* ---- 6: appends of many threads ---- */

#define NTHREADS 6
#define NRECORDS 40
#define RECORD   1536u /* shares blocks with its neighbours */

struct appender {
	pthread_t thread;
	struct uext4_fs *fs;
	struct uext4_file *file;
	int who;
	bool by_queue;
};

/* Thread and number, and then the thread all over. */
static void record_fill(uint8_t *buf, int who, int i)
{
	memset(buf, 'a' + who, RECORD);
	buf[1] = (uint8_t)i;
}

static void append_by_queue(struct appender *a)
{
	struct uext4_queue_opts o = { .size = sizeof(o),
		.depth = 8,
		.backend = a->who % 4 < 2 ? UEXT4_QUEUE_POOL
					  : UEXT4_QUEUE_INLINE };
	uint8_t *buf = env_alloc(NRECORDS * 2 * 1024, 0);
	struct uext4_queue *q;
	struct uext4_event ev;

	assert_int_equal(uext4_queue_open(a->fs, &o, &q), 0);
	for (int i = 0; i < NRECORDS; i++) {
		uint8_t *rec = buf + (size_t)i * 2048;
		struct uext4_sqe sqe = {
			.op = UEXT4_OP_WRITE,
			.flags = UEXT4_RW_APPEND,
			.file = a->file,
			.buf = rec,
			.len = RECORD,
		};

		record_fill(rec, a->who, i);
		while (uext4_queue_prep(q, &sqe) == -EAGAIN) {
			assert_int_equal(uext4_queue_wait(q, 1, -1, &ev, 1), 1);
			assert_int_equal(ev.result, RECORD);
		}
		assert_int_equal(uext4_queue_submit(q), 1);
	}
	while (uext4_queue_pending(q) > 0) {
		assert_int_equal(uext4_queue_wait(q, 1, -1, &ev, 1), 1);
		assert_int_equal(ev.result, RECORD);
	}
	uext4_queue_close(q);
	free(buf);
}

static void *appender_main(void *arg)
{
	struct appender *a = arg;
	uint8_t *buf;

	if (a->by_queue) {
		append_by_queue(a);
		return NULL;
	}
	buf = env_alloc(RECORD, 0);
	for (int i = 0; i < NRECORDS; i++) {
		struct iovec iov = { buf, RECORD };

		record_fill(buf, a->who, i);
		assert_int_equal(uext4_pwritev2(a->file, &iov, 1, 0,
						 UEXT4_RW_APPEND),
				RECORD);
	}
	free(buf);
	return NULL;
}

static void expect_records(struct uext4_file *f, int nthreads)
{
	size_t len = (size_t)nthreads * NRECORDS * RECORD;
	bool seen[NTHREADS][NRECORDS] = { { false } };
	uint8_t *all = env_alloc(len, 0);

	assert_int_equal(env_size(f), len);
	assert_int_equal(uext4_pread(f, all, len, 0), len);
	for (size_t at = 0; at < len; at += RECORD) {
		int who = all[at] - 'a';
		int i = all[at + 1];

		assert_in_range(who, 0, nthreads - 1);
		assert_in_range(i, 0, NRECORDS - 1);
		assert_false(seen[who][i]);
		seen[who][i] = true;
		for (size_t k = 2; k < RECORD; k++)
			assert_int_equal(all[at + k], 'a' + who);
	}
	free(all);
}

static void appends_are_a_permutation_of_the_records(void **state)
{
	for (unsigned way = 0; way < NWAYS; way++) {
		struct appender a[NTHREADS];
		struct uext4_file *direct, *cached;
		struct hold r;

		hold_open(&r, "ext4-4k-full", NULL, &all_ways[way]);
		direct = env_open(&r.b.e, "/f", HOLD_DIRECT);
		cached = env_open(&r.b.e, "/f", HOLD_RW);
		for (int i = 0; i < NTHREADS; i++) {
			a[i] = (struct appender){
				.fs = r.b.e.fs,
				.file = i == NTHREADS - 1 ? cached : direct,
				.who = i,
				.by_queue = i < NTHREADS - 2,
			};
			assert_int_equal(pthread_create(&a[i].thread, NULL,
							 appender_main, &a[i]),
					0);
		}
		for (int i = 0; i < NTHREADS; i++)
			pthread_join(a[i].thread, NULL);
		expect_records(cached, NTHREADS);
		env_close(direct);
		env_close(cached);
		hold_close(&r, true);
	}
}

/* ---- 7: claims ---- */

#define SECTOR 512u

static void note_waiters(void *ctx, uint64_t pos, const char *at)
{
	struct hold *r = ctx;

	if (strcmp(at, "claim_wait") == 0)
		atomic_fetch_or(&r->waiting, 1u << pos / SECTOR % 32);
}

/* Writers of one sector each arrive in an order: the first gets the block, the
 * others meet its claim. */
static void sectors_in_order(struct hold *r, const int *order, int n)
{
	struct uext4_file *f = env_open(&r->b.e, "/f", HOLD_DIRECT);
	struct hold_call c[8];

	atomic_store(&r->waiting, 0);
	hold_gate(f, note_waiters, r);
	hold_next(r, n);
	for (int i = 0; i < n; i++) {
		int who = order[i];

		hold_call_write(&c[who], f, (uint64_t)who * SECTOR, SECTOR,
				'A' + who, 0);
		if (i == 0)
			hold_wait(r, 1);
		while (i > 0 && !(atomic_load(&r->waiting) & 1u << who))
			usleep(100);
		assert_int_equal(hold_count(r), 1);
	}
	for (int i = 0; i < n; i++) {
		hold_wait(r, i + 1);
		assert_int_equal(hold_count(r), i + 1);
		hold_end(r, i, 0);
	}
	for (int i = 0; i < n; i++)
		assert_int_equal(hold_call_join(&c[i]), SECTOR);
	hold_gate(f, NULL, NULL);
	assert_int_equal(env_size(f), n * SECTOR);
	for (int i = 0; i < n; i++)
		env_expect(f, (uint64_t)i * SECTOR, SECTOR, 'A' + i);
	env_close(f);
	assert_int_equal(env_unlink(&r->b.e, "/f"), 0);
}

static void eight_writers_share_a_block_and_lose_nothing(void **state)
{
	static const int orders[][8] = {
		{ 0, 1, 2, 3, 4, 5, 6, 7 },
		{ 7, 6, 5, 4, 3, 2, 1, 0 },
		{ 3, 7, 0, 5, 1, 6, 2, 4 },
		{ 4, 0, 6, 2, 7, 1, 5, 3 },
	};
	unsigned seed = 12345;

	for (unsigned way = 0; way < NWAYS; way++) {
		struct hold r;
		int order[8];

		hold_open(&r, "ext4-4k-full", NULL, &all_ways[way]);
		for (unsigned i = 0; i < 4; i++)
			sectors_in_order(&r, orders[i], 8);
		for (int i = 0; i < 8; i++)
			order[i] = i;
		for (int k = 0; k < 6; k++) {
			for (int i = 7; i > 0; i--) {
				int z, t = order[i];

				seed = seed * 1103515245u + 12345u;
				z = (int)((seed >> 16) % (unsigned)(i + 1));
				order[i] = order[z];
				order[z] = t;
			}
			sectors_in_order(&r, order, 8);
		}
		hold_close(&r, true);
	}
}

/* A whole block and one sector of it, in a hole inside the file. Who comes
 * second waits, so his data is what is read where both wrote. */
static void block_and_sector(const struct hold_opts *way, bool block_first)
{
	struct hold_call first, second;
	struct uext4_file *f;
	struct hold r;

	hold_open(&r, "ext4-4k-full", NULL, way);
	f = env_open(&r.b.e, "/f", HOLD_DIRECT);
	assert_int_equal(uext4_ftruncate(f, 16 * BS), 0);
	hold_gate(f, note_waiters, &r);
	hold_next(&r, 2);
	hold_call_write(&first, f, BS + (block_first ? 0 : SECTOR),
			block_first ? BS : SECTOR, '1', 0);
	hold_wait(&r, 1);
	hold_call_write(&second, f, BS + (block_first ? SECTOR : 0),
			block_first ? SECTOR : BS, '2', 0);
	while (atomic_load(&r.waiting) == 0)
		usleep(100);
	assert_int_equal(hold_count(&r), 1);
	hold_end(&r, 0, 0);
	hold_wait(&r, 2);
	hold_end(&r, 1, 0);
	assert_int_equal(hold_call_join(&first), block_first ? BS : SECTOR);
	assert_int_equal(hold_call_join(&second), block_first ? SECTOR : BS);
	hold_gate(f, NULL, NULL);
	if (block_first) {
		env_expect(f, BS, SECTOR, '1');
		env_expect(f, BS + SECTOR, SECTOR, '2');
		env_expect(f, BS + 2 * SECTOR, BS - 2 * SECTOR, '1');
	} else {
		env_expect(f, BS, BS, '2');
	}
	env_expect(f, 0, BS, 0);
	env_expect(f, 2 * BS, BS, 0);
	env_close(f);
	hold_close(&r, true);
}

static void padding_never_falls_upon_a_whole_block(void **state)
{
	for (unsigned way = 0; way < NWAYS; way++) {
		block_and_sector(&all_ways[way], true);
		block_and_sector(&all_ways[way], false);
	}
}

/* ---- 9: space ---- */

#define FULL_BS   1024u
#define FULL_RUNS 400u /* unwritten extents: a tree with several leaves */
#define FULL_RUN  8u   /* blocks of each, and of the hole behind it */

/* Take all there is: then a node block cannot be had. */
static void take_all_space(struct hold *r)
{
	struct uext4_file *f = env_open(&r->b.e, "/all", HOLD_RW);
	struct alloc_stat st;
	uint64_t len = 4096;
	uint64_t pos = 0;

	while (len > 0) {
		if (uext4_fallocate(f, 0, pos * FULL_BS, len * FULL_BS) == 0)
			pos += len;
		else
			len /= 2;
	}
	assert_int_equal(uext4_sync(r->b.e.fs), 0);
	while (uext4_fallocate(f, 0, pos * FULL_BS, FULL_BS) == 0)
		pos++;
	alloc_stat(r->b.e.fs->alloc, &st);
	assert_int_equal(st.avail_blocks, 0);
	env_close(f);
}

static struct uext4_file *make_many_runs(struct hold *r)
{
	struct uext4_file *f = env_open(&r->b.e, "/f", HOLD_DIRECT);

	for (uint64_t i = 0; i < FULL_RUNS; i++)
		assert_int_equal(uext4_fallocate(f, 0,
						 i * 2 * FULL_RUN * FULL_BS,
						 FULL_RUN * FULL_BS),
				0);
	return f;
}

static uint64_t run_middle(uint64_t i)
{
	return (i * 2 * FULL_RUN + FULL_RUN / 2) * FULL_BS;
}

/* The first @n runs hold one block of data in their middle. */
static void expect_middles(struct uext4_file *f, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t mid = run_middle(i);
		uint32_t half = FULL_RUN / 2 * FULL_BS;

		env_expect(f, mid - half, half, 0);
		env_expect(f, mid, FULL_BS, 'w');
		env_expect(f, mid + FULL_BS, half - FULL_BS, 0);
	}
}

static void promised_blocks_can_be_written_when_nothing_is_free(void **state)
{
	for (unsigned way = 0; way < NWAYS; way += 2) {
		struct hold_opts opts = all_ways[way];
		struct uext4_file *f;
		struct hold r;

		opts.tune = "-m 0";
		opts.poison = true;
		hold_open(&r, "ext4-1k-full", "24M", &opts);
		f = make_many_runs(&r);
		take_all_space(&r);
		/* In the middle of each run: two more extents every time. */
		for (uint64_t i = 0; i < FULL_RUNS; i++)
			env_fill(f, run_middle(i), FULL_BS, 'w');
		expect_middles(f, FULL_RUNS);
		env_close(f);
		hold_close(&r, true);
	}
}

/* Somebody takes the last block while writes are in flight that will need nodes,
 * or have blocks reserved: theirs are theirs. */
static void what_was_accepted_does_not_meet_a_full_device(void **state)
{
	for (unsigned way = 0; way < NWAYS; way += 2) {
		struct hold_opts opts = all_ways[way];
		int64_t res[HOLD_MAX];
		struct uext4_queue *q;
		struct uext4_file *f;
		struct hold r;

		opts.tune = "-m 0";
		hold_open(&r, "ext4-1k-full", "24M", &opts);
		f = make_many_runs(&r);
		q = hold_queue(&r, HOLD_MAX);
		hold_next(&r, HOLD_MAX);
		results_clear(res, HOLD_MAX);
		/* Middles of runs, and every second time a hole. */
		for (unsigned i = 0; i < HOLD_MAX; i++)
			hold_write(q, f,
					run_middle(i / 2) +
							(i & 1 ? FULL_RUN * FULL_BS
							       : 0),
					FULL_BS, 'w', 0, i);
		assert_int_equal(hold_count(&r), HOLD_MAX);
		take_all_space(&r);
		for (int i = HOLD_MAX - 1; i >= 0; i--)
			hold_end(&r, i, 0);
		assert_int_equal(hold_events(q, HOLD_MAX, res), HOLD_MAX);
		for (int i = 0; i < HOLD_MAX; i++)
			assert_int_equal(res[i], FULL_BS);
		expect_middles(f, HOLD_MAX / 2);
		uext4_queue_close(q);
		env_close(f);
		hold_close(&r, true);
	}
}

/* Appends into blocks promised behind the end go on in one extent after the other,
 * and never need a node: on a full device too, without a byte of zeroes. */
static void a_file_grows_into_its_promised_blocks_on_a_full_device(void **state)
{
	for (unsigned way = 0; way < NWAYS; way += 2) {
		struct hold_opts opts = all_ways[way];
		struct bdev_emu_stats before, after;
		struct uext4_file *f;
		struct hold r;

		opts.tune = "-m 0";
		opts.poison = true;
		hold_open(&r, "ext4-1k-full", "24M", &opts);
		f = env_open(&r.b.e, "/f", HOLD_DIRECT);
		assert_int_equal(uext4_fallocate(f, UEXT4_FALLOC_KEEP_SIZE, 0,
						 64 * FULL_BS),
				0);
		take_all_space(&r);
		bdev_emu_stats(r.b.dev, &before);
		for (uint64_t i = 0; i < 64; i++)
			env_fill(f, i * FULL_BS, FULL_BS, 'a' + (int)i % 26);
		bdev_emu_stats(r.b.dev, &after);
		assert_int_equal(after.ops[BDEV_ZERO], before.ops[BDEV_ZERO]);
		for (uint64_t i = 0; i < 64; i++)
			env_expect(f, i * FULL_BS, FULL_BS, 'a' + (int)i % 26);
		env_close(f);
		hold_close(&r, true);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(completions_in_any_order_have_one_result),
		cmocka_unit_test(
				an_append_ends_while_an_earlier_one_is_in_flight),
		cmocka_unit_test(in_serial_mode_the_second_append_waits),
		cmocka_unit_test(a_truncate_waits_for_all_appends),
		cmocka_unit_test(appends_are_a_permutation_of_the_records),
		cmocka_unit_test(eight_writers_share_a_block_and_lose_nothing),
		cmocka_unit_test(padding_never_falls_upon_a_whole_block),
		cmocka_unit_test(
				promised_blocks_can_be_written_when_nothing_is_free),
		cmocka_unit_test(what_was_accepted_does_not_meet_a_full_device),
		cmocka_unit_test(
				a_file_grows_into_its_promised_blocks_on_a_full_device),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests_name("dio accept", tests, NULL, NULL);
}
