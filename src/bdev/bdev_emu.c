/* SPDX-License-Identifier: MIT */
/*
 * The test device itself.
 *
 * A request passes three steps: begin (a tick, the fault rules, the log entry
 * with its own copy of the data), the gate, finish (it takes effect, another
 * tick). Between begin and finish it is in flight: a power cut leaves it so.
 */
#include "bdev/bdev_emu.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hmap.h"
#include "base/iter.h"
#include "base/lock.h"

#define STORE_UNIT 64u /* a cache line: what a store does not tear */

struct emu_req {
	struct bdev_io *io;
	struct emu_ent *ent; /* NULL: not recorded */
	int result;
	bool is_lost; /* acknowledged without effect */
	bool is_over; /* refused at begin */
};

struct bdev_emu {
	struct bdev dev;
	struct mutex lock;
	struct emu_img *now;  /* [lock] what a reader sees */
	struct emu_img *base; /* [lock] where the log begins */
	struct emu_log *log;  /* [lock] NULL: not recording */
	uint32_t flags;       /* [const] BDEV_EMU_F_* */
	bool is_cut;          /* [lock] */
	uint64_t cut_left;    /* [lock] requests until the cut; 0: none */
	uint32_t cut_sectors; /* [lock] that the last one still writes */
	struct emu_fault faults[EMU_FAULTS_MAX]; /* [lock] */
	uint64_t fault_seen[EMU_FAULTS_MAX];     /* [lock] matches so far */
	unsigned int nfaults;                    /* [lock] */
	struct bdev_emu_stats stats;             /* [lock] */
	void (*gate)(void *ctx, const struct bdev_io *io); /* [const] */
	void *gate_ctx;                                    /* [const] */
	struct emu_req *pending; /* [lock] BDEV_EMU_F_ASYNC */
	unsigned int npending;   /* [lock] */
	unsigned int pending_cap;
	uint64_t rng; /* [lock] */
	uint8_t *map; /* [lock] like now, as memory; NULL until asked for */
	bool is_map_ahead; /* [lock] there was no memory to note a store */
};

static struct bdev_emu *to_emu(struct bdev *dev)
{
	return container_of(dev, struct bdev_emu, dev);
}

static bool is_changing(enum bdev_op op)
{
	return EMU_OP(op) & EMU_OP_CHANGING;
}

/* ---- recording ---- */

static struct emu_ent *log_add_locked(struct bdev_emu *e, enum emu_kind kind)
{
	struct emu_log *log = e->log;
	struct emu_ent **ents;
	struct emu_ent *ent;
	uint64_t cap;

	if (log->n == log->cap) {
		cap = log->cap ? 2 * log->cap : 256;
		ents = reallocarray(log->ents, cap, sizeof(struct emu_ent *));
		if (!ents)
			return NULL;
		log->ents = ents;
		log->cap = cap;
	}
	ent = calloc(1, sizeof(*ent));
	if (!ent)
		return NULL;
	ent->kind = kind;
	ent->seq = log->n;
	ent->t_submit = ++log->clock;
	ent->t_done = EMU_NEVER;
	ent->thread = (uint32_t)gettid();
	log->ents[log->n++] = ent;
	return ent;
}

/*
 * Give @ent a copy of the data, cut at page boundaries. Sectors that the
 * request covers in part are completed from the present contents (E4).
 */
