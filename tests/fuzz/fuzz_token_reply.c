/* SPDX-License-Identifier: Apache-2.0 */

/*
 * oauth/token_reply.h on any bytes: what is taken can be put into a header and a row, what is told
 * of a failure is printable and repeats nothing that was sent. The first two bytes are the status.
 */

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "oauth/token_reply.h"

/* No byte of it is one that escaping changes, and none of our own texts holds it. */
#define SECRET "Zq7-Zq7-Zq7"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_printable(const char *text, size_t n, char first)
{
	for (size_t i = 0; i < n; i++)
		assert(text[i] >= first && text[i] <= '~');
}

static void assert_reply(const struct token_reply *reply, int status)
{
	const struct secret *const secrets[] = { &reply->access_token, &reply->refresh_token,
						 &reply->id_token };

	assert(status == 200 && reply->access_token.n > 0);
	assert(strcmp(reply->token_type, "Bearer") == 0);
	for (size_t i = 0; i < 3; i++) {
		assert(secrets[i]->n <= TOKEN_MAX_BYTES);
		assert_printable(secrets[i]->reveal, secrets[i]->n, '!');
	}
	if (reply->scope != NULL) {
		assert(strlen(reply->scope) <= TOKEN_MAX_SCOPE_BYTES);
		assert_printable(reply->scope, strlen(reply->scope), ' ');
		assert(strstr(reply->scope, SECRET) == NULL);
	}
	assert(reply->expires_in_s == -1 ||
	       (reply->expires_in_s >= 1 && reply->expires_in_s <= TOKEN_MAX_LIFETIME_S));
	assert(reply->refresh_expires_in_s == -1 ||
	       (reply->refresh_expires_in_s >= 1 &&
		reply->refresh_expires_in_s <= TOKEN_MAX_LIFETIME_S));
}

static void assert_error(const struct token_error *error, int status)
{
	assert(error->http_status == status);
	assert(error->kind == TOKEN_TRANSIENT || status < 500);
	assert(error->text[0] != '\0');
	assert_printable(error->text, strnlen(error->text, sizeof(error->text)), ' ');
	assert_printable(error->code, strnlen(error->code, sizeof(error->code)), '!');
	assert(strstr(error->text, SECRET) == NULL && strstr(error->code, SECRET) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct token_answer answer = {
		.sent = { .form = SPAN("grant_type=refresh_token&refresh_token=" SECRET) },
	};
	struct token_reply reply;
	struct token_error error;
	struct arena *arena;

	if (size < 2)
		return 0;
	arena = arena_new();
	answer.status = 200 + (data[0] << 8 | data[1]) % 400;
	answer.body = (struct span){ (const char *)data + 2, size - 2 };
	if (token_reply_parse(&answer, arena, &reply, &error) == 0)
		assert_reply(&reply, answer.status);
	else
		assert_error(&error, answer.status);
	token_reply_fini(&reply);
	arena_free(&arena);
	return 0;
}
