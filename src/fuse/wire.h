/* SPDX-License-Identifier: MIT */
/*
 * What libfuse has no word for is said here, between it and the kernel.
 *
 * In the answer to the kernel's first request, on its way out:
 *
 * FUSE_HANDLE_KILLPRIV_V2: the server takes setuid, setgid and capabilities
 * away when a file is written. Without it the kernel asks for
 * security.capability before every write, which costs as much as the write.
 *
 * That answers may go through rings (rings.h).
 *
 * Requests that libfuse 3.14 does not know travel as those that it does:
 *
 * TMPFILE is CREATE with O_TMPFILE among its flags, and is answered alike.
 *
 * STATX begins as GETATTR does. Its answer is made of that to GETATTR and of the
 * time of birth, which the request's worker has got with the attributes.
 *
 * Threads  The first request is read and answered by one thread, before others
 *          start. It has no lead (srv_worker.lead).
 */
#ifndef UEXT4_FUSE_WIRE_H
#define UEXT4_FUSE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fuse_session;

struct wire {
	uint64_t unique;  /* of the kernel's first request */
	uint64_t offered; /* what it can: FUSE_* flags, both words */
	bool ring;        /* say that there are rings; set before the answer */
	bool greeted;     /* it was answered */
};

/* A request of @len bytes that came through a ring, before libfuse sees it. */
void wire_request(void *request, size_t len);

/* Have @se (mounted) read and write through here. 0 or a negative errno; the
 * session works without, too. */
int wire_attach(struct fuse_session *se);

#endif /* UEXT4_FUSE_WIRE_H */
