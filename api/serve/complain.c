/* SPDX-License-Identifier: Apache-2.0 */
/* complain.c: see complain.h. */
#include "complain.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void complain(const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) >= 0) {
		fprintf(stderr, "varve serve: %s\n", text);
		free(text);
	}
	va_end(arguments);
}
