/* SPDX-License-Identifier: MIT */
/*
 * Which flags of an inode may be set (FS_IOC_SETFLAGS), and by whom.
 *
 * What is asked and in which order is what a kernel's ext4 answers, flag by
 * flag (tests/interop/t_flags.c compares). Three things stay different: no
 * change between extents and block maps, no data journalling, and DAX of a
 * single file is kept but has no effect.
 */
#include "disk/geo.h"
#include "fs/attr.h"
#include "fs/fs.h"

#define FIXED (DINODE_F_IMMUTABLE | DINODE_F_APPEND)
#define DIR_ONLY                                                               \
 (DINODE_F_DIRSYNC | DINODE_F_TOPDIR | DINODE_F_PROJINHERIT | DINODE_F_CASEFOLD)

/* What an inode of this type has no use for. */
static uint32_t flags_out_of_place(const struct inode *inode)
{
	if (inode_is_dir(inode))
		return 0;
	if (inode_is_reg(inode))
		return DIR_ONLY;
	return ~(DINODE_F_NODUMP | DINODE_F_NOATIME);
}

int inode_may_set_flags(struct inode *inode, uint32_t flags,
		const struct uext4_cred *cred)
{
	const struct geo *geo = inode->it->geo;
	uint32_t old = inode_flags(inode);
	uint32_t changed = (flags ^ old) & DINODE_FL_USER_MODIFIABLE;

	if (!cred_owns(cred, inode))
		return -EPERM;
	if ((changed & FIXED) && !cred_is_super(cred))
		return -EPERM;
	if ((flags & ~DINODE_FL_USER_VISIBLE) ||
			(flags & ~old & flags_out_of_place(inode)))
		return -EOPNOTSUPP;
	/* As long as it is immutable nothing else changes, either; and it does
	 * not work at all for who has a flag that cannot be set (INDEX). */
	if ((old & flags & DINODE_F_IMMUTABLE) &&
			(flags & DINODE_FL_USER_MODIFIABLE) !=
					(old & DINODE_FL_USER_VISIBLE))
		return -EPERM;
	if (changed & DINODE_F_CASEFOLD)
		return -EOPNOTSUPP;
	if (changed & DINODE_F_JOURNAL_DATA)
		return cred_is_super(cred) ? -EOPNOTSUPP : -EPERM;
	if (changed & DINODE_F_EXTENTS)
		return geo_has_incompat(geo, FI_EXTENTS) ? -EOPNOTSUPP
							 : -EINVAL;
	return 0;
}

int inode_may_set_generation(struct inode *inode, const struct uext4_cred *cred)
{
	if (!cred_owns(cred, inode))
		return -EPERM;
	/* It is part of the seed of checksums. */
	return geo_has_csum(inode->it->geo) ? -ENOTTY : 0;
}
