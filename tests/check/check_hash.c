/* SPDX-License-Identifier: MIT */
/*
 * The hashes of htree directories: legacy, half MD4, TEA; each over signed or
 * unsigned characters.
 *
 * Half MD4 is MD4's compression (RFC 1320) with eight words a round instead of
 * sixteen; TEA is Wheeler and Needham's cipher with the name as key.
 */
#include "check/check_int.h"

static uint32_t hash_rol(uint32_t v, unsigned int n)
{
	return v << n | v >> (32 - n);
}

static void hash_half_md4(uint32_t state[4], const uint32_t in[8])
{
	static const uint8_t word[3][8] = {
		{ 0, 1, 2, 3, 4, 5, 6, 7 },
		{ 1, 3, 5, 7, 0, 2, 4, 6 },
		{ 3, 7, 2, 6, 1, 5, 0, 4 },
	};
	static const uint8_t shift[3][4] = {
		{ 3, 7, 11, 19 },
		{ 3, 5, 9, 13 },
		{ 3, 9, 11, 15 },
	};
	static const uint32_t add[3] = { 0, 0x5a827999, 0x6ed9eba1 };
	uint32_t v[4] = { state[0], state[1], state[2], state[3] };

	for (unsigned int i = 0; i < 24; i++) {
		unsigned int round = i / 8, at = (4 - i % 4) % 4;
		uint32_t b = v[(at + 1) % 4], c = v[(at + 2) % 4];
		uint32_t d = v[(at + 3) % 4], f;

		if (round == 0)
			f = (b & c) | (~b & d);
		else if (round == 1)
			f = (b & c) | (b & d) | (c & d);
		else
			f = b ^ c ^ d;
		v[at] = hash_rol(
				v[at] + f + in[word[round][i % 8]] + add[round],
				shift[round][i % 4]);
	}
	for (unsigned int i = 0; i < 4; i++)
		state[i] += v[i];
}

static void hash_tea(uint32_t state[4], const uint32_t key[4])
{
	uint32_t x = state[0], y = state[1], sum = 0;

	for (unsigned int i = 0; i < 16; i++) {
		sum += 0x9e3779b9;
		x += ((y << 4) + key[0]) ^ (y + sum) ^ ((y >> 5) + key[1]);
		y += ((x << 4) + key[2]) ^ (x + sum) ^ ((x >> 5) + key[3]);
	}
	state[0] += x;
	state[1] += y;
}

static uint32_t hash_char(uint8_t ch, bool is_signed)
{
	return is_signed ? (uint32_t)(int32_t)(int8_t)ch : ch;
}

static uint32_t hash_legacy(
		const uint8_t *name, unsigned int len, bool is_signed)
{
	uint32_t last = 0x12a3fe2d, before = 0x37abe8f9;

	for (unsigned int i = 0; i < len; i++) {
		uint32_t h = hash_char(name[i], is_signed) * 7152373;

		h = before + (last ^ h);
		if (h & 0x80000000)
			h -= 0x7fffffff;
		before = last;
		last = h;
	}
	return last << 1;
}

/* The next words of the name; what it lacks is filled with its length. */
static void hash_words(const uint8_t *name, unsigned int len, bool is_signed,
		uint32_t *words, unsigned int nwords)
{
	uint32_t pad = (len & 0xff) * 0x01010101u;
	unsigned int i = 0;

	for (unsigned int w = 0; w < nwords; w++) {
		words[w] = pad;
		for (unsigned int k = 0; k < 4 && i < len; k++, i++)
			words[w] = (words[w] << 8) +
					hash_char(name[i], is_signed);
	}
}

/* The hash that orders the tree: bit 0 is clear, the end mark is avoided. */
uint32_t ck_hash(const struct ck *c, uint8_t version, const uint8_t *name,
		unsigned int len)
{
	bool is_signed = version < 3;
	unsigned int kind = version % 3, step = kind == 1 ? 32 : 16;
	uint32_t state[4] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };
	uint32_t seed[4], hash;

	for (unsigned int i = 0; i < 4; i++)
		seed[i] = get_le32(c->sb + 0xec + 4 * (size_t)i);
	if (seed[0] | seed[1] | seed[2] | seed[3])
		memcpy(state, seed, sizeof(state));
	if (kind == 0) {
		hash = hash_legacy(name, len, is_signed);
	} else {
		for (unsigned int at = 0; at < len; at += step) {
			uint32_t words[8];

			hash_words(name + at, len - at, is_signed, words,
					step / 4);
			if (kind == 1)
				hash_half_md4(state, words);
			else
				hash_tea(state, words);
		}
		hash = state[kind == 1 ? 1 : 0];
	}
	hash &= ~1u;
	return hash == 0xfffffffe ? 0xfffffffc : hash;
}
