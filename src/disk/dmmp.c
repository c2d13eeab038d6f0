/* SPDX-License-Identifier: MIT */
/*
 * The MMP block. Layout by the kernel's documentation, ext4/mmp.rst; the two
 * special sequences and what the checksum takes in were seen on images.
 */
#include "disk/dmmp.h"

#include <string.h>

#include "base/csum.h"
#include "base/le.h"
#include "disk/geo.h"

#define OFF_MAGIC    0x0u
#define OFF_SEQ      0x4u
#define OFF_TIME     0x8u
#define OFF_NODE     0x10u
#define OFF_SPARE    (OFF_NODE + DMMP_NODE_MAX + 1)
#define OFF_DEVICE   0x50u
#define OFF_CHECK    0x70u
#define OFF_CHECKSUM 0x3FCu

#define NODE_LEN   64u
#define DEVICE_LEN 32u

int dmmp_check(const struct geo *geo, const void *raw, const char **ret_why)
{
	const uint8_t *p = (const uint8_t *)raw;
	const char *why = NULL;
	int ret = 0;

	if (get_le32(p + OFF_MAGIC) != DMMP_MAGIC) {
		why = "no magic number";
		ret = -UEXT4_ECORRUPT;
	} else if (geo_has_csum(geo) &&
			crc32c(geo->csum_seed, p, OFF_CHECKSUM) !=
					get_le32(p + OFF_CHECKSUM)) {
		why = "its checksum does not match";
		ret = -UEXT4_EBADCSUM;
	}
	if (why && ret_why)
		*ret_why = why;
	return ret;
}

/* The text of a field of @len bytes; whatever a terminal might obey is '?'. */
static void get_text(const uint8_t *p, size_t len, char *ret_text)
{
	size_t i;

	for (i = 0; i < len && p[i] != 0; i++)
		ret_text[i] = p[i] >= ' ' && p[i] < 0x7f ? (char)p[i] : '?';
	ret_text[i] = '\0';
}

/* With its final zero; what stands behind that stays. */
static void put_text(uint8_t *p, const char *text, size_t max)
{
	size_t len = strnlen(text, max);

	memcpy(p, text, len);
	p[len] = 0;
}

void dmmp_decode(const void *raw, struct dmmp *ret_mmp)
{
	const uint8_t *p = (const uint8_t *)raw;

	ret_mmp->seq = get_le32(p + OFF_SEQ);
	ret_mmp->time = get_le64(p + OFF_TIME);
	ret_mmp->check_interval = get_le16(p + OFF_CHECK);
	get_text(p + OFF_NODE, NODE_LEN, ret_mmp->node);
	get_text(p + OFF_DEVICE, DEVICE_LEN, ret_mmp->device);
}

void dmmp_encode(const struct geo *geo, const struct dmmp *mmp, void *raw)
{
	uint8_t *p = (uint8_t *)raw;

	put_le32(p + OFF_SEQ, mmp->seq);
	put_le64(p + OFF_TIME, mmp->time);
	put_le16(p + OFF_CHECK, mmp->check_interval);
	put_text(p + OFF_NODE, mmp->node, DMMP_NODE_MAX);
	put_text(p + OFF_DEVICE, mmp->device, DMMP_DEVICE_MAX);
	if (geo_has_csum(geo))
		crc32c_keep(geo->csum_seed, p, OFF_CHECKSUM, OFF_SPARE,
				get_le32(p + OFF_CHECKSUM));
}
