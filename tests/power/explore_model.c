/* SPDX-License-Identifier: MIT */
/*
 * Walking the log. A cut is due after each write's submission (V grew), and
 * before whatever makes V shrink or after an acknowledgement (a boundary).
 *
 * The key: for each changed sector h(base) ^ h(now), so that it does not
 * depend on the way there and the base image has key 0. Sectors that are back
 * at their base contents cancel out.
 */
#include "power/explore_model.h"

#include <stdlib.h>
#include <string.h>

#define GARBAGE 0xdb

static uint64_t sector_hash(uint64_t lba, const uint8_t *data, uint32_t len)
{
	uint64_t h[4] = { lba, ~lba, 0x243f6a8885a308d3u, 0x13198a2e03707344u };
	uint64_t w;
	uint32_t i;

	for (i = 0; i < len; i += sizeof(w)) {
		unsigned int lane = (i / sizeof(w)) % 4;

		memcpy(&w, data + i, sizeof(w));
		h[lane] = (h[lane] ^ w) * 0x9e3779b97f4a7c15u;
		h[lane] ^= h[lane] >> 29;
	}
	return hmap_mix(h[0] ^
			hmap_mix(h[1] ^ hmap_mix(h[2] ^ hmap_mix(h[3]))));
}

static bool is_write(const struct emu_ent *ent)
{
	return (ent->kind == EMU_WRITE || ent->kind == EMU_ZERO ||
			       ent->kind == EMU_DISCARD) &&
			!ent->is_void && ent->len > 0;
}

/* ---- building the model ---- */

static struct xslot *slot_get(struct xmodel *m, uint64_t lba)
{
	struct hmap_node *node = hmap_find(&m->by_sector, lba);
	uint8_t buf[EMU_PAGE_SIZE];
	struct xslot *slot;

	if (node)
		return container_of(node, struct xslot, node);
	slot = &m->slots[m->nslots++];
	emu_img_read(m->base, lba * m->sector, buf, m->sector);
	slot->base_hash = sector_hash(lba, buf, m->sector);
	hmap_insert(&m->by_sector, &slot->node, lba);
	return slot;
}

static const uint8_t *sector_data(
		const struct xmodel *m, const struct emu_ent *ent, uint32_t i)
{
	static const uint8_t zero[EMU_PAGE_SIZE];
	uint64_t pos = ent->pos + (uint64_t)i * m->sector;
	uint64_t seg;

	if (ent->kind != EMU_WRITE)
		return zero;
	seg = (pos >> EMU_PAGE_BITS) - (ent->pos >> EMU_PAGE_BITS);
	return ent->segs[seg].page->data + pos % EMU_PAGE_SIZE;
}

static int write_init(
		struct xmodel *m, struct xwrite *w, const struct emu_ent *ent)
{
	uint8_t junk[EMU_PAGE_SIZE];
	uint32_t i;

	w->ent = ent;
	w->nsect = (uint32_t)(ent->len / m->sector);
	w->slot = calloc(w->nsect, sizeof(struct xslot *));
	w->hash = calloc(w->nsect, sizeof(*w->hash));
	if (ent->kind == EMU_DISCARD)
		w->garbage = calloc(w->nsect, sizeof(*w->garbage));
	if (!w->slot || !w->hash || (ent->kind == EMU_DISCARD && !w->garbage))
		return -ENOMEM;
	memset(junk, GARBAGE, sizeof(junk));
	for (i = 0; i < w->nsect; i++) {
		uint64_t lba = ent->pos / m->sector + i;

		w->slot[i] = slot_get(m, lba);
		w->hash[i] = sector_hash(
				lba, sector_data(m, ent, i), m->sector);
		if (w->garbage)
			w->garbage[i] = sector_hash(lba, junk, m->sector);
	}
	return 0;
}

static int event_cmp(const void *pa, const void *pb)
{
	const struct xevent *a = pa;
	const struct xevent *b = pb;

	if (a->t != b->t)
		return a->t < b->t ? -1 : 1;
	return (int)a->kind - (int)b->kind;
}

static int model_fill(struct xmodel *m)
{
	const struct emu_log *log = m->log;
	uint64_t i;
	int ret;

	for (i = 0; i < log->n; i++) {
		const struct emu_ent *ent = log->ents[i];
		struct xwrite *w = NULL;

		if (ent->is_void)
			continue;
		if (ent->kind == EMU_MARK) {
			m->events[m->nevents++] =
					(struct xevent){ ent->t_submit,
						XEVENT_MARK, ent, NULL };
			continue;
		}
		if (is_write(ent)) {
			w = &m->writes[m->nwrites++];
			ret = write_init(m, w, ent);
			if (ret < 0)
				return ret;
			m->events[m->nevents++] =
					(struct xevent){ ent->t_submit,
						XEVENT_SUBMIT, ent, w };
		}
		if (ent->t_done != EMU_NEVER)
			m->events[m->nevents++] = (struct xevent){ ent->t_done,
				XEVENT_DONE, ent, w };
	}
	qsort(m->events, m->nevents, sizeof(*m->events), event_cmp);
	return 0;
}

