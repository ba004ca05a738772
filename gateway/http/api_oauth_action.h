/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_API_OAUTH_ACTION_H
#define GATEWAY_HTTP_API_OAUTH_ACTION_H

/*
 * The grant that a route acts on: the one that the caller uses. Administrators alone act on one
 * that all share, and may name the user whose they mean.
 */

#include "gateway/core/tenant.h"
#include "gateway/http/api.h"
#include "tokenstore/grant.h"

#define OAUTH_ACTOR_BYTES 128

/* In request->work, from oauth_action_begin on. */
struct oauth_action {
	const struct connection *connection; /* in request->tenant */
	struct grant_key key;
	char actor[OAUTH_ACTOR_BYTES]; /* for the record: "user:ana", "key:ci" */
	/* What came of it. */
	const char *attempt_id;
	const char *url;
	int64_t expires_at;
	const char *revocation;
	bool none;	       /* there is no grant that could be renewed */
	const char *why;       /* there is none; or NULL */
	const struct err *err; /* NULL: it went well */
};
struct oauth_action *oauth_action_of(const struct api_request *request);
enum api_result oauth_action_fail(struct api_request *request, const struct err *err);

/* Steps: which connection, after api_load_tenant. */
enum api_result oauth_action_begin(struct api_request *request);
/* The grant that the caller uses. */
enum api_result oauth_action_own(struct api_request *request);
/* Or that of the user whom the body, which may be missing, names: these three in this order, begin
 * before the second. */
enum api_result oauth_action_read_user(struct api_request *request);
enum api_result oauth_action_find_user(struct api_request *request);
enum api_result oauth_action_choose(struct api_request *request);

#endif
