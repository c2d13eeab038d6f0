/* SPDX-License-Identifier: MIT */
/*
 * uext4: ext4 file systems in an ordinary process.
 *
 *	struct uext4_fs *fs;
 *	struct uext4_file *file;
 *
 *	ret = uext4_mount("disk.img", NULL, &fs);
 *	ret = uext4_open(fs, NULL, "/etc/motd", UEXT4_O_RDONLY, 0, NULL, &file);
 *	n = uext4_pread(file, buf, sizeof(buf), 0);
 *	ret = uext4_close(file);
 *	ret = uext4_unmount(fs);
 *
 * Three kinds of objects: a mounted file system (uext4_fs), a held inode
 * (uext4_node) and an open file (uext4_file). Every call may be made from any
 * thread at any time, but for the last release of an object (unmount, put,
 * close), which must not race with other uses of that object.
 *
 * Results  0 or a count; a negative errno on failure, as the same call on a
 *          Linux ext4 mount would give it. Beyond POSIX: -EUCLEAN the disk
 *          holds what cannot be, -EBADMSG a checksum does not match, -EROFS
 *          also after an error under errors=remount-ro, -EIO after shutdown.
 *          Outputs come last and are untouched on failure.
 * Units    Positions, lengths and sizes are bytes, blocks are said to be.
 * Names    Paths are UTF-8 or any bytes but NUL and '/'; at most 255 a name.
 * Who      A call that takes a credential checks permissions as the kernel
 *          does; NULL is the superuser. The credential is only read.
 * Versions Structs that the caller fills start with their size
 *          (sizeof(struct ...)) and are zeroed otherwise, so that they may
 *          grow.
 */
#ifndef UEXT4_UEXT4_H
#define UEXT4_UEXT4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UEXT4_API __attribute__((visibility("default")))

struct uext4_dev; /* see uext4_dev.h */
struct uext4_image;
struct uext4_fs;
struct uext4_node;
struct uext4_file;
struct uext4_queue;

#define UEXT4_ROOT_INO 2u
#define UEXT4_NAME_MAX 255u
#define UEXT4_PATH_MAX 4096u

/* ---- who asks ---- */

#define UEXT4_CRED_SUPER   0x1u /* as with every capability */
/* Permission bits, ACLs, ownership, sticky directories and the right to make
 * devices were checked by who asks (the kernel in front of a FUSE server). What
 * is not a matter of permission stays: immutable, append-only, who owns new
 * inodes, who may spend reserved blocks or change those two flags,
 * set-group-id inheritance, what writes of others than the superuser strip. A
 * new mode (chmod) is taken as it is given. */
#define UEXT4_CRED_CHECKED 0x2u

struct uext4_cred {
	uint32_t uid, gid;
	const uint32_t *groups; /* supplementary, may be NULL */
	uint32_t ngroups;
	uint32_t umask; /* applied to create, mkdir, mknod (no default ACL) */
	uint32_t flags; /* UEXT4_CRED_* */
};

/* ---- mount ---- */

#define UEXT4_MNT_RDONLY                                                       \
 0x01u                              /* nothing is written; dirty journals are
				  replayed in memory */
#define UEXT4_MNT_NOLOAD      0x02u /* with RDONLY: do not look at the journal */
#define UEXT4_MNT_DIRECT      0x04u /* open the image with O_DIRECT */
#define UEXT4_MNT_SYNC        0x08u /* every change is durable on return */
#define UEXT4_MNT_NOATIME     0x10u /* never update access times */
#define UEXT4_MNT_STRICTATIME 0x20u /* always; default is relatime */
#define UEXT4_MNT_NOTHREAD    0x40u /* no background flusher (mmp has a thread) */
#define UEXT4_MNT_NODISCARD   0x80u
#define UEXT4_MNT_DAX                                                          \
 0x100u /* regular files are read and written by copying from and to the
	 * device's memory: RAM devices, and images that can be mapped. Not
	 * together with DIRECT; -EOPNOTSUPP where there is no memory */
#define UEXT4_MNT_MAPPED                                                       \
 0x200u /* where the image is a file in memory (tmpfs, ramfs), copy through a
	 * mapping of it what is faster so: reads, and large writes with
	 * UEXT4_RW_HUGE. The process's handler of SIGBUS has
	 * to call uext4_sigbus(). Means nothing with DIRECT */

