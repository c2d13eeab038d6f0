/* SPDX-License-Identifier: MIT */
/*
 * Words in little- and big-endian memory: the only byte swaps in the tree.
 *
 * Any alignment, any host. Compilers turn each into one load or store.
 */
#ifndef UEXT4_BASE_LE_H
#define UEXT4_BASE_LE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define UEXT4_WORD_ACCESS(order, bits, load, store)                            \
 static inline uint##bits##_t get_##order##bits(const void *p)                 \
 {                                                                             \
  uint##bits##_t v;                                                            \
                                                                               \
  memcpy(&v, p, sizeof(v));                                                    \
  return load(v);                                                              \
 }                                                                             \
                                                                               \
 static inline void put_##order##bits(void *p, uint##bits##_t v)               \
 {                                                                             \
  v = store(v);                                                                \
  memcpy(p, &v, sizeof(v));                                                    \
 }

/* get_le16(p) ... put_be64(p, v) */
UEXT4_WORD_ACCESS(le, 16, le16toh, htole16)
UEXT4_WORD_ACCESS(le, 32, le32toh, htole32)
UEXT4_WORD_ACCESS(le, 64, le64toh, htole64)
UEXT4_WORD_ACCESS(be, 16, be16toh, htobe16)
UEXT4_WORD_ACCESS(be, 32, be32toh, htobe32)
UEXT4_WORD_ACCESS(be, 64, be64toh, htobe64)

#undef UEXT4_WORD_ACCESS

#endif /* UEXT4_BASE_LE_H */
