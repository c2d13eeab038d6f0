/* SPDX-License-Identifier: MIT */
/*
 * See acl.h. The meaning of the entries is POSIX 1003.1e draft 17's, as acl(5)
 * tells it.
 */
#include "fs/acl.h"

#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "disk/dxattr.h"
#include "fs/attr.h"
#include "inode/inode.h"
#include "inode/xattr.h"
#include "uext4/uext4.h"

#define ACL_USER_OBJ  0x01u
#define ACL_USER      0x02u
#define ACL_GROUP_OBJ 0x04u
#define ACL_GROUP     0x08u
#define ACL_MASK      0x10u
#define ACL_OTHER     0x20u

#define ACL_DISK_VERSION  1u
#define ACL_XATTR_VERSION 2u
#define ACL_NO_ID         0xffffffffu

static bool acl_tag_has_id(uint16_t tag)
{
	return tag == ACL_USER || tag == ACL_GROUP;
}

/* ---- forms ---- */

int acl_from_xattr(const void *buf, size_t len, struct acl *ret_acl)
{
	const uint8_t *p = buf;
	size_t i;
	size_t n;

	if (len < 4 || (len - 4) % 8 != 0 || get_le32(p) != ACL_XATTR_VERSION)
		return -EINVAL;
	n = (len - 4) / 8;
	if (n > ACL_MAX_ENTRIES)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		ret_acl->e[i].tag = get_le16(p + 4 + i * 8);
		ret_acl->e[i].perm = get_le16(p + 6 + i * 8);
		ret_acl->e[i].id = get_le32(p + 8 + i * 8);
	}
	ret_acl->n = (uint32_t)n;
	return acl_is_valid(ret_acl) ? 0 : -EINVAL;
}

ssize_t acl_to_xattr(const struct acl *acl, void *buf, size_t size)
{
	size_t need = 4 + (size_t)acl->n * 8;
	uint8_t *p = buf;
	uint32_t i;

	if (size == 0)
		return (ssize_t)need;
	if (size < need)
		return -ERANGE;
	put_le32(p, ACL_XATTR_VERSION);
	for (i = 0; i < acl->n; i++) {
		put_le16(p + 4 + (size_t)i * 8, acl->e[i].tag);
		put_le16(p + 6 + (size_t)i * 8, acl->e[i].perm);
		put_le32(p + 8 + (size_t)i * 8,
				acl_tag_has_id(acl->e[i].tag) ? acl->e[i].id
							      : ACL_NO_ID);
	}
	return (ssize_t)need;
}

int acl_from_disk(const void *buf, size_t len, struct acl *ret_acl)
{
	const uint8_t *p = buf;
	size_t at = 4;

	if (len < 4 || get_le32(p) != ACL_DISK_VERSION)
		return -EINVAL;
	ret_acl->n = 0;
	while (at < len) {
		struct acl_entry *e = &ret_acl->e[ret_acl->n];

		if (ret_acl->n == ACL_MAX_ENTRIES || len - at < 4)
			return -EINVAL;
		e->tag = get_le16(p + at);
		e->perm = get_le16(p + at + 2);
		e->id = ACL_NO_ID;
		at += 4;
		if (acl_tag_has_id(e->tag)) {
			if (len - at < 4)
				return -EINVAL;
			e->id = get_le32(p + at);
			at += 4;
		}
		ret_acl->n++;
	}
	return acl_is_valid(ret_acl) ? 0 : -EINVAL;
}

ssize_t acl_to_disk(const struct acl *acl, void *buf, size_t size)
{
	uint8_t *p = buf;
	size_t at = 4;
	uint32_t i;

	if (size < 4 + (size_t)acl->n * 8)
		return -ERANGE;
	put_le32(p, ACL_DISK_VERSION);
	for (i = 0; i < acl->n; i++) {
		put_le16(p + at, acl->e[i].tag);
		put_le16(p + at + 2, acl->e[i].perm);
		at += 4;
		if (acl_tag_has_id(acl->e[i].tag)) {
			put_le32(p + at, acl->e[i].id);
			at += 4;
		}
	}
	return (ssize_t)at;
}

bool acl_is_valid(const struct acl *acl)
{
	/* tags in order; named users and groups in order of their ids */
	uint32_t seen = 0;
	uint32_t i;

	for (i = 0; i < acl->n; i++) {
		const struct acl_entry *e = &acl->e[i];

		if (e->perm & ~7u)
			return false;
		if (e->tag != ACL_USER_OBJ && e->tag != ACL_USER &&
				e->tag != ACL_GROUP_OBJ &&
				e->tag != ACL_GROUP && e->tag != ACL_MASK &&
				e->tag != ACL_OTHER)
			return false;
		if (seen >= (uint32_t)e->tag << 1)
			return false; /* a later tag came before */
		if (i > 0 && acl->e[i - 1].tag == e->tag &&
				!acl_tag_has_id(e->tag))
			return false;
		if (acl_tag_has_id(e->tag) && e->id == ACL_NO_ID)
			return false;
		seen |= e->tag;
	}
	if ((seen & (ACL_USER_OBJ | ACL_GROUP_OBJ | ACL_OTHER)) !=
			(ACL_USER_OBJ | ACL_GROUP_OBJ | ACL_OTHER))
		return false;
	return !(seen & (ACL_USER | ACL_GROUP)) || (seen & ACL_MASK);
}

/* ---- modes ---- */

