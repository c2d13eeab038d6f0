/* SPDX-License-Identifier: MIT */
/*
 * Error numbers in words. strerror() need not be safe in threads; what glibc
 * has beside it is, and answers constants.
 */
#include "base/err.h"

#include <string.h>

const char *err_text(int err)
{
	const char *text;

	if (err < 0)
		err = -err;
#ifdef __GLIBC__
	text = strerrordesc_np(err);
#else
	text = strerror(err); /* NOLINT(concurrency-mt-unsafe) */
#endif
	return text ? text : "unknown error";
}
