/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_EVENT_CONTEXT_H
#define GATEWAY_CORE_EVENT_CONTEXT_H

/*
 * Who asks for a change: what triggers (migrations/0020) put into audit.admin_events and
 * audit.auth_events in the transaction of the change. It is a setting of that transaction.
 */

#include "base/mem.h"

#define EVENT_CONTEXT_SETTING "app.event"
#define EVENT_MAX_TEXT	      256 /* bytes of each member; more is cut */

/* Borrows all; NULL: left out. */
struct event_context {
	const char *event_id; /* of the one change that is asked for */
	const char *action;   /* as in audit.admin_events */
	const char *actor;
	const char *role;
	const char *user_id;
	const char *api_key;
	const char *actor_tenant_id;
	const char *actor_tenant;
	const char *via;
	const char *client;
	const char *source_ip;
	const char *node_id;
	const char *signin; /* code, key or out */
	/* Columns whose secret is another one, NULL-terminated. NULL: whoever reads the event
	 * cannot know, because each version of a row seals all of it anew. */
	const char *const *secrets;
};
/* The value of the setting, in the arena. */
const char *event_context_write(const struct event_context *context, struct arena *arena);
/* A copy that PostgreSQL takes: valid UTF-8 without NUL, at most EVENT_MAX_TEXT bytes; NULL stays
 * NULL. */
const char *event_text(struct arena *arena, const char *text);
/* The same of what anybody may write, without the secrets that it looks to hold. */
const char *event_foreign_text(struct arena *arena, const char *text);

#endif
