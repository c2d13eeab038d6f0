/* SPDX-License-Identifier: MIT */
/*
 * POSIX ACLs: the list of who may what, in its two forms.
 *
 * On disk (attribute system.posix_acl_*): a 4-byte version 1, then entries of 4
 * bytes (tag, perm), or 8 where a user or group is named. In the kernel's xattr
 * interface: version 2, entries of 8 bytes, the id 0xffffffff where none is
 * meant. In memory: an array in canonical order.
 */
#ifndef UEXT4_FS_ACL_H
#define UEXT4_FS_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct handle;
struct inode;
struct uext4_cred;

#define ACL_MAX_ENTRIES 512u

struct acl_entry {
	uint16_t tag;
	uint16_t perm;
	uint32_t id;
};

struct acl {
	uint32_t n;
	struct acl_entry e[ACL_MAX_ENTRIES];
};

enum acl_type {
	ACL_ACCESS,
	ACL_DEFAULT,
};

/* 0, or -EINVAL for bytes that are no valid ACL. */
int acl_from_xattr(const void *buf, size_t len, struct acl *ret_acl);
int acl_from_disk(const void *buf, size_t len, struct acl *ret_acl);
/* Bytes needed; written if @size allows, else -ERANGE when @size > 0. */
ssize_t acl_to_xattr(const struct acl *acl, void *buf, size_t size);
ssize_t acl_to_disk(const struct acl *acl, void *buf, size_t size);
/* Canonical order, one of each obligatory tag, a mask where needed. */
bool acl_is_valid(const struct acl *acl);
/* Fold the ACL into the permission bits of *mode; true if the bits say all. */
bool acl_equiv_mode(const struct acl *acl, uint32_t *mode);
/* chmod: the bits of @mode go into the entries that they stand for. */
void acl_chmod(struct acl *acl, uint32_t mode);
/* A new object under a default ACL: cut both to what the other allows. */
void acl_create_mask(struct acl *acl, uint32_t *mode);
/* May the credential do @want (MAY_*)? 0 or -EACCES. */
int acl_permission(const struct acl *acl, uint32_t uid, uint32_t gid,
		unsigned want, const struct uext4_cred *cred);

/* The ACL of an inode; -ENODATA if it has none. */
int inode_get_acl(struct inode *inode, enum acl_type type, struct acl *ret_acl);
/* Store or, with NULL, remove. In @h; ctime and mode are the caller's. */
int inode_set_acl(struct handle *h, struct inode *inode, enum acl_type type,
		const struct acl *acl);

#endif /* UEXT4_FS_ACL_H */
