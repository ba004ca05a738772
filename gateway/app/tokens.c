/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/http_client.h"
#include "base/mem.h"
#include "gateway/core/acquire.h"
#include "gateway/core/credential.h"
#include "gateway/core/meters.h"
#include "gateway/core/tenant.h"
#include "oauth/access.h"
#include "tokenstore/grant_store.h"

struct tokens {
	struct tenants *tenants;
	struct meter *meter;
	struct grant_store *store;
	struct http_client *client;
	struct access *access;
	struct acquires *acquires;
	struct credentials *credentials;
};

static bool on_take(void *ctx, const char *tenant_id, struct access_tenant *out)
{
	struct tokens *tokens = ctx;
	struct tenant *tenant = tenants_want(tokens->tenants, tenant_id);

	if (tenant == NULL)
		return false;
	*out = (struct access_tenant){
		.egress = tenant->egress,
		.keys = tenant->keys,
		.n_keys = tenant->n_keys,
		.held = tenant,
	};
	return true;
}

static void on_give_back(void *ctx, struct access_tenant *taken)
{
	struct tenant *tenant = taken->held;

	(void)ctx;
	tenant_unref(&tenant);
	*taken = (struct access_tenant){ .held = NULL };
}

static const struct secret *on_client_secret(void *ctx, const struct access_tenant *taken,
					     const struct grant *grant)
{
	(void)ctx;
	return credential_client_secret(taken->held, grant);
}

static struct tenant *want_tenant(void *ctx, const char *tenant_id)
{
	struct tokens *tokens = ctx;

	return tenants_want(tokens->tenants, tenant_id);
}

static const char *connection_name(const struct tenant *tenant, const char *id)
{
	for (size_t i = 0; i < tenant->n_connections; i++) {
		if (strcmp(tenant->connections[i].id, id) == 0)
			return tenant->connections[i].name;
	}
	return METRIC_OTHER;
}

static void on_event(void *ctx, const struct grant_key *key, const char *type)
{
	struct tokens *tokens = ctx;
	struct tenant *tenant = tenants_want(tokens->tenants, key->tenant_id);

	if (tenant == NULL)
		return; /* its keys were not needed, so it was no renewal */
	meter_grant_event(tokens->meter, tenant->name, connection_name(tenant, key->connection_id),
			  type);
	tenant_unref(&tenant);
}

struct tokens *tokens_new(const struct tokens_params *params, struct err *err)
{
	struct tokens *tokens = mem_new(sizeof(*tokens));
	const struct access_spool spool = {
		.data_dir = params->data_dir,
		.slot = params->slot,
		.n_slots = params->n_slots,
		.fsync = params->fsync,
	};

	tokens->tenants = params->tenants;
	tokens->meter = params->meter;
	tokens->store = grant_pg_new(params->db);
	grant_pg_watch(tokens->store, on_event, tokens);
	tokens->client = http_client_new(params->loop);
	tokens->access = access_new(
		&(struct access_params){
			.loop = params->loop,
			.store = tokens->store,
			.client = tokens->client,
			.deployment = params->deployment,
			.node_id = params->node_id,
			.spool = &spool,
			.refresh_grace_ms = params->refresh_grace_ms,
			.stale_max_ms = params->stale_max_ms,
			.background = true,
			.take = on_take,
			.give_back = on_give_back,
			.client_secret = on_client_secret,
			.ctx = tokens,
		},
		err);
	if (tokens->access == NULL) {
		tokens_free(&tokens);
		return NULL;
	}
	tokens->acquires = acquires_new(&(struct acquires_params){
		.loop = params->loop,
		.access = tokens->access,
		.db = params->db,
		.allow_http = params->allow_http,
		.want = want_tenant,
		.ctx = tokens,
	});
	tokens->credentials = credentials_new(tokens->access, tokens->acquires);
	return tokens;
}

void tokens_free(struct tokens **slot)
{
	struct tokens *tokens = *slot;

	if (tokens == NULL)
		return;
	*slot = NULL;
	credentials_free(&tokens->credentials);
	acquires_free(&tokens->acquires);
	access_free(&tokens->access);
	http_client_free(&tokens->client);
	grant_store_free(&tokens->store);
	free(tokens);
}

struct access *tokens_access(const struct tokens *tokens)
{
	return tokens->access;
}

struct acquires *tokens_acquires(const struct tokens *tokens)
{
	return tokens->acquires;
}

struct credentials *tokens_credentials(const struct tokens *tokens)
{
	return tokens->credentials;
}

bool tokens_find(void *ctx, const char *tenant_id, const char *connection_id, const char *subject,
		 struct upstream_token *token)
{
	struct tokens *const *tokens = ctx;

	return *tokens != NULL &&
	       credential_find((*tokens)->access, tenant_id, connection_id, subject, token);
}

void tokens_hint(struct tokens *tokens, const char *payload)
{
	if (payload == NULL)
		access_hint(tokens->access, NULL);
	else
		access_notified(tokens->access, payload);
}
