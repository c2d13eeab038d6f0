/* SPDX-License-Identifier: MIT */
/*
 * The way of a message: level, rate limit, formatting, callback.
 *
 * The rate table has one slot per hash of (file, line); two sources that
 * meet in a slot push each other out, which only makes the limit milder.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/hmap.h"

#define LOG_WINDOW_NS (LOG_WINDOW_MS * UINT64_C(1000000))

void log_init(struct log *log, log_fn fn, void *arg, enum log_level level)
{
	memset(log, 0, sizeof(*log));
	log->fn = fn;
	log->arg = arg;
	log->level = level;
	mutex_init(&log->lock, "log", LOCK_RANK_LOG);
}

void log_fini(struct log *log)
{
	mutex_fini(&log->lock);
}

/* May this source speak? Then *ret_held_back is how often it could not. */
static bool log_may_speak(struct log *log, const char *file, int line,
		unsigned *ret_held_back)
{
	uint64_t key = (uint64_t)(uintptr_t)file ^ ((uint64_t)line << 48);
	struct log_source *src =
			&log->sources[hmap_mix(key) % array_len(log->sources)];
	uint64_t now = time_now_ns();
	bool ok = true;

	mutex_lock(&log->lock);
	if (src->file != file || src->line != line) {
		*src = (struct log_source){
			.file = file, .line = line, .window_ns = now
		};
	} else if (now - src->window_ns > LOG_WINDOW_NS) {
		src->window_ns = now;
		src->count = 0;
	}
	if (src->count >= LOG_BURST) {
		src->held_back++;
		ok = false;
	} else {
		src->count++;
		*ret_held_back = src->held_back;
		src->held_back = 0;
	}
	mutex_unlock(&log->lock);
	return ok;
}

void log_write(struct log *log, enum log_level level, const char *file,
		int line, const char *fmt, ...)
{
	char msg[LOG_LINE_MAX];
	unsigned held_back = 0;
	va_list ap;
	int n;

	if (!log || !log->fn || level > log->level)
		return;
	if (!log_may_speak(log, file, line, &held_back))
		return;

	va_start(ap, fmt);
	n = vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	if (held_back > 0 && n >= 0 && (size_t)n < sizeof(msg))
		(void)snprintf(msg + n, sizeof(msg) - (size_t)n,
				" (%u like this held back)", held_back);
	log->fn(log->arg, level, msg);
}
