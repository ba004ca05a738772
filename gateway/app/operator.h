/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_OPERATOR_H
#define GATEWAY_APP_OPERATOR_H

/* Who runs a command that writes to the database itself, for audit.admin_events. */

#include "base/mem.h"

/* The setting EVENT_CONTEXT_SETTING of its transactions: the user of this machine, by `via`. In the
 * arena. */
const char *operator_context(struct arena *arena, const char *via);

#endif
