/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_HTTP_CURL_PRIV_H
#define BASE_HTTP_CURL_PRIV_H

/*
 * The HTTP client on libcurl: http_curl.c has the life of a request, http_curl_easy.c its curl
 * options and callbacks, http_curl_multi.c the transport (CURLM and its sockets in the loop),
 * http_curl_pool.c what may be reused, and between whom.
 */

#include <curl/curl.h>

#include "base/http_client.h"
#include "base/http_message.h"
#include "base/url.h"

#define HTTP_MAX_SPARE_EASY  64 /* easy handles kept for reuse */
#define HTTP_MAX_CONNECTIONS 64 /* idle ones that a pool keeps */
#define HTTP_MAX_IDLE_POOLS  256
#define HTTP_POOL_IDLE_MS    5000
#define HTTP_POOL_BUCKETS    256
/* Node servers close idle connections after 5 s; curl counts whole seconds and reuses a
 * connection that was idle for this many, so for less than 4 s. */
#define HTTP_MAX_IDLE_SECONDS 3

struct http_pool;
struct http_socket;

struct http_client {
	struct loop *loop;
	CURLM *multi;
	struct timer curl_timer;
	unsigned inside_curl;	      /* how many of our calls into curl stand on the stack */
	bool removing_unsent;	      /* a request that had not reached its peer leaves curl */
	struct http_socket **sockets; /* by descriptor */
	size_t n_sockets;
	struct http_pool *buckets[HTTP_POOL_BUCKETS];
	struct http_pool *first_idle, *last_idle; /* the longest idle first */
	size_t n_idle;
	struct timer idle_timer;
	CURL *spare[HTTP_MAX_SPARE_EASY];
	size_t n_spare;
	struct http_request *requests;
};

enum request_state {
	REQUEST_STARTING,   /* waits for its turn of the loop */
	REQUEST_CONNECTING, /* in curl's hands; nothing has left */
	REQUEST_SENT,	    /* a connection stands: bytes may have left. Waits for the head */
	REQUEST_STREAMING,  /* the head was delivered, the body follows */
	REQUEST_COMPLETE,   /* so was all of the body */
	REQUEST_ENDED,	    /* out of curl's hands; done waits for its turn */
	REQUEST_CANCELLED,  /* cancelled inside a callback of curl, taken out after it */
};

enum request_flow {
	FLOW_OPEN,
	FLOW_CLOSING, /* paused by the owner; curl learns of it with the next bytes */
	FLOW_HELD,    /* curl holds the next bytes and reads no more */
	FLOW_OPENING, /* resumed by the owner; curl learns of it in the next turn */
};

struct http_timeouts {
	int64_t connect_ms;
	int64_t first_byte_ms;
	int64_t idle_ms;
	int64_t total_ms; /* 0: none */
};

struct http_request {
	struct http_request **slot; /* NULL after cancel */
	struct http_client *client;
	struct http_request *next, **link; /* in client->requests; *link is us */
	struct http_events events;
	void *ctx;
	enum request_state state;
	enum request_flow flow;
	struct deferred turn; /* start, resume, done or removal: never two of them */
	struct timer deadline;
	struct http_timeouts timeouts;
	int64_t started_ms;
	int64_t last_read_ms;
	bool sent;	      /* a byte may have left */
	bool retry_refused;   /* curl wanted to send the request again */
	bool address_refused; /* by the egress policy */
	bool address_tried;   /* another one was allowed */
	bool failed;	      /* failure says why; the first reason wins */
	struct err failure;
	char host[URL_HOST_BYTES];
	uint16_t port;
	struct egress_policy *egress; /* a reference of our own */
	struct span body;
	size_t body_sent;
	size_t received;
	size_t max_body_bytes;
	struct http_lines lines;
	struct http_pool *pool;
	CURL *easy; /* NULL if the request was refused before it started, and once it ended */
	struct curl_slist *headers;
	char curl_error[CURL_ERROR_SIZE];
};

/* http_curl.c: what the callbacks of curl report. */
void request_fail(struct http_request *request, enum err_code code, const char *format, ...)
	ERR_PRINTF(3, 4);
/* The transfer is over; `done` follows from the loop. Not inside a callback of curl. */
void request_end(struct http_request *request, CURLcode result);
/* After a change of state or flow that may bring a deadline nearer. */
void request_arm(struct http_request *request);

/* http_curl_easy.c: makes request->easy of params. */
void easy_prepare(struct http_request *request, const struct http_params *params,
		  const struct url *url);

/* http_curl_multi.c */
void multi_open(struct http_client *client);
void multi_close(struct http_client *client);
void multi_add(struct http_request *request);
void multi_remove(struct http_request *request);
void multi_resume(struct http_request *request);
/* Opens a socket for curl whose watch is kept until curl closes it; -1 on failure. */
int multi_socket_open(struct http_client *client, const struct curl_sockaddr *address);
int multi_socket_close(struct http_client *client, int fd);

/* http_curl_pool.c */
struct http_pool *pool_take(struct http_client *client, const char *key, uint64_t policy_id);
void pool_give_back(struct http_client *client, struct http_pool *pool);
void pool_close_all(struct http_client *client);
CURLSH *pool_share(const struct http_pool *pool);
CURL *spare_take(struct http_client *client);
void spare_give_back(struct http_client *client, CURL *easy);

/* For calls that can only fail for want of memory or by a bug. */
void must_easy(CURLcode code);
void must_multi(CURLMcode code);
void must_share(CURLSHcode code);

#endif
