/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_PEER_H
#define FAKES_PEER_H

/*
 * A TCP server in the test's own process that plays scripts: one thread accepts, one thread for
 * each connection runs its steps. It does exactly what a script says, however rude.
 *
 * Every blocking step gives up when the peer is stopped; none waits for a time except DRIP.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum peer_op {
	PEER_CLOSE,	  /* the end of a script: orderly close */
	PEER_SEND,	  /* text, n bytes (0: strlen) */
	PEER_DRIP,	  /* text one byte at a time, n ms apart */
	PEER_FLOOD,	  /* n bytes 'x', as fast as they are taken */
	PEER_CHUNKS,	  /* n bytes 'x' in chunked coding of 1000 each, with the last chunk */
	PEER_AWAIT,	  /* reads until what was read in this step ends with text */
	PEER_REQUEST,	  /* reads one whole request (Content-Length) and records it */
	PEER_AWAIT_CLOSE, /* reads until the other side closes or resets */
	PEER_GATE,	  /* waits for one peer_open_gate */
	PEER_HALF_CLOSE,  /* no more bytes from here, still reads */
	PEER_RESET,	  /* closes with RST; ends the script */
	PEER_AGAIN,	  /* from the first step: keep-alive */
};

struct peer_step {
	enum peer_op op;
	const char *text;
	size_t n;
};

struct peer;

/* On a free port of 127.0.0.1. The k-th connection plays scripts[k], all later ones the last.
 * Borrows the scripts. */
struct peer *peer_start(const struct peer_step *const *scripts, size_t n_scripts);
/* Closes every connection and joins every thread. */
void peer_stop(struct peer **peer);

uint16_t peer_port(const struct peer *peer);
size_t peer_connections(struct peer *peer); /* accepted so far */
size_t peer_closed(struct peer *peer);	    /* whose script has ended */
size_t peer_requests(struct peer *peer);    /* read completely by PEER_REQUEST */
size_t peer_bytes_sent(struct peer *peer);  /* by all steps, as far as the kernel took them */
/* The text of the i-th request, head and body; the caller frees. Asserts that it came. */
char *peer_request(struct peer *peer, size_t i);
void peer_open_gate(struct peer *peer);

/* A port of 127.0.0.1 where nobody listens. */
uint16_t peer_unused_port(void);

#endif