/* How direct writes get blocks for holes and beyond the end of a file. */
enum uext4_dio_alloc {
	UEXT4_DIO_ALLOC_DEFAULT,   /* the one that measured best: DATAFIRST */
	UEXT4_DIO_ALLOC_UNWRITTEN, /* allocate unwritten, write, convert */
	UEXT4_DIO_ALLOC_DATAFIRST, /* reserve in memory, write, then enter */
};
/* How direct writes beyond the end of a file go together. */
enum uext4_dio_extend {
	UEXT4_DIO_EXTEND_DEFAULT,  /* PARALLEL */
	UEXT4_DIO_EXTEND_PARALLEL, /* side by side */
	UEXT4_DIO_EXTEND_SERIAL,   /* one at a time, as Linux does it */
};
/* Which size others see while several of them are in flight. */
enum uext4_dio_size {
	UEXT4_DIO_SIZE_DEFAULT, /* MAX */
	UEXT4_DIO_SIZE_MAX,     /* the end of the furthest that has ended; what
				   is still in flight before it reads as zeroes */
	UEXT4_DIO_SIZE_PREFIX,  /* only what all before have ended; who ends
				   early is reported later */
};

enum uext4_errors {           /* what to do when the disk is found damaged */
	UEXT4_ERRORS_DEFAULT, /* as the superblock says */
	UEXT4_ERRORS_CONTINUE,
	UEXT4_ERRORS_RO,       /* later changes fail with -EROFS, reads go on */
	UEXT4_ERRORS_SHUTDOWN, /* the library's answer to errors=panic; see
				* uext4_mount_opts.panic */
};

enum uext4_log_level {
	UEXT4_LOG_ERR = 1,
	UEXT4_LOG_WARN,
	UEXT4_LOG_INFO,
	UEXT4_LOG_DEBUG,
};

struct uext4_mount_opts {
	size_t size;    /* sizeof(struct uext4_mount_opts) */
	uint32_t flags; /* UEXT4_MNT_* */
	enum uext4_errors errors;
	uint64_t offset;          /* the file system starts here in the image */
	uint64_t limit;           /* and may use so many bytes; 0: the rest */
	size_t meta_cache;        /* bytes for metadata, 0: 64 MiB */
	size_t page_cache;        /* bytes for file contents, 0: 64 MiB */
	uint32_t commit_interval; /* seconds, 0: 5 */
	/* Messages: one line, no newline. NULL: none. Called from any thread;
	 * must not call back into the library. */
	void (*log)(void *ctx, enum uext4_log_level level, const char *msg);
	void *log_ctx;
	enum uext4_log_level log_level; /* 0: UEXT4_LOG_WARN */
	/* The clock of timestamps. NULL: CLOCK_REALTIME. */
	struct timespec (*now)(void *ctx);
	void *now_ctx;
	enum uext4_dio_alloc dio_alloc;
	enum uext4_dio_extend dio_extend;
	enum uext4_dio_size dio_size;
	/* Asked several times a second while mounting has to wait (mmp): true
	 * ends it with -EINTR. NULL: waits to the end. */
	bool (*cancel)(void *ctx);
	void *cancel_ctx;
	/* Damage was found under errors=panic: the file system has shut down.
	 * Called once, from any thread; must not call back into the library. */
	void (*panic)(void *ctx);
	void *panic_ctx;
};

/* Mount the image or block device at @path. @opts may be NULL. Replays the
 * journal and processes orphans unless read-only. -EBUSY in use by another,
 * -EINVAL not ext2/3/4, -EOPNOTSUPP a feature that is refused (its name is
 * logged), -EROFS it can only be mounted read-only (the reason is logged),
 * -EACCES, -EUCLEAN, -EBADMSG, -EINTR @opts->cancel() said so.
 *
 * With the feature mmp, mounting for writing what was not unmounted takes until
 * it is certain that nobody uses it: 42 seconds as mke2fs makes them, twelve
 * minutes at most; a line about it is logged. -EBUSY: somebody does. */
