/* SPDX-License-Identifier: Apache-2.0 */
/* varve in a GLib main loop. The work itself is in churn.c. */
#include "churn.h"

#include <glib-unix.h>
#include <glib.h>

/* Take a tick, and stay. */
static gboolean on_tick(gpointer data)
{
	churn_tick(data);
	return G_SOURCE_CONTINUE;
}

/* example: begin */
/* Run callbacks, and stay: the store's descriptor is readable. */
static gboolean on_readable(gint fd, GIOCondition condition, gpointer data)
{
	struct churn *churn = data;

	if (varve_dispatch(churn->store, CHURN_CALLBACKS_MAX) < 0)
		g_error("varve_dispatch failed");
	return G_SOURCE_CONTINUE;
}

/* Watch the store; the source is to be removed before the store is closed. */
static guint watch(struct churn *churn)
{
	return g_unix_fd_add(varve_fd(churn->store), G_IO_IN, on_readable,
			     churn);
}

/* End the loop. */
static void stop(void *data)
{
	g_main_loop_quit(data);
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	GMainLoop *loop = g_main_loop_new(NULL, FALSE);
	guint readable, timer;
	struct churn churn;

	churn_open(&churn, argc, argv);
	readable = watch(&churn);
	timer = g_timeout_add(CHURN_TICK_MS, on_tick, &churn);
	churn_start(&churn, stop, loop);
	g_main_loop_run(loop);
	g_source_remove(timer);
	g_source_remove(readable);
	g_main_loop_unref(loop);
	return churn_finish(&churn, "glib");
}
