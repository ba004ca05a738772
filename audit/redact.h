/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_REDACT_H
#define AUDIT_REDACT_H

/*
 * What of a call's arguments may be kept.
 *
 * Members whose name speaks of a secret lose their value, whatever it is; so do strings that look
 * like a known kind of token. What remains is compact JSON that PostgreSQL's jsonb takes: U+0000
 * becomes U+FFFD, and a number whose digits would fill pages becomes a string.
 */

#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"

/*
 * Appends at most max_bytes to out. Arguments that are longer even redacted become
 * {"_truncated":true,"bytes":N}, what is no JSON {"_invalid":true,"bytes":N}; N is what came.
 */
void redact_arguments(struct span arguments, size_t max_bytes, struct buf *out);

#endif
