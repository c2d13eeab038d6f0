/* SPDX-License-Identifier: MIT */
/*
 * The engine of cp: a tree, without recursion, from any end to any end.
 *
 * A file is made under its name or, if the name is taken, under one of its own
 * that is then renamed over the old one: until the copy is whole the old file
 * is. Data goes in pieces of whole blocks, the last one padded with zeroes, so
 * that direct I/O can take it; then the length is set. Then come owner,
 * attributes, mode and times, in this order: a change of owner takes away
 * capabilities and set-id bits, and mode and times are changed by all of them.
 *
 * Rules    (Y1) What fails is removed; what was copied before stays.
 *          (Y2) After an error that the next file would meet as well (ENOSPC)
 *               nothing more is started; the directories that are open get
 *               their attributes.
 *          (Y3) Of the directories on the way the innermost KEEP_OPEN are open.
 *               Where the one around is not, it is found through "..", and
 *               checked to be the same.
 *          (Y4) A directory of a source image is entered once.
 *          (Y5) A copy inside one image leaves itself out.
 */
#include "cli/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NO_OBJ ((struct copy_obj){ .fd = -1 })

/* A deeper tree costs no more descriptors. (Y3) */
#define KEEP_OPEN 128

/* A directory on the way. */
struct copy_frame {
	struct copy_obj src, dst;  /* closed in the outer ones of a deep tree */
	struct copy_meta meta;     /* of the source */
	uint64_t dst_dev, dst_ino; /* of the copy */
	struct name_list names;
	size_t at; /* in names: the next one */
	size_t src_len, dst_len;
};

int copy_init(struct copy *cp, struct cli *c)
{
	*cp = (struct copy){ .c = c };
	cp->links = link_map_new();
	cp->buf = aligned_alloc(COPY_ALIGN, COPY_BUF);
	if (cp->links && cp->buf)
		return 0;
	copy_fini(cp);
	return cli_err(c, NULL, NULL, -ENOMEM);
}

void copy_fini(struct copy *cp)
{
	link_map_free(cp->links);
	free(cp->buf);
	free(cp->src.text);
	free(cp->dst.text);
	free(cp->frames);
}

static bool obj_is_open(const struct copy_obj *obj)
{
	return obj->fd >= 0 || obj->node;
}

/* ---- errors ---- */

static int from(struct copy *cp, int ret)
{
	if (ret < 0)
		cp->blame = COPY_FROM;
	return ret;
}

static int to(struct copy *cp, int ret)
{
	if (ret < 0)
		cp->blame = COPY_TO;
	return ret;
}

/* Would the next file fail as well? (Y2) */
static bool is_final(int err)
{
	return err == -ENOSPC || err == -EDQUOT || err == -EROFS ||
			err == -EIO || err == -ENOMEM;
}

static void copy_err(struct copy *cp, int err)
{
	if (cp->blame == COPY_TO) {
		(void)cli_err(cp->c, cp->to_image, cp->dst.text, err);
		cp->stop = cp->stop || is_final(err);
	} else if (err == -COPY_ESHRANK && !cp->from_image) {
		(void)cli_errf(cp->c,
				"%s: became shorter while it was copied; copy "
				"it again",
				cp->src.text);
	} else {
		(void)cli_err(cp->c, cp->from_image, cp->src.text, err);
	}
}

/* ---- paths ---- */

static int path_set(struct copy_path *p, size_t len, const char *name)
{
	size_t need = len + strlen(name) + 2;
	char *text;

	if (need > p->cap) {
		text = realloc(p->text, 2 * need);
		if (!text)
			return -ENOMEM;
		p->text = text;
		p->cap = 2 * need;
	}
	if (len > 0 && p->text[len - 1] != '/')
		p->text[len++] = '/';
	memcpy(p->text + len, name, strlen(name) + 1);
	return 0;
}

/* ---- attributes ---- */

static bool xattr_is_kept(const char *name)
{
	static const char *const kept[] = { "user.", "trusted.", "security.",
		"system.posix_acl_" };
	size_t i;

	for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		if (strncmp(name, kept[i], strlen(kept[i])) == 0)
			return true;
	}
	return false;
}

/* An attribute that the target will not have: the file stays. */
static void xattr_refused(struct copy *cp, const char *name, int err)
{
	if (err != -EPERM && err != -EOPNOTSUPP && err != -EACCES) {
		(void)cli_errf(cp->c,
				"%s%s%s: attribute %s: %s; the copy is without "
				"it",
				cp->to_image ? cp->to_image : "",
				cp->to_image ? ":" : "", cp->dst.text, name,
				uext4_strerror(err));
		return;
	}
	if (!cp->warned_xattr && !cp->c->quiet)
		cli_warnf(cp->c,
				"%s: attribute %s cannot be set here (further "
				"ones are not told)",
				cp->dst.text, name);
	cp->warned_xattr = true;
}

