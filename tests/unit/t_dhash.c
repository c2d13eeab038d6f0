/* SPDX-License-Identifier: MIT */
/*
 * Name hashes against debugfs's dx_hash. Unsigned variants, which it has no
 * word for, are tested on real directories in t_dhtree.c.
 */
#include "e2img.h"

#include "base/err.h"
#include "base/uuid.h"
#include "disk/dhash.h"

#define NNAMES 150

static void random_name(char *name, unsigned len)
{
	for (unsigned i = 0; i < len; i++) {
		/* No blanks, quotes or other characters that the shell of
		 * debugfs takes for its own. */
		unsigned c = (unsigned)random() % 100;

		if (c < 40)
			name[i] = (char)('a' + c % 26);
		else if (c < 70)
			name[i] = (char)('0' + c % 10);
		else
			name[i] = (char)(0xA0 + random() % 0x5F);
	}
	name[0] = 'x'; /* not an option */
	name[len] = '\0';
}

static void compare(const char *alg, uint8_t version, const char *seed_text)
{
	static char names[NNAMES][256];
	static char out[NNAMES * 600];
	uint32_t seed[4] = { 0 };
	uint8_t uuid[16];
	char dir[] = "/tmp/uext4-hash.XXXXXX";
	char path[64];
	const char *p = out;
	FILE *f;

	if (seed_text) {
		assert_int_equal(uuid_parse(seed_text, uuid), 0);
		for (unsigned i = 0; i < 4; i++)
			seed[i] = get_le32(uuid + (size_t)i * 4);
	}
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/script", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	for (unsigned i = 0; i < NNAMES; i++) {
		random_name(names[i], i < 100 ? i + 1 : 255 - (i - 100) * 2);
		(void)fprintf(f, "dx_hash -h %s %s%s %s\n", alg,
				seed_text ? "-s " : "",
				seed_text ? seed_text : "", names[i]);
	}
	(void)fclose(f);
	e2_sh_out(out, sizeof(out), "debugfs -f %s 2>/dev/null", path);
	assert_int_equal(e2_sh("rm -rf %s", dir), 0);

	for (unsigned i = 0; i < NNAMES; i++) {
		struct dhash h;
		unsigned major, minor;

		p = strstr(p, "Hash of ");
		assert_non_null(p);
		p += strlen("Hash of ");
		assert_memory_equal(p, names[i], strlen(names[i]));
		p += strlen(names[i]);
		assert_int_equal(sscanf(p, " is 0x%x (minor 0x%x)", &major,
						 &minor),
				2);
		assert_int_equal(
				dhash_name(version, seed, names[i],
						(uint32_t)strlen(names[i]), &h),
				0);
		if (h.major != major || h.minor != minor)
			fail_msg("%s of %s: %x %x, not %x %x", alg, names[i],
					h.major, h.minor, major, minor);
	}
}

static void hashes_are_those_of_debugfs(void **state)
{
	static const char *const seeds[] = {
		NULL,
		"00112233-4455-6677-8899-aabbccddeeff",
		"ffffffff-ffff-ffff-ffff-ffffffffffff",
	};

	if (!e2_is_there())
		skip();
	srandom(4);
	for (size_t i = 0; i < array_len(seeds); i++) {
		compare("legacy", DHASH_LEGACY, seeds[i]);
		compare("half_md4", DHASH_HALF_MD4, seeds[i]);
		compare("tea", DHASH_TEA, seeds[i]);
	}
}

static void unsigned_differs_only_above_ascii(void **state)
{
	const uint32_t seed[4] = { 1, 2, 3, 4 };

	for (uint8_t v = DHASH_LEGACY; v <= DHASH_TEA; v++) {
		struct dhash a, b;

		assert_int_equal(dhash_name(v, seed, "plain", 5, &a), 0);
		assert_int_equal(dhash_name(v + 3, seed, "plain", 5, &b), 0);
		assert_int_equal(a.major, b.major);
		assert_int_equal(a.minor, b.minor);
		assert_int_equal(dhash_name(v, seed, "h\xc3\xa9", 3, &a), 0);
		assert_int_equal(
				dhash_name(v + 3, seed, "h\xc3\xa9", 3, &b), 0);
		assert_int_not_equal(a.major, b.major);
	}
}

static void unknown_versions_are_refused(void **state)
{
	const uint32_t seed[4] = { 0 };

	for (unsigned v = DHASH_SIPHASH; v < 256; v++) {
		struct dhash h = { 7, 8 };

		assert_int_equal(dhash_name((uint8_t)v, seed, "x", 1, &h),
				-EINVAL);
		assert_int_equal(h.major, 7);
	}
}

static void the_directory_signedness_is_used(void **state)
{
	struct geo geo = { .hash_seed = { 1, 2, 3, 4 }, .hash_unsigned = true };
	struct dhash a, b;

	assert_int_equal(dhash_dir(&geo, DHASH_TEA, "\xff", 1, &a), 0);
	assert_int_equal(dhash_name(DHASH_TEA_UNSIGNED, geo.hash_seed, "\xff",
					 1, &b),
			0);
	assert_int_equal(a.major, b.major);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_are_those_of_debugfs),
		cmocka_unit_test(unsigned_differs_only_above_ascii),
		cmocka_unit_test(unknown_versions_are_refused),
		cmocka_unit_test(the_directory_signedness_is_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
