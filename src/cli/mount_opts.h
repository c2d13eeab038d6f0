/* SPDX-License-Identifier: MIT */
/*
 * The options of `uext4 mount -o`, and of fstab's fourth field.
 */
#ifndef UEXT4_CLI_MOUNT_OPTS_H
#define UEXT4_CLI_MOUNT_OPTS_H

#include "cli/cli.h"
#include "fuse/serve.h"

/* Take the options in @text (split by commas) into @o and the tool's own into
 * @c (offset=, partition=). 0, or the exit status, the line being printed. */
int mount_opts_parse(struct cli *c, const char *text, struct serve_opts *o);
/* When all are taken: what depends on several, and the kernel's own string. */
int mount_opts_finish(struct cli *c, struct serve_opts *o);

#endif /* UEXT4_CLI_MOUNT_OPTS_H */
