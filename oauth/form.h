/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_FORM_H
#define OAUTH_FORM_H

/* Bodies and queries in application/x-www-form-urlencoded. */

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"

#define FORM_MAX_BYTES 262144 /* 256 KiB: a token, a secret and an assertion, each escaped */

/* Appends the escaped bytes: a space is "+", all but letters, digits and "-._*" is %XX. */
void form_escape(struct buf *out, const char *p, size_t n);
/* Appends name=value, after a "&" unless `form` is empty or ends with "?" or "&". */
void form_add(struct buf *form, const char *name, const char *value);

/* Takes the next pair off `form`, as it stands there: escaped. value is absent without a "=". */
bool form_next(struct span *form, struct span *name, struct span *value);
/* Appends the bytes that an escaped text stands for; a "%" without two digits stands for itself. */
void form_unescape(struct buf *out, struct span text);
/* True if a form or query (without its "?") has a parameter that unescapes to this name. */
bool form_has(struct span form, const char *name);

#endif
