/* SPDX-License-Identifier: MIT */
/*
 * Writing the blocks of the log home, or keeping them in memory; see replay.h.
 */
#include "journal/replay.h"

#include <stdlib.h>
#include <string.h>

#include "base/hmap.h"
#include "base/le.h"
#include "base/log.h"
#include "bdev/bdev.h"
#include "cache/buf.h"
#include "disk/djournal.h"
#include "journal/jlog.h"

#define REPLAY_BATCH 256u /* blocks in memory at once */

struct image {
	struct hmap_node node; /* key: block number */
	uint32_t pos;
	bool escaped;
	uint8_t *data; /* after overlay_load() */
};

struct overlay {
	struct hmap map;
};

struct overlay *overlay_new(void)
{
	struct overlay *o = calloc(1, sizeof(*o));

	if (o != NULL && hmap_init(&o->map, 0) < 0) {
		free(o);
		return NULL;
	}
	return o;
}

void overlay_free(struct overlay *o)
{
	struct hmap_node *n, *next;

	if (o == NULL)
		return;
	for (n = hmap_first(&o->map); n != NULL; n = next) {
		struct image *im = container_of(n, struct image, node);

		next = hmap_next(&o->map, n);
		free(im->data);
		free(im);
	}
	hmap_fini(&o->map);
	free(o);
}

static struct image *overlay_image(const struct overlay *o, pblk_t pblk)
{
	struct hmap_node *n = hmap_find(&o->map, pblk);

	return n != NULL ? container_of(n, struct image, node) : NULL;
}

int overlay_put(struct overlay *o, pblk_t pblk, uint32_t pos, bool escaped)
{
	struct image *im = overlay_image(o, pblk);

	if (im == NULL) {
		im = calloc(1, sizeof(*im));
		if (im == NULL)
			return -ENOMEM;
		hmap_insert(&o->map, &im->node, pblk);
	}
	im->pos = pos;
	im->escaped = escaped;
	return 0;
}

const void *overlay_find(const struct overlay *o, pblk_t pblk)
{
	const struct image *im = overlay_image(o, pblk);

	return im != NULL ? im->data : NULL;
}

static int image_read(const struct image *im, const struct jlog *l,
		struct log *log, uint8_t *data)
{
	int ret = jlog_read(l, im->pos, data, 1);

	if (ret < 0) {
		log_err(log, "journal: reading log block %u: %s", im->pos,
				err_text(ret));
		return ret;
	}
	if (im->escaped)
		put_be32(data, DJ_MAGIC);
	return 0;
}

int overlay_load(struct overlay *o, const struct jlog *l, struct log *log)
{
	struct hmap_node *n;
	int err = 0;

	for (n = hmap_first(&o->map); n != NULL; n = hmap_next(&o->map, n)) {
		struct image *im = container_of(n, struct image, node);
		int ret;

		im->data = malloc(l->block_size);
		if (im->data == NULL)
			return -ENOMEM;
		ret = image_read(im, l, log, im->data);
		if (ret < 0) {
			free(im->data);
			im->data = NULL;
			err = err < 0 ? err : ret;
		}
	}
	return err;
}

/* ---- home ---- */

struct replay {
	const struct jlog *l;
	struct buf_cache *cache;
	struct log *log;
	uint8_t *mem; /* REPLAY_BATCH blocks */
};

static int image_cmp(const void *pa, const void *pb)
{
	const struct image *const *a = pa;
	const struct image *const *b = pb;

	if ((*a)->node.key != (*b)->node.key)
		return (*a)->node.key < (*b)->node.key ? -1 : 1;
	return 0;
}

/* Write @n adjacent blocks, which stand in r->mem. */
static int replay_write(struct replay *r, pblk_t pblk, uint32_t n)
{
	uint32_t bs = r->l->block_size;
	uint32_t i;
	int ret;

	if (n == 0)
		return 0;
	ret = bdev_write(r->l->dev, pblk * bs, r->mem, (size_t)n * bs, 0,
			BDEV_TAG_METADATA);
	if (ret < 0)
		log_err(r->log, "journal: replaying block %llu: %s",
				(unsigned long long)pblk, err_text(ret));
	for (i = 0; i < n && r->cache != NULL; i++)
		buf_forget_block(r->cache, pblk + i);
	return ret;
}

/* Write the sorted @v home, run by run. */
static int replay_runs(struct replay *r, struct image **v, size_t count)
{
	uint32_t bs = r->l->block_size;
	pblk_t first = 0;
	uint32_t n = 0;
	size_t i;
	int err = 0;
	int ret;

	for (i = 0; i < count; i++) {
		if (n > 0 &&
				(n == REPLAY_BATCH ||
						v[i]->node.key != first + n)) {
			ret = replay_write(r, first, n);
			err = err < 0 ? err : ret;
			n = 0;
		}
		ret = image_read(v[i], r->l, r->log, r->mem + (size_t)n * bs);
		if (ret < 0) {
			/* Recover what can be; what was collected is written
			 * when the next block does not fit to it. */
			err = err < 0 ? err : ret;
			continue;
		}
		if (n == 0)
			first = v[i]->node.key;
		n++;
	}
	ret = replay_write(r, first, n);
	return err < 0 ? err : ret;
}

int overlay_write_home(struct overlay *o, const struct jlog *l,
		struct buf_cache *cache, struct log *log)
{
	struct replay r = { .l = l, .cache = cache, .log = log };
	size_t count = hmap_count(&o->map);
	struct hmap_node *n;
	struct image **v;
	size_t i = 0;
	void *mem;
	int ret;

	if (count == 0)
		return 0;
	v = calloc(count, sizeof(struct image *));
	if (v == NULL)
		return -ENOMEM;
	if (posix_memalign(&mem, 4096, (size_t)REPLAY_BATCH * l->block_size)) {
		free(v);
		return -ENOMEM;
	}
	r.mem = mem;
	for (n = hmap_first(&o->map); n != NULL; n = hmap_next(&o->map, n))
		v[i++] = container_of(n, struct image, node);
	qsort(v, count, sizeof(struct image *), image_cmp);
	ret = replay_runs(&r, v, count);
	free(mem);
	free(v);
	return ret;
}
