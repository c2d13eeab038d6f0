/* SPDX-License-Identifier: MIT */
/*
 * The list: see differences.h. One function says what an entry is about, as
 * narrowly as it can: an entry never allows a whole kind of call.
 */
#include "differences.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "side.h"

static bool is_field(const struct difference_case *c, const char *name)
{
	return strcmp(c->field, name) == 0;
}

static bool is_kind(const struct difference_case *c, enum dop_kind kind)
{
	return c->op && c->op->kind == kind;
}

static bool is_linux_before(int major, int minor)
{
	struct utsname u;
	int has_major = 0;
	int has_minor = 0;

	return uname(&u) == 0 &&
			sscanf(u.release, "%d.%d", &has_major, &has_minor) ==
			2 &&
			(has_major < major ||
					(has_major == major &&
							has_minor < minor));
}

/* ---- FUSE's ---- */

static bool tmpfile_call(const struct dop *op)
{
	return op->kind == DOP_open && (op->n[0] & O_TMPFILE) == O_TMPFILE &&
			is_linux_before(6, 2);
}

static bool shifting_call(const struct dop *op)
{
	return op->kind == DOP_fallocate &&
			(op->n[0] &
					(FALLOC_FL_COLLAPSE_RANGE |
							FALLOC_FL_INSERT_RANGE |
							FALLOC_FL_UNSHARE_RANGE));
}

static bool birth_time(const struct difference_case *c)
{
	return is_kind(c, DOP_statx) && is_field(c, "has_btime") &&
			is_linux_before(6, 6);
}

static bool statx_attributes(const struct difference_case *c)
{
	return is_kind(c, DOP_statx) &&
			(is_field(c, "attributes") ||
					is_field(c, "attributes_mask"));
}

static bool statfs_type(const struct difference_case *c)
{
	return is_kind(c, DOP_statfs) && is_field(c, "f_type");
}