UEXT4_API int uext4_mount(const char *path, const struct uext4_mount_opts *opts,
		struct uext4_fs **ret_fs);
/* For a handler of SIGBUS in a process that mounts with UEXT4_MNT_MAPPED, which
 * blocks no other signal. If the calling thread is at such a copy, and somebody
 * else has cut the image short, it does not return: the copy ends and the request
 * fails with -EIO. Else it does nothing. */
UEXT4_API void uext4_sigbus(void);
/* The same in two steps, so that a server can give up rights in between.
 * First: open the image or block device and lock it. Nothing of it is read. Of
 * @opts count offset, limit and the flags RDONLY and DIRECT. -EBUSY, -EACCES,
 * -ENOENT, -EISDIR, -EINVAL neither file nor block device. */
UEXT4_API int uext4_image_open(const char *path,
		const struct uext4_mount_opts *opts,
		struct uext4_image **ret_image);
/* Second: mount it; no file is opened any more. @image is taken over, also on
 * failure. offset and limit of @opts are not looked at; -EROFS if it was opened
 * RDONLY and is not to be mounted so. */
UEXT4_API int uext4_mount_image(struct uext4_image *image,
		const struct uext4_mount_opts *opts, struct uext4_fs **ret_fs);
/* Give up what was not mounted. NULL is fine. */
UEXT4_API void uext4_image_close(struct uext4_image *image);
/* uext4_mount() on a device of the caller's own; @dev outlives the mount. */
UEXT4_API int uext4_mount_dev(const struct uext4_dev *dev,
		const struct uext4_mount_opts *opts, struct uext4_fs **ret_fs);
/* Everything durable, then free @fs, also on error (the error says that
 * something could not be written). No file open, no node held: -EBUSY. */
UEXT4_API int uext4_unmount(struct uext4_fs *fs);
/* Everything changed so far is durable on return. */
UEXT4_API int uext4_sync(struct uext4_fs *fs);

enum uext4_shutdown_mode {
	UEXT4_SHUTDOWN_DEFAULT,    /* sync first */
	UEXT4_SHUTDOWN_LOGFLUSH,   /* commit the journal, drop file data */
	UEXT4_SHUTDOWN_NOLOGFLUSH, /* drop everything not durable yet */
};
/* From now on changes fail with -EIO and nothing is written. */
UEXT4_API int uext4_shutdown(
		struct uext4_fs *fs, enum uext4_shutdown_mode mode);

struct uext4_statfs {
	uint32_t block_size;
	uint64_t blocks, free_blocks, avail_blocks; /* as statfs(2) */
	uint64_t inodes, free_inodes;
	uint32_t name_max;
	uint8_t uuid[16];
};
UEXT4_API int uext4_statfs(struct uext4_fs *fs, struct uext4_statfs *ret_st);

/* What `uext4 info` tells. Strings live as long as @fs. */
struct uext4_info {
	uint8_t uuid[16];
	char label[17];
	const char *features; /* names, separated by a space */
	uint32_t block_size, inode_size, desc_size;
	uint64_t blocks, free_blocks, reserved_blocks;
	uint64_t inodes, free_inodes;
	uint32_t groups, blocks_per_group, inodes_per_group;
	bool clean;           /* was unmounted cleanly */
	bool had_errors;      /* the error flag is set on disk */
	bool needed_recovery; /* the journal was dirty at mount */
	bool has_journal;
	uint64_t journal_blocks;
	bool rdonly; /* mounted read-only, or turned so by an error */
	const char *rdonly_why; /* "" if not, or because it was asked */
	uint32_t mount_count;
	int64_t created, last_mount, last_write, last_check; /* seconds */
	uint32_t error_count;
	const char *kind; /* "ext2", "ext3" or "ext4", by features */
	/* What recovery did at this mount. */
	uint64_t replayed_transactions, replayed_blocks, revoked_blocks;
	uint32_t orphans_deleted, orphans_truncated;
};
UEXT4_API int uext4_info(struct uext4_fs *fs, struct uext4_info *ret_info);

/* The label: at most 16 bytes, "" if there is none. Setting it is durable on
 * return, and in every copy of the superblock. -EPERM for others than the
 * superuser, -EINVAL if it is too long. */
