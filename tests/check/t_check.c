/* SPDX-License-Identifier: MIT */
/*
 * The checker against e2fsck -fn: on sound images of many formats, and on the
 * same images with one field changed.
 *
 * A mutation pokes one byte where metadata is known to be. Whenever e2fsck
 * complains the checker must; when e2fsck is content the checker must be, but
 * for the kinds in strict[], where it knows better on purpose.
 *
 * UEXT4_SEED=n other mutations; UEXT4_ROUNDS=n more or fewer for each place;
 * UEXT4_SHARED=dir (with images/e2fsprogs) images that others broke.
 */
#include "check/chk_image.h"

#include "base/csum.h"
#include "base/le.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct profile {
	const char *name, *args;
	bool pokes; /* without checksums: a poke is judged for its meaning */
};

static const struct profile profiles[] = {
	{ "ext4-1k", "-t ext4 -b 1024", true },
	{ "ext4-1k-nocsum",
			"-t ext4 -b 1024 -O "
			"^metadata_csum,^uninit_bg,orphan_file",
			true },
	{ "ext4-2k", "-t ext4 -b 2048 -O metadata_csum,64bit", false },
	{ "ext4-4k", "-t ext4 -b 4096 -O metadata_csum,64bit,orphan_file",
			true },
	{ "ext4-4k-seed",
			"-t ext4 -b 4096 -O "
			"metadata_csum,metadata_csum_seed,64bit",
			false },
	{ "ext4-uninit", "-t ext4 -b 1024 -O ^metadata_csum,uninit_bg -g 2048",
			true },
	{ "ext4-32bit", "-t ext4 -b 1024 -O ^64bit,metadata_csum -g 1024",
			false },
	{ "ext4-noflex", "-t ext4 -b 1024 -O ^flex_bg,^metadata_csum -g 2048",
			true },
	{ "ext4-nojournal",
			"-t ext4 -b 4096 -O "
			"^has_journal,^metadata_csum,^uninit_bg",
			true },
	{ "ext4-noextents", "-t ext4 -b 1024 -O ^extents,^64bit", false },
	{ "ext4-nodirindex", "-t ext4 -b 2048 -O ^dir_index", false },
	{ "ext4-i128", "-t ext4 -b 1024 -I 128 -O ^metadata_csum", true },
	{ "ext4-i1024", "-t ext4 -b 4096 -I 1024", false },
	{ "ext4-mmp", "-t ext4 -b 4096 -O mmp,metadata_csum", false },
	{ "ext4-metabg", "-t ext4 -b 1024 -O ^resize_inode,meta_bg -g 1024",
			false },
	{ "ext4-sparse2", "-t ext4 -b 1024 -O sparse_super2,^resize_inode",
			false },
	{ "ext4-plain",
			"-t ext4 -b 1024 -O ^huge_file,^large_file,^dir_nlink,"
			"^metadata_csum,^filetype,^resize_inode",
			false },
	{ "ext3-1k", "-t ext3 -b 1024 -I 256", false },
	{ "ext3-2k-i128", "-t ext3 -b 2048 -I 128", true },
	{ "ext2-1k", "-t ext2 -b 1024", true },
	{ "ext2-4k", "-t ext2 -b 4096", false },
	{ "ext2-rev0", "-t ext2 -r 0 -b 1024", false },
};

#define NPROFILES (sizeof(profiles) / sizeof(*profiles))

