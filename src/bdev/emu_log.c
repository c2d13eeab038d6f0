/* SPDX-License-Identifier: MIT */
/*
 * The emulator's log, and the image of one chosen power cut.
 */
#include <assert.h>
#include <stdlib.h>

#include "bdev/bdev_emu.h"

void emu_log_free(struct emu_log *log)
{
	uint64_t i;
	uint32_t k;

	if (!log)
		return;
	for (i = 0; i < log->n; i++) {
		for (k = 0; k < log->ents[i]->nsegs; k++)
			emu_page_put(log->ents[i]->segs[k].page);
		free(log->ents[i]->segs);
		free(log->ents[i]);
	}
	free(log->ents);
	free(log);
}

static int seg_apply(const struct emu_seg *seg, struct emu_img *img)
{
	uint64_t idx = seg->pos >> EMU_PAGE_BITS;

	if (seg->len == EMU_PAGE_SIZE)
		return emu_img_set_page(img, idx, seg->page);
	return emu_img_write(img, seg->pos,
			seg->page->data + seg->pos % EMU_PAGE_SIZE, seg->len);
}

int emu_ent_apply(const struct emu_ent *ent, struct emu_img *img)
{
	uint32_t i;
	int ret = 0;

	if (ent->kind == EMU_ZERO || ent->kind == EMU_DISCARD)
		return emu_img_zero(img, ent->pos, ent->len);
	for (i = 0; i < ent->nsegs && ret == 0; i++)
		ret = seg_apply(&ent->segs[i], img);
	return ret;
}

int emu_ent_apply_sector(const struct emu_ent *ent, struct emu_img *img,
		uint32_t sector, uint32_t i)
{
	uint64_t pos = ent->pos + (uint64_t)i * sector;
	const struct emu_seg *seg;

	assert((uint64_t)(i + 1) * sector <= ent->len);
	if (ent->kind == EMU_ZERO || ent->kind == EMU_DISCARD)
		return emu_img_zero(img, pos, sector);
	/* Every segment but the first begins where a page does. */
	seg = &ent->segs[(pos >> EMU_PAGE_BITS) - (ent->pos >> EMU_PAGE_BITS)];
	return emu_img_write(img, pos, seg->page->data + pos % EMU_PAGE_SIZE,
			sector);
}

static bool changes_disk(const struct emu_ent *ent)
{
	return (ent->kind == EMU_WRITE || ent->kind == EMU_ZERO ||
			       ent->kind == EMU_DISCARD) &&
			!ent->is_void && ent->len > 0;
}

/* By completion, those in flight last and in order of submission. */
static int ent_cmp(const void *pa, const void *pb)
{
	const struct emu_ent *a = *(const struct emu_ent *const *)pa;
	const struct emu_ent *b = *(const struct emu_ent *const *)pb;

	if (a->t_done != b->t_done)
		return a->t_done < b->t_done ? -1 : 1;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* The submission of the last flush that had completed at @t (E1). */
static uint64_t flushed_before(const struct emu_log *log, uint64_t t)
{
	uint64_t before = 0;
	uint64_t i;

	for (i = 0; i < log->n; i++) {
		const struct emu_ent *ent = log->ents[i];

		if (ent->kind == EMU_FLUSH && !ent->is_void && ent->t_done <= t)
			before = max_u64(before, ent->t_submit);
	}
	return before;
}

static int apply_kept(const struct emu_ent *ent, struct emu_img *img,
		uint32_t sector, emu_keep_fn keep, void *ctx)
{
	uint32_t n = (uint32_t)(ent->len / sector);
	uint32_t i;
	int ret = 0;

	for (i = 0; i < n && ret == 0; i++)
		if (keep(ctx, ent, i))
			ret = emu_ent_apply_sector(ent, img, sector, i);
	return ret;
}

int emu_log_build(const struct emu_log *log, const struct emu_img *base,
		uint64_t t, emu_keep_fn keep, void *ctx,
		struct emu_img **ret_img)
{
	uint64_t before = flushed_before(log, t);
	const struct emu_ent **list;
	struct emu_img *img = NULL;
	uint64_t n = 0;
	uint64_t i;
	int ret;

	list = calloc(log->n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (i = 0; i < log->n; i++)
		if (changes_disk(log->ents[i]) && log->ents[i]->t_submit <= t)
			list[n++] = log->ents[i];
	qsort(list, n, sizeof(*list), ent_cmp);

	ret = emu_img_fork(base, &img);
	for (i = 0; i < n && ret == 0; i++) {
		bool fua = list[i]->flags & BDEV_F_FUA;

		if (list[i]->t_done < before || (fua && list[i]->t_done <= t))
			ret = emu_ent_apply(list[i], img);
		else if (keep)
			ret = apply_kept(list[i], img, log->sector, keep, ctx);
	}
	free(list);
	if (ret < 0) {
		emu_img_free(img);
		return ret;
	}
	*ret_img = img;
	return 0;
}
