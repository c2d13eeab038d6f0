/* SPDX-License-Identifier: MIT */
/*
 * Where a partition lies: MBR with its chain of logical partitions, and GPT.
 *
 * Every number is the disk's and may be wrong: a partition must lie inside the
 * disk, and the chain of logical ones ends after PART_LOGICAL_MAX steps.
 *
 * MBR (sector 0): four entries of 16 bytes from byte 446, type at 4, first
 * sector at 8, sectors at 12, all little-endian; 0x55 0xaa at 510. Types 5, 0xf
 * and 0x85 hold a chain: entry 0 of each link is a logical partition relative
 * to the link, entry 1 the next link relative to the first. Logical ones are
 * numbered from 5. GPT (type 0xee): "EFI PART" in sector 1, first sector of the
 * table at 72, entries at 80, bytes an entry at 84; an entry has its type
 * (16 bytes, zero if unused), its first sector at 32 and its last at 40.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

#define SECTOR           512u
#define PART_LOGICAL_MAX 4096u
#define GPT_ENTRIES_MAX  65536u
#define GPT_ENTRY_MIN    128u
#define GPT_ENTRY_MAX    4096u

#define MBR_TYPE_GPT 0xee

/* The disk that is searched. */
struct disk {
	int fd;
	uint64_t size;
	uint32_t sector; /* unit of the numbers in a GPT */
};

