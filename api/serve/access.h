/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access.h: the access log: one line a call, on standard error, which is the journal under systemd.
 *
 *	call=17 pid=812 method=containerd.services.snapshots.v1.Snapshots/Prepare key="k8s.io/3/a" status=ALREADY_EXISTS ms=0.041 text="..."
 *
 * A journal or a pipe never blocks the daemon: lines that the reader does not take are counted and
 * dropped. A regular file may, as long as its file system is slow or frozen: hence varve-serve(8)
 * advises a pipe.
 */
#ifndef VARVE_SERVE_ACCESS_H
#define VARVE_SERVE_ACCESS_H

#include "server.h"

/* Which calls are logged. */
enum access_level {
	ACCESS_NONE,
	/* Those whose status is not OK. */
	ACCESS_FAILURES,
	ACCESS_ALL,
};

struct access;

/* The level that NAME ("none", "failures", "all") stands for; -EINVAL. */
int access_level(const char *name);

/* The name of STATUS: "OK", "NOT_FOUND", ... */
const char *access_status_name(enum grpc_status status);

/* Log the calls of LEVEL to descriptor FD: 0 or -ENOMEM. */
int access_create(struct loop *loop, int fd, enum access_level level, struct access **ret_access);

/* Log RECORD, if the level wants it. */
void access_record(struct access *access, const struct server_record *record);

/* Write what is left, and free ACCESS (NULL: do nothing). */
void access_destroy(struct access *access);

#endif