static int copy_xattr(struct copy *cp, const struct copy_item *src,
		const struct copy_item *dst, const char *name)
{
	ssize_t n;
	int ret;

	n = cp->from->xattr_get(cp, src, name, cp->buf, XATTR_SIZE_MAX);
	if (n < 0)
		return n == -ENODATA || n == -EPERM ? 0 : from(cp, (int)n);
	ret = cp->to->xattr_set(cp, dst, name, cp->buf, (size_t)n);
	if (ret < 0)
		xattr_refused(cp, name, ret);
	return 0;
}

static int copy_xattrs(struct copy *cp, const struct copy_item *src,
		const struct copy_item *dst)
{
	char *names = (char *)cp->buf;
	ssize_t at;
	ssize_t n;
	int ret = 0;

	n = cp->from->xattr_list(cp, src, names, XATTR_LIST_MAX);
	if (n == 0 || n == -EOPNOTSUPP || n == -EPERM)
		return 0;
	if (n < 0)
		return from(cp, (int)n);
	/* the buffer is wanted for the values */
	names = malloc((size_t)n);
	if (!names)
		return from(cp, -ENOMEM);
	memcpy(names, cp->buf, (size_t)n);
	for (at = 0; ret == 0 && at < n;
			at += (ssize_t)strlen(names + at) + 1) {
		if (xattr_is_kept(names + at))
			ret = copy_xattr(cp, src, dst, names + at);
	}
	free(names);
	return ret;
}

static int copy_attrs(struct copy *cp, const struct copy_item *src,
		const struct copy_item *dst, const struct copy_meta *meta)
{
	struct copy_meta m = *meta;
	int ret;

	ret = to(cp, cp->to->own(cp, dst, &m));
	if (ret == 0)
		ret = copy_xattrs(cp, src, dst);
	if (ret == 0)
		ret = to(cp, cp->to->finish(cp, dst, &m));
	return ret;
}

/* ---- data ---- */

/* How far a copy of data came. */
struct copy_reach {
	uint64_t read;    /* end of what the source had */
	uint64_t written; /* end of what the target has, with the padding */
};

static int copy_piece(struct copy *cp, const struct copy_item *dst, size_t len,
		uint64_t pos, struct copy_reach *reach)
{
	size_t padded = (len + COPY_ALIGN - 1) / COPY_ALIGN * COPY_ALIGN;
	int ret;

	memset(cp->buf + len, 0, padded - len);
	if (!cp->to->pads)
		padded = len;
	ret = to(cp, cp->to->write(cp, dst, cp->buf, padded, pos));
	if (ret < 0)
		return ret;
	reach->read = pos + len;
	reach->written = pos + padded;
	progress_add(&cp->progress, 0, len);
	return 0;
}

/* [pos, end), whose ends may lie inside of blocks. */
static int copy_run(struct copy *cp, const struct copy_item *src,
		const struct copy_item *dst, uint64_t pos, uint64_t end,
		struct copy_reach *reach)
{
	size_t want;
	ssize_t n;
	int ret;

	pos -= pos % COPY_ALIGN;
	while (pos < end) {
		want = end - pos < COPY_BUF ? (size_t)(end - pos) : COPY_BUF;
		n = cp->from->read(cp, src, cp->buf, want, pos);
		if (n < 0)
			return from(cp, (int)n);
		if (n == 0)
			return 0;
		ret = copy_piece(cp, dst, (size_t)n, pos, reach);
		if (ret < 0 || (size_t)n < want)
			return ret;
		pos += (uint64_t)n;
	}
	return 0;
}

/* A file that says 0 may hold bytes all the same: those of /proc do. */
static int copy_unsized(struct copy *cp, const struct copy_item *src,
		const struct copy_item *dst)
{
	struct copy_reach reach = { 0 };
	int ret;

	ret = copy_run(cp, src, dst, 0, UINT64_MAX, &reach);
	if (ret < 0 || reach.written == reach.read)
		return ret;
	return to(cp, cp->to->set_size(cp, dst, reach.read));
}

