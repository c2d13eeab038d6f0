/* SPDX-License-Identifier: MIT */
/*
 * Why something failed, as one line for a person: said where the failure gets
 * its meaning, passed up in silence as a number.
 */
#ifndef UEXT4_BENCH_FAULT_H
#define UEXT4_BENCH_FAULT_H

struct fault {
	char text[400]; /* "": nothing was said */
};

/* Keep the text unless there is one already. Returns @err. */
int fault_set(struct fault *f, int err, const char *fmt, ...)
		__attribute__((format(printf, 3, 4)));
/* Put @more behind the text, if there is one. */
void fault_add(struct fault *f, const char *more);

#endif /* UEXT4_BENCH_FAULT_H */