UEXT4_API int uext4_get_label(struct uext4_fs *fs, char ret_label[17]);
UEXT4_API int uext4_set_label(struct uext4_fs *fs, const char *label,
		const struct uext4_cred *cred);
/* As FITRIM: tell the device that the free runs of at least @minlen bytes in
 * [start, start + len) are not needed (those freed since the last sync are left
 * out, what was told before is told again). *ret_trimmed: how many bytes.
 * -EPERM for others than the superuser, -EOPNOTSUPP if the device cannot
 * discard, -EINVAL: @start is behind the end, @len is less than a block, or
 * @minlen more than a group. */
UEXT4_API int uext4_trim(struct uext4_fs *fs, uint64_t start, uint64_t len,
		uint64_t minlen, const struct uext4_cred *cred,
		uint64_t *ret_trimmed);

struct uext4_stats { /* counters since mount */
	uint64_t commits, flushes;
	uint64_t dev_reads, dev_writes; /* metadata requests */
	size_t meta_bytes, page_bytes;  /* memory in use */
};
UEXT4_API int uext4_stats(struct uext4_fs *fs, struct uext4_stats *ret_stats);

/* ---- inodes ---- */

/* Hold the root, or any inode by number (and generation, 0: any), or one more
 * reference to @node. -ESTALE if it is free or of another generation. */
UEXT4_API int uext4_node_root(
		struct uext4_fs *fs, struct uext4_node **ret_node);
UEXT4_API int uext4_node_get(struct uext4_fs *fs, uint32_t ino,
		uint32_t generation, struct uext4_node **ret_node);
/* The same for a number that somebody remembers (a file handle, NFS) or makes up:
 * what is not in use, or has no name any more, is -ESTALE, and nothing is taken for
 * damage. */
UEXT4_API int uext4_node_by_handle(struct uext4_fs *fs, uint64_t ino,
		uint32_t generation, struct uext4_node **ret_node);
UEXT4_API struct uext4_node *uext4_node_hold(struct uext4_node *node);
/* NULL is fine. The last one of an unlinked inode frees it. */
UEXT4_API void uext4_node_put(struct uext4_node *node);
UEXT4_API uint32_t uext4_node_ino(const struct uext4_node *node);

struct uext4_stat {
	uint32_t ino, generation;
	uint32_t mode, uid, gid, nlink;
	uint32_t rdev_major, rdev_minor;
	uint64_t size;
	uint64_t sectors; /* of 512 bytes, as st_blocks */
	uint32_t block_size;
	uint32_t flags;                             /* FS_*_FL as in chattr */
	struct timespec atime, mtime, ctime, btime; /* btime 0: unknown */
	uint32_t projid; /* 0 without the feature `project` */
	uint32_t spare;  /* 0: two of these are equal if their bytes are */
};
UEXT4_API int uext4_node_stat(
		struct uext4_node *node, struct uext4_stat *ret_st);

#define UEXT4_SET_MODE      0x01u
#define UEXT4_SET_UID       0x02u
#define UEXT4_SET_GID       0x04u
#define UEXT4_SET_SIZE      0x08u
#define UEXT4_SET_ATIME     0x10u
#define UEXT4_SET_MTIME     0x20u
#define UEXT4_SET_ATIME_NOW 0x40u
#define UEXT4_SET_MTIME_NOW 0x80u
/* FS_IOC_SETFLAGS: all flags, what cannot be set is ignored or refused as by
 * the kernel. -EOPNOTSUPP for what is kept to the kernel: extents or not, data
 * journalling. DAX is kept and has no effect. */
#define UEXT4_SET_FLAGS     0x100u
#define UEXT4_SET_CTIME     0x200u /* superuser only, for copies of images */
#define UEXT4_SET_GENERATION                                                   \
 0x400u                         /* FS_IOC_SETVERSION; -ENOTTY with checksums */
#define UEXT4_SET_PROJID 0x800u /* 0, or -EOPNOTSUPP */

struct uext4_setattr {
	uint32_t mask; /* UEXT4_SET_* */
	uint32_t mode, uid, gid, flags;
	uint64_t size;
	struct timespec atime, mtime, ctime;
	uint32_t generation, projid;
};
/* chmod, chown, truncate, utimens in one atomic step (a truncate to a smaller
 * size may free blocks in several). */
