/* SPDX-License-Identifier: Apache-2.0 */

/* One transfer: its curl options and callbacks. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/http_curl_priv.h"
#include "base/mem.h"
#include "base/text.h"

#define KEEPALIVE_SECONDS   60
#define UPLOAD_BUFFER_BYTES 16384

/* QUICK_EXIT: without it, giving up during a name lookup would wait for the lookup's thread.
 * UPLOAD_BUFFERSIZE: allocated for each request with a body; the least that curl takes. */
static const struct {
	CURLoption option;
	long value;
} fixed_options[] = {
	{CURLOPT_NOSIGNAL,		    1		      },
	{ CURLOPT_NOPROGRESS,		      1			},
	{ CURLOPT_HTTP_VERSION,		CURL_HTTP_VERSION_1_1  },
	{ CURLOPT_HTTP09_ALLOWED,		  0			    },
	{ CURLOPT_FOLLOWLOCATION,		  0			    },
	{ CURLOPT_HTTP_CONTENT_DECODING,	 0			   },
	{ CURLOPT_NETRC,			 CURL_NETRC_IGNORED	    },
	{ CURLOPT_DISALLOW_USERNAME_IN_URL, 1		      },
	{ CURLOPT_PATH_AS_IS,		      1			},
	{ CURLOPT_SSL_VERIFYPEER,		  1			    },
	{ CURLOPT_SSL_VERIFYHOST,		  2			    },
	{ CURLOPT_SSLVERSION,		      CURL_SSLVERSION_TLSv1_2},
	{ CURLOPT_MAXAGE_CONN,	       HTTP_MAX_IDLE_SECONDS  },
	{ CURLOPT_QUICK_EXIT,		      1			},
	{ CURLOPT_UPLOAD_BUFFERSIZE,	     UPLOAD_BUFFER_BYTES	 },
	{ CURLOPT_TCP_KEEPALIVE,		 1			   },
	{ CURLOPT_TCP_KEEPIDLE,		KEEPALIVE_SECONDS	  },
	{ CURLOPT_TCP_KEEPINTVL,		 KEEPALIVE_SECONDS	   },
};

/* What curl adds by itself unless the caller names it. */
static const char *const added_by_curl[] = { "Accept", "Content-Type", "Expect" };

/* The policy is asked for each address. curl also comes here to send a request again that it
 * gave to a connection which died: refused, because it may have run already. */
static curl_socket_t on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_request *request = ctx;

	if (purpose != CURLSOCKTYPE_IPCXN)
		return CURL_SOCKET_BAD;
	if (request->sent) {
		request->retry_refused = true;
		return CURL_SOCKET_BAD;
	}
	if (!egress_allows(request->egress, request->host, request->port, &address->addr)) {
		request->address_refused = true;
		return CURL_SOCKET_BAD;
	}
	request->address_tried = true;
	return multi_socket_open(request->client, address);
}

static int on_close(void *ctx, curl_socket_t fd)
{
	return multi_socket_close(ctx, fd);
}

/* Runs with a connection at hand, new or reused, right before the first byte. A second time
 * means that curl wants to send the request again on another pooled connection. */
static int on_ready_to_send(void *ctx, char *peer, char *local, int peer_port, int local_port)
{
	struct http_request *request = ctx;

	(void)peer;
	(void)local;
	(void)peer_port;
	(void)local_port;
	if (request->sent) {
		request->retry_refused = true;
		return CURL_PREREQFUNC_ABORT;
	}
	request->sent = true;
	request->state = REQUEST_SENT;
	return CURL_PREREQFUNC_OK;
}

static size_t on_read(char *to, size_t size, size_t n, void *ctx)
{
	struct http_request *request = ctx;
	size_t left = request->body.n - request->body_sent;

	/* The body belongs to the owner, who may have freed it after cancel. */
	if (request->state == REQUEST_CANCELLED)
		return CURL_READFUNC_ABORT;
	n *= size;
	if (n > left)
		n = left;
	if (n > 0)
		memcpy(to, request->body.p + request->body_sent, n);
	request->body_sent += n;
	return n;
}

static int deliver_head(struct http_request *request)
{
	long status = 0;
	struct http_head head;

	must_easy(curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status));
	if (status < 200 && status != 101) {
		http_lines_clear(&request->lines);
		return 0;
	}
	if (status < 200 || status > 999) {
		request_fail(request, ERR_UPSTREAM, "the answer has the unexpected status %ld",
			     status);
		return -1;
	}
	head = http_lines_head(&request->lines, (int)status);
	request->state = REQUEST_STREAMING;
	request->last_read_ms = loop_now_ms(request->client->loop);
	request_arm(request);
	request->events.head(request->ctx, &head);
	return request->state == REQUEST_CANCELLED ? -1 : 0;
}

