/* SPDX-License-Identifier: Apache-2.0 */
/* scrape.c: see scrape.h. */
#include "scrape.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SCRAPE_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

struct scraper {
	struct loop *loop;
	const struct metrics *metrics;
	/* The oldest first. */
	struct link connections;
	unsigned connections_count;
};

/* One connection: it reads its request, then writes its answer. */
struct scrape {
	struct link link;
	struct scraper *scraper;
	struct loop_source source;
	/* Due when it has lived for too long. */
	struct loop_timer timer;
	char request[SCRAPE_REQUEST_BYTES_MAX + 1];
	size_t request_size;
	/* NULL: not yet. */
	char *answer;
	size_t answer_size, answer_at;
};

/* End SCRAPE. */
static void scrape_destroy(struct scrape *scrape)
{
	struct loop *loop = scrape->scraper->loop;

	loop_remove(loop, &scrape->source);
	loop_timer_stop(loop, &scrape->timer);
	close(scrape->source.fd);
	link_remove(&scrape->link);
	scrape->scraper->connections_count--;
	free(scrape->answer);
	free(scrape);
}

/* It has lived for too long. */
static void scrape_due(void *data)
{
	scrape_destroy(data);
}

/* Make the answer: STATUS, and a body of SIZE bytes of TYPE. 0 or -ENOMEM. */
static int scrape_make_answer(struct scrape *scrape, const char *status, const char *type,
			      const char *body, size_t size)
{
	int length = asprintf(&scrape->answer,
			      "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
			      "Connection: close\r\n\r\n",
			      status, type, size);
	char *whole;

	if (length < 0) {
		scrape->answer = NULL;
		return -ENOMEM;
	}
	whole = realloc(scrape->answer, (size_t)length + size);
	if (!whole)
		return -ENOMEM;
	memcpy(whole + length, body, size);
	scrape->answer = whole;
	scrape->answer_size = (size_t)length + size;
	return 0;
}

/* Answer the request, which is complete: 0 or -errno. */
static int scrape_answer(struct scrape *scrape)
{
	char *text;
	size_t size;
	int r;

	if (strncmp(scrape->request, "GET ", 4) != 0)
		return scrape_make_answer(scrape, "405 Method Not Allowed", "text/plain", "", 0);
	if (strncmp(scrape->request + 4, "/metrics", 8) != 0 ||
	    !strchr(" ?\r\n", scrape->request[12]))
		return scrape_make_answer(scrape, "404 Not Found", "text/plain", "/metrics\n", 9);
	r = metrics_text(scrape->scraper->metrics, &text, &size);
	if (r < 0)
		return r;
	r = scrape_make_answer(scrape, "200 OK", SCRAPE_TYPE, text, size);
	free(text);
	return r;
}

/* Read more of the request: 0, or -errno when the connection has to end. */
static int scrape_read(struct scrape *scrape)
{
	size_t room = SCRAPE_REQUEST_BYTES_MAX - scrape->request_size;
	ssize_t size = recv(scrape->source.fd, scrape->request + scrape->request_size, room,
			    MSG_DONTWAIT);

	if (size < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (size == 0)
		return -EPIPE;
	scrape->request_size += (size_t)size;
	scrape->request[scrape->request_size] = '\0';
	if (!strstr(scrape->request, "\r\n\r\n") && !strstr(scrape->request, "\n\n"))
		return (size_t)size < room ? 0 : -E2BIG;
	loop_change(scrape->scraper->loop, &scrape->source, EPOLLOUT);
	return scrape_answer(scrape);
}

/* Write more of the answer: 0, or -errno when the connection has to end. */
static int scrape_write(struct scrape *scrape)
{
	ssize_t size = send(scrape->source.fd, scrape->answer + scrape->answer_at,
			    scrape->answer_size - scrape->answer_at, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (size < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	scrape->answer_at += (size_t)size;
	return scrape->answer_at < scrape->answer_size ? 0 : -EPIPE;
}

/* The socket is ready. */
static void scrape_ready(void *data, uint32_t events)
{
	struct scrape *scrape = data;
	int r = scrape->answer ? 0 : scrape_read(scrape);

	if (!r && scrape->answer)
		r = scrape_write(scrape);
	if (r < 0)
		scrape_destroy(scrape);
}

int scraper_create(struct loop *loop, const struct metrics *metrics, struct scraper **ret_scraper)
{
	struct scraper *scraper = calloc(1, sizeof(*scraper));

	if (!scraper)
		return -ENOMEM;
	scraper->loop = loop;
	scraper->metrics = metrics;
	link_init(&scraper->connections);
	*ret_scraper = scraper;
	return 0;
}

/*
 * The connection that makes room for a new one: that which has waited longest without a whole
 * request, also after a look at what has arrived; or the oldest. It is in the list.
 */
static struct scrape *scrape_longest(struct scraper *scraper)
{
	struct link *connections = &scraper->connections;

	for (struct link *link = connections->next; link != connections; link = link->next) {
		struct scrape *scrape = link_entry(link, struct scrape, link);

		if (!scrape->answer && (scrape_read(scrape) < 0 || !scrape->answer))
			return scrape;
	}
	return link_entry(connections->next, struct scrape, link);
}

void scraper_accept(struct scraper *scraper, int fd)
{
	struct scrape *scrape;

	if (scraper->connections_count == SCRAPE_CONNECTIONS_MAX)
		scrape_destroy(scrape_longest(scraper));
	scrape = calloc(1, sizeof(*scrape));
	if (!scrape) {
		close(fd);
		return;
	}
	scrape->scraper = scraper;
	scrape->source = (struct loop_source){ fd, scrape_ready, scrape };
	scrape->timer.due = scrape_due;
	scrape->timer.data = scrape;
	link_init(&scrape->link);
	if (loop_timer_after(scraper->loop, &scrape->timer, SCRAPE_MS) < 0 ||
	    loop_add(scraper->loop, &scrape->source, EPOLLIN) < 0) {
		loop_timer_stop(scraper->loop, &scrape->timer);
		close(fd);
		free(scrape);
		return;
	}
	link_append(&scraper->connections, &scrape->link);
	scraper->connections_count++;
}

void scraper_destroy(struct scraper *scraper)
{
	if (!scraper)
		return;
	while (!link_alone(&scraper->connections))
		scrape_destroy(link_entry(scraper->connections.next, struct scrape, link));
	free(scraper);
}