UEXT4_API int uext4_node_setattr(struct uext4_node *node,
		const struct uext4_setattr *attr,
		const struct uext4_cred *cred);

#define UEXT4_R_OK 4u
#define UEXT4_W_OK 2u
#define UEXT4_X_OK 1u
UEXT4_API int uext4_node_access(struct uext4_node *node, unsigned mask,
		const struct uext4_cred *cred);
/* Target of a symlink, not terminated; its length. -EINVAL if it is none. */
UEXT4_API ssize_t uext4_node_readlink(
		struct uext4_node *node, char *buf, size_t size);
/* Make the inode durable, as fsync does. */
UEXT4_API int uext4_node_fsync(struct uext4_node *node, bool datasync);

/* ---- names inside a directory held by its node ---- */

UEXT4_API int uext4_lookup(struct uext4_node *dir, const char *name,
		const struct uext4_cred *cred, struct uext4_node **ret_node);
/* @mode: type (regular, fifo, socket, char, block) and permissions.
 * @ret_node may be NULL in all of these. */
UEXT4_API int uext4_mknod(struct uext4_node *dir, const char *name,
		uint32_t mode, uint32_t rdev_major, uint32_t rdev_minor,
		const struct uext4_cred *cred, struct uext4_node **ret_node);
UEXT4_API int uext4_mkdir(struct uext4_node *dir, const char *name,
		uint32_t mode, const struct uext4_cred *cred,
		struct uext4_node **ret_node);
UEXT4_API int uext4_symlink(struct uext4_node *dir, const char *name,
		const char *target, const struct uext4_cred *cred,
		struct uext4_node **ret_node);
UEXT4_API int uext4_link(struct uext4_node *node, struct uext4_node *dir,
		const char *name, const struct uext4_cred *cred);
UEXT4_API int uext4_unlink(struct uext4_node *dir, const char *name,
		const struct uext4_cred *cred);
UEXT4_API int uext4_rmdir(struct uext4_node *dir, const char *name,
		const struct uext4_cred *cred);
#define UEXT4_RENAME_NOREPLACE 0x1u
#define UEXT4_RENAME_EXCHANGE  0x2u
#define UEXT4_RENAME_WHITEOUT  0x4u
UEXT4_API int uext4_rename(struct uext4_node *dir, const char *name,
		struct uext4_node *newdir, const char *newname, unsigned flags,
		const struct uext4_cred *cred);
/* Create a regular file, or open it as openat() would. */
UEXT4_API int uext4_create(struct uext4_node *dir, const char *name,
		unsigned flags, uint32_t mode, const struct uext4_cred *cred,
		struct uext4_file **ret_file);

struct uext4_dirent {
	const char *name; /* terminated; valid during the call */
	size_t len;
	uint32_t ino;
	uint32_t mode; /* type bits only; 0 if the directory does not say */
	uint64_t next; /* where to go on after this entry */
};
/* Call @fn for each entry from @pos (0: the start), "." and ".." included, until
 * it returns non-zero, which is returned. @fn must not change the directory:
 * it is locked shared. */
UEXT4_API int uext4_readdir(struct uext4_node *dir, uint64_t pos,
		int (*fn)(void *ctx, const struct uext4_dirent *e), void *ctx);
/* The same as a directory opened with O_NOATIME. */
UEXT4_API int uext4_readdir_noatime(struct uext4_node *dir, uint64_t pos,
		int (*fn)(void *ctx, const struct uext4_dirent *e), void *ctx);

/* ---- extended attributes, by full name ("user.x", "security.capability",
 * "system.posix_acl_access" in the kernel's xattr format) ---- */

#define UEXT4_XATTR_CREATE  0x1u
#define UEXT4_XATTR_REPLACE 0x2u
/* Length of the value; copied if @size > 0. -ENODATA, -ERANGE. */
UEXT4_API ssize_t uext4_getxattr(struct uext4_node *node, const char *name,
		void *buf, size_t size, const struct uext4_cred *cred);
/* Names, each terminated by NUL; the bytes needed. */
UEXT4_API ssize_t uext4_listxattr(struct uext4_node *node, char *buf,
		size_t size, const struct uext4_cred *cred);
