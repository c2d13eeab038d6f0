/* SPDX-License-Identifier: MIT */
/*
 * Who may do what to an inode, and the attributes that follow from use.
 *
 * Locks    inode_permission() reads mode and owner under attr_lock and, if
 *          there is an ACL, takes xattr_lock: the caller may hold the rwsem of
 *          the inode, but no handle.
 */
#ifndef UEXT4_FS_ATTR_H
#define UEXT4_FS_ATTR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct handle;
struct inode;
struct uext4_cred;
struct uext4_fs;
struct uext4_setattr;

#define MAY_EXEC  1u
#define MAY_WRITE 2u
#define MAY_READ  4u

/* Who changes a file's contents: decides which privileges the file keeps. */
struct caller {
	bool is_super;
	bool in_group; /* of the file; so is the superuser */
};

struct caller caller_of(
		const struct uext4_cred *cred, const struct inode *inode);
/* The bits of @mode that go: setuid, and setgid unless it stands without the
 * group's x for a member of the group. */
uint32_t caller_kills(struct caller who, uint32_t mode);

bool cred_is_super(const struct uext4_cred *cred);
/* Blocks for @inode are allocated on behalf of the superuser, who may use root's
 * reserve, or not. A hint: who comes last is believed. */
void inode_spend_as(struct inode *inode, bool is_super);
bool cred_in_group(const struct uext4_cred *cred, uint32_t gid);
/* Whoever asks has checked permissions (UEXT4_CRED_CHECKED), or need not. */
bool cred_is_trusted(const struct uext4_cred *cred);
/* The owner, or who may do what only he may. */
bool cred_owns(const struct uext4_cred *cred, struct inode *inode);
/* 0, -EACCES, or -EPERM for a write to an immutable inode. */
int inode_permission(struct inode *inode, unsigned mask,
		const struct uext4_cred *cred);

/* iflags.c: may the flags be set as a whole, the generation be changed? */
int inode_may_set_flags(struct inode *inode, uint32_t flags,
		const struct uext4_cred *cred);
int inode_may_set_generation(
		struct inode *inode, const struct uext4_cred *cred);

/* Length of security.capability, or -ENODATA. */
ssize_t inode_get_capability(struct inode *inode);
int inode_drop_capability(struct handle *h, struct inode *inode);
/* Credits of dropping it together with mode and times. */
uint32_t attr_strip_credits(void);

/* relatime, for reads of files and directories. Never fails. */
void inode_accessed(struct inode *inode);

/* truncate(2) on a held inode; permission was checked. Takes the iolock.
 * @who takes privileges of the file away. */
int inode_set_length(struct inode *inode, uint64_t size, struct caller who);

#endif /* UEXT4_FS_ATTR_H */
