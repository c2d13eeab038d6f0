/* SPDX-License-Identifier: MIT */
/*
 * What a reader may see in a file that many threads change at once.
 *
 * A file is units of 256 bytes. Who writes a unit fills it with one word, made
 * of the file, the unit and the tag of the write; zeroes have tag 0. Each change
 * is entered with the time at which it began and, later, at which it had ended:
 *
 *	c = legal_begin(l, file, unit, n, tag);
 *	... write, punch, truncate ...
 *	legal_end(l, &c, happened);
 *
 *	begin = legal_read_begin(l, me);
 *	... read ...
 *	legal_check(l, file, pos, buf, len, begin);
 *	legal_read_end(l, me);
 *
 * A change is seen legally unless another one began after it had ended, and had
 * ended itself when the read began. What no change has put there, old contents of
 * blocks above all, is never legal.
 */
#ifndef UEXT4_TESTS_FS_LEGAL_H
#define UEXT4_TESTS_FS_LEGAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEGAL_UNIT    256u
#define LEGAL_READERS 8u

struct legal;

struct legal_change {
	unsigned file;
	uint32_t unit, n, tag;
	uint64_t begin;
};

/* @nfiles of @units each, all zeroes. */
struct legal *legal_new(unsigned nfiles, uint32_t units);
void legal_free(struct legal *l);
struct legal_change legal_begin(struct legal *l, unsigned file, uint32_t unit,
		uint32_t n, uint32_t tag);
/* @happened: wholly; else it may be seen or not, whatever comes later. */
void legal_end(struct legal *l, const struct legal_change *c, bool happened);
/* Reader @me may have several reads under way. */
uint64_t legal_read_begin(struct legal *l, unsigned me);
void legal_read_end(struct legal *l, unsigned me);
/* True if every word could be seen; else says the first that could not. */
bool legal_check(struct legal *l, unsigned file, uint64_t pos, const void *buf,
		size_t len, uint64_t begin);

uint64_t legal_word(unsigned file, uint32_t unit, uint32_t tag);
void legal_fill(void *buf, unsigned file, uint32_t unit, uint32_t n,
		uint32_t tag);
/* The same without times: is each word zero, or one that somebody could have
 * written there? With @anywhere in any unit of the file. */
bool legal_is_ours(unsigned file, uint64_t pos, const void *buf, size_t len,
		bool anywhere);

#endif
