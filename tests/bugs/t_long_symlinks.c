/* SPDX-License-Identifier: MIT */
/*
 * The limit of 4096 bytes is for a path and for each target, not for what a
 * target and the rest of the path add up to; a circle of long symlinks is
 * -ELOOP, not -ENAMETOOLONG. Linux says so, too.
 */
#include <errno.h>

#include "env.h"

/* @head, then "./" until @len bytes are there. */
static void pad(char *buf, size_t len, const char *head)
{
	size_t at = strlen(head);

	memcpy(buf, head, at);
	while (at + 2 <= len) {
		buf[at++] = '.';
		buf[at++] = '/';
	}
	buf[at] = '\0';
}

static void target_and_rest_may_exceed_the_limit(struct env *e)
{
	struct uext4_node *node;
	char target[4096];
	char path[4096];

	pad(target, 3000, "d/");
	pad(path, 4000, "/s/");
	assert_int_equal(env_mkdir(e, "/d", 0755), 0);
	assert_int_equal(env_symlink(e, target, "/s"), 0);

	assert_int_equal(uext4_resolve(e->fs, NULL, path, 0, NULL, &node), 0);
	assert_int_equal(uext4_node_ino(node), env_stat(e, "/d").ino);
	uext4_node_put(node);
}

static void circle_of_long_targets_is_eloop(struct env *e)
{
	struct uext4_node *node;
	char target[4096];

	pad(target, 3000, "s/");
	assert_int_equal(env_symlink(e, target, "/s"), 0);

	assert_int_equal(uext4_resolve(e->fs, NULL, "/s/x", 0, NULL, &node),
			-ELOOP);
}

static void path_of_4096_bytes_is_too_long(struct env *e)
{
	struct uext4_node *node;
	char path[8192];

	pad(path, 4094, "/");
	assert_int_equal(uext4_resolve(e->fs, NULL, path, 0, NULL, &node), 0);
	uext4_node_put(node);
	pad(path, 4097, "/");
	assert_int_equal(uext4_resolve(e->fs, NULL, path, 0, NULL, &node),
			-ENAMETOOLONG);
}

int main(int argc, char **argv)
{
	static const struct env_case cases[] = {
		{ .name = "target_and_rest_may_exceed_the_limit",
				.body = target_and_rest_may_exceed_the_limit,
				.only = "ext4-4k-csum" },
		{ .name = "circle_of_long_targets_is_eloop",
				.body = circle_of_long_targets_is_eloop,
				.only = "ext4-4k-csum" },
		{ .name = "path_of_4096_bytes_is_too_long",
				.body = path_of_4096_bytes_is_too_long,
				.only = "ext4-4k-csum" },
	};

	return env_run("long_symlinks", cases, 3, argc, argv);
}