static int ent_fill_locked(struct bdev_emu *e, struct emu_ent *ent,
		const struct bdev_io *io)
{
	uint64_t end = ent->pos + ent->len;
	uint64_t pos = ent->pos;
	struct iov_iter it;

	ent->segs = calloc(ent->len / EMU_PAGE_SIZE + 2, sizeof(*ent->segs));
	if (!ent->segs)
		return -ENOMEM;
	if (io->op == BDEV_WRITE)
		iov_iter_init(&it, io->iov, io->iovcnt);
	while (pos < end) {
		size_t off = pos % EMU_PAGE_SIZE;
		size_t n = min_u64(end - pos, EMU_PAGE_SIZE - off);
		uint64_t from = max_u64(pos, io->pos);
		uint64_t to = min_u64(pos + n, io->pos + io->len);
		struct emu_page *page = emu_page_new();

		if (!page)
			return -ENOMEM;
		ent->segs[ent->nsegs++] = (struct emu_seg){
			.page = page, .pos = pos, .len = (uint32_t)n
		};
		if (from > pos || to < pos + n)
			emu_img_read(e->now, pos, page->data + off, n);
		if (io->op == BDEV_WRITE)
			iov_iter_copy_from(&it,
					page->data + from % EMU_PAGE_SIZE,
					to - from);
		else
			memset(page->data + from % EMU_PAGE_SIZE, 0, to - from);
		pos += n;
	}
	return 0;
}

static int record_locked(struct bdev_emu *e, struct emu_req *req)
{
	static const enum emu_kind kinds[BDEV_OP_NR] = {
		[BDEV_WRITE] = EMU_WRITE,
		[BDEV_FLUSH] = EMU_FLUSH,
		[BDEV_DISCARD] = EMU_DISCARD,
		[BDEV_ZERO] = EMU_ZERO,
	};
	const struct bdev_io *io = req->io;
	uint32_t sector = e->log->sector;
	struct emu_ent *ent;
	uint64_t end;
	bool ragged;
	int ret = 0;

	ent = log_add_locked(e, kinds[io->op]);
	if (!ent)
		return -ENOMEM;
	req->ent = ent;
	ent->flags = e->flags & BDEV_EMU_F_NO_FUA ? 0 : io->flags;
	ent->tag = io->tag;
	if (io->op == BDEV_FLUSH)
		return 0;
	ragged = io->pos % sector != 0 || io->len % sector != 0;
	ent->pos = round_down_u64(io->pos, sector);
	end = round_up_u64(io->pos + io->len, sector);
	if (io->op == BDEV_DISCARD && ragged) {
		ent->pos = round_up_u64(io->pos, sector);
		end = max_u64(ent->pos,
				round_down_u64(io->pos + io->len, sector));
	}
	ent->len = end - ent->pos;
	if (io->op == BDEV_ZERO && ragged)
		ent->kind = EMU_WRITE;
	if (ent->kind == EMU_WRITE)
		ret = ent_fill_locked(e, ent, io);
	ent->is_void = ret < 0;
	return ret;
}

/* ---- faults and cuts ---- */

static bool fault_matches(const struct emu_fault *f, const struct bdev_io *io)
{
	if (f->ops && !(f->ops & EMU_OP(io->op)))
		return false;
	if (f->tags && !(f->tags & 1u << bdev_tag_kind(io->tag)))
		return false;
	return f->len == 0 ||
			(io->pos < f->pos + f->len &&
					f->pos < io->pos + io->len);
}

/* Every rule counts its own matches; the first that strikes decides. */
static void fault_check_locked(struct bdev_emu *e, struct emu_req *req)
{
	bool is_hit = false;
	unsigned int i;

	for (i = 0; i < e->nfaults; i++) {
		const struct emu_fault *f = &e->faults[i];
		uint64_t nth = f->nth ? f->nth : 1;
		uint64_t seen;

		if (!fault_matches(f, req->io))
			continue;
		seen = ++e->fault_seen[i];
		if (is_hit || seen < nth ||
				(f->count && seen - nth >= f->count))
			continue;
		is_hit = true;
		e->stats.faults++;
		req->result = f->err;
		req->is_lost = f->err == 0;
		req->is_over = f->err != 0;
	}
}

/* The first sectors of a write that was under way as the power went. */
static void tear_locked(struct bdev_emu *e, const struct emu_req *req)
{
	const struct bdev_io *io = req->io;
	uint64_t left = min_u64(
			io->len, (uint64_t)e->cut_sectors * e->dev.geo.sector);
	uint64_t pos = io->pos;
	int ret = 0;
	int i;

	if (io->op != BDEV_WRITE && left > 0)
		ret = emu_img_zero(e->now, pos, left);
	for (i = 0; io->op == BDEV_WRITE && i < io->iovcnt && ret == 0; i++) {
		size_t n = min_u64(left, io->iov[i].iov_len);

		ret = emu_img_write(e->now, pos, io->iov[i].iov_base, n);
		pos += n;
		left -= n;
	}
	/* Without memory less survives: a cut may do that. */
}

