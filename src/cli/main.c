/* SPDX-License-Identifier: MIT */
/*
 * uext4: the tool. Finds the command and runs it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/show.h"

static const struct cli_command commands[] = {
	{ "info", "IMAGE", "superblock, features, state, free space",
			cmd_info },
	{ "ls", "[-aldiR] IMAGE:/PATH...", "list", cmd_ls },
	{ "cat", "IMAGE:/FILE...", "contents to standard output", cmd_cat },
	{ "stat", "[-L] IMAGE:/PATH...", "attributes", cmd_stat },
	{ "map", "IMAGE:/FILE...", "where the bytes of a file are", cmd_map },
	{ "cp", "[-r] SOURCE... TARGET", "copy into, out of or inside an image",
			cmd_cp },
	{ "write", "[-a | -o OFFSET] IMAGE:/FILE", "standard input into a file",
			cmd_write },
	{ "mkdir", "[-p] [-m MODE] IMAGE:/DIR...", "make directories",
			cmd_mkdir },
	{ "rm", "[-rfd] IMAGE:/PATH...", "remove", cmd_rm },
	{ "mv", "[-n | -x] IMAGE:/OLD... IMAGE:/NEW",
			"rename, or exchange (-x)", cmd_mv },
	{ "ln", "[-s] [-f] TARGET IMAGE:/NAME", "link, or symlink (-s)",
			cmd_ln },
	{ "chmod", "[-R] MODE IMAGE:/PATH...", "change permissions",
			cmd_chmod },
	{ "chown", "[-Rh] [USER][:GROUP] IMAGE:/PATH...", "change the owner",
			cmd_chown },
	{ "touch", "[-acmh] [-d TIME] IMAGE:/PATH...",
			"set times, create empty files", cmd_touch },
	{ "truncate", "[-c] -s SIZE IMAGE:/FILE...", "set the length",
			cmd_truncate },
	{ "fallocate", "[-n] [-p | -z] [-o OFFSET] -l LENGTH IMAGE:/FILE",
			"allocate, punch (-p), zero (-z)", cmd_fallocate },
	{ "xattr", "[-h] list|get|set|rm IMAGE:/PATH [NAME [VALUE]]",
			"extended attributes", cmd_xattr },
	{ "recover", "IMAGE", "replay the journal, process orphans",
			cmd_recover },
	{ "mount", "[-f] [-o OPTION,...] IMAGE DIRECTORY",
			"let every program use it, through FUSE", cmd_mount },
	{ "umount", "DIRECTORY", "end that, and wait until all is written",
			cmd_umount },
	{ "bench",
			"[--jobs LIST] [--targets LIST | --mount] "
			"[--compare WHAT] [--plot FILE] [OPTION...]; see "
			"uext4(1)",
			"measure this engine, the raw file, the kernel, mounts",
			cmd_bench },
};

#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

static int print_help(FILE *to)
{
	size_t i;

	fputs("usage: uext4 COMMAND [OPTION...] ...\n"
	      "\n"
	      "Read, write and mount ext2, ext3 and ext4 images.\n"
	      "A path inside an image is written IMAGE:/path.\n"
	      "\n",
			to);
	for (i = 0; i < NCOMMANDS; i++)
		fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].what);
	fputs("\n"
	      "All commands take:\n"
	      "  --json           machine-readable output where something is "
	      "listed\n"
	      "  --offset BYTES   the file system starts there in the image\n"
	      "  --partition N    it is the N-th partition\n"
	      "  --cached         no direct I/O\n"
	      "  -q, --quiet      no progress bar, no warnings\n"
	      "  --help, --version\n"
	      "\n"
	      "Exit status: 0 done, 1 failed, 2 usage, 3 the image is "
	      "damaged.\n",
			to);
	return to == stdout ? CLI_OK : CLI_USAGE;
}

static const struct cli_command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < NCOMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

int cli_usage(struct cli *c)
{
	const struct cli_command *cmd = find_command(c->cmd);
	const char *why = c->bad_is_value ? "needs a value" : "no such option";

	if (c->bad_option != 0)
		fprintf(stderr, "uext4: %s: -%c: %s; ", c->cmd,
				c->bad_option > 0x20 && c->bad_option < 0x7f
						? c->bad_option
						: '?',
				why);
	if (c->bad_long) {
		fprintf(stderr, "uext4: %s: ", c->cmd);
		show_message(stderr, c->bad_long);
		fprintf(stderr, ": %s; ", why);
	}
	fprintf(stderr, "usage: uext4 %s %s\n", cmd->name, cmd->args);
	c->status = CLI_USAGE;
	return CLI_USAGE;
}

int cli_bad_value(struct cli *c, const char *what, const char *text)
{
	const struct cli_command *cmd = find_command(c->cmd);

	fprintf(stderr, "uext4: %s: ", c->cmd);
	show_message(stderr, text);
	fprintf(stderr, ": no valid %s; usage: uext4 %s %s\n", what, cmd->name,
			cmd->args);
	c->status = CLI_USAGE;
	return CLI_USAGE;
}

/* One long option of all commands with a value: "--name VALUE", "--name=VALUE".
 * Returns how many arguments it took, 0 if it is not this one, -1 if broken. */
