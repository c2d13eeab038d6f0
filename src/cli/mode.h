/* SPDX-License-Identifier: MIT */
/*
 * Permissions as chmod(1) writes them: "0644", "u+rwx,go-w", "a=rX".
 */
#ifndef UEXT4_CLI_MODE_H
#define UEXT4_CLI_MODE_H

#include <stdbool.h>
#include <stdint.h>

/* What @text makes of the permissions @old. -EINVAL. */
int mode_change(const char *text, uint32_t old, bool is_dir,
		uint32_t *ret_mode);

#endif /* UEXT4_CLI_MODE_H */