/* Complaints of ours that e2fsck -fn does not share, and why we keep them. */
static const struct {
	const char *text, *why;
	const char *only; /* in mutations of this name */
} strict[] = {
	{ "super: not marked clean", "a power cut must be recovered first",
			NULL },
	{ "super: the journal needs recovery", "the same", NULL },
	{ "journal: mode", "e2fsck lets a journal without links pass", NULL },
	{ "super: marked as having errors", "tests leave none", NULL },
	{ "pass1: resize inode", "e2fsck looks at the used entries only",
			NULL },
	{ "names an external journal", "there is none", NULL },
	{ "group 0: block bitmap: bit",
			"e2fsck sets what tables of uninit groups cover",
			"ext4-uninit: block bitmap" },
	{ "attribute order", "the kernel searches blocks in order", NULL },
	{ "but written to block", "e2fsck lets the last block pass", NULL },
	{ "orphan: list", "-n leaves the list alone", NULL },
	{ "wrong type for inode", "e2fsck fills in type 0 without a word",
			NULL },
	{ "pass1: inode 1:", "e2fsck believes the list of bad blocks", NULL },
	{ "pass1: inode 8:", "e2fsck looks at few fields of the journal",
			NULL },
	{ "pass1: reserved inode", "nobody writes to an unused one", NULL },
	{ "unknown f", "features and flags that we do not know", NULL },
	{ "extent header depth", "the kernel compares it at each level", NULL },
	{ "without a name", "no such attribute can be set", NULL },
	{ "pass1: inode 12:", "e2fsck looks at few fields of the orphan file",
			NULL },
	{ "special file", "the words behind the device number are ours", NULL },
	{ "journal: block size", "e2fsck believes s_first", NULL },
};

static unsigned long env_number(const char *name, unsigned long otherwise)
{
	const char *s = getenv(name);

	return s ? strtoul(s, NULL, 0) : otherwise;
}

