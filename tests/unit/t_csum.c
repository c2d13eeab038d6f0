/* SPDX-License-Identifier: MIT */
/*
 * Checksums against the published check values ("123456789") and against bit
 * by bit division. Their use on disk is tested on images, in t_d*.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/csum.h"

static const char check[] = "123456789";

static void published_values_come_out(void **state)
{
	/* CRC-32C inverts at the end, ours does not. */
	assert_int_equal(crc32c(CRC32C_INIT, check, 9), ~0xE3069283u);
	assert_int_equal(crc16(CRC16_INIT, check, 9), 0x4B37);  /* MODBUS */
	assert_int_equal(crc32_be(~0u, check, 9), 0x0376E6E7u); /* MPEG-2 */
}

static uint32_t slow(uint32_t crc, uint32_t poly, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ poly : crc >> 1;
	}
	return crc;
}

static void any_length_and_alignment_agree(void **state)
{
	uint8_t buf[600];

	srandom(40);
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)random();
	for (size_t off = 0; off < 16; off++) {
		for (size_t n = 0; n < 560; n += 1 + n / 40) {
			uint32_t seed = (uint32_t)random();

			assert_int_equal(crc32c(seed, buf + off, n),
					slow(seed, 0x82F63B78u, buf + off, n));
			assert_int_equal(crc16((uint16_t)seed, buf + off, n),
					slow((uint16_t)seed, 0xA001u, buf + off,
							n));
		}
	}
}

static void chains_are_one_sum(void **state)
{
	const uint8_t le[] = { 0x78, 0x56, 0x34, 0x12, 0, 0, 0, 0x80 };

	for (size_t cut = 0; cut <= 9; cut++) {
		uint32_t c = crc32c(7, check, cut);

		assert_int_equal(crc32c(c, check + cut, 9 - cut),
				crc32c(7, check, 9));
	}
	assert_int_equal(crc32c_le32(7, 0x12345678u), crc32c(7, le, 4));
	assert_int_equal(crc32c_le64(7, UINT64_C(0x8000000012345678)),
			crc32c(7, le, 8));
}

static void four_bytes_make_any_sum(void **state)
{
	uint8_t buf[64];

	srandom(41);
	for (size_t at = 0; at + 4 <= sizeof(buf); at++) {
		uint32_t seed = (uint32_t)random();
		uint32_t want = (uint32_t)random();
		uint8_t was[sizeof(buf)];

		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = (uint8_t)random();
		memcpy(was, buf, sizeof(buf));
		crc32c_keep(seed, buf, sizeof(buf), at, want);
		assert_int_equal(crc32c(seed, buf, sizeof(buf)), want);
		memcpy(was + at, buf + at, 4);
		assert_memory_equal(buf, was, sizeof(buf));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_values_come_out),
		cmocka_unit_test(any_length_and_alignment_agree),
		cmocka_unit_test(chains_are_one_sum),
		cmocka_unit_test(four_bytes_make_any_sum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
