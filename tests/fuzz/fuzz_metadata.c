/* SPDX-License-Identifier: Apache-2.0 */

/*
 * oauth/metadata.h on any bytes: a document that is taken is one that may be acted on. The first
 * byte says which kind it is and by which rules it is read.
 */

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "oauth/metadata.h"

#define ISSUER	 "https://as/t"
#define RESOURCE "https://h/mcp"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_url(const char *url, const struct metadata_input *input)
{
	struct err err;
	int ret;

	if (url == NULL)
		return;
	ret = metadata_check_url("x", url, input->allow_http, &err);
	assert(ret == 0);
}

static void assert_scope(const char *scope)
{
	assert(scope == NULL || (scope[0] != '\0' && strlen(scope) <= METADATA_MAX_SCOPE_BYTES));
	for (; scope != NULL && *scope != '\0'; scope++)
		assert(*scope >= ' ' && *scope <= '~');
}

static void read_resource(const struct metadata_input *input, struct arena *arena)
{
	struct resource_metadata got;
	struct err err;

	if (metadata_parse_resource(input, arena, &got, &err) < 0) {
		assert(err.code == ERR_UPSTREAM);
		return;
	}
	assert(metadata_covers(got.resource, RESOURCE));
	assert(got.authorization_servers.n <= DOCUMENT_MAX_ITEMS);
	for (size_t i = 0; i < got.authorization_servers.n; i++)
		assert_url(got.authorization_servers.items[i], input);
	assert_scope(got.scope);
}

static void read_server(const struct metadata_input *input, struct arena *arena)
{
	struct oauth_server got;
	struct err err;

	if (metadata_parse_server(input, arena, &got, &err) < 0) {
		assert(err.code == ERR_UPSTREAM);
		return;
	}
	assert(strcmp(got.issuer, ISSUER) == 0 ||
	       (input->any_slash && strcmp(got.issuer, ISSUER "/") == 0));
	assert(got.token_url != NULL);
	assert(got.authorization_url != NULL || input->grant == OAUTH_GRANT_CLIENT_CREDENTIALS);
	assert_url(got.authorization_url, input);
	assert_url(got.token_url, input);
	assert_url(got.registration_url, input);
	assert_url(got.revocation_url, input);
	assert_url(got.userinfo_url, input);
	assert_url(got.jwks_url, input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena;
	struct metadata_input input;

	if (size == 0)
		return 0;
	arena = arena_new();
	input = (struct metadata_input){
		.text = {(const char *)data + 1, size - 1},
		.of = data[0] & 1 ? ISSUER : RESOURCE,
		.any_slash = (data[0] & 2) != 0,
		.allow_http = (data[0] & 4) != 0,
		.grant = data[0] & 8 ? OAUTH_GRANT_CLIENT_CREDENTIALS
				     : OAUTH_GRANT_AUTHORIZATION_CODE,
	};
	if (data[0] & 1)
		read_server(&input, arena);
	else
		read_resource(&input, arena);
	arena_free(&arena);
	return 0;
}