/* xorshift64*: the same mutations on every machine. */
static uint64_t rnd(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

/* By the first complaint; others may follow from it. */
static bool is_strict(const struct check_report *rep, const char *what)
{
	for (size_t k = 0; k < sizeof(strict) / sizeof(*strict); k++)
		if (strstr(rep->text[0], strict[k].text) &&
				(!strict[k].only ||
						strstr(what, strict[k].only)))
			return true;
	return false;
}

/* One place to poke at: @step is the distance between two fields. */
struct place {
	char name[40];
	uint64_t pos;
	uint32_t len;
};

struct aim {
	struct place place[128];
	unsigned int n;
};

static void aim_add(struct aim *a, const char *name, uint64_t pos, uint32_t len)
{
	if (a->n == sizeof(a->place) / sizeof(*a->place))
		return;
	snprintf(a->place[a->n].name, sizeof(a->place[a->n].name), "%s", name);
	a->place[a->n].pos = pos;
	a->place[a->n++].len = len;
}

struct aim_runs {
	struct aim *a;
	const char *name;
	uint32_t bs, left;
};

static int aim_run(void *ctx, const struct check_run *run)
{
	struct aim_runs *r = ctx;

	for (uint32_t i = 0; i < run->len && r->left > 0; i++, r->left--)
		aim_add(r->a, r->name, (run->pblk + i) * r->bs, r->bs);
	return r->left == 0;
}

/* The first @n data blocks of an inode. */
static void aim_data(const struct chk_image *im, struct aim *a,
		const char *name, uint32_t ino, uint32_t n)
{
	struct aim_runs r = { a, name, chk_block_size(im), n };

	check_runs(&im->dev, ino, aim_run, &r);
}

/* The blocks that the inode's mapping itself stands in: two levels. */
static void aim_map(const struct chk_image *im, struct aim *a, uint32_t ino)
{
	uint32_t bs = chk_block_size(im);
	const uint8_t *ib = im->mem + chk_inode_pos(im, ino) + 0x28;
	uint64_t pblk;

	if (!(get_le32(ib - 8) & 0x80000)) {
		for (unsigned int i = 12; i < 14; i++)
			if (get_le32(ib + 4 * (size_t)i))
				aim_add(a, "indirect",
						(uint64_t)bs * get_le32(ib + 4 * (size_t)i),
						i == 12 ? 64 : 16);
		return;
	}
	if (get_le16(ib + 6) == 0)
		return;
	pblk = get_le32(ib + 12 + 4);
	aim_add(a, "extent node", pblk * bs, 64);
	aim_add(a, "extent tail", pblk * bs + bs - 8, 8);
	if (get_le16(ib + 6) > 1) {
		pblk = get_le32(im->mem + pblk * bs + 12 + 4);
		aim_add(a, "extent leaf", pblk * bs, 64);
	}
}

static void aim_files(const struct chk_image *im, struct aim *a)
{
	static const char *const path[] = {
		"/",
		"/d",
		"/d/hello",
		"/d/fast",
		"/d/slow",
		"/d/fifo",
		"/d/chr",
		"/big/long",
		"/big/holes",
		"/big/far",
		"/many",
		"/lost+found",
	};
	uint32_t bs = chk_block_size(im), ino;

	for (size_t i = 0; i < sizeof(path) / sizeof(*path); i++) {
		uint64_t pos, acl;

		assert_int_equal(check_lookup(&im->dev, path[i], &ino), 0);
		pos = chk_inode_pos(im, ino);
		aim_add(a, path[i], pos, chk_inode_size(im));
		aim_map(im, a, ino);
		acl = get_le32(im->mem + pos + 0x68);
		if (acl)
			aim_add(a, "attribute block", acl * bs, 96);
		if (acl)
			aim_add(a, "attribute values", acl * bs + bs - 64, 64);
	}
	check_lookup(&im->dev, "/d", &ino);
	aim_data(im, a, "entries of /d", ino, 1);
	check_lookup(&im->dev, "/d/slow", &ino);
	aim_data(im, a, "target", ino, 1);
	check_lookup(&im->dev, "/many", &ino);
	aim_data(im, a, "entries of /many", ino, 3);
}

static void aim_groups(const struct chk_image *im, struct aim *a)
{
	uint32_t bs = chk_block_size(im);

	for (uint32_t grp = 0; grp < 3; grp++) {
		uint64_t gd = chk_gd_pos(im, grp);
		uint64_t bb = get_le32(im->mem + gd);
		uint64_t ib = get_le32(im->mem + gd + 4);

		if (bb == 0 || bb * bs >= im->size || ib * bs >= im->size)
			break;
		aim_add(a, "descriptor", gd,
				(uint32_t)(chk_gd_pos(im, 1) -
						chk_gd_pos(im, 0)));
		aim_add(a, "block bitmap", bb * bs, bs);
		aim_add(a, "inode bitmap", ib * bs, bs);
	}
}

static void aim_special(const struct chk_image *im, struct aim *a)
{
	const uint8_t *sb = im->mem + 1024;
	uint32_t isize = chk_inode_size(im), bs = chk_block_size(im);

	/* Fields only: s_volume_name and the like mean nothing to anybody. */
	aim_add(a, "super", 1024, 0x40);
	aim_add(a, "super features", 1024 + 0x58, 0x10);
	aim_add(a, "super tail", 1024 + 0xc8, 0x80);
	for (uint32_t ino = 1; ino < 11; ino++)
		aim_add(a, "reserved inode", chk_inode_pos(im, ino), isize);
	if (get_le32(sb + 0x5c) & 4) {
		aim_data(im, a, "journal", 8, 1);
		a->place[a->n - 1].len = 0x58;
		aim_map(im, a, 8);
	}
	if (get_le32(sb + 0x5c) & 0x10) {
		const uint8_t *ib = im->mem + chk_inode_pos(im, 7) + 0x28;

		aim_add(a, "resize block", (uint64_t)get_le32(ib + 52) * bs,
				bs);
	}
	if (get_le32(sb + 0x5c) & 0x1000) {
		aim_add(a, "orphan inode",
				chk_inode_pos(im, get_le32(sb + 0x280)), 128);
		aim_data(im, a, "orphan file", get_le32(sb + 0x280), 2);
	}
}

/* A new value for a byte: small steps find off-by-ones, others the rest. */
static uint8_t mutate(uint64_t *seed, uint8_t old)
{
	uint64_t r = rnd(seed);

	switch (r % 6) {
	case 0:
		return (uint8_t)(old + 1);
	case 1:
		return (uint8_t)(old - 1);
	case 2:
		return old ? 0 : 0xff;
	case 3:
		return (uint8_t)(r >> 32) == old ? (uint8_t)~old
						 : (uint8_t)(r >> 32);
	default:
		return (uint8_t)(old ^ (1u << (r >> 16) % 8));
	}
}

/* Judge the image as it is. True if the two agree. */
static bool judge(const struct chk_image *im, const char *what)
{
	struct check_report rep;
	int ours = check_fs(&im->dev, NULL, &rep);
	int theirs = chk_e2fsck(im);

	assert_true(theirs >= 0);
	assert_true(ours >= 0 || ours == -EOPNOTSUPP);
	if (ours == -EOPNOTSUPP || (ours != 0) == (theirs != 0))
		return true;
	if (ours != 0 && is_strict(&rep, what))
		return true;
	print_message("%s: e2fsck %s, we %s\n", what,
			theirs ? "complains" : "is content",
			ours ? rep.text[0] : "are content");
	if (theirs)
		chk_run("grep -v '^Pass\\|^e2fsck\\|^$' %s | head -3", im->out);
	return false;
}

static unsigned int poke_place(struct chk_image *im, const struct profile *p,
		const struct place *at, uint64_t *seed)
{
	uint64_t pos = at->pos + rnd(seed) % at->len;
	uint8_t old = im->mem[pos], new = mutate(seed, old);
	char what[160];
	bool ok;

	snprintf(what, sizeof(what), "%s: %s + %#jx: %#x -> %#x", p->name,
			at->name, (uintmax_t)(pos - at->pos), old, new);
	chk_poke(im, pos, new);
	ok = judge(im, what);
	chk_restore(im);
	return !ok;
}

static void sound_images_are_clean(void **state)
{
	unsigned int bad = 0;

	for (size_t i = 0; i < NPROFILES; i++) {
		struct chk_image im;
		struct check_report rep;

		assert_int_equal(chk_image_make(&im, profiles[i].args,
						 16u << 20),
				0);
		assert_int_equal(chk_e2fsck(&im), 0);
		if (check_fs(&im.dev, NULL, &rep) != 0) {
			bad++;
			print_message("%s:\n", profiles[i].name);
			check_print(&rep, stdout);
		}
		chk_image_free(&im);
	}
	assert_int_equal(bad, 0);
}

static void pokes_are_judged_as_e2fsck_does(void **state)
{
	uint64_t seed = env_number("UEXT4_SEED", 1) * 0x9e3779b97f4a7c15ULL;
	unsigned long rounds = env_number("UEXT4_ROUNDS", 2);
	unsigned int bad = 0, done = 0;

	for (size_t i = 0; i < NPROFILES; i++) {
		struct chk_image im;
		struct aim a = { .n = 0 };

		if (!profiles[i].pokes)
			continue;
		assert_int_equal(chk_image_make(&im, profiles[i].args,
						 16u << 20),
				0);
		aim_special(&im, &a);
		aim_groups(&im, &a);
		aim_files(&im, &a);
		for (unsigned long r = 0; r < rounds; r++)
			for (unsigned int k = 0; k < a.n; k++, done++)
				bad += poke_place(&im, &profiles[i],
						&a.place[k], &seed);
		chk_image_free(&im);
	}
	print_message("%u pokes, %u disagreements\n", done, bad);
	assert_int_equal(bad, 0);
}

/* Damage that is more than a byte; debugfs keeps the checksums right. */
static const char *const edits[] = {
	"sif /d/hello links_count 1",
	"sif /d/hello links_count 0",
	"sif /d links_count 1",
	"sif /d mode 0100644",
	"sif /d/hello mode 040755",
	"sif /d/hello mode 0",
	"sif /d/hello dtime 1000000000",
	"sif /d/hello size 5000",
	"sif /big/long size 1",
	"sif /big/long size 0x100000000",
	"sif /big/long blocks 4",
	"sif /big/long flags 0",
	"sif /big/long flags 0x81000",
	"sif /many flags 0",
	"sif /many size 1024",
	"sif /many size 0",
	"sif /d/fast size 4",
	"sif /d/slow size 4",
	"sif /d/chr size 1",
	"sif /d/chr flags 0x10",
	"sif /d/hello file_acl 5",
	"sif /d/hello extra_isize 2",
	"sif /d/hello extra_isize 30",
	"sif /d/hello extra_isize 200",
	"sif /d/hello uid 70000",
	"sif /d/hello generation 99",
	"sif <2> mode 0100644",
	"sif <8> mode 0",
	"sif <8> links_count 0",
	"sif <7> mode 0",
	"sif <11> links_count 0",
	"clri /d/hello",
	"clri /d/e",
	"clri /d",
	"clri /big/holes",
	"clri <8>",
	"clri <7>",
	"freei /d/hello",
	"freei <2>",
	"seti <1000>",
	"freeb 1200 4",
	"setb 3000 1",
	"unlink /d/hello",
	"unlink /d/e/f",
	"unlink /big",
	"ln /d/hello /d/third",
	"ln /d/e /d/loop",
	"ln <2> /d/root",
	"ln <8> /d/journal",
	"ln <1000> /d/nothing",
	"ln /d /d/e/f/up",
	"ssv free_blocks_count 7",
	"ssv free_inodes_count 7",
	"ssv inodes_count 7",
	"ssv blocks_count 0x7fffffff",
	"ssv r_blocks_count 16384",
	"ssv last_orphan 12",
	"ssv hash_seed null",
	"ssv def_hash_version tea",
	"ssv min_extra_isize 500",
	"ssv journal_inum 12",
	"ssv first_ino 12",
	"ssv uuid clear",
	"feature needs_recovery",
	"feature -has_journal",
	"feature -resize_inode",
	"feature -extents",
	"feature -dir_index",
	"feature -filetype",
	"feature -ext_attr",
	"feature -large_file",
	"feature -huge_file",
	"feature -flex_bg",
	"feature -sparse_super",
	"set_bg 0 free_blocks_count 1",
	"set_bg 0 free_inodes_count 1",
	"set_bg 0 used_dirs_count 1",
	"set_bg 0 flags 3",
	"set_bg 0 itable_unused 4000",
	"set_bg 0 block_bitmap 3",
	"set_bg 0 inode_bitmap 0",
	"set_bg 1 inode_table 20000",
	"set_bg 1 flags 0",
	"sif /d/hello block[5] 3000",
	"sif /big/long block[2] 900",
	"fallocate /d/hello 100 200",
	"fallocate /big/holes 3 9",
	"punch /big/long 1 2",
	"punch /big/long 0 3",
	"ea_rm /d/hello user.one",
	"mkdir /new",
	"rm /d/again",
	"rmdir /lost+found",
};

/*
 * Make the edit on a copy and judge it. What debugfs refuses is no edit; what
 * e2fsck finds sound must be sound for us.
 */
static unsigned int judge_edit(const struct chk_image *im,
		const struct profile *p, const char *edit)
{
	struct chk_image copy;
	char what[160];
	bool ok;

	assert_int_equal(chk_image_take(&copy, im->path), 0);
	chk_run("debugfs -w -R '%s' %s >/dev/null 2>&1", edit, copy.path);
	assert_int_equal(chk_image_reload(&copy), 0);
	snprintf(what, sizeof(what), "%s: %s", p->name, edit);
	ok = judge(&copy, what);
	chk_image_free(&copy);
	return !ok;
}

static void edits_are_judged_as_e2fsck_does(void **state)
{
	static const unsigned int with[] = { 0, 3, 9, 17 };
	unsigned int bad = 0, done = 0;

	for (size_t i = 0; i < sizeof(with) / sizeof(*with); i++) {
		const struct profile *p = &profiles[with[i]];
		struct chk_image im;

		assert_int_equal(chk_image_make(&im, p->args, 16u << 20), 0);
		for (size_t k = 0; k < sizeof(edits) / sizeof(*edits);
				k++, done++)
			bad += judge_edit(&im, p, edits[k]);
		chk_image_free(&im);
	}
	print_message("%u edits, %u disagreements\n", done, bad);
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound_images_are_clean),
		cmocka_unit_test(pokes_are_judged_as_e2fsck_does),
		cmocka_unit_test(edits_are_judged_as_e2fsck_does),
	};

	if (!chk_have_e2fsprogs()) {
		printf("skipped: e2fsprogs is not installed\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