static int take_value(
		const char *name, int left, char **argv, const char **ret_value)
{
	size_t len = strlen(name);

	if (strncmp(argv[0], name, len) != 0)
		return 0;
	if (argv[0][len] == '=') {
		*ret_value = argv[0] + len + 1;
		return 1;
	}
	if (argv[0][len] != '\0')
		return 0;
	if (left < 2)
		return -1;
	*ret_value = argv[1];
	return 2;
}

static int take_one(struct cli *c, int left, char **argv)
{
	const char *value;
	uint64_t n;
	int took;

	if (strcmp(argv[0], "--json") == 0)
		c->json = true;
	else if (strcmp(argv[0], "--quiet") == 0 || strcmp(argv[0], "-q") == 0)
		c->quiet = true;
	else if (strcmp(argv[0], "--cached") == 0)
		c->cached = true;
	else if (strcmp(argv[0], "--stats") == 0)
		c->stats = true;
	else
		goto with_value;
	return 1;
with_value:
	took = take_value("--offset", left, argv, &value);
	if (took > 0 && cli_parse_size(value, &c->offset) < 0)
		took = -1;
	if (took != 0)
		return took;
	took = take_value("--partition", left, argv, &value);
	if (took > 0) {
		if (cli_parse_size(value, &n) < 0 || n == 0 || n > 4096)
			return -1;
		c->partition = (uint32_t)n;
	}
	return took;
}

int cli_take_options(struct cli *c, int *argc, char **argv)
{
	int kept = 0;
	int at = 0;
	int took;

	while (at < *argc) {
		if (strcmp(argv[at], "--") == 0)
			break;
		took = take_one(c, *argc - at, argv + at);
		if (took < 0) {
			fprintf(stderr, "uext4: %s: %s: needs a number\n",
					c->cmd, argv[at]);
			return -EINVAL;
		}
		if (took == 0)
			argv[kept++] = argv[at++];
		at += took;
	}
	while (at < *argc)
		argv[kept++] = argv[at++];
	argv[kept] = NULL;
	*argc = kept;
	return 0;
}

/* ---- called by mount(8) and umount(8) ---- */

#define HELPER_USAGE  1 /* as mount(8) has them */
#define HELPER_FAILED 32

/* Which command the program's own name stands for; NULL: none. */
static const char *helper_command(const char *arg0)
{
	const char *slash = strrchr(arg0, '/');
	const char *name = slash ? slash + 1 : arg0;

	if (strcmp(name, "mount.fuse.uext4") == 0)
		return "mount";
	return strcmp(name, "umount.fuse.uext4") == 0 ? "umount" : NULL;
}

static int run_helper(const char *name, int argc, char **argv)
{
	const struct cli_command *cmd = find_command(name);
	struct cli c = { .cmd = cmd->name };
	int ret = cmd->run(&c, argc, argv);

	if (ret == CLI_USAGE)
		return HELPER_USAGE;
	return ret == CLI_OK && c.status == CLI_OK ? CLI_OK : HELPER_FAILED;
}

int main(int argc, char **argv)
{
	struct cli c = { 0 };
	const struct cli_command *cmd;
	const char *helper;
	int ret;

	helper = helper_command(argv[0]);
	if (helper != NULL)
		return run_helper(helper, argc, argv);
	if (argc < 2)
		return print_help(stderr);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0 ||
			strcmp(argv[1], "-h") == 0)
		return print_help(stdout);
	if (strcmp(argv[1], "--version") == 0) {
		printf("uext4 %s\n", uext4_version());
		return CLI_OK;
	}
	cmd = find_command(argv[1]);
	if (!cmd) {
		fprintf(stderr,
				"uext4: %s: no such command; see uext4 "
				"--help\n",
				argv[1]);
		return CLI_USAGE;
	}
	c.cmd = cmd->name;
	argc--;
	argv++;
	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		printf("usage: uext4 %s %s\n%s\n", cmd->name, cmd->args,
				cmd->what);
		return CLI_OK;
	}
	if (cli_take_options(&c, &argc, argv) < 0)
		return CLI_USAGE;
	ret = cmd->run(&c, argc, argv);
	if (fflush(stdout) != 0 && ret == CLI_OK)
		ret = cli_errf(&c, "standard output: %s",
				uext4_strerror(errno));
	if (ret == CLI_OK)
		ret = c.status;
	return c.status == CLI_DAMAGED ? CLI_DAMAGED : ret;
}
