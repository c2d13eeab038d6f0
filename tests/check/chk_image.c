/* SPDX-License-Identifier: MIT */
/*
 * Images for the checker's own tests (see chk_image.h).
 */
#include "check/chk_image.h"

#include "base/le.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHK_PATH "PATH=/usr/sbin:/sbin:/usr/bin:/bin; export PATH; "

int chk_run(const char *fmt, ...)
{
	char cmd[2048] = CHK_PATH;
	size_t at = strlen(cmd);
	va_list ap;
	int status;

	va_start(ap, fmt);
	vsnprintf(cmd + at, sizeof(cmd) - at, fmt, ap);
	va_end(ap);
	status = system(cmd);
	if (status < 0)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -ECHILD;
}

bool chk_have_e2fsprogs(void)
{
	return chk_run("command -v mke2fs debugfs e2fsck gzip >/dev/null") == 0;
}

/* The tree every image holds; needs no privilege. */
static int image_tree(const char *dir)
{
	return chk_run("set -e; cd %s; mkdir t; cd t;"
		       "mkdir -p d/e/f big many;"
		       "printf 'hello\\n' >d/hello; ln d/hello d/again;"
		       "seq 1 9000 >big/long;"
		       "ln -s hello d/fast;"
		       "ln -s \"$(printf 'x%%.0s' $(seq 200))\" d/slow;"
		       "mkfifo d/fifo;"
		       "for i in $(seq 1 160); do"
		       "  : >many/a_rather_long_name_for_a_file_$i; done;"
		       "truncate -s 9M big/sparse; echo end >>big/sparse;"
		       "truncate -s 70M big/far; echo end >>big/far",
			dir);
}

