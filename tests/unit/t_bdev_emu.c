/* SPDX-License-Identifier: MIT */
/*
 * The emulator: forkable images, the log and rule E1, power cuts, faults, the
 * gate. What it records is checked again by t_explore.c.
 */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bdev/bdev_emu.h"

#define SIZE (64u << 10)

static struct bdev *dev_open(uint32_t flags, uint32_t sector)
{
	struct bdev_emu_opts opts = { .flags = flags, .sector = sector };
	struct emu_img *img;
	struct bdev *dev;

	assert_int_equal(emu_img_new(SIZE, &img), 0);
	assert_int_equal(bdev_emu_open(img, &opts, &dev), 0);
	emu_img_free(img);
	assert_int_equal(bdev_emu_record(dev), 0);
	return dev;
}

static void put(struct bdev *dev, uint64_t pos, size_t len, int c, uint32_t f)
{
	uint8_t buf[16384];

	memset(buf, c, len);
	assert_int_equal(bdev_write(dev, pos, buf, len, f, BDEV_TAG_DATA), 0);
}

static int first_byte(const struct emu_img *img, uint64_t pos)
{
	uint8_t c;

	emu_img_read(img, pos, &c, 1);
	return c;
}

/* ---- images ---- */

static void images_match_a_plain_array(void **state)
{
	uint64_t size = (40u << 20) + 512; /* three levels, a partial page */
	uint8_t *model = calloc(1, size);
	uint8_t *buf = malloc(20000);
	struct emu_img *img;
	unsigned int seed = 3;
	uint8_t *back;
	int i;

	assert_int_equal(emu_img_new(size, &img), 0);
	for (i = 0; i < 500; i++) {
		uint64_t pos = ((uint64_t)rand_r(&seed) * 7919) % size;
		uint64_t len = min_u64(
				(uint64_t)rand_r(&seed) % 20000, size - pos);

		if (i % 3 == 0) {
			memset(model + pos, 0, len);
			assert_int_equal(emu_img_zero(img, pos, len), 0);
			continue;
		}
		memset(buf, i, len);
		memcpy(model + pos, buf, len);
		assert_int_equal(emu_img_write(img, pos, buf, len), 0);
	}
	back = malloc(size);
	emu_img_read(img, 0, back, size);
	assert_memory_equal(back, model, size);
	emu_img_free(img);
	free(back);
	free(buf);
	free(model);
}

static int count_pages(void *ctx, uint64_t idx, const struct emu_page *a,
		const struct emu_page *b)
{
	++*(int *)ctx;
	return 0;
}

static void fork_shares_all_but_what_changed(void **state)
{
	struct emu_img *a;
	struct emu_img *b;
	int n = 0;

	assert_int_equal(emu_img_new(32 << 20, &a), 0);
	assert_int_equal(emu_img_write(a, 5 << 20, "first", 5), 0);
	assert_int_equal(emu_img_write(a, 6 << 20, "other", 5), 0);
	assert_int_equal(emu_img_fork(a, &b), 0);
	assert_true(emu_img_is_equal(a, b));
	assert_int_equal(emu_img_write(b, 5 << 20, "F", 1), 0);
	assert_int_equal(emu_img_write(a, 20 << 20, "A", 1), 0);
	assert_int_equal(first_byte(a, 5 << 20), 'f');
	assert_int_equal(first_byte(b, 5 << 20), 'F');
	assert_int_equal(first_byte(b, 20 << 20), 0);
	assert_int_equal(emu_img_diff(a, b, count_pages, &n), 0);
	assert_int_equal(n, 2);
	assert_false(emu_img_is_equal(a, b));
	emu_img_free(a);
	assert_int_equal(first_byte(b, 6 << 20), 'o');
	emu_img_free(b);
}

