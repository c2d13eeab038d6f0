/* SPDX-License-Identifier: MIT */
/*
 * A bar on the terminal's last line, redrawn a few times a second.
 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

#define BAR_WIDTH 30
#define DRAW_NS   100000000ull

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

bool progress_wanted(const struct cli *c)
{
	return !c->quiet && isatty(STDERR_FILENO);
}

static void draw_bar(uint64_t done, uint64_t total)
{
	char bar[BAR_WIDTH + 1];
	unsigned fill;
	unsigned i;

	if (total == 0)
		total = 1;
	if (done > total)
		done = total;
	fill = (unsigned)(done * BAR_WIDTH / total);
	for (i = 0; i < BAR_WIDTH; i++)
		bar[i] = i < fill ? '#' : '.';
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r[%s] %3u %%  ", bar, (unsigned)(done * 100 / total));
}

static void progress_draw(const struct progress *p)
{
	draw_bar(p->bytes, p->total_bytes);
	fprintf(stderr, "%llu files, %llu MB ", (unsigned long long)p->files,
			(unsigned long long)(p->bytes / 1000000));
}

void progress_step(
		struct cli *c, const char *what, unsigned done, unsigned total)
{
	if (!progress_wanted(c))
		return;
	draw_bar(done, total);
	fprintf(stderr, "%s\033[K", what);
	c->bar = true;
}

void progress_step_end(struct cli *c)
{
	if (c->bar)
		fputs("\r\033[K", stderr);
	c->bar = false;
}

void progress_start(struct progress *p, bool wanted, uint64_t total_files,
		uint64_t total_bytes)
{
	*p = (struct progress){
		.on = wanted,
		.total_files = total_files,
		.total_bytes = total_bytes,
	};
}

void progress_add(struct progress *p, uint64_t files, uint64_t bytes)
{
	uint64_t now;

	p->files += files;
	p->bytes += bytes;
	if (!p->on)
		return;
	now = now_ns();
	if (now - p->drawn_ns < DRAW_NS)
		return;
	p->drawn_ns = now;
	progress_draw(p);
}

void progress_end(struct progress *p)
{
	if (!p->on)
		return;
	fprintf(stderr, "\r\033[K");
	p->on = false;
}
