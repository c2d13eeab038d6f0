/* SPDX-License-Identifier: MIT */
/*
 * The checker: a second, independent reader of the ext4 format, used by the
 * tests as oracle.
 *
 * check_fs() finds what e2fsck -fn's passes 1 to 5 find. It shares nothing
 * with src/disk on purpose: a misunderstanding of the format in one of the
 * two readers shows up as a disagreement.
 *
 * How to use it:
 *
 *	struct check_dev dev = { .map = ram, .size = len };
 *	struct check_opts opts = { .flags = CHECK_F_CANARY };
 *	struct check_report rep;
 *	int ret = check_fs(&dev, &opts, &rep);
 *	if (ret == 1)
 *		check_print(&rep, stderr);
 *
 * Rules    (K1) The image is never written; only check_fill_free() writes,
 *               through the caller's function.
 *          (K2) Every walk is bounded by the number of blocks or inodes:
 *               bytes from the image may be anything.
 *          (K3) No state outlives a call; any number of threads may check
 *               at once.
 */
#ifndef UEXT4_TESTS_CHECK_H
#define UEXT4_TESTS_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The image. @map (all @size bytes in memory) is used when it is not NULL. */
struct check_dev {
	int (*read)(void *ctx, uint64_t pos, void *buf, size_t len);
	void *ctx;
	uint64_t size;
	const void *map;
};

#define CHECK_F_ORPHANS  0x01 /* orphans (list or file) are legal */
#define CHECK_F_RECOVERY 0x02 /* a journal that wants replay is legal */
#define CHECK_F_DIRTY    0x04 /* s_state without "clean" is legal */
#define CHECK_F_CANARY   0x08 /* look for canaries where users can reach */
#define CHECK_F_ERRORS   0x10 /* s_state with "errors" is legal */

struct check_opts {
	unsigned int flags; /* CHECK_F_* */

	/*
	 * True if @data (of block @pblk, @len bytes) holds bytes that must not
	 * be reachable. NULL: the words written by check_fill_free().
	 */
	bool (*canary)(void *ctx, uint64_t pblk, const void *data, size_t len);
	void *canary_ctx;
};

#define CHECK_MAX_PROBLEMS 24
#define CHECK_TEXT_LEN     160

struct check_report {
	uint32_t count; /* problems found */
	uint32_t kept;  /* of which texts are kept */
	char text[CHECK_MAX_PROBLEMS][CHECK_TEXT_LEN];

	/* What was seen, valid when the superblock could be read. */
	uint64_t blocks, free_blocks;
	uint32_t inodes, free_inodes;
	uint32_t dirs, files, orphans;
};

/*
 * Check the whole image. 0: clean. 1: problems, see @rep ("pass: what").
 * -EOPNOTSUPP: it uses a feature that the checker does not know (the first
 * text names it). Another negative errno: a read or an allocation failed.
 * @opts may be NULL (nothing but a clean, quiet file system is legal).
 */
int check_fs(const struct check_dev *dev, const struct check_opts *opts,
		struct check_report *rep);

/* Print the problems, one a line. */
void check_print(const struct check_report *rep, FILE *out);

/* A check_dev over a file descriptor: set ctx to a pointer to the int. */
int check_read_fd(void *ctx, uint64_t pos, void *buf, size_t len);

/*
 * Canaries: 8-byte little-endian words, CHECK_CANARY ^ block number, in
 * every 8-byte word of a free block.
 */
#define CHECK_CANARY 0x4c41545300000000ULL /* bytes 4 to 7: "STAL" */

/* True if an aligned word of @data is the canary of one of @nblocks blocks. */
bool check_is_canary(const void *data, size_t len, uint64_t nblocks);

/*
 * Fill every free block of a sound image through @write. Returns the number
 * of blocks filled, or a negative errno (-EUCLEAN: the image is not sound).
 */
int64_t check_fill_free(const struct check_dev *dev,
		int (*write)(void *ctx, uint64_t pos, const void *buf,
				size_t len),
		void *ctx);

/* Call @fn for every run of free blocks of a sound image (bytes). */
int check_free_runs(const struct check_dev *dev,
		int (*fn)(void *ctx, uint64_t pos, uint64_t len), void *ctx);

/* What is known of one inode. */
struct check_stat {
	uint32_t ino;
	uint32_t mode; /* type and permissions, as st_mode */
	uint32_t uid, gid, links, flags, generation;
	uint64_t size;
	uint64_t blocks512; /* as st_blocks */
	uint64_t rdev;      /* major << 32 | minor */
	int64_t atime, mtime, ctime, crtime;
	uint32_t atime_ns, mtime_ns, ctime_ns, crtime_ns;
};

struct check_entry {
	const char *path; /* from "/" on; "/" itself is the first entry */
	const char *name; /* the last component */
	struct check_stat st;
};

/*
 * Call @fn for every name of the tree, parents first, "." and ".." left out.
 * Stops with what @fn returns if that is not 0. -EUCLEAN: the tree is not
 * sound (a loop, a bad entry).
 */
int check_walk(const struct check_dev *dev,
		int (*fn)(void *ctx, const struct check_entry *entry),
		void *ctx);

/* Find @path ("/a/b"; symbolic links are not followed). -ENOENT, -ENOTDIR. */
int check_lookup(const struct check_dev *dev, const char *path,
		uint32_t *ret_ino);

int check_stat(const struct check_dev *dev, uint32_t ino,
		struct check_stat *ret_st);

/*
 * Read bytes of a file, or the target of a symbolic link. Returns the number
 * of bytes read (short at the end of the file), or a negative errno.
 */
int64_t check_read_ino(const struct check_dev *dev, uint32_t ino, uint64_t pos,
		void *buf, size_t len);
int64_t check_read_file(const struct check_dev *dev, const char *path,
		uint64_t pos, void *buf, size_t len);

/* One mapped run of a file; holes are not reported. */
struct check_run {
	uint32_t lblk, len;
	uint64_t pblk;
	bool unwritten;
};

/* Call @fn for every run of @ino in order; stops when @fn returns non-zero. */
int check_runs(const struct check_dev *dev, uint32_t ino,
		int (*fn)(void *ctx, const struct check_run *run), void *ctx);

/* Call @fn for every attribute of @ino; @name is whole ("user.x"). */
int check_xattrs(const struct check_dev *dev, uint32_t ino,
		int (*fn)(void *ctx, const char *name, const void *value,
				size_t len),
		void *ctx);

#endif