static void emu_begin_locked(struct bdev_emu *e, struct emu_req *req)
{
	const struct bdev_io *io = req->io;
	bool counts = is_changing(io->op) || io->op == BDEV_FLUSH;
	int ret = 0;

	e->stats.ops[io->op]++;
	if (e->is_cut) {
		req->result = -EIO;
		req->is_over = true;
		return;
	}
	if (counts && e->log)
		ret = record_locked(e, req);
	if (counts && e->cut_left > 0 && --e->cut_left == 0) {
		e->is_cut = true;
		if (is_changing(io->op))
			tear_locked(e, req);
		req->result = -EIO;
		req->is_over = true;
		return; /* the entry stays in flight */
	}
	fault_check_locked(e, req);
	if (ret < 0 && !req->is_over) {
		req->result = ret;
		req->is_over = true;
	}
	if (req->ent && (req->is_over || req->is_lost))
		req->ent->is_void = true;
	if (req->ent && req->is_over) {
		req->ent->result = req->result;
		req->ent->t_done = ++e->log->clock;
	}
}

/* ---- taking effect ---- */

/* What could not be noted when it was stored is looked for. */
static int emu_catch_up_locked(struct bdev_emu *e)
{
	uint64_t size = e->dev.geo.size;
	uint8_t page[EMU_PAGE_SIZE];
	int ret = 0;

	if (!e->is_map_ahead)
		return 0;
	for (uint64_t pos = 0; pos < size && ret == 0; pos += sizeof(page)) {
		uint64_t n = min_u64(sizeof(page), size - pos);

		emu_img_read(e->now, pos, page, n);
		if (memcmp(page, e->map + pos, n) != 0)
			ret = emu_img_write(e->now, pos, e->map + pos, n);
	}
	e->is_map_ahead = ret < 0;
	return ret;
}

static int emu_apply_locked(struct bdev_emu *e, const struct emu_req *req)
{
	const struct bdev_io *io = req->io;
	uint64_t pos = io->pos;
	int ret = 0;
	int i;

	if (io->op == BDEV_FLUSH || req->is_lost)
		return 0;
	ret = emu_catch_up_locked(e);
	if (ret < 0)
		return ret;
	if (req->ent)
		return emu_ent_apply(req->ent, e->now);
	if (io->op == BDEV_ZERO || io->op == BDEV_DISCARD)
		return emu_img_zero(e->now, pos, io->len);
	for (i = 0; i < io->iovcnt && ret == 0; i++) {
		void *buf = io->iov[i].iov_base;
		size_t len = io->iov[i].iov_len;

		if (io->op == BDEV_READ)
			emu_img_read(e->now, pos, buf, len);
		else
			ret = emu_img_write(e->now, pos, buf, len);
		pos += len;
	}
	return ret;
}

static void emu_finish_locked(struct bdev_emu *e, struct emu_req *req)
{
	struct emu_ent *ent;

	if (e->is_cut) {
		req->result = -EIO;
		return;
	}
	req->result = emu_apply_locked(e, req);
	if (!req->ent)
		return;
	req->ent->result = req->result;
	req->ent->is_void |= req->result < 0;
	req->ent->t_done = ++e->log->clock;
	if (!(req->io->flags & BDEV_F_FUA) || !(e->flags & BDEV_EMU_F_NO_FUA) ||
			req->result < 0)
		return;
	ent = log_add_locked(e, EMU_FLUSH);
	if (ent)
		ent->t_done = ++e->log->clock;
	else
		req->result = -ENOMEM;
}

/* What a request has changed shows in the map, too (V8). */
static void emu_show_locked(struct bdev_emu *e, const struct bdev_io *io)
{
	if (e->map && is_changing(io->op))
		emu_img_read(e->now, io->pos, e->map + io->pos, io->len);
}

