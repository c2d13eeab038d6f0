/* SPDX-License-Identifier: MIT */
/*
 * What direct writes by a queue do not do: an overwrite writes nothing into the
 * inode and takes no memory, and an append does not wait in submit.
 *
 * The inode stands in pages of its own (calloc() here sees to it), and these are
 * read-only while the file is overwritten: whoever takes a lock of it, counts
 * himself in or sets a flag is caught, whatever he puts back afterwards. Waits are
 * the calls of the C library that sleep, counted in the thread that submits.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bdev/bdev.h"
#include "env.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "inode/inode.h"

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) &&                    \
		!defined(__SANITIZE_THREAD__)

# define PAGE   4096u
# define BS     4096u
# define NWRITE 1000
# define RW     (UEXT4_O_RDWR | UEXT4_O_CREAT)
# define DIRECT (RW | UEXT4_O_DIRECT)

/* ---- what is counted ---- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);

static _Thread_local bool is_counting;
static atomic_uint n_mallocs, n_waits;

void *malloc(size_t size)
{
	if (is_counting)
		atomic_fetch_add(&n_mallocs, 1);
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	void *p;

	if (is_counting)
		atomic_fetch_add(&n_mallocs, 1);
	if (n != 1 || size != sizeof(struct inode))
		return __libc_calloc(n, size);
	size = (size + PAGE - 1) / PAGE * PAGE;
	p = aligned_alloc(PAGE, size);
	if (p != NULL)
		memset(p, 0, size);
	return p;
}

static void count_wait(void)
{
	if (is_counting)
		atomic_fetch_add(&n_waits, 1);
}

/* There is an older one of each name, which dlsym() may find. */
static void *real_call(const char *name)
{
	void *p = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");

	return p != NULL ? p : dlsym(RTLD_NEXT, name);
}

int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
	static int (*real)(pthread_cond_t * c, pthread_mutex_t * m);

	if (real == NULL)
		*(void **)&real = real_call("pthread_cond_wait");
	count_wait();
	return real(c, m);
}

int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m,
		const struct timespec *abstime)
{
	static int (*real)(pthread_cond_t * c, pthread_mutex_t * m,
			const struct timespec *abstime);

	if (real == NULL)
		*(void **)&real = real_call("pthread_cond_timedwait");
	count_wait();
	return real(c, m, abstime);
}

int nanosleep(const struct timespec *t, struct timespec *rest)
{
	count_wait();
	return clock_nanosleep(CLOCK_MONOTONIC, 0, t, rest) ? -1 : 0;
}

/* ---- a mount in RAM ---- */

struct ram {
	struct env e;
	struct bdev *dev;
	void *mem;
	size_t size;
};

static struct timespec now_fixed(void *ctx)
{
	(void)ctx;
	return (struct timespec){ .tv_sec = 1700000000 };
}

