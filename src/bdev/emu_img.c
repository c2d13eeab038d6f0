/* SPDX-License-Identifier: MIT */
/*
 * Forkable images: a persistent radix tree with 64 slots a node.
 *
 * height counts the levels of nodes; the slots of level 1 hold pages. Before
 * a change every node and the page on the path are made private (P1), so a
 * walk down either changes in place or copies 512 bytes a level.
 */
#include "bdev/emu_img.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NODE_BITS  6
#define NODE_SLOTS (1u << NODE_BITS)

struct emu_node {
	struct ref ref;
	void *slot[NODE_SLOTS]; /* nodes, or pages at level 1 */
};

struct emu_img {
	uint64_t size;
	unsigned int height;
	struct emu_node *root; /* NULL: all zero */
};

struct emu_page *emu_page_new(void)
{
	struct emu_page *page = calloc(1, sizeof(*page));

	if (page)
		ref_init(&page->ref, 1);
	return page;
}

void emu_page_put(struct emu_page *page)
{
	if (page && ref_put(&page->ref))
		free(page);
}

static void node_put(struct emu_node *node, unsigned int level)
{
	unsigned int i;

	if (!node || !ref_put(&node->ref))
		return;
	for (i = 0; i < NODE_SLOTS; i++) {
		if (level == 1)
			emu_page_put(node->slot[i]);
		else
			node_put(node->slot[i], level - 1);
	}
	free(node);
}

/* Make *where a node that only we refer to. */
static int node_own(struct emu_node **where, unsigned int level)
{
	struct emu_node *old = *where;
	struct emu_node *node;
	unsigned int i;

	if (old && ref_count(&old->ref) == 1)
		return 0;
	node = calloc(1, sizeof(*node));
	if (!node)
		return -ENOMEM;
	ref_init(&node->ref, 1);
	for (i = 0; old && i < NODE_SLOTS; i++) {
		node->slot[i] = old->slot[i];
		if (!node->slot[i])
			continue;
		if (level == 1)
			ref_get(&((struct emu_page *)node->slot[i])->ref);
		else
			ref_get(&((struct emu_node *)node->slot[i])->ref);
	}
	node_put(old, level);
	*where = node;
	return 0;
}

static unsigned int slot_of(uint64_t idx, unsigned int level)
{
	return (idx >> ((level - 1) * NODE_BITS)) & (NODE_SLOTS - 1);
}

static const struct emu_page *page_find(const struct emu_img *img, uint64_t idx)
{
	const struct emu_node *node = img->root;
	unsigned int level;

	for (level = img->height; node && level > 1; level--)
		node = node->slot[slot_of(idx, level)];
	return node ? node->slot[slot_of(idx, 1)] : NULL;
}

/* The slot that holds page @idx, on a path that only @img refers to. */
static int page_slot(struct emu_img *img, uint64_t idx, void ***ret_slot)
{
	void **where = (void **)&img->root;
	struct emu_node *node;
	unsigned int level;
	int ret;

	for (level = img->height; level > 0; level--) {
		node = *where;
		ret = node_own(&node, level);
		if (ret < 0)
			return ret;
		*where = node;
		where = &node->slot[slot_of(idx, level)];
	}
	*ret_slot = where;
	return 0;
}

/* Page @idx for changing; its old contents are there only if @keep. */
static int page_own(struct emu_img *img, uint64_t idx, bool keep,
		struct emu_page **ret_page)
{
	struct emu_page *page;
	struct emu_page *old;
	void **slot;
	int ret;

	ret = page_slot(img, idx, &slot);
	if (ret < 0)
		return ret;
	old = *slot;
	if (!old || ref_count(&old->ref) != 1) {
		page = keep && !old ? emu_page_new() : malloc(sizeof(*page));
		if (!page)
			return -ENOMEM;
		ref_init(&page->ref, 1);
		if (keep && old)
			memcpy(page->data, old->data, EMU_PAGE_SIZE);
		emu_page_put(old);
		*slot = page;
	}
	*ret_page = *slot;
	return 0;
}

