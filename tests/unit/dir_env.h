/* SPDX-License-Identifier: MIT */
/*
 * A directory on a real image, beside a model of it: what t_dir and t_htree
 * share.
 *
 *	denv_make(&e, "-t ext4 -b 1024", 32);	an image, and /d in it
 *	denv_add(&e, name, len); denv_remove(); ...	in both; compared
 *	denv_check(&e);			every name, readdir, emptiness
 *	denv_fsck(&e);			link counts, sync, e2fsck -fn, reopen
 *	denv_drop(&e);
 *
 * All names link to one regular file.
 */
#ifndef UEXT4_TESTS_DIR_ENV_H
#define UEXT4_TESTS_DIR_ENV_H

#include "alloc_env.h"

#include "inode/dir.h"
#include "inode/inode.h"

struct denv_name {
	char name[256];
	uint16_t len;
	bool is_there;
	uint8_t seen; /* in the readdir under way */
};

struct denv {
	struct env env;
	struct itable it;
	struct page_pool *pool;
	struct inode *root, *dir, *file;
	inum_t dir_inum, file_inum;
	struct denv_name *names;
	size_t nnames;
	size_t count;    /* of those that are there */
	uint32_t *slots; /* hash table over names: index + 1 */
	size_t nslots;
	uint64_t rand;
};

void denv_make(struct denv *e, const char *mke2fs_args, uint64_t mib);
/* Forget all but the image; and open it again. */
void denv_close(struct denv *e);
void denv_open(struct denv *e);
void denv_drop(struct denv *e);

uint32_t denv_rand(struct denv *e, uint32_t below);
/* Make @n different names of 1 to @max_len bytes, none of them there. With
 * @bytes any byte but 0 and '/', else letters. */
void denv_names(struct denv *e, size_t n, uint32_t max_len, bool bytes);
/* The same, numbers padded to @len bytes. */
void denv_names_numbered(struct denv *e, size_t n, size_t len);
void denv_add(struct denv *e, size_t i);
void denv_remove(struct denv *e, size_t i);
/* What dir_add() says; the model follows if it is 0. */
int denv_try_add(struct denv *e, size_t i);
/* @n random adds and removes, adds with chance @percent. */
void denv_churn(struct denv *e, size_t n, uint32_t percent);
/* Find every name, and readdir in steps of @step entries. */
void denv_check(struct denv *e, size_t step);
/* Go on with the image's own journal. */
void denv_use_log(struct denv *e);
/* A readdir in steps of @step entries with @nops random changes of the names
 * from @fixed on between two steps: the names before are told just once. */
void denv_check_moving(struct denv *e, size_t step, size_t nops, size_t fixed);
/* Put the link count right, and let e2fsck -fn judge. */
void denv_fsck(struct denv *e);
/* Does debugfs list as many names as there are, and all the letter ones? */
void denv_debugfs(struct denv *e);
/* Make @name one of the names (there must be room: see denv_names()). */
void denv_set_name(struct denv *e, size_t i, const char *name, size_t len);
struct denv_name *denv_lookup(struct denv *e, const char *name, size_t len);

#endif /* UEXT4_TESTS_DIR_ENV_H */
