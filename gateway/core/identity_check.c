/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/identity_check.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

struct identity_check {
	struct identity_check **slot;
	struct db_op *query;
	identity_check_done *done;
	void *ctx;
};

static int compare_keys(const void *a, const void *b)
{
	return strcmp(((const struct good_key *)a)->id, ((const struct good_key *)b)->id);
}

const struct good_key *good_key_find(const struct good_key *good, size_t n, const char *id)
{
	struct good_key wanted = { .expires_at_us = 0 };

	if (n == 0)
		return NULL;
	snprintf(wanted.id, sizeof(wanted.id), "%s", id);
	return bsearch(&wanted, good, n, sizeof(*good), compare_keys);
}

static void finish(struct identity_check *check, const struct good_key *good, size_t n,
		   const struct err *err)
{
	struct identity_check was = *check;

	*check->slot = NULL;
	free(check);
	was.done(was.ctx, good, n, err);
}

static void on_rows(void *ctx, const struct db_result *const *results, size_t n_results,
		    const struct err *err)
{
	struct good_key *good;
	struct err problem;
	size_t n;

	if (err != NULL) {
		err_set(&problem, ERR_UNAVAILABLE, "keys cannot be checked now: %s", err->text);
		finish(ctx, NULL, 0, &problem);
		return;
	}
	assert(n_results == 1);
	n = db_rows(results[0]);
	good = mem_new_array(n, sizeof(*good));
	for (size_t i = 0; i < n; i++) {
		snprintf(good[i].id, sizeof(good[i].id), "%s", db_text(results[0], i, "id"));
		good[i].expires_at_us = db_int(results[0], i, "expires_at_us");
	}
	qsort(good, n, sizeof(*good), compare_keys);
	finish(ctx, good, n, NULL);
	free(good);
}

void identity_check_start(struct db *db, struct identity_check **slot, const char *tenant_id,
			  const char *const *key_ids, size_t n, identity_check_done *done,
			  void *ctx)
{
	static const char *const sql =
		"SELECT k.id, (extract(epoch FROM k.expires_at) * 1000000)::bigint"
		" AS expires_at_us FROM tollgate.api_keys k"
		" JOIN tollgate.tenants t ON t.id = k.tenant_id"
		" LEFT JOIN tollgate.users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id"
		" WHERE k.tenant_id = current_setting('app.tenant')::uuid"
		" AND k.id = ANY ($1::uuid[]) AND t.enabled"
		" AND (k.user_id IS NULL OR u.enabled)"
		" AND (k.expires_at IS NULL OR k.expires_at > now())";
	const struct db_setting tenant = { "app.tenant", tenant_id };
	struct identity_check *check = mem_new(sizeof(*check));
	struct buf list;
	struct span ids;

	assert(*slot == NULL);
	*check = (struct identity_check){ .slot = slot, .done = done, .ctx = ctx };
	*slot = check;
	buf_init(&list, (n + 1) * UUID_TEXT_BYTES);
	buf_add(&list, "{");
	for (size_t i = 0; i < n; i++)
		buf_printf(&list, "%s%s", i > 0 ? "," : "", key_ids[i]);
	buf_add(&list, "}");
	ids = buf_span(&list);
	db_query(db, &check->query, &tenant, sql, &ids, 1, on_rows, check);
	buf_fini(&list);
}

void identity_check_cancel(struct identity_check **slot)
{
	struct identity_check *check = *slot;

	if (check == NULL)
		return;
	*slot = NULL;
	db_cancel(&check->query);
	free(check);
}
