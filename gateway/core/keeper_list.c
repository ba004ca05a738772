/* SPDX-License-Identifier: Apache-2.0 */
/* The tools of one upstream, page by page. */

#include "gateway/core/keeper_priv.h"

#define MAX_CATALOG_BYTES ((size_t)16 << 20)
#define MAX_CATALOG_TOOLS 10000
#define MAX_PAGES	  200
#define MAX_CURSOR_BYTES  4096
#define MAX_SHOWN_BYTES	  150

static void ask_page(struct keeper_list *list, struct span cursor);

void keeper_list_init(struct keeper_list *list)
{
	buf_init(&list->tools, MAX_CATALOG_BYTES);
}

void keeper_list_cancel(struct keeper_list *list)
{
	upstream_cancel(&list->request, "the listing is no longer wanted");
	tenant_unref(&list->tenant);
	buf_clear(&list->tools);
}

void keeper_list_fini(struct keeper_list *list)
{
	keeper_list_cancel(list);
	buf_fini(&list->tools);
}

void keeper_list_start(struct keeper_list *list, struct upstreams *upstreams, struct tenant *tenant,
		       const struct connection *connection,
		       void (*done)(void *ctx, const struct err *err), void *ctx)
{
	list->upstreams = upstreams;
	list->tenant = tenant_ref(tenant);
	list->connection = connection;
	list->done = done;
	list->ctx = ctx;
	list->n_tools = 0;
	list->n_pages = 0;
	list->refused_status = 0;
	list->refused_version = 0;
	buf_clear(&list->tools);
	buf_add(&list->tools, "[");
	ask_page(list, (struct span){ 0 });
}

/* -1 if the page is none or the catalog grows too large. */
static int take_page(struct keeper_list *list, struct span result, struct err *err)
{
	struct span tools = span_get(result, "tools");
	struct span_iter iter;
	struct span key;
	struct span tool;

	if (span_type(tools) != SPAN_ARRAY)
		return err_set(err, ERR_UPSTREAM, "its answer to tools/list has no tools");
	span_iter_init(&iter, tools);
	while (span_next(&iter, &key, &tool)) {
		if (span_type(tool) != SPAN_OBJECT)
			continue;
		buf_add(&list->tools, list->n_tools++ > 0 ? "," : "");
		buf_add_span(&list->tools, span_trim(tool));
	}
	if (list->tools.overflow || list->n_tools > MAX_CATALOG_TOOLS ||
	    ++list->n_pages > MAX_PAGES)
		return err_set(err, ERR_UPSTREAM, "its list of tools is too long");
	return 0;
}

/* As it will be read again: together the pages may be too much for what each passed. */
static int close_list(struct keeper_list *list, struct err *err)
{
	if (buf_add(&list->tools, "]") < 0 || span_check(buf_span(&list->tools), NULL, err) < 0)
		return err_set(err, ERR_UPSTREAM, "its list of tools is too long");
	return 0;
}

/* 0: the list is whole, or its next page is asked for. */
static int take_answer(struct keeper_list *list, const struct upstream_answer *answer,
		       struct span *cursor, struct err *err)
{
	*cursor = (struct span){ 0 };
	if (answer->error.p != NULL)
		return err_set(err, ERR_UPSTREAM, "it refused tools/list: %.*s",
			       (int)(answer->error.n < MAX_SHOWN_BYTES ? answer->error.n
								       : MAX_SHOWN_BYTES),
			       answer->error.p);
	if (take_page(list, answer->result, err) < 0)
		return -1;
	*cursor = span_trim(span_get(answer->result, "nextCursor"));
	if (span_type(*cursor) != SPAN_STRING) {
		*cursor = (struct span){ 0 };
		return close_list(list, err);
	}
	if (cursor->n > MAX_CURSOR_BYTES)
		return err_set(err, ERR_UPSTREAM, "the cursor of its list of tools is too long");
	return 0;
}

static void on_page(void *ctx, const struct upstream_answer *answer, const struct err *err)
{
	struct keeper_list *list = ctx;
	struct span cursor = { 0 };
	struct err problem;

	if (err == NULL && take_answer(list, answer, &cursor, &problem) < 0)
		err = &problem;
	if (err == NULL && cursor.p != NULL) {
		ask_page(list, cursor);
		return;
	}
	tenant_unref(&list->tenant);
	list->done(list->ctx, err);
}

static void on_refused(void *ctx, const struct upstream_refusal *refusal)
{
	struct keeper_list *list = ctx;

	list->refused_status = refusal->status;
	list->refused_version = refusal->token_version;
}

static void on_message(void *ctx, const char *method, struct span params)
{
	(void)ctx;
	(void)method;
	(void)params;
}

static void ask_page(struct keeper_list *list, struct span cursor)
{
	static const struct upstream_events events = { .message = on_message,
						       .done = on_page,
						       .refused = on_refused };
	struct upstream_request request = {
		.tenant = list->tenant,
		.connection = list->connection,
		.method = "tools/list",
		.subject = list->subject,
		.timeout_ms = KEEPER_LIST_TIMEOUT_MS,
	};
	struct buf params;

	buf_init(&params, MAX_CURSOR_BYTES + 64);
	if (cursor.p != NULL) {
		buf_add(&params, "{\"cursor\":");
		buf_add_span(&params, cursor);
		buf_add(&params, "}");
		request.params = buf_span(&params);
	}
	upstream_start(list->upstreams, &list->request, &request, &events, list);
	buf_fini(&params);
}
