/* SPDX-License-Identifier: MIT */
/*
 * Scripts of operations (see tree.h).
 */
#include "tree.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "model.h"

#define NNAMES 12

struct script {
	const struct tree_ops *ops;
	void *ctx;
	struct model_rng r;
	FILE *log;
	uint32_t bs;
	char a[512], b[512];
};

/* Of one to three parts; one name is long. */
static void pick_path(struct script *s, char *path, size_t size)
{
	uint32_t parts = 1 + model_below(&s->r, 10) / 5 +
			(model_below(&s->r, 5) == 0);
	size_t at = 0;

	while (parts-- > 0) {
		uint32_t k = model_below(&s->r, NNAMES);

		if (k == 0)
			at += (size_t)snprintf(path + at, size - at,
					"/a rather long name, so that entries "
					"differ in length");
		else
			at += (size_t)snprintf(path + at, size - at, "/%c",
					(int)('a' + k));
	}
}

static void say(struct script *s, const char *what, uint64_t x, uint64_t y,
		int ret)
{
	fprintf(s->log, "%s %s %s %llu %llu: %d\n", what, s->a, s->b,
			(unsigned long long)x, (unsigned long long)y, ret);
}

static void do_write(struct script *s)
{
	size_t len = 1 + model_below(&s->r, 3 * s->bs);
	uint64_t pos = model_below(&s->r, 40 * s->bs);
	uint8_t *buf;
	int ret;

	if (model_below(&s->r, 3) == 0) {
		pos -= pos % s->bs;
		len += s->bs - len % s->bs;
	}
	buf = env_alloc(len, (int)(model_next(&s->r) & 0xff));
	ret = s->ops->write(s->ctx, s->a, pos, buf, len,
			model_below(&s->r, 8) == 0);
	free(buf);
	say(s, "write", pos, len, ret);
}

static void do_fallocate(struct script *s)
{
	static const unsigned modes[] = { 0, UEXT4_FALLOC_KEEP_SIZE,
		UEXT4_FALLOC_PUNCH_HOLE | UEXT4_FALLOC_KEEP_SIZE,
		UEXT4_FALLOC_ZERO_RANGE,
		UEXT4_FALLOC_ZERO_RANGE | UEXT4_FALLOC_KEEP_SIZE };
	unsigned mode = modes[model_below(&s->r, 5)];
	uint64_t pos = model_below(&s->r, 40 * s->bs);
	uint64_t len = 1 + model_below(&s->r, 12 * s->bs);

	say(s, "fallocate", pos, len,
			s->ops->fallocate(s->ctx, s->a, mode, pos, len));
}

static void do_xattr(struct script *s)
{
	static const char *const names[] = { "user.a", "user.a longer name",
		"trusted.b", "security.c", "trusted.a", "nonsense.d" };
	const char *name = names[model_below(&s->r, 6)];
	uint32_t len = model_below(&s->r, 90);
	uint32_t flags = model_below(&s->r, 3);
	char value[96];

	memset(value, (int)(model_next(&s->r) & 0xff), sizeof(value));
	(void)snprintf(s->b, sizeof(s->b), "%s", name);
	if (model_below(&s->r, 4))
		say(s, "setxattr", len, flags,
				s->ops->setxattr(s->ctx, s->a, name, value, len,
						flags));
	else
		say(s, "removexattr", 0, 0,
				s->ops->removexattr(s->ctx, s->a, name));
}

static void do_make(struct script *s)
{
	uint32_t mode = model_below(&s->r, 01000);

	switch (model_below(&s->r, 5)) {
	case 0:
	case 1:
		say(s, "mkdir", mode, 0, s->ops->mkdir(s->ctx, s->a, mode));
		break;
	case 2:
		/* Not a device: the script opens what it finds. */
		say(s, "mksock", mode, 0,
				s->ops->mknod(s->ctx, s->a, S_IFSOCK | mode,
						0));
		break;
	case 3:
		say(s, "mkreg", mode, 0,
				s->ops->mknod(s->ctx, s->a, S_IFREG | mode, 0));
		break;
	default:
		pick_path(s, s->b, sizeof(s->b));
		say(s, "symlink", 0, 0,
				s->ops->symlink(s->ctx, s->b + 1, s->a));
	}
}

static void do_attr(struct script *s)
{
	uint64_t x = model_next(&s->r) % 100000, y = model_next(&s->r) % 90000;

	switch (model_below(&s->r, 3)) {
	case 0:
		x &= 07777;
		say(s, "chmod", x, 0, s->ops->chmod(s->ctx, s->a, (uint32_t)x));
		break;
	case 1:
		say(s, "chown", x, y,
				s->ops->chown(s->ctx, s->a, (uint32_t)x,
						(uint32_t)y));
		break;
	default:
		x = x * 100000; /* e2fsck doubts what is beyond 2310 */
		say(s, "utimes", x, y,
				s->ops->utimes(s->ctx, s->a, (int64_t)x,
						(long)y));
	}
}

