/* SPDX-License-Identifier: MIT */
/*
 * Images by mke2fs. See image.h.
 */
#include "bench/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "uext4/uext4.h"

#include "bench/child.h"
#include "bench/content.h"

#define CHUNK (1u << 20)

/* ---- laying out ---- */

/* Images while they are written; chunks are numbered through all of them. */
struct layout {
	const struct image *images;
	unsigned n;
	int *fds;        /* of each image, -1: not open */
	uint32_t *order; /* of the chunks */
	uint32_t nchunks;
	uint8_t *zeroes;
};

static int layout_fail(const struct layout *l, unsigned i, struct fault *fault,
		int err)
{
	return fault_set(fault, err, "%s: %s", l->images[i].path,
			uext4_strerror(err));
}

static int layout_open(struct layout *l, struct fault *fault)
{
	unsigned i;

	for (i = 0; i < l->n; i++) {
		l->fds[i] = open(l->images[i].path,
				O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (l->fds[i] < 0 ||
				ftruncate(l->fds[i],
						(off_t)l->images[i].bytes) < 0)
			return layout_fail(l, i, fault, -errno);
	}
	return 0;
}

static int layout_write(
		const struct layout *l, uint32_t chunk, struct fault *fault)
{
	uint64_t pos = (uint64_t)chunk * CHUNK;
	size_t done = 0;
	unsigned i = 0;
	ssize_t n;

	for (; pos >= l->images[i].bytes; i++)
		pos -= l->images[i].bytes;
	while (done < CHUNK) {
		n = pwrite(l->fds[i], l->zeroes, CHUNK - done,
				(off_t)(pos + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return layout_fail(l, i, fault, n < 0 ? -errno : -EIO);
		done += (size_t)n;
	}
	return 0;
}

/* Written and durable; closed in any case. */
static int layout_close(struct layout *l, struct fault *fault)
{
	int ret = 0;
	unsigned i;

	for (i = 0; i < l->n; i++) {
		if (l->fds[i] < 0)
			continue;
		if (fsync(l->fds[i]) < 0 && ret == 0)
			ret = layout_fail(l, i, fault, -errno);
		close(l->fds[i]);
	}
	return ret;
}

static int layout_new(struct layout *l)
{
	uint64_t bytes = 0;
	unsigned i;

	for (i = 0; i < l->n; i++)
		bytes += l->images[i].bytes;
	l->nchunks = (uint32_t)(bytes / CHUNK);
	l->fds = malloc((l->n + 1) * sizeof(*l->fds));
	l->order = malloc((l->nchunks + (size_t)1) * sizeof(*l->order));
	l->zeroes = calloc(1, CHUNK);
	if (!l->fds || !l->order || !l->zeroes)
		return -ENOMEM;
	for (i = 0; i < l->n; i++)
		l->fds[i] = -1;
	return 0;
}

int image_lay_out(const struct image *images, unsigned n, uint64_t seed,
		const volatile sig_atomic_t *stop, struct fault *fault)
{
	struct layout l = { .images = images, .n = n };
	struct rng rng = { .state = seed };
	uint32_t i;
	int ret;
	int err;

	ret = layout_new(&l);
	if (ret < 0)
		goto out_free;
	rng_shuffle(&rng, l.order, l.nchunks);
	ret = layout_open(&l, fault);
	for (i = 0; i < l.nchunks && ret == 0; i++) {
		ret = layout_write(&l, l.order[i], fault);
		if (ret == 0 && *stop)
			ret = -EINTR;
	}
	err = layout_close(&l, fault);
	if (ret == 0)
		ret = err;
out_free:
	free(l.fds);
	free(l.order);
	free(l.zeroes);
	return ret;
}

/* ---- file systems ---- */

/* The first line of what a program said that is not its name and version. */
static const char *said_what(char *said)
{
	char *rest = NULL;
	char *line;

	for (line = strtok_r(said, "\n", &rest); line;
			line = strtok_r(NULL, "\n", &rest)) {
		if (strncmp(line, "Pass ", 5) != 0 &&
				strncmp(line, "e2fsck ", 7) != 0 &&
				strncmp(line, "mke2fs ", 7) != 0)
			return line;
	}
	return "it does not say why";
}

int image_make(const char *path, struct fault *fault)
{
	/* What is initialised lazily would be written during a job. */
	char *const argv[] = { (char[]){ "mke2fs" }, (char[]){ "-q" },
		(char[]){ "-F" }, (char[]){ "-t" }, (char[]){ "ext4" },
		(char[]){ "-b" }, (char[]){ "4096" }, (char[]){ "-E" },
		(char[]){ "nodiscard,lazy_itable_init=0,lazy_journal_init=0" },
		strdup(path), NULL };
	char said[512];
	int ret;

	if (!argv[9])
		return -ENOMEM;
	ret = child_run(argv, -1, -1, said, sizeof(said));
	if (ret == -ENOENT)
		(void)fault_set(fault, 0,
				"there is no mke2fs; install e2fsprogs");
	else if (ret > 0)
		ret = fault_set(fault, -EIO, "mke2fs %s: %s", path,
				said_what(said));
	free(argv[9]);
	return ret;
}

int image_check(const char *path, struct fault *fault)
{
	char *const argv[] = { (char[]){ "e2fsck" }, (char[]){ "-fn" },
		strdup(path), NULL };
	char said[4096];
	int ret;

	if (!argv[2])
		return -ENOMEM;
	ret = child_run(argv, -1, -1, said, sizeof(said));
	if (ret == -ENOENT)
		(void)fault_set(fault, 0,
				"there is no e2fsck; install e2fsprogs");
	else if (ret > 0)
		(void)fault_set(fault, 0, "e2fsck finds fault with %s: %s",
				path, said_what(said));
	free(argv[2]);
	return ret;
}
