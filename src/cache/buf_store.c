/* SPDX-License-Identifier: MIT */
/*
 * Memory for the contents of bufs: blocks aligned for direct I/O.
 *
 * A block is 1 to 64 KiB and aligned to its own size, or to 4096 if it is
 * larger. Asking malloc for each would waste a header page per block, so they
 * are carved from slabs, which are freed with the store. Under the address
 * sanitizer each block is an allocation of its own, so that it can see a write
 * past the end.
 */
#include <stdlib.h>

#include "cache/buf_shard.h"

#define BUF_SLAB_BYTES (256u << 10)

struct buf_slab {
	struct buf_slab *next;
	void *mem;
};

static size_t buf_store_align(const struct buf_store *st)
{
	return st->size < 4096 ? st->size : 4096;
}

#if defined(__has_feature)
# if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#  define BUF_STORE_SINGLE 1
# endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
# define BUF_STORE_SINGLE 1
#endif

#if defined(BUF_STORE_SINGLE)

uint8_t *buf_data_new(struct buf_cache *c)
{
	void *p;

	if (posix_memalign(&p, buf_store_align(&c->store), c->store.size) != 0)
		return NULL;
	return p;
}

void buf_data_free(struct buf_cache *c, uint8_t *data)
{
	free(data);
}

#else

/* Add a slab to the free list; without memory it stays empty. */
static void buf_store_grow_locked(struct buf_store *st) UEXT4_REQUIRES(st->lock)
{
	struct buf_slab *slab;
	uint32_t i;
	char *p;

	slab = malloc(sizeof(*slab));
	if (slab == NULL)
		return;
	if (posix_memalign(&slab->mem, buf_store_align(st),
			    (size_t)st->size * st->per_slab) != 0) {
		free(slab);
		return;
	}
	slab->next = st->slabs;
	st->slabs = slab;
	p = slab->mem;
	for (i = st->per_slab; i-- > 0;) {
		void *block = p + (size_t)i * st->size;

		*(void **)block = st->free;
		st->free = block;
	}
}

uint8_t *buf_data_new(struct buf_cache *c)
{
	struct buf_store *st = &c->store;
	void *p;

	mutex_lock(&st->lock);
	if (st->free == NULL)
		buf_store_grow_locked(st);
	p = st->free;
	if (p != NULL)
		st->free = *(void **)p;
	mutex_unlock(&st->lock);
	return p;
}

void buf_data_free(struct buf_cache *c, uint8_t *data)
{
	struct buf_store *st = &c->store;

	if (data == NULL)
		return;
	mutex_lock(&st->lock);
	*(void **)(void *)data = st->free;
	st->free = data;
	mutex_unlock(&st->lock);
}

#endif

void buf_store_init(struct buf_store *st, uint32_t size)
{
	mutex_init(&st->lock, "buf store", LOCK_RANK_LEAF);
	st->size = size;
	st->per_slab = size < BUF_SLAB_BYTES ? BUF_SLAB_BYTES / size : 1;
	st->free = NULL;
	st->slabs = NULL;
}

void buf_store_fini(struct buf_store *st)
{
	struct buf_slab *slab;

	while ((slab = st->slabs) != NULL) {
		st->slabs = slab->next;
		free(slab->mem);
		free(slab);
	}
	mutex_fini(&st->lock);
}
