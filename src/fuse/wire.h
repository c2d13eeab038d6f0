/* SPDX-License-Identifier: MIT */
/*
 * What the kernel offers and libfuse has no word for: said in the answer to the
 * kernel's first request, on its way out.
 *
 * FUSE_HANDLE_KILLPRIV_V2: the server takes setuid, setgid and capabilities
 * away when a file is written. Without it the kernel asks for
 * security.capability before every write, which costs as much as the write.
 *
 * Threads  The first request is read and answered by one thread, before any
 *          other comes.
 */
#ifndef UEXT4_FUSE_WIRE_H
#define UEXT4_FUSE_WIRE_H

struct fuse_session;

/* Have @se (mounted) read and write through here. 0 or a negative errno; the
 * session works without, too. */
int wire_attach(struct fuse_session *se);

#endif /* UEXT4_FUSE_WIRE_H */
