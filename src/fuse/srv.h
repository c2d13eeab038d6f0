/* SPDX-License-Identifier: MIT */
/*
 * The FUSE server: one mounted image behind one connection to the kernel.
 *
 * Threads  A few workers read requests from /dev/fuse, one at a time (lead.h),
 *          and answer each before they read the next: what one thread holds
 *          while it works is its own (struct srv_worker). Where the kernel
 *          offers rings, those and their helpers (rings.h) do the work, and one
 *          worker reads what still comes from /dev/fuse. The thread that called
 *          serve() waits for signals and for the end of the workers.
 * Who      Everything is changed through the kernel that stands in front, so
 *          what it caches (names, attributes, pages) stays right and lives
 *          for ever (SRV_FOREVER). What changes behind its back is said with
 *          an invalidation (srv_attr_changed()).
 * May he   With default_permissions the kernel has checked the access before a
 *          request comes (UEXT4_CRED_CHECKED). Without (idmap=) it is checked
 *          here, as the mapped user.
 * Ids      nodeid is the number of the inode, 1 is the root (nodes.h); fh is the
 *          address of a struct srv_handle.
 */
#ifndef UEXT4_FUSE_SRV_H
#define UEXT4_FUSE_SRV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#include "fuse/flusher.h"
#include "fuse/lead.h"
#include "fuse/nodes.h"
#include "fuse/ring.h"
#include "fuse/serve.h"
#include "fuse/stops.h"
#include "fuse/wire.h"
#include "uext4/uext4.h"

/* Seconds; as long as the kernel can count. */
#define SRV_FOREVER (1e9)

#define SRV_GROUPS_MAX 256

/* Bytes that one request reads or writes, at most. */
#define SRV_DATA_MAX ((size_t)1 << 20)

/* One open file. */
struct srv_handle {
	LIST_ENTRY(srv_handle) link; /* [srv.handles_lock] */
	struct uext4_file *file;
	/* Opened with O_DIRECT or O_WRONLY: the same file without, for what
	 * goes into the kernel's page cache and comes out. Set once. */
	_Atomic(struct uext4_file *) cached;
	bool direct;
	bool wronly;
};

struct srv {
	struct uext4_fs *fs;
	struct fuse_session *se;
	const struct serve_opts *opts;
	struct nodes nodes;
	struct wire wire;
	struct stops stops;
	_Atomic int64_t removed_at;  /* srv_removed(), ms */
	_Atomic bool waiting;        /* somebody is, in srv_try_again() */
	struct flusher_pages *pages; /* NULL: none are written */
	pthread_mutex_t handles_lock;
	LIST_HEAD(srv_handle_list, srv_handle) handles; /* [handles_lock] */
};

/* What belongs to a worker thread. */
struct srv_worker {
	/* Room for the largest request's data, aligned to pages. A write's
	 * data lies in it; other requests may use it for their answers, their
	 * arguments having been read by then. */
	char *data;
	size_t size;
	bool huge; /* it lies in huge pages */
	uint32_t groups[SRV_GROUPS_MAX];
	uint64_t unique; /* of the request */
	/* It is a STATX (wire.h); when what it asks about was born. */
	bool statx;
	struct timespec born;
	struct ring_entry *entry; /* that it works at, or NULL */
	struct lead *lead;        /* NULL: it is the only one that reads */
	struct lead_me turn;
};

struct srv *srv_of(fuse_req_t req);
/* Of the calling thread. */
struct srv_worker *srv_me(void);
/* What this request does now may take long, or needs another one to be served
 * first. */
void srv_may_wait(void);

/* Who asks. Valid until the thread takes the next request. With the
 * supplementary groups only where permissions are checked here: the kernel has
 * to be asked for them. */
struct uext4_cred srv_cred(fuse_req_t req);
/* The same, with the groups where @node's setgid depends on them. */
struct uext4_cred srv_cred_of(fuse_req_t req, struct uext4_node *node);
/* Is he the superuser of the image? Asks for no more than that. */
bool srv_is_super(fuse_req_t req);
/* UEXT4_RW_* (or UEXT4_FALLOC_*) that say which privileges of @node a change of
 * its contents by who asks takes away. *ret_tell: its mode will change, which
 * the kernel is to be told of. */