static void images_go_to_files_and_back(void **state)
{
	char path[] = "/tmp/t_bdev_emu.XXXXXX";
	struct emu_img *a;
	struct emu_img *b;
	struct emu_img *c;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(emu_img_new(1 << 20, &a), 0);
	assert_int_equal(emu_img_write(a, 300000, "hello", 5), 0);
	assert_int_equal(emu_img_save(a, path), 0);
	assert_int_equal(emu_img_load(path, &b), 0);
	assert_true(emu_img_is_equal(a, b));
	assert_int_equal(emu_img_fork(a, &c), 0);
	assert_int_equal(emu_img_zero(c, 299008, 4096), 0);
	assert_int_equal(emu_img_write(c, 1, "x", 1), 0);
	assert_int_equal(emu_img_update(c, a, fd), 0);
	emu_img_free(b);
	assert_int_equal(emu_img_load(path, &b), 0);
	assert_true(emu_img_is_equal(c, b));
	emu_img_free(a);
	emu_img_free(b);
	emu_img_free(c);
	close(fd);
	unlink(path);
	assert_int_equal(emu_img_load(path, &a), -ENOENT);
}

/* ---- the log and E1 ---- */

static bool keep_all(void *ctx, const struct emu_ent *ent, uint32_t i)
{
	return true;
}

static bool keep_even(void *ctx, const struct emu_ent *ent, uint32_t i)
{
	return i % 2 == 0;
}

static void log_tells_all(void **state)
{
	struct bdev *dev = dev_open(0, 512);
	struct emu_img *base;
	struct emu_log *log;

	bdev_emu_mark(dev, EMU_MARK_OP_BEGIN, 7, 0);
	put(dev, 1000, 100, 'a', 0); /* sector 1 and 2, in parts (E4) */
	assert_int_equal(bdev_flush(dev, 0), 0);
	put(dev, 4096, 8192, 'b', BDEV_F_FUA);
	assert_int_equal(bdev_discard(dev, 100, 2000, 0), 0);
	bdev_emu_mark(dev, EMU_MARK_ACK_DURABLE, 7, 42);
	assert_int_equal(bdev_emu_take_log(dev, &base, &log), 0);
	assert_int_equal(bdev_emu_take_log(dev, &base, &log), -ENOENT);

	assert_int_equal(log->n, 6);
	assert_int_equal(log->ents[0]->kind, EMU_MARK);
	assert_int_equal(log->ents[1]->kind, EMU_WRITE);
	assert_int_equal(log->ents[1]->pos, 512);
	assert_int_equal(log->ents[1]->len, 1024);
	assert_int_equal(log->ents[1]->segs[0].page->data[999], 0);
	assert_int_equal(log->ents[1]->segs[0].page->data[1000], 'a');
	assert_int_equal(log->ents[2]->kind, EMU_FLUSH);
	assert_true(log->ents[2]->t_submit > log->ents[1]->t_done);
	assert_int_equal(log->ents[3]->flags, BDEV_F_FUA);
	assert_int_equal(log->ents[3]->nsegs, 2);
	assert_int_equal(bdev_tag_kind(log->ents[3]->tag), BDEV_TAG_DATA);
	assert_int_equal(log->ents[4]->kind, EMU_DISCARD);
	assert_int_equal(log->ents[4]->pos, 512);
	assert_int_equal(log->ents[4]->len, 1536);
	assert_int_equal(log->ents[5]->mark_id, 7);
	assert_int_equal(log->ents[5]->mark_val, 42);
	emu_log_free(log);
	emu_img_free(base);
	assert_int_equal(bdev_close(dev), 0);
}

static void flush_and_fua_decide_what_is_durable(void **state)
{
	struct bdev *dev = dev_open(0, 512);
	struct emu_img *img;

	put(dev, 0, 512, 'a', 0);
	assert_int_equal(bdev_emu_durable_image(dev, &img), 0);
	assert_int_equal(first_byte(img, 0), 0);
	emu_img_free(img);
	assert_int_equal(bdev_flush(dev, 0), 0);
	put(dev, 0, 512, 'b', 0);
	put(dev, 512, 512, 'c', BDEV_F_FUA);
	assert_int_equal(bdev_emu_durable_image(dev, &img), 0);
	assert_int_equal(first_byte(img, 0), 'a');
	assert_int_equal(first_byte(img, 512), 'c');
	emu_img_free(img);
	assert_int_equal(bdev_emu_image(dev, &img), 0);
	assert_int_equal(first_byte(img, 0), 'b');
	emu_img_free(img);
	assert_int_equal(bdev_close(dev), 0);
}

