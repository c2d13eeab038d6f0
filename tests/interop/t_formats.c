/* SPDX-License-Identifier: MIT */
/*
 * docs/format.md is true: each row of its table of features is tried on an
 * image made by mke2fs (finished by debugfs where mke2fs does not know the
 * feature), and behaves as the row says.
 *
 *	read and written  mounted, changed, clean for e2fsck, the feature kept
 *	read-only: why    a mount for writing says name and reason and writes
 *			  nothing; a read-only one reads
 *	refused: why      no mount, name and reason
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "disk/dfeature.h"
#include "ro.h"

struct row {
	char name[32];
	enum dfeature_set set;
	char what[96];
	struct env e;
};

/* What mke2fs needs besides -O name. */
static const struct {
	const char *name, *opts;
} special[] = {
	{ "has_journal", "-t ext3" },
	{ "sparse_super2", "-t ext4 -O sparse_super2,^resize_inode" },
	{ "orphan_file", "-t ext4 -O orphan_file" },
	{ "meta_bg", "-t ext4 -O meta_bg,^resize_inode" },
	{ "metadata_csum_seed", "-t ext4 -O metadata_csum,metadata_csum_seed" },
	{ "uninit_bg", "-t ext4 -O ^metadata_csum,uninit_bg" },
	{ "bigalloc", "-t ext4 -O bigalloc -C 16384" },
	{ "project", "-t ext4 -O quota,project" },
	{ "encrypt", "-t ext4 -O encrypt" },
	{ "casefold", "-t ext4 -O casefold -E encoding=utf8" },
	{ "orphan_present", "-t ext4 -O orphan_file" },
	{ "large_dir", "-t ext4 -O large_dir" },
};

static char set_letter(enum dfeature_set set)
{
	return set == DFEATURE_COMPAT              ? 'C'
			: set == DFEATURE_INCOMPAT ? 'I'
						   : 'R';
}

static int bit_number(const struct row *r)
{
	const struct dfeature *t;
	size_t n;

	t = dfeature_table(&n);
	for (size_t i = 0; i < n; i++) {
		if (t[i].set == r->set && strcmp(t[i].name, r->name) == 0)
			return __builtin_ctz(t[i].bit);
	}
	fail_msg("%s is not in the table of the library", r->name);
	return -1;
}

static bool image_has(struct env *e, const char *name)
{
	return env_sh("dumpe2fs -h %s 2>/dev/null | grep '^Filesystem features'"
		      " | grep -qw -e '%s'",
			       e->img, name) == 0;
}

static void make(struct row *r)
{
	static struct env_profile p = { .name = "format", .block_size = 4096 };
	char opts[128], bit[16];

	(void)snprintf(opts, sizeof(opts), "-t ext4 -b 4096 -O %s", r->name);
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (strcmp(special[i].name, r->name) == 0)
			(void)snprintf(opts, sizeof(opts), "%s -b 4096",
					special[i].opts);
	if (env_sh("mke2fs -n -q -F %s /dev/null 64M >/dev/null 2>&1", opts) !=
			0)
		(void)snprintf(opts, sizeof(opts), "-t ext4 -b 4096");
	p.mke2fs = opts;
	env_image(&r->e, &p, "64M");
	(void)snprintf(bit, sizeof(bit), "FEATURE_%c%d", set_letter(r->set),
			bit_number(r));
	if (strcmp(r->name, "journal_dev") != 0 && !image_has(&r->e, r->name) &&
			!image_has(&r->e, bit))
		assert_int_equal(env_sh("debugfs -w -R 'feature %s' %s >%s "
					"2>&1",
						 bit, r->e.img, r->e.out),
				0);
}

static void expect_rw(struct row *r)
{
	struct env *e = &r->e;
	struct uext4_info info;
	struct uext4_file *f;
	bool kept = strcmp(r->name, "needs_recovery") != 0 &&
			strcmp(r->name, "orphan_present") != 0;

	env_mount(e);
	assert_int_equal(uext4_info(e->fs, &info), 0);
	assert_false(info.rdonly);
	assert_non_null(strstr(info.features, r->name));
	assert_int_equal(env_mkdir(e, "/d", 0755), 0);
	f = env_open(e, "/d/f", UEXT4_O_RDWR | UEXT4_O_CREAT);
	env_fill(f, 0, 100000, 'f');
	env_expect(f, 0, 100000, 'f');
	env_close(f);
	env_remount(e);
	assert_int_equal(env_rename(e, "/d/f", "/g", 0), 0);
	assert_int_equal(env_rmdir(e, "/d"), 0);
	env_unmount(e);
	env_judge(e);
	env_mount(e);
	assert_int_equal(uext4_info(e->fs, &info), 0);
	if (kept)
		assert_non_null(strstr(info.features, r->name));
	env_unmount(e);
	if (!kept)
		assert_false(image_has(e, r->name));
}

