/* SPDX-License-Identifier: MIT */
/*
 * Reference counts.
 *
 * An object is born with ref_init(r, 1). Who holds a reference may take
 * another; who holds none may take one only through ref_get_unless_zero(),
 * under the lock of the table that the object was found in.
 */
#ifndef UEXT4_BASE_REF_H
#define UEXT4_BASE_REF_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>

struct ref {
	atomic_uint n;
};

static inline void ref_init(struct ref *r, unsigned n)
{
	atomic_init(&r->n, n);
}

static inline void ref_get(struct ref *r)
{
	unsigned old = atomic_fetch_add_explicit(
			&r->n, 1, memory_order_relaxed);

	assert(old != 0 && old != ~0u);
	(void)old;
}

/* False when the object is already dying. */
static inline bool ref_get_unless_zero(struct ref *r)
{
	unsigned old = atomic_load_explicit(&r->n, memory_order_relaxed);

	while (old != 0) {
		if (atomic_compare_exchange_weak_explicit(&r->n, &old, old + 1,
				    memory_order_acquire, memory_order_relaxed))
			return true;
	}
	return false;
}

/* True when this was the last one: the caller frees the object. */
static inline bool ref_put(struct ref *r)
{
	unsigned old = atomic_fetch_sub_explicit(
			&r->n, 1, memory_order_acq_rel);

	assert(old != 0);
	return old == 1;
}

/* A hint, unless the caller keeps others away. */
static inline unsigned ref_count(struct ref *r)
{
	return atomic_load_explicit(&r->n, memory_order_relaxed);
}

#endif /* UEXT4_BASE_REF_H */
