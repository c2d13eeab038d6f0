/* SPDX-License-Identifier: MIT */
/*
 * The two checksums of the format.
 *
 * Both are raw: no inversion before or after, so that
 * crc32c(crc32c(s, a), b) is crc32c(s, ab). Chains start with ~0.
 */
#ifndef UEXT4_BASE_CSUM_H
#define UEXT4_BASE_CSUM_H

#include <stddef.h>
#include <stdint.h>

#define CRC32C_INIT 0xffffffffu
#define CRC16_INIT  0xffffu

/* CRC-32C (Castagnoli, reflected 0x82f63b78) of @len bytes on from @seed. */
uint32_t crc32c(uint32_t seed, const void *buf, size_t len);
/* CRC-32C over the 4 (8) bytes of a number in little-endian order. */
uint32_t crc32c_le32(uint32_t seed, uint32_t v);
uint32_t crc32c_le64(uint32_t seed, uint64_t v);
/* Choose the 4 bytes at @at so that crc32c(@seed, @buf, @len) is @want. There is
 * always exactly one choice. */
void crc32c_keep(
		uint32_t seed, void *buf, size_t len, size_t at, uint32_t want);
/* CRC-32 big-endian (0x04c11db7, not reflected), of jbd2's checksum v1. */
uint32_t crc32_be(uint32_t seed, const void *buf, size_t len);
/* CRC-16 (reflected 0xa001) of @len bytes on from @seed. */
uint16_t crc16(uint16_t seed, const void *buf, size_t len);

#endif /* UEXT4_BASE_CSUM_H */