static void emu_complete(struct bdev_emu *e, struct emu_req *req)
{
	if (!req->is_over) {
		if (e->gate)
			e->gate(e->gate_ctx, req->io);
		mutex_lock(&e->lock);
		emu_finish_locked(e, req);
		if (!e->is_cut && !req->is_lost)
			emu_show_locked(e, req->io);
		mutex_unlock(&e->lock);
	}
	bdev_io_done(req->io, req->result);
}

/* False when there is no memory: it then completes at once. */
static bool queue_locked(struct bdev_emu *e, const struct emu_req *req)
{
	struct emu_req *list;
	unsigned int cap;

	if (e->npending == e->pending_cap) {
		cap = e->pending_cap ? 2 * e->pending_cap : 64;
		list = reallocarray(e->pending, cap, sizeof(*list));
		if (!list)
			return false;
		e->pending = list;
		e->pending_cap = cap;
	}
	e->pending[e->npending++] = *req;
	return true;
}

static void emu_submit(struct bdev *dev, struct bdev_io **ios, unsigned int n)
{
	struct bdev_emu *e = to_emu(dev);
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct emu_req req = { .io = ios[i] };
		bool is_queued = false;

		mutex_lock(&e->lock);
		emu_begin_locked(e, &req);
		if (e->flags & BDEV_EMU_F_ASYNC)
			is_queued = queue_locked(e, &req);
		mutex_unlock(&e->lock);
		if (!is_queued)
			emu_complete(e, &req);
	}
}

static uint64_t rng_next_locked(struct bdev_emu *e)
{
	e->rng += 0x9e3779b97f4a7c15u;
	return hmap_mix(e->rng);
}

/* At least @min, and at random some more, in random order. */
static int emu_poll(struct bdev *dev, unsigned int min, int timeout_ms)
{
	struct bdev_emu *e = to_emu(dev);
	unsigned int done = 0;

	for (;; done++) {
		struct emu_req req;
		unsigned int pick;

		mutex_lock(&e->lock);
		if (e->npending == 0 ||
				(done >= min && rng_next_locked(e) % 2 == 0)) {
			mutex_unlock(&e->lock);
			return (int)done;
		}
		pick = (unsigned int)(rng_next_locked(e) % e->npending);
		req = e->pending[pick];
		e->pending[pick] = e->pending[--e->npending];
		mutex_unlock(&e->lock);
		emu_complete(e, &req);
	}
}

/* ---- the map ---- */

static int emu_map(
		struct bdev *dev, uint64_t pos, uint64_t len, void **ret_addr)
{
	struct bdev_emu *e = to_emu(dev);
	int ret = 0;

	(void)len;
	if (!(e->flags & BDEV_EMU_F_MAP))
		return -EOPNOTSUPP;
	mutex_lock(&e->lock);
	if (!e->map) {
		void *at = mmap(NULL, dev->geo.size, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
				0);

		if (at == MAP_FAILED) {
			ret = -ENOMEM;
		} else {
			e->map = at;
			emu_img_read(e->now, 0, e->map, dev->geo.size);
		}
	}
	if (ret == 0)
		*ret_addr = e->map + pos;
	mutex_unlock(&e->lock);
	return ret;
}

/* A part of a store, as a write that is submitted and done. */
static void emu_store_part(struct bdev_emu *e, uint64_t pos, uint64_t len,
		uint64_t tag, bool is_gated)
{
	struct iovec iov = { .iov_base = e->map + pos, .iov_len = len };
	struct bdev_io io = {
		.op = BDEV_WRITE,
		.pos = pos,
		.len = len,
		.iov = &iov,
		.iovcnt = 1,
		.tag = tag,
	};
	struct emu_req req = { .io = &io };
	bool is_cut;
	int ret = 0;

	mutex_lock(&e->lock);
	is_cut = e->is_cut;
	if (!is_cut && e->log)
		ret = record_locked(e, &req);
	mutex_unlock(&e->lock);
	if (is_cut)
		return;
	if (ret < 0)
		abort(); /* a log without its stores proves nothing */
	if (is_gated && e->gate)
		e->gate(e->gate_ctx, &io);
	mutex_lock(&e->lock);
	if (!e->is_cut) { /* by the gate: it stays in flight */
		ret = emu_img_write(e->now, pos, iov.iov_base, len);
		e->is_map_ahead |= ret < 0;
		if (req.ent)
			req.ent->t_done = ++e->log->clock;
	}
	mutex_unlock(&e->lock);
}

