/* SPDX-License-Identifier: MIT */
/*
 * The checker's frame: reading, claiming, reporting, and the passes in order.
 */
#include "check/check_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

void ck_problem(struct ck *c, const char *fmt, ...)
{
	struct check_report *rep = c->rep;
	va_list ap;

	rep->count++;
	if (rep->kept == CHECK_MAX_PROBLEMS)
		return;
	va_start(ap, fmt);
	vsnprintf(rep->text[rep->kept], CHECK_TEXT_LEN, fmt, ap);
	va_end(ap);
	rep->kept++;
}

void check_print(const struct check_report *rep, FILE *out)
{
	for (uint32_t i = 0; i < rep->kept; i++)
		fprintf(out, "%s\n", rep->text[i]);
	if (rep->count > rep->kept)
		fprintf(out, "... and %u more\n", rep->count - rep->kept);
}

int check_read_fd(void *ctx, uint64_t pos, void *buf, size_t len)
{
	const int *fd = ctx;
	uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = pread(*fd, p, len, (off_t)pos);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		pos += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* Read bytes, wherever they are. -EIO outside the image. */
int ck_read(struct ck *c, uint64_t pos, void *buf, size_t len)
{
	int ret;

	if (pos > c->dev->size || len > c->dev->size - pos) {
		ret = -EIO;
	} else if (c->dev->map) {
		memcpy(buf, (const uint8_t *)c->dev->map + pos, len);
		ret = 0;
	} else {
		ret = c->dev->read(c->dev->ctx, pos, buf, len);
	}
	if (ret < 0 && !c->err)
		c->err = ret;
	return ret;
}

/*
 * The bytes of one block, good until the slot is used again. NULL: c->err
 * is set (K5).
 */
const uint8_t *ck_block(struct ck *c, uint64_t pblk, unsigned int slot)
{
	if (c->dev->map && pblk < c->blocks)
		return (const uint8_t *)c->dev->map + (pblk << c->bs_bits);

	if (!c->scratch[slot]) {
		c->scratch[slot] = malloc(c->bs);
		if (!c->scratch[slot]) {
			c->err = -ENOMEM;
			return NULL;
		}
	}
	if (pblk >= c->blocks) {
		c->err = -EIO;
		return NULL;
	}
	if (ck_read(c, pblk << c->bs_bits, c->scratch[slot], c->bs) < 0)
		return NULL;
	return c->scratch[slot];
}

/* Make room for @need members of @size in the array at @array. */
bool ck_grow(struct ck *c, void *array, uint32_t *cap, uint32_t need,
		size_t size)
{
	uint32_t want = *cap ? *cap : 64;
	void *old, *new;

	if (need <= *cap)
		return true;
	while (want < need)
		want *= 2;
	memcpy(&old, array, sizeof(old));
	new = realloc(old, want * size);
	if (!new) {
		c->err = -ENOMEM;
		return false;
	}
	memcpy(array, &new, sizeof(new));
	*cap = want;
	return true;
}

bool ck_in_range(const struct ck *c, uint64_t pblk, uint64_t len)
{
	return pblk >= c->first_data && pblk < c->blocks &&
			len <= c->blocks - pblk;
}

/*
 * Mark the blocks as belonging to @who (and inode @ino, if not 0). False and
 * a problem: out of range, or somebody else has one of them.
 */
bool ck_claim(struct ck *c, uint64_t pblk, uint64_t len, const char *who,
		uint32_t ino)
{
	uint64_t bit = pblk - c->first_data;
	uint64_t dup;

	if (!ck_in_range(c, pblk, len)) {
		ck_problem(c, "pass1: inode %u: %s: block %ju+%ju is outside",
				ino, who, (uintmax_t)pblk, (uintmax_t)len);
		return false;
	}
	dup = bits_find_next_set(c->used, bit, bit + len);
	if (dup < bit + len) {
		ck_problem(c, "pass1: inode %u: %s: block %ju is claimed twice",
				ino, who, (uintmax_t)(dup + c->first_data));
		return false;
	}
	bits_set_range(c->used, bit, len);
	return true;
}

int ck_init(struct ck *c, const struct check_dev *dev,
		const struct check_opts *opts, struct check_report *rep)
{
	memset(c, 0, sizeof(*c));
	c->dev = dev;
	c->opts = opts;
	c->rep = rep;
	c->flags = opts ? opts->flags : 0;
	memset(rep, 0, offsetof(struct check_report, text));
	memset(&rep->blocks, 0,
			sizeof(*rep) - offsetof(struct check_report, blocks));
	return ck_super_load(c);
}

/* The tables of a whole check; a walk does without. */
int ck_alloc(struct ck *c)
{
	c->used_len = (uint64_t)c->groups * c->bpg / 8 + 8;
	c->used = calloc(1, c->used_len);
	c->ino = calloc(c->inodes, sizeof(*c->ino));
	c->grp_dirs = calloc(c->groups, sizeof(*c->grp_dirs));
	if (!c->used || !c->ino || !c->grp_dirs)
		return -ENOMEM;
	return 0;
}

void ck_fini(struct ck *c)
{
	free(c->gdt);
	free(c->used);
	free(c->ino);
	free(c->grp_dirs);
	free(c->dirs);
	free(c->dblks);
	free(c->xblks);
	free(c->names);
	for (unsigned int i = 0; i < CK_SLOTS; i++)
		free(c->scratch[i]);
}

int ck_run(struct ck *c)
{
	static int (*const pass[])(struct ck *) = {
		ck_gdt_load,
		ck_super,
		ck_groups,
		ck_mmp,
		ck_orphans,
		ck_inodes,
		ck_dirs,
		ck_xattr_refs,
		ck_connect,
		ck_bitmaps,
	};
	int ret = ck_alloc(c);

	for (size_t i = 0; ret == 0 && i < sizeof(pass) / sizeof(*pass); i++) {
		ret = pass[i](c);
		if (c->err)
			return c->err;
	}
	return ret;
}

int check_fs(const struct check_dev *dev, const struct check_opts *opts,
		struct check_report *rep)
{
	struct ck c;
	int ret;

	ret = ck_init(&c, dev, opts, rep);
	if (ret == 0)
		ret = ck_run(&c);
	ck_fini(&c);
	if (ret < 0)
		return ret;
	return rep->count > 0;
}
