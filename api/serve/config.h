/* SPDX-License-Identifier: Apache-2.0 */
/* config.h: the lines of configuration that make other programs use the daemon. */
#ifndef VARVE_SERVE_CONFIG_H
#define VARVE_SERVE_CONFIG_H

/*
 * Write the lines for CLIENT ("containerd") to standard output, with the daemon's HOME and SOCKET.
 * VERSION is the client's, as "1.6.20"; NULL: that of the one which is installed. Return an exit
 * status.
 */
int config_print(const char *client, const char *version, const char *home, const char *socket);

#endif
