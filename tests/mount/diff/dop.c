/* SPDX-License-Identifier: MIT */
/* Calls as text: see dop.h. */
#include "dop.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
#define X(kind, parts) #kind,
	DOP_KINDS(X)
#undef X
};

const char *dop_name(enum dop_kind kind)
{
	return names[kind];
}

void *dop_alloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	if (!p) {
		fprintf(stderr, "mount_diff: out of memory\n");
		exit(2);
	}
	return p;
}

char *dop_text(const char *s)
{
	return s ? strcpy(dop_alloc(strlen(s) + 1), s) : NULL;
}

void dop_init(struct dop *op, enum dop_kind kind)
{
	*op = (struct dop){ .kind = kind, .h = -1, .g = -1, .d = -1, .e = -1 };
}

void dop_fini(struct dop *op)
{
	free(op->p);
	free(op->q);
	free(op->x);
	dop_init(op, DOP_close);
}

void dop_copy(const struct dop *from, struct dop *ret_to)
{
	*ret_to = *from;
	ret_to->p = dop_text(from->p);
	ret_to->q = dop_text(from->q);
	ret_to->x = NULL;
	if (from->nx)
		ret_to->x = memcpy(dop_alloc(from->nx), from->x, from->nx);
}

/* ---- out ---- */

static bool is_plain(unsigned char c)
{
	return isalnum(c) || strchr("/._-", c) != NULL;
}

static void print_text(char part, const char *s, FILE *to)
{
	if (!s)
		return;
	fprintf(to, " %c=", part);
	for (; *s; s++) {
		if (is_plain((unsigned char)*s))
			fputc(*s, to);
		else
			fprintf(to, "%%%02X", (unsigned char)*s);
	}
}

static void print_slot(char part, int slot, FILE *to)
{
	if (slot >= 0)
		fprintf(to, " %c=%d", part, slot);
}

static void print_numbers(const int64_t *n, FILE *to)
{
	int last = DOP_NUMBERS - 1;
	int i;

	while (last >= 0 && n[last] == 0)
		last--;
	for (i = 0; i <= last; i++)
		fprintf(to, "%s%lld", i ? "," : " n=", (long long)n[i]);
}

void dop_print(const struct dop *op, FILE *to)
{
	size_t i;

	fputs(names[op->kind], to);
	if (op->user)
		fprintf(to, " u=%u", op->user);
	if (op->watch)
		fprintf(to, " w=%u", op->watch);
	print_slot('h', op->h, to);
	print_slot('g', op->g, to);
	print_slot('d', op->d, to);
	print_slot('e', op->e, to);
	print_numbers(op->n, to);
	print_text('p', op->p, to);
	print_text('q', op->q, to);
	if (op->x)
		fputs(" x=", to);
	for (i = 0; i < op->nx; i++)
		fprintf(to, "%02x", op->x[i]);
}

void dop_save(const char *path, const struct dop *ops, size_t n)
{
	FILE *to = fopen(path, "w");
	size_t i;

	if (!to) {
		perror(path);
		exit(2);
	}
	for (i = 0; i < n; i++) {
		dop_print(&ops[i], to);
		fputc('\n', to);
	}
	if (fclose(to) != 0) {
		perror(path);
		exit(2);
	}
}

/* ---- in ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int hex_byte(const char *s)
{
	int high = hex_digit(s[0]);
	int low = high < 0 ? -1 : hex_digit(s[1]);

	return low < 0 ? -1 : high * 16 + low;
}

static char *parse_text(const char *s, size_t len)
{
	char *text = dop_alloc(len + 1);
	size_t i, n = 0;

	for (i = 0; i < len; i++) {
		if (s[i] == '%' && i + 2 < len && hex_byte(s + i + 1) >= 0) {
			text[n++] = (char)hex_byte(s + i + 1);
			i += 2;
		} else {
			text[n++] = s[i];
		}
	}
	return text;
}

static int parse_bytes(struct dop *op, const char *s, size_t len)
{
	size_t i;

	op->nx = len / 2;
	op->x = dop_alloc(op->nx);
	for (i = 0; i < op->nx; i++) {
		int byte = hex_byte(s + 2 * i);

		if (byte < 0)
			return -EINVAL;
		op->x[i] = (uint8_t)byte;
	}
	return 0;
}

static int parse_numbers(struct dop *op, const char *s)
{
	char *end;
	int i;

	for (i = 0; i < DOP_NUMBERS; i++) {
		op->n[i] = strtoll(s, &end, 0);
		if (*end != ',')
			break;
		s = end + 1;
	}
	return *end == ' ' || *end == '\0' ? 0 : -EINVAL;
}

static int parse_part(struct dop *op, const char *s, size_t len)
{
	if (len < 2 || s[1] != '=')
		return -EINVAL;
	switch (s[0]) {
	case 'u':
		op->user = (unsigned)atoi(s + 2);
		return 0;
	case 'w':
		op->watch = (unsigned)atoi(s + 2);
		return 0;
	case 'h':
		op->h = atoi(s + 2);
		return 0;
	case 'g':
		op->g = atoi(s + 2);
		return 0;
	case 'd':
		op->d = atoi(s + 2);
		return 0;
	case 'e':
		op->e = atoi(s + 2);
		return 0;
	case 'n':
		return parse_numbers(op, s + 2);
	case 'p':
		op->p = parse_text(s + 2, len - 2);
		return 0;
	case 'q':
		op->q = parse_text(s + 2, len - 2);
		return 0;
	case 'x':
		return parse_bytes(op, s + 2, len - 2);
	default:
		return -EINVAL;
	}
}

int dop_parse(const char *line, struct dop *ret_op)
{
	size_t len = strcspn(line, " ");
	int kind = 0;

	while (kind < DOP_KINDS_END &&
			(strlen(names[kind]) != len ||
					strncmp(names[kind], line, len) != 0))
		kind++;
	if (kind == DOP_KINDS_END)
		return -EINVAL;
	dop_init(ret_op, (enum dop_kind)kind);
	for (line += len; *line; line += len) {
		line += strspn(line, " ");
		len = strcspn(line, " ");
		if (len && parse_part(ret_op, line, len) < 0)
			return -EINVAL;
	}
	return 0;
}

struct dop *dop_load(const char *path, size_t *ret_n)
{
	FILE *from = fopen(path, "r");
	struct dop *ops = NULL;
	char *line = NULL;
	size_t room = 0, n = 0;
	ssize_t len;

	if (!from) {
		perror(path);
		exit(2);
	}
	while ((len = getline(&line, &room, from)) > 0) {
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (line[0] == '#' || line[0] == '\0')
			continue;
		ops = realloc(ops, (n + 1) * sizeof(*ops));
		if (!ops || dop_parse(line, &ops[n++]) < 0) {
			fprintf(stderr, "%s: not a call: %s\n", path, line);
			exit(2);
		}
	}
	free(line);
	(void)fclose(from);
	*ret_n = n;
	return ops;
}