static void ram_open(struct ram *r)
{
	struct uext4_mount_opts opts = {
		.size = sizeof(opts),
		.flags = UEXT4_MNT_NOTHREAD,
		.now = now_fixed,
	};
	struct stat st;
	int fd;

	memset(r, 0, sizeof(*r));
	env_image(&r->e, env_profile_find("ext4-4k-full"), NULL);
	fd = open(r->e.img, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	r->size = (size_t)st.st_size;
	r->mem = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(r->mem != MAP_FAILED);
	close(fd);
	assert_int_equal(bdev_mem_open(r->mem, r->size, 0, &r->dev), 0);
	assert_int_equal(fs_mount(r->dev, true, &opts, &r->e.fs), 0);
}

static void ram_close(struct ram *r)
{
	assert_int_equal(uext4_unmount(r->e.fs), 0);
	r->e.fs = NULL;
	munmap(r->mem, r->size);
	env_judge(&r->e);
	env_free(&r->e);
}

static struct uext4_queue *open_queue(struct uext4_fs *fs, unsigned depth,
		enum uext4_queue_backend backend)
{
	struct uext4_queue_opts o = {
		.size = sizeof(o), .depth = depth, .backend = backend
	};
	struct uext4_queue *q = NULL;
	int ret;

	ret = uext4_queue_open(fs, &o, &q);
	assert_true(ret == 0 || ret == -EOPNOTSUPP);
	return q;
}

static int submit_one(struct uext4_queue *q, struct uext4_file *f, uint64_t pos,
		void *buf, size_t len, unsigned rwf)
{
	struct uext4_sqe sqe = {
		.op = UEXT4_OP_WRITE,
		.flags = rwf,
		.file = f,
		.pos = pos,
		.buf = buf,
		.len = len,
	};

	assert_int_equal(uext4_queue_prep(q, &sqe), 0);
	return uext4_queue_submit(q);
}

/* ---- overwrites ---- */

static struct {
	uint8_t *page;
	size_t len;
	atomic_uint hits;
	size_t at; /* of the first, in the inode */
} watch;

static void on_write(int sig, siginfo_t *info, void *ctx)
{
	uint8_t *at = info->si_addr;

	(void)ctx;
	if (at < watch.page || at >= watch.page + watch.len) {
		(void)signal(sig, SIG_DFL);
		return;
	}
	if (atomic_fetch_add(&watch.hits, 1) == 0)
		watch.at = (size_t)(at - watch.page);
	/* It may go on. */
	(void)mprotect(watch.page, watch.len, PROT_READ | PROT_WRITE);
}

static void watch_begin(struct inode *inode)
{
	struct sigaction sa = { .sa_sigaction = on_write,
		.sa_flags = SA_SIGINFO };

	watch.page = (uint8_t *)inode;
	watch.len = (sizeof(*inode) + PAGE - 1) / PAGE * PAGE;
	atomic_store(&watch.hits, 0);
	assert_int_equal((uintptr_t)inode % PAGE, 0);
	assert_int_equal(sigaction(SIGSEGV, &sa, NULL), 0);
	assert_int_equal(mprotect(watch.page, watch.len, PROT_READ), 0);
}

static unsigned watch_end(void)
{
	(void)signal(SIGSEGV, SIG_DFL);
	assert_int_equal(
			mprotect(watch.page, watch.len, PROT_READ | PROT_WRITE),
			0);
	return atomic_load(&watch.hits);
}

/* @n writes of one block at different places, each waited for. */
static void overwrite(struct uext4_queue *q, struct uext4_file *f, void *buf,
		unsigned n)
{
	struct uext4_event ev;

	for (unsigned i = 0; i < n; i++) {
		uint64_t pos = (uint64_t)(i * 7 % 64) * BS;

		assert_int_equal(submit_one(q, f, pos, buf, BS, 0), 1);
		assert_int_equal(uext4_queue_wait(q, 1, -1, &ev, 1), 1);
		assert_int_equal(ev.result, BS);
	}
}

static void overwrites_write_nothing_into_the_inode(void **state)
{
	struct uext4_queue *q;
	struct uext4_file *f;
	unsigned hits;
	struct ram r;
	void *buf;

	ram_open(&r);
	f = env_open(&r.e, "/f", DIRECT);
	env_fill(f, 0, 64 * BS, 'a');
	assert_int_equal(uext4_fsync(f), 0);
	q = open_queue(r.e.fs, 8, UEXT4_QUEUE_INLINE);
	buf = env_alloc(BS, 'b');
	overwrite(q, f, buf, 64);

	atomic_store(&n_mallocs, 0);
	atomic_store(&n_waits, 0);
	watch_begin(f->inode);
	is_counting = true;
	overwrite(q, f, buf, NWRITE);
	is_counting = false;
	hits = watch_end();
	if (hits > 0)
		fail_msg("byte %zu of the inode was written (rwsem at %zu, "
			 "attr_lock %zu, map %zu, file %zu)",
				watch.at, offsetof(struct inode, rwsem),
				offsetof(struct inode, attr_lock),
				offsetof(struct inode, map),
				offsetof(struct inode, file));
	assert_int_equal(atomic_load(&n_mallocs), 0);
	assert_int_equal(atomic_load(&n_waits), 0);
	env_expect(f, 0, 64 * BS, 'b');

	/* A synchronous call is seen: the watch works. */
	watch_begin(f->inode);
	env_fill(f, 0, BS, 'c');
	assert_true(watch_end() > 0);
	free(buf);
	uext4_queue_close(q);
	env_close(f);
	ram_close(&r);
}

/* ---- appends ---- */

# define DEPTH   3
# define NAPPEND 3000u

static void appends_on(enum uext4_queue_backend backend)
{
	struct rusage before, after;
	struct uext4_event ev[DEPTH];
	struct uext4_file *f;
	struct uext4_queue *q;
	long switches = 0;
	struct env e;
	void *buf;

	env_image(&e, env_profile_find("ext4-4k-full"), NULL);
	e.flags |= UEXT4_MNT_NOTHREAD;
	env_mount(&e);
	f = env_open(&e, "/f", DIRECT);
	q = open_queue(e.fs, DEPTH, backend);
	if (q == NULL) {
		printf("# skip: io_uring is refused here\n");
		env_close(f);
		env_end(&e);
		return;
	}
	buf = env_alloc(BS, 'a');
	atomic_store(&n_waits, 0);
	for (unsigned i = 0; i < NAPPEND; i++) {
		if (uext4_queue_pending(q) == DEPTH)
			assert_true(uext4_queue_wait(q, 1, -1, ev, DEPTH) > 0);
		(void)getrusage(RUSAGE_THREAD, &before);
		is_counting = true;
		assert_int_equal(submit_one(q, f, 0, buf, BS, UEXT4_RW_APPEND),
				1);
		is_counting = false;
		(void)getrusage(RUSAGE_THREAD, &after);
		switches += after.ru_nvcsw - before.ru_nvcsw;
	}
	while (uext4_queue_pending(q) > 0)
		assert_true(uext4_queue_wait(q, 1, -1, ev, DEPTH) > 0);
	printf("# %s, depth %d: %u appends, %ld voluntary context switches and "
	       "%u waits in submit\n",
			uext4_queue_backend_name(q), DEPTH, NAPPEND, switches,
			atomic_load(&n_waits));
	assert_int_equal(atomic_load(&n_waits), 0);
	assert_int_equal(env_size(f), NAPPEND * BS);
	free(buf);
	uext4_queue_close(q);
	env_close(f);
	env_end(&e);
}

static void appends_do_not_wait_in_submit(void **state)
{
	appends_on(UEXT4_QUEUE_INLINE);
	appends_on(UEXT4_QUEUE_URING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(overwrites_write_nothing_into_the_inode),
		cmocka_unit_test(appends_do_not_wait_in_submit),
	};

	if (!env_tools())
		return 77;
	return cmocka_run_group_tests_name("dio quiet", tests, NULL, NULL);
}

#else

int main(void)
{
	printf("skip: the sanitizer owns malloc()\n");
	return 77;
}

#endif
