/* SPDX-License-Identifier: MIT */
/* The cursor over the caller's memory, against a flat copy of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/iter.h"

#define TOTAL 26

/* Segments of 0, 5, 0, 1, 12, 0, 8, 0 bytes: "a" to "z". */
struct mem {
	char text[TOTAL];
	struct iovec iov[8];
	struct iov_iter it;
};

static void mem_init(struct mem *m)
{
	static const size_t lens[8] = { 0, 5, 0, 1, 12, 0, 8, 0 };
	size_t at = 0;

	for (int i = 0; i < TOTAL; i++)
		m->text[i] = (char)('a' + i);
	for (int i = 0; i < 8; i++) {
		m->iov[i].iov_base = m->text + at;
		m->iov[i].iov_len = lens[i];
		at += lens[i];
	}
	assert_int_equal(at, TOTAL);
	iov_iter_init(&m->it, m->iov, 8);
}

static void copying_follows_the_segments(void **state)
{
	for (size_t skip = 0; skip <= TOTAL; skip++) {
		for (size_t n = 0; n <= TOTAL + 3; n++) {
			size_t want = n < TOTAL - skip ? n : TOTAL - skip;
			char got[TOTAL + 3] = { 0 };
			struct mem m;

			mem_init(&m);
			iov_iter_advance(&m.it, skip);
			assert_int_equal(m.it.count, TOTAL - skip);
			assert_int_equal(iov_iter_copy_from(&m.it, got, n),
					want);
			assert_memory_equal(got, m.text + skip, want);
			assert_int_equal(m.it.count, TOTAL - skip - want);
		}
	}
}

static void copying_in_and_zeroing_touch_only_their_bytes(void **state)
{
	for (size_t skip = 0; skip <= TOTAL; skip++) {
		char want[TOTAL];
		struct mem m;
		size_t n = TOTAL - skip < 7 ? TOTAL - skip : 7;

		mem_init(&m);
		memcpy(want, m.text, TOTAL);
		memcpy(want + skip, "1234567", n);
		iov_iter_advance(&m.it, skip);
		assert_int_equal(iov_iter_copy_to(&m.it, "1234567", 7), n);
		assert_memory_equal(m.text, want, TOTAL);

		mem_init(&m);
		memcpy(want, m.text, TOTAL);
		memset(want + skip, 0, n);
		iov_iter_advance(&m.it, skip);
		assert_int_equal(iov_iter_zero(&m.it, 7), n);
		assert_memory_equal(m.text, want, TOTAL);
	}
}

static void a_truncated_iterator_ends_early(void **state)
{
	char got[TOTAL];
	struct mem m;

	mem_init(&m);
	iov_iter_truncate(&m.it, 100);
	assert_int_equal(m.it.count, TOTAL);
	iov_iter_truncate(&m.it, 7);
	assert_int_equal(iov_iter_copy_from(&m.it, got, TOTAL), 7);
	assert_memory_equal(got, "abcdefg", 7);
	assert_int_equal(iov_iter_copy_from(&m.it, got, TOTAL), 0);
	iov_iter_advance(&m.it, 1);
	assert_int_equal(m.it.count, 0);
}

static void getting_iovecs_does_not_advance(void **state)
{
	struct iovec out[8];
	size_t bytes;
	struct mem m;

	mem_init(&m);
	iov_iter_advance(&m.it, 3);
	assert_int_equal(iov_iter_get(&m.it, 10, out, 8, &bytes), 3);
	assert_int_equal(bytes, 10);
	assert_ptr_equal(out[0].iov_base, m.text + 3);
	assert_int_equal(out[0].iov_len, 2);
	assert_int_equal(out[1].iov_len, 1);
	assert_int_equal(out[2].iov_len, 7);
	assert_int_equal(m.it.count, TOTAL - 3);

	assert_int_equal(iov_iter_get(&m.it, 10, out, 2, &bytes), 2);
	assert_int_equal(bytes, 3);
	assert_int_equal(iov_iter_get(&m.it, 1000, out, 8, &bytes), 4);
	assert_int_equal(bytes, TOTAL - 3);
	iov_iter_advance(&m.it, TOTAL);
	assert_int_equal(iov_iter_get(&m.it, 10, out, 8, &bytes), 0);
	assert_int_equal(bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copying_follows_the_segments),
		cmocka_unit_test(copying_in_and_zeroing_touch_only_their_bytes),
		cmocka_unit_test(a_truncated_iterator_ends_early),
		cmocka_unit_test(getting_iovecs_does_not_advance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
