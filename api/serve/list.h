/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list.h: `varve serve list` and `varve serve check`, which read the snapshots of a home, also
 * beside a running daemon.
 */
#ifndef VARVE_SERVE_LIST_H
#define VARVE_SERVE_LIST_H

#include <stdbool.h>

/* Run the command, list or CHECK, with its options. Return an exit status. */
int list_main(int argc, char **argv, bool check);

#endif
