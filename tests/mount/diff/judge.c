/* SPDX-License-Identifier: MIT */
/* Verdicts: see judge.h. */
#include "judge.h"

#include <stdlib.h>
#include <string.h>

#include "sparse.h"

void judge_init(struct judge *j, bool strict)
{
	*j = (struct judge){ .strict = strict };
	j->met = dop_alloc(ndifferences * sizeof(*j->met));
}

void judge_fini(struct judge *j)
{
	free(j->met);
}

void judge_met(struct judge *j, int entry)
{
	j->met[entry]++;
}

static bool allowed(struct judge *j, const struct difference_case *c)
{
	int entry = j->strict ? -1 : differences_field(c);

	if (entry < 0)
		return false;
	judge_met(j, entry);
	return true;
}

/* The mode of what "OBJECT.field" or "field" is about, as @o tells it. */
static mode_t mode_of(const struct outcome *o, const char *field)
{
	const char *dot = strchr(field, '.');
	size_t len = dot ? (size_t)(dot - field) + 1 : 0;
	unsigned i;

	for (i = 0; i < o->n; i++) {
		if (strncmp(o->f[i].name, field, len) == 0 &&
				strcmp(o->f[i].name + len, "mode") == 0)
			return (mode_t)o->f[i].value;
	}
	return 0;
}

static unsigned flags_of(const struct outcome *o)
{
	unsigned i;

	for (i = 0; i < o->n; i++) {
		if (strcmp(o->f[i].name, "flags") == 0)
			return (unsigned)o->f[i].value;
	}
	return 0;
}

/* The name of the first field that is not equal and may not be; NULL: none. */
static const char *first_wrong(struct judge *j, struct difference_case *c,
		const struct outcome *a, const struct outcome *b)
{
	unsigned i;

	if (j->writeback && c->op && sparse_is_seek(c->op))
		return NULL;
	c->field = "errno";
	c->err = a->err;
	c->a = (uint64_t)a->err;
	c->b = (uint64_t)b->err;
	c->b_ret = b->err == 0 && b->n > 0 ? b->f[0].value : 0;
	if (a->err != b->err)
		return allowed(j, c) ? NULL : "errno";
	for (i = 0; i < a->n && i < b->n; i++) {
		if (out_same_field(&a->f[i], &b->f[i]))
			continue;
		if (strcmp(a->f[i].name, b->f[i].name) != 0)
			return a->f[i].name;
		if (j->no_times && strstr(a->f[i].name, "time"))
			continue;
		if (j->writeback &&
				(strcmp(a->f[i].name, "map") == 0 ||
						strcmp(a->f[i].name, "sum") ==
								0))
			continue;
		c->field = a->f[i].name;
		c->a = a->f[i].value;
		c->b = b->f[i].value;
		c->mode = mode_of(a, a->f[i].name);
		c->flags = flags_of(a);
		if (!allowed(j, c))
			return a->f[i].name;
	}
	return a->n == b->n ? NULL : "number of fields";
}

static void print_wrong(const struct outcome *a, const struct outcome *b)
{
	unsigned i;

	for (i = 0; i < a->n && i < b->n; i++) {
		if (out_same_field(&a->f[i], &b->f[i]))
			continue;
		fputs("    differs:", stdout);
		out_print_field(&a->f[i], stdout);
		fputs(" and", stdout);
		out_print_field(&b->f[i], stdout);
		fputc('\n', stdout);
	}
}

bool judge_same(struct judge *j, const struct dop *op, const char *path,
		const struct outcome *a, const struct outcome *b)
{
	struct difference_case c = {
		.op = op,
		.path = path,
		.closer = j->closer,
		.writeback = j->writeback,
		.whole_pages = j->whole_pages,
		.linear = j->linear,
	};
	const char *wrong = first_wrong(j, &c, a, b);

	if (!wrong)
		return true;
	j->wrong++;
	printf("difference: %s %s\n", op ? dop_name(op->kind) : "end", wrong);
	if (op) {
		fputs("    call:  ", stdout);
		dop_print(op, stdout);
		fputc('\n', stdout);
	} else {
		printf("    at the end: %s\n", path);
	}
	fputs("    first: ", stdout);
	out_print(a, stdout);
	fputs("\n    second:", stdout);
	out_print(b, stdout);
	fputc('\n', stdout);
	print_wrong(a, b);
	return false;
}

void judge_report(const struct judge *j, FILE *to)
{
	unsigned i;

	for (i = 0; i < ndifferences; i++) {
		if (differences[i].by_chance)
			continue;
		fprintf(to, "met: %lu %s\n",
				j->met[i] +
						(differences[i].how ==
								DIFF_AVOIDED),
				differences[i].what);
	}
}
