/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h: every bound of the daemon, with its reason. */
#ifndef VARVE_SERVE_LIMITS_H
#define VARVE_SERVE_LIMITS_H

/* Nanoseconds in a second. */
#define NS_PER_S 1000000000

/* Bytes of a message in a request: what containerd's own clients and servers take. */
#define GRPC_MESSAGE_BYTES_MAX (16u << 20)
/*
 * Bytes that the fields of one request may take in memory. A field of two bytes in the message is a
 * struct of some fifty in memory.
 */
#define GRPC_UNPACKED_BYTES_MAX (64u << 20)
/* Bytes that the requests of all calls under way may take: a Watch keeps its request for ever. */
#define GRPC_HELD_BYTES_MAX (128u << 20)
/* Bytes of all requests that are being received. */
#define GRPC_INPUT_BYTES_MAX (64u << 20)
/* Bytes of all answers that wait for their clients. */
#define GRPC_OUTPUT_BYTES_MAX (64u << 20)
/* A service that asked for room sends more once fewer bytes than this of its answer wait. */
#define GRPC_BUFFER_BYTES (64u << 10)
/*
 * Calls of all connections, also those whose client has gone and that undo what they did. One
 * connection may have half of them, 4,096: see server_allows().
 */
#define GRPC_STREAMS_MAX 8192
/*
 * Calls of one connection that a service works on at once: the next ones wait, so that the work for
 * another client has its turn soon. It is twice what the benchmark has in flight at most.
 */
#define GRPC_WORKING_MAX 256
/* Connections. A node has one of containerd, and some of tools. */
#define GRPC_CONNECTIONS_MAX 1024
/* Milliseconds for which a client may not begin, send the rest of a request, or take an answer. */
#define GRPC_STALL_MS 60000
/*
 * Streams that a client may reset beyond those that were answered. All streams of a connection at
 * once, as after a common deadline, are no attack.
 */
#define GRPC_RESETS_MAX GRPC_STREAMS_MAX
/* How many resets a second are forgiven. */
#define GRPC_RESETS_PER_SECOND 100
/* Bytes of the headers of one request: the default of Go's servers for a field is 16 KiB. */
#define GRPC_HEADERS_BYTES_MAX (32u << 10)
/* Bytes of the message of a status, encoded: clients take 8 KiB of headers. */
#define GRPC_STATUS_BYTES_MAX 4096
/* The longest path of a method that the access log shows. */
#define GRPC_PATH_BYTES_MAX 128
/* Tables of methods. */
#define GRPC_TABLES_MAX 8
/* Methods of all tables: each has its counters. */
#define GRPC_METHODS_MAX 32

/* Bytes read from a connection at once; then the others have their turn. */
#define CONNECTION_READ_BYTES (64u << 10)
/* Bytes of frames that are sent at once. */
#define CONNECTION_WRITE_BYTES (64u << 10)
/* Room for one more frame: nghttp2 makes none above 16 KiB and its head. */
#define CONNECTION_FRAME_BYTES_MAX (32u << 10)
/* PING and SETTINGS that wait to be acknowledged: beyond, nghttp2 ends the connection. */
#define CONNECTION_ACKS_MAX 1000
/* How long a connection that has drained waits until the client closes it. */
#define CONNECTION_LINGER_MS 1000
/* Entries of one SETTINGS; there are some ten that clients know. */
#define CONNECTION_SETTINGS_MAX 32
/* CONTINUATION frames of one block of headers: GRPC_HEADERS_BYTES_MAX are two frames. */
#define CONNECTION_CONTINUATIONS_MAX 8

/* Events that one turn of the loop takes. */
#define LOOP_EVENTS_MAX 64
/* Callbacks of the store that one turn of the loop runs. */
#define SERVE_DISPATCH_MAX 256

/* Milliseconds after which a listener that had no descriptor tries again. */
#define LISTENER_PAUSE_MS 100
/* Connections that wait to be accepted. */
#define LISTENER_BACKLOG 512
/* Sockets that systemd may pass. */
#define LISTENER_PASSED_MAX 8

/* Milliseconds that SIGTERM leaves to calls in flight. containerd gives up after ten seconds. */
#define SERVE_DRAIN_MS 10000
/* Milliseconds that cancelled calls have to undo what they did. */
#define SERVE_CUT_MS 5000
/* Turns of the loop after that, for what needs no waiting. */
#define SERVE_LAST_TURNS 64
/* Bytes of a message about a failure of the store. */
#define SERVE_FAILURE_BYTES 2048

/* Bytes of the line that says how many were dropped. */
#define COMPLAIN_NOTICE_BYTES 64
/* Bytes that are logged at once: PIPE_BUF with that line, which a pipe takes whole or not. */
#define COMPLAIN_BYTES_MAX (4096 - COMPLAIN_NOTICE_BYTES)
/* The longest key that the access log shows. */
#define ACCESS_KEY_BYTES_MAX 128

/* Connections that read metrics at once. One more ends that which has waited longest. */
#define SCRAPE_CONNECTIONS_MAX 16
/* Bytes of a request for metrics. */
#define SCRAPE_REQUEST_BYTES_MAX 4096
/* Milliseconds that such a connection may live. */
#define SCRAPE_MS 10000

/* Bytes of a key or a name: bbolt, in which containerd keeps them too, takes 32,768. */
#define SNAPSHOT_KEY_BYTES_MAX 16384
/* Bytes of a label, key and value together: containerd's own limit. */
#define SNAPSHOT_LABEL_BYTES_MAX VARVE_LABEL_BYTES_MAX
/* Labels of a request; more do not fit into a record. */
#define SNAPSHOT_LABELS_MAX 8192
/* Fields of the mask of an Update. */
#define SNAPSHOT_PATHS_MAX 1024
/* How many names in a row that other layers have are passed over for a new layer. */
#define SNAPSHOT_NAMES_TRIED_MAX 64
/* Snapshots in one message of List: as containerd's own server. */
#define SNAPSHOT_BLOCK_MAX 100
/* Bytes of such a message, beyond which it is sent: clients in Go take 4 MiB. */
#define SNAPSHOT_BLOCK_BYTES (1u << 20)
/* Work of all Lists in one turn of the loop, in units of some 20 ns: then others have theirs. */
#define SNAPSHOT_WORK_MAX 65536
/* Work of looking at a snapshot and of putting it into a message. */
#define SNAPSHOT_WORK_LOOK 64

/* Bytes of a filter. */
#define FILTER_BYTES_MAX 65536
/* Conditions of all filters of one List. */
#define FILTER_SELECTORS_MAX 1024
/* Parts of a field path. */
#define FILTER_FIELDS_MAX 256
/* Bytes of a regular expression. */
#define FILTER_PATTERN_BYTES_MAX 4096
/* Steps of one match: about a millisecond. */
#define FILTER_MATCH_STEPS_MAX 100000
/* KiB of memory of one match. */
#define FILTER_MATCH_KIB_MAX 1024
/* Work that one match counts for, in the units of SNAPSHOT_WORK_MAX: FILTER_MATCH_STEPS_MAX. */
#define FILTER_WORK_MATCH 4096
/* Bytes of labels that are searched with one unit of work. */
#define FILTER_WORK_BYTES 64

/* How often `varve serve list` reads a home that changes each time. */
#define LIST_READS_MAX 8

/* Requests for usage that `varve serve list` has in flight. */
#define LIST_REQUESTS_MAX 128

#endif
