/* SPDX-License-Identifier: MIT */
/*
 * Mapping of users and groups. See idmap.h.
 */
#include "fuse/idmap.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

static bool overlap(uint32_t a, uint32_t na, uint32_t b, uint32_t nb)
{
	return (uint64_t)a < (uint64_t)b + nb && (uint64_t)b < (uint64_t)a + na;
}

int idmap_add(struct idmap *m, uint32_t host, uint32_t image, uint32_t count)
{
	unsigned i;

	if (count == 0 || (uint64_t)host + count > IDMAP_NONE ||
			(uint64_t)image + count > IDMAP_NONE)
		return -EINVAL;
	if (m->n == IDMAP_RANGES)
		return -E2BIG;
	for (i = 0; i < m->n; i++) {
		if (overlap(host, count, m->range[i].host, m->range[i].count) ||
				overlap(image, count, m->range[i].image,
						m->range[i].count))
			return -EINVAL;
	}
	m->range[m->n].host = host;
	m->range[m->n].image = image;
	m->range[m->n].count = count;
	m->n++;
	return 0;
}

static int parse_number(const char **text, uint32_t *ret)
{
	unsigned long n;
	char *end;

	if (!isdigit((unsigned char)**text))
		return -EINVAL;
	errno = 0;
	n = strtoul(*text, &end, 10);
	if (errno != 0 || n >= IDMAP_NONE)
		return -EINVAL;
	*text = end;
	*ret = (uint32_t)n;
	return 0;
}

int idmap_parse(struct idmap *m, const char *text)
{
	uint32_t host;
	uint32_t image;
	uint32_t count;
	int ret;

	for (;; text++) {
		count = 1;
		if (parse_number(&text, &host) < 0 || *text++ != ':' ||
				parse_number(&text, &image) < 0)
			return -EINVAL;
		if (*text == ':') {
			text++;
			if (parse_number(&text, &count) < 0)
				return -EINVAL;
		}
		ret = idmap_add(m, host, image, count);
		if (ret < 0)
			return ret;
		if (*text == '\0')
			return 0;
		if (*text != '+')
			return -EINVAL;
	}
}

uint32_t idmap_to_image(const struct idmap *m, uint32_t host)
{
	bool taken = false;
	unsigned i;

	for (i = 0; i < m->n; i++) {
		if (host - m->range[i].host < m->range[i].count)
			return host - m->range[i].host + m->range[i].image;
		if (host - m->range[i].image < m->range[i].count)
			taken = true;
	}
	return taken ? IDMAP_NONE : host;
}

uint32_t idmap_to_host(const struct idmap *m, uint32_t image)
{
	bool taken = false;
	unsigned i;

	for (i = 0; i < m->n; i++) {
		if (image - m->range[i].image < m->range[i].count)
			return image - m->range[i].image + m->range[i].host;
		if (image - m->range[i].host < m->range[i].count)
			taken = true;
	}
	return taken ? IDMAP_NOBODY : image;
}
