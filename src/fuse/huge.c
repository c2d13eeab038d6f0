/* SPDX-License-Identifier: MIT */
/* Memory in huge pages. See huge.h. */
#include "fuse/huge.h"

#include <sys/mman.h>

/* Linux 5.14 and 6.1; before, they are refused. */
#ifndef MADV_POPULATE_WRITE
# define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
# define MADV_COLLAPSE 25
#endif

bool huge_make(void *mem, size_t len)
{
	size_t at;

	/* Where there is no page at all there is nothing to collapse. */
	for (at = 0; at < len; at += HUGE_PAGE) {
		if (madvise((char *)mem + at, 1, MADV_POPULATE_WRITE) < 0)
			return false;
	}
	return madvise(mem, len, MADV_COLLAPSE) == 0;
}
