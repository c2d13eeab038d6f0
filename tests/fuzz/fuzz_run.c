/* SPDX-License-Identifier: MIT */
/*
 * A main() for fuzz targets where there is no libFuzzer: replays the files it
 * is given, or else runs random inputs from a fixed seed.
 *
 *	fuzz_x [FILE...]	UEXT4_ROUNDS=n	UEXT4_SEED=n
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUT_MAX 5000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t rnd(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

static unsigned long env_number(const char *name, unsigned long otherwise)
{
	const char *s = getenv(name);

	return s ? strtoul(s, NULL, 0) : otherwise;
}

/* Formats are full of zeros and small numbers; so are these inputs. */
static size_t make_input(uint64_t *seed, uint8_t *data)
{
	size_t size = 2 + rnd(seed) % (rnd(seed) % 3 ? 200 : INPUT_MAX - 2);
	unsigned int dense = 1 + rnd(seed) % 8;

	for (size_t i = 0; i < size; i++) {
		uint64_t r = rnd(seed);

		if (i >= 2 && r % 8 >= dense)
			data[i] = 0;
		else
			data[i] = r & 0x1000 ? (uint8_t)(r >> 16)
					     : (uint8_t)((r >> 16) % 20);
	}
	return size;
}

static int replay(const char *path)
{
	static uint8_t data[1 << 20];
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f) {
		perror(path);
		return 1;
	}
	n = fread(data, 1, sizeof(data), f);
	fclose(f);
	return LLVMFuzzerTestOneInput(data, n);
}

int main(int argc, char **argv)
{
	unsigned long rounds = env_number("UEXT4_ROUNDS", 200000);
	uint64_t seed = env_number("UEXT4_SEED", 1) * 0x9e3779b97f4a7c15ULL;
	uint8_t data[INPUT_MAX];

	for (int i = 1; i < argc; i++)
		if (replay(argv[i]) != 0)
			return 1;
	if (argc > 1)
		return 0;
	for (unsigned long i = 0; i < rounds; i++) {
		size_t size = make_input(&seed, data);

		LLVMFuzzerTestOneInput(data, size);
	}
	printf("%lu inputs survived\n", rounds);
	return 0;
}
