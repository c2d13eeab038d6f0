/* SPDX-License-Identifier: MIT */
/*
 * Names and values of extended attributes. ACLs are in the form in which the
 * system call takes them (acl(5), linux/posix_acl_xattr.h): a version, then
 * tag, permissions and id of each entry.
 */
#include "gen_xattr.h"

#include <linux/capability.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

static const char *const names[] = { "user.a", "user.a", "user.b", "user.c",
	"user.", "user", "trusted.t", "trusted.u", "security.s",
	"security.capability", "system.posix_acl_access",
	"system.posix_acl_access", "system.posix_acl_access",
	"system.posix_acl_default", "system.posix_acl_default", "system.data",
	"system.other", "nothing.x", "" };

static char *any_name(struct gen *g)
{
	char *name;
	size_t len;

	if (!gen_chance(g, 5)) {
		const char *one = GEN_PICK(g, names);

		/* What takes it away, and when, is for the kernel in front. */
		if (!g->writeback || strcmp(one, "security.capability") != 0)
			return dop_text(one);
	}
	/* user.* of 255 bytes, which is the most, or more. */
	len = 254 + gen_below(g, 3);
	name = dop_alloc(len + 1);
	memset(name, 'v', len);
	memcpy(name, "user.", 5);
	return name;
}

/* ---- ACLs ---- */

static void add_entry(struct dop *op, unsigned tag, unsigned perm, uint32_t id)
{
	const struct posix_acl_xattr_entry e = {
		.e_tag = (uint16_t)tag, .e_perm = (uint16_t)perm, .e_id = id
	};

	memcpy(op->x + op->nx, &e, sizeof(e));
	op->nx += sizeof(e);
}

static void any_acl(struct gen *g, struct dop *op)
{
	static const uint32_t ids[] = { 1001, 1002, 2000, 2001, 5 };
	const struct posix_acl_xattr_header h = {
		.a_version = POSIX_ACL_XATTR_VERSION + gen_chance(g, 2)
	};
	unsigned users = (unsigned)gen_below(g, 3);
	unsigned groups = (unsigned)gen_below(g, 3);
	unsigned i;

	op->x = dop_alloc(512);
	memcpy(op->x, &h, sizeof(h));
	op->nx = sizeof(h);
	if (gen_chance(g, 3))
		return; /* no entry: as if removed */
	add_entry(op, ACL_USER_OBJ, (unsigned)gen_below(g, 8),
			ACL_UNDEFINED_ID);
	for (i = 0; i < users; i++)
		add_entry(op, ACL_USER, (unsigned)gen_below(g, 8),
				ids[i + gen_below(g, 2)]);
	add_entry(op, ACL_GROUP_OBJ, (unsigned)gen_below(g, 8),
			ACL_UNDEFINED_ID);
	for (i = 0; i < groups; i++)
		add_entry(op, ACL_GROUP, (unsigned)gen_below(g, 8),
				ids[2 + i + gen_below(g, 2)]);
	/* With names there must be a mask; mostly. */
	if (gen_chance(g, users + groups > 0 ? 96 : 20))
		add_entry(op, ACL_MASK, (unsigned)gen_below(g, 8),
				ACL_UNDEFINED_ID);
	add_entry(op, ACL_OTHER,
			(unsigned)gen_below(g, gen_chance(g, 3) ? 16 : 8),
			ACL_UNDEFINED_ID);
	if (gen_chance(g, 3))
		op->nx -= 1 + gen_below(g, op->nx - 1);
}

/* ---- other values ---- */

static void any_capability(struct gen *g, struct dop *op)
{
	struct vfs_cap_data cap = {
		.magic_etc = VFS_CAP_REVISION_2 |
				(gen_chance(g, 50) ? VFS_CAP_FLAGS_EFFECTIVE
						   : 0),
	};

	cap.data[0].permitted = 1u << gen_below(g, 30);
	op->nx = XATTR_CAPS_SZ_2;
	op->x = memcpy(dop_alloc(op->nx), &cap, op->nx);
	if (gen_chance(g, 10))
		op->nx--;
}

static size_t any_size(struct gen *g)
{
	static const size_t sizes[] = { 0, 1, 3, 4, 30, 60, 100, 400, 900, 950,
		1000, 2000, 3900, 3990, 4000, 4096, 5000, 65535, 65536, 65537 };

	return gen_chance(g, 60) ? gen_below(g, 60) : GEN_PICK(g, sizes);
}

static void any_value(struct gen *g, struct dop *op)
{
	op->nx = any_size(g);
	op->x = dop_alloc(op->nx);
	memset(op->x, (int)gen_below(g, 4) + 'r', op->nx);
}

static void args_set(struct gen *g, struct dop *op)
{
	op->n[0] = gen_chance(g, 70) ? 0 : (int64_t)gen_below(g, 4);
	if (strncmp(op->q, "system.posix_acl", 16) == 0)
		any_acl(g, op);
	else if (strcmp(op->q, "security.capability") == 0)
		any_capability(g, op);
	else
		any_value(g, op);
}

void gen_xattr_args(struct gen *g, struct dop *op)
{
	static const int rooms[] = { 0, 1 << 16, 1 << 16, 1 << 16, 100, 4, 1 };
	int by = (int)gen_below(g, 3);

	if (op->kind != DOP_listxattr)
		op->q = any_name(g);
	if (by == 2)
		op->h = gen_slot(g, 0);
	else
		op->p = gen_old(g,
				op->q && strstr(op->q, "default") ? "d"
								  : "dffls");
	switch (op->kind) {
	case DOP_setxattr:
		args_set(g, op);
		op->n[1] = by;
		break;
	case DOP_removexattr:
		op->n[0] = by;
		break;
	default:
		op->n[0] = GEN_PICK(g, rooms);
		op->n[1] = by;
	}
}