/* A line of a head or trailer, with its line end. */
static size_t on_header(char *line, size_t size, size_t n, void *ctx)
{
	struct http_request *request = ctx;
	struct err problem;
	size_t length = n * size;
	int rc;

	if (request->state == REQUEST_CANCELLED)
		return 0;
	while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
		length--;
	if (request->state == REQUEST_STREAMING)
		rc = http_lines_count(&request->lines, length, &problem);
	else if (length > 0)
		rc = http_lines_add(&request->lines, line, length, &problem);
	else
		return deliver_head(request) < 0 ? 0 : n * size;
	if (rc == 0)
		return n * size;
	request_fail(request, problem.code, "%s", problem.text);
	return 0;
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct http_request *request = ctx;

	n *= size;
	if (request->state == REQUEST_CANCELLED)
		return CURL_WRITEFUNC_ERROR;
	if (request->flow == FLOW_CLOSING) {
		request->flow = FLOW_HELD;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (n > request->max_body_bytes - request->received) {
		request_fail(request, ERR_TOO_LARGE, "the answer's body is over %zu bytes",
			     request->max_body_bytes);
		return CURL_WRITEFUNC_ERROR;
	}
	request->received += n;
	request->last_read_ms = loop_now_ms(request->client->loop);
	request->events.data(request->ctx, p, n);
	return request->state == REQUEST_CANCELLED ? CURL_WRITEFUNC_ERROR : n;
}

static void add_header(struct http_request *request, const char *name, const char *separator,
		       const char *value)
{
	char *line = mem_printf("%s%s%s", name, separator, value);
	struct curl_slist *longer = curl_slist_append(request->headers, line);

	assert(longer != NULL);
	request->headers = longer;
	mem_wipe(line, strlen(line));
	free(line);
}

static bool names_header(const struct http_params *params, const char *name)
{
	for (size_t i = 0; i < params->n_headers; i++) {
		if (text_equal_nocase(params->headers[i].name, name))
			return true;
	}
	return false;
}

static void set_headers(struct http_request *request, const struct http_params *params)
{
	for (size_t i = 0; i < params->n_headers; i++) {
		const struct http_header *header = &params->headers[i];
		size_t blank = strspn(header->value, " \t");

		/* curl's spelling of a header without a value */
		if (header->value[blank] == '\0')
			add_header(request, header->name, ";", "");
		else
			add_header(request, header->name, ": ", header->value);
	}
	/* … and of "do not send this one" */
	for (size_t i = 0; i < sizeof(added_by_curl) / sizeof(added_by_curl[0]); i++) {
		if (!names_header(params, added_by_curl[i]))
			add_header(request, added_by_curl[i], ":", "");
	}
	must_easy(curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER, request->headers));
}

/* RFC 9110 8.6: a method that usually has a body says so when it has none. */
static bool wants_length(const char *method)
{
	return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
	       strcmp(method, "PATCH") == 0;
}

static void set_method(struct http_request *request, const struct http_params *params)
{
	CURL *easy = request->easy;

	if (strcmp(params->method, "HEAD") == 0) {
		must_easy(curl_easy_setopt(easy, CURLOPT_NOBODY, 1L));
		return;
	}
	must_easy(curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE,
				   (curl_off_t)request->max_body_bytes));
	if (params->body.p == NULL && !wants_length(params->method)) {
		must_easy(curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L));
	} else {
		must_easy(curl_easy_setopt(easy, CURLOPT_POST, 1L));
		must_easy(curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
					   (curl_off_t)request->body.n));
		must_easy(curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read));
		must_easy(curl_easy_setopt(easy, CURLOPT_READDATA, request));
	}
	must_easy(curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, params->method));
}

static void set_callbacks(struct http_request *request)
{
	CURL *easy = request->easy;

	must_easy(curl_easy_setopt(easy, CURLOPT_PRIVATE, request));
	must_easy(curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->curl_error));
	must_easy(curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open));
	must_easy(curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, request));
	must_easy(curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close));
	must_easy(curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, request->client));
	must_easy(curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_ready_to_send));
	must_easy(curl_easy_setopt(easy, CURLOPT_PREREQDATA, request));
	must_easy(curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header));
	must_easy(curl_easy_setopt(easy, CURLOPT_HEADERDATA, request));
	must_easy(curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body));
	must_easy(curl_easy_setopt(easy, CURLOPT_WRITEDATA, request));
}

void easy_prepare(struct http_request *request, const struct http_params *params,
		  const struct url *url)
{
	CURL *easy = spare_take(request->client);

	request->easy = easy;
	for (size_t i = 0; i < sizeof(fixed_options) / sizeof(fixed_options[0]); i++)
		must_easy(curl_easy_setopt(easy, fixed_options[i].option, fixed_options[i].value));
	must_easy(curl_easy_setopt(easy, CURLOPT_PROXY, ""));
	must_easy(curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https"));
	must_easy(curl_easy_setopt(easy, CURLOPT_SHARE, pool_share(request->pool)));
	must_easy(curl_easy_setopt(easy, CURLOPT_URL, url->text));
	/* Ours decides; curl divides this one among the addresses of a host. */
	must_easy(curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
				   (long)request->timeouts.connect_ms));
	set_callbacks(request);
	set_method(request, params);
	set_headers(request, params);
}
