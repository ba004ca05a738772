/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_EVENT_PRIV_H
#define AUDIT_EVENT_PRIV_H

/*
 * What the files of the event share.
 *
 *   event.c         reading, and what the chain is over
 *   event_encode.c  writing, with what has to be hidden or mended
 *   event_link.c    the row that two records make, and its place in the chain
 */

#include <stdint.h>

#include "audit/event.h"

#define EVENT_VERSION	       2
#define EVENT_FIELD_HEAD_BYTES 3 /* id and length, before a field's bytes */
#define EVENT_NUMBER_BYTES     8

enum {
	AT_VERSION = 0,
	AT_CALL_ID = 1,
	AT_STARTED = AT_CALL_ID + EVENT_UUID_BYTES,
	AT_TENANT_ID = AT_STARTED + EVENT_NUMBER_BYTES,
};

enum event_field_kind { KIND_UUID, KIND_TEXT, KIND_NUMBER, KIND_DIGEST };

extern const struct event_field_rule {
	enum event_field_kind kind;
	uint16_t max_bytes;
} event_fields[N_FIELDS];

/* UTF-8 without NUL. */
bool event_text_is_clean(struct span text);
/* Returns where the field's bytes begin, for event_field_end. */
size_t event_field_begin(struct buf *out, enum event_field field);
void event_field_end(struct buf *out, size_t start);

#endif