struct mbr_entry {
	uint8_t type;
	uint64_t first, count; /* sectors */
};

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static int disk_read(const struct disk *d, uint64_t pos, void *buf, size_t len)
{
	uint8_t *at = buf;
	ssize_t n;

	if (pos > d->size || len > d->size - pos)
		return -ENXIO;
	while (len > 0) {
		n = pread(d->fd, at, len, (off_t)pos);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		at += n;
		pos += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* Sectors [first, first + count) of @unit bytes, as bytes inside the disk. */
static int disk_range(const struct disk *d, uint64_t first, uint64_t count,
		uint64_t unit, uint64_t *ret_offset, uint64_t *ret_len)
{
	uint64_t sectors = d->size / unit;

	if (count == 0)
		return -ENXIO;
	if (first == 0 || first > sectors || count > sectors - first)
		return -ERANGE;
	*ret_offset = first * unit;
	*ret_len = count * unit;
	return 0;
}

/* ---- MBR ---- */

static bool mbr_is_extended(uint8_t type)
{
	return type == 0x05 || type == 0x0f || type == 0x85;
}

/* The four entries of the table in sector @at; -ENXIO if there is none. */
static int mbr_read(const struct disk *d, uint64_t at, struct mbr_entry *ret_e)
{
	uint8_t s[SECTOR];
	int ret;
	int i;

	ret = disk_read(d, at * SECTOR, s, sizeof(s));
	if (ret < 0)
		return ret;
	if (s[510] != 0x55 || s[511] != 0xaa)
		return -ENXIO;
	for (i = 0; i < 4; i++) {
		const uint8_t *p = s + 446 + 16 * (size_t)i;

		ret_e[i].type = p[4];
		ret_e[i].first = get32(p + 8);
		ret_e[i].count = get32(p + 12);
	}
	return 0;
}

static int mbr_logical(const struct disk *d, uint64_t base, uint32_t n,
		uint64_t *ret_offset, uint64_t *ret_len)
{
	struct mbr_entry e[4];
	uint64_t at = base;
	uint32_t steps;
	int ret;

	for (steps = 0; steps < PART_LOGICAL_MAX; steps++) {
		ret = mbr_read(d, at, e);
		if (ret < 0)
			return ret;
		if (e[0].type != 0 && e[0].count != 0) {
			if (n == 0)
				return disk_range(d, at + e[0].first,
						e[0].count, SECTOR, ret_offset,
						ret_len);
			n--;
		}
		if (!mbr_is_extended(e[1].type) || e[1].first == 0)
			return -ENXIO;
		at = base + e[1].first;
	}
	return -ENXIO;
}

static int mbr_find(const struct disk *d, const struct mbr_entry *e, uint32_t n,
		uint64_t *ret_offset, uint64_t *ret_len)
{
	int i;

	if (n <= 4) {
		if (e[n - 1].type == 0 || mbr_is_extended(e[n - 1].type))
			return -ENXIO;
		return disk_range(d, e[n - 1].first, e[n - 1].count, SECTOR,
				ret_offset, ret_len);
	}
	for (i = 0; i < 4; i++) {
		if (mbr_is_extended(e[i].type))
			return mbr_logical(d, e[i].first, n - 5, ret_offset,
					ret_len);
	}
	return -ENXIO;
}

/* ---- GPT ---- */

/* Header in sector 1, of 512 or of 4096 bytes. */
static int gpt_read(struct disk *d, uint8_t *ret_head)
{
	static const uint32_t sizes[] = { 512, 4096 };
	size_t i;
	int ret;

	for (i = 0; i < 2; i++) {
		ret = disk_read(d, sizes[i], ret_head, SECTOR);
		if (ret < 0)
			return ret;
		if (memcmp(ret_head, "EFI PART", 8) == 0) {
			d->sector = sizes[i];
			return 0;
		}
	}
	return -ENXIO;
}

static int gpt_find(struct disk *d, uint32_t n, uint64_t *ret_offset,
		uint64_t *ret_len)
{
	static const uint8_t unused[16];
	uint8_t e[GPT_ENTRY_MIN];
	uint8_t head[SECTOR];
	uint64_t table;
	uint32_t size;
	int ret;

	ret = gpt_read(d, head);
	if (ret < 0)
		return ret;
	table = get64(head + 72);
	size = get32(head + 84);
	if (n > get32(head + 80) || n > GPT_ENTRIES_MAX)
		return -ENXIO;
	if (size < GPT_ENTRY_MIN || size > GPT_ENTRY_MAX || size % 8 != 0 ||
			table > d->size / d->sector)
		return -ERANGE;
	ret = disk_read(d, table * d->sector + (uint64_t)(n - 1) * size, e,
			sizeof(e));
	if (ret < 0)
		return ret;
	if (memcmp(e, unused, sizeof(unused)) == 0)
		return -ENXIO;
	if (get64(e + 40) < get64(e + 32) || get64(e + 40) == UINT64_MAX)
		return -ERANGE;
	return disk_range(d, get64(e + 32), get64(e + 40) - get64(e + 32) + 1,
			d->sector, ret_offset, ret_len);
}

/* ---- the door ---- */

static int disk_open(const char *image, struct disk *ret_d)
{
	struct disk d = { .sector = SECTOR };
	struct stat st;
	int ret = 0;

	d.fd = open(image, O_RDONLY | O_CLOEXEC);
	if (d.fd < 0)
		return -errno;
	if (fstat(d.fd, &st) < 0 ||
			(S_ISBLK(st.st_mode) &&
					ioctl(d.fd, BLKGETSIZE64, &d.size) < 0))
		ret = -errno;
	else if (S_ISDIR(st.st_mode))
		ret = -EISDIR;
	else if (S_ISREG(st.st_mode))
		d.size = (uint64_t)st.st_size;
	if (ret < 0) {
		close(d.fd);
		return ret;
	}
	*ret_d = d;
	return 0;
}

int cli_find_partition(const char *image, uint32_t n, uint64_t *ret_offset,
		uint64_t *ret_len)
{
	struct mbr_entry e[4];
	bool gpt = false;
	struct disk d;
	int ret;
	int i;

	ret = disk_open(image, &d);
	if (ret < 0)
		return ret;
	ret = mbr_read(&d, 0, e);
	for (i = 0; ret == 0 && i < 4; i++)
		gpt = gpt || e[i].type == MBR_TYPE_GPT;
	if (ret == 0 && gpt)
		ret = gpt_find(&d, n, ret_offset, ret_len);
	else if (ret == 0)
		ret = mbr_find(&d, e, n, ret_offset, ret_len);
	close(d.fd);
	return ret;
}