static void any_choice_of_sectors_can_be_built(void **state)
{
	struct bdev *dev = dev_open(0, 512);
	struct emu_img *base;
	struct emu_img *img;
	struct emu_log *log;

	put(dev, 0, 4096, 'a', 0);
	put(dev, 2048, 4096, 'b', 0);
	assert_int_equal(bdev_emu_take_log(dev, &base, &log), 0);
	assert_int_equal(emu_log_build(log, base, log->clock, keep_even, NULL,
					 &img),
			0);
	assert_int_equal(first_byte(img, 0), 'a');
	assert_int_equal(first_byte(img, 512), 0);
	assert_int_equal(first_byte(img, 2048), 'b');
	assert_int_equal(first_byte(img, 2560), 0);
	assert_int_equal(first_byte(img, 5120), 'b');
	emu_img_free(img);
	/* Between the two writes the second is unknown. */
	assert_int_equal(emu_log_build(log, base, log->ents[0]->t_done,
					 keep_all, NULL, &img),
			0);
	assert_int_equal(first_byte(img, 2048), 'a');
	assert_int_equal(first_byte(img, 4096), 0);
	emu_img_free(img);
	emu_img_free(base);
	emu_log_free(log);
	assert_int_equal(bdev_close(dev), 0);
}

static void fua_is_write_and_flush_where_there_is_none(void **state)
{
	struct bdev *dev = dev_open(BDEV_EMU_F_NO_FUA, 512);
	struct emu_img *base;
	struct emu_log *log;

	put(dev, 0, 512, 'a', BDEV_F_FUA);
	assert_int_equal(bdev_emu_take_log(dev, &base, &log), 0);
	assert_int_equal(log->n, 2);
	assert_int_equal(log->ents[0]->flags, 0);
	assert_int_equal(log->ents[1]->kind, EMU_FLUSH);
	assert_true(log->ents[1]->t_submit > log->ents[0]->t_done);
	emu_log_free(log);
	emu_img_free(base);
	assert_int_equal(bdev_close(dev), 0);
}

/* ---- power ---- */

static void cut_stops_everything(void **state)
{
	struct bdev *dev = dev_open(0, 512);
	struct emu_img *img;
	uint8_t buf[4096];

	put(dev, 0, 4096, 'a', 0);
	bdev_emu_cut_at(dev, 2, 3);
	put(dev, 4096, 4096, 'b', 0);
	assert_false(bdev_emu_is_cut(dev));
	memset(buf, 'c', sizeof(buf));
	assert_int_equal(bdev_write(dev, 8192, buf, 4096, 0, 0), -EIO);
	assert_true(bdev_emu_is_cut(dev));
	assert_int_equal(bdev_read(dev, 0, buf, 512, 0, 0), -EIO);
	assert_int_equal(bdev_flush(dev, 0), -EIO);
	assert_int_equal(bdev_emu_image(dev, &img), 0);
	assert_int_equal(first_byte(img, 4096), 'b');
	assert_int_equal(first_byte(img, 8192 + 1024), 'c');
	assert_int_equal(first_byte(img, 8192 + 1536), 0);
	emu_img_free(img);
	/* Nothing was flushed. */
	assert_int_equal(bdev_emu_durable_image(dev, &img), 0);
	assert_int_equal(first_byte(img, 0), 0);
	emu_img_free(img);
	assert_int_equal(bdev_close(dev), 0);
}

/* ---- faults ---- */

static void nth_request_fails(void **state)
{
	struct emu_fault once = {
		.ops = EMU_OP_CHANGING, .nth = 2, .count = 1, .err = -ENOSPC
	};
	struct emu_fault reads = {
		.ops = EMU_OP(BDEV_READ), .pos = 8192, .len = 512, .err = -EIO
	};
	struct bdev *dev = dev_open(0, 512);
	struct bdev_emu_stats stats;
	uint8_t buf[512] = "x";

	assert_int_equal(bdev_emu_fault_add(dev, &once), 0);
	assert_int_equal(bdev_emu_fault_add(dev, &reads), 0);
	assert_int_equal(bdev_write(dev, 0, buf, 512, 0, 0), 0);
	assert_int_equal(bdev_flush(dev, 0), 0);
	assert_int_equal(bdev_zero(dev, 0, 512, 0, 0), -ENOSPC);
	assert_int_equal(bdev_write(dev, 512, buf, 512, 0, 0), 0);
	assert_int_equal(bdev_read(dev, 0, buf, 512, 0, 0), 0);
	assert_int_equal(buf[0], 'x');
	assert_int_equal(bdev_read(dev, 8191, buf, 2, 0, 0), -EIO);
	assert_int_equal(bdev_read(dev, 8192 + 512, buf, 2, 0, 0), 0);
	bdev_emu_stats(dev, &stats);
	assert_int_equal(stats.ops[BDEV_WRITE], 2);
	assert_int_equal(stats.ops[BDEV_ZERO], 1);
	assert_int_equal(stats.faults, 2);
	bdev_emu_fault_clear(dev);
	assert_int_equal(bdev_read(dev, 8191, buf, 2, 0, 0), 0);
	assert_int_equal(bdev_close(dev), 0);
}

