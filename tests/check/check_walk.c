/* SPDX-License-Identifier: MIT */
/*
 * Reading a tree out of an image: names, attributes, bytes, mappings.
 *
 * Rules    (W1) A directory is entered once (K2).
 *          (W2) What cannot be read is -EUCLEAN; nothing is guessed.
 */
#include "check/check_int.h"

#include <errno.h>
#include <stdlib.h>

/* A context without the tables of a check. */
struct walk_fs {
	struct ck c;
	struct check_report rep;
};

static int walk_open(const struct check_dev *dev, struct walk_fs **ret_fs)
{
	struct walk_fs *fs = malloc(sizeof(*fs));
	int ret;

	if (!fs)
		return -ENOMEM;
	ret = ck_init(&fs->c, dev, NULL, &fs->rep);
	if (ret == 0)
		ret = ck_gdt_load(&fs->c);
	if (ret) {
		ck_fini(&fs->c);
		free(fs);
		return ret < 0 ? ret : -EUCLEAN;
	}
	*ret_fs = fs;
	return 0;
}

static void walk_close(struct walk_fs *fs)
{
	ck_fini(&fs->c);
	free(fs);
}

static int64_t walk_time(const struct ck *c, const struct ck_inode *in,
		unsigned int at, unsigned int extra, uint32_t *ret_ns)
{
	int64_t sec = (int32_t)get_le32(in->raw + at);
	uint32_t more;

	*ret_ns = 0;
	if (c->isize <= 128 || 128 + in->extra < extra + 4)
		return sec;
	more = get_le32(in->raw + extra);
	*ret_ns = more >> 2;
	return sec + ((int64_t)(more & 3) << 32);
}

/* The old form in the first word, or the new one in the second. */
static uint64_t walk_rdev(const uint8_t *iblock)
{
	uint32_t old = get_le32(iblock), new = get_le32(iblock + 4);

	if (old)
		return (uint64_t)(old >> 8 & 0xff) << 32 | (old & 0xff);
	return (uint64_t)(new >> 8 & 0xfff) << 32 |
			((new & 0xff) | (new >> 12 & 0xfff00));
}

static void walk_stat(const struct ck *c, const struct ck_inode *in,
		struct check_stat *ret_st)
{
	const uint8_t *raw = in->raw;
	struct check_stat st = {
		.ino = in->ino,
		.mode = in->mode,
		.uid = get_le16(raw + 0x02) |
				(uint32_t)get_le16(raw + 0x78) << 16,
		.gid = get_le16(raw + 0x18) |
				(uint32_t)get_le16(raw + 0x7a) << 16,
		.links = in->links,
		.flags = in->flags,
		.generation = in->gen,
		.size = in->size,
		.blocks512 = in->blocks,
	};

	if ((in->flags & CK_FL_HUGE_FILE) && ck_ro(c, CK_RO_HUGE_FILE))
		st.blocks512 <<= c->bs_bits - 9;
	if (in->type == CK_FT_CHR || in->type == CK_FT_BLK)
		st.rdev = walk_rdev(raw + 0x28);
	st.atime = walk_time(c, in, 0x08, 0x8c, &st.atime_ns);
	st.ctime = walk_time(c, in, 0x0c, 0x84, &st.ctime_ns);
	st.mtime = walk_time(c, in, 0x10, 0x88, &st.mtime_ns);
	if (c->isize > 128 && in->extra >= 24)
		st.crtime = walk_time(c, in, 0x90, 0x94, &st.crtime_ns);
	*ret_st = st;
}

static int walk_collect(struct ck_map *m, const struct check_run *run)
{
	struct ck *c = m->c;

	if (run->unwritten || run->lblk != c->ndblks)
		return -EUCLEAN;
	if (!ck_grow(c, &c->dblks, &c->cap_dblks, c->ndblks + run->len,
			    sizeof(*c->dblks)))
		return c->err;
	for (uint32_t i = 0; i < run->len; i++)
		c->dblks[c->ndblks++] = run->pblk + i;
	return 0;
}

typedef int (*walk_entry_fn)(
		void *ctx, uint32_t ino, const uint8_t *name, uint32_t len);

static int walk_dir_block(
		struct ck *c, uint64_t pblk, walk_entry_fn fn, void *ctx)
{
	const uint8_t *p = ck_block(c, pblk, CK_SLOT_DIR);
	uint32_t off = 0;

