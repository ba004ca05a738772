/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_REDACT_SCHEMA_H
#define AUDIT_REDACT_SCHEMA_H

/* Where in a schema a value stands. A value has several places at once where a schema refers,
 * combines and chooses; it is secret if any of them is. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/redact.h"
#include "base/span.h"

/* A value with more places than these is secret: it cannot be told. */
#define SCHEMA_MAX_PLACES 16

/* Zeroed: nowhere, which is not secret. */
struct schema_set {
	bool secret;
	uint16_t n;
	uint16_t nodes[SCHEMA_MAX_PLACES];
};
void redact_schema_root(const struct redact_schema *schema, struct schema_set *out);
/* Of a member of that (unescaped) name, or an element, of the value that stands at from. */
void redact_schema_member(const struct redact_schema *schema, const struct schema_set *from,
			  struct span name, struct schema_set *out);
void redact_schema_element(const struct redact_schema *schema, const struct schema_set *from,
			   struct schema_set *out);

#endif