int xm_new(const struct emu_img *base, const struct emu_log *log,
		bool is_nobarrier, struct xmodel **ret_model)
{
	struct xmodel *m = calloc(1, sizeof(*m));
	uint64_t nwrites = 0;
	uint64_t nsect = 0;
	uint64_t i;
	int ret;

	if (!m)
		return -ENOMEM;
	m->base = base;
	m->log = log;
	m->sector = log->sector;
	m->is_nobarrier = is_nobarrier;
	for (i = 0; i < log->n; i++) {
		if (!is_write(log->ents[i]))
			continue;
		nwrites++;
		nsect += log->ents[i]->len / m->sector;
	}
	m->writes = calloc(nwrites + 1, sizeof(*m->writes));
	m->slots = calloc(nsect + 1, sizeof(*m->slots));
	m->events = calloc(2 * log->n + 1, sizeof(*m->events));
	m->v = calloc(nwrites + 1, sizeof(struct xwrite *));
	ret = hmap_init(&m->by_sector, nsect);
	if (ret == 0 && (!m->writes || !m->slots || !m->events || !m->v))
		ret = -ENOMEM;
	if (ret == 0)
		ret = model_fill(m);
	if (ret < 0) {
		xm_free(m);
		return ret;
	}
	*ret_model = m;
	return 0;
}

void xm_free(struct xmodel *m)
{
	uint64_t i;

	if (!m)
		return;
	for (i = 0; m->writes && i < m->nwrites; i++) {
		free(m->writes[i].slot);
		free(m->writes[i].hash);
		free(m->writes[i].garbage);
	}
	hmap_fini(&m->by_sector);
	emu_img_free(m->d);
	free(m->writes);
	free(m->slots);
	free(m->events);
	free(m->v);
	free(m);
}

/* ---- walking ---- */

int xm_rewind(struct xmodel *m)
{
	uint64_t i;

	emu_img_free(m->d);
	m->d = NULL;
	for (i = 0; i < m->nslots; i++) {
		m->slots[i].hash = m->slots[i].base_hash;
		m->slots[i].t_submit = 0;
		m->slots[i].t_done = 0;
	}
	m->next = 0;
	m->dkey = 0;
	m->nv = 0;
	m->acks = 0;
	m->t = 0;
	m->t_begun = 0;
	m->newest = NULL;
	m->is_fresh = true;
	m->is_boundary = true;
	m->has_boundary_due = false;
	m->has_started = false;
	m->has_ended = false;
	return emu_img_fork(m->base, &m->d);
}

bool xm_is_live(const struct xwrite *w, uint32_t i)
{
	/* What completed before the durable version was submitted is older. */
	return w->ent->t_done >= w->slot[i]->t_submit;
}

/* Keep V in order of completion, which is the order of applying. */
static void v_add(struct xmodel *m, struct xwrite *w)
{
	uint64_t i = m->nv++;

	while (i > 0 && (m->v[i - 1]->ent->t_done > w->ent->t_done)) {
		m->v[i] = m->v[i - 1];
		i--;
	}
	m->v[i] = w;
}

static int make_durable(struct xmodel *m, struct xwrite *w)
{
	const struct emu_ent *ent = w->ent;
	bool is_whole = true;
	uint32_t i;
	int ret = 0;

	for (i = 0; i < w->nsect; i++)
		if (w->slot[i]->t_done > ent->t_done)
			is_whole = false;
	if (is_whole)
		ret = emu_ent_apply(ent, m->d);
	for (i = 0; i < w->nsect && ret == 0; i++) {
		struct xslot *slot = w->slot[i];

		if (slot->t_done > ent->t_done)
			continue;
		if (!is_whole)
			ret = emu_ent_apply_sector(ent, m->d, m->sector, i);
		m->dkey ^= slot->hash ^ w->hash[i];
		slot->hash = w->hash[i];
		slot->t_submit = ent->t_submit;
		slot->t_done = ent->t_done;
	}
	return ret;
}

/* Does the completion of @flush (or FUA write) cover @w? Rule E1. */
static bool is_covered(const struct xwrite *w, const struct xevent *ev)
{
	if (ev->w)
		return ev->w == w;
	return w->ent->t_done < ev->ent->t_submit;
}

static bool is_barrier(const struct xmodel *m, const struct xevent *ev)
{
	uint64_t i;

	if (ev->kind != XEVENT_DONE || m->is_nobarrier)
		return false;
	if (ev->w && !(ev->ent->flags & BDEV_F_FUA))
		return false;
	for (i = 0; i < m->nv; i++)
		if (is_covered(m->v[i], ev))
			return true;
	return false;
}

