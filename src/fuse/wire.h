/* SPDX-License-Identifier: MIT */
/*
 * What the kernel offers and libfuse has no word for: said in the answer to the
 * kernel's first request, on its way out.
 *
 * FUSE_HANDLE_KILLPRIV_V2: the server takes setuid, setgid and capabilities
 * away when a file is written. Without it the kernel asks for
 * security.capability before every write, which costs as much as the write.
 *
 * That answers may go through rings (rings.h).
 *
 * Threads  The first request is read and answered by one thread, before others
 *          start. It has no lead (srv_worker.lead).
 */
#ifndef UEXT4_FUSE_WIRE_H
#define UEXT4_FUSE_WIRE_H

#include <stdbool.h>
#include <stdint.h>

struct fuse_session;

struct wire {
	uint64_t unique;  /* of the kernel's first request */
	uint64_t offered; /* what it can: FUSE_* flags, both words */
	bool ring;        /* say that there are rings; set before the answer */
	bool greeted;     /* it was answered */
};

/* Have @se (mounted) read and write through here. 0 or a negative errno; the
 * session works without, too. */
int wire_attach(struct fuse_session *se);

#endif /* UEXT4_FUSE_WIRE_H */
