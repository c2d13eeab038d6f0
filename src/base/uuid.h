/* SPDX-License-Identifier: MIT */
/*
 * UUIDs as text: 8-4-4-4-12 lower-case hexadecimal digits.
 */
#ifndef UEXT4_BASE_UUID_H
#define UEXT4_BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

#define UUID_LEN      16
#define UUID_TEXT_LEN 36

/* The text of @uuid with its final zero. */
void uuid_format(
		const uint8_t uuid[UUID_LEN], char ret_text[UUID_TEXT_LEN + 1]);
/* -EINVAL if @text is not one; either case of letters. */
int uuid_parse(const char *text, uint8_t ret_uuid[UUID_LEN]);
bool uuid_is_null(const uint8_t uuid[UUID_LEN]);

#endif /* UEXT4_BASE_UUID_H */
