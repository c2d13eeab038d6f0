/* SPDX-License-Identifier: MIT */
/*
 * uext4 info IMAGE: what the superblock tells, and in what state it is.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/show.h"

#include "cli/cli.h"

static const char *state_of(const struct uext4_info *i)
{
	if (i->had_errors)
		return "has errors";
	if (i->needed_recovery)
		return "not unmounted cleanly, journal to be replayed";
	return i->clean ? "clean" : "not unmounted cleanly";
}

static void print_date(const char *what, int64_t sec)
{
	struct timespec ts = { .tv_sec = (time_t)sec };
	char text[64] = "never";

	if (sec != 0)
		show_time(&ts, false, text);
	printf("%-18s%s\n", what, text);
}

static void print_number(const char *what, uint64_t n)
{
	printf("%-18s%" PRIu64 "\n", what, n);
}

static void print_space(const struct uext4_info *i)
{
	uint64_t mib = 1 << 20;

	printf("%-18s%" PRIu64 " of %" PRIu32 " bytes (%" PRIu64 " MiB)\n",
			"blocks", i->blocks, i->block_size,
			i->blocks / (mib / 1024) * (i->block_size / 1024));
	printf("%-18s%" PRIu64 " (%" PRIu64 " of them for root)\n",
			"free blocks", i->free_blocks,
			i->reserved_blocks < i->free_blocks ? i->reserved_blocks
							    : i->free_blocks);
	printf("%-18s%" PRIu64 " of %" PRIu32 " bytes\n", "inodes", i->inodes,
			i->inode_size);
	print_number("free inodes", i->free_inodes);
	printf("%-18s%" PRIu32 ", %" PRIu32 " blocks and %" PRIu32
	       " inodes each, descriptors of %" PRIu32 " bytes\n",
			"groups", i->groups, i->blocks_per_group,
			i->inodes_per_group, i->desc_size);
}

static void print_recovery(const struct uext4_info *i)
{
	if (i->has_journal)
		print_number("journal blocks", i->journal_blocks);
	else
		printf("%-18s%s\n", "journal blocks", "no journal");
	if (i->needed_recovery)
		printf("%-18s%" PRIu64 " transactions, %" PRIu64
		       " blocks (%" PRIu64 " revoked), in memory only\n",
				"replayed", i->replayed_transactions,
				i->replayed_blocks, i->revoked_blocks);
}

static void print_info(const char *image, const struct uext4_info *i)
{
	char uuid[37];

	show_uuid(i->uuid, uuid);
	printf("%-18s", "image");
	show_name(stdout, image, strlen(image));
	printf("\n%-18s%s\n", "kind", i->kind);
	printf("%-18s", "label");
	show_name(stdout, i->label, strlen(i->label));
	printf("\n%-18s%s\n", "uuid", uuid);
	printf("%-18s%s\n", "state", state_of(i));
	if (i->rdonly_why[0] != '\0') {
		printf("%-18s", "read-only because");
		show_message(stdout, i->rdonly_why);
		putchar('\n');
	}
	printf("%-18s%s\n", "features", i->features);
	print_space(i);
	print_recovery(i);
	print_number("mounts", i->mount_count);
	print_number("errors found", i->error_count);
	print_date("created", i->created);
	print_date("last mounted", i->last_mount);
	print_date("last written", i->last_write);
	print_date("last checked", i->last_check);
}

static json_t *features_json(const char *names)
{
	json_t *a = json_array();
	size_t len;

	while (*names != '\0') {
		len = strcspn(names, " ");
		(void)json_array_append_new(a, json_stringn(names, len));
		names += len;
		names += strspn(names, " ");
	}
	return a;
}

static void sizes_json(json_t *o, const struct uext4_info *i)
{
	json_set_int(o, "block_size", i->block_size);
	json_set_int(o, "blocks", i->blocks);
	json_set_int(o, "free_blocks", i->free_blocks);
	json_set_int(o, "reserved_blocks", i->reserved_blocks);
	json_set_int(o, "inode_size", i->inode_size);
	json_set_int(o, "inodes", i->inodes);
	json_set_int(o, "free_inodes", i->free_inodes);
	json_set_int(o, "groups", i->groups);
	json_set_int(o, "blocks_per_group", i->blocks_per_group);
	json_set_int(o, "inodes_per_group", i->inodes_per_group);
	json_set_int(o, "desc_size", i->desc_size);
	json_set_int(o, "journal_blocks", i->journal_blocks);
}

static void print_json(const char *image, const struct uext4_info *i)
{
	json_t *o = json_object();
	char uuid[37];

	show_uuid(i->uuid, uuid);
	json_set_text(o, "image", image, strlen(image));
	json_set_str(o, "kind", i->kind);
	json_set_text(o, "label", i->label, strlen(i->label));
	json_set_str(o, "uuid", uuid);
	json_set_bool(o, "clean", i->clean);
	json_set_bool(o, "had_errors", i->had_errors);
	json_set_bool(o, "needed_recovery", i->needed_recovery);
	json_set_text(o, "rdonly_why", i->rdonly_why, strlen(i->rdonly_why));
	(void)json_object_set_new(o, "features", features_json(i->features));
	json_set_bool(o, "has_journal", i->has_journal);
	sizes_json(o, i);
	json_set_int(o, "mount_count", i->mount_count);
	json_set_int(o, "error_count", i->error_count);
	json_set_int(o, "created", (uint64_t)i->created);
	json_set_int(o, "last_mount", (uint64_t)i->last_mount);
	json_set_int(o, "last_write", (uint64_t)i->last_write);
	json_set_int(o, "last_check", (uint64_t)i->last_check);
	json_set_int(o, "replayed_transactions", i->replayed_transactions);
	json_set_int(o, "replayed_blocks", i->replayed_blocks);
	json_set_int(o, "revoked_blocks", i->revoked_blocks);
	json_show(o);
}

int cmd_info(struct cli *c, int argc, char **argv)
{
	struct uext4_info info;
	struct cli_target t;
	struct uext4_fs *fs;
	const char *image;
	int ret;

	if (cli_getopt(c, argc, argv, ":") != -1 || argc - optind != 1)
		return cli_usage(c);
	ret = cli_target_parse(argv[optind], &t);
	if (ret < 0)
		return cli_err(c, NULL, argv[optind], ret);
	image = t.image ? t.image : t.path;
	ret = cli_mount(c, image, true, &fs);
	if (ret == 0) {
		ret = uext4_info(fs, &info);
		if (ret < 0)
			(void)cli_err(c, image, NULL, ret);
		else if (c->json)
			print_json(image, &info);
		else
			print_info(image, &info);
		cli_unmount(c, image, fs);
	}
	cli_target_free(&t);
	return c->status;
}
