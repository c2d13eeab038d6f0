/* SPDX-License-Identifier: MIT */
/*
 * What the requests share: who asks, which node is meant, how an inode is
 * described to the kernel; the negotiation at the start.
 */
#include "fuse/srv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

struct srv *srv_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

struct srv_node *srv_node_of(struct srv *s, fuse_ino_t ino)
{
	struct srv_node *sn = nodes_find(&s->nodes, ino);

	if (!sn)
		abort(); /* the kernel asks about what it holds */
	return sn;
}

struct uext4_node *srv_node(struct srv *s, fuse_ino_t ino)
{
	return srv_node_of(s, ino)->node;
}

void srv_may_wait(void)
{
	struct srv_worker *me = srv_me();

	if (me->lead)
		lead_give(me->lead, &me->turn);
}

/* ---- who ---- */

/* Supplementary groups matter only where permissions are checked here, and to
 * setgid. */
static void cred_groups(fuse_req_t req, struct uext4_cred *c)
{
	const struct idmap *m = &srv_of(req)->opts->gids;
	struct srv_worker *me = srv_me();
	gid_t list[SRV_GROUPS_MAX];
	int n = fuse_req_getgroups(req, SRV_GROUPS_MAX, list);
	int i;

	for (i = 0; i < n && i < SRV_GROUPS_MAX; i++) {
		uint32_t gid = idmap_to_image(m, list[i]);

		if (gid != IDMAP_NONE)
			me->groups[c->ngroups++] = gid;
	}
	c->groups = me->groups;
}

struct uext4_cred srv_cred(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	const struct srv *s = srv_of(req);
	uint32_t uid = idmap_to_image(&s->opts->uids, ctx->uid);
	uint32_t gid = idmap_to_image(&s->opts->gids, ctx->gid);
	struct uext4_cred c = {
		.uid = uid == IDMAP_NONE ? IDMAP_NOBODY : uid,
		.gid = gid == IDMAP_NONE ? IDMAP_NOBODY : gid,
		.umask = ctx->umask,
	};

	if (c.uid == 0)
		c.flags |= UEXT4_CRED_SUPER;
	if (s->opts->checked)
		c.flags |= UEXT4_CRED_CHECKED;
	else if (c.uid != 0)
		cred_groups(req, &c);
	return c;
}

struct uext4_cred srv_cred_of(fuse_req_t req, struct uext4_node *node)
{
	struct uext4_cred c = srv_cred(req);
	struct uext4_stat st;

	if ((c.flags & UEXT4_CRED_CHECKED) && c.uid != 0 &&
			uext4_node_stat(node, &st) == 0 && (st.mode & S_ISGID))
		cred_groups(req, &c);
	return c;
}

bool srv_is_super(fuse_req_t req)
{
	return idmap_to_image(&srv_of(req)->opts->uids,
			       fuse_req_ctx(req)->uid) == 0;
}

static bool in_group(fuse_req_t req, uint32_t gid)
{
	struct uext4_cred c = {
		.gid = idmap_to_image(&srv_of(req)->opts->gids,
				fuse_req_ctx(req)->gid),
	};
	uint32_t i;

	if (c.gid == gid)
		return true;
	cred_groups(req, &c);
	for (i = 0; i < c.ngroups; i++) {
		if (c.groups[i] == gid)
			return true;
	}
	return false;
}

unsigned srv_write_as(fuse_req_t req, struct uext4_node *node, bool *ret_tell)
{
	struct uext4_stat st;

	*ret_tell = false;
	if (srv_is_super(req))
		return UEXT4_RW_KEEPPRIV;
	if (uext4_node_stat(node, &st) < 0 || !(st.mode & (S_ISUID | S_ISGID)))
		return UEXT4_RW_KILLPRIV;
	*ret_tell = true;
	if ((st.mode & (S_ISGID | S_IXGRP)) == S_ISGID &&
			!in_group(req, st.gid))
		return UEXT4_RW_KILLPRIV | UEXT4_RW_KILLSGID;
	return UEXT4_RW_KILLPRIV;
}

/* ---- what the kernel is told ---- */

void srv_stat_to_host(const struct srv *s, const struct uext4_stat *st,
		struct stat *ret)
{
	*ret = (struct stat){
		.st_ino = st->ino,
		.st_mode = st->mode,
		.st_nlink = st->nlink,
		.st_uid = idmap_to_host(&s->opts->uids, st->uid),
		.st_gid = idmap_to_host(&s->opts->gids, st->gid),
		.st_rdev = makedev(st->rdev_major, st->rdev_minor),
		.st_size = (off_t)st->size,
		.st_blocks = (blkcnt_t)st->sectors,
		.st_blksize = (blksize_t)st->block_size,
		.st_atim = st->atime,
		.st_mtim = st->mtime,
		.st_ctim = st->ctime,
	};
}

static uint32_t generation_of(struct srv_node *sn, const struct uext4_stat *st)
{
	uint64_t told = 0;

	if (atomic_compare_exchange_strong(&sn->generation, &told,
			    SRV_NODE_TOLD | st->generation))
		return st->generation;
	return (uint32_t)told;
}

int srv_entry(struct srv *s, struct uext4_node *node,
		struct fuse_entry_param *ret_e)
{
	struct uext4_stat st;
	struct srv_node *sn;
	int ret;

	ret = uext4_node_stat(node, &st);
	if (ret < 0) {
		uext4_node_put(node);
		return ret;
	}
	sn = nodes_told(&s->nodes, node);
	if (!sn)
		return -ENOMEM;
	*ret_e = (struct fuse_entry_param){
		.ino = nodes_id(&s->nodes, sn),
		.generation = generation_of(sn, &st),
		.attr_timeout = SRV_FOREVER,
		.entry_timeout = SRV_FOREVER,
	};
	srv_stat_to_host(s, &st, &ret_e->attr);
	srv_attr_told(s, ret_e->ino, &st);
	return 0;
}