static void faults_choose_by_tag_for_ever(void **state)
{
	struct emu_fault commit = {
		.tags = 1u << BDEV_TAG_J_COMMIT, .nth = 2, .err = -EIO
	};
	struct bdev *dev = dev_open(0, 512);
	uint64_t tag = BDEV_TAG(BDEV_TAG_J_COMMIT, 9);
	int i;

	assert_int_equal(bdev_emu_fault_add(dev, &commit), 0);
	for (i = 0; i < 4; i++) {
		assert_int_equal(bdev_write(dev, 0, "a", 1, 0, BDEV_TAG_DATA),
				0);
		assert_int_equal(bdev_write(dev, 0, "a", 1, 0, tag),
				i < 1 ? 0 : -EIO);
	}
	assert_int_equal(bdev_close(dev), 0);
}

static void lost_write_is_acknowledged(void **state)
{
	struct emu_fault lost = { .ops = EMU_OP(BDEV_WRITE), .count = 1 };
	struct bdev *dev = dev_open(0, 512);
	struct emu_img *img;

	assert_int_equal(bdev_emu_fault_add(dev, &lost), 0);
	put(dev, 0, 512, 'a', 0);
	put(dev, 512, 512, 'b', 0);
	assert_int_equal(bdev_flush(dev, 0), 0);
	assert_int_equal(bdev_emu_durable_image(dev, &img), 0);
	assert_int_equal(first_byte(img, 0), 0);
	assert_int_equal(first_byte(img, 512), 'b');
	emu_img_free(img);
	assert_int_equal(bdev_close(dev), 0);
}

/* ---- the gate ---- */

struct gate {
	sem_t arrived;
	sem_t go;
};

static void gate_hold(void *ctx, const struct bdev_io *io)
{
	struct gate *g = ctx;

	if (io->op != BDEV_WRITE || io->pos != 0)
		return;
	sem_post(&g->arrived);
	sem_wait(&g->go);
}

static void *held_writer(void *arg)
{
	return (void *)(intptr_t)bdev_write(arg, 0, "held", 4, 0, 0);
}

/* A flush that passes a held write does not cover it. */
static void held_request_is_in_flight(void **state)
{
	struct bdev *dev = dev_open(0, 512);
	struct emu_img *img;
	pthread_t thread;
	struct gate g;
	void *ret;

	sem_init(&g.arrived, 0, 0);
	sem_init(&g.go, 0, 0);
	bdev_emu_set_gate(dev, gate_hold, &g);
	assert_int_equal(pthread_create(&thread, NULL, held_writer, dev), 0);
	sem_wait(&g.arrived);
	put(dev, 4096, 512, 'b', 0);
	assert_int_equal(bdev_flush(dev, 0), 0);
	sem_post(&g.go);
	pthread_join(thread, &ret);
	assert_ptr_equal(ret, NULL);
	assert_int_equal(bdev_emu_image(dev, &img), 0);
	assert_int_equal(first_byte(img, 0), 'h');
	emu_img_free(img);
	assert_int_equal(bdev_emu_durable_image(dev, &img), 0);
	assert_int_equal(first_byte(img, 0), 0);
	assert_int_equal(first_byte(img, 4096), 'b');
	emu_img_free(img);
	assert_int_equal(bdev_close(dev), 0);
}

