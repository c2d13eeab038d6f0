/* SPDX-License-Identifier: MIT */
/*
 * Requests about directories: reading and syncing them.
 *
 * An answer is built in the worker's buffer. The library tells entries with the
 * directory locked, so attributes (readdirplus) are looked up after that, by
 * number; a name removed in between is told without.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/srv.h"

#define DIR_ENTRIES_MAX 1024

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct uext4_cred cred = srv_cred(req);
	int ret;

	ret = uext4_node_access(srv_node(srv_of(req), ino), UEXT4_R_OK, &cred);
	/* All that there is to remember of an open directory. */
	fi->fh = (fi->flags & O_NOATIME) != 0;
	if (ret < 0)
		srv_reply(req, ret);
	else
		(void)fuse_reply_open(req, fi);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	srv_reply(req, 0);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
		struct fuse_file_info *fi)
{
	srv_reply(req,
			uext4_node_fsync(srv_node(srv_of(req), ino),
					datasync != 0));
}

/* ---- reading ---- */

struct dir_entry {
	char *name; /* in the list's memory */
	uint32_t ino;
	uint32_t mode;
	uint64_t next;
};

/* Entries taken down while the directory was locked. */
struct dir_list {
	struct dir_entry e[DIR_ENTRIES_MAX];
	unsigned n;
	size_t used, size; /* of names[]; @size: what the answer has room for */
	char names[];
};

/* The least that an entry takes in an answer, so that not many more are taken
 * down than fit. */
static size_t entry_room(size_t len, bool plus)
{
	return len + (plus ? 152 : 24);
}

struct list_ctx {
	struct dir_list *list;
	size_t room;
	bool plus;
};

static int list_one(void *arg, const struct uext4_dirent *d)
{
	struct list_ctx *c = arg;
	struct dir_list *l = c->list;
	size_t need = entry_room(d->len, c->plus);

	if (l->n == DIR_ENTRIES_MAX || need > c->room ||
			d->len + 1 > l->size - l->used)
		return 1;
	c->room -= need;
	l->e[l->n++] = (struct dir_entry){
		.name = memcpy(l->names + l->used, d->name, d->len + 1),
		.ino = d->ino,
		.mode = d->mode,
		.next = d->next,
	};
	l->used += d->len + 1;
	return 0;
}

static int list_dir(struct uext4_node *dir, uint64_t pos, size_t size,
		bool plus, bool atime, struct dir_list **ret_list)
{
	struct list_ctx c = { .room = size, .plus = plus };
	int ret;

	c.list = malloc(sizeof(*c.list) + size);
	if (!c.list)
		return -ENOMEM;
	c.list->n = 0;
	c.list->used = 0;
	c.list->size = size;
	ret = atime ? uext4_readdir(dir, pos, list_one, &c)
		    : uext4_readdir_noatime(dir, pos, list_one, &c);
	if (ret < 0) {
		free(c.list);
		return ret;
	}
	*ret_list = c.list;
	return 0;
}

static bool is_dot(const char *name)
{
	return name[0] == '.' &&
			(name[1] == '\0' ||
					(name[1] == '.' && name[2] == '\0'));
}

/* The entry with its attributes, and one lookup counted; without (inode 0) for
 * the dots, which the kernel knows, and for what is gone by now. */
static void entry_plus(struct srv *s, const struct dir_entry *d,
		struct fuse_entry_param *ret_e)
{
	struct uext4_node *node;

	if (is_dot(d->name) || uext4_node_get(s->fs, d->ino, 0, &node) < 0 ||
			srv_entry(s, node, ret_e) < 0)
		*ret_e = (struct fuse_entry_param){ 0 };
	if (ret_e->ino == 0) {
		ret_e->attr.st_ino = d->ino;
		ret_e->attr.st_mode = d->mode;
	}
}

static size_t answer_one(fuse_req_t req, const struct dir_entry *d, char *at,
		size_t room, bool plus, fuse_ino_t *ret_ino)
{
	struct fuse_entry_param e;
	struct stat st;
	size_t need;

	*ret_ino = 0;
	if (!plus) {
		st = (struct stat){ .st_ino = d->ino, .st_mode = d->mode };
		return fuse_add_direntry(
				req, at, room, d->name, &st, (off_t)d->next);
	}
	entry_plus(srv_of(req), d, &e);
	need = fuse_add_direntry_plus(
			req, at, room, d->name, &e, (off_t)d->next);
	if (need <= room)
		*ret_ino = e.ino;
	else if (e.ino != 0)
		op_forget_one(srv_of(req), e.ino, 1);
	return need;
}

static void answer(fuse_req_t req, const struct dir_list *l, size_t size,
		bool plus)
{
	fuse_ino_t told[DIR_ENTRIES_MAX];
	struct srv_worker *me = srv_me();
	unsigned i;
	size_t used = 0;
	unsigned n = 0;

	for (i = 0; i < l->n; i++) {
		size_t need = answer_one(req, &l->e[i], me->data + used,
				size - used, plus, &told[n]);

		if (need > size - used)
			break;
		used += need;
		n++;
	}
	if (fuse_reply_buf(req, me->data, used) == 0)
		return;
	for (i = 0; i < n; i++) {
		if (told[i] != 0)
			op_forget_one(srv_of(req), told[i], 1);
	}
}

static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t pos,
		bool plus, bool atime)
{
	struct srv_worker *me = srv_me();
	struct dir_list *l;
	int ret;

	if (size > me->size)
		size = me->size;
	ret = list_dir(srv_node(srv_of(req), ino), (uint64_t)pos, size, plus,
			atime, &l);
	if (ret < 0) {
		srv_reply(req, ret);
		return;
	}
	answer(req, l, size, plus);
	free(l);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t pos,
		struct fuse_file_info *fi)
{
	read_dir(req, ino, size, pos, false, fi->fh == 0);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t pos,
		struct fuse_file_info *fi)
{
	read_dir(req, ino, size, pos, true, fi->fh == 0);
}