unsigned srv_write_as(fuse_req_t req, struct uext4_node *node, bool *ret_tell);

struct srv_node *srv_node_of(struct srv *s, fuse_ino_t ino);
struct uext4_node *srv_node(struct srv *s, fuse_ino_t ino);
static inline struct srv_handle *srv_handle(const struct fuse_file_info *fi)
{
	return (struct srv_handle *)(uintptr_t)fi->fh;
}

void srv_stat_to_host(const struct srv *s, const struct uext4_stat *st,
		struct stat *ret);
/* @node as an entry that the kernel holds once more from now on; takes over the
 * reference to @node, on failure too. */
int srv_entry(struct srv *s, struct uext4_node *node,
		struct fuse_entry_param *ret_e);
/* Answer with @node (taken over), or with the error @err. */
void srv_reply_node(fuse_req_t req, int err, struct uext4_node *node);
/* @err: 0 or negative errno, for calls that answer nothing else. */
void srv_reply(fuse_req_t req, int err);
/* Attributes of @ino have changed by more than what was asked for. */
void srv_attr_changed(struct srv *s, fuse_ino_t ino);
/* The kernel is told @st of @ino: what may change without a request of its own
 * (blocks of a file's tree when it is written back, atime) is remembered. */
void srv_attr_told(struct srv *s, fuse_ino_t ino, const struct uext4_stat *st);
/* Say so if that is not true any more. */
void srv_attr_check(struct srv *s, fuse_ino_t ino);

/* A clock that does not go back, milliseconds; never 0. */
int64_t srv_now_ms(void);
/* Names were removed: what they named is freed when the kernel forgets it, in a
 * request of its own that comes later. */
void srv_removed(struct srv *s);
/* Is the same to be tried again, because @ret is -ENOSPC and something is on
 * its way to be freed? Waits for a moment then. *tries begins with 0. */
bool srv_try_again(struct srv *s, int ret, unsigned *tries);

/* srv_file.c */
void srv_close_all(struct srv *s);
/* Bytes of @h at @pos, into the worker's data. How many, or a negative errno. */
ssize_t srv_read(struct srv_handle *h, size_t size, uint64_t pos);
/* Write to @h; @how: UEXT4_RW_KEEPPRIV, KILLPRIV, KILLSGID (srv_write_as()). */
ssize_t srv_write(struct srv *s, struct srv_handle *h, const struct iovec *iov,
		uint64_t pos, unsigned how);
/* The same for what the kernel writes out of its page cache. */
ssize_t srv_write_page(struct srv *s, fuse_ino_t ino, struct srv_handle *h,
		const struct iovec *iov, uint64_t pos);

/* The requests, by what they are about. */
extern const struct fuse_lowlevel_ops srv_ops;

/* As op_forget(), without a request. */
void op_forget_one(struct srv *s, fuse_ino_t ino, uint64_t n);

void op_lookup(fuse_req_t req, fuse_ino_t dir, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n);
void op_forget_multi(fuse_req_t req, size_t n, struct fuse_forget_data *f);
void op_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
		dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t dir,
		const char *name);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t dir, const char *name);
void op_unlink(fuse_req_t req, fuse_ino_t dir, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t dir, const char *name,
		fuse_ino_t newdir, const char *newname, unsigned flags);

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_access(fuse_req_t req, fuse_ino_t ino, int mask);
void op_statfs(fuse_req_t req, fuse_ino_t ino);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
		const char *value, size_t size, int flags);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
		struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t pos,
		struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
		off_t pos, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t pos,
		off_t len, struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t pos, int whence,
		struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t in_pos,
		struct fuse_file_info *in_fi, fuse_ino_t out, off_t out_pos,
		struct fuse_file_info *out_fi, size_t len, int flags);

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t pos,
		struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t pos,
		struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
		struct fuse_file_info *fi);

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
		struct fuse_file_info *fi, unsigned flags, const void *in,
		size_t in_size, size_t out_size);

#endif /* UEXT4_FUSE_SRV_H */