static int copy_data(struct copy *cp, const struct copy_item *src,
		const struct copy_item *dst, uint64_t size)
{
	struct copy_reach reach = { 0 };
	uint64_t start = 0;
	uint64_t end = 0;
	int ret;

	if (size == 0)
		return cp->from_image ? 0 : copy_unsized(cp, src, dst);
	while (end < size) {
		ret = cp->from->data(cp, src, end, size, &start, &end);
		if (ret == -ENXIO)
			break;
		if (ret < 0)
			return from(cp, ret);
		ret = copy_run(cp, src, dst, start, end, &reach);
		if (ret < 0)
			return ret;
		if (reach.read < end)
			return from(cp, -COPY_ESHRANK);
	}
	/* the padding goes; a hole at the end counts */
	if (reach.written == size)
		return 0;
	return to(cp, cp->to->set_size(cp, dst, size));
}

static int copy_regular(struct copy *cp, struct copy_item *src,
		struct copy_item *dst, const struct copy_meta *meta)
{
	int ret;

	ret = src->obj.fd >= 0 || src->obj.file
			? 0
			: from(cp, cp->from->open(cp, src, meta));
	if (ret < 0)
		return ret;
	ret = to(cp, cp->to->create(cp, dst));
	if (ret < 0)
		return ret;
	return copy_data(cp, src, dst, meta->size);
}

/* ---- one object that is no directory ---- */

static int copy_symlink(struct copy *cp, const struct copy_item *src,
		struct copy_item *dst)
{
	char target[PATH_MAX + 1];
	int ret;

	ret = from(cp, cp->from->readlink(cp, src, target, sizeof(target)));
	if (ret == 0)
		ret = to(cp, cp->to->symlink(cp, dst, target));
	return ret;
}

/* Make @dst, whose name is free. -EEXIST if it is not. */
static int copy_make(struct copy *cp, struct copy_item *src,
		struct copy_item *dst, const struct copy_meta *meta)
{
	bool made;
	int err;
	int ret;

	cp->blame = COPY_FROM;
	dst->obj = NO_OBJ;
	switch (meta->mode & S_IFMT) {
	case S_IFREG:
		ret = copy_regular(cp, src, dst, meta);
		break;
	case S_IFLNK:
		ret = copy_symlink(cp, src, dst);
		break;
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		ret = to(cp, cp->to->mknod(cp, dst, meta));
		break;
	default: /* no such thing */
		ret = from(cp, -EUCLEAN);
		break;
	}
	made = ret == 0 || obj_is_open(&dst->obj);
	if (ret == 0)
		ret = copy_attrs(cp, src, dst, meta);
	err = cp->to->close(cp, &dst->obj);
	if (ret == 0)
		ret = to(cp, err);
	if (ret < 0 && made) /* Y1 */
		(void)cp->to->remove(cp, dst->dir, dst->name);
	return ret;
}

/* The further name of a file that was copied: 0 done, 1 it must be copied. */
static int copy_link(struct copy *cp, struct copy_item *dst,
		const struct link_to *first)
{
	int ret;

	ret = cp->to->link(cp, dst, first);
	if (ret == -ENOENT || ret == -ESTALE || ret == -EMLINK)
		return 1;
	return to(cp, ret);
}

/* Under the name of @dst, which must be free. */
static int copy_fresh(struct copy *cp, struct copy_item *src,
		struct copy_item *dst, const struct copy_meta *meta,
		const struct link_to *first)
{
	int ret = first ? copy_link(cp, dst, first) : 1;

	return ret == 1 ? copy_make(cp, src, dst, meta) : ret;
}

/* Under the name of @dst, in the place of what has it. */
static int copy_over(struct copy *cp, struct copy_item *src,
		struct copy_item *dst, const struct copy_meta *meta,
		const struct link_to *first)
{
	char temp[NAME_MAX + 1];
	struct copy_item it = { .dir = dst->dir, .name = temp };
	int ret;

	ret = to(cp, cp->to->may_replace(cp, dst));
	if (ret == 0)
		ret = to(cp, cp->to->temp_name(cp, dst->dir, temp));
	if (ret == 0)
		ret = copy_fresh(cp, src, &it, meta, first);
	if (ret < 0)
		return ret;
	ret = to(cp, cp->to->rename(cp, dst->dir, temp, dst->name));
	/* two names of one file: the rename did nothing */
	if (ret < 0 || first)
		(void)cp->to->remove(cp, dst->dir, temp);
	return ret;
}

static int copy_note_link(struct copy *cp, const struct copy_item *dst,
		const struct copy_meta *meta)
{
	struct link_to here = { .path = cp->dst.text };
	int ret;

	ret = to(cp, cp->to->ident(cp, dst, &here.dev, &here.ino));
	if (ret == 0)
		ret = link_map_add(cp->links, meta->dev, meta->ino, &here);
	return ret;
}

