/* SPDX-License-Identifier: MIT */
/* Copies through a mapping. See mapcopy.h. */
#include "bdev/mapcopy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"

#define CHUNK_BITS  21
#define CHUNK_BYTES (UINT64_C(1) << CHUNK_BITS)
#define PAGE_BYTES  4096u
/* The counts of larger files are larger than what they would save. */
#define FILE_MAX    (UINT64_C(1) << 42)
/* From here on the kernel's copy costs less than pwrite(). */
#define WRITE_MIN   65536u

/* States of a chunk; below them is a count of bytes. */
#define CHUNK_LOOKING (UINT32_MAX - 1)
#define CHUNK_READY   UINT32_MAX

#ifndef MADV_POPULATE_READ
# define MADV_POPULATE_READ  22
# define MADV_POPULATE_WRITE 23
#endif

/* Where a copy of this thread goes on when it cannot (MC3). */
static _Thread_local sigjmp_buf *volatile copying;

void mapcopy_fault(void)
{
	sigset_t bus;

	if (!copying)
		return;
	/* The handler does not return, which would have done this. */
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	(void)pthread_sigmask(SIG_UNBLOCK, &bus, NULL);
	siglongjmp(*copying, 1);
}

/* ---- chunks ---- */

/* Is every page there? Only asked, nothing is touched (MC1). */
static bool has_all_pages(struct mapcopy *mc, uint64_t pos, size_t len)
{
	unsigned char there[CHUNK_BYTES / PAGE_BYTES];
	size_t pages = (size_t)sysconf(_SC_PAGESIZE);
	size_t n = (len + pages - 1) / pages;
	size_t i;

	if (mincore(mc->map + pos, len, there) < 0)
		return false;
	for (i = 0; i < n && (there[i] & 1); i++)
		;
	return i == n;
}

static void look_at(struct mapcopy *mc, uint64_t i)
{
	uint64_t pos = i << CHUNK_BITS;
	size_t len = (size_t)min_u64(CHUNK_BYTES, mc->size - pos);
	uint32_t looking = CHUNK_LOOKING;

	if (!has_all_pages(mc, pos, len)) {
		atomic_compare_exchange_strong(&mc->chunk[i], &looking, 0);
		return;
	}
	/* All at once costs less than a fault for each; what this does not do
	 * they will. */
	(void)madvise(mc->map + pos, len,
			mc->read_only ? MADV_POPULATE_READ
				      : MADV_POPULATE_WRITE);
	/* Punched meanwhile, it is not LOOKING any more. */
	atomic_compare_exchange_strong(&mc->chunk[i], &looking, CHUNK_READY);
}

/* @len bytes of chunk @i go by, not through the mapping. */
static void count(struct mapcopy *mc, uint64_t i, size_t len)
{
	uint32_t was = atomic_load_explicit(
			&mc->chunk[i], memory_order_relaxed);
	uint32_t now = was + (uint32_t)len;

	if (was >= CHUNK_LOOKING)
		return;
	if (now >= CHUNK_BYTES)
		now = CHUNK_LOOKING;
	/* One that others count in at the same time misses little. */
	if (atomic_compare_exchange_strong(&mc->chunk[i], &was, now) &&
			now == CHUNK_LOOKING)
		look_at(mc, i);
}

/* May all of a range be touched? Counts it if not. */
static bool is_ready(struct mapcopy *mc, uint64_t pos, size_t len)
{
	uint64_t end = pos + len;
	bool ready = true;
	uint64_t at;
	uint64_t next;

	for (at = pos; at < end; at = next) {
		uint64_t i = at >> CHUNK_BITS;

		next = min_u64((i + 1) << CHUNK_BITS, end);
		if (atomic_load_explicit(&mc->chunk[i], memory_order_relaxed) ==
				CHUNK_READY)
			continue;
		ready = false;
		count(mc, i, (size_t)(next - at));
	}
	return ready;
}

void mapcopy_punched(struct mapcopy *mc, uint64_t pos, uint64_t len)
{
	uint64_t i;

	if (len == 0)
		return;
	for (i = pos >> CHUNK_BITS; i <= (pos + len - 1) >> CHUNK_BITS; i++)
		atomic_store(&mc->chunk[i], 0);
}

/* ---- copies ---- */

static bool copy(void *dst, const void *src, size_t len)
{
	sigjmp_buf env;

	if (sigsetjmp(env, 0) != 0) {
		copying = NULL;
		return false;
	}
	copying = &env;
	atomic_signal_fence(memory_order_seq_cst);
	memcpy(dst, src, len);
	atomic_signal_fence(memory_order_seq_cst);
	copying = NULL;
	return true;
}

size_t mapcopy_read(struct mapcopy *mc, uint64_t pos, void *buf, size_t len)
{
	if (!is_ready(mc, pos, len))
		return 0;
	return copy(buf, mc->map + pos, len) ? len : 0;
}

size_t mapcopy_write(
		struct mapcopy *mc, uint64_t pos, const void *buf, size_t len)
{
	struct iovec to = { .iov_base = mc->map + pos, .iov_len = len };
	struct iovec from = { .iov_len = len };
	ssize_t n;

	if (len < WRITE_MIN || !atomic_load(&mc->can_write) ||
			!is_ready(mc, pos, len))
		return 0;
	memcpy(&from.iov_base, &buf, sizeof(buf)); /* is only read from */
	n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
	if (n >= 0)
		return (size_t)n;
	if (errno == ENOSYS || errno == EPERM || errno == EACCES)
		atomic_store(&mc->can_write, false);
	return 0;
}

/* ---- opening ---- */

static bool is_memory(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 &&
			(fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* Whose file it is not, and who may not write it, mincore() tells that every page
 * is there. */
static bool may_ask(int fd)
{
	struct stat st;

	return (fstat(fd, &st) == 0 && st.st_uid == geteuid()) ||
			faccessat(fd, "", W_OK, AT_EMPTY_PATH | AT_EACCESS) ==
			0;
}

int mapcopy_open(int fd, uint64_t size, bool read_only, struct mapcopy **ret_mc)
{
	int prot = PROT_READ | (read_only ? 0 : PROT_WRITE);
	struct mapcopy *mc;
	void *at;

	if (!is_memory(fd) || !may_ask(fd) || size == 0 || size > FILE_MAX)
		return -EOPNOTSUPP;
	mc = calloc(1, sizeof(*mc));
	if (!mc)
		return -ENOMEM;
	mc->chunk = calloc(((size - 1) >> CHUNK_BITS) + 1, sizeof(*mc->chunk));
	if (!mc->chunk) {
		free(mc);
		return -ENOMEM;
	}
	at = mmap(NULL, size, prot, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) {
		free(mc->chunk);
		free(mc);
		return -EOPNOTSUPP;
	}
	mc->map = at;
	mc->size = size;
	mc->read_only = read_only;
	atomic_init(&mc->can_write, !read_only);
	*ret_mc = mc;
	return 0;
}

void mapcopy_close(struct mapcopy *mc)
{
	if (!mc)
		return;
	(void)munmap(mc->map, mc->size);
	free(mc->chunk);
	free(mc);
}