int emu_img_new(uint64_t size, struct emu_img **ret_img)
{
	uint64_t pages = div_up_u64(size, EMU_PAGE_SIZE);
	struct emu_img *img = calloc(1, sizeof(*img));

	if (!img)
		return -ENOMEM;
	img->size = size;
	img->height = 1;
	while (pages > NODE_SLOTS) {
		pages = div_up_u64(pages, NODE_SLOTS);
		img->height++;
	}
	*ret_img = img;
	return 0;
}

int emu_img_fork(const struct emu_img *img, struct emu_img **ret_img)
{
	struct emu_img *twin = malloc(sizeof(*twin));

	if (!twin)
		return -ENOMEM;
	*twin = *img;
	if (twin->root)
		ref_get(&twin->root->ref);
	*ret_img = twin;
	return 0;
}

void emu_img_free(struct emu_img *img)
{
	if (!img)
		return;
	node_put(img->root, img->height);
	free(img);
}

uint64_t emu_img_size(const struct emu_img *img)
{
	return img->size;
}

void emu_img_read(const struct emu_img *img, uint64_t pos, void *buf,
		uint64_t len)
{
	uint8_t *to = buf;

	assert(range_is_within(pos, len, 0, img->size));
	while (len > 0) {
		const struct emu_page *page =
				page_find(img, pos >> EMU_PAGE_BITS);
		size_t off = pos % EMU_PAGE_SIZE;
		size_t n = min_u64(len, EMU_PAGE_SIZE - off);

		if (page)
			memcpy(to, page->data + off, n);
		else
			memset(to, 0, n);
		to += n;
		pos += n;
		len -= n;
	}
}

int emu_img_write(struct emu_img *img, uint64_t pos, const void *buf,
		uint64_t len)
{
	const uint8_t *from = buf;
	struct emu_page *page;
	int ret;

	assert(range_is_within(pos, len, 0, img->size));
	while (len > 0) {
		size_t off = pos % EMU_PAGE_SIZE;
		size_t n = min_u64(len, EMU_PAGE_SIZE - off);

		ret = page_own(img, pos >> EMU_PAGE_BITS, n != EMU_PAGE_SIZE,
				&page);
		if (ret < 0)
			return ret;
		memcpy(page->data + off, from, n);
		from += n;
		pos += n;
		len -= n;
	}
	return 0;
}

int emu_img_set_page(struct emu_img *img, uint64_t idx, struct emu_page *page)
{
	void **slot;
	int ret;

	assert(idx < div_up_u64(img->size, EMU_PAGE_SIZE));
	if (!page && !page_find(img, idx))
		return 0;
	ret = page_slot(img, idx, &slot);
	if (ret < 0)
		return ret;
	if (page)
		ref_get(&page->ref);
	emu_page_put(*slot);
	*slot = page;
	return 0;
}

int emu_img_zero(struct emu_img *img, uint64_t pos, uint64_t len)
{
	struct emu_page *page;
	int ret;

	assert(range_is_within(pos, len, 0, img->size));
	while (len > 0) {
		uint64_t idx = pos >> EMU_PAGE_BITS;
		size_t off = pos % EMU_PAGE_SIZE;
		size_t n = min_u64(len, EMU_PAGE_SIZE - off);

		if (n == EMU_PAGE_SIZE) {
			ret = emu_img_set_page(img, idx, NULL);
		} else if (!page_find(img, idx)) {
			ret = 0;
		} else {
			ret = page_own(img, idx, true, &page);
			if (ret == 0)
				memset(page->data + off, 0, n);
		}
		if (ret < 0)
			return ret;
		pos += n;
		len -= n;
	}
	return 0;
}

typedef int (*diff_fn)(void *ctx, uint64_t idx, const struct emu_page *pa,
		const struct emu_page *pb);

