/* SPDX-License-Identifier: MIT */
/*
 * The bugs of docs/dio-bugs.md, each twice: see dio_bugs.h.
 */
#include "dio_bugs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/fs.h"

#ifdef NDEBUG
int main(void)
{
	return 77; /* rules cannot be switched off */
}
#else

static void scene_gate(void *ctx, uint64_t pos, const char *at)
{
	struct scene *s = ctx;

	if (s->act == NULL || s->acted || strcmp(at, s->at) != 0)
		return;
	s->acted = true;
	s->act(s);
}

void scene_at(struct scene *s, const char *at, void (*act)(struct scene *s))
{
	s->at = at;
	s->act = act;
	s->acted = false;
}

struct uext4_file *scene_cached(struct scene *s)
{
	return env_open(&s->b.e, "/f", UEXT4_O_RDWR);
}

bool differs(struct uext4_file *f, uint64_t pos, size_t len, int byte)
{
	uint8_t *got = env_alloc(len, ~byte);
	bool same = uext4_pread(f, got, len, pos) == (ssize_t)len;

	for (size_t i = 0; same && i < len; i++)
		same = got[i] == (uint8_t)byte;
	free(got);
	return !same;
}

struct uext4_file *take_all(struct scene *s, const char *path)
{
	struct uext4_file *f = env_open(&s->b.e, path, DIRECT);
	size_t len = 1 << 20;
	uint8_t *buf = env_alloc(len, 'g');
	uint64_t pos = 0;

	while (len >= s->b.e.bs) {
		ssize_t n = uext4_pwrite(f, buf, len, pos);

		if (n > 0)
			pos += (uint64_t)n;
		else
			len /= 2;
	}
	free(buf);
	return f;
}

struct map_run scene_run(struct scene *s, uint64_t pos)
{
	struct inode *inode = s->f->inode;
	struct map_run run;

	assert_int_equal(map_find(&inode->map,
					 (lblk_t)(pos >> inode->file.blkbits),
					 1, &run),
			0);
	return run;
}

static void scene_open(struct scene *s)
{
	s->f = env_open(&s->b.e, "/f", DIRECT);
	s->f->inode->file.gate = scene_gate;
	s->f->inode->file.gate_ctx = s;
	atomic_store(&s->f->inode->file.lacks, s->lacks);
}

void scene_cut(struct scene *s)
{
	atomic_store(&s->f->inode->file.lacks, 0);
	s->f->inode->file.gate = NULL;
	env_close(s->f);
	bug_cut(&s->b);
	bug_mount(&s->b);
	s->f = env_open(&s->b.e, "/f", UEXT4_O_RDWR);
}

static bool play(const struct bug_case *c, uint32_t lacks)
{
	struct scene s = { .lacks = lacks };
	bool damaged;

	bug_image(&s.b, c->profile != NULL ? c->profile : "ext4-4k-full",
			"24M");
	s.b.emu.flags = c->emu;
	s.b.opts.dio_alloc = c->alloc;
	bug_mount(&s.b);
	bug_poison(&s.b);
	assert_int_equal(env_create(&s.b.e, "/f", 0644), 0);
	assert_int_equal(uext4_sync(s.b.e.fs), 0);
	assert_int_equal(bdev_emu_record(s.b.dev), 0);
	hold_reset(&s.b);
	scene_open(&s);
	damaged = c->damaged(&s);
	if (s.f != NULL) {
		atomic_store(&s.f->inode->file.lacks, 0);
		s.f->inode->file.gate = NULL;
		env_close(s.f);
	}
	free(s.buf);
	/* What was damaged on purpose is nothing to be judged. */
	bug_close(&s.b, lacks == 0);
	return damaged;
}

static void with_its_rule(void **state)
{
	const struct bug_case *c = *state;

	assert_false(play(c, 0));
}

static void without_its_rule(void **state)
{
	const struct bug_case *c = *state;

	assert_true(play(c, c->lacks));
}

# define MAX_TESTS 160
static struct CMUnitTest tests[MAX_TESTS];
static char names[MAX_TESTS][96];
static size_t ntests;

static void add_test(const struct bug_case *c, const char *how,
		void (*test)(void **state))
{
	/* cmocka hands the initial state on, and does not change it. */
	union {
		const struct bug_case *in;
		void *out;
	} u = { .in = c };

	assert(ntests < MAX_TESTS);
	(void)snprintf(names[ntests], sizeof(names[0]), "%s%s", c->name, how);
	tests[ntests] = (struct CMUnitTest){
		.name = names[ntests],
		.test_func = test,
		.initial_state = u.out,
	};
	ntests++;
}

static void add_cases(const struct bug_case *cases, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		add_test(&cases[i], "", with_its_rule);
		if (cases[i].lacks != 0)
			add_test(&cases[i], " (lacks the rule)",
					without_its_rule);
	}
}

int main(int argc, char **argv)
{
	if (!env_tools())
		return 77;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	add_cases(race_cases, nrace_cases);
	add_cases(data_cases, ndata_cases);
	return _cmocka_run_group_tests("bugs", tests, ntests, NULL, NULL);
}
#endif