static void held_request_dies_with_the_power(void **state)
{
	struct bdev *dev = dev_open(0, 512);
	struct emu_img *base;
	struct emu_log *log;
	pthread_t thread;
	struct gate g;
	void *ret;

	sem_init(&g.arrived, 0, 0);
	sem_init(&g.go, 0, 0);
	bdev_emu_set_gate(dev, gate_hold, &g);
	assert_int_equal(pthread_create(&thread, NULL, held_writer, dev), 0);
	sem_wait(&g.arrived);
	bdev_emu_cut(dev);
	sem_post(&g.go);
	pthread_join(thread, &ret);
	assert_int_equal((intptr_t)ret, -EIO);
	assert_int_equal(bdev_emu_take_log(dev, &base, &log), 0);
	assert_int_equal(log->n, 1);
	assert_true(log->ents[0]->t_done == EMU_NEVER);
	assert_false(log->ents[0]->is_void);
	emu_log_free(log);
	emu_img_free(base);
	assert_int_equal(bdev_close(dev), 0);
}

/* ---- the map ---- */

static bool keep_first(void *ctx, const struct emu_ent *ent, uint32_t i)
{
	return ent->seq == *(uint64_t *)ctx;
}

/* E5, V8: a store is a write that a flush makes durable, and may tear. */
static void stores_to_the_map_are_recorded(void **state)
{
	struct bdev *dev = dev_open(BDEV_EMU_F_MAP, 0);
	uint64_t first = 3;
	struct emu_img *base;
	struct emu_img *img;
	struct emu_log *log;
	uint8_t buf[512];
	void *addr;

	put(dev, 4096, 512, 'a', 0);
	assert_int_equal(bdev_flush(dev, 0), 0);
	assert_int_equal(bdev_map(dev, 4096, 512, &addr), 0);
	assert_memory_equal(addr, "aaaa", 4);
	put(dev, 4096 + 500, 4, 'b', 0);
	assert_memory_equal((uint8_t *)addr + 499, "abbbb", 5);

	memset((uint8_t *)addr + 10, 'c', 400);
	bdev_stored(dev, 4096 + 10, 400, BDEV_TAG_DATA);
	assert_int_equal(bdev_read(dev, 4096, buf, 512, 0, 0), 0);
	assert_memory_equal(buf, addr, 512);
	assert_int_equal(bdev_emu_durable_image(dev, &img), 0);
	assert_int_equal(first_byte(img, 4096 + 10), 'a');
	emu_img_free(img);
	assert_int_equal(bdev_flush(dev, 0), 0);
	assert_int_equal(bdev_emu_durable_image(dev, &img), 0);
	assert_int_equal(first_byte(img, 4096 + 409), 'c');
	emu_img_free(img);

	assert_int_equal(bdev_emu_take_log(dev, &base, &log), 0);
	assert_int_equal(log->n, 6); /* put, flush, put, store in two, flush */
	assert_int_equal(log->ents[3]->tag, BDEV_TAG_DATA);
	assert_int_equal(emu_log_build(log, base, log->ents[4]->t_done,
					 keep_first, &first, &img),
			0);
	assert_int_equal(first_byte(img, 4096 + 10), 'c');
	assert_int_equal(first_byte(img, 4096 + 191), 'c');
	assert_int_equal(first_byte(img, 4096 + 192), 'a');
	assert_int_equal(first_byte(img, 4096 + 409), 'a');
	emu_img_free(img);
	emu_log_free(log);
	emu_img_free(base);
	assert_int_equal(bdev_close(dev), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(images_match_a_plain_array),
		cmocka_unit_test(fork_shares_all_but_what_changed),
		cmocka_unit_test(images_go_to_files_and_back),
		cmocka_unit_test(log_tells_all),
		cmocka_unit_test(flush_and_fua_decide_what_is_durable),
		cmocka_unit_test(any_choice_of_sectors_can_be_built),
		cmocka_unit_test(fua_is_write_and_flush_where_there_is_none),
		cmocka_unit_test(cut_stops_everything),
		cmocka_unit_test(nth_request_fails),
		cmocka_unit_test(faults_choose_by_tag_for_ever),
		cmocka_unit_test(lost_write_is_acknowledged),
		cmocka_unit_test(held_request_is_in_flight),
		cmocka_unit_test(held_request_dies_with_the_power),
		cmocka_unit_test(stores_to_the_map_are_recorded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
