/* SPDX-License-Identifier: MIT */
#include "inode/htree.h"

bool htree_can_make(const struct inode *dir)
{
	(void)dir;
	return false;
}
int htree_make(struct handle *h, struct inode *dir)
{
	(void)h;
	(void)dir;
	return -EOPNOTSUPP;
}
int htree_find(struct inode *dir, const char *name, size_t len,
		struct dir_pos *ret_pos)
{
	(void)dir;
	(void)name;
	(void)len;
	(void)ret_pos;
	return -EOPNOTSUPP;
}
int htree_add(struct handle *h, struct inode *dir, const char *name, size_t len,
		inum_t inum, uint8_t ftype)
{
	(void)h;
	(void)dir;
	(void)name;
	(void)len;
	(void)inum;
	(void)ftype;
	return -EOPNOTSUPP;
}