/* A file of 400 runs: more extents than an inode or a node holds. */
static int image_holes(const char *dir)
{
	char path[128];
	int fd, ret = 0;

	snprintf(path, sizeof(path), "%s/t/big/holes", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	for (off_t i = 0; i < 400 && ret == 0; i++)
		if (pwrite(fd, "x", 1, i * 8192) != 1)
			ret = -errno;
	close(fd);
	return ret;
}

/* What mke2fs -d cannot bring along without privileges. */
static int image_extras(struct chk_image *im)
{
	int ret = chk_run("cd %s; { echo 'cd /d'; echo 'mknod chr c 1 3';"
			  "echo 'mknod blk b 8 200';"
			  "echo 'ea_set hello user.one first';"
			  "echo 'ea_set hello user.two second';"
			  "echo 'ea_set /big/long -f t/many.txt user.big';"
			  "echo 'ea_set /big/long user.tiny x'; } >cmds;"
			  "head -c 400 t/big/long >t/many.txt;"
			  "debugfs -w -f cmds %s >/dev/null 2>&1",
			im->dir, im->path);

	if (ret != 0)
		return -EIO;
	/* -D gives the large directory its index. */
	ret = chk_run("e2fsck -fyD %s >%s 2>&1", im->path, im->out);
	return ret == 0 || ret == 1 ? 0 : -EIO;
}

static int image_open(struct chk_image *im)
{
	struct stat st;
	ssize_t n;

	im->fd = open(im->path, O_RDWR | O_CLOEXEC);
	if (im->fd < 0 || fstat(im->fd, &st) < 0)
		return -errno;
	im->size = (uint64_t)st.st_size;
	im->mem = malloc(im->size + 1);
	if (!im->mem)
		return -ENOMEM;
	n = pread(im->fd, im->mem, im->size, 0);
	if (n < 0 || (uint64_t)n != im->size)
		return -EIO;
	im->dev.map = im->mem;
	im->dev.size = im->size;
	return 0;
}

int chk_image_reload(struct chk_image *im)
{
	close(im->fd);
	free(im->mem);
	im->mem = NULL;
	return image_open(im);
}

static int image_dir(struct chk_image *im)
{
	memset(im, 0, sizeof(*im));
	im->fd = -1;
	snprintf(im->dir, sizeof(im->dir), "/tmp/uext4-check-XXXXXX");
	if (!mkdtemp(im->dir)) {
		im->dir[0] = 0;
		return -errno;
	}
	snprintf(im->path, sizeof(im->path), "%s/image", im->dir);
	snprintf(im->out, sizeof(im->out), "%s/out", im->dir);
	return 0;
}

int chk_image_make(struct chk_image *im, const char *args, uint64_t size)
{
	int ret = image_dir(im);

	if (ret < 0)
		return ret;
	if (image_tree(im->dir) != 0 || image_holes(im->dir) < 0)
		return -EIO;
	ret = chk_run("truncate -s %ju %s && mke2fs -q -F -d %s/t %s %s >%s "
		      "2>&1",
			(uintmax_t)size, im->path, im->dir, args, im->path,
			im->out);
	if (ret != 0)
		return -EIO;
	ret = image_extras(im);
	return ret < 0 ? ret : image_open(im);
}

int chk_image_take(struct chk_image *im, const char *path)
{
	int ret = image_dir(im);

	if (ret < 0)
		return ret;
	if (chk_run("case %s in *.gz) gzip -dc %s >%s;; *) cp --sparse=always "
		    "%s %s;; esac",
			    path, path, im->path, path, im->path) != 0)
		return -EIO;
	return image_open(im);
}

void chk_image_free(struct chk_image *im)
{
	if (im->fd >= 0)
		close(im->fd);
	free(im->mem);
	if (im->dir[0])
		chk_run("rm -rf %s", im->dir);
}

void chk_poke(struct chk_image *im, uint64_t pos, uint8_t value)
{
	if (pos >= im->size || im->npokes == CHK_MAX_POKES)
		abort();
	im->poke[im->npokes].pos = pos;
	im->poke[im->npokes++].old = im->mem[pos];
	im->mem[pos] = value;
	if (pwrite(im->fd, &value, 1, (off_t)pos) != 1)
		abort();
}

void chk_restore(struct chk_image *im)
{
	while (im->npokes > 0) {
		uint64_t pos = im->poke[--im->npokes].pos;
		uint8_t old = im->poke[im->npokes].old;

		im->mem[pos] = old;
		if (pwrite(im->fd, &old, 1, (off_t)pos) != 1)
			abort();
	}
}

static int image_spawn(const struct chk_image *im)
{
	struct rlimit cpu = { 20, 20 };
	pid_t pid = fork();
	int status, fd;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		setrlimit(RLIMIT_CPU, &cpu);
		fd = open(im->out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		dup2(fd, 1);
		dup2(fd, 2);
		setenv("PATH", "/usr/sbin:/sbin:/usr/bin:/bin", 1);
		execlp("e2fsck", "e2fsck", "-fn", im->path, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (WIFSIGNALED(status))
		return 8; /* it gave up on the image */
	if (WEXITSTATUS(status) == 127)
		return -ENOENT;
	return WEXITSTATUS(status);
}

int chk_e2fsck(const struct chk_image *im)
{
	static char text[65536];
	int ret = image_spawn(im);
	int fd;
	ssize_t n;

	if (ret < 0)
		return ret;
	if (ret != 0)
		return 1;
	fd = open(im->out, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	/* A tree that could be narrower is not damage. */
	for (const char *q = text; (q = strstr(q, "? no")); q += 4)
		if (q - text < 8 || memcmp(q - 8, "Optimize", 8) != 0)
			return 1;
	return 0;
}

uint32_t chk_block_size(const struct chk_image *im)
{
	return 1024u << get_le32(im->mem + 1024 + 0x18);
}

uint32_t chk_inode_size(const struct chk_image *im)
{
	return get_le32(im->mem + 1024 + 0x4c) ? get_le16(im->mem + 1024 + 0x58)
					       : 128;
}

uint64_t chk_gd_pos(const struct chk_image *im, uint32_t grp)
{
	const uint8_t *sb = im->mem + 1024;
	uint32_t size = get_le32(sb + 0x60) & 0x80 ? get_le16(sb + 0xfe) : 32;

	return (uint64_t)chk_block_size(im) * (get_le32(sb + 0x14) + 1) +
			(uint64_t)grp * size;
}

uint64_t chk_inode_pos(const struct chk_image *im, uint32_t ino)
{
	uint32_t ipg = get_le32(im->mem + 1024 + 0x28);
	uint64_t gd = chk_gd_pos(im, (ino - 1) / ipg);
	uint64_t table = get_le32(im->mem + gd + 8);

	return table * chk_block_size(im) +
			(uint64_t)((ino - 1) % ipg) * chk_inode_size(im);
}