	if (!p)
		return c->err;
	while (off < c->bs) {
		const uint8_t *de = p + off;
		uint32_t rec, len;
		int ret = 0;

		if (c->bs - off < 8)
			return -EUCLEAN;
		rec = ck_rec_len(c, de);
		len = ck_incompat(c, CK_INCOMPAT_FILETYPE) ? de[6]
							   : get_le16(de + 6);
		if (rec < 8 || rec % 4 || rec > c->bs - off || len > rec - 8)
			return -EUCLEAN;
		if (get_le32(de) && len)
			ret = fn(ctx, get_le32(de), de + 8, len);
		if (ret)
			return ret;
		off += rec;
	}
	return 0;
}

/* Call @fn for every entry of the directory, dots included. */
static int walk_dir(struct ck *c, const struct ck_inode *in, walk_entry_fn fn,
		void *ctx)
{
	struct ck_map m = { .c = c, .in = in, .run = walk_collect };
	uint64_t *blks;
	uint32_t n;
	int ret;

	c->ndblks = 0;
	ret = ck_map_walk(&m);
	if (ret == 1)
		ret = m.stop;
	if (ret < 0)
		return ret;
	/* Taken away from the context: @fn may walk other directories. */
	blks = c->dblks;
	n = c->ndblks;
	c->dblks = NULL;
	c->cap_dblks = 0;
	for (uint32_t i = 0; i < n && ret == 0; i++)
		ret = walk_dir_block(c, blks[i], fn, ctx);
	free(blks);
	return ret;
}

