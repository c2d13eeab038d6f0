/* SPDX-License-Identifier: MIT */
/*
 * The three name hashes.
 *
 *   legacy    two 32-bit words fed one character at a time
 *   half MD4  the three rounds of MD4 (RFC 1320), 8 steps each instead of 16,
 *             over 32 bytes of name at a time
 *   TEA       the Tiny Encryption Algorithm (Wheeler, Needham 1994), 16 cycles
 *             with 16 bytes of name as the key, its output added to the state
 *
 * The name is packed into words big end first; what is left of the last word
 * and of the piece is filled with the name's length. Results are compared
 * with debugfs's dx_hash in the unit test.
 */
#include "disk/dhash.h"

#include <stddef.h>
#include <string.h>

#include "disk/geo.h"

#define MD4_K2    0x5A827999u /* sqrt(2) << 30 */
#define MD4_K3    0x6ED9EBA1u /* sqrt(3) << 30 */
#define TEA_DELTA 0x9E3779B9u

/* One character, widened as the file system's signedness wants. */
static uint32_t widen(char c, bool is_unsigned)
{
	return is_unsigned ? (unsigned char)c : (uint32_t)(signed char)c;
}

static uint32_t hash_legacy(const char *name, uint32_t len, bool is_unsigned)
{
	uint32_t h0 = 0x12A3FE2Du;
	uint32_t h1 = 0x37ABE8F9u;

	for (uint32_t i = 0; i < len; i++) {
		uint32_t h = h1 +
				(h0 ^ (widen(name[i], is_unsigned) * 7152373u));

		if (h & 0x80000000u)
			h -= 0x7FFFFFFFu;
		h1 = h0;
		h0 = h;
	}
	return h0 << 1;
}

/* Pack the next piece of the name, @len bytes to its end, into @n words. */
static void pack(const char *name, uint32_t len, bool is_unsigned,
		uint32_t *words, unsigned n)
{
	uint32_t fill = len | len << 8;
	uint32_t at = 0;

	fill |= fill << 16;
	for (unsigned i = 0; i < n; i++) {
		uint32_t w = fill;

		for (unsigned j = 0; j < 4 && at < len; j++, at++)
			w = widen(name[at], is_unsigned) + (w << 8);
		words[i] = w;
	}
}

static uint32_t rol32(uint32_t v, unsigned n)
{
	return v << n | v >> (32 - n);
}

static uint32_t md4_f(uint32_t x, uint32_t y, uint32_t z)
{
	return (x & y) | (~x & z);
}

static uint32_t md4_g(uint32_t x, uint32_t y, uint32_t z)
{
	return (x & y) | (x & z) | (y & z);
}

static uint32_t md4_h(uint32_t x, uint32_t y, uint32_t z)
{
	return x ^ y ^ z;
}

static void half_md4(uint32_t state[4], const uint32_t in[8])
{
	static const struct {
		uint32_t (*fn)(uint32_t, uint32_t, uint32_t);
		uint32_t k;
		uint8_t order[8];
		uint8_t shift[4];
	} rounds[3] = {
		{ md4_f, 0, { 0, 1, 2, 3, 4, 5, 6, 7 }, { 3, 7, 11, 19 } },
		{ md4_g, MD4_K2, { 1, 3, 5, 7, 0, 2, 4, 6 }, { 3, 5, 9, 13 } },
		{ md4_h, MD4_K3, { 3, 7, 2, 6, 1, 5, 0, 4 }, { 3, 9, 11, 15 } },
	};
	uint32_t s[4];

	memcpy(s, state, sizeof(s));
	for (unsigned r = 0; r < 3; r++) {
		for (unsigned i = 0; i < 8; i++) {
			/* a, d, c, b take turns to be changed. */
			uint32_t *a = &s[(8 - i) % 4];
			uint32_t b = s[(9 - i) % 4];
			uint32_t c = s[(10 - i) % 4];
			uint32_t d = s[(11 - i) % 4];

			*a += rounds[r].fn(b, c, d) + in[rounds[r].order[i]] +
					rounds[r].k;
			*a = rol32(*a, rounds[r].shift[i % 4]);
		}
	}
	for (unsigned i = 0; i < 4; i++)
		state[i] += s[i];
}

static void tea(uint32_t state[4], const uint32_t key[4])
{
	uint32_t y = state[0];
	uint32_t z = state[1];
	uint32_t sum = 0;

	for (unsigned i = 0; i < 16; i++) {
		sum += TEA_DELTA;
		y += ((z << 4) + key[0]) ^ (z + sum) ^ ((z >> 5) + key[1]);
		z += ((y << 4) + key[2]) ^ (y + sum) ^ ((y >> 5) + key[3]);
	}
	state[0] += y;
	state[1] += z;
}

/* Feed a name to @step, @words words at a time. */
static void hash_pieces(uint32_t state[4], const char *name, uint32_t len,
		bool is_unsigned, unsigned words)
{
	uint32_t in[8];
	uint32_t piece = words * 4;

	for (uint32_t at = 0; at < len; at += piece) {
		pack(name + at, len - at, is_unsigned, in, words);
		if (words == 8)
			half_md4(state, in);
		else
			tea(state, in);
	}
}

int dhash_name(uint8_t version, const uint32_t seed[4], const char *name,
		uint32_t len, struct dhash *ret_hash)
{
	uint32_t state[4] = { 0x67452301u, 0xEFCDAB89u, 0x98BADCFEu,
		0x10325476u };
	bool is_unsigned = version >= DHASH_LEGACY_UNSIGNED;
	uint32_t minor = 0;
	uint32_t major;

	if (version > DHASH_TEA_UNSIGNED)
		return -EINVAL;
	if (seed[0] || seed[1] || seed[2] || seed[3])
		memcpy(state, seed, sizeof(state));
	switch (version % 3) {
	case DHASH_LEGACY:
		major = hash_legacy(name, len, is_unsigned);
		break;
	case DHASH_HALF_MD4:
		hash_pieces(state, name, len, is_unsigned, 8);
		major = state[1];
		minor = state[2];
		break;
	default:
		hash_pieces(state, name, len, is_unsigned, 4);
		major = state[0];
		minor = state[1];
		break;
	}
	/* The lowest bit is htree's mark, the highest value means the end. */
	major &= ~1u;
	if (major == DHASH_EOF << 1)
		major = (DHASH_EOF - 1) << 1;
	ret_hash->major = major;
	ret_hash->minor = minor;
	return 0;
}

int dhash_dir(const struct geo *geo, uint8_t version, const char *name,
		uint32_t len, struct dhash *ret_hash)
{
	if (version <= DHASH_TEA && geo->hash_unsigned)
		version += DHASH_LEGACY_UNSIGNED;
	return dhash_name(version, geo->hash_seed, name, len, ret_hash);
}
