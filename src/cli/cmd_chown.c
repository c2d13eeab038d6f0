/* SPDX-License-Identifier: MIT */
/*
 * uext4 chown [-Rh] [UID][:GID] IMAGE:/PATH...: numbers, or names as the host
 * knows them. With -R a symlink is itself changed.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/walk.h"

struct chown_ctx {
	bool recursive, nofollow;
	struct uext4_setattr attr;
};

static int parse_number(const char *s, uint32_t *ret_id)
{
	unsigned long long n;
	char *end;

	if (s[0] < '0' || s[0] > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno != 0 || *end != '\0' || n >= UINT32_MAX)
		return -EINVAL;
	*ret_id = (uint32_t)n;
	return 0;
}

/* Names first, as POSIX has it: a user may be called "1000". */
static int parse_user(const char *s, uint32_t *ret_uid)
{
	const struct passwd *pw =
			getpwnam(s); /* NOLINT(concurrency-mt-unsafe) */

	if (!pw)
		return parse_number(s, ret_uid);
	*ret_uid = pw->pw_uid;
	return 0;
}

static int parse_group(const char *s, uint32_t *ret_gid)
{
	const struct group *gr =
			getgrnam(s); /* NOLINT(concurrency-mt-unsafe) */

	if (!gr)
		return parse_number(s, ret_gid);
	*ret_gid = gr->gr_gid;
	return 0;
}

static int parse_owner(const char *text, struct uext4_setattr *a)
{
	char *user = strdup(text);
	char *group;
	int ret = 0;

	if (!user)
		return -ENOMEM;
	group = strchr(user, ':');
	if (group)
		*group++ = '\0';
	if (user[0] != '\0') {
		a->mask |= UEXT4_SET_UID;
		ret = parse_user(user, &a->uid);
	}
	if (ret == 0 && group && group[0] != '\0') {
		a->mask |= UEXT4_SET_GID;
		ret = parse_group(group, &a->gid);
	}
	free(user);
	if (ret == 0 && a->mask == 0)
		ret = -EINVAL;
	return ret;
}

static int chown_node(void *ctx, const struct walk_at *at)
{
	const struct chown_ctx *cc = ctx;
	int ret;

	ret = uext4_node_setattr(at->node, &cc->attr, NULL);
	if (ret < 0)
		(void)cli_image_err(at->im, at->path, ret);
	return 0;
}

static int chown_one(struct cli_image *im, const char *path, void *ctx)
{
	static const struct walk_ops ops = { .before = chown_node };
	const struct chown_ctx *cc = ctx;
	struct walk_at at = { .im = im, .path = path };
	int ret;

	ret = uext4_resolve(im->fs, NULL, path,
			cc->nofollow || cc->recursive ? UEXT4_NOFOLLOW : 0,
			NULL, &at.node);
	if (ret < 0)
		return cli_image_err(im, path, ret);
	if (cc->recursive)
		ret = walk_tree(im, path, NULL, NULL, at.node, &ops, ctx);
	else
		ret = chown_node(ctx, &at);
	uext4_node_put(at.node);
	return ret;
}

int cmd_chown(struct cli *c, int argc, char **argv)
{
	struct chown_ctx cc = { 0 };
	int opt;

	while ((opt = cli_getopt(c, argc, argv, ":Rh")) != -1) {
		if (opt == 'R')
			cc.recursive = true;
		else if (opt == 'h')
			cc.nofollow = true;
		else
			return cli_usage(c);
	}
	if (argc - optind < 2)
		return cli_usage(c);
	if (parse_owner(argv[optind], &cc.attr) < 0)
		return cli_bad_value(c, "owner", argv[optind]);
	optind++;
	return cli_each(c, argv + optind, argc - optind, false, chown_one, &cc);
}
