/* SPDX-License-Identifier: MIT */
/*
 * The IOPS as bars, one group a job, one colour a target; drawn by gnuplot,
 * whose script and data are one text.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/child.h"

static const char *const colours[BENCH_TARGETS_MAX] = { "#8c8c8c", "#1f6fb4",
	"#e08214", "#35978f", "#9970ab", "#bf4f6f", "#5aae61", "#d6a800" };

bool bench_can_plot(void)
{
	char path[4096];

	return child_find("gnuplot", path, sizeof(path)) == 0;
}

static bool job_has_figures(const struct bench_report *report, unsigned job)
{
	unsigned i;

	for (i = 0; i < report->ntargets; i++) {
		if (report->figures[job][i].measured)
			return true;
	}
	return false;
}

/* Text between single quotes, in which gnuplot knows only the quote itself. */
static void put_quoted(FILE *to, const char *text)
{
	fputc('\'', to);
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			fputc('\'', to);
		fputc((unsigned char)*text < ' ' ? ' ' : *text, to);
	}
	fputc('\'', to);
}

/* A line a job: its name, and of each target the figure or "?". */
static void put_data(FILE *to, const struct bench_report *report)
{
	unsigned i;
	unsigned j;

	fputs("$data << EOD\n", to);
	for (j = 0; bench_job_name(j); j++) {
		if (!job_has_figures(report, j))
			continue;
		fprintf(to, "%s", bench_job_name(j));
		for (i = 0; i < report->ntargets; i++) {
			if (report->figures[j][i].measured)
				fprintf(to, " %.1f",
						report->figures[j][i].iops);
			else
				fputs(" ?", to);
		}
		fputc('\n', to);
	}
	fputs("EOD\n", to);
}

static void put_script(FILE *to, const struct bench_report *report, bool png)
{
	const struct bench_machine *m = &report->machine;
	char title[700];
	const char *sep = "plot ";
	unsigned i;

	snprintf(title, sizeof(title), "%u x %s, kernel %s, %s", m->cpus,
			m->cpu, m->kernel, m->fs);
	put_data(to, report);
	fprintf(to, "set terminal %s size 1400,640 font 'sans,13'\n",
			png ? "pngcairo noenhanced" : "svg noenhanced");
	fputs("set title ", to);
	put_quoted(to, title);
	fputs("\nset style data histograms\n"
	      "set style histogram clustered gap 1.5\n"
	      "set style fill solid 0.9 border -1\n"
	      "set datafile missing '?'\n"
	      "set logscale y\n"
	      "set yrange [100:*]\n"
	      "set format y '%.0s%c'\n"
	      "set ylabel 'operations per second (log)'\n"
	      "set grid ytics back lw 1 dt 1 lc rgb '#909090'\n"
	      "set xtics rotate by -25 nomirror\n"
	      "set key outside top right vertical\n"
	      "set bmargin 5\n",
			to);
	for (i = 0; i < report->ntargets; i++) {
		if (report->targets[i].skipped)
			continue;
		fprintf(to, "%s$data using %u:xtic(1) lc rgb '%s' title ", sep,
				i + 2, colours[i]);
		put_quoted(to, report->targets[i].name);
		sep = ", \\\n     ";
	}
	fputc('\n', to);
}

/* The script as a file that has no name. */
static int script_open(const struct bench_report *report, bool png)
{
	int fd = memfd_create("uext4-bench-plot", MFD_CLOEXEC);
	FILE *to;
	int copy;

	if (fd < 0)
		return -errno;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	to = copy < 0 ? NULL : fdopen(copy, "w");
	if (!to) {
		close(fd);
		if (copy >= 0)
			close(copy);
		return -ENOMEM;
	}
	put_script(to, report, png);
	if (fclose(to) != 0 || lseek(fd, 0, SEEK_SET) < 0) {
		close(fd);
		return -EIO;
	}
	return fd;
}

int bench_plot(const struct bench_report *report, const char *path, char *why,
		size_t size)
{
	char *const argv[] = { (char[]){ "gnuplot" }, NULL };
	const char *dot = strrchr(path, '.');
	char said[300] = "";
	int script;
	int out;
	int ret;

	out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (out < 0) {
		ret = -errno;
		snprintf(why, size, "%s", uext4_strerror(ret));
		return ret;
	}
	script = script_open(report, dot && strcmp(dot, ".png") == 0);
	ret = script;
	if (script >= 0) {
		ret = child_run(argv, script, out, said, sizeof(said));
		close(script);
	}
	if (close(out) < 0 && ret == 0)
		ret = -errno;
	said[strcspn(said, "\n")] = '\0';
	if (ret > 0)
		snprintf(why, size, "gnuplot fails: %s", said);
	else if (ret < 0)
		snprintf(why, size, "%s", uext4_strerror(ret));
	return ret > 0 ? -EIO : ret;
}