static int pass_barrier(struct xmodel *m, const struct xevent *ev)
{
	uint64_t kept = 0;
	uint64_t i;
	int ret = 0;

	for (i = 0; i < m->nv && ret == 0; i++) {
		if (is_covered(m->v[i], ev))
			ret = make_durable(m, m->v[i]);
		else
			m->v[kept++] = m->v[i];
	}
	m->nv = kept;
	m->is_fresh = true;
	return ret;
}

static int boundary(struct xmodel *m, uint64_t t)
{
	m->t = t;
	m->newest = NULL;
	m->is_boundary = true;
	m->has_boundary_due = false;
	return 1;
}

int xm_next_cut(struct xmodel *m)
{
	int ret;

	m->is_fresh = !m->has_started;
	if (!m->has_started) {
		m->has_started = true;
		return boundary(m, 0);
	}
	while (m->next < m->nevents) {
		const struct xevent *ev = &m->events[m->next];

		if (ev->kind != XEVENT_MARK && m->has_boundary_due)
			return boundary(m, ev->t - 1);
		if (!m->is_boundary && is_barrier(m, ev))
			return boundary(m, ev->t - 1);
		m->next++;
		if (ev->kind == XEVENT_MARK) {
			if (ev->ent->mark != EMU_MARK_ACK_DURABLE)
				continue;
			m->acks++;
			m->is_fresh = true;
			m->has_boundary_due = true;
		} else if (ev->kind == XEVENT_SUBMIT) {
			v_add(m, ev->w);
			m->newest = ev->w;
			m->t = ev->t;
			m->t_begun = ev->t;
			m->is_boundary = false;
			return 1;
		} else if (is_barrier(m, ev)) {
			ret = pass_barrier(m, ev);
			if (ret < 0)
				return ret;
		}
	}
	if (m->has_ended)
		return 0;
	m->has_ended = true;
	return boundary(m, m->log->clock);
}

/* ---- states ---- */

static bool is_chosen(const struct xchoice *c, uint64_t n,
		const struct xwrite *w, uint32_t i)
{
	if (c->pick[n] == XPICK_TORN && !(c->bits[i / 64] >> (i % 64) & 1))
		return false;
	if (!xm_is_live(w, i))
		return false;
	return c->over_stamp == 0 || w->slot[i]->over_stamp != c->over_stamp ||
			w->slot[i]->over == w;
}

uint64_t xm_key(struct xmodel *m, const struct xchoice *c)
{
	uint64_t stamp = ++m->serial;
	uint64_t key = m->dkey;
	uint64_t n;
	uint32_t i;

	for (n = 0; n < m->nv; n++) {
		const struct xwrite *w = m->v[n];
		const uint64_t *hash = w->hash;

		if (c->pick[n] == XPICK_NONE)
			continue;
		if (c->is_garbage && w->garbage)
			hash = w->garbage;
		for (i = 0; i < w->nsect; i++) {
			struct xslot *slot = w->slot[i];

			if (!is_chosen(c, n, w, i))
				continue;
			if (slot->stamp != stamp)
				slot->cur = slot->hash;
			key ^= slot->cur ^ hash[i];
			slot->cur = hash[i];
			slot->stamp = stamp;
		}
	}
	return key;
}

static int apply_chosen(const struct xmodel *m, const struct xchoice *c,
		uint64_t n, struct emu_img *img)
{
	const struct xwrite *w = m->v[n];
	bool is_garbage = c->is_garbage && w->garbage;
	uint8_t junk[EMU_PAGE_SIZE];
	uint32_t chosen = 0;
	uint32_t i;
	int ret = 0;

	for (i = 0; i < w->nsect; i++)
		chosen += is_chosen(c, n, w, i);
	if (chosen == w->nsect && !is_garbage)
		return emu_ent_apply(w->ent, img);
	memset(junk, GARBAGE, sizeof(junk));
	for (i = 0; i < w->nsect && ret == 0; i++) {
		if (!is_chosen(c, n, w, i))
			continue;
		if (is_garbage)
			ret = emu_img_write(img,
					w->ent->pos + (uint64_t)i * m->sector,
					junk, m->sector);
		else
			ret = emu_ent_apply_sector(w->ent, img, m->sector, i);
	}
	return ret;
}

int xm_build(const struct xmodel *m, const struct xchoice *c,
		struct emu_img **ret_img)
{
	struct emu_img *img;
	uint64_t n;
	int ret;

	ret = emu_img_fork(m->d, &img);
	if (ret < 0)
		return ret;
	for (n = 0; n < m->nv && ret == 0; n++)
		if (c->pick[n] != XPICK_NONE)
			ret = apply_chosen(m, c, n, img);
	if (ret < 0) {
		emu_img_free(img);
		return ret;
	}
	*ret_img = img;
	return 0;
}
