/* SPDX-License-Identifier: MIT */
/*
 * The options of a mount. See mount_opts.h.
 */
#include "cli/mount_opts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- those without a value ---- */

enum word_kind {
	WORD_SET,    /* a flag of the file system */
	WORD_CLEAR,  /* the same, taken back */
	WORD_KERNEL, /* passed on to the kernel's mount */
	WORD_NONE,   /* what is so anyway, or means something to others */
};

static const struct {
	const char *word;
	enum word_kind kind;
	uint32_t flag;
} words[] = {
	{ "ro", WORD_SET, UEXT4_MNT_RDONLY },
	{ "rw", WORD_CLEAR, UEXT4_MNT_RDONLY },
	{ "noload", WORD_SET, UEXT4_MNT_NOLOAD },
	{ "norecovery", WORD_SET, UEXT4_MNT_NOLOAD },
	{ "sync", WORD_SET, UEXT4_MNT_SYNC },
	{ "async", WORD_CLEAR, UEXT4_MNT_SYNC },
	{ "noatime", WORD_SET, UEXT4_MNT_NOATIME },
	{ "strictatime", WORD_SET, UEXT4_MNT_STRICTATIME },
	{ "relatime", WORD_CLEAR, UEXT4_MNT_NOATIME | UEXT4_MNT_STRICTATIME },
	{ "nodiscard", WORD_SET, UEXT4_MNT_NODISCARD },
	{ "direct", WORD_SET, UEXT4_MNT_DIRECT },
	{ "dax", WORD_SET, UEXT4_MNT_DAX },
	{ "allow_other", WORD_KERNEL, 0 },
	{ "allow_root", WORD_KERNEL, 0 },
	{ "auto_unmount", WORD_KERNEL, 0 },
	{ "suid", WORD_KERNEL, 0 },
	{ "dev", WORD_KERNEL, 0 },
	{ "exec", WORD_KERNEL, 0 },
	{ "noexec", WORD_KERNEL, 0 },
	{ "nosuid", WORD_NONE, 0 },
	{ "nodev", WORD_NONE, 0 },
	{ "default_permissions", WORD_NONE, 0 },
	{ "defaults", WORD_NONE, 0 },
	{ "auto", WORD_NONE, 0 },
	{ "noauto", WORD_NONE, 0 },
	{ "user", WORD_NONE, 0 },
	{ "users", WORD_NONE, 0 },
	{ "nouser", WORD_NONE, 0 },
	{ "nofail", WORD_NONE, 0 },
	{ "_netdev", WORD_NONE, 0 },
	{ "discard", WORD_NONE, 0 },
};

static int kernel_add(struct cli *c, struct serve_opts *o, const char *word)
{
	size_t used = strlen(o->fuse);
	int n;

	n = snprintf(o->fuse + used, sizeof(o->fuse) - used, "%s%s",
			used > 0 ? "," : "", word);
	if (n < 0 || (size_t)n >= sizeof(o->fuse) - used)
		return cli_errf(c, "too many options; leave some out");
	return 0;
}

static int take_word(struct cli *c, const char *word, struct serve_opts *o)
{
	size_t i;

	if (strcmp(word, "writeback_cache") == 0) {
		o->writeback_cache = true;
		return 0;
	}
	if (strcmp(word, "io_uring") == 0 || strcmp(word, "noio_uring") == 0) {
		o->ring = word[0] == 'i' ? SERVE_RING_ON : SERVE_RING_OFF;
		return 0;
	}
	if (strcmp(word, "kernel") == 0)
		return kernel_add(c, o, "allow_other,suid,dev");
	if (strncmp(word, "x-", 2) == 0)
		return 0;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i].word, word) != 0)
			continue;
		if (words[i].kind == WORD_SET)
			o->mnt.flags |= words[i].flag;
		else if (words[i].kind == WORD_CLEAR)
			o->mnt.flags &= ~words[i].flag;
		else if (words[i].kind == WORD_KERNEL)
			return kernel_add(c, o, word);
		return 0;
	}
	return cli_errf(c,
			"%s: no such option; see uext4(1) for those there are",
			word);
}