void srv_reply(fuse_req_t req, int err)
{
	(void)fuse_reply_err(req, -err);
}

void srv_reply_node(fuse_req_t req, int err, struct uext4_node *node)
{
	struct srv *s = srv_of(req);
	struct fuse_entry_param e;

	if (err == 0)
		err = srv_entry(s, node, &e);
	if (err < 0)
		srv_reply(req, err);
	else if (fuse_reply_entry(req, &e) < 0)
		op_forget_one(s, e.ino, 1);
}

void srv_attr_changed(struct srv *s, fuse_ino_t ino)
{
	srv_may_wait();
	(void)fuse_lowlevel_notify_inval_inode(s->se, ino, -1, 0);
}

/* Two that are equal by chance are told one request later. */
static uint64_t told_of(const struct uext4_stat *st)
{
	return ((uint64_t)st->atime.tv_sec * 1000000000u +
			       (uint64_t)st->atime.tv_nsec) *
			UINT64_C(0x9e3779b97f4a7c15) +
			st->sectors;
}

void srv_attr_told(struct srv *s, fuse_ino_t ino, const struct uext4_stat *st)
{
	atomic_store_explicit(&srv_node_of(s, ino)->told, told_of(st),
			memory_order_relaxed);
}

void srv_attr_check(struct srv *s, fuse_ino_t ino)
{
	struct srv_node *sn = srv_node_of(s, ino);
	struct uext4_stat st;

	if (uext4_node_stat(sn->node, &st) == 0 &&
			atomic_exchange(&sn->told, told_of(&st)) !=
					told_of(&st))
		srv_attr_changed(s, ino);
}

/* ---- room that comes back ---- */

#define REMOVED_LATELY_MS 50
/* 1, 2, 4... ms: on a busy host a FORGET takes its time. */
#define TRIES             5u
#define TRIES_SHORT       2u
#define TRY_AFTER_NS      1000000

int64_t srv_now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void srv_removed(struct srv *s)
{
	atomic_store_explicit(
			&s->removed_at, srv_now_ms(), memory_order_relaxed);
}

/* One waits for long, so that there is somebody who serves what he waits for; a
 * ring's thread does not, for others' requests wait in its ring. */
static bool may_try(struct srv *s, unsigned tries)
{
	bool nobody = false;

	if (s->opts->threads == 1)
		return false;
	if (tries < TRIES_SHORT)
		return true;
	if (!srv_me()->lead || tries == TRIES)
		return false;
	return tries > TRIES_SHORT ||
			atomic_compare_exchange_strong(
					&s->waiting, &nobody, true);
}

static bool is_removed_lately(const struct srv *s)
{
	int64_t removed = atomic_load_explicit(
			&s->removed_at, memory_order_relaxed);

	return removed != 0 && srv_now_ms() - removed <= REMOVED_LATELY_MS;
}

bool srv_try_again(struct srv *s, int ret, unsigned *tries)
{
	struct timespec moment = { .tv_nsec = TRY_AFTER_NS };

	if (ret != -ENOSPC || !is_removed_lately(s) || !may_try(s, *tries)) {
		if (*tries > TRIES_SHORT)
			atomic_store(&s->waiting, false);
		return false;
	}
	moment.tv_nsec <<= (*tries)++;
	srv_may_wait();
	(void)nanosleep(&moment, NULL);
	return true;
}

/* ---- the start ---- */

static void want(struct fuse_conn_info *conn, unsigned flags)
{
	conn->want |= conn->capable & flags;
}

static void srv_init(void *userdata, struct fuse_conn_info *conn)
{
	struct srv *s = userdata;

	want(conn,
			FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO |
					FUSE_CAP_ATOMIC_O_TRUNC |
					FUSE_CAP_EXPORT_SUPPORT |
					FUSE_CAP_DONT_MASK |
					FUSE_CAP_IOCTL_DIR |
					FUSE_CAP_READDIRPLUS |
					FUSE_CAP_READDIRPLUS_AUTO |
					FUSE_CAP_PARALLEL_DIROPS |
					FUSE_CAP_HANDLE_KILLPRIV |
					FUSE_CAP_CACHE_SYMLINKS |
					FUSE_CAP_EXPLICIT_INVAL_DATA);
	if (s->opts->checked)
		want(conn, FUSE_CAP_POSIX_ACL);
	if (s->opts->writeback_cache)
		want(conn, FUSE_CAP_WRITEBACK_CACHE);
	/* Nobody else changes the image: pages are not dropped when times
	 * change. Locks are the kernel's own. */
	conn->want &= ~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA |
			FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS |
			FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
			FUSE_CAP_SPLICE_MOVE);
	/* libfuse goes by 256 pages, however large those are. */
	if (conn->max_write > SRV_DATA_MAX)
		conn->max_write = SRV_DATA_MAX;
	conn->max_background = s->opts->max_background;
	conn->congestion_threshold = s->opts->max_background / 4 * 3;
	conn->time_gran = 1;
}

const struct fuse_lowlevel_ops srv_ops = {
	.init = srv_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	/* No flush: the kernel writes its pages back at close by itself, and
	 * ext4 has nothing to add to that. */
	.release = op_release,
	.fsync = op_fsync,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.statfs = op_statfs,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.access = op_access,
	.create = op_create,
	.ioctl = op_ioctl,
	.fallocate = op_fallocate,
	.copy_file_range = op_copy_file_range,
	.lseek = op_lseek,
};
