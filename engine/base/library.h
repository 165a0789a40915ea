/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a library when it is first needed. A macro CALLS(CALL) lists its functions as
 * CALL(function); it makes a struct of pointers to them and an array of their names:
 *
 *	struct lib { CALLS(LIBRARY_FIELD) };
 *	static const char *const names[] = { CALLS(LIBRARY_NAME) };
 */
#ifndef VARVE_BASE_LIBRARY_H
#define VARVE_BASE_LIBRARY_H

#include <stddef.h>

#define LIBRARY_FIELD(name) __typeof__(name) *name;
#define LIBRARY_NAME(name) #name,

/*
 * Fill the structure FUNCTIONS with the COUNT functions NAMES of the library SONAME; the first time
 * in a process that takes some ms and reads files. 0; -ENOTSUP: it is not installed, or lacks a
 * function. What is loaded stays until the process ends.
 */
int library_load(const char *soname, const char *const *names, size_t count, void *functions);

#endif