UEXT4_API int uext4_setxattr(struct uext4_node *node, const char *name,
		const void *value, size_t len, unsigned flags,
		const struct uext4_cred *cred);
UEXT4_API int uext4_removexattr(struct uext4_node *node, const char *name,
		const struct uext4_cred *cred);

/* ---- paths: from @at (NULL: the root), symlinks followed ---- */

#define UEXT4_NOFOLLOW 0x1u /* a symlink in the last place is itself meant */
UEXT4_API int uext4_resolve(struct uext4_fs *fs, struct uext4_node *at,
		const char *path, unsigned flags, const struct uext4_cred *cred,
		struct uext4_node **ret_node);
/* The directory of the last name, and that name (at least UEXT4_NAME_MAX + 1
 * bytes). -EINVAL/-EBUSY for paths that end in "." or "..", or at the root. */
UEXT4_API int uext4_resolve_parent(struct uext4_fs *fs, struct uext4_node *at,
		const char *path, const struct uext4_cred *cred, char *name,
		struct uext4_node **ret_dir);

/* ---- open files ---- */

#define UEXT4_O_RDONLY    0x0000u
#define UEXT4_O_WRONLY    0x0001u
#define UEXT4_O_RDWR      0x0002u
#define UEXT4_O_CREAT     0x0010u
#define UEXT4_O_EXCL      0x0020u
#define UEXT4_O_TRUNC     0x0040u
#define UEXT4_O_APPEND    0x0080u
#define UEXT4_O_DIRECT    0x0100u
#define UEXT4_O_SYNC      0x0200u
#define UEXT4_O_DSYNC     0x0400u
#define UEXT4_O_NOATIME   0x0800u
#define UEXT4_O_NOFOLLOW  0x1000u
#define UEXT4_O_DIRECTORY 0x2000u
#define UEXT4_O_TMPFILE   0x4000u /* a nameless file in the directory opened */

UEXT4_API int uext4_open(struct uext4_fs *fs, struct uext4_node *at,
		const char *path, unsigned flags, uint32_t mode,
		const struct uext4_cred *cred, struct uext4_file **ret_file);
UEXT4_API int uext4_open_node(struct uext4_node *node, unsigned flags,
		const struct uext4_cred *cred, struct uext4_file **ret_file);
/* Frees @file in any case; an error of an earlier delayed write that nobody was
 * told of is returned. NULL is fine. */
UEXT4_API int uext4_close(struct uext4_file *file);
/* Valid as long as the file is open. */
UEXT4_API struct uext4_node *uext4_file_node(struct uext4_file *file);

/* For calls with flags: */
#define UEXT4_RW_DSYNC    0x1u /* as RWF_DSYNC */
#define UEXT4_RW_SYNC     0x2u /* as RWF_SYNC */
#define UEXT4_RW_NOWAIT   0x4u /* as RWF_NOWAIT */
#define UEXT4_RW_APPEND   0x8u /* as RWF_APPEND */
/* As RWF_NOAPPEND: the position counts although the file was opened with
 * UEXT4_O_APPEND. -EINVAL with APPEND. -EPERM for an append-only inode, unless
 * it was opened by a credential with UEXT4_CRED_CHECKED. */
#define UEXT4_RW_NOAPPEND 0x10u
/* Who writes is not the superuser who opened the file: setuid, setgid and
 * capabilities are taken away. */
#define UEXT4_RW_KILLPRIV 0x20u
/* Who writes is the superuser, whoever opened the file: setuid and setgid stay;
 * capabilities go all the same. */
#define UEXT4_RW_KEEPPRIV 0x40u
/* With KILLPRIV: who writes is no member of the file's group, either. Setgid
 * goes although the group may not execute the file. */
#define UEXT4_RW_KILLSGID 0x80u
/* A hint: the memory lies in huge pages. With UEXT4_MNT_MAPPED large direct writes
 * are copied out of such for less. */
#define UEXT4_RW_HUGE     0x100u
/* For servers: written back late. The bytes were taken before the file became
 * immutable or append-only, which therefore does not refuse them. */
