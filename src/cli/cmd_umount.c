/* SPDX-License-Identifier: MIT */
/*
 * uext4 umount DIRECTORY: end a mount and wait until its server has written
 * everything; then look whether it has.
 *
 * The server holds a lock on the image until it is done with it, so having
 * that lock is the end of the wait. The superblock then tells whether the
 * image was left clean.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli/cli.h"
#include "fuse/serve.h"

/* The image mounted on @dir, the last one if several; NULL: none of ours. */
static char *find_image(const char *dir, bool *ret_rdonly)
{
	FILE *f = setmntent("/proc/self/mounts", "r");
	struct mntent entry;
	char text[8192];
	struct mntent *m;
	char *image = NULL;

	if (!f)
		return NULL;
	while ((m = getmntent_r(f, &entry, text, sizeof(text))) != NULL) {
		if (strcmp(m->mnt_dir, dir) != 0)
			continue;
		free(image);
		image = NULL;
		if (strcmp(m->mnt_type, "fuse.uext4") == 0)
			image = strdup(m->mnt_fsname);
		*ret_rdonly = hasmntopt(m, "ro") != NULL;
	}
	(void)endmntent(f);
	return image;
}

/* Wait until nobody has the image locked; then: was it left clean? */
static int wait_for_server(struct cli *c, const char *image)
{
	struct uext4_mount_opts opts = {
		.size = sizeof(opts),
		.flags = UEXT4_MNT_RDONLY, /* replays in memory, if need be */
		.offset = c->offset,
	};
	int fd = open(image, O_RDONLY | O_CLOEXEC);
	struct uext4_info info;
	struct uext4_fs *fs;
	int ret;

	if (fd < 0)
		return cli_err(c, image, NULL, -errno);
	while (flock(fd, LOCK_SH) < 0 && errno == EINTR)
		;
	(void)close(fd);
	if (uext4_mount(image, &opts, &fs) < 0)
		return 0; /* inside a larger disk: nothing to be seen here */
	ret = uext4_info(fs, &info);
	(void)uext4_unmount(fs);
	if (ret == 0 && info.needed_recovery)
		return cli_errf(c,
				"%s: not everything was written: the server "
				"failed or was killed; the journal has what "
				"was synced, see the system log",
				image);
	return 0;
}

/* What umount(8) hands to its helpers means nothing here. */
static int umount_options(struct cli *c, int argc, char **argv)
{
	int opt;

	while ((opt = cli_getopt(c, argc, argv, ":nvrt:N:")) != -1) {
		if (opt == '?')
			return -EINVAL;
	}
	return 0;
}

int cmd_umount(struct cli *c, int argc, char **argv)
{
	bool rdonly = false;
	char *image;
	char *dir;
	int ret;

	if (umount_options(c, argc, argv) < 0 || argc - optind != 1)
		return cli_usage(c);
	dir = realpath(argv[optind], NULL);
	if (!dir && errno == ENOTCONN) /* a dead mount has its name still */
		dir = strdup(argv[optind]);
	if (!dir)
		return cli_err(c, NULL, argv[optind], -errno);
	image = find_image(dir, &rdonly);
	if (!image) {
		ret = cli_errf(c, "%s: no image of ours is mounted there", dir);
		free(dir);
		return ret;
	}
	ret = serve_umount(dir, false);
	if (ret == -ECANCELED)
		ret = c->status = CLI_FAILED;
	else if (ret == -EBUSY)
		ret = cli_errf(c,
				"%s: still in use; close its files and leave "
				"it first (fuser -m %s tells whose)",
				dir, dir);
	else if (ret < 0)
		ret = cli_err(c, NULL, dir, ret);
	else if (!rdonly)
		ret = wait_for_server(c, image);
	free(image);
	free(dir);
	return ret;
}
