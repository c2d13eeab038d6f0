/* SPDX-License-Identifier: MIT */
/*
 * Fuzz the checker of tests/check: the input is the image. Start libFuzzer
 * with a few images of mke2fs (64 KiB and more) as its corpus.
 */
#include "check/check.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int see_entry(void *ctx, const struct check_entry *entry)
{
	const struct check_dev *dev = ctx;
	char buf[500];

	if (check_read_ino(dev, entry->st.ino, entry->st.size / 2, buf,
			    sizeof(buf)) > (int64_t)sizeof(buf))
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct check_dev dev = { .map = data, .size = size };
	struct check_opts opts = { .flags = CHECK_F_CANARY | CHECK_F_ORPHANS };
	struct check_report rep;

	if (check_fs(&dev, NULL, &rep) == 1 && rep.kept == 0)
		abort();
	check_fs(&dev, &opts, &rep);
	check_walk(&dev, see_entry, &dev);
	return 0;
}
