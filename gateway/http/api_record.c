/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_record.h"

#include <ctype.h>
#include <string.h>

#include "gateway/core/event_context.h"

#define COUNT(array)   (sizeof(array) / sizeof((array)[0]))
#define MAX_NAME_BYTES 64

/* Who writes the event of a success. */
enum writer {
	BY_TRIGGER, /* in the transaction of the change */
	BY_US,	    /* before it is answered: it changes no row of which events are written */
};

struct api_action {
	api_step *const *steps;
	const char *action; /* as in audit.admin_events */
	const char *kind;
	const char *param; /* of the path, that names the target; NULL: the body does */
	enum writer writer;
};

static const struct api_action actions[] = {
	{api_connection_create,	 "connection.create",  "connection",  NULL,	  BY_TRIGGER},
	{ api_connection_replace, "connection.update",  "connection",  "name",   BY_TRIGGER},
	{ api_connection_change,	 "connection.update",  "connection",  "name",   BY_TRIGGER},
	{ api_connection_remove,	 "connection.delete",  "connection",  "name",   BY_TRIGGER},
	{ api_connection_refresh, "connection.refresh", "connection",  "name",   BY_US	    },
	{ api_probe_stored,	    "connection.probe",	"connection",  "name",   BY_US	    },
	{ api_probe_unsaved,	     "connection.probe",	 "connection",  NULL,     BY_US	   },
	{ api_oauth_connect,	     "oauth.connect",      "connection",  "name",   BY_US	  },
	{ api_oauth_ingest,	    "oauth.ingest",	    "connection",  "name",	  BY_TRIGGER},
	{ api_oauth_reacquire,    "oauth.reacquire",	  "connection",	"name",	BY_US     },
	{ api_oauth_disconnect,	"oauth.disconnect",   "connection",  "name",	  BY_TRIGGER},
	{ api_signin_code_create, "signin_code.create", "signin_code", NULL,     BY_TRIGGER},
	{ api_key_create,	  "key.create",		"key",	       NULL,     BY_TRIGGER},
	{ api_key_remove,	  "key.delete",		"key",	       "id",     BY_TRIGGER},
	{ api_user_create,	   "user.create",	  "user",	  "name",	  BY_TRIGGER},
	{ api_user_change,	   "user.update",	  "user",	  "name",	  BY_TRIGGER},
	{ api_user_remove,	   "user.delete",	  "user",	  "name",	  BY_TRIGGER},
	{ api_tenant_create,	     "tenant.create",      "tenant",	"tenant", BY_TRIGGER},
	{ api_tenant_change,	     "tenant.update",      "tenant",	"tenant", BY_TRIGGER},
	{ api_tenant_remove,	     "tenant.delete",      "tenant",	"tenant", BY_TRIGGER},
	{ api_audit_payload,	     "payload.read",	     "call",	     "id",	   BY_US	 },
};

static const struct {
	int status;
	const char *outcome;
} outcomes[] = {
	{401,  "unauthenticated"},
	    { 403, "denied"	    },
	    { 404, "not_found"      },
	{ 409, "conflict"	  },
	    { 412, "stale"	   },
	    { 428, "stale"	   },
	{ 429, "rate_limited"   },
	    { 503, "unavailable"	 },
};

const struct api_action *api_action_of(api_step *const *steps)
{
	for (size_t i = 0; i < COUNT(actions); i++) {
		if (actions[i].steps == steps)
			return &actions[i];
	}
	return NULL;
}

const char *api_action_name(const struct api_action *action)
{
	return action->action;
}

static const char *outcome_of(int status)
{
	if (status < 400)
		return "ok";
	for (size_t i = 0; i < COUNT(outcomes); i++) {
		if (outcomes[i].status == status)
			return outcomes[i].outcome;
	}
	return status >= 500 ? "failed" : "invalid";
}