/* ---- those with a value ---- */

struct choice {
	const char *word;
	int value;
};

static int choose(struct cli *c, const char *name, const char *value,
		const struct choice *of, size_t n, int *ret)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (strcmp(of[i].word, value) == 0) {
			*ret = of[i].value;
			return 0;
		}
	}
	return cli_errf(c, "%s=%s: no such choice; see uext4(1)", name, value);
}

#define CHOOSE(c, name, value, of, ret)                                        \
 choose(c, name, value, of, sizeof(of) / sizeof((of)[0]), ret)

static int take_choice(struct cli *c, const char *name, const char *value,
		struct serve_opts *o)
{
	static const struct choice errors[] = {
		{ "continue", UEXT4_ERRORS_CONTINUE },
		{ "remount-ro", UEXT4_ERRORS_RO },
		{ "panic", UEXT4_ERRORS_SHUTDOWN },
	};
	static const struct choice alloc[] = {
		{ "unwritten", UEXT4_DIO_ALLOC_UNWRITTEN },
		{ "datafirst", UEXT4_DIO_ALLOC_DATAFIRST },
	};
	static const struct choice extend[] = {
		{ "parallel", UEXT4_DIO_EXTEND_PARALLEL },
		{ "serial", UEXT4_DIO_EXTEND_SERIAL },
	};
	static const struct choice size[] = {
		{ "max", UEXT4_DIO_SIZE_MAX },
		{ "prefix", UEXT4_DIO_SIZE_PREFIX },
	};
	int n = 0;
	int ret = 0;

	if (strcmp(name, "errors") == 0) {
		ret = CHOOSE(c, name, value, errors, &n);
		o->mnt.errors = (enum uext4_errors)n;
	} else if (strcmp(name, "dio_alloc") == 0) {
		ret = CHOOSE(c, name, value, alloc, &n);
		o->mnt.dio_alloc = (enum uext4_dio_alloc)n;
	} else if (strcmp(name, "dio_extend") == 0) {
		ret = CHOOSE(c, name, value, extend, &n);
		o->mnt.dio_extend = (enum uext4_dio_extend)n;
	} else if (strcmp(name, "dio_size") == 0) {
		ret = CHOOSE(c, name, value, size, &n);
		o->mnt.dio_size = (enum uext4_dio_size)n;
	} else if (strcmp(name, "data") == 0) {
		/* ordered keeps what writeback promises, and more */
		if (strcmp(value, "ordered") != 0 &&
				strcmp(value, "writeback") != 0)
			ret = cli_errf(c,
					"data=%s: only ordered data is "
					"written; use data=ordered",
					value);
	} else {
		ret = cli_errf(c,
				"%s=: no such option; see uext4(1) for those "
				"there are",
				name);
	}
	return ret;
}

static int take_idmap(struct cli *c, const char *name, const char *value,
		struct serve_opts *o)
{
	int ret;

	if (strcmp(name, "uidmap") == 0) {
		ret = idmap_parse(&o->uids, value);
	} else if (strcmp(name, "gidmap") == 0) {
		ret = idmap_parse(&o->gids, value);
	} else if (strcmp(value, "root") == 0) {
		ret = idmap_add(&o->uids, getuid(), 0, 1);
		if (ret == 0)
			ret = idmap_add(&o->gids, getgid(), 0, 1);
	} else {
		ret = -EINVAL;
	}
	if (ret == 0)
		o->checked = false;
	return ret == 0 ? 0
			: cli_errf(c,
					  "%s=%s: not a map; write HOST:IMAGE"
					  "[:COUNT], several joined by +, or "
					  "idmap=root",
					  name, value);
}

