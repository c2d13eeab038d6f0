/* SPDX-License-Identifier: MIT */
/* Names that were made, and paths made of them: see gen.h. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen.h"

static const char *const short_names[] = { "a", "b", "c", "d", "e", "f", "g",
	"h", "d1", "d2", "d3", "l1", "l2", "s1", "x y\n\\", "\xff\xfe", "A" };

static char *join(const char *dir, const char *name)
{
	char *path = dop_alloc(strlen(dir) + strlen(name) + 2);

	if (dir[0] == '\0' || strcmp(dir, ".") == 0)
		return strcpy(path, name);
	(void)sprintf(path, "%s/%s", dir, name);
	return path;
}

static const struct gen_name *pick(struct gen *g, const char *types)
{
	int tries;

	for (tries = 0; g->npool > 0 && tries < 16; tries++) {
		const struct gen_name *n = &g->pool[gen_below(g, g->npool)];

		if (strchr(types, n->type))
			return n;
	}
	return NULL;
}

static const char *pick_dir(struct gen *g)
{
	const struct gen_name *n = gen_chance(g, 40) ? NULL : pick(g, "d");

	/* Not too deep: all the rest would lie at the bottom. */
	return n && strlen(n->path) < 600 ? n->path : ".";
}

static char *long_name(struct gen *g, size_t len)
{
	char *name = dop_alloc(len + 1);

	memset(name, 'n', len);
	name[0] = (char)('n' + gen_below(g, 2));
	return name;
}

static char *any_name(struct gen *g)
{
	if (gen_chance(g, 2))
		return long_name(g, 254 + gen_below(g, 3));
	return dop_text(GEN_PICK(g, short_names));
}

/* Ways to say something else, or nothing that can be. Takes over @path. */
static char *strange(struct gen *g, char *path)
{
	char *text = dop_alloc(strlen(path) + PATH_MAX + 64);
	size_t i, n;

	switch (gen_below(g, 14)) {
	case 0:
		(void)sprintf(text, "%s/", path);
		break;
	case 1:
		(void)sprintf(text, "./%s", path);
		break;
	case 2:
		(void)sprintf(text, "%s/.", path);
		break;
	case 3:
		(void)sprintf(text, "%s/..", path);
		break;
	case 4:
		(void)sprintf(text, "%s/a", path);
		break;
	case 5:
		(void)sprintf(text, "d1//../%s", path);
		break;
	case 6:
		(void)sprintf(text, "/t/%s", path);
		break;
	case 7:
		(void)sprintf(text, "../../t/%s", path);
		break;
	case 8: /* as long as a path may be, or too long */
		n = PATH_MAX - 4 + gen_below(g, 6);
		n -= strlen(path) < n ? strlen(path) : 0;
		for (i = 0; i + 2 <= n; i += 2)
			memcpy(text + i, "./", 2);
		(void)strcpy(text + i, path);
		break;
	case 9:
		(void)strcpy(text, gen_chance(g, 50) ? "." : "..");
		break;
	case 10:
		break; /* "" */
	case 11:
		(void)sprintf(text, "l1/%s", path);
		break;
	case 12:
		(void)strcpy(text, gen_chance(g, 50) ? "/" : "/lost+found");
		break;
	default:
		(void)sprintf(text, "%s//", path);
	}
	free(path);
	return text;
}

char *gen_old(struct gen *g, const char *types)
{
	const struct gen_name *n = pick(g, types);
	char *path;

	if (!n || gen_chance(g, 6))
		n = pick(g, "dfls");
	path = n ? dop_text(n->path) : dop_text("a");
	if (gen_chance(g, 3)) {
		free(path);
		path = join(pick_dir(g), "nothing");
	}
	return gen_chance(g, 4) ? strange(g, path) : path;
}

char *gen_fresh(struct gen *g)
{
	char *name, *path;

	if (gen_chance(g, 8))
		return gen_old(g, "dfls");
	name = any_name(g);
	path = join(pick_dir(g), name);
	free(name);
	return gen_chance(g, 4) ? strange(g, path) : path;
}

/* ---- learning ---- */

static int find(const struct gen *g, const char *path)
{
	unsigned i;

	for (i = 0; i < g->npool; i++) {
		if (strcmp(g->pool[i].path, path) == 0)
			return (int)i;
	}
	return -1;
}

static void drop(struct gen *g, unsigned i)
{
	free(g->pool[i].path);
	g->pool[i] = g->pool[--g->npool];
}

void gen_made(struct gen *g, const char *path, char type)
{
	int i = find(g, path);

	if (i >= 0) {
		g->pool[i].type = type;
		return;
	}
	/* Only what the names above can lead to again. */
	if (strlen(path) > 700 || strstr(path, "..") || path[0] == '/')
		return;
	if (g->npool == GEN_POOL)
		drop(g, (unsigned)gen_below(g, g->npool));
	g->pool[g->npool++] = (struct gen_name){ .path = dop_text(path),
		.type = type };
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 &&
			(path[len] == '/' || path[len] == '\0');
}

void gen_gone(struct gen *g, const char *path)
{
	unsigned i = 0;

	while (i < g->npool) {
		if (is_below(g->pool[i].path, path))
			drop(g, i);
		else
			i++;
	}
}

static void set_prefix(struct gen_name *n, const char *from, const char *to)
{
	const char *rest = n->path + strlen(from);
	char *path = dop_alloc(strlen(to) + strlen(rest) + 1);

	(void)sprintf(path, "%s%s", to, rest);
	free(n->path);
	n->path = path;
}

void gen_moved(struct gen *g, const char *from, const char *to, bool swap)
{
	unsigned i;

	if (!swap)
		gen_gone(g, to);
	for (i = 0; i < g->npool; i++) {
		if (is_below(g->pool[i].path, from))
			set_prefix(&g->pool[i], from, to);
		else if (swap && is_below(g->pool[i].path, to))
			set_prefix(&g->pool[i], to, from);
	}
}

void gen_froze(struct gen *g, const char *path, bool frozen)
{
	int i = find(g, path);

	if (i >= 0)
		g->pool[i].frozen = frozen;
}
