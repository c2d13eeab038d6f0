/* SPDX-License-Identifier: MIT */
/*
 * The image's end of a copy. A directory is a node; a regular file is open as
 * well, for direct I/O unless --cached says otherwise.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/copy.h"
#include "cli/place.h"

static unsigned io_flags(const struct copy *cp)
{
	return cp->c->cached ? 0 : UEXT4_O_DIRECT;
}

static void obj_put(struct copy_obj *obj)
{
	uext4_node_put(obj->node);
	obj->node = NULL;
}

/* ---- source ---- */

static int image_stat(struct copy *cp, struct copy_item *it,
		struct copy_meta *ret_meta)
{
	struct uext4_stat st;
	int ret;

	ret = uext4_lookup(it->dir->node, it->name, NULL, &it->obj.node);
	if (ret < 0)
		return ret;
	ret = uext4_node_stat(it->obj.node, &st);
	if (ret < 0) {
		obj_put(&it->obj);
		return ret;
	}
	*ret_meta = (struct copy_meta){
		.ino = st.ino,
		.mode = st.mode,
		.uid = st.uid,
		.gid = st.gid,
		.nlink = st.nlink,
		.major = st.rdev_major,
		.minor = st.rdev_minor,
		.size = st.size,
		.atime = st.atime,
		.mtime = st.mtime,
	};
	return 0;
}

static int image_open(struct copy *cp, struct copy_item *it,
		const struct copy_meta *meta)
{
	if (S_ISDIR(meta->mode))
		return 0;
	return uext4_open_node(it->obj.node,
			UEXT4_O_RDONLY | UEXT4_O_NOATIME | io_flags(cp), NULL,
			&it->obj.file);
}

static int image_list(struct copy *cp, const struct copy_obj *dir,
		struct name_list *ret_names)
{
	struct name_list l;
	int ret;

	ret = name_list_read(dir->node, &l);
	if (ret < 0)
		return ret;
	if (l.odd) {
		(void)cli_errf(cp->c,
				"%s:%s: holds names that cannot be; run e2fsck",
				cp->from_image, cp->src.text);
		cp->c->status = CLI_DAMAGED;
	}
	*ret_names = l;
	return 0;
}

static int image_data(struct copy *cp, const struct copy_item *it, uint64_t pos,
		uint64_t size, uint64_t *ret_start, uint64_t *ret_end)
{
	int64_t start = uext4_seek_data(it->obj.file, pos);
	int64_t end;

	if (start < 0)
		return (int)start;
	end = uext4_seek_hole(it->obj.file, (uint64_t)start);
	if (end < 0)
		return (int)end;
	if ((uint64_t)start >= size)
		return -ENXIO;
	if (end <= start || (uint64_t)end > size)
		end = (int64_t)size;
	*ret_start = (uint64_t)start;
	*ret_end = (uint64_t)end;
	return 0;
}

static ssize_t image_read(struct copy *cp, const struct copy_item *it,
		uint8_t *buf, size_t len, uint64_t pos)
{
	/* a direct read ends at the file's end, wherever that is */
	size_t whole = (len + COPY_ALIGN - 1) / COPY_ALIGN * COPY_ALIGN;
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = uext4_pread(it->obj.file, buf + done, whole - done,
				pos + done);
		if (n < 0)
			return n;
		done += (size_t)n;
		if (n == 0 || done % COPY_ALIGN != 0)
			break;
	}
	return (ssize_t)(done < len ? done : len);
}

static int image_readlink(struct copy *cp, const struct copy_item *it,
		char *buf, size_t size)
{
	ssize_t n = uext4_node_readlink(it->obj.node, buf, size - 1);

	if (n < 0)
		return (int)n;
	buf[n] = '\0';
	return 0;
}

static ssize_t image_xattr_list(struct copy *cp, const struct copy_item *it,
		char *buf, size_t size)
{
	return uext4_listxattr(it->obj.node, buf, size, NULL);
}

static ssize_t image_xattr_get(struct copy *cp, const struct copy_item *it,
		const char *name, void *buf, size_t size)
{
	return uext4_getxattr(it->obj.node, name, buf, size, NULL);
}

static int image_from_up(struct copy *cp, const struct copy_obj *dir,
		const struct copy_meta *id, struct copy_obj *ret_dir)
{
	struct uext4_node *node;
	int ret;

	ret = uext4_node_get(cp->from_fs, (uint32_t)id->ino, 0, &node);
	if (ret == 0)
		*ret_dir = (struct copy_obj){ .fd = -1, .node = node };
	return ret;
}

static int image_close(struct copy *cp, struct copy_obj *obj)
{
	int ret = uext4_close(obj->file);

	obj->file = NULL;
	obj_put(obj);
	return ret;
}

static void image_from_close(struct copy *cp, struct copy_obj *obj)
{
	(void)image_close(cp, obj);
}

const struct copy_from_ops copy_from_image = {
	.stat = image_stat,
	.open = image_open,
	.list = image_list,
	.data = image_data,
	.read = image_read,
	.readlink = image_readlink,
	.xattr_list = image_xattr_list,
	.xattr_get = image_xattr_get,
	.up = image_from_up,
	.close = image_from_close,
};

/* ---- target ---- */

static int image_create(struct copy *cp, struct copy_item *it)
{
	int ret;

	ret = uext4_create(it->dir->node, it->name,
			UEXT4_O_RDWR | UEXT4_O_CREAT | UEXT4_O_EXCL |
					io_flags(cp),
			0600, NULL, &it->obj.file);
	if (ret == 0)
		it->obj.node = uext4_node_hold(uext4_file_node(it->obj.file));
	return ret;
}