static void emu_stored(
		struct bdev *dev, uint64_t pos, uint64_t len, uint64_t tag)
{
	struct bdev_emu *e = to_emu(dev);
	uint64_t mid = round_down_u64(pos + len / 2, STORE_UNIT);

	if (len == 0)
		return;
	if (mid <= pos) {
		emu_store_part(e, pos, len, tag, true);
		return;
	}
	emu_store_part(e, pos, mid - pos, tag, false); /* E5 */
	emu_store_part(e, mid, pos + len - mid, tag, true);
}

static int emu_close(struct bdev *dev)
{
	struct bdev_emu *e = to_emu(dev);

	assert(e->npending == 0);
	if (e->map)
		munmap(e->map, dev->geo.size);
	emu_img_free(e->now);
	emu_img_free(e->base);
	emu_log_free(e->log);
	mutex_fini(&e->lock);
	free(e->pending);
	free(e);
	return 0;
}

static const struct bdev_ops emu_ops = {
	.name = "emu",
	.is_copy = true,
	.submit = emu_submit,
	.map = emu_map,
	.stored = emu_stored,
	.close = emu_close,
};

static const struct bdev_ops emu_async_ops = {
	.name = "emu-async",
	.is_copy = true,
	.submit = emu_submit,
	.poll = emu_poll,
	.map = emu_map,
	.stored = emu_stored,
	.close = emu_close,
};

/* ---- for tests ---- */

int bdev_emu_open(const struct emu_img *img, const struct bdev_emu_opts *opts,
		struct bdev **ret_dev)
{
	static const struct bdev_emu_opts none;
	struct bdev_emu *e;
	uint32_t sector;
	int ret;

	if (!opts)
		opts = &none;
	sector = opts->sector ? opts->sector : 512;
	if ((sector != 512 && sector != EMU_PAGE_SIZE) ||
			emu_img_size(img) == 0 ||
			emu_img_size(img) % sector != 0)
		return -EINVAL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	ret = emu_img_fork(img, &e->now);
	if (ret < 0) {
		free(e);
		return ret;
	}
	mutex_init(&e->lock, "bdev_emu", LOCK_RANK_BDEV);
	e->flags = opts->flags;
	e->rng = opts->seed;
	e->dev.ops = opts->flags & BDEV_EMU_F_ASYNC ? &emu_async_ops : &emu_ops;
	e->dev.geo = (struct bdev_geo){
		.size = emu_img_size(img),
		.sector = sector,
		.phys = sector,
		.dio_align = 1,
		.mem_align = 1,
		.read_only = opts->flags & BDEV_EMU_F_RDONLY,
		.fua = !(opts->flags & BDEV_EMU_F_NO_FUA),
		.volatile_cache = true,
		.discard = true,
	};
	*ret_dev = &e->dev;
	return 0;
}

int bdev_emu_record(struct bdev *dev)
{
	struct bdev_emu *e = to_emu(dev);
	struct emu_log *log = calloc(1, sizeof(*log));
	struct emu_img *base;
	int ret;

	if (!log)
		return -ENOMEM;
	log->sector = dev->geo.sector;
	mutex_lock(&e->lock);
	assert(e->npending == 0);
	ret = emu_catch_up_locked(e);
	if (ret < 0)
		goto out_unlock;
	ret = emu_img_fork(e->now, &base);
	if (ret < 0)
		goto out_unlock;
	emu_log_free(e->log);
	emu_img_free(e->base);
	e->log = log;
	e->base = base;
	log = NULL;
out_unlock:
	mutex_unlock(&e->lock);
	emu_log_free(log);
	return ret;
}