static void tree_one(struct script *s)
{
	uint32_t what = model_below(&s->r, 100);
	static const unsigned rflags[] = { 0, 0, 0, 0, 1, 2, 2 };
	unsigned flags;
	uint64_t size;

	pick_path(s, s->a, sizeof(s->a));
	s->b[0] = '\0';
	if (what < 25) {
		do_make(s);
	} else if (what < 32) {
		pick_path(s, s->b, sizeof(s->b));
		say(s, "link", 0, 0, s->ops->link(s->ctx, s->a, s->b));
	} else if (what < 45) {
		pick_path(s, s->b, sizeof(s->b));
		flags = rflags[model_below(&s->r, 7)];
		say(s, "rename", flags, 0,
				s->ops->rename(s->ctx, s->a, s->b, flags));
	} else if (what < 50) {
		say(s, "unlink", 0, 0, s->ops->unlink(s->ctx, s->a));
	} else if (what < 53) {
		say(s, "rmdir", 0, 0, s->ops->rmdir(s->ctx, s->a));
	} else if (what < 72) {
		do_write(s);
	} else if (what < 78) {
		size = model_below(&s->r, 50 * s->bs);
		say(s, "truncate", size, 0,
				s->ops->truncate(s->ctx, s->a, size));
	} else if (what < 85) {
		do_fallocate(s);
	} else if (what < 93) {
		do_xattr(s);
	} else {
		do_attr(s);
	}
}

void tree_run(const struct tree_ops *ops, void *ctx, uint64_t seed, unsigned n,
		uint32_t bs, FILE *log)
{
	struct script s = {
		.ops = ops, .ctx = ctx, .r = { seed }, .bs = bs, .log = log
	};

	while (n-- > 0)
		tree_one(&s);
}

/* ---- one of everything ---- */

static void ok(int ret, const char *what)
{
	if (ret < 0)
		fail_msg("%s: %s", what, strerror(-ret));
}

static void put(const struct tree_ops *o, void *ctx, const char *path,
		uint64_t pos, size_t len, int byte)
{
	uint8_t *buf = env_alloc(len + 1, byte);

	for (size_t i = 0; i < len; i += 37)
		buf[i] = (uint8_t)(i / 37);
	ok(o->write(ctx, path, pos, buf, len, false), path);
	free(buf);
}

static void build_files(const struct tree_ops *o, void *ctx, bool extents)
{
	static const size_t sizes[] = { 0, 1, 511, 1023, 1024, 1025, 4095, 4096,
		4097, 65536, 300000 };
	char path[64];

	ok(o->mkdir(ctx, "/files", 0755), "/files");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		(void)snprintf(path, sizeof(path), "/files/%zu", sizes[i]);
		ok(o->mknod(ctx, path, S_IFREG | 0640, 0), path);
		if (sizes[i] > 0)
			put(o, ctx, path, 0, sizes[i], 'f');
	}
	ok(o->mknod(ctx, "/sparse", S_IFREG | 0600, 0), "/sparse");
	for (uint64_t i = 0; i < 500; i++) /* more runs than an inode holds */
		put(o, ctx, "/sparse", i * 3 * 4096 + i, 100, (int)i);
	put(o, ctx, "/sparse", 1ull << 31, 5000, 'E');
	ok(o->truncate(ctx, "/sparse", 1ull << 32), "truncate");
	put(o, ctx, "/cut", 0, 200000, 'c');
	ok(o->truncate(ctx, "/cut", 100001), "truncate");
	ok(o->truncate(ctx, "/cut", 150000), "truncate");
	ok(o->fallocate(ctx, "/cut",
			   UEXT4_FALLOC_PUNCH_HOLE | UEXT4_FALLOC_KEEP_SIZE,
			   10001, 50000),
			"punch");
	if (!extents)
		return;
	ok(o->mknod(ctx, "/pre", S_IFREG | 0600, 0), "/pre");
	ok(o->fallocate(ctx, "/pre", 0, 0, 500000), "fallocate");
	put(o, ctx, "/pre", 77777, 3333, 'p');
	ok(o->fallocate(ctx, "/pre", UEXT4_FALLOC_KEEP_SIZE, 500000, 500000),
			"keep size");
	ok(o->fallocate(ctx, "/pre", UEXT4_FALLOC_ZERO_RANGE, 78000, 1000),
			"zero range");
}