#define UEXT4_RW_LATE     0x200u
/* For servers: what was stored through a mapping. Capabilities stay, which a
 * write() takes away. */
#define UEXT4_RW_KEEPCAPS 0x400u

/* Bytes done. With UEXT4_O_DIRECT position and length obey uext4_dio_align(),
 * else -EINVAL; memory that does not is copied. Where direct I/O is not
 * possible (holes of indirect files, inline data) it is done through the cache
 * and written through before return. */
UEXT4_API ssize_t uext4_pread(
		struct uext4_file *file, void *buf, size_t len, uint64_t pos);
UEXT4_API ssize_t uext4_pwrite(struct uext4_file *file, const void *buf,
		size_t len, uint64_t pos);
UEXT4_API ssize_t uext4_preadv2(struct uext4_file *file,
		const struct iovec *iov, int iovcnt, uint64_t pos,
		unsigned flags);
UEXT4_API ssize_t uext4_pwritev2(struct uext4_file *file,
		const struct iovec *iov, int iovcnt, uint64_t pos,
		unsigned flags);
/* Offset and length alignment for direct I/O, bytes. */
UEXT4_API uint32_t uext4_dio_align(struct uext4_file *file);
UEXT4_API int uext4_ftruncate(struct uext4_file *file, uint64_t size);
UEXT4_API int uext4_fsync(struct uext4_file *file);
UEXT4_API int uext4_fdatasync(struct uext4_file *file);
/* Write back dirty bytes of the range; nothing is promised about a power cut. */
UEXT4_API int uext4_sync_range(
		struct uext4_file *file, uint64_t pos, uint64_t len);

#define UEXT4_FALLOC_KEEP_SIZE  0x1u
#define UEXT4_FALLOC_PUNCH_HOLE 0x2u /* with KEEP_SIZE */
#define UEXT4_FALLOC_ZERO_RANGE 0x4u
/* As UEXT4_RW_KILLPRIV, KEEPPRIV and KILLSGID. */
#define UEXT4_FALLOC_KILLPRIV   0x20u
#define UEXT4_FALLOC_KEEPPRIV   0x40u
#define UEXT4_FALLOC_KILLSGID   0x80u
UEXT4_API int uext4_fallocate(struct uext4_file *file, unsigned mode,
		uint64_t pos, uint64_t len);
/* First position >= @pos of data, or of a hole. -ENXIO. */
UEXT4_API int64_t uext4_seek_data(struct uext4_file *file, uint64_t pos);
UEXT4_API int64_t uext4_seek_hole(struct uext4_file *file, uint64_t pos);

#define UEXT4_EXTENT_UNWRITTEN 0x1u
#define UEXT4_EXTENT_DELALLOC  0x2u
#define UEXT4_EXTENT_INLINE    0x4u
#define UEXT4_EXTENT_LAST      0x8u
struct uext4_extent {
	uint64_t logical, physical, length; /* bytes; physical: on the device */
	uint32_t flags;
};
/* The mapped runs of [pos, pos+len), dirty data written back first if @sync. */
UEXT4_API int uext4_fiemap(struct uext4_file *file, uint64_t pos, uint64_t len,
		bool sync, int (*fn)(void *ctx, const struct uext4_extent *e),
		void *ctx);

/* ---- asynchronous requests ----
 *
 *	ret = uext4_queue_open(fs, &opts, &q);
 *	ret = uext4_queue_prep(q, &sqe);	any number, up to the depth
 *	n = uext4_queue_submit(q);
 *	n = uext4_queue_wait(q, 1, -1, events, max);
 *
 * A request is in the hands of the queue from prep until its event is taken out
 * by wait. One thread at a time uses a queue; any number of queues and threads
 * may be at work on one file system and on one file. Requests are not ordered
 * among each other, fsync too: it covers writes whose events were taken before
 * it was prepared. An event means that the write is visible to every later read
 * and that the size is raised. Requests on files without UEXT4_O_DIRECT,
 * fallocate, and what has to wait for a lock are done inside submit. */

enum uext4_op {
	UEXT4_OP_NOP,
	UEXT4_OP_READ,
	UEXT4_OP_WRITE,
	UEXT4_OP_READV,
	UEXT4_OP_WRITEV,
	UEXT4_OP_FSYNC,
	UEXT4_OP_FDATASYNC,
	UEXT4_OP_FALLOCATE,
};

