/* SPDX-License-Identifier: Apache-2.0 */
/* list.h: `varve serve list`, which reads the snapshots of a home, also beside a running daemon. */
#ifndef VARVE_SERVE_LIST_H
#define VARVE_SERVE_LIST_H

/** Run the command with its options. Return an exit status. */
int list_main(int argc, char **argv);

#endif