static void build_names(const struct tree_ops *o, void *ctx)
{
	char path[300], target[1001];

	ok(o->mkdir(ctx, "/many", 0755), "/many");
	for (int i = 0; i < 1500; i++) {
		(void)snprintf(path, sizeof(path), "/many/%d-%.*s", i, i % 90,
				"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrst"
				"uvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl");
		ok(o->mknod(ctx, path, S_IFREG | 0644, 0), path);
	}
	for (int i = 0; i < 1500; i += 3) {
		(void)snprintf(path, sizeof(path), "/many/%d-%.*s", i, i % 90,
				"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrst"
				"uvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl");
		ok(o->unlink(ctx, path), path);
	}
	ok(o->mkdir(ctx, "/deep", 0700), "/deep");
	(void)snprintf(path, sizeof(path), "/deep");
	for (int i = 0; i < 20; i++) {
		strcat(path, "/sub");
		ok(o->mkdir(ctx, path, 0711), path);
	}
	ok(o->symlink(ctx, "files/1", "/fast"), "symlink");
	memset(target, 't', 1000);
	target[1000] = '\0';
	ok(o->symlink(ctx, target, "/slow"), "symlink");
	target[59] = '\0';
	ok(o->symlink(ctx, target, "/fifty-nine"), "symlink");
	ok(o->link(ctx, "/cut", "/deep/hard"), "link");
	ok(o->mknod(ctx, "/chr", S_IFCHR | 0666, (uint32_t)makedev(1, 3)),
			"mknod");
	ok(o->mknod(ctx, "/blk", S_IFBLK | 0660, (uint32_t)makedev(300, 70000)),
			"mknod");
	ok(o->mknod(ctx, "/fifo", S_IFIFO | 0600, 0), "mknod");
	ok(o->mknod(ctx, "/sock", S_IFSOCK | 0755, 0), "mknod");
	ok(o->rename(ctx, "/files/1023", "/many/moved", 0), "rename");
	ok(o->rename(ctx, "/fifo", "/sock", UEXT4_RENAME_EXCHANGE), "rename");
}

static void build_attrs(const struct tree_ops *o, void *ctx)
{
	/* user::rw-, user:1000:r--, group::r--, mask::rw-, other::--- */
	static const uint8_t acl[] = { 2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255,
		255, 2, 0, 4, 0, 0xe8, 3, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255,
		16, 0, 6, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255,
		255 };
	char big[700];

	memset(big, 'v', sizeof(big));
	ok(o->setxattr(ctx, "/cut", "user.small", "1", 1, 0), "xattr");
	ok(o->setxattr(ctx, "/cut", "user.big", big, 600, 0), "xattr");
	ok(o->setxattr(ctx, "/files/1", "user.big", big, 600, 0), "xattr");
	ok(o->setxattr(ctx, "/files/511", "user.big", big, 600, 0), "xattr");
	ok(o->setxattr(ctx, "/cut", "trusted.t", big, 40, 0), "xattr");
	ok(o->setxattr(ctx, "/cut", "security.s", "", 0, 0), "xattr");
	ok(o->setxattr(ctx, "/many", "user.dir", "d", 1, 0), "xattr");
	ok(o->setxattr(ctx, "/slow", "trusted.link", "l", 1, 0), "xattr");
	ok(o->setxattr(ctx, "/files/4096", "system.posix_acl_access", acl,
			   sizeof(acl), 0),
			"acl");
	ok(o->setxattr(ctx, "/deep", "system.posix_acl_default", acl,
			   sizeof(acl), 0),
			"acl");
	ok(o->mkdir(ctx, "/deep/inherits", 0777), "mkdir");
	ok(o->mknod(ctx, "/deep/inherits/f", S_IFREG | 0666, 0), "mknod");
	ok(o->chmod(ctx, "/files/4097", 06755), "chmod");
	ok(o->chown(ctx, "/files/4095", 70000, 4000000000u), "chown");
	ok(o->utimes(ctx, "/files/0", 1, 999999999), "utimes");
	ok(o->utimes(ctx, "/files/1", -86400LL * 365, 123), "utimes");
	ok(o->utimes(ctx, "/files/511", 2147483647, 5), "utimes");
}

void tree_build(const struct tree_ops *ops, void *ctx, bool extents)
{
	put(ops, ctx, "/first", 0, 10, '1');
	build_files(ops, ctx, extents);
	build_names(ops, ctx);
	build_attrs(ops, ctx);
	ok(ops->unlink(ctx, "/first"), "unlink");
}
