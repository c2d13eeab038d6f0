/* SPDX-License-Identifier: MIT */
/*
 * The headers of base that have no file of their own to test: words, checked
 * arithmetic, references, UUIDs as text; and the log.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/le.h"
#include "base/log.h"
#include "base/ref.h"
#include "base/types.h"
#include "base/uuid.h"

static void words_have_the_order_of_their_name(void **state)
{
	const uint8_t b[9] = { 0, 1, 2, 3, 4, 5, 6, 7, 8 };
	uint8_t out[9] = { 0 };

	assert_int_equal(get_le16(b + 1), 0x0201);
	assert_int_equal(get_le32(b + 1), 0x04030201);
	assert_int_equal(get_le64(b + 1), 0x0807060504030201);
	assert_int_equal(get_be16(b + 1), 0x0102);
	assert_int_equal(get_be32(b + 1), 0x01020304);
	assert_int_equal(get_be64(b + 1), 0x0102030405060708);
	put_le64(out + 1, 0x0807060504030201);
	assert_memory_equal(out, b, 9);
	put_be32(out + 1, 0x01020304);
	put_be16(out + 5, 0x0506);
	put_le16(out + 7, 0x0807);
	assert_memory_equal(out, b, 9);
}

static void arithmetic_knows_its_limits(void **state)
{
	uint64_t v = 0;

	assert_true(check_add(UINT64_MAX - 1, 1, &v));
	assert_int_equal(v, UINT64_MAX);
	assert_false(check_add(UINT64_MAX, 1, &v));
	assert_true(check_mul(UINT32_MAX, UINT32_MAX, &v));
	assert_false(check_mul(UINT64_C(1) << 32, UINT64_C(1) << 32, &v));
	assert_true(range_is_within(5, 5, 5, 10));
	assert_false(range_is_within(5, 6, 5, 10));
	assert_false(range_is_within(4, 1, 5, 10));
	assert_false(range_is_within(10, UINT64_MAX, 5, 10));
	assert_true(range_is_within(10, 0, 5, 10));
	assert_false(range_is_within(UINT64_MAX, 1, 0, 10));
	assert_int_equal(div_up_u64(UINT64_MAX, 2), UINT64_C(1) << 63);
	assert_int_equal(round_up_u64(13, 4), 16);
	assert_int_equal(round_down_u64(13, 4), 12);
	assert_int_equal(log2_u64(1), 0);
	assert_int_equal(log2_u64(UINT64_MAX), 63);
	assert_true(is_pow2_u64(64) && !is_pow2_u64(0) && !is_pow2_u64(96));
	assert_true(txid_is_before(UINT32_MAX, 0));
	assert_false(txid_is_before(5, 5));
}

static void the_last_reference_is_told(void **state)
{
	struct ref r;

	ref_init(&r, 1);
	ref_get(&r);
	assert_int_equal(ref_count(&r), 2);
	assert_false(ref_put(&r));
	assert_true(ref_get_unless_zero(&r));
	assert_false(ref_put(&r));
	assert_true(ref_put(&r));
	assert_false(ref_get_unless_zero(&r));
}

static void uuids_go_both_ways(void **state)
{
	static const char text[] = "01234567-89ab-cdef-0123-456789abcdef";
	uint8_t uuid[UUID_LEN], same[UUID_LEN];
	char out[UUID_TEXT_LEN + 1];

	assert_int_equal(uuid_parse(text, uuid), 0);
	uuid_format(uuid, out);
	assert_string_equal(out, text);
	memcpy(same, uuid, sizeof(same));
	assert_int_equal(uuid_parse("0123456789abcdef0123456789abcdef", uuid),
			-EINVAL);
	assert_int_equal(uuid_parse("01234567-89ab-cdef-0123-456789abcdeg",
					 uuid),
			-EINVAL);
	assert_int_equal(uuid_parse("01234567089ab-cdef-0123-456789abcdef",
					 uuid),
			-EINVAL);
	assert_int_equal(uuid_parse("", uuid), -EINVAL);
	assert_memory_equal(same, uuid, sizeof(same));
	assert_false(uuid_is_null(uuid));
	memset(uuid, 0, sizeof(uuid));
	assert_true(uuid_is_null(uuid));
}

struct heard {
	unsigned n;
	enum log_level level;
	char last[LOG_LINE_MAX];
};

static void hear(void *arg, enum log_level level, const char *msg)
{
	struct heard *h = (struct heard *)arg;

	h->n++;
	h->level = level;
	(void)snprintf(h->last, sizeof(h->last), "%s", msg);
}

static void log_passes_what_its_level_lets(void **state)
{
	struct heard h = { 0 };
	struct log log;

	log_init(&log, hear, &h, LOG_LEVEL_INFO);
	log_err(&log, "block %u is %s", 7, "bad");
	assert_int_equal(h.n, 1);
	assert_int_equal(h.level, LOG_LEVEL_ERR);
	assert_string_equal(h.last, "block 7 is bad");
	log_info(&log, "x");
	assert_int_equal(h.n, 2);
	log_debug(&log, "y");
	assert_int_equal(h.n, 2);
	log_err(NULL, "nobody");
	log_fini(&log);
}

static void log_holds_a_babbler_back(void **state)
{
	struct heard h = { 0 };
	struct log log;

	log_init(&log, hear, &h, LOG_LEVEL_DEBUG);
	for (int i = 0; i < 1000; i++)
		log_warn(&log, "again %d", i);
	assert_int_equal(h.n, LOG_BURST);
	log_warn(&log, "another line of code");
	assert_int_equal(h.n, LOG_BURST + 1);
	/* When its window is over it says what was lost. */
	for (int i = 0; i < 2; i++) {
		if (i == 1)
			for (unsigned s = 0; s < LOG_SOURCES; s++)
				log.sources[s].window_ns = 0;
		for (int j = 0; j < 11; j++)
			log_warn(&log, "burst");
	}
	assert_string_equal(h.last, "burst");
	assert_int_equal(h.n, LOG_BURST + 1 + 2 * LOG_BURST);
	log_fini(&log);
}

static void long_messages_are_cut(void **state)
{
	struct heard h = { 0 };
	struct log log;
	char text[2000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_init(&log, hear, &h, LOG_LEVEL_DEBUG);
	log_warn(&log, "%s", text);
	assert_int_equal(strlen(h.last), LOG_LINE_MAX - 1);
	log_fini(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_have_the_order_of_their_name),
		cmocka_unit_test(arithmetic_knows_its_limits),
		cmocka_unit_test(the_last_reference_is_told),
		cmocka_unit_test(uuids_go_both_ways),
		cmocka_unit_test(log_passes_what_its_level_lets),
		cmocka_unit_test(log_holds_a_babbler_back),
		cmocka_unit_test(long_messages_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
