/* SPDX-License-Identifier: MIT */
/*
 * The reason of a failure. See fault.h.
 */
#include "bench/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fault_set(struct fault *f, int err, const char *fmt, ...)
{
	va_list ap;

	if (f->text[0] != '\0')
		return err;
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	return err;
}

void fault_add(struct fault *f, const char *more)
{
	size_t len = strlen(f->text);

	if (len > 0)
		snprintf(f->text + len, sizeof(f->text) - len, " (%s)", more);
}