void api_record_begin(struct api_request *request)
{
	request->action = api_action_of(request->route->steps);
	if (request->action != NULL)
		uuid_v7(loop_unix_us() / 1000, request->event_id);
}

static const char *actor_of(struct api_request *request)
{
	const struct principal *caller = request->caller;

	if (caller == NULL)
		return "nobody";
	return caller->user_name != NULL
		       ? arena_printf(request->arena, "user:%s", caller->user_name)
		       : arena_printf(request->arena, "key:%s", caller->api_key);
}

static const char *user_id_of(const struct principal *caller)
{
	return caller != NULL && caller->user_id[0] != '\0' ? caller->user_id : NULL;
}

const char *api_record_context(struct api_request *request)
{
	const struct principal *caller = request->caller;

	if (request->action == NULL || caller == NULL)
		return NULL;
	return event_context_write(
		&(struct event_context){
			.event_id = request->event_id,
			.action = request->action->action,
			.actor = actor_of(request),
			.role = role_name(caller->role),
			.user_id = user_id_of(caller),
			.api_key = caller->api_key_public,
			.actor_tenant_id = caller->tenant_id,
			.actor_tenant = caller->tenant,
			.via = "api",
			.client = event_foreign_text(
				request->arena, exchange_header(request->exchange, "user-agent")),
			.source_ip = exchange_source_ip(request->exchange),
			.node_id = request->app->node_id,
			.secrets = request->knows_secrets ? request->secrets : NULL,
		},
		request->arena);
}

/* A name that nobody has taken for one could be anything: of such only what could be a name. */
static const char *plain_name(const char *text)
{
	if (text == NULL || strlen(text) > MAX_NAME_BYTES)
		return NULL;
	for (const char *at = text; *at != '\0'; at++) {
		if (iscntrl((unsigned char)*at))
			return NULL;
	}
	return text;
}

static const char *target_of(const struct api_request *request)
{
	const char *param = request->action->param != NULL
				    ? exchange_param(request->exchange, request->action->param)
				    : NULL;

	if (param != NULL)
		return plain_name(param);
	if (request->action->steps == api_signin_code_create)
		return request->principal != NULL ? request->principal->user_name : NULL;
	return request->body != NULL ? plain_name(json_text(request->body, "name")) : NULL;
}

bool api_record_start(struct api_request *request, attempt_done *done)
{
	const struct principal *caller = request->caller;
	struct arena *arena = request->arena;
	struct attempts *attempts = request->app->attempts;
	int status = request->answer->status;
	/* What Postgres could not do cannot be recorded at once either: its client need not wait.
	 */
	bool waits = status != 503;

	if (attempts == NULL || (status < 400 && request->action->writer == BY_TRIGGER))
		return false;
	return attempts_write(
		       attempts, waits ? &request->recording : NULL,
		       &(struct attempt){
			       .kind = ATTEMPT_ADMIN,
			       .event_id = request->event_id,
			       .tenant_id = request->tenant_id,
			       .tenant = request->tenant_name,
			       .actor = actor_of(request),
			       .user_id = user_id_of(caller),
			       .api_key = caller != NULL ? caller->api_key_public : NULL,
			       .source_ip = exchange_source_ip(request->exchange),
			       .client = event_foreign_text(
				       arena, exchange_header(request->exchange, "user-agent")),
			       .error_code = request->problem_code,
			       .action = request->action->action,
			       .role = caller != NULL ? role_name(caller->role) : NULL,
			       .actor_tenant_id = caller != NULL ? caller->tenant_id : NULL,
			       .actor_tenant = caller != NULL ? caller->tenant : NULL,
			       .target_kind = request->action->kind,
			       .target = event_foreign_text(arena, target_of(request)),
			       .outcome = outcome_of(status),
			       .error_message = event_foreign_text(arena, request->problem_detail),
			       .http_status = arena_printf(arena, "%d", status),
		       },
		       done, request) &&
	       waits;
}
