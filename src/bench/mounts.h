/* SPDX-License-Identifier: MIT */
/*
 * Mounts of a run: seen by nobody else, and undone.
 *
 *	mounts_alone();			once, before the first
 *	... mount on dir ...
 *	ret = mounts_undo(dir);
 */
#ifndef UEXT4_BENCH_MOUNTS_H
#define UEXT4_BENCH_MOUNTS_H

/* From here on mounts of this process and of its children are nobody else's, and
 * gone with the last of them. Refused in some containers and to all but root,
 * which is no harm: they are undone at the end in any case. */
void mounts_alone(void);

/* Unmount @dir; waits a while for files that are being let go of. -EPERM: not
 * root. -EINVAL: nothing is mounted there. After other errors it is detached. */
int mounts_undo(const char *dir);

#endif /* UEXT4_BENCH_MOUNTS_H */
