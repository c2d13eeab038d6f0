/* SPDX-License-Identifier: MIT */
/*
 * uext4 xattr [-h] list|get|set|rm IMAGE:/PATH [NAME [VALUE]]: by full names
 * ("user.x"). A value is text; "0x..." means bytes in hexadecimal.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/show.h"

#define XATTR_VALUE_MAX 65536u
#define XATTR_LIST_MAX  ((size_t)1 << 20)

struct xattr_ctx {
	unsigned flags;
	const char *name;
	const void *value; /* set */
	size_t len;
	int (*run)(struct cli_image *im, const char *path,
			struct uext4_node *node, const struct xattr_ctx *xc);
};

/* ---- values ---- */

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

/* Bytes of @text in a buffer that the caller frees. */
static int parse_value(const char *text, void **ret_value, size_t *ret_len)
{
	size_t len = strlen(text);
	bool hex = strncmp(text, "0x", 2) == 0;
	char *v = malloc(len + 1);
	size_t i;

	if (!v)
		return -ENOMEM;
	*ret_value = v;
	*ret_len = len;
	if (!hex) {
		memcpy(v, text, len);
		return 0;
	}
	for (i = 2; i + 1 < len; i += 2) {
		int hi = hex_digit(text[i]);
		int lo = hex_digit(text[i + 1]);

		if (hi < 0 || lo < 0)
			break;
		v[(i - 2) / 2] = (char)(hi << 4 | lo);
	}
	*ret_len = (len - 2) / 2;
	if (i == len)
		return 0;
	free(v);
	return -EINVAL;
}

static void print_value(const char *v, size_t len)
{
	size_t i;

	/* what would be read back as something else goes as bytes */
	if (show_is_plain(v, len) && !(len >= 2 && memcmp(v, "0x", 2) == 0)) {
		fwrite(v, 1, len, stdout);
	} else {
		fputs("0x", stdout);
		for (i = 0; i < len; i++)
			printf("%02x", (unsigned char)v[i]);
	}
	putchar('\n');
}

/* ---- get, list ---- */

static ssize_t get_value(struct uext4_node *node, const char *name, char **ret)
{
	char *v = malloc(XATTR_VALUE_MAX);
	ssize_t n;

	if (!v)
		return -ENOMEM;
	n = uext4_getxattr(node, name, v, XATTR_VALUE_MAX, NULL);
	if (n < 0)
		free(v);
	else
		*ret = v;
	return n;
}

static int missing(struct cli_image *im, const char *path, const char *name)
{
	return cli_errf(im->c, "%s:%s: has no attribute %s", im->name, path,
			name);
}

static json_t *value_json(const char *name, const char *v, size_t len)
{
	bool text = show_is_utf8(v, len);
	json_t *o = json_object();

	json_set_text(o, "name", name, strlen(name));
	json_set_str(o, "encoding", text ? "utf-8" : "hex");
	(void)json_object_set_new(o, "value",
			text ? json_stringn(v, len) : json_of_bytes(v, len));
	return o;
}

static int xattr_get(struct cli_image *im, const char *path,
		struct uext4_node *node, const struct xattr_ctx *xc)
{
	char *v;
	ssize_t n;

	n = get_value(node, xc->name, &v);
	if (n == -ENODATA)
		return missing(im, path, xc->name);
	if (n < 0)
		return cli_image_err(im, path, (int)n);
	if (im->c->json)
		json_show(value_json(xc->name, v, (size_t)n));
	else
		print_value(v, (size_t)n);
	free(v);
	return CLI_OK;
}

static int list_one(struct cli_image *im, const char *path,
		struct uext4_node *node, const char *name, json_t *list)
{
	char *v;
	ssize_t n;

	n = get_value(node, name, &v);
	if (n < 0)
		return cli_image_err(im, path, (int)n);
	if (list) {
		(void)json_array_append_new(
				list, value_json(name, v, (size_t)n));
	} else {
		show_name(stdout, name, strlen(name));
		putchar('=');
		print_value(v, (size_t)n);
	}
	free(v);
	return CLI_OK;
}

