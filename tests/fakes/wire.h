/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_WIRE_H
#define FAKES_WIRE_H

/*
 * Clients on raw sockets in the thread of the server that they test: whoever waits here runs the
 * server's loop meanwhile, and fails the test if nothing comes for WIRE_PATIENCE_MS.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

#define WIRE_PATIENCE_MS 10000

/* A listening, non-blocking socket on a free port of 127.0.0.1. */
int wire_listen(uint16_t *port);
/* Runs the loop for a moment. */
void wire_turn(struct loop *loop);
/* Runs it until met(ctx). what is for the message if that never comes. */
void wire_until(struct loop *loop, bool (*met)(void *ctx), void *ctx, const char *what);
/* For at least that long; for what must not happen. */
void wire_for(struct loop *loop, int64_t ms);

struct wire;
struct wire *wire_connect(struct loop *loop, uint16_t port);
void wire_close(struct wire **wire);
void wire_reset(struct wire **wire);	 /* with RST */
void wire_half_close(struct wire *wire); /* no more bytes from here, still reads */
/* Until the kernel has taken all of it, or the peer has closed. */
void wire_send(struct wire *wire, const char *text);
void wire_send_bytes(struct wire *wire, const char *p, size_t n);
/* Reads until what was received contains text; returns all of it, NUL-terminated. */
const char *wire_await(struct wire *wire, const char *text);
const char *wire_await_bytes(struct wire *wire, size_t n);
/* Reads until the peer closes or resets; returns all that was received. */
const char *wire_await_close(struct wire *wire);
/* What has come by now, without waiting. */
const char *wire_received(struct wire *wire);
size_t wire_received_bytes(struct wire *wire);
bool wire_is_closed(struct wire *wire);
void wire_forget(struct wire *wire); /* what was received so far */

#endif