static bool walk_is_dots(const uint8_t *name, uint32_t len)
{
	return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

/* One directory that waits to be entered. */
struct walk_todo {
	uint32_t ino;
	char *path; /* without a "/" at the end: "" for the root */
};

struct walk_tree {
	struct ck *c;
	int (*fn)(void *ctx, const struct check_entry *entry);
	void *ctx;
	uint8_t *seen; /* W1 */
	struct walk_todo *todo;
	uint32_t ntodo, cap;
	const char *dir; /* being read */
};

static int walk_push(struct walk_tree *w, uint32_t ino, const char *path)
{
	char *copy;

	if (bits_test(w->seen, ino))
		return -EUCLEAN;
	bits_set(w->seen, ino);
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	if (!ck_grow(w->c, &w->todo, &w->cap, w->ntodo + 1, sizeof(*w->todo))) {
		free(copy);
		return -ENOMEM;
	}
	w->todo[w->ntodo++] = (struct walk_todo){ ino, copy };
	return 0;
}

static int walk_one(void *ctx, uint32_t ino, const uint8_t *name, uint32_t len)
{
	struct walk_tree *w = ctx;
	struct check_entry entry;
	struct ck_inode in;
	size_t at = strlen(w->dir);
	char *path;
	int ret;

	if (walk_is_dots(name, len))
		return 0;
	ret = ck_inode_read(w->c, ino, &in);
	if (ret < 0)
		return ret;
	path = malloc(at + len + 2);
	if (!path)
		return -ENOMEM;
	memcpy(path, w->dir, at);
	path[at] = '/';
	memcpy(path + at + 1, name, len);
	path[at + 1 + len] = 0;
	walk_stat(w->c, &in, &entry.st);
	entry.path = path;
	entry.name = path + at + 1;
	ret = w->fn(w->ctx, &entry);
	if (ret == 0 && in.type == CK_FT_DIR)
		ret = walk_push(w, ino, path);
	free(path);
	return ret;
}

static int walk_root(struct walk_tree *w)
{
	struct check_entry entry = { .path = "/", .name = "" };
	struct ck_inode in;
	int ret = ck_inode_read(w->c, CK_ROOT_INO, &in);

	if (ret < 0)
		return ret;
	if (in.type != CK_FT_DIR)
		return -EUCLEAN;
	walk_stat(w->c, &in, &entry.st);
	ret = w->fn(w->ctx, &entry);
	return ret ? ret : walk_push(w, CK_ROOT_INO, "");
}

int check_walk(const struct check_dev *dev,
		int (*fn)(void *ctx, const struct check_entry *entry),
		void *ctx)
{
	struct walk_tree w = { .fn = fn, .ctx = ctx };
	struct walk_fs *fs;
	int ret = walk_open(dev, &fs);

	if (ret < 0)
		return ret;
	w.c = &fs->c;
	w.seen = calloc(1, fs->c.inodes / 8 + 1);
	ret = w.seen ? walk_root(&w) : -ENOMEM;
	while (w.ntodo > 0) {
		struct walk_todo t = w.todo[--w.ntodo];
		struct ck_inode in;

		w.dir = t.path;
		if (ret == 0)
			ret = ck_inode_read(w.c, t.ino, &in);
		if (ret == 0)
			ret = walk_dir(w.c, &in, walk_one, &w);
		free(t.path);
	}
	free(w.todo);
	free(w.seen);
	walk_close(fs);
	return ret;
}

struct walk_find {
	const char *name;
	size_t len;
	uint32_t ino;
};

static int walk_match(
		void *ctx, uint32_t ino, const uint8_t *name, uint32_t len)
{
	struct walk_find *f = ctx;

	if (len != f->len || memcmp(name, f->name, len) != 0)
		return 0;
	f->ino = ino;
	return 1;
}

static int walk_lookup(struct ck *c, const char *path, uint32_t *ret_ino)
{
	uint32_t ino = CK_ROOT_INO;

	for (;;) {
		struct walk_find f = { 0 };
		struct ck_inode in;
		int ret;

		path += strspn(path, "/");
		if (*path == 0) {
			*ret_ino = ino;
			return 0;
		}
		f.name = path;
		f.len = strcspn(path, "/");
		ret = ck_inode_read(c, ino, &in);
		if (ret < 0)
			return ret;
		if (in.type != CK_FT_DIR)
			return -ENOTDIR;
		ret = walk_dir(c, &in, walk_match, &f);
		if (ret < 0)
			return ret;
		if (ret == 0)
			return -ENOENT;
		ino = f.ino;
		path += f.len;
	}
}

int check_lookup(const struct check_dev *dev, const char *path,
		uint32_t *ret_ino)
{
	struct walk_fs *fs;
	int ret = walk_open(dev, &fs);

	if (ret < 0)
		return ret;
	ret = walk_lookup(&fs->c, path, ret_ino);
	walk_close(fs);
	return ret;
}

int check_stat(const struct check_dev *dev, uint32_t ino,
		struct check_stat *ret_st)
{
	struct walk_fs *fs;
	struct ck_inode in;
	int ret = walk_open(dev, &fs);

	if (ret < 0)
		return ret;
	ret = ck_inode_read(&fs->c, ino, &in);
	if (ret == 0)
		walk_stat(&fs->c, &in, ret_st);
	walk_close(fs);
	return ret;
}

/* The bytes [pos, end) of a file, on their way to buf. */
struct walk_read {
	uint64_t pos, end;
	uint8_t *buf;
};

static int walk_read_run(struct ck_map *m, const struct check_run *run)
{
	struct walk_read *r = m->arg;
	struct ck *c = m->c;
	uint64_t from = (uint64_t)run->lblk << c->bs_bits;
	uint64_t to = from + ((uint64_t)run->len << c->bs_bits);
	uint64_t lo = from > r->pos ? from : r->pos;
	uint64_t hi = to < r->end ? to : r->end;

	if (from >= r->end)
		return 1;
	if (lo >= hi || run->unwritten)
		return 0;
	return ck_read(c, (run->pblk << c->bs_bits) + (lo - from),
			r->buf + (lo - r->pos), hi - lo);
}

static int64_t walk_read(
		struct ck *c, uint32_t ino, uint64_t pos, void *buf, size_t len)
{
	struct walk_read r = { .pos = pos, .buf = buf };
	struct ck_inode in;
	struct ck_map m = {
		.c = c,
		.in = &in,
		.run = walk_read_run,
		.arg = &r,
	};
	int ret = ck_inode_read(c, ino, &in);

	if (ret < 0)
		return ret;
	if (in.type != CK_FT_REG && in.type != CK_FT_LNK &&
			in.type != CK_FT_DIR)
		return -EINVAL;
	if (in.flags & CK_FL_INLINE)
		return -EOPNOTSUPP;
	if (pos >= in.size)
		return 0;
	if (len > in.size - pos)
		len = in.size - pos;
	if (ck_is_fast_symlink(c, &in)) {
		memcpy(buf, in.raw + 0x28 + pos, len);
		return (int64_t)len;
	}
	memset(buf, 0, len);
	r.end = pos + len;
	ret = ck_map_walk(&m);
	return ret < 0 ? ret : (int64_t)len;
}

int64_t check_read_ino(const struct check_dev *dev, uint32_t ino, uint64_t pos,
		void *buf, size_t len)
{
	struct walk_fs *fs;
	int64_t ret = walk_open(dev, &fs);

	if (ret < 0)
		return ret;
	ret = walk_read(&fs->c, ino, pos, buf, len);
	walk_close(fs);
	return ret;
}

int64_t check_read_file(const struct check_dev *dev, const char *path,
		uint64_t pos, void *buf, size_t len)
{
	struct walk_fs *fs;
	uint32_t ino;
	int64_t ret = walk_open(dev, &fs);

	if (ret < 0)
		return ret;
	ret = walk_lookup(&fs->c, path, &ino);
	if (ret == 0)
		ret = walk_read(&fs->c, ino, pos, buf, len);
	walk_close(fs);
	return ret;
}

struct walk_runs {
	int (*fn)(void *ctx, const struct check_run *run);
	void *ctx;
};

static int walk_give_run(struct ck_map *m, const struct check_run *run)
{
	struct walk_runs *r = m->arg;

	return r->fn(r->ctx, run);
}

int check_runs(const struct check_dev *dev, uint32_t ino,
		int (*fn)(void *ctx, const struct check_run *run), void *ctx)
{
	struct walk_runs r = { fn, ctx };
	struct walk_fs *fs;
	struct ck_inode in;
	struct ck_map m = { .in = &in, .run = walk_give_run, .arg = &r };
	int ret = walk_open(dev, &fs);

	if (ret < 0)
		return ret;
	m.c = &fs->c;
	ret = ck_inode_read(&fs->c, ino, &in);
	if (ret == 0 && !ck_is_fast_symlink(&fs->c, &in) &&
			(in.type == CK_FT_REG || in.type == CK_FT_DIR ||
					in.type == CK_FT_LNK))
		ret = ck_map_walk(&m);
	if (ret == 1)
		ret = m.stop;
	walk_close(fs);
	return ret;
}

struct walk_attrs {
	int (*fn)(void *ctx, const char *name, const void *value, size_t len);
	void *ctx;
};

static int walk_attr(const struct walk_attrs *w, const uint8_t *e,
		const uint8_t *value)
{
	static const char *const prefix[] = {
		[1] = "user.",
		[2] = "system.posix_acl_access",
		[3] = "system.posix_acl_default",
		[4] = "trusted.",
		[6] = "security.",
		[7] = "system.",
		[8] = "system.richacl",
	};
	char name[320];

	if (e[1] >= sizeof(prefix) / sizeof(*prefix) || !prefix[e[1]])
		return -EUCLEAN;
	snprintf(name, sizeof(name), "%s%.*s", prefix[e[1]], (int)e[0],
			(const char *)e + 16);
	return w->fn(w->ctx, name, value, get_le32(e + 8));
}

static int walk_attr_list(const struct walk_attrs *w, const uint8_t *base,
		uint32_t first, uint32_t size)
{
	uint32_t off = first;

	while (off + 4 <= size && get_le32(base + off)) {
		const uint8_t *e = base + off;
		uint32_t at, len;
		int ret;

		if (off + 16 > size || off + 16 + e[0] > size)
			return -EUCLEAN;
		at = get_le16(e + 2);
		len = get_le32(e + 8);
		if (get_le32(e + 4))
			return -EOPNOTSUPP;
		if (len > size || at > size - len)
			return -EUCLEAN;
		ret = walk_attr(w, e, base + at);
		if (ret)
			return ret;
		off += (16 + (uint32_t)e[0] + 3) & ~3u;
	}
	return 0;
}

static int walk_attrs(struct ck *c, const struct ck_inode *in,
		const struct walk_attrs *w)
{
	uint32_t at = 128 + in->extra;
	const uint8_t *p;
	int ret = 0;

	if (c->isize > 128 && in->extra && at + 4 <= c->isize &&
			get_le32(in->raw + at) == 0xea020000u)
		ret = walk_attr_list(w, in->raw + at + 4, 0, c->isize - at - 4);
	if (ret || in->acl == 0)
		return ret;
	p = ck_block(c, in->acl, CK_SLOT_XATTR);
	if (!p)
		return c->err;
	if (get_le32(p) != 0xea020000u)
		return -EUCLEAN;
	return walk_attr_list(w, p, 32, c->bs);
}

int check_xattrs(const struct check_dev *dev, uint32_t ino,
		int (*fn)(void *ctx, const char *name, const void *value,
				size_t len),
		void *ctx)
{
	struct walk_attrs w = { fn, ctx };
	struct walk_fs *fs;
	struct ck_inode in;
	int ret = walk_open(dev, &fs);

	if (ret < 0)
		return ret;
	ret = ck_inode_read(&fs->c, ino, &in);
	if (ret == 0)
		ret = walk_attrs(&fs->c, &in, &w);
	walk_close(fs);
	return ret;
}
