/* SPDX-License-Identifier: MIT */
/*
 * How things look: names, modes, times; for people and as JSON.
 *
 * Names come from the image, so they are hostile: what a terminal would obey,
 * a line break among it, is shown as an escape and never sent.
 */
#ifndef UEXT4_CLI_SHOW_H
#define UEXT4_CLI_SHOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "uext4/uext4.h"

/* Is it UTF-8 without anything that acts on a terminal? */
bool show_is_plain(const char *s, size_t len);
bool show_is_utf8(const char *s, size_t len);
/* A name as it is, or quoted like a C string if it is not plain. */
void show_name(FILE *to, const char *s, size_t len);
/* A message: only what is not plain is escaped, and nothing is quoted. */
void show_message(FILE *to, const char *s);
/* "-rwxr-xr-x"; @ret has 11 bytes. */
void show_mode(uint32_t mode, char *ret);
/* "file", "directory", "symlink" ... */
const char *show_type(uint32_t mode);
/* Local time, with nanoseconds and zone if @full; @ret has 64 bytes. */
void show_time(const struct timespec *ts, bool full, char *ret);
/* "8765-4321-..." of 16 bytes; @ret has 37. */
void show_uuid(const uint8_t *uuid, char *ret);

/* JSON: objects are owned by the caller; NULL without memory. */
json_t *json_of_bytes(const void *bytes, size_t len);
json_t *json_of_time(const struct timespec *ts);
/* Set @key to the text, bytes that are no UTF-8 replaced, and then
 * "@key_hex" to all bytes. */
void json_set_text(json_t *o, const char *key, const void *bytes, size_t len);
void json_set_int(json_t *o, const char *key, uint64_t n);
void json_set_str(json_t *o, const char *key, const char *ascii);
void json_set_bool(json_t *o, const char *key, bool yes);
/* Attributes as stat and ls give them. */
json_t *json_of_stat(const struct uext4_stat *st);
/* Print and release. */
void json_show(json_t *o);

/* An array that is printed while it grows. */
struct json_list {
	bool any;
};
void json_list_start(struct json_list *l);
void json_list_add(struct json_list *l, json_t *o); /* released */
void json_list_end(struct json_list *l);

#endif /* UEXT4_CLI_SHOW_H */