int bdev_emu_take_log(struct bdev *dev, struct emu_img **ret_base,
		struct emu_log **ret_log)
{
	struct bdev_emu *e = to_emu(dev);
	int ret = -ENOENT;

	mutex_lock(&e->lock);
	if (e->log) {
		*ret_log = e->log;
		*ret_base = e->base;
		e->log = NULL;
		e->base = NULL;
		ret = 0;
	}
	mutex_unlock(&e->lock);
	return ret;
}

void bdev_emu_mark(
		struct bdev *dev, enum emu_mark mark, uint64_t id, int64_t val)
{
	struct bdev_emu *e = to_emu(dev);
	struct emu_ent *ent;

	mutex_lock(&e->lock);
	if (e->log && !e->is_cut) {
		ent = log_add_locked(e, EMU_MARK);
		if (!ent)
			abort(); /* a log without its marks proves nothing */
		ent->mark = mark;
		ent->mark_id = id;
		ent->mark_val = val;
		ent->t_done = ent->t_submit;
	}
	mutex_unlock(&e->lock);
}

int bdev_emu_image(struct bdev *dev, struct emu_img **ret_img)
{
	struct bdev_emu *e = to_emu(dev);
	int ret;

	mutex_lock(&e->lock);
	ret = emu_catch_up_locked(e);
	if (ret == 0)
		ret = emu_img_fork(e->now, ret_img);
	mutex_unlock(&e->lock);
	return ret;
}

int bdev_emu_durable_image(struct bdev *dev, struct emu_img **ret_img)
{
	struct bdev_emu *e = to_emu(dev);
	int ret = -ENOENT;

	mutex_lock(&e->lock);
	if (e->log)
		ret = emu_log_build(e->log, e->base, e->log->clock, NULL, NULL,
				ret_img);
	mutex_unlock(&e->lock);
	return ret;
}

void bdev_emu_cut(struct bdev *dev)
{
	struct bdev_emu *e = to_emu(dev);

	mutex_lock(&e->lock);
	e->is_cut = true;
	mutex_unlock(&e->lock);
}

void bdev_emu_cut_at(struct bdev *dev, uint64_t n, uint32_t sectors)
{
	struct bdev_emu *e = to_emu(dev);

	mutex_lock(&e->lock);
	e->cut_left = n;
	e->cut_sectors = sectors;
	mutex_unlock(&e->lock);
}

bool bdev_emu_is_cut(struct bdev *dev)
{
	struct bdev_emu *e = to_emu(dev);
	bool is_cut;

	mutex_lock(&e->lock);
	is_cut = e->is_cut;
	mutex_unlock(&e->lock);
	return is_cut;
}

int bdev_emu_fault_add(struct bdev *dev, const struct emu_fault *fault)
{
	struct bdev_emu *e = to_emu(dev);
	int ret = -ENOSPC;

	mutex_lock(&e->lock);
	if (e->nfaults < EMU_FAULTS_MAX) {
		e->fault_seen[e->nfaults] = 0;
		e->faults[e->nfaults++] = *fault;
		ret = 0;
	}
	mutex_unlock(&e->lock);
	return ret;
}

void bdev_emu_fault_clear(struct bdev *dev)
{
	struct bdev_emu *e = to_emu(dev);

	mutex_lock(&e->lock);
	e->nfaults = 0;
	mutex_unlock(&e->lock);
}

void bdev_emu_stats(struct bdev *dev, struct bdev_emu_stats *ret_stats)
{
	struct bdev_emu *e = to_emu(dev);

	mutex_lock(&e->lock);
	*ret_stats = e->stats;
	mutex_unlock(&e->lock);
}

void bdev_emu_set_gate(struct bdev *dev,
		void (*gate)(void *ctx, const struct bdev_io *io), void *ctx)
{
	struct bdev_emu *e = to_emu(dev);

	e->gate = gate;
	e->gate_ctx = ctx;
}
