/* SPDX-License-Identifier: Apache-2.0 */

/*
 * oauth/registration.h on any bytes: a client that is taken can show itself afterwards. The first
 * byte says the status and the method that was asked for.
 */

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "oauth/registration.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_client(const struct registration *got)
{
	assert(got->client_id[0] != '\0' && strlen(got->client_id) <= REGISTRATION_MAX_ID_BYTES);
	assert(got->auth == OAUTH_AUTH_NONE || got->auth == OAUTH_AUTH_BASIC ||
	       got->auth == OAUTH_AUTH_POST);
	assert((got->auth == OAUTH_AUTH_NONE) == (got->client_secret.n == 0));
	assert(got->client_secret.n <= REGISTRATION_MAX_SECRET_BYTES);
	assert(got->secret_expires_at >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum oauth_client_auth methods[] = { OAUTH_AUTH_BASIC, OAUTH_AUTH_POST,
							  OAUTH_AUTH_NONE };
	static const int statuses[] = { 201, 200, 400, 500 };
	struct registration got;
	struct arena *arena;
	struct err err;

	if (size == 0)
		return 0;
	arena = arena_new();
	const struct registration_answer answer = {
		.status = statuses[data[0] & 3],
		.body = {(const char *)data + 1, size - 1},
		.redirect_uri = "https://gw/cb",
		.asked = methods[(data[0] >> 2) % 3],
	};
	if (registration_parse(&answer, arena, &got, &err) == 0) {
		assert(answer.status <= 201);
		assert_client(&got);
	} else {
		assert(err.code == ERR_UPSTREAM && err.text[0] != '\0');
	}
	secret_fini(&got.client_secret);
	arena_free(&arena);
	return 0;
}
