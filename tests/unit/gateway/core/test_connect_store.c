/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/core/connect_priv.h"

static void assert_same(const char *a, const char *b)
{
	if (a == NULL)
		assert_null(b);
	else
		assert_string_equal(a, b);
}

static void assert_kept(const struct oauth_server *server)
{
	struct arena *arena = arena_new();
	const char *text = connect_write_server(arena, server);
	struct oauth_server read;
	struct err err;

	assert_non_null(text);
	assert_int_equal(connect_read_server(arena, text, &read, &err), 0);
	assert_same(server->issuer, read.issuer);
	assert_same(server->authorization_url, read.authorization_url);
	assert_same(server->token_url, read.token_url);
	assert_same(server->registration_url, read.registration_url);
	assert_same(server->revocation_url, read.revocation_url);
	assert_same(server->userinfo_url, read.userinfo_url);
	assert_same(server->resource, read.resource);
	assert_same(server->scope, read.scope);
	assert_int_equal(server->iss_supported, read.iss_supported);
	assert_int_equal(server->client_id_metadata, read.client_id_metadata);
	assert_int_equal(server->offline_access, read.offline_access);
	assert_int_equal(server->auth_methods, read.auth_methods);
	arena_free(&arena);
}

static void a_server_is_read_as_it_was_written(void **state)
{
	(void)state;
	assert_kept(&(struct oauth_server){
		.issuer = "https://as.example/\"x\"",
		.authorization_url = "a",
		.token_url = "t",
		.registration_url = "r",
		.revocation_url = "v",
		.userinfo_url = "u",
		.resource = "s",
		.scope = "one two",
		.iss_supported = true,
		.client_id_metadata = true,
		.offline_access = true,
		.auth_methods = OAUTH_AUTH_BIT(OAUTH_AUTH_POST) | OAUTH_AUTH_OTHER,
	});
	assert_kept(&(struct oauth_server){ .authorization_url = "a", .token_url = "t" });
}

/* That an answer has to name its issuer must not get lost on the way. */
static void a_stored_server_that_makes_no_sense_is_refused(void **state)
{
	static const char *const texts[] = { "",
					     "[]",
					     "{}",
					     "{\"token_url\":\"t\"}",
					     "{\"authorization_url\":\"a\"}",
					     "{\"authorization_url\":1,\"token_url\":\"t\"}" };
	struct arena *arena = arena_new();
	struct oauth_server server;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(connect_read_server(arena, texts[i], &server, &err), -1);
	arena_free(&arena);
}

static void a_client_metadata_document_is_of_one_issuer(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	assert_int_equal(connect_client_metadata("https://gw.example", "0123456789abcdef", &out),
			 0);
	assert_non_null(strstr(buf_str(&out), "\"client_id\":\"https://gw.example/oauth/"
					      "client-metadata/0123456789abcdef.json\""));
	assert_non_null(strstr(buf_str(&out), "\"redirect_uris\":[\"https://gw.example/oauth/"
					      "callback/0123456789abcdef\"]"));
	assert_non_null(strstr(buf_str(&out), "\"token_endpoint_auth_method\":\"none\""));
	buf_clear(&out);
	assert_int_equal(connect_client_metadata("http://gw.example", "0123456789abcdef", &out),
			 -1);
	assert_int_equal(connect_client_metadata("https://gw.example", "x", &out), -1);
	assert_int_equal(connect_client_metadata("https://gw.example", "\"0123456789abcd", &out),
			 -1);
	assert_int_equal(out.len, 0);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_is_read_as_it_was_written),
		cmocka_unit_test(a_stored_server_that_makes_no_sense_is_refused),
		cmocka_unit_test(a_client_metadata_document_is_of_one_issuer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
