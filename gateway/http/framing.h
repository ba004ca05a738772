/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_FRAMING_H
#define GATEWAY_HTTP_FRAMING_H

/*
 * What libh2o's parser lets through although RFC 9112 wants it refused: a proxy before us might
 * read it differently, and then two sides disagree on where a request ends or whom it is for.
 */

#include "base/err.h"
#include "base/span.h"

/* head starts at the request line and reaches at least to the empty line. minor_version is that
 * of HTTP/1. ERR_BAD_REQUEST. */
int framing_check(struct span head, int minor_version, struct err *err) MUST_CHECK;

#endif
