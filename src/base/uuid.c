/* SPDX-License-Identifier: MIT */
/*
 * UUIDs to text and back.
 */
#include "base/uuid.h"

#include <errno.h>
#include <string.h>

static bool uuid_dash_before(unsigned byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void uuid_format(const uint8_t uuid[UUID_LEN], char ret_text[UUID_TEXT_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	char *p = ret_text;

	for (unsigned i = 0; i < UUID_LEN; i++) {
		if (uuid_dash_before(i))
			*p++ = '-';
		*p++ = digits[uuid[i] >> 4];
		*p++ = digits[uuid[i] & 15];
	}
	*p = '\0';
}

static int uuid_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int uuid_parse(const char *text, uint8_t ret_uuid[UUID_LEN])
{
	uint8_t uuid[UUID_LEN];

	if (strlen(text) != UUID_TEXT_LEN)
		return -EINVAL;
	for (unsigned i = 0; i < UUID_LEN; i++) {
		int hi, lo;

		if (uuid_dash_before(i) && *text++ != '-')
			return -EINVAL;
		hi = uuid_digit(*text++);
		lo = uuid_digit(*text++);
		if (hi < 0 || lo < 0)
			return -EINVAL;
		uuid[i] = (uint8_t)(hi << 4 | lo);
	}
	memcpy(ret_uuid, uuid, sizeof(uuid));
	return 0;
}

bool uuid_is_null(const uint8_t uuid[UUID_LEN])
{
	static const uint8_t null[UUID_LEN];

	return memcmp(uuid, null, sizeof(null)) == 0;
}