static void behaves_as_documented(void **state)
{
	struct row *r = *state;
	const char *why = strchr(r->what, ':');

	make(r);
	if (strcmp(r->what, "read and written") == 0) {
		expect_rw(r);
	} else if (strncmp(r->what, "read-only: ", 11) == 0) {
		ro_expect_readonly(&r->e, r->name, why + 2);
		assert_int_equal(env_exists(&r->e, "/lost+found"), 0);
		env_unmount(&r->e);
	} else if (strncmp(r->what, "refused: ", 9) == 0) {
		ro_expect_refused(&r->e, r->name, why + 2);
	} else {
		fail_msg("what is \"%s\"?", r->what);
	}
	env_free(&r->e);
}

/* Unknown bits, by the rule of their set. */
static void unknown_features_follow_their_set(void **state)
{
	static struct env_profile p = { "unknown", "-t ext4 -b 4096", 4096, 0 };
	struct row *r = *state;
	struct env *e = &r->e;

	for (const char *set = "CRI"; *set; set++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "FEATURE_%c30", *set);
		env_image(e, &p, "32M");
		assert_int_equal(env_sh("debugfs -w -R 'feature %s' %s >%s "
					"2>&1",
						 name, e->img, e->out),
				0);
		if (*set == 'C') {
			env_mount(e);
			assert_int_equal(env_mkdir(e, "/d", 0755), 0);
			env_unmount(e);
		} else if (*set == 'R') {
			ro_expect_readonly(e, name, "");
			assert_int_equal(env_exists(e, "/lost+found"), 0);
			env_unmount(e);
		} else {
			ro_expect_refused(e, name, "");
		}
		env_free(e);
	}
}

/* The shapes that are documented as read and written. */
static void shapes_are_written(void **state)
{
	static const struct {
		const char *opts;
		uint32_t bs;
	} shapes[] = {
		{ "-t ext2 -r 0 -b 1024 -O none", 1024 },
		{ "-t ext2 -r 0 -b 4096 -O none", 4096 },
		{ "-t ext4 -b 8192", 8192 },
		{ "-t ext4 -b 16384 -I 512", 16384 },
		{ "-t ext4 -b 65536 -O metadata_csum,64bit", 65536 },
		{ "-t ext4 -b 4096 -I 4096 -N 1024", 4096 },
		{ "-t ext4 -b 1024 -I 1024 -g 1024 -O ^resize_inode", 1024 },
		{ "-t ext4 -b 4096 -N 16", 4096 },
		{ "-t ext3 -b 1024 -J size=1", 1024 },
		{ "-t ext4 -b 2048 -m 0 -i 2048 -g 2048 -G 1 -O ^resize_inode",
				2048 },
	};
	struct row *r = *state;

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct env_profile p = { "shape", shapes[i].opts, shapes[i].bs,
			0 };

		env_image(&r->e, &p, "64M");
		(void)snprintf(r->name, sizeof(r->name), "%s", "filetype");
		if (strstr(shapes[i].opts, "-r 0"))
			r->name[0] = '\0';
		expect_rw(r);
		env_free(&r->e);
	}
}

static int teardown(void **state)
{
	env_free(&((struct row *)*state)->e);
	return 0;
}

/* One row "| `name` | set | what |", or false. */
static bool row_parse(const char *line, struct row *r)
{
	char set[16];

	memset(r, 0, sizeof(*r));
	if (sscanf(line, "| `%31[^`]` | %15[^ ] | %95[^|]", r->name, set,
			    r->what) != 3)
		return false;
	for (size_t n = strlen(r->what); n > 0 && r->what[n - 1] == ' '; n--)
		r->what[n - 1] = '\0';
	if (strcmp(set, "compat") == 0)
		r->set = DFEATURE_COMPAT;
	else if (strcmp(set, "incompat") == 0)
		r->set = DFEATURE_INCOMPAT;
	else if (strcmp(set, "ro_compat") == 0)
		r->set = DFEATURE_RO_COMPAT;
	else
		return false;
	return true;
}

int main(void)
{
	static struct row rows[96];
	static struct CMUnitTest tests[100];
	size_t n = 0, ntests, known;
	char line[512];
	FILE *f;

	if (!env_tools())
		return 77;
	f = fopen(UEXT4_SOURCE_ROOT "/docs/format.md", "r");
	if (!f) {
		perror(UEXT4_SOURCE_ROOT "/docs/format.md");
		return 1;
	}
	while (fgets(line, sizeof(line), f) && n < 90)
		n += row_parse(line, &rows[n]);
	fclose(f);
	(void)dfeature_table(&known);
	if (n != known) {
		fprintf(stderr, "%zu rows, %zu features\n", n, known);
		return 1;
	}
	for (size_t i = 0; i < n; i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].name,
			.test_func = behaves_as_documented,
			.teardown_func = teardown,
			.initial_state = &rows[i] };
	ntests = n;
	tests[ntests++] = (struct CMUnitTest){ .name = "unknown_features_follow"
						       "_their_set",
		.test_func = unknown_features_follow_their_set,
		.teardown_func = teardown,
		.initial_state = &rows[n] };
	tests[ntests++] = (struct CMUnitTest){ .name = "shapes_are_written",
		.test_func = shapes_are_written,
		.teardown_func = teardown,
		.initial_state = &rows[n + 1] };
	return _cmocka_run_group_tests("formats", tests, ntests, NULL, NULL);
}
