/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/form_post.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "oauth/form.h"

struct form_post {
	struct form_post **slot;
	struct fetch *fetch;
	struct buf form;
	struct buf authorization;
	struct secret secret;
	struct err unsent; /* why nothing was */
	struct deferred turn;
	form_post_done *done;
	void *ctx;
};

static void post_free(struct form_post *post)
{
	deferred_cancel(&post->turn);
	fetch_cancel(&post->fetch);
	buf_wipe(&post->form);
	buf_wipe(&post->authorization);
	secret_fini(&post->secret);
	free(post);
}

static void finish(struct form_post *post, const struct fetch_answer *answer)
{
	const struct error_sent sent = {
		.form = buf_span(&post->form),
		.authorization = buf_span(&post->authorization),
		.secret = &post->secret,
	};

	*post->slot = NULL;
	post->done(post->ctx, answer, &sent);
	post_free(post);
}

static void on_answer(void *ctx, const struct fetch_answer *answer)
{
	finish(ctx, answer);
}

static void on_unsent(void *ctx)
{
	struct form_post *post = ctx;
	const struct fetch_answer answer = { .err = &post->unsent };

	finish(post, &answer);
}

static int compose(struct form_post *post, const struct form_post_params *params)
{
	for (size_t i = 0; i < params->n_params; i++)
		form_add(&post->form, params->params[i].name, params->params[i].value);
	if (client_show(&params->oauth_client, params->url, &post->form, &post->authorization,
			&post->unsent) < 0)
		return -1;
	if (post->form.overflow || post->authorization.overflow)
		return err_set(&post->unsent, ERR_BAD_REQUEST,
			       "the request is over %d bytes with what it has to show",
			       FORM_MAX_BYTES);
	return 0;
}

static void send_form(struct form_post *post, const struct form_post_params *params)
{
	const struct http_header headers[] = {
		{"content-type",	  "application/x-www-form-urlencoded"},
 /* GitHub answers with a form otherwise. */
		{ "accept",	    "application/json"		       },
		{ "authorization", buf_str(&post->authorization)	 },
	};
	const struct fetch_params request = {
		.client = params->client,
		.egress = params->egress,
		.method = "POST",
		.url = params->url,
		.headers = headers,
		.n_headers = post->authorization.len > 0 ? 3 : 2,
		.body = buf_span(&post->form),
		.want = FETCH_ALL,
		.timeout_ms = params->timeout_ms,
	};

	fetch_start(&post->fetch, &request, on_answer, post);
}

void form_post_start(struct loop *loop, struct form_post **slot,
		     const struct form_post_params *params, form_post_done *done, void *ctx)
{
	struct form_post *post = mem_new(sizeof(*post));
	const struct secret *secret = params->oauth_client.secret;

	assert(*slot == NULL);
	*slot = post;
	post->slot = slot;
	post->done = done;
	post->ctx = ctx;
	buf_init(&post->form, FORM_MAX_BYTES);
	buf_init(&post->authorization, CLIENT_MAX_AUTHORIZATION_BYTES);
	if (secret != NULL)
		post->secret = secret_new(secret->reveal, secret->n);
	if (compose(post, params) < 0)
		loop_defer(loop, &post->turn, on_unsent, post);
	else
		send_form(post, params);
}

void form_post_cancel(struct form_post **slot)
{
	struct form_post *post = *slot;

	if (post == NULL)
		return;
	*slot = NULL;
	post_free(post);
}