/* Depth is the tree's height, at most nine: recursion is bounded. */
static int node_diff(const struct emu_node *a, const struct emu_node *b,
		unsigned int level, uint64_t idx, diff_fn fn, void *ctx)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < NODE_SLOTS && ret == 0; i++) {
		const void *sa = a ? a->slot[i] : NULL;
		const void *sb = b ? b->slot[i] : NULL;
		uint64_t child = idx << NODE_BITS | i;

		if (sa == sb)
			continue;
		ret = level == 1 ? fn(ctx, child, sa, sb)
				 : node_diff(sa, sb, level - 1, child, fn, ctx);
	}
	return ret;
}

int emu_img_diff(const struct emu_img *a, const struct emu_img *b,
		int (*fn)(void *ctx, uint64_t idx, const struct emu_page *pa,
				const struct emu_page *pb),
		void *ctx)
{
	assert(a->size == b->size);
	if (a->root == b->root)
		return 0;
	return node_diff(a->root, b->root, a->height, 0, fn, ctx);
}

static int page_is_unequal(void *ctx, uint64_t idx, const struct emu_page *pa,
		const struct emu_page *pb)
{
	static const uint8_t zero[EMU_PAGE_SIZE];

	return memcmp(pa ? pa->data : zero, pb ? pb->data : zero,
			       EMU_PAGE_SIZE) != 0;
}

bool emu_img_is_equal(const struct emu_img *a, const struct emu_img *b)
{
	return a->size == b->size &&
			emu_img_diff(a, b, page_is_unequal, NULL) == 0;
}

/* ---- files ---- */

struct saver {
	int fd;
	uint64_t size;
};

static int write_page(void *ctx, uint64_t idx, const struct emu_page *pa,
		const struct emu_page *pb)
{
	static const uint8_t zero[EMU_PAGE_SIZE];
	const struct saver *s = ctx;
	uint64_t pos = idx << EMU_PAGE_BITS;
	size_t len = min_u64(EMU_PAGE_SIZE, s->size - pos);
	const uint8_t *from = pa ? pa->data : zero;
	ssize_t n;

	while (len > 0) {
		n = pwrite(s->fd, from, len, (off_t)pos);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		from += n;
		pos += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int emu_img_update(const struct emu_img *img, const struct emu_img *old, int fd)
{
	struct saver s = { .fd = fd, .size = img->size };

	return emu_img_diff(img, old, write_page, &s);
}

int emu_img_save(const struct emu_img *img, const char *path)
{
	struct saver s = { .size = img->size };
	int ret = 0;

	s.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (s.fd < 0)
		return -errno;
	if (ftruncate(s.fd, (off_t)img->size) < 0)
		ret = -errno;
	if (ret == 0 && img->root)
		ret = node_diff(img->root, NULL, img->height, 0, write_page,
				&s);
	if (close(s.fd) < 0 && ret == 0)
		ret = -errno;
	return ret;
}

static bool is_all_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

static int load_pages(struct emu_img *img, int fd)
{
	uint8_t buf[EMU_PAGE_SIZE];
	uint64_t pos = 0;
	int ret = 0;

	while (pos < img->size && ret == 0) {
		off_t data = lseek(fd, (off_t)pos, SEEK_DATA);
		ssize_t n;

		if (data < 0 && errno == ENXIO)
			break; /* only a hole is left */
		if (data > (off_t)pos)
			pos = round_down_u64((uint64_t)data, EMU_PAGE_SIZE);
		n = pread(fd, buf, min_u64(sizeof(buf), img->size - pos),
				(off_t)pos);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		if (!is_all_zero(buf, (size_t)n))
			ret = emu_img_write(img, pos, buf, (uint64_t)n);
		pos += (uint64_t)n;
	}
	return ret;
}

int emu_img_load(const char *path, struct emu_img **ret_img)
{
	struct emu_img *img = NULL;
	struct stat st;
	int fd;
	int ret;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = fstat(fd, &st) < 0 ? -errno : 0;
	if (ret == 0)
		ret = emu_img_new((uint64_t)st.st_size, &img);
	if (ret == 0)
		ret = load_pages(img, fd);
	close(fd);
	if (ret < 0) {
		emu_img_free(img);
		return ret;
	}
	*ret_img = img;
	return 0;
}
