/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_GATEWAY_CORE_CALL_FAKES_CREDENTIAL_H
#define TESTS_UNIT_GATEWAY_CORE_CALL_FAKES_CREDENTIAL_H

/* Tokens for the upstream, and links to get one. Part of call_fakes.h, which includes it last. */

#define LINK_URL "https://gw.example.com/connect/a-1"

int connect_subject(const struct connection *connection, const struct principal *principal,
		    char *out, struct err *err)
{
	if (connection->oauth->per_user && principal->user_id[0] == '\0')
		return err_set(err, ERR_FORBIDDEN, "a service key is no user");
	snprintf(out, UPSTREAM_SUBJECT_BYTES, "%s",
		 connection->oauth->per_user ? principal->subject : "");
	return 0;
}

bool credential_ready(const struct credentials *credentials, const struct tenant *tenant,
		      const struct connection *connection, const char *subject)
{
	(void)tenant;
	(void)connection;
	(void)subject;
	return credentials->world->token_in_memory;
}

const char *credential_account(const struct credentials *credentials, const struct tenant *tenant,
			       const struct connection *connection, const char *subject)
{
	(void)tenant;
	(void)connection;
	(void)subject;
	return credentials->world->account;
}

void credential_start(struct credentials *credentials, struct credential_op **slot,
		      const struct credential_request *request, credential_done *done, void *ctx)
{
	struct world *world = credentials->world;

	assert_string_equal(request->actor, "system:tool-call");
	note(world, "token of %s for %s, refused %lld", request->connection->name, request->subject,
	     (long long)request->refused_version);
	pend(&world->credential_op.pending, world, slot, &world->credential_op, (void *)done, ctx);
}

void credential_cancel(struct credential_op **slot)
{
	if (*slot != NULL)
		drop(&(*slot)->pending, "token");
}

/* code 0: there is no failure. */
static inline void credential_says(struct world *world, enum credential_state state,
				   const char *why)
{
	struct pending was = take(&world->credential_op.pending);

	((credential_done *)was.done)(was.ctx, state, why, NULL);
}

static inline void credential_fails(struct world *world, enum err_code code)
{
	struct pending was = take(&world->credential_op.pending);
	struct err err;

	err_set(&err, code, "it does not answer");
	((credential_done *)was.done)(was.ctx, CREDENTIAL_NONE, NULL, &err);
}

void connect_request(struct connects *connects, struct connect_op **slot,
		     const struct connect_request *request, connect_requested *done, void *ctx)
{
	struct world *world = connects->world;

	assert_ptr_equal(request->principal, world->principal);
	note(world, "link to %s, scope %s", request->connection->name,
	     request->scope != NULL ? request->scope : "as it is");
	pend(&world->connect_op.pending, world, slot, &world->connect_op, (void *)done, ctx);
}

void connect_cancel(struct connect_op **slot)
{
	if (*slot != NULL)
		drop(&(*slot)->pending, "link");
}

static inline void connect_gives(struct world *world)
{
	const struct connect_link link = { .attempt_id = "a-1", .url = LINK_URL };
	struct pending was = take(&world->connect_op.pending);

	((connect_requested *)was.done)(was.ctx, &link, NULL);
}

static inline void connect_fails(struct world *world, enum err_code code)
{
	struct pending was = take(&world->connect_op.pending);
	struct err err;

	err_set(&err, code, "why not");
	((connect_requested *)was.done)(was.ctx, NULL, &err);
}

static inline void upstream_refuses(struct world *world, int status, const char *challenge,
				    int64_t version)
{
	const struct upstream_refusal refusal = { status, challenge, version };
	struct pending was = take(&world->upstream_op.pending);
	struct err err;

	world->upstream_op.events.refused(was.ctx, &refusal);
	err_set(&err, ERR_UNAUTHENTICATED, "it refuses the credential with HTTP %d", status);
	world->upstream_op.events.done(was.ctx, NULL, &err);
}

/* The connection crm has OAuth from now on; its settings may be changed afterwards. */
static inline struct connection_oauth *be_oauth(struct world *world)
{
	static struct connection_oauth oauth;

	oauth = (struct connection_oauth){ .grant = OAUTH_GRANT_AUTHORIZATION_CODE,
					   .per_user = true };
	world->tenant->connections[0].auth_mode = AUTH_OAUTH;
	world->tenant->connections[0].oauth = &oauth;
	return &oauth;
}

#endif
