/* SPDX-License-Identifier: MIT */
/*
 * uext4 map IMAGE:/FILE...: where the bytes of a file are in the file system.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/show.h"

struct map_ctx {
	struct json_list list;
};

/* One file's map on its way out. */
struct map_out {
	json_t *extents; /* NULL: for people */
	unsigned n;
};

static const struct {
	uint32_t flag;
	const char *name;
} flag_names[] = {
	{ UEXT4_EXTENT_UNWRITTEN, "unwritten" },
	{ UEXT4_EXTENT_DELALLOC, "delayed" },
	{ UEXT4_EXTENT_INLINE, "inline" },
	{ UEXT4_EXTENT_LAST, "last" },
};

#define NFLAGS (sizeof(flag_names) / sizeof(flag_names[0]))

static void extent_json(json_t *list, const struct uext4_extent *e)
{
	json_t *flags = json_array();
	json_t *o = json_object();
	size_t i;

	for (i = 0; i < NFLAGS; i++) {
		if (e->flags & flag_names[i].flag)
			(void)json_array_append_new(
					flags, json_string(flag_names[i].name));
	}
	json_set_int(o, "logical", e->logical);
	json_set_int(o, "physical", e->physical);
	json_set_int(o, "length", e->length);
	(void)json_object_set_new(o, "flags", flags);
	(void)json_array_append_new(list, o);
}

static int map_extent(void *arg, const struct uext4_extent *e)
{
	struct map_out *out = arg;
	const char *comma = "";
	size_t i;

	if (out->extents) {
		extent_json(out->extents, e);
		return 0;
	}
	if (out->n++ == 0)
		printf("  %16s %16s %16s  %s\n", "logical", "physical",
				"length", "flags");
	printf("  %16" PRIu64 " %16" PRIu64 " %16" PRIu64 "  ", e->logical,
			e->physical, e->length);
	for (i = 0; i < NFLAGS; i++) {
		if (!(e->flags & flag_names[i].flag))
			continue;
		printf("%s%s", comma, flag_names[i].name);
		comma = ",";
	}
	putchar('\n');
	return 0;
}

static int map_file(struct cli_image *im, const char *path,
		struct uext4_file *file, struct map_ctx *mc)
{
	struct map_out out = { 0 };
	struct uext4_stat st;
	json_t *o;
	int ret;

	ret = uext4_node_stat(uext4_file_node(file), &st);
	if (ret < 0)
		return cli_image_err(im, path, ret);
	if (im->c->json) {
		out.extents = json_array();
	} else {
		show_name(stdout, path, strlen(path));
		printf(": %" PRIu64 " bytes in %" PRIu64 " sectors\n", st.size,
				st.sectors);
	}
	/* the whole file and what is allocated behind its end */
	ret = uext4_fiemap(file, 0, INT64_MAX, true, map_extent, &out);
	if (ret < 0) {
		json_decref(out.extents);
		return cli_image_err(im, path, ret);
	}
	if (im->c->json) {
		o = json_object();
		json_set_text(o, "path", path, strlen(path));
		json_set_int(o, "size", st.size);
		json_set_int(o, "sectors", st.sectors);
		json_set_int(o, "block_size", st.block_size);
		(void)json_object_set_new(o, "extents", out.extents);
		json_list_add(&mc->list, o);
	}
	return CLI_OK;
}

static int map_one(struct cli_image *im, const char *path, void *ctx)
{
	struct uext4_file *file;
	int ret;
	int err;

	ret = uext4_open(im->fs, NULL, path, UEXT4_O_RDONLY | UEXT4_O_NOATIME,
			0, NULL, &file);
	if (ret < 0)
		return cli_image_err(im, path, ret);
	ret = map_file(im, path, file, ctx);
	err = uext4_close(file);
	if (ret == 0 && err < 0)
		ret = cli_image_err(im, path, err);
	return ret;
}

int cmd_map(struct cli *c, int argc, char **argv)
{
	struct map_ctx mc = { 0 };
	int ret;

	if (cli_getopt(c, argc, argv, ":") != -1 || argc - optind < 1)
		return cli_usage(c);
	if (c->json)
		json_list_start(&mc.list);
	ret = cli_each(c, argv + optind, argc - optind, true, map_one, &mc);
	if (c->json)
		json_list_end(&mc.list);
	return ret;
}
