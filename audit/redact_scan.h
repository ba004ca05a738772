/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_REDACT_SCAN_H
#define AUDIT_REDACT_SCAN_H

/*
 * Finds secrets in free text: by how known kinds of them look, by the name that stands before a
 * value, and by noise. Pure, no memory; linear in the text.
 */

#include <stdbool.h>
#include <stddef.h>

#include "audit/redact.h"
#include "base/span.h"

/* What a name says of its value. */
enum name_kind {
	NAME_PLAIN,
	NAME_SECRET,
	NAME_SECRET_LINE, /* of a header whose value goes on to the end of the line */
};
/* Compared without case and without _ - . and spaces. Longer ones than REDACT_NAME_BYTES, which
 * are not looked into, are secret. */
enum name_kind name_kind(const struct redact_rules *rules, struct span name);

/* Where a scan of a text is. All borrowed. */
struct scan {
	const struct redact_rules *rules;
	struct span text;
	size_t from; /* no secret that comes begins before */
	/* Its own. */
	size_t run_end; /* of the run that from is in, if it is known */
};
/* A secret in a text. Never empty. */
struct secret_place {
	size_t at;
	size_t n;
};
/* The first one at or behind from, which goes behind it; false: there is none. */
bool scan_next(struct scan *scan, struct secret_place *out);

/* The next three are scan_next's parts, each for the text at `at`; 0: nothing there. */
/* Bytes of a token of a known kind (redact_token.c). */
size_t token_at(struct span text, size_t at);
/* Whether a run of letters, digits and + / _ - is more random than names and paths are
 * (redact_noise.c). */
bool is_noise(struct span run);
/* Whether a run is readable text in base64; if so it is put to out, which has room for
 * NOISE_PLAIN_BYTES, as far as it fits. */
#define NOISE_PLAIN_BYTES 768
size_t decode_text(struct span run, char out[NOISE_PLAIN_BYTES]);

#endif
