/* SPDX-License-Identifier: MIT */
/*
 * Copies: into an image, out of one, between images and inside one.
 *
 * The engine (copy.c) knows trees, hard links, holes and what to do about
 * errors; each end is a table of verbs: from the host, to the host
 * (copy_host.c), from an image, to an image (copy_image.c).
 *
 * Everything is kept: mode, owner, times to the nanosecond, attributes, hard
 * links, holes. A copy goes on after an error in one file.
 */
#ifndef UEXT4_CLI_COPY_H
#define UEXT4_CLI_COPY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cli/cli.h"
#include "cli/link_map.h"
#include "cli/walk.h"

#define COPY_BUF   ((size_t)4 << 20)
#define COPY_ALIGN 4096u

/* A source that is shorter than its length said. */
#define COPY_ESHRANK ESTALE

struct copy;

/* Something open at one end: a descriptor of the host, or a node of an image
 * and, for a regular file, the file. */
struct copy_obj {
	int fd; /* -1: none; AT_FDCWD is a directory as well */
	struct uext4_node *node;
	struct uext4_file *file;
};

/* One object at one end: @name in @dir, open as @obj. */
struct copy_item {
	const struct copy_obj *dir;
	const char *name;
	struct copy_obj obj;
};

/* What a copy keeps of it. */
struct copy_meta {
	uint64_t dev, ino;
	uint32_t mode, uid, gid, nlink;
	uint32_t major, minor; /* of a device */
	uint64_t size;
	struct timespec atime, mtime;
};

/* Verbs of a source. All: 0, a count, or -errno. */
struct copy_from_ops {
	/* Look at it. For an image that opens the node, too. */
	int (*stat)(struct copy *cp, struct copy_item *it,
			struct copy_meta *ret_meta);
	/* A regular file or a directory that stat() has seen, for reading. */
	int (*open)(struct copy *cp, struct copy_item *it,
			const struct copy_meta *meta);
	int (*list)(struct copy *cp, const struct copy_obj *dir,
			struct name_list *ret_names);
	/* The first data at or after @pos, below @size. -ENXIO: none. */
	int (*data)(struct copy *cp, const struct copy_item *it, uint64_t pos,
			uint64_t size, uint64_t *ret_start, uint64_t *ret_end);
	/* Short only at the end. @pos is aligned. */
	ssize_t (*read)(struct copy *cp, const struct copy_item *it,
			uint8_t *buf, size_t len, uint64_t pos);
	/* Terminated. */
	int (*readlink)(struct copy *cp, const struct copy_item *it, char *buf,
			size_t size);
	/* As listxattr(2) and getxattr(2). */
	ssize_t (*xattr_list)(struct copy *cp, const struct copy_item *it,
			char *buf, size_t size);
	ssize_t (*xattr_get)(struct copy *cp, const struct copy_item *it,
			const char *name, void *buf, size_t size);
	/* From @dir, which is left open, to the directory around it. -ESTALE if
	 * that is not the one of @id. */
	int (*up)(struct copy *cp, const struct copy_obj *dir,
			const struct copy_meta *id, struct copy_obj *ret_dir);
	void (*close)(struct copy *cp, struct copy_obj *obj);
};

/* Verbs of a target. */
struct copy_to_ops {
	bool pads; /* write() is given whole blocks, set_size() cuts */
	/* Make it, -EEXIST if the name is taken. Regular files are opened. */
	int (*create)(struct copy *cp, struct copy_item *it);
	int (*symlink)(struct copy *cp, struct copy_item *it,
			const char *target);
	int (*mknod)(struct copy *cp, struct copy_item *it,
			const struct copy_meta *meta);
	/* A further name of @first. -ENOENT, -ESTALE: that is gone. */
	int (*link)(struct copy *cp, struct copy_item *it,
			const struct link_to *first);
	/* Make a directory, or take the one that is there; open it. */
	int (*mkdir)(struct copy *cp, struct copy_item *it);
	int (*write)(struct copy *cp, const struct copy_item *it,
			const uint8_t *buf, size_t len, uint64_t pos);
	int (*set_size)(struct copy *cp, const struct copy_item *it,
			uint64_t size);
	int (*xattr_set)(struct copy *cp, const struct copy_item *it,
			const char *name, const void *value, size_t len);
	/* The owner, as far as the caller may; @meta->mode loses what must not
	 * go with another owner. */
	int (*own)(struct copy *cp, const struct copy_item *it,
			struct copy_meta *meta);
	/* Mode and times. */
	int (*finish)(struct copy *cp, const struct copy_item *it,
			const struct copy_meta *meta);
	/* dev and ino of it. */
	int (*ident)(struct copy *cp, const struct copy_item *it,
			uint64_t *ret_dev, uint64_t *ret_ino);
	/* May what has the name be replaced by a file? */
	int (*may_replace)(struct copy *cp, const struct copy_item *it);
	/* A name that @dir has not, of at most NAME_MAX bytes. */
	int (*temp_name)(struct copy *cp, const struct copy_obj *dir,
			char *ret_name);
	int (*rename)(struct copy *cp, const struct copy_obj *dir,
			const char *from, const char *to);
	int (*remove)(struct copy *cp, const struct copy_obj *dir,
			const char *name);
	int (*up)(struct copy *cp, const struct copy_obj *dir, uint64_t dev,
			uint64_t ino, struct copy_obj *ret_dir);
	int (*close)(struct copy *cp, struct copy_obj *obj);
};

extern const struct copy_from_ops copy_from_host, copy_from_image;
extern const struct copy_to_ops copy_to_host, copy_to_image;

enum copy_side {
	COPY_FROM,
	COPY_TO
};

/* A path that grows and shrinks with the walk. */
struct copy_path {
	char *text;
	size_t cap;
};

struct copy_frame;

/* One run of cp. The caller fills in the first part. */
struct copy {
	struct cli *c;
	bool recursive;
	const struct copy_from_ops *from;
	const struct copy_to_ops *to;
	const char *from_image, *to_image; /* NULL: the host */
	struct uext4_fs *from_fs, *to_fs;
	uint64_t image_dev, image_ino; /* an image as a file of the host: left
					  out, and not replaced */
	uint8_t *buf;                  /* COPY_BUF bytes, aligned */
	struct progress progress;

	struct link_map *links;
	struct link_map *seen;     /* directories of a source image */
	struct copy_path src, dst; /* of what is copied now */
	struct copy_frame *frames;
	size_t nframes, cap;
	uint64_t top_ino;     /* the first directory made: not copied into
				      itself */
	enum copy_side blame; /* whose error it was */
	bool stop;            /* nothing further can be written */
	bool warned_owner, warned_xattr; /* said once */
};

int copy_init(struct copy *cp, struct cli *c);
void copy_fini(struct copy *cp);

/* Copy @name of @src_dir to @dst_name of @dst_dir; the paths are for messages.
 * Errors are printed and noted. */
void copy_tree(struct copy *cp, const struct copy_obj *src_dir,
		const char *name, const char *src_path,
		const struct copy_obj *dst_dir, const char *dst_name,
		const char *dst_path);

/* Count what a copy from the host will move, for the progress bar. */
void copy_count_host(const char *src, uint64_t *files, uint64_t *bytes);

#endif /* UEXT4_CLI_COPY_H */