static bool block_size(const struct difference_case *c)
{
	return is_kind(c, DOP_ioctl) && is_field(c, "block_size");
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

/* Of a regular file, by a read of it. */
static bool atime_of_cached(const struct difference_case *c)
{
	if (!ends_with(c->field, ".atime_moved") || c->a != 1 || !c->op ||
			!S_ISREG(c->mode))
		return false;
	return c->op->kind == DOP_read || c->op->kind == DOP_pread ||
			c->op->kind == DOP_mapread ||
			c->op->kind == DOP_mapstore || c->op->kind == DOP_copy;
}

/* By a path that leads over it, or readlink(). */
static bool atime_of_symlink(const struct difference_case *c)
{
	return c->op && ends_with(c->field, ".atime_moved") && c->a == 1 &&
			S_ISLNK(c->mode);
}

/* Read by a cached read earlier. */
static bool atime_later(const struct difference_case *c)
{
	/* From what it was to what it is set to. */
	if (ends_with(c->field, ".atime_moved"))
		return (is_kind(c, DOP_utimens) || is_kind(c, DOP_futimens)) &&
				(S_ISREG(c->mode) || S_ISLNK(c->mode));
	if (!is_field(c, "atime") &&
			(!is_field(c, "set_atime") ||
					c->op->n[1] != UTIME_OMIT))
		return false;
	return c->a == 0 && c->b != 0 &&
			(c->mode == 0 || S_ISREG(c->mode) || S_ISLNK(c->mode));
}

/* The server is asked for a page, and cannot know that nobody called read(). */
static bool atime_of_fault(const struct difference_case *c)
{
	if (!S_ISREG(c->mode))
		return false;
	if (ends_with(c->field, ".atime_moved"))
		return c->a == 0 && c->b == 1 &&
				(is_kind(c, DOP_mapstore) ||
						is_kind(c, DOP_mapread));
	return is_field(c, "atime") && c->a != 0 && c->b == 0;
}

/* By who writes and reads it; the file system is not asked. */
static bool times_of_fifo(const struct difference_case *c)
{
	if (!S_ISFIFO(c->mode))
		return false;
	if (is_field(c, "mtime") || is_field(c, "ctime") ||
			is_field(c, "atime"))
		return c->a == 0;
	return c->a == 1 &&
			(ends_with(c->field, ".mtime_moved") ||
					ends_with(c->field, ".ctime_moved") ||
					ends_with(c->field, ".atime_moved"));
}

/* Of calls that look at an inode's flags before all else. */
static bool eperm_first(const struct difference_case *c)
{
	if (c->a != EPERM || !c->op)
		return false;
	if (is_kind(c, DOP_dirhold))
		return is_field(c, "drop") && c->b == EISDIR;
	if (!is_field(c, "errno"))
		return false;
	if (c->b == ENOENT) /* a file without a name */
		return c->op->kind == DOP_link || c->op->kind == DOP_linkh;
	if (c->b != EACCES && c->b != ENOTDIR && c->b != EISDIR &&
			c->b != ENOTEMPTY && c->b != EXDEV &&
			c->b != EOPNOTSUPP && c->b != EINVAL)
		return false;
	switch (c->op->kind) {
	case DOP_open:
	case DOP_truncate:
	case DOP_mkdir:
	case DOP_mknod:
	case DOP_symlink:
	case DOP_link:
	case DOP_linkh:
	case DOP_unlink:
	case DOP_rmdir:
	case DOP_rename:
	case DOP_many:
	case DOP_fewer:
	case DOP_access:
	case DOP_utimens:
	case DOP_setxattr:
	case DOP_removexattr:
		return true;
	default:
		return false;
	}
}

static bool copy_of_nothing(const struct difference_case *c)
{
	return is_kind(c, DOP_copy) && is_field(c, "errno") &&
			(c->a == EPERM || c->a == EFBIG) && c->b == 0 &&
			c->b_ret == 0;
}

static bool acl_of_none(const struct difference_case *c)
{
	return is_kind(c, DOP_removexattr) && is_field(c, "errno") &&
			strcmp(c->op->q, "system.posix_acl_default") == 0 &&
			c->a == EPERM && c->b == 0;
}

/* Setting flags (FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR), where there are none. */
static bool flags_of_others(const struct difference_case *c)
{
	return is_kind(c, DOP_ioctl) &&
			(c->op->n[0] == 1 || c->op->n[0] == 3) &&
			is_field(c, "errno") && c->a == ENOTTY && c->b == EPERM;
}

/* The file position, not the file: s_maxbytes is the kernel's of FUSE. */
#define FAR (1ll << 33)

static bool seek_far(const struct dop *op)
{
	int64_t from = 0;

	if (op->kind != DOP_seek || op->n[0] < 0)
		return false;
	if (op->n[1] == SEEK_CUR)
		from = side_slot_position(op->h);
	else if (op->n[1] == SEEK_END)
		from = side_slot_size(op->h);
	return from > FAR || op->n[0] > FAR;
}

static bool is_odd(int64_t n)
{
	return (n & 511) != 0;
}

static bool is_direct(const struct dop *op)
{
	return op->h >= 0 && op->h < SIDE_SLOTS &&
			(side_slots[op->h].flags & O_DIRECT);
}

/* Memory that a device could not take as it is. */
static bool odd_memory(const struct dop *op)
{
	int64_t len, misalign, parts;

	switch (op->kind) {
	case DOP_pread:
		len = op->n[1], misalign = op->n[2], parts = op->n[3];
		break;
	case DOP_write:
		len = op->n[0], misalign = op->n[2], parts = op->n[3];
		break;
	case DOP_pwrite:
		len = op->n[1], misalign = op->n[3], parts = op->n[4];
		break;
	default:
		return false;
	}
	return is_direct(op) &&
			(is_odd(misalign) ||
					(parts > 1 && is_odd(len / parts)) ||
					(parts > 2 && is_odd(len)) ||
					parts == 3);
}

static bool chown_nobody(const struct dop *op)
{
	return (op->kind == DOP_chown || op->kind == DOP_fchown) &&
			op->n[0] == -1 && op->n[1] == -1;
}

static bool read_odd_memory(const struct dop *op)
{
	return op->kind == DOP_pread && odd_memory(op);
}

static bool write_odd_memory(const struct dop *op)
{
	return op->kind != DOP_pread && odd_memory(op);
}

static bool access_to_write(const struct dop *op)
{
	return op->kind == DOP_access && (op->n[0] & W_OK);
}

static bool store_through_map(const struct dop *op)
{
	return op->kind == DOP_mapstore;
}

static bool map_it(const struct dop *op)
{
	return op->kind == DOP_mapstore || op->kind == DOP_mapread;
}

/* ---- deliberate ---- */

/* The last block that a file can have is where the kernel's direct I/O ends. */
static bool read_across_the_end(const struct dop *op)
{
	int64_t pos, len;

	if (!is_direct(op) || (op->kind != DOP_read && op->kind != DOP_pread))
		return false;
	pos = op->kind == DOP_read ? side_slot_position(op->h) : op->n[0];
	len = op->kind == DOP_read ? op->n[0] : op->n[1];
	return (uint64_t)pos + (uint64_t)len > side_max_size;
}

static bool rename_whiteout(const struct dop *op)
{
	return op->kind == DOP_rename && (op->n[0] & RENAME_WHITEOUT);
}

/* Setting all flags as numbers, extents among them. */
static bool set_all_flags(const struct dop *op)
{
	return op->kind == DOP_ioctl && op->n[0] == 1;
}

/* Extents for a file of a file system that has none. */
static bool set_extents(const struct dop *op)
{
	return set_all_flags(op) && (op->n[1] & FS_EXTENT_FL) && op->h >= 0 &&
			op->h < SIDE_SLOTS && !side_slots[op->h].extents;
}

/* How full the blocks of an indexed directory are. */
static bool index_blocks(const struct difference_case *c)
{
	uint64_t more = c->a > c->b ? c->a - c->b : c->b - c->a;

	if (c->linear || c->a == 0 || c->b == 0)
		return false;
	if (ends_with(c->field, "dir_size"))
		return c->a >= 2048 && c->b >= 2048 && more <= c->a / 2;
	/* With a node for its extents, if need be. */
	return !c->op && is_field(c, "blocks") && S_ISDIR(c->mode) &&
			(c->flags & FS_INDEX_FL) && more <= 40;
}

/* The kernel looks at alignment only where there is data. */
static bool odd_direct_read(const struct dop *op)
{
	if (!is_direct(op))
		return false;
	return op->kind == DOP_read ||
			(op->kind == DOP_pread &&
					(is_odd(op->n[0]) || is_odd(op->n[1])));
}

/* A direct write that fails for where it is: not as a device wants it, or past
 * the end of all files. */
static bool odd_write(const struct dop *op, bool *ret_beyond)
{
	int64_t pos, len;
	bool far;

	if (!is_direct(op))
		return false;
	if (op->kind == DOP_write)
		pos = side_slot_position(op->h), len = op->n[0];
	else if (op->kind == DOP_pwrite)
		pos = op->n[0], len = op->n[1];
	else
		return false;
	if (side_slots[op->h].flags & O_APPEND)
		pos = side_slot_size(op->h);
	far = (uint64_t)pos >= side_max_size;
	*ret_beyond = far || pos > INT64_MAX - len ||
			pos + len > side_slot_size(op->h);
	return far || is_odd(pos) || is_odd(len);
}

/* What is written then is read into pages first. */
static bool direct_copy(const struct dop *op)
{
	return op->kind == DOP_copy &&
			(is_direct(op) ||
					(op->g >= 0 && op->g < SIDE_SLOTS &&
							(side_slots[op->g].flags &
									O_DIRECT)));
}

static bool odd_write_inside(const struct dop *op)
{
	bool beyond;

	return odd_write(op, &beyond) && !beyond;
}

static bool odd_write_beyond(const struct dop *op)
{
	bool beyond;

	return odd_write(op, &beyond) && beyond;
}

/* Of a file with a block map. */
static bool fallocate_mapped(const struct dop *op)
{
	return op->kind == DOP_fallocate && op->h >= 0 && op->h < SIDE_SLOTS &&
			!side_slots[op->h].extents;
}

static bool size_of_removed(const struct difference_case *c)
{
	return c->op && ends_with(c->field, "dir_size") && c->a == 0;
}

/* ---- not promised by either ---- */

static bool closer_seek(const struct difference_case *c)
{
	return c->closer &&
			(is_kind(c, DOP_seek) ||
					(!c->op && is_field(c, "map")));
}

/* A node of the tree or two, of files and directories with extents. */
static bool tree_blocks(const struct difference_case *c)
{
	uint64_t more = c->a > c->b ? c->a - c->b : c->b - c->a;

	return !c->op && is_field(c, "blocks") &&
			(S_ISREG(c->mode) || S_ISDIR(c->mode)) &&
			(c->flags & FS_EXTENT_FL) && more <= 16;
}

/* The kernel allocates for the whole folio of its page cache, as large as its
 * readahead happened to make it; up to 2 MiB. */
static bool folio_blocks(const struct difference_case *c)
{
	return !c->op && (c->closer || c->writeback) && is_field(c, "blocks") &&
			S_ISREG(c->mode) && c->a > c->b && c->a - c->b <= 4096;
}

static bool page_blocks(const struct difference_case *c)
{
	return !c->op && c->whole_pages && S_ISREG(c->mode) &&
			(is_field(c, "map") ||
					(is_field(c, "blocks") && c->b > c->a));
}

/* ---- the list ---- */

const struct difference differences[] = {
	{ DIFF_WE_REFUSE, DIFF_OF_FUSE,
			"before Linux 6.2 O_TMPFILE is EOPNOTSUPP",
			"its FUSE does not carry it", NULL, tmpfile_call,
			EOPNOTSUPP, true },
	{ DIFF_WE_REFUSE, DIFF_OF_FUSE,
			"FALLOC_FL_COLLAPSE_RANGE, INSERT_RANGE and "
			"UNSHARE_RANGE are EOPNOTSUPP",
			"the kernel's FUSE refuses them", NULL, shifting_call,
			EOPNOTSUPP, false },
	{ DIFF_FIELD, DIFF_OF_FUSE,
			"before Linux 6.6 statx() has no birth time",
			"its FUSE does not carry it", birth_time, NULL, 0,
			true },
	{ DIFF_FIELD, DIFF_OF_FUSE,
			"stx_attributes does not tell immutable, append-only, "
			"nodump",
			"FUSE has no room for them; FS_IOC_GETFLAGS tells them",
			statx_attributes, NULL, 0, false },
	{ DIFF_FIELD, DIFF_OF_FUSE,
			"a read that the page cache answers does not move the "
			"atime",
			"the server does not see it", atime_of_cached, NULL, 0,
			false },
	{ DIFF_FIELD, DIFF_OF_FUSE,
			"a symlink that the kernel has cached does not move "
			"its "
			"atime",
			"the server does not see it", atime_of_symlink, NULL, 0,
			false },
	{ DIFF_FIELD, DIFF_OF_FUSE,
			"so the atime of files and symlinks may stay what it "
			"was set to",
			"the same", atime_later, NULL, 0, false },
	{ DIFF_FIELD, DIFF_OF_FUSE,
			"a page fault of a mapping may move the atime",
			"the server sees a read", atime_of_fault, NULL, 0,
			true },
	{ DIFF_FIELD, DIFF_OF_FUSE,
			"writing to a FIFO, and reading it, moves no times of "
			"its",
			"the kernel in front does it all", times_of_fifo, NULL,
			0, false },
	{ DIFF_FIELD, DIFF_OF_FUSE,
			"EPERM for immutable and append-only comes after other "
			"errors (EACCES, EINVAL, ENOENT, ENOTDIR, EISDIR, "
			"ENOTEMPTY, EXDEV, EOPNOTSUPP)",
			"the kernel in front does not know those flags",
			eperm_first, NULL, 0, false },
	{ DIFF_FIELD, DIFF_OF_FUSE,
			"copy_file_range() from the end of a file is 0, not "
			"EPERM or EFBIG, also into what is immutable, "
			"append-only or too far",
			"the same", copy_of_nothing, NULL, 0, true },
	{ DIFF_FIELD, DIFF_OF_FUSE,
			"removing a default ACL from what is no directory is "
			"no EPERM if it is immutable or append-only",
			"the same; it can have none", acl_of_none, NULL, 0,
			false },
	{ DIFF_FIELD, DIFF_OF_FUSE,
			"setting flags of another's FIFO is EPERM, not ENOTTY",
			"the kernel in front looks at the owner first",
			flags_of_others, NULL, 0, true },
	{ DIFF_KERNEL_REFUSES, DIFF_OF_FUSE,
			"access() to write to what is immutable is no EPERM",
			"the same; writing is EPERM", NULL, access_to_write,
			EPERM, false },
	{ DIFF_KERNEL_REFUSES, DIFF_OF_FUSE,
			"mmap() of an append-only file that was opened for "
			"writing before it became so is no EACCES",
			"the same", NULL, map_it, EACCES, false },
	{ DIFF_KERNEL_REFUSES, DIFF_OF_FUSE,
			"a store through a mapping that was there before the "
			"file became immutable is no SIGBUS; for a minute it "
			"reaches the file, later it is EPERM at msync()",
			"the same; what was stored before must not be lost",
			NULL, store_through_map, EPERM, false },
	{ DIFF_KERNEL_REFUSES, DIFF_OF_FUSE,
			"lseek() to where no file can reach is no EINVAL",
			"the kernel's FUSE knows no largest size", NULL,
			seek_far, EINVAL, false },
	{ DIFF_FIELD, DIFF_OF_FUSE, "statfs() says FUSE, not ext4",
			"so does every FUSE file system", statfs_type, NULL, 0,
			false },
	{ DIFF_WE_REFUSE, DIFF_DELIBERATE,
			"FS_IOC_SETFLAGS that changes whether a file has "
			"extents is EOPNOTSUPP",
			"files are not converted", NULL, set_all_flags,
			EOPNOTSUPP, false },
	{ DIFF_WE_REFUSE, DIFF_DELIBERATE,
			"FS_IOC_SETFLAGS that is EINVAL for asking for extents "
			"changes nothing",
			"the kernel has set the other flags by then", NULL,
			set_extents, EINVAL, false },
	{ DIFF_KERNEL_REFUSES, DIFF_OF_FUSE,
			"an O_DIRECT read into unaligned memory works",
			"FUSE copies", NULL, read_odd_memory, EINVAL, false },
	{ DIFF_LEFT_OUT, DIFF_OF_FUSE,
			"an O_DIRECT write from unaligned memory works",
			"FUSE copies", NULL, write_odd_memory, 0, false },
	{ DIFF_LEFT_OUT, DIFF_OF_FUSE,
			"copy_file_range() by O_DIRECT handles works wherever "
			"it begins",
			"the server copies; the kernel looks at the alignment "
			"of the pages in between, too",
			NULL, direct_copy, 0, false },
	{ DIFF_AVOIDED, DIFF_DELIBERATE,
			"equal extended attributes of several files take a "
			"block each",
			"blocks of them are not shared; the kernel's mount is "
			"asked not to, either (no_mbcache)",
			NULL, NULL, 0, false },
	{ DIFF_AVOIDED, DIFF_DELIBERATE,
			"SEEK_DATA finds what is not on the disk yet also "
			"behind a hole of a file without extents",
			"it is data; the kernel says ENXIO until it is "
			"written, "
			"and does not where its mount is asked not to delay "
			"allocation (nodelalloc)",
			NULL, NULL, 0, false },
	{ DIFF_WE_REFUSE, DIFF_DELIBERATE,
			"O_DIRECT reads at an unaligned position or of an "
			"unaligned length are EINVAL also in holes and beyond "
			"the end",
			"the same answer everywhere; the kernel looks at the "
			"alignment only where there is data",
			NULL, odd_direct_read, EINVAL, false },
	{ DIFF_KERNEL_REFUSES, DIFF_DELIBERATE,
			"an O_DIRECT read that goes on beyond the largest file "
			"there can be gives what there is",
			"as a cached read does; the kernel says EINVAL", NULL,
			read_across_the_end, EINVAL, true },
	{ DIFF_LEFT_OUT, DIFF_OF_FUSE,
			"chown(-1, -1) leaves setuid, setgid and ctime",
			"nothing is sent to the server", NULL, chown_nobody, 0,
			false },
	{ DIFF_WE_REFUSE, DIFF_DELIBERATE,
			"a rename with RENAME_WHITEOUT that is ENOTEMPTY moves "
			"no times of the directory",
			"nothing has changed", NULL, rename_whiteout, ENOTEMPTY,
			false },
	{ DIFF_WE_REFUSE, DIFF_DELIBERATE,
			"an O_DIRECT write that is EINVAL for its alignment "
			"leaves setuid, setgid and mtime",
			"the kernel has changed them by then; the capabilities "
			"go here, too, by the kernel in front",
			NULL, odd_write_inside, EINVAL, false },
	{ DIFF_LEFT_OUT, DIFF_OF_FUSE,
			"after an O_DIRECT write that failed beyond the end of "
			"a file its mtime moves and setuid goes",
			"the kernel in front cuts the file to its size again",
			NULL, odd_write_beyond, 0, false },
	{ DIFF_WE_REFUSE, DIFF_DELIBERATE,
			"fallocate() of a file without extents leaves setuid "
			"and mtime",
			"the kernel refuses it as well, but has changed them "
			"by "
			"then",
			NULL, fallocate_mapped, EOPNOTSUPP, false },
	{ DIFF_AVOIDED, DIFF_OF_FUSE,
			"with fs.protected_hardlinks a link to a file that a "
			"write took setuid or setgid from is EPERM until "
			"somebody looks at its attributes, by a name or open()",
			"the kernel in front goes by those it saw last", NULL,
			NULL, 0, false },
	{ DIFF_FIELD, DIFF_OF_FUSE, "FIGETBSZ is the size of a page",
			"the kernel answers it itself", block_size, NULL, 0,
			false },

	{ DIFF_FIELD, DIFF_DELIBERATE,
			"a removed directory that is still open has its size",
			"the kernel says 0; nothing depends on it",
			size_of_removed, NULL, 0, false },
	{ DIFF_FIELD, DIFF_OF_TESTER,
			"st_blocks of a file or directory with many extents "
			"may count a "
			"node "
			"of its tree more or less",
			"into how many extents a file falls depends on where "
			"its blocks lie",
			tree_blocks, NULL, 0, false },
	{ DIFF_FIELD, DIFF_OF_TESTER,
			"an indexed directory of several blocks may have some "
			"more or less",
			"where a full block is cut in two is free",
			index_blocks, NULL, 0, false },
	{ DIFF_FIELD, DIFF_OF_TESTER,
			"SEEK_DATA and SEEK_HOLE call space that was allocated "
			"and never written a hole",
			"the kernel does so unless it has some of it in its "
			"page cache, by chance",
			closer_seek, NULL, 0, false },
	{ DIFF_FIELD, DIFF_OF_TESTER,
			"st_blocks after a store through a mapping into a hole "
			"may be less",
			"the kernel allocates for all pages of a large folio "
			"of its page cache, by chance",
			folio_blocks, NULL, 0, true },
	{ DIFF_FIELD, DIFF_OF_FUSE,
			"with writeback_cache and blocks smaller than a page "
			"files have more blocks",
			"the kernel in front writes whole pages", page_blocks,
			NULL, 0, true },
};

const unsigned ndifferences = sizeof(differences) / sizeof(differences[0]);

int differences_field(const struct difference_case *c)
{
	unsigned i;

	for (i = 0; i < ndifferences; i++) {
		if (differences[i].how == DIFF_FIELD && differences[i].field(c))
			return (int)i;
	}
	return -1;
}

int differences_refusal(enum difference_how how, const struct dop *op, int err)
{
	unsigned i;

	for (i = 0; i < ndifferences; i++) {
		if (differences[i].how == how && differences[i].err == err &&
				differences[i].call && differences[i].call(op))
			return (int)i;
	}
	return -1;
}

int differences_left_out(const struct dop *op)
{
	return differences_refusal(DIFF_LEFT_OUT, op, 0);
}

bool differences_ask_us_first(const struct dop *op)
{
	unsigned i;

	for (i = 0; i < ndifferences; i++) {
		if (differences[i].how == DIFF_WE_REFUSE &&
				differences[i].call(op))
			return true;
	}
	return false;
}

/* ---- the page ---- */

static void print_part(enum difference_whose whose, const char *head, FILE *to)
{
	unsigned i;

	fprintf(to, "\n## %s\n\n| what | why |\n|---|---|\n", head);
	for (i = 0; i < ndifferences; i++) {
		if (differences[i].whose == whose)
			fprintf(to, "| %s | %s |\n", differences[i].what,
					differences[i].why);
	}
}

void differences_print(FILE *to)
{
	fputs("# What differs from the kernel's ext4\n\n"
	      "What tests/mount/diff allows to differ when it makes the same "
	      "random calls on a\nmount of the kernel's and on ours. Made by "
	      "`mount_diff --differences` "
	      "from\ntests/mount/diff/differences.c; "
	      "the test `t_mount_diff` fails when this page is\nnot what that "
	      "says, or when an entry is not met any more (but those that are "
	      "met by\nchance alone).\n",
			to);
	print_part(DIFF_OF_FUSE, "FUSE's", to);
	print_part(DIFF_DELIBERATE, "Deliberate", to);
	print_part(DIFF_OF_TESTER, "Not promised by either", to);
}