static int image_symlink(
		struct copy *cp, struct copy_item *it, const char *target)
{
	return uext4_symlink(
			it->dir->node, it->name, target, NULL, &it->obj.node);
}

static int image_mknod(struct copy *cp, struct copy_item *it,
		const struct copy_meta *meta)
{
	return uext4_mknod(it->dir->node, it->name, meta->mode & ~07000u,
			meta->major, meta->minor, NULL, &it->obj.node);
}

static int image_link(struct copy *cp, struct copy_item *it,
		const struct link_to *first)
{
	struct uext4_node *node;
	int ret;

	ret = uext4_node_get(cp->to_fs, (uint32_t)first->ino, 0, &node);
	if (ret < 0)
		return ret;
	ret = uext4_link(node, it->dir->node, it->name, NULL);
	uext4_node_put(node);
	return ret;
}

static int image_mkdir(struct copy *cp, struct copy_item *it)
{
	struct uext4_stat st;
	int ret;

	ret = uext4_mkdir(it->dir->node, it->name, 0700, NULL, &it->obj.node);
	if (ret != -EEXIST)
		return ret;
	ret = uext4_lookup(it->dir->node, it->name, NULL, &it->obj.node);
	if (ret < 0)
		return ret;
	ret = uext4_node_stat(it->obj.node, &st);
	if (ret == 0 && !S_ISDIR(st.mode))
		ret = -ENOTDIR;
	if (ret < 0)
		obj_put(&it->obj);
	return ret;
}

static int image_write(struct copy *cp, const struct copy_item *it,
		const uint8_t *buf, size_t len, uint64_t pos)
{
	ssize_t n;

	while (len > 0) {
		n = uext4_pwrite(it->obj.file, buf, len, pos);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EIO;
		buf += n;
		len -= (size_t)n;
		pos += (uint64_t)n;
	}
	return 0;
}

static int image_set_size(
		struct copy *cp, const struct copy_item *it, uint64_t size)
{
	return uext4_ftruncate(it->obj.file, size);
}

static int image_xattr_set(struct copy *cp, const struct copy_item *it,
		const char *name, const void *value, size_t len)
{
	return uext4_setxattr(it->obj.node, name, value, len, 0, NULL);
}

static int image_own(struct copy *cp, const struct copy_item *it,
		struct copy_meta *meta)
{
	struct uext4_setattr a = {
		.mask = UEXT4_SET_UID | UEXT4_SET_GID,
		.uid = meta->uid,
		.gid = meta->gid,
	};

	struct uext4_stat st;
	int ret;

	ret = uext4_node_stat(it->obj.node, &st);
	if (ret < 0 || (st.uid == meta->uid && st.gid == meta->gid))
		return ret;
	return uext4_node_setattr(it->obj.node, &a, NULL);
}

static int image_finish(struct copy *cp, const struct copy_item *it,
		const struct copy_meta *meta)
{
	struct uext4_setattr a = {
		.mask = UEXT4_SET_ATIME | UEXT4_SET_MTIME,
		.mode = meta->mode & 07777,
		.atime = meta->atime,
		.mtime = meta->mtime,
	};

	if (!S_ISLNK(meta->mode))
		a.mask |= UEXT4_SET_MODE;
	return uext4_node_setattr(it->obj.node, &a, NULL);
}

static int image_ident(struct copy *cp, const struct copy_item *it,
		uint64_t *ret_dev, uint64_t *ret_ino)
{
	struct uext4_node *node = it->obj.node;
	int ret;

	if (!node) {
		ret = uext4_lookup(it->dir->node, it->name, NULL, &node);
		if (ret < 0)
			return ret;
	}
	*ret_dev = 0;
	*ret_ino = uext4_node_ino(node);
	if (!it->obj.node)
		uext4_node_put(node);
	return 0;
}

static int image_may_replace(struct copy *cp, const struct copy_item *it)
{
	struct uext4_node *node;
	struct uext4_stat st;
	int ret;

	ret = uext4_lookup(it->dir->node, it->name, NULL, &node);
	if (ret < 0)
		return ret;
	ret = uext4_node_stat(node, &st);
	uext4_node_put(node);
	if (ret == 0 && S_ISDIR(st.mode))
		ret = -EISDIR;
	return ret;
}

static int image_temp_name(
		struct copy *cp, const struct copy_obj *dir, char *ret_name)
{
	return place_temp_name(dir->node, ret_name);
}

static int image_rename(struct copy *cp, const struct copy_obj *dir,
		const char *from, const char *to)
{
	return uext4_rename(dir->node, from, dir->node, to, 0, NULL);
}

static int image_remove(
		struct copy *cp, const struct copy_obj *dir, const char *name)
{
	return uext4_unlink(dir->node, name, NULL);
}

static int image_to_up(struct copy *cp, const struct copy_obj *dir,
		uint64_t dev, uint64_t ino, struct copy_obj *ret_dir)
{
	struct uext4_node *node;
	int ret;

	ret = uext4_node_get(cp->to_fs, (uint32_t)ino, 0, &node);
	if (ret == 0)
		*ret_dir = (struct copy_obj){ .fd = -1, .node = node };
	return ret;
}

const struct copy_to_ops copy_to_image = {
	.pads = true,
	.create = image_create,
	.symlink = image_symlink,
	.mknod = image_mknod,
	.link = image_link,
	.mkdir = image_mkdir,
	.write = image_write,
	.set_size = image_set_size,
	.xattr_set = image_xattr_set,
	.own = image_own,
	.finish = image_finish,
	.ident = image_ident,
	.may_replace = image_may_replace,
	.temp_name = image_temp_name,
	.rename = image_rename,
	.remove = image_remove,
	.up = image_to_up,
	.close = image_close,
};