static int copy_leaf(struct copy *cp, struct copy_item *src,
		struct copy_item *dst, const struct copy_meta *meta)
{
	const struct link_to *first = NULL;
	int ret;

	if (meta->nlink > 1)
		first = link_map_find(cp->links, meta->dev, meta->ino);
	ret = copy_fresh(cp, src, dst, meta, first);
	if (ret == -EEXIST && cp->blame == COPY_TO)
		ret = copy_over(cp, src, dst, meta, first);
	if (ret == 0 && meta->nlink > 1 && !first)
		ret = copy_note_link(cp, dst, meta);
	if (ret == 0)
		progress_add(&cp->progress, 1, 0);
	return ret;
}

/* ---- directories ---- */

static int frames_room(struct copy *cp)
{
	struct copy_frame *v;
	size_t cap;

	if (cp->nframes < cp->cap)
		return 0;
	cap = cp->cap ? 2 * cp->cap : 16;
	v = realloc(cp->frames, cap * sizeof(*v));
	if (!v)
		return -ENOMEM;
	cp->frames = v;
	cp->cap = cap;
	return 0;
}

static bool is_one_fs(const struct copy *cp)
{
	return cp->from_fs && cp->from_fs == cp->to_fs;
}

/* Say why the source is left out. Returns the status, which is positive. */
static int copy_refuse(struct copy *cp, const char *why)
{
	return cli_errf(cp->c, "%s%s%s: %s",
			cp->from_image ? cp->from_image : "",
			cp->from_image ? ":" : "", cp->src.text, why);
}

/* Y4, Y5. */
static int dir_may_enter(struct copy *cp, const struct copy_meta *meta)
{
	static const struct link_to here = { 0 };

	if (is_one_fs(cp) && cp->nframes > 0 && meta->ino == cp->top_ino)
		return copy_refuse(cp,
				"is the copy that is being made; left "
				"out");
	if (!cp->from_image)
		return 0;
	if (link_map_find(cp->seen, 0, meta->ino)) {
		(void)copy_refuse(cp, "is inside itself; run e2fsck");
		cp->c->status = CLI_DAMAGED;
		return CLI_DAMAGED;
	}
	return from(cp, link_map_add(cp->seen, 0, meta->ino, &here));
}

static void frame_close(struct copy *cp, struct copy_frame *f)
{
	cp->from->close(cp, &f->src);
	(void)cp->to->close(cp, &f->dst);
}

/* Open both, read the names, push a frame: there is room for it. */
static int dir_enter(struct copy *cp, struct copy_item *src,
		struct copy_item *dst, const struct copy_meta *meta)
{
	struct copy_frame *f = &cp->frames[cp->nframes];
	int ret;

	ret = from(cp, cp->from->open(cp, src, meta));
	if (ret == 0)
		ret = to(cp, cp->to->mkdir(cp, dst));
	if (ret < 0)
		return ret;
	*f = (struct copy_frame){
		.meta = *meta,
		.src_len = strlen(cp->src.text),
		.dst_len = strlen(cp->dst.text),
	};
	ret = to(cp, cp->to->ident(cp, dst, &f->dst_dev, &f->dst_ino));
	if (ret == 0 && cp->nframes == 0) {
		cp->top_ino = f->dst_ino;
		if (is_one_fs(cp) && meta->ino == f->dst_ino)
			ret = copy_refuse(cp, "is source and target at once");
	}
	if (ret == 0)
		ret = from(cp, cp->from->list(cp, &src->obj, &f->names));
	if (ret != 0) {
		(void)cp->to->close(cp, &dst->obj);
		return ret;
	}
	f->src = src->obj;
	f->dst = dst->obj;
	src->obj = NO_OBJ;
	dst->obj = NO_OBJ;
	cp->nframes++;
	if (cp->nframes > KEEP_OPEN)
		frame_close(cp, f - KEEP_OPEN);
	return 0;
}

/* Have the directories around those of @f open. (Y3) */
static int dir_up(struct copy *cp, const struct copy_frame *f,
		struct copy_frame *up)
{
	int ret = 0;

	if (!obj_is_open(&up->src))
		ret = from(cp, cp->from->up(cp, &f->src, &up->meta, &up->src));
	if (ret == 0 && !obj_is_open(&up->dst))
		ret = to(cp,
				cp->to->up(cp, &f->dst, up->dst_dev,
						up->dst_ino, &up->dst));
	return ret;
}

