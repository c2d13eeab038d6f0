/* SPDX-License-Identifier: MIT */
/* Outcomes: see outcome.h. */
#include "outcome.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dop.h"

#define ARENA (8u << 20)
#define SHOWN 48u

void out_init(struct outcome *o)
{
	*o = (struct outcome){ .arena = dop_alloc(ARENA) };
}

void out_fini(struct outcome *o)
{
	free(o->arena);
}

void out_clear(struct outcome *o)
{
	o->err = 0;
	o->not_run = false;
	o->n = 0;
	o->used = 0;
}

static struct out_field *add(struct outcome *o, const char *name)
{
	if (o->n == OUT_FIELDS) {
		fprintf(stderr, "mount_diff: too many fields at %s\n", name);
		abort();
	}
	o->f[o->n] = (struct out_field){ .name = name };
	return &o->f[o->n++];
}

void out_num(struct outcome *o, const char *name, uint64_t value)
{
	add(o, name)->value = value;
}

void out_bytes(struct outcome *o, const char *name, const void *bytes,
		size_t len)
{
	struct out_field *f = add(o, name);

	if (len + 8 > ARENA - o->used) {
		fprintf(stderr, "mount_diff: too many bytes at %s\n", name);
		abort();
	}
	f->bytes = memcpy(o->arena + o->used, bytes, len);
	f->value = len;
	o->used += (len + 7) & ~(size_t)7;
}

uint64_t out_time(const struct timespec *ts)
{
	static time_t begin;
	time_t now = time(NULL);

	if (begin == 0)
		begin = now;
	if (ts->tv_sec >= begin - 600 && ts->tv_sec <= now + 600)
		return 0;
	return ((uint64_t)ts->tv_sec << 30) + (uint64_t)ts->tv_nsec;
}

void out_stat(struct outcome *o, const struct stat *st)
{
	out_num(o, "mode", st->st_mode);
	out_num(o, "nlink", st->st_nlink);
	out_num(o, "uid", st->st_uid);
	out_num(o, "gid", st->st_gid);
	out_num(o, "rdev", st->st_rdev);
	out_num(o, S_ISDIR(st->st_mode) ? "dir_size" : "size",
			(uint64_t)st->st_size);
	out_num(o, "blksize", (uint64_t)st->st_blksize);
	out_num(o, "atime", out_time(&st->st_atim));
	out_num(o, "mtime", out_time(&st->st_mtim));
	out_num(o, "ctime", out_time(&st->st_ctim));
}

long out_ret(struct outcome *o, long ret)
{
	if (ret < 0)
		o->err = errno;
	else
		out_num(o, "ret", (uint64_t)ret);
	return ret;
}

bool out_same_field(const struct out_field *a, const struct out_field *b)
{
	if (strcmp(a->name, b->name) != 0 || a->value != b->value ||
			!a->bytes != !b->bytes)
		return false;
	return !a->bytes || memcmp(a->bytes, b->bytes, a->value) == 0;
}

void out_print_field(const struct out_field *f, FILE *to)
{
	size_t i;

	if (!f->bytes) {
		fprintf(to, " %s=%llu", f->name, (unsigned long long)f->value);
		if (strcmp(f->name, "mode") == 0)
			fprintf(to, "(0%o)", (unsigned)f->value);
		return;
	}
	fprintf(to, " %s=[%llu]", f->name, (unsigned long long)f->value);
	for (i = 0; i < f->value && i < SHOWN; i++) {
		if (f->bytes[i] > 32 && f->bytes[i] < 127)
			fputc(f->bytes[i], to);
		else
			fprintf(to, "\\%02x", f->bytes[i]);
	}
	if (f->value > SHOWN)
		fputs("...", to);
}

void out_print(const struct outcome *o, FILE *to)
{
	unsigned i;

	if (o->not_run) {
		fputs(" not asked", to);
		return;
	}
	fprintf(to, " %s", o->err ? strerrorname_np(o->err) : "ok");
	for (i = 0; i < o->n; i++)
		out_print_field(&o->f[i], to);
}
