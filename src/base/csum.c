/* SPDX-License-Identifier: MIT */
/*
 * CRC-32C by ISA-L; the short and old ones by table.
 *
 * ISA-L's crc32_iscsi() takes and gives the raw register, as the format's
 * chains want it. It counts in int, so long buffers go in pieces.
 */
#include "base/csum.h"

#include <isa-l/crc.h>
#include <pthread.h>

#include "base/le.h"

#define CSUM_PIECE (1u << 30)

uint32_t crc32c(uint32_t seed, const void *buf, size_t len)
{
	/* The library wants a pointer to bytes it promises not to change. */
	unsigned char *p = (unsigned char *)(uintptr_t)buf;

	while (len > CSUM_PIECE) {
		seed = crc32_iscsi(p, (int)CSUM_PIECE, seed);
		p += CSUM_PIECE;
		len -= CSUM_PIECE;
	}
	return crc32_iscsi(p, (int)len, seed);
}

uint32_t crc32c_le32(uint32_t seed, uint32_t v)
{
	uint8_t b[4];

	put_le32(b, v);
	return crc32c(seed, b, sizeof(b));
}

uint32_t crc32c_le64(uint32_t seed, uint64_t v)
{
	uint8_t b[8];

	put_le64(b, v);
	return crc32c(seed, b, sizeof(b));
}

/*
 * CRC-32C backwards: the state before a byte was processed, from the one after
 * it. The top byte of what a byte adds to the state names the byte:
 * crc32c_back[top] is the rest of that, one step back, and the byte.
 */
static uint32_t crc32c_back[256];
static pthread_once_t crc32c_back_once = PTHREAD_ONCE_INIT;

static void crc32c_back_init(void)
{
	uint32_t c;
	unsigned i;
	unsigned bit;

	for (i = 0; i < 256; i++) {
		c = i;
		for (bit = 0; bit < 8; bit++)
			c = c & 1 ? c >> 1 ^ 0x82F63B78u : c >> 1;
		crc32c_back[c >> 24] = c << 8 | i;
	}
}

static uint32_t crc32c_step_back(uint32_t crc, uint8_t byte)
{
	return crc << 8 ^ crc32c_back[crc >> 24] ^ byte;
}

void crc32c_keep(uint32_t seed, void *buf, size_t len, size_t at, uint32_t want)
{
	uint8_t *p = (uint8_t *)buf;
	size_t i;

	(void)pthread_once(&crc32c_back_once, crc32c_back_init);
	for (i = len; i > at + 4; i--)
		want = crc32c_step_back(want, p[i - 1]);
	for (i = 0; i < 4; i++)
		want = crc32c_step_back(want, 0);
	put_le32(p + at, crc32c(seed, p, at) ^ want);
}

uint32_t crc32_be(uint32_t seed, const void *buf, size_t len)
{
	/* One nibble at a time: table[i] is i << 28 through 4 steps. */
	static const uint32_t table[16] = {
		0x00000000,
		0x04c11db7,
		0x09823b6e,
		0x0d4326d9,
		0x130476dc,
		0x17c56b6b,
		0x1a864db2,
		0x1e475005,
		0x2608edb8,
		0x22c9f00f,
		0x2f8ad6d6,
		0x2b4bcb61,
		0x350c9b64,
		0x31cd86d3,
		0x3c8ea00a,
		0x384fbdbd,
	};
	const uint8_t *p = (const uint8_t *)buf;

	for (size_t i = 0; i < len; i++) {
		seed = (seed << 4) ^ table[(seed >> 28) ^ (p[i] >> 4)];
		seed = (seed << 4) ^ table[(seed >> 28) ^ (p[i] & 15u)];
	}
	return seed;
}

uint16_t crc16(uint16_t seed, const void *buf, size_t len)
{
	/* table[i] is i through 4 steps of the reflected polynomial 0xa001. */
	static const uint16_t table[16] = {
		0x0000,
		0xcc01,
		0xd801,
		0x1400,
		0xf001,
		0x3c00,
		0x2800,
		0xe401,
		0xa001,
		0x6c00,
		0x7800,
		0xb401,
		0x5000,
		0x9c01,
		0x8801,
		0x4400,
	};
	const uint8_t *p = (const uint8_t *)buf;

	for (size_t i = 0; i < len; i++) {
		seed ^= p[i];
		seed = (uint16_t)((seed >> 4) ^ table[seed & 15u]);
		seed = (uint16_t)((seed >> 4) ^ table[seed & 15u]);
	}
	return seed;
}
