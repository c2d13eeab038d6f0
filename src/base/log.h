/* SPDX-License-Identifier: MIT */
/*
 * Messages for the person who runs the program.
 *
 * The engine never prints: it calls back. A message is logged once, where
 * bytes get their meaning, and the error number goes up in silence. A NULL
 * log swallows everything. The same line of code speaks at most LOG_BURST
 * times in LOG_WINDOW_MS; what was held back is counted in its next message.
 *
 *	log_err(log, "inode %u: extent depth %u > 5", inum, depth);
 *
 * Locks  log->lock guards the rate table only; the callback runs without it,
 *        in any thread, under whatever locks the speaker holds: it must not
 *        call back into the library.
 */
#ifndef UEXT4_BASE_LOG_H
#define UEXT4_BASE_LOG_H

#include <stdint.h>

#include "base/err.h"
#include "base/lock.h"

enum log_level {
	LOG_LEVEL_NONE = 0,
	LOG_LEVEL_ERR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

#define LOG_BURST     10
#define LOG_WINDOW_MS 5000
#define LOG_SOURCES   64  /* slots of the rate table */
#define LOG_LINE_MAX  512 /* longer messages are cut */

/* @msg has no newline and lives only during the call. */
typedef void (*log_fn)(void *arg, enum log_level level, const char *msg);

struct log_source {
	const char *file;
	int line;
	unsigned count;
	unsigned held_back;
	uint64_t window_ns; /* start of the window */
};

struct log {
	log_fn fn;            /* [const] NULL: nobody listens */
	void *arg;            /* [const] */
	enum log_level level; /* [const] what is above is dropped */
	struct mutex lock;
	struct log_source sources[LOG_SOURCES]; /* [lock] */
};

void log_init(struct log *log, log_fn fn, void *arg, enum log_level level);
void log_fini(struct log *log);

/* Through the macros below. */
void log_write(struct log *log, enum log_level level, const char *file,
		int line, const char *fmt, ...) UEXT4_PRINTF(5, 6);

#define log_err(log, ...)                                                      \
 log_write(log, LOG_LEVEL_ERR, __FILE__, __LINE__, __VA_ARGS__)
#define log_warn(log, ...)                                                     \
 log_write(log, LOG_LEVEL_WARN, __FILE__, __LINE__, __VA_ARGS__)
#define log_info(log, ...)                                                     \
 log_write(log, LOG_LEVEL_INFO, __FILE__, __LINE__, __VA_ARGS__)
#define log_debug(log, ...)                                                    \
 log_write(log, LOG_LEVEL_DEBUG, __FILE__, __LINE__, __VA_ARGS__)

#endif /* UEXT4_BASE_LOG_H */
