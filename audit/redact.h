/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_REDACT_H
#define AUDIT_REDACT_H

/*
 * What of a call may be kept.
 *
 * A secret is found by the schema of the tool's arguments (`format: password`, `writeOnly`), by the
 * name of a member, by how it looks wherever in a text it stands, and by its noise. It becomes
 * `hmac:` and 16 hex digits, keyed per tenant: equal secrets are equal there within a tenant, and
 * tell nothing elsewhere. Without a key it becomes `[REDACTED]`.
 *
 * What remains of arguments is compact JSON that PostgreSQL's jsonb takes: U+0000 becomes U+FFFD,
 * and a number whose digits would fill pages becomes a string.
 *
 * Knows no keyring and no connection: the caller brings the rules.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/span.h"

#define REDACT_KEY_BYTES     32
#define REDACT_NAME_BYTES    256
#define REDACT_DIGEST_DIGITS 16
#define REDACT_HIDDEN	     "[REDACTED]"

struct redact_schema;

/* All borrowed; all zero: the rules that hold for everybody. */
struct redact_rules {
	const uint8_t *key; /* REDACT_KEY_BYTES, of the tenant; NULL: there is none */
	/* Names of members beside those that everybody hides, as of redact_name; * is any run. */
	const char *const *names;
	size_t n_names;
	const struct redact_schema *schema; /* of the arguments; NULL: it marks nothing */
};

/*
 * Appends at most max_bytes to out. Arguments that are longer even redacted become
 * {"_truncated":true,"bytes":N}, what is no JSON {"_invalid":true,"bytes":N}; N is what came.
 */
void redact_arguments(const struct redact_rules *rules, struct span arguments, size_t max_bytes,
		      struct buf *out);
/* The same for free text of any bytes, which is cut where the limit comes: appends at least what
 * the first max_bytes of text become, if out has room. True if that is anything but text itself;
 * else nothing is appended. */
bool redact_text(const struct redact_rules *rules, struct span text, size_t max_bytes,
		 struct buf *out);

/* A name as redact_rules has it: lower case, without _ - . and spaces. In the arena. */
const char *redact_name(struct arena *arena, const char *name);

/* The places in a tool's input schema that hold secrets; NULL: there are none. Borrows the text,
 * which has passed span_check; lies in the arena. Of a schema that is too large, or points out of
 * itself, what is not seen counts as secret (redact_schema.c). */
const struct redact_schema *redact_schema_compile(struct arena *arena, struct span schema);

#endif