struct uext4_sqe {
	enum uext4_op op;
	unsigned flags;          /* UEXT4_RW_*; FALLOCATE: UEXT4_FALLOC_* */
	struct uext4_file *file; /* lives until the end, closed or not */
	uint64_t pos;            /* not looked at with APPEND */
	union {
		void *buf;               /* READ, WRITE */
		const struct iovec *iov; /* READV, WRITEV: copied by prep; the
					    memory stays until the event */
	};
	uint64_t len;       /* bytes; READV, WRITEV: number of iovecs */
	uint32_t buf_index; /* 1 + index of a registered buffer that [buf,
				buf+len) lies in; 0: none */
	uint64_t user_data;
};

struct uext4_event {
	uint64_t user_data;
	int64_t result; /* bytes, 0, or a negative errno */
};

enum uext4_queue_backend {
	UEXT4_QUEUE_AUTO, /* what suits the device: INLINE for one in RAM, URING
			      for files, POOL for one's own devices and where
			      io_uring is refused */
	UEXT4_QUEUE_URING,  /* io_uring; -EOPNOTSUPP where it is refused */
	UEXT4_QUEUE_POOL,   /* a few threads */
	UEXT4_QUEUE_INLINE, /* the device's calls, inside submit */
};

struct uext4_queue_opts {
	size_t size;    /* sizeof(struct uext4_queue_opts) */
	uint32_t depth; /* requests at a time, 1 to UEXT4_QUEUE_DEPTH_MAX */
	enum uext4_queue_backend backend;
};
#define UEXT4_QUEUE_DEPTH_MAX 4096u

/* -EINVAL for a depth of 0 or an absurd one, -ENOMEM, -EOPNOTSUPP. */
UEXT4_API int uext4_queue_open(struct uext4_fs *fs,
		const struct uext4_queue_opts *opts,
		struct uext4_queue **ret_q);
/* Waits for what is in flight (prepared and not submitted: dropped), forgets
 * events nobody took. NULL is fine. After uext4_unmount(), which waits for
 * what is in flight too, events can still be taken and this has to be called. */
UEXT4_API void uext4_queue_close(struct uext4_queue *q);
/* Take in a request; nothing happens yet. -EAGAIN: as many as the depth are
 * prepared, in flight, or wait for their event to be taken. -EINVAL, -EBADF. */
UEXT4_API int uext4_queue_prep(
		struct uext4_queue *q, const struct uext4_sqe *sqe);
/* Start what is prepared; how many. What is wrong with one is in its event. */
UEXT4_API int uext4_queue_submit(struct uext4_queue *q);
/* Take out up to @max events, having waited until there are @min of them, or
 * @timeout_ms passed (-1: no limit), or nothing more is in flight. Returns how
 * many. What is only prepared is not waited for. */
UEXT4_API int uext4_queue_wait(struct uext4_queue *q, unsigned min,
		int timeout_ms, struct uext4_event *events, unsigned max);
/* Readable when events may be there: for poll loops. Lives with the queue; do
 * not read or close it. -errno. */
UEXT4_API int uext4_queue_eventfd(struct uext4_queue *q);
/* Memory that many requests will use, pinned once where that pays; replaces an
 * earlier set; @n 0: none. -EBUSY with requests in flight. */
UEXT4_API int uext4_queue_buffers(
		struct uext4_queue *q, const struct iovec *iov, unsigned n);
/* "io_uring", "threads" or "inline". */
UEXT4_API const char *uext4_queue_backend_name(const struct uext4_queue *q);
/* Prepared, in flight, or with an event to take. */
UEXT4_API unsigned uext4_queue_pending(const struct uext4_queue *q);

/* ---- small things ---- */

/* Version of the library, "0.1.0". */
UEXT4_API const char *uext4_version(void);
/* One line about an error number of this library (not -EUCLEAN's "Structure
 * needs cleaning" but what it means here). Never NULL. */
UEXT4_API const char *uext4_strerror(int err);

#ifdef __cplusplus
}
#endif

#endif /* UEXT4_UEXT4_H */