/* A deep tree was moved meanwhile: give up the directories that cannot be
 * reached any more. */
static void dir_lost(struct copy *cp)
{
	struct copy_frame *f;

	while (cp->nframes > 0) {
		f = &cp->frames[cp->nframes - 1];
		if (obj_is_open(&f->src) && obj_is_open(&f->dst))
			return;
		frame_close(cp, f);
		name_list_free(&f->names);
		cp->nframes--;
	}
}

/* The innermost directory has everything: its attributes, and back. */
static void dir_leave(struct copy *cp)
{
	struct copy_frame *f = &cp->frames[cp->nframes - 1];
	struct copy_item src = { .obj = f->src };
	struct copy_item dst = { .obj = f->dst };
	int err;
	int ret;

	cp->src.text[f->src_len] = '\0';
	cp->dst.text[f->dst_len] = '\0';
	ret = cp->nframes > 1 ? dir_up(cp, f, f - 1) : 0;
	if (ret < 0)
		copy_err(cp, ret);
	ret = copy_attrs(cp, &src, &dst, &f->meta);
	cp->from->close(cp, &f->src);
	err = cp->to->close(cp, &f->dst);
	if (ret == 0)
		ret = to(cp, err);
	if (ret < 0)
		copy_err(cp, ret);
	else
		progress_add(&cp->progress, 1, 0);
	name_list_free(&f->names);
	cp->nframes--;
	dir_lost(cp);
}

/* ---- the walk ---- */

static int copy_dir(struct copy *cp, struct copy_item *src,
		struct copy_item *dst, const struct copy_meta *meta)
{
	int ret;

	if (!cp->recursive) {
		(void)copy_refuse(cp, "is a directory; copy it with -r");
		return 0;
	}
	ret = dir_may_enter(cp, meta);
	if (ret == 0)
		ret = dir_enter(cp, src, dst, meta);
	return ret > 0 ? 0 : ret;
}

static void copy_visit(struct copy *cp, const struct copy_obj *src_dir,
		const char *name, const struct copy_obj *dst_dir,
		const char *dst_name)
{
	struct copy_item src = {
		.dir = src_dir,
		.name = name,
		.obj = NO_OBJ,
	};
	struct copy_item dst = {
		.dir = dst_dir,
		.name = dst_name,
		.obj = NO_OBJ,
	};
	struct copy_meta meta;
	int ret;

	ret = from(cp, cp->from->stat(cp, &src, &meta));
	if (ret == 0 && !cp->from_image && S_ISREG(meta.mode) &&
			meta.dev == cp->image_dev &&
			meta.ino == cp->image_ino) {
		(void)copy_refuse(cp, "is the image itself; left out");
		return;
	}
	if (ret == 0)
		ret = S_ISDIR(meta.mode) ? copy_dir(cp, &src, &dst, &meta)
					 : copy_leaf(cp, &src, &dst, &meta);
	cp->from->close(cp, &src.obj);
	if (ret < 0)
		copy_err(cp, ret);
}

static void copy_next(struct copy *cp)
{
	struct copy_frame *f = &cp->frames[cp->nframes - 1];
	size_t src_len, dst_len;
	const char *name;

	if (f->at >= f->names.len || cp->stop) {
		dir_leave(cp);
		return;
	}
	name = f->names.text + f->at;
	f->at += strlen(name) + 1;
	src_len = f->src_len;
	dst_len = f->dst_len;
	/* This may move the frames. */
	if (frames_room(cp) < 0 || path_set(&cp->src, src_len, name) < 0 ||
			path_set(&cp->dst, dst_len, name) < 0) {
		copy_err(cp, to(cp, -ENOMEM));
		return;
	}
	f = &cp->frames[cp->nframes - 1];
	copy_visit(cp, &f->src, name, &f->dst, name);
}

void copy_tree(struct copy *cp, const struct copy_obj *src_dir,
		const char *name, const char *src_path,
		const struct copy_obj *dst_dir, const char *dst_name,
		const char *dst_path)
{
	if (cp->stop)
		return;
	cp->seen = link_map_new();
	if (!cp->seen || frames_room(cp) < 0 ||
			path_set(&cp->src, 0, src_path) < 0 ||
			path_set(&cp->dst, 0, dst_path) < 0) {
		(void)cli_err(cp->c, NULL, src_path, -ENOMEM);
	} else {
		copy_visit(cp, src_dir, name, dst_dir, dst_name);
		while (cp->nframes > 0)
			copy_next(cp);
	}
	link_map_free(cp->seen);
	cp->seen = NULL;
}
