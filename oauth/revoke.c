/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/revoke.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "oauth/form_post.h"

struct revoke {
	struct revoke **slot;
	struct form_post *post;
	revoke_done *done;
	void *ctx;
};

static const char *const hints[] = {
	[REVOKE_REFRESH_TOKEN] = "refresh_token",
	[REVOKE_ACCESS_TOKEN] = "access_token",
};

static void revoke_free(struct revoke *revoke)
{
	form_post_cancel(&revoke->post);
	free(revoke);
}

static int refused(const struct fetch_answer *answer, const struct error_sent *sent,
		   struct err *err)
{
	struct arena *arena = arena_new();
	struct error_reply said = { 0 };
	struct document document;
	struct err ignored;

	if (document_open(answer->body, arena, &document, &ignored) == 0)
		error_reply_read(&document, sent, &said);
	arena_free(&arena);
	return err_set(err, answer->status == 503 ? ERR_UNAVAILABLE : ERR_UPSTREAM,
		       "the revocation endpoint answered %d%s%s", answer->status,
		       said.code[0] != '\0' ? " " : "", said.code);
}

/* RFC 7009 2.2: 200 also stands for a token that was not valid; its body says nothing. */
static int judge(const struct fetch_answer *answer, const struct error_sent *sent, struct err *err)
{
	if (answer->status == 200 || answer->status == 204)
		return 0;
	if (answer->err == NULL)
		return refused(answer, sent, err);
	*err = *answer->err;
	return err_prefix(err, "revocation endpoint");
}

static void on_answer(void *ctx, const struct fetch_answer *answer, const struct error_sent *sent)
{
	struct revoke *revoke = ctx;
	struct err err;
	int ret = judge(answer, sent, &err);

	*revoke->slot = NULL;
	revoke->done(revoke->ctx, ret == 0 ? NULL : &err);
	revoke_free(revoke);
}

void revoke_start(struct loop *loop, struct revoke **slot, const struct revoke_params *params,
		  revoke_done *done, void *ctx)
{
	const struct oauth_param list[] = {
		{"token",		   params->token->reveal},
		{ "token_type_hint", hints[params->hint]	 },
	};
	const struct form_post_params form = {
		.client = params->client,
		.egress = params->egress,
		.url = params->revocation_url,
		.oauth_client = params->oauth_client,
		.params = list,
		.n_params = 2,
	};
	struct revoke *revoke = mem_new(sizeof(*revoke));

	assert(*slot == NULL && params->token->n > 0);
	*slot = revoke;
	revoke->slot = slot;
	revoke->done = done;
	revoke->ctx = ctx;
	form_post_start(loop, &revoke->post, &form, on_answer, revoke);
}

void revoke_cancel(struct revoke **slot)
{
	struct revoke *revoke = *slot;

	if (revoke == NULL)
		return;
	*slot = NULL;
	revoke_free(revoke);
}
