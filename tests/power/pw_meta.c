/* SPDX-License-Identifier: MIT */
/*
 * See pw_meta.h.
 */
#include "power/pw_meta.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hmap.h"
#include "base/le.h"
#include "bdev/bdev_emu.h"

#define KIND_JOURNAL 0x1u
#define KIND_DATA    0x2u
#define KIND_META    0x4u

void pw_meta_init(struct pw_meta *m, const struct emu_img *base, uint32_t bs)
{
	memset(m, 0, sizeof(*m));
	m->base = base;
	m->bs = bs < EMU_PAGE_SIZE ? bs : EMU_PAGE_SIZE;
	m->nblocks = emu_img_size(base) / m->bs;
	m->kind = calloc(m->nblocks, 1);
	m->cap = 1024;
	m->seen = calloc(m->cap, sizeof(*m->seen));
	assert_non_null(m->kind);
	assert_non_null(m->seen);
}

void pw_meta_fini(struct pw_meta *m)
{
	free(m->kind);
	free(m->seen);
}

static uint8_t kind_of(uint64_t tag)
{
	switch (bdev_tag_kind(tag)) {
	case BDEV_TAG_J_DESC:
	case BDEV_TAG_J_DATA:
	case BDEV_TAG_J_REVOKE:
	case BDEV_TAG_J_COMMIT:
	case BDEV_TAG_J_SB:
		return KIND_JOURNAL;
	case BDEV_TAG_DATA:
		return KIND_DATA;
	default:
		return KIND_META;
	}
}

void pw_meta_learn(struct pw_meta *m, const struct emu_log *log)
{
	uint64_t i;
	uint64_t b;

	for (i = 0; i < log->n; i++) {
		const struct emu_ent *ent = log->ents[i];

		if (ent->kind == EMU_FLUSH || ent->kind == EMU_MARK ||
				ent->len == 0)
			continue;
		for (b = ent->pos / m->bs;
				b <= (ent->pos + ent->len - 1) / m->bs; b++)
			m->kind[b] |= kind_of(ent->tag);
	}
}

struct hasher {
	const struct pw_meta *m;
	uint64_t hash;
};

static uint64_t hash_bytes(const uint8_t *p, size_t len, uint64_t h)
{
	size_t i;

	for (i = 0; i < len; i += 8) {
		h = (h ^ get_le64(p + i)) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	return hmap_mix(h);
}

static int hash_page(void *ctx, uint64_t idx, const struct emu_page *pa,
		const struct emu_page *pb)
{
	static const uint8_t zero[EMU_PAGE_SIZE];
	struct hasher *h = ctx;
	const uint8_t *a = pa ? pa->data : zero;
	const uint8_t *b = pb ? pb->data : zero;
	uint32_t bs = h->m->bs;
	uint32_t off;

	for (off = 0; off < EMU_PAGE_SIZE; off += bs) {
		uint64_t blk = (idx * EMU_PAGE_SIZE + off) / bs;

		if (blk >= h->m->nblocks || h->m->kind[blk] == KIND_DATA ||
				(h->m->kind[blk] & KIND_JOURNAL) ||
				memcmp(a + off, b + off, bs) == 0)
			continue;
		h->hash ^= hash_bytes(a + off, bs, hmap_mix(blk + 1));
	}
	return 0;
}

static void seen_grow(struct pw_meta *m)
{
	uint64_t *old = m->seen;
	size_t cap = m->cap;
	size_t i;
	size_t k;

	m->cap *= 2;
	m->seen = calloc(m->cap, sizeof(*m->seen));
	assert_non_null(m->seen);
	for (i = 0; i < cap; i++) {
		if (old[i] == 0)
			continue;
		for (k = old[i] & (m->cap - 1); m->seen[k] != 0;)
			k = (k + 1) & (m->cap - 1);
		m->seen[k] = old[i];
	}
	free(old);
}

bool pw_meta_is_new(struct pw_meta *m, const struct emu_img *img)
{
	struct hasher h = { .m = m };
	size_t k;

	(void)emu_img_diff(img, m->base, hash_page, &h);
	h.hash = h.hash ? h.hash : 1;
	if (2 * m->n >= m->cap)
		seen_grow(m);
	for (k = h.hash & (m->cap - 1); m->seen[k] != 0;
			k = (k + 1) & (m->cap - 1)) {
		if (m->seen[k] == h.hash)
			return false;
	}
	m->seen[k] = h.hash;
	m->n++;
	return true;
}
