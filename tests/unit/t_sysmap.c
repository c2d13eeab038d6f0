/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/sysmap.h"

#define SPACE 4000u

static void answers_like_an_array_of_flags(void **state)
{
	(void)state;
	srandom(21);
	for (int round = 0; round < 50; round++) {
		uint8_t used[SPACE] = { 0 };
		struct sysmap m;
		pblk_t where;

		sysmap_init(&m);
		for (int i = 0; i < 60; i++) {
			uint32_t at = (uint32_t)random() % (SPACE - 20);
			uint32_t len = (uint32_t)random() % 20;

			if (i == 40)
				assert_int_equal(sysmap_seal(&m, &where), 0);
			if (memchr(used + at, 1, len) != NULL)
				continue;
			memset(used + at, 1, len);
			assert_int_equal(i < 40 ? sysmap_add(&m, at, len)
						: sysmap_insert(&m, at, len),
					0);
		}
		for (uint32_t at = 0; at < SPACE; at++) {
			uint32_t len = 1 + (uint32_t)random() % 30;

			len = len > SPACE - at ? SPACE - at : len;
			assert_int_equal(sysmap_hits(&m, at, len),
					memchr(used + at, 1, len) != NULL);
		}
		sysmap_fini(&m);
	}
}

static void tells_where_two_overlap(void **state)
{
	struct sysmap m;
	pblk_t where = 0;

	(void)state;
	sysmap_init(&m);
	assert_int_equal(sysmap_add(&m, 100, 10), 0);
	assert_int_equal(sysmap_add(&m, 50, 10), 0);
	assert_int_equal(sysmap_add(&m, 109, 10), 0);
	assert_int_equal(sysmap_seal(&m, &where), -UEXT4_ECORRUPT);
	assert_int_equal(where, 109);
	assert_true(sysmap_hits(&m, 118, 1));
	assert_false(sysmap_hits(&m, 119, UINT64_MAX));
	assert_true(sysmap_hits(&m, 60, UINT64_MAX));
	assert_int_equal(sysmap_insert(&m, 59, 1), -UEXT4_ECORRUPT);
	assert_int_equal(sysmap_insert(&m, 60, 40), 0);
	sysmap_fini(&m);
}

/* Bitmaps and tables of a flex group come kind by kind, group by group. */
static void joins_what_grows_side_by_side(void **state)
{
	struct sysmap m;
	pblk_t where;

	(void)state;
	sysmap_init(&m);
	for (pblk_t g = 0; g < 16; g++) {
		assert_int_equal(sysmap_add(&m, 1000 + g, 1), 0);
		assert_int_equal(sysmap_add(&m, 1016 + g, 1), 0);
		assert_int_equal(sysmap_add(&m, 1032 + g * 512, 512), 0);
	}
	assert_int_equal(m.n, 0);
	assert_int_equal(sysmap_seal(&m, &where), 0);
	assert_int_equal(m.n, 1);
	sysmap_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_like_an_array_of_flags),
		cmocka_unit_test(tells_where_two_overlap),
		cmocka_unit_test(joins_what_grows_side_by_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
