/* SPDX-License-Identifier: MIT */
/*
 * Mounts of a run. See mounts.h.
 */
#include "bench/mounts.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <unistd.h>

#define UMOUNT_TRIES 100
#define UMOUNT_PAUSE 20000 /* us */

void mounts_alone(void)
{
	if (unshare(CLONE_NEWNS) == 0)
		(void)mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

int mounts_undo(const char *dir)
{
	int tries;
	int ret;

	/* A ring that was closed lets go of its files a little later. */
	for (tries = 0; umount2(dir, 0) < 0; tries++) {
		ret = -errno;
		if (ret == -EPERM || ret == -EINVAL)
			return ret;
		if (ret != -EBUSY || tries == UMOUNT_TRIES) {
			(void)umount2(dir, MNT_DETACH);
			return ret;
		}
		(void)usleep(UMOUNT_PAUSE);
	}
	return 0;
}