static const struct {
	const char *name;
	uint64_t min, max;
} numbers[] = {
	{ "commit", 0, INT32_MAX },
	{ "cache_size", 0, SIZE_MAX / 2 },
	{ "meta_cache", 0, SIZE_MAX / 2 },
	{ "offset", 0, SIZE_MAX / 2 },
	{ "partition", 0, INT32_MAX },
	{ "threads", 1, 64 },
};
#define NNUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static void set_number(struct cli *c, const char *name, uint64_t n,
		struct serve_opts *o)
{
	if (strcmp(name, "commit") == 0)
		o->mnt.commit_interval = (uint32_t)n;
	else if (strcmp(name, "cache_size") == 0)
		o->mnt.page_cache = n;
	else if (strcmp(name, "meta_cache") == 0)
		o->mnt.meta_cache = n;
	else if (strcmp(name, "offset") == 0)
		c->offset = n;
	else if (strcmp(name, "partition") == 0)
		c->partition = (uint32_t)n;
	else
		o->threads = (unsigned)n;
}

static int take_value(struct cli *c, const char *name, const char *value,
		struct serve_opts *o)
{
	uint64_t n;
	size_t i;

	for (i = 0; i < NNUMBERS; i++) {
		if (strcmp(numbers[i].name, name) != 0)
			continue;
		if (cli_parse_size(value, &n) < 0 || n < numbers[i].min ||
				n > numbers[i].max)
			return cli_errf(c, "%s=%s: not a number that it can be",
					name, value);
		set_number(c, name, n, o);
		return 0;
	}
	if (strcmp(name, "uidmap") == 0 || strcmp(name, "gidmap") == 0 ||
			strcmp(name, "idmap") == 0)
		return take_idmap(c, name, value, o);
	if (strcmp(name, "comment") == 0)
		return 0;
	return take_choice(c, name, value, o);
}

int mount_opts_parse(struct cli *c, const char *text, struct serve_opts *o)
{
	char *copy = strdup(text);
	char *rest = copy;
	char *word;
	char *eq;
	int ret = 0;

	if (!copy)
		return cli_err(c, NULL, "-o", -ENOMEM);
	while (ret == 0 && (word = strsep(&rest, ",")) != NULL) {
		if (word[0] == '\0')
			continue;
		eq = strchr(word, '=');
		if (eq && strncmp(word, "x-", 2) != 0) {
			*eq = '\0';
			ret = take_value(c, word, eq + 1, o);
		} else {
			ret = take_word(c, word, o);
		}
	}
	free(copy);
	return ret == 0 ? 0 : CLI_USAGE;
}

/* ---- all together ---- */

/* A name inside the kernel's options: commas and backslashes are escaped. */
static int add_name(struct cli *c, struct serve_opts *o, const char *name)
{
	char text[sizeof(o->fuse)];
	size_t n = (size_t)snprintf(
			text, sizeof(text), "subtype=uext4,fsname=");

	for (; *name != '\0'; name++) {
		if (n + 3 > sizeof(text))
			return cli_errf(c,
					"the image's path is too long for "
					"the kernel's table of mounts");
		if (*name == ',' || *name == '\\')
			text[n++] = '\\';
		text[n++] = *name;
	}
	text[n] = '\0';
	return kernel_add(c, o, text);
}

int mount_opts_finish(struct cli *c, struct serve_opts *o)
{
	int ret = 0;

	if ((o->mnt.flags & UEXT4_MNT_NOLOAD) &&
			!(o->mnt.flags & UEXT4_MNT_RDONLY))
		return cli_errf(c,
				"noload needs ro: with a journal that was "
				"not replayed nothing may be written");
	if (!o->checked && strstr(o->fuse, "allow_other"))
		return cli_errf(c,
				"allow_other and maps of ids exclude each "
				"other: leave one out");
	if (!o->checked && o->writeback_cache)
		return cli_errf(c,
				"writeback_cache and maps of ids exclude "
				"each other: leave one out");
	if (o->mnt.flags & UEXT4_MNT_RDONLY)
		ret = kernel_add(c, o, "ro");
	if (ret == 0 && o->checked)
		ret = kernel_add(c, o, "default_permissions");
	return ret == 0 ? add_name(c, o, o->image) : ret;
}
