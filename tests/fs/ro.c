/* SPDX-License-Identifier: MIT */
/*
 * Images of formats that are only read (see ro.h).
 */
#include "ro.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "snap.h"

bool ro_can_mount(void)
{
	int ret = -1;

	if (geteuid() == 0)
		ret = env_sh("d=$(mktemp -d) && truncate -s 4M $d/i && "
			     "mke2fs -q -F $d/i && mkdir $d/m && "
			     "mount -o loop $d/i $d/m 2>/dev/null; s=$?; "
			     "umount $d/m 2>/dev/null; rm -rf $d; exit $s");
	if (ret != 0)
		printf("skip: the kernel's mount needs root and loop "
		       "devices\n");
	return ret == 0;
}

/* Lines that the two makers of a tree do not agree on. */
static void ro_drop(struct snap *s, const char *what)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (strncmp(s->line[i], what, strlen(what)) == 0)
			free(s->line[i]);
		else
			s->line[n++] = s->line[i];
	}
	s->n = n;
}

void ro_compare(struct env *e, const char *dir, bool same_fs)
{
	unsigned flags = SNAP_ACLS | (same_fs ? 0 : SNAP_NO_INO);
	struct snap ours, theirs;
	bool same;

	snap_api(e->fs, flags, &ours);
	snap_posix(dir, flags, &theirs);
	if (!same_fs) {
		ro_drop(&ours, "/lost+found ");
		ro_drop(&ours, " "); /* the root */
		ro_drop(&theirs, " ");
	}
	same = snap_equal(&theirs, &ours, e->p->mke2fs);
	if (ours.n < 2)
		same = false;
	snap_free(&ours);
	snap_free(&theirs);
	assert_true(same);
}

static void ro_begin(struct env *e, const char *opts, const char *size)
{
	static struct env_profile p; /* of the image that is in use */

	p.name = "read-only";
	p.mke2fs = opts;
	p.block_size = 4096;
	env_image(e, &p, size);
}

/* Run in a subshell of @dir, so that the commands may be a list. */
static void ro_script(struct env *e, const char *dir, const char *script)
{
	if (env_sh("cd %s/%s && set -e && { %s\n} >%s 2>&1", e->dir, dir,
			    script, e->out) != 0) {
		(void)env_sh("sed 's/^/# /' %s >&2", e->out);
		(void)env_sh("umount %s/mnt 2>/dev/null", e->dir);
		fail_msg("script: %s", script);
	}
}

void ro_image(struct env *e, const char *opts, const char *size,
		const char *script)
{
	char dir[128];

	ro_begin(e, opts, size);
	assert_int_equal(env_sh("mkdir %s/src", e->dir), 0);
	ro_script(e, "src", script);
	(void)env_sh("find %s/src -depth -print0 | "
		     "xargs -0 touch -h -d @1600000000",
			e->dir);
	if (env_sh("mke2fs -q -F %s -d %s/src %s %s >%s 2>&1", opts, e->dir,
			    e->img, size, e->out) != 0) {
		(void)env_sh("sed 's/^/# /' %s >&2", e->out);
		fail_msg("mke2fs %s -d", opts);
	}
	e->flags = UEXT4_MNT_RDONLY;
	env_mount(e);
	(void)snprintf(dir, sizeof(dir), "%s/src", e->dir);
	ro_compare(e, dir, false);
}

bool ro_kernel(struct env *e, const char *opts, const char *size,
		const char *script)
{
	char dir[128];

	ro_begin(e, opts, size);
	(void)snprintf(dir, sizeof(dir), "%s/mnt", e->dir);
	if (env_sh("mkdir %s && mount -o loop,acl,user_xattr %s %s 2>%s", dir,
			    e->img, dir, e->out) != 0) {
		printf("skip: the kernel does not mount: %s\n", opts);
		env_free(e);
		return false;
	}
	ro_script(e, "mnt", script);
	assert_int_equal(env_sh("umount %s", dir), 0);
	assert_int_equal(env_sh("mount -o loop,ro,noload %s %s", e->img, dir),
			0);
	e->flags = UEXT4_MNT_RDONLY;
	if (env_try_mount(e, NULL) == 0)
		ro_compare(e, dir, true);
	assert_int_equal(env_sh("umount %s", dir), 0);
	assert_non_null(e->fs);
	return true;
}

void ro_expect_readonly(struct env *e, const char *name, const char *why)
{
	struct uext4_info info;

	assert_null(e->fs);
	e->flags = 0;
	assert_int_equal(env_try_mount(e, NULL), -EROFS);
	if (!strstr(e->log, name) || !strstr(e->log, why))
		fail_msg("\"%s\" and \"%s\" are not in: %s", name, why, e->log);

	e->flags = UEXT4_MNT_RDONLY;
	env_mount(e);
	assert_int_equal(uext4_info(e->fs, &info), 0);
	assert_true(info.rdonly);
	if (!strstr(info.rdonly_why, name) || !strstr(info.rdonly_why, why))
		fail_msg("\"%s\" and \"%s\" are not in: %s", name, why,
				info.rdonly_why);
}

void ro_expect_refused(struct env *e, const char *name, const char *why)
{
	assert_null(e->fs);
	for (int i = 0; i < 2; i++) {
		e->flags = i == 0 ? 0 : UEXT4_MNT_RDONLY;
		assert_int_equal(env_try_mount(e, NULL), -EOPNOTSUPP);
		if (!strstr(e->log, name) || !strstr(e->log, why))
			fail_msg("\"%s\" and \"%s\" are not in: %s", name, why,
					e->log);
	}
}
