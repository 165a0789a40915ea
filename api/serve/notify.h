/* SPDX-License-Identifier: Apache-2.0 */
/* notify.h: messages to systemd about the daemon's state. */
#ifndef VARVE_SERVE_NOTIFY_H
#define VARVE_SERVE_NOTIFY_H

/* Send STATE ("READY=1") to the socket of $NOTIFY_SOCKET: 0, also where there is none, or -errno. */
int notify(const char *state);

#endif
