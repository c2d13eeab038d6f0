/* SPDX-License-Identifier: MIT */
/*
 * A program that serves a FUSE mount, as a child of this process.
 *
 *	ret = server_start(&s, argv, dir, stop, fault);
 *	... files below dir ...
 *	ret = server_end(&s, fault);
 *
 * It stays in the foreground, in a session of its own: what is typed at the
 * terminal ends the run, and the run ends the server. If this process dies, the
 * server gets SIGTERM, by which it unmounts.
 */
#ifndef UEXT4_BENCH_SERVER_H
#define UEXT4_BENCH_SERVER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/fault.h"

struct server {
	pid_t pid;  /* 0: none */
	int log;    /* what it says, a file without a name */
	char *dir;  /* on which it is mounted */
	int status; /* as of waitpid(), once it has ended */
	bool mounted;
};

/* Run argv[0], a path, and wait until @dir answers as another file system than
 * the one it was. TARGET_SKIP with the reason in @fault if the program ends
 * before that, or does not come up in time; -EINTR when *@stop is set. */
int server_start(struct server *s, char *const *argv, const char *dir,
		const volatile sig_atomic_t *stop, struct fault *fault);

/* ns of CPU time that it has used, all threads; 0 if that cannot be asked. */
uint64_t server_cpu(const struct server *s);

/* Unmount, and wait for the end of the program. -EIO if it did not end well. Does
 * nothing if it was not started, or ended already. */
int server_end(struct server *s, struct fault *fault);

#endif /* UEXT4_BENCH_SERVER_H */
