/* SPDX-License-Identifier: MIT */
/*
 * Images that the kernel has mounted through a loop device. It takes no lock
 * on the file that would tell.
 */
#ifndef UEXT4_CLI_LOOPS_H
#define UEXT4_CLI_LOOPS_H

#include <stdbool.h>

#define LOOP_NAME 64

/* Is @image behind a loop device that is mounted, or held by something else?
 * Then @ret_name is its path. What cannot be known is no. */
bool loops_in_use(const char *image, char ret_name[LOOP_NAME]);

#endif /* UEXT4_CLI_LOOPS_H */
