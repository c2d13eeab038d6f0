/* SPDX-License-Identifier: MIT */
/*
 * The law of the bytes of files with requests in flight: Q1 to Q5 of
 * pw_queue.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/iter.h"
#include "power/pw_queue.h"

static bool has_begun(const struct pwq_moment *m, const struct pwq_rec *r)
{
	return r->begin <= m->begun && !r->is_sync;
}

static bool is_durable(const struct pwq_moment *m, const struct pwq_rec *r)
{
	if (r->is_sync || r->failed)
		return false;
	return m->is_live ? r->end != PWQ_NEVER
			  : r->durable != PWQ_NEVER && r->durable <= m->acked;
}

static bool covers(const struct pwq_rec *r, uint64_t at)
{
	return at >= r->pos && at - r->pos < r->len;
}

/* Had @r ended before @d began? */
static bool precedes(const struct pwq_rec *r, const struct pwq_rec *d)
{
	return r->end < d->begin || r->drained <= d->begin;
}

/* ---- Q1, Q4, Q5: a sector ---- */

static bool is_superseded(const struct pwq_file *f, const struct pwq_moment *m,
		const struct pwq_rec *r, uint64_t at)
{
	const struct pwq_rec *d;

	for (d = f->recs; d; d = d->older) {
		if (covers(d, at) && is_durable(m, d) && precedes(r, d))
			return true;
	}
	return false;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* Nobody has written it: zero is what it was in the beginning. */
static bool may_be_hole(const struct pwq_file *f, const struct pwq_moment *m,
		uint64_t at)
{
	const struct pwq_rec *r;

	for (r = f->recs; r; r = r->older) {
		if (!covers(r, at))
			continue;
		if (is_durable(m, r))
			return false;
		if (m->by_prefix && r->data && r->fresh && !r->failed &&
				has_begun(m, r))
			return false;
	}
	return true;
}

static bool sector_is_legal(const struct pwq_file *f,
		const struct pwq_moment *m, uint64_t at, const uint8_t *p,
		size_t n)
{
	bool zero = is_zero(p, n);
	const struct pwq_rec *r;

	for (r = f->recs; r; r = r->older) {
		if (!covers(r, at) || !has_begun(m, r))
			continue;
		if (r->data ? memcmp(r->data + (at - r->pos), p, n) != 0
			    : !zero)
			continue;
		if (r->failed && r->fresh && !r->may_show)
			continue;
		if (!is_superseded(f, m, r, at))
			return true;
	}
	return zero && may_be_hole(f, m, at);
}

/* ---- Q3, Q4: the size ---- */

static bool gives_size(const struct pwq_moment *m, const struct pwq_rec *r)
{
	return has_begun(m, r) && (!r->failed || r->may_show) &&
			r->size != PWQ_NONE;
}

static bool is_a_size(const struct pwq_file *f, const struct pwq_moment *m,
		uint64_t size)
{
	const struct pwq_rec *r;

	for (r = f->recs; r; r = r->older) {
		if (!gives_size(m, r))
			continue;
		if (r->size == size)
			return true;
		/* It took several transactions. */
		if (m->step && !r->sets && size > r->pos && size < r->size &&
				size % m->step == 0)
			return true;
	}
	return false;
}

/* Somebody not before @d makes it at most, or at least, @size. */
static bool is_explained(const struct pwq_file *f, const struct pwq_moment *m,
		const struct pwq_rec *d, uint64_t size)
{
	const struct pwq_rec *r;

	for (r = f->recs; r; r = r->older) {
		if (r == d || !gives_size(m, r) || precedes(r, d))
			continue;
		if (size < d->size ? r->sets && r->size <= size
				   : r->size >= size)
			return true;
	}
	return false;
}

static bool size_is_legal(const struct pwq_file *f, const struct pwq_moment *m,
		uint64_t size)
{
	const struct pwq_rec *d;

	if (!is_a_size(f, m, size))
		return false;
	for (d = f->recs; d; d = d->older) {
		if (!is_durable(m, d) || d->size == PWQ_NONE ||
				d->size == size || (d->size < size && !d->sets))
			continue;
		if (!is_explained(f, m, d, size))
			return false;
	}
	return true;
}

/* ---- all of it ---- */

bool pwq_is_legal(const struct pwq_file *f, const struct pwq_moment *m,
		const uint8_t *data, uint64_t size, char *why, size_t len)
{
	uint64_t at;

	if (!size_is_legal(f, m, size)) {
		snprintf(why, len, "size %" PRIu64 " is none that it may have",
				size);
		return false;
	}
	for (at = 0; at < size; at += PWQ_SECTOR) {
		const uint8_t *p = data + at;

		if (sector_is_legal(f, m, at, p,
				    min_u64(PWQ_SECTOR, size - at)))
			continue;
		snprintf(why, len,
				"size %" PRIu64 ", sector at %" PRIu64
				" may not hold %02x%02x%02x%02x %02x%02x%02x"
				"%02x",
				size, at, p[0], p[1], p[2], p[3], p[4], p[5],
				p[6], p[7]);
		return false;
	}
	return true;
}

bool pwq_is_touched(const struct pwq_file *f, const struct pwq_moment *m)
{
	const struct pwq_rec *r;

	for (r = f->recs; r; r = r->older) {
		if (has_begun(m, r) && !is_durable(m, r))
			return true;
	}
	return false;
}
