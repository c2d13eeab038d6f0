/* SPDX-License-Identifier: MIT */
/*
 * uext4 recover IMAGE: what a mount does to an image that was not unmounted:
 * the journal is replayed, orphans are processed; then it is unmounted. An image
 * with errors on record is damaged, also if they were put there just now.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/show.h"

static void print_recovery(const char *image, const struct uext4_info *i)
{
	show_name(stdout, image, strlen(image));
	if (i->needed_recovery)
		printf(": journal replayed: %" PRIu64 " transactions, %" PRIu64
		       " blocks, %" PRIu64 " revoked\n",
				i->replayed_transactions, i->replayed_blocks,
				i->revoked_blocks);
	else
		puts(": nothing to replay");
	if (i->orphans_deleted != 0 || i->orphans_truncated != 0)
		printf("orphans: %" PRIu32 " deleted, %" PRIu32 " truncated\n",
				i->orphans_deleted, i->orphans_truncated);
}

static void print_json(const char *image, const struct uext4_info *i)
{
	json_t *o = json_object();

	json_set_text(o, "image", image, strlen(image));
	json_set_bool(o, "needed_recovery", i->needed_recovery);
	json_set_int(o, "transactions", i->replayed_transactions);
	json_set_int(o, "blocks", i->replayed_blocks);
	json_set_int(o, "revoked_blocks", i->revoked_blocks);
	json_set_int(o, "orphans_deleted", i->orphans_deleted);
	json_set_int(o, "orphans_truncated", i->orphans_truncated);
	json_set_bool(o, "had_errors", i->had_errors);
	json_show(o);
}

static int recover(struct cli *c, const char *image)
{
	struct uext4_info info;
	struct uext4_fs *fs;
	int ret;

	ret = cli_mount(c, image, false, &fs);
	if (ret != 0)
		return ret;
	ret = uext4_info(fs, &info);
	if (ret < 0)
		(void)cli_err(c, image, NULL, ret);
	else if (c->json)
		print_json(image, &info);
	else
		print_recovery(image, &info);
	cli_unmount(c, image, fs);
	/* Of an orphan that made no sense, say; a line has told which. */
	if (ret == 0 && info.had_errors) {
		(void)cli_errf(c, "%s: has recorded errors; run e2fsck", image);
		c->status = CLI_DAMAGED;
	}
	return c->status;
}

int cmd_recover(struct cli *c, int argc, char **argv)
{
	struct cli_target t;
	int ret;

	if (cli_getopt(c, argc, argv, ":") != -1 || argc - optind != 1)
		return cli_usage(c);
	ret = cli_target_parse(argv[optind], &t);
	if (ret < 0)
		return cli_err(c, NULL, argv[optind], ret);
	ret = recover(c, t.image ? t.image : t.path);
	cli_target_free(&t);
	return ret;
}