static struct acl_entry *acl_find(struct acl *acl, uint16_t tag)
{
	uint32_t i;

	for (i = 0; i < acl->n; i++) {
		if (acl->e[i].tag == tag)
			return &acl->e[i];
	}
	return NULL;
}

bool acl_equiv_mode(const struct acl *acl, uint32_t *mode)
{
	uint32_t bits = 0;
	bool all = true;
	bool mask = false;
	uint32_t i;

	for (i = 0; i < acl->n; i++) {
		const struct acl_entry *e = &acl->e[i];

		switch (e->tag) {
		case ACL_USER_OBJ:
			bits |= (uint32_t)e->perm << 6;
			break;
		case ACL_GROUP_OBJ:
			if (!mask)
				bits |= (uint32_t)e->perm << 3;
			break;
		case ACL_OTHER:
			bits |= e->perm;
			break;
		case ACL_MASK:
			bits = (bits & ~070u) | (uint32_t)e->perm << 3;
			mask = true;
			all = false;
			break;
		default:
			all = false;
		}
	}
	*mode = (*mode & ~0777u) | bits;
	return all;
}

void acl_chmod(struct acl *acl, uint32_t mode)
{
	struct acl_entry *group = acl_find(acl, ACL_MASK);

	if (!group)
		group = acl_find(acl, ACL_GROUP_OBJ);
	acl_find(acl, ACL_USER_OBJ)->perm = (uint16_t)(mode >> 6 & 7);
	group->perm = (uint16_t)(mode >> 3 & 7);
	acl_find(acl, ACL_OTHER)->perm = (uint16_t)(mode & 7);
}

void acl_create_mask(struct acl *acl, uint32_t *mode)
{
	struct acl_entry *user = acl_find(acl, ACL_USER_OBJ);
	struct acl_entry *group = acl_find(acl, ACL_MASK);
	struct acl_entry *other = acl_find(acl, ACL_OTHER);

	if (!group)
		group = acl_find(acl, ACL_GROUP_OBJ);
	user->perm &= (uint16_t)(*mode >> 6 & 7);
	group->perm &= (uint16_t)(*mode >> 3 & 7);
	other->perm &= (uint16_t)(*mode & 7);
	*mode = (*mode & ~0777u) | (uint32_t)user->perm << 6 |
			(uint32_t)group->perm << 3 | other->perm;
}

/* The entries that concern the credential's groups. */
static int acl_group_permission(const struct acl *acl, uint32_t gid,
		unsigned want, unsigned mask, const struct uext4_cred *cred)
{
	bool member = false;
	uint32_t i;

	for (i = 0; i < acl->n; i++) {
		const struct acl_entry *e = &acl->e[i];
		bool ours = (e->tag == ACL_GROUP_OBJ &&
					    cred_in_group(cred, gid)) ||
				(e->tag == ACL_GROUP &&
						cred_in_group(cred, e->id));

		if (!ours)
			continue;
		member = true;
		if ((e->perm & mask & want) == want)
			return 0;
	}
	return member ? -EACCES : 1;
}

int acl_permission(const struct acl *acl, uint32_t uid, uint32_t gid,
		unsigned want, const struct uext4_cred *cred)
{
	unsigned mask = 7;
	unsigned other = 0;
	uint32_t i;
	int ret;

	for (i = 0; i < acl->n; i++) {
		if (acl->e[i].tag == ACL_MASK)
			mask = acl->e[i].perm;
		if (acl->e[i].tag == ACL_OTHER)
			other = acl->e[i].perm;
	}
	for (i = 0; i < acl->n; i++) {
		const struct acl_entry *e = &acl->e[i];

		if (e->tag == ACL_USER_OBJ && cred->uid == uid)
			return (e->perm & want) == want ? 0 : -EACCES;
		if (e->tag == ACL_USER && cred->uid == e->id)
			return (e->perm & mask & want) == want ? 0 : -EACCES;
	}
	ret = acl_group_permission(acl, gid, want, mask, cred);
	if (ret <= 0)
		return ret;
	return (other & want) == want ? 0 : -EACCES;
}

/* ---- of an inode ---- */

static int acl_index(enum acl_type type)
{
	return type == ACL_ACCESS ? (int)DXATTR_IDX_ACL_ACCESS
				  : (int)DXATTR_IDX_ACL_DEFAULT;
}

int inode_get_acl(struct inode *inode, enum acl_type type, struct acl *ret_acl)
{
	uint8_t buf[4 + ACL_MAX_ENTRIES * 8];
	ssize_t n;

	n = xattr_get(inode, acl_index(type), "", buf, sizeof(buf));
	if (n < 0)
		return (int)n;
	if (acl_from_disk(buf, (size_t)n, ret_acl) < 0)
		return -UEXT4_ECORRUPT;
	return 0;
}

int inode_set_acl(struct handle *h, struct inode *inode, enum acl_type type,
		const struct acl *acl)
{
	uint8_t buf[4 + ACL_MAX_ENTRIES * 8];
	ssize_t n;
	int ret;

	if (!acl) {
		ret = xattr_set(h, inode, acl_index(type), "", NULL, 0, 0);
		return ret == -ENODATA ? 0 : ret;
	}
	n = acl_to_disk(acl, buf, sizeof(buf));
	if (n < 0)
		return (int)n;
	return xattr_set(h, inode, acl_index(type), "", buf, (size_t)n, 0);
}
