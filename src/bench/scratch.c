/* SPDX-License-Identifier: MIT */
/*
 * A place to work in, and the machine. See scratch.h.
 */
#include "bench/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#define MIB       (1ull << 20)
#define KEEP_MEM  (768 * MIB) /* what lies in memory leaves so much to work */
#define XFS_MAGIC 0x58465342u
#define ZFS_MAGIC 0x2fc12fc1u

/* ---- lines of /proc ---- */

/* What stands behind "@key ... :" in @path; "" if it does not. */
static void proc_value(
		const char *path, const char *key, char *ret, size_t size)
{
	char line[512];
	char *value;
	FILE *f;

	ret[0] = '\0';
	f = fopen(path, "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		value = strchr(line, ':');
		if (strncmp(line, key, strlen(key)) != 0 || !value)
			continue;
		value += 1 + strspn(value + 1, " \t");
		value[strcspn(value, "\n")] = '\0';
		snprintf(ret, size, "%s", value);
		break;
	}
	fclose(f);
}

static uint64_t memory_available(void)
{
	char value[64];

	proc_value("/proc/meminfo", "MemAvailable", value, sizeof(value));
	return value[0] == '\0' ? UINT64_MAX : strtoull(value, NULL, 10) * 1024;
}

/* ---- the directory ---- */

/* 0, or -ENOSPC with the bytes that there are, or what is wrong with @dir. */
static int dir_check(const char *dir, uint64_t need, uint64_t *ret_free)
{
	struct statfs st;
	uint64_t bytes;
	uint64_t mem;

	if (access(dir, W_OK | X_OK) < 0 || statfs(dir, &st) < 0)
		return -errno;
	bytes = (uint64_t)st.f_bavail * (uint64_t)st.f_bsize;
	if (st.f_type == TMPFS_MAGIC || st.f_type == RAMFS_MAGIC) {
		mem = memory_available();
		mem = mem > KEEP_MEM ? mem - KEEP_MEM : 0;
		/* a size of 0 is one without a limit */
		if (st.f_blocks == 0 || bytes > mem)
			bytes = mem;
	}
	*ret_free = bytes;
	return bytes < need ? -ENOSPC : 0;
}

static int dir_fail(struct fault *fault, const char *dir, uint64_t need,
		uint64_t bytes, int err)
{
	if (err == -ENOSPC)
		return fault_set(fault, err,
				"%s: has %llu MiB of room, %llu are needed; "
				"choose another with --dir, or a smaller "
				"--size",
				dir, (unsigned long long)(bytes / MIB),
				(unsigned long long)(need / MIB));
	return fault_set(fault, err, "%s: %s", dir, uext4_strerror(err));
}

static const char *dir_choose(uint64_t need)
{
	/* nothing in this program changes the environment */
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) */
	const char *tmp = getenv("TMPDIR");
	uint64_t bytes;

	if (dir_check("/dev/shm", need, &bytes) == 0)
		return "/dev/shm";
	return tmp && tmp[0] != '\0' ? tmp : "/tmp";
}

int scratch_make(const char *dir, uint64_t need, struct fault *fault, char *ret,
		size_t size)
{
	uint64_t bytes = 0;
	int err;

	if (!dir)
		dir = dir_choose(need);
	err = dir_check(dir, need, &bytes);
	if (err < 0)
		return dir_fail(fault, dir, need, bytes, err);
	if (snprintf(ret, size, "%s/uext4-bench.XXXXXX", dir) >= (int)size)
		return dir_fail(fault, dir, need, bytes, -ENAMETOOLONG);
	return mkdtemp(ret) ? 0 : dir_fail(fault, dir, need, bytes, -errno);
}

bool scratch_is_direct(const char *dir)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/direct", dir);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_DIRECT, 0600);
	if (fd >= 0)
		close(fd);
	(void)unlink(path);
	return fd >= 0;
}

/* ---- the machine ---- */

static void describe_fs(const char *dir, struct bench_machine *m)
{
	static const struct {
		unsigned long magic;
		const char *name;
	} known[] = {
		{ TMPFS_MAGIC, "tmpfs" },
		{ RAMFS_MAGIC, "ramfs" },
		{ EXT4_SUPER_MAGIC, "ext4" },
		{ XFS_MAGIC, "xfs" },
		{ BTRFS_SUPER_MAGIC, "btrfs" },
		{ F2FS_SUPER_MAGIC, "f2fs" },
		{ OVERLAYFS_SUPER_MAGIC, "overlay" },
		{ NFS_SUPER_MAGIC, "nfs" },
		{ ZFS_MAGIC, "zfs" },
	};
	unsigned long magic;
	struct statfs st;
	size_t i;

	if (statfs(dir, &st) < 0)
		return;
	magic = (unsigned long)st.f_type & 0xffffffffu;
	snprintf(m->fs, sizeof(m->fs), "%#lx", magic);
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].magic == magic)
			snprintf(m->fs, sizeof(m->fs), "%s", known[i].name);
	}
}

void scratch_describe(const char *dir, struct bench_machine *ret_m)
{
	const char *slash = strrchr(dir, '/');
	struct utsname uts;
	cpu_set_t cpus;

	*ret_m = (struct bench_machine){ .cpus = 1 };
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		ret_m->cpus = (unsigned)CPU_COUNT(&cpus);
	proc_value("/proc/cpuinfo", "model name", ret_m->cpu,
			sizeof(ret_m->cpu));
	if (uname(&uts) == 0) {
		snprintf(ret_m->kernel, sizeof(ret_m->kernel), "%s",
				uts.release);
		if (ret_m->cpu[0] == '\0')
			snprintf(ret_m->cpu, sizeof(ret_m->cpu), "%s",
					uts.machine);
	}
	/* the directory that was asked for, not the one made in it */
	snprintf(ret_m->dir, sizeof(ret_m->dir), "%.*s",
			slash ? (int)(slash - dir) : 0, dir);
	describe_fs(dir, ret_m);
}
