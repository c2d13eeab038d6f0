/* SPDX-License-Identifier: MIT */
/*
 * Static tracepoints for perf, bpftrace and systemtap.
 *
 *	TRACE2(dio_submit, inum, pos);
 *
 * Off unless the build defines UEXT4_TRACE to 1 (it then needs <sys/sdt.h>);
 * a point that is on but not watched costs one nop. Arguments must be free of
 * side effects: when off they are not evaluated.
 */
#ifndef UEXT4_BASE_TRACE_H
#define UEXT4_BASE_TRACE_H

#ifndef UEXT4_TRACE
# define UEXT4_TRACE 0
#endif

#if UEXT4_TRACE
# include <sys/sdt.h>
# define TRACE0(name)             DTRACE_PROBE(uext4, name)
# define TRACE1(name, a)          DTRACE_PROBE1(uext4, name, a)
# define TRACE2(name, a, b)       DTRACE_PROBE2(uext4, name, a, b)
# define TRACE3(name, a, b, c)    DTRACE_PROBE3(uext4, name, a, b, c)
# define TRACE4(name, a, b, c, d) DTRACE_PROBE4(uext4, name, a, b, c, d)
#else
# define TRACE0(name)       ((void)0)
# define TRACE1(name, a)    ((void)sizeof(a))
# define TRACE2(name, a, b) ((void)sizeof(a), (void)sizeof(b))
# define TRACE3(name, a, b, c)                                                 \
  ((void)sizeof(a), (void)sizeof(b), (void)sizeof(c))
# define TRACE4(name, a, b, c, d)                                              \
  ((void)sizeof(a), (void)sizeof(b), (void)sizeof(c), (void)sizeof(d))
#endif

#endif /* UEXT4_BASE_TRACE_H */