static int xattr_list(struct cli_image *im, const char *path,
		struct uext4_node *node, const struct xattr_ctx *xc)
{
	json_t *list = im->c->json ? json_array() : NULL;
	char *names = malloc(XATTR_LIST_MAX);
	json_t *o;
	ssize_t at;
	ssize_t n;

	n = names ? uext4_listxattr(node, names, XATTR_LIST_MAX, NULL)
		  : -ENOMEM;
	if (n < 0)
		(void)cli_image_err(im, path, (int)n);
	for (at = 0; at < n; at += (ssize_t)strlen(names + at) + 1)
		(void)list_one(im, path, node, names + at, list);
	free(names);
	if (list) {
		o = json_object();
		json_set_text(o, "path", path, strlen(path));
		(void)json_object_set_new(o, "attributes", list);
		json_show(o);
	}
	return im->c->status;
}

/* ---- set, rm ---- */

static int xattr_set(struct cli_image *im, const char *path,
		struct uext4_node *node, const struct xattr_ctx *xc)
{
	int ret;

	ret = uext4_setxattr(node, xc->name, xc->value, xc->len, 0, NULL);
	if (ret == -EOPNOTSUPP)
		return cli_errf(im->c,
				"%s:%s: %s: no such kind of attribute; use "
				"user., trusted., security. or "
				"system.posix_acl_*",
				im->name, path, xc->name);
	if (ret == -ENOSPC || ret == -E2BIG || ret == -ERANGE)
		return cli_errf(im->c,
				"%s:%s: %s: does not fit; all attributes of a "
				"file share its inode and one block",
				im->name, path, xc->name);
	return ret < 0 ? cli_image_err(im, path, ret) : CLI_OK;
}

static int xattr_rm(struct cli_image *im, const char *path,
		struct uext4_node *node, const struct xattr_ctx *xc)
{
	int ret;

	ret = uext4_removexattr(node, xc->name, NULL);
	if (ret == -ENODATA)
		return missing(im, path, xc->name);
	return ret < 0 ? cli_image_err(im, path, ret) : CLI_OK;
}

/* ---- the command ---- */

static int xattr_one(struct cli_image *im, const char *path, void *ctx)
{
	const struct xattr_ctx *xc = ctx;
	struct uext4_node *node;
	int ret;

	ret = uext4_resolve(im->fs, NULL, path, xc->flags, NULL, &node);
	if (ret < 0)
		return cli_image_err(im, path, ret);
	ret = xc->run(im, path, node, xc);
	uext4_node_put(node);
	return ret;
}

static const struct {
	const char *name;
	int min, max; /* arguments after it */
	bool rdonly;
	int (*run)(struct cli_image *im, const char *path,
			struct uext4_node *node, const struct xattr_ctx *xc);
} verbs[] = {
	{ "list", 1, 1, true, xattr_list },
	{ "get", 2, 2, true, xattr_get },
	{ "set", 2, 3, false, xattr_set },
	{ "rm", 2, 2, false, xattr_rm },
};

#define NVERBS (sizeof(verbs) / sizeof(verbs[0]))

int cmd_xattr(struct cli *c, int argc, char **argv)
{
	struct xattr_ctx xc = { 0 };
	void *value = NULL;
	size_t i;
	int opt;
	int ret;

	/* a value may begin with "-": options come first */
	while ((opt = cli_getopt(c, argc, argv, "+:h")) != -1) {
		if (opt != 'h')
			return cli_usage(c);
		xc.flags = UEXT4_NOFOLLOW;
	}
	argc -= optind;
	argv += optind;
	for (i = 0; i < NVERBS; i++) {
		if (argc > 0 && strcmp(argv[0], verbs[i].name) == 0)
			break;
	}
	if (i == NVERBS || argc - 1 < verbs[i].min || argc - 1 > verbs[i].max)
		return cli_usage(c);
	xc.run = verbs[i].run;
	xc.name = argc > 2 ? argv[2] : NULL;
	if (parse_value(argc > 3 ? argv[3] : "", &value, &xc.len) < 0)
		return cli_bad_value(c, "hexadecimal value", argv[3]);
	xc.value = value;
	ret = cli_each(c, argv + 1, 1, verbs[i].rdonly, xattr_one, &xc);
	free(value);
	return ret;
}
