/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_audit_streams.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

struct owner {
	struct audit_stream stream;
	int n_ends;
};

static void on_end(void *ctx)
{
	struct owner *owner = ctx;

	owner->n_ends++;
	audit_streams_leave(&owner->stream);
}

static int enter(struct audit_streams *streams, struct owner *owner, enum audit_stream_kind kind,
		 const char *tenant)
{
	struct err err;
	int ret;

	owner->stream.kind = kind;
	owner->stream.tenant_id = tenant;
	owner->stream.end = on_end;
	owner->stream.ctx = owner;
	ret = audit_streams_enter(streams, &owner->stream, &err);
	return ret < 0 ? -(int)err.code : 0;
}

static void so_many_and_no_more(void **state)
{
	static const struct {
		enum audit_stream_kind kind;
		size_t per_tenant, per_worker;
	} rows[] = {
		{AUDIT_TAIL,    AUDIT_TAILS_PER_TENANT,   AUDIT_TAILS_PER_WORKER  },
		{ AUDIT_EXPORT, AUDIT_EXPORTS_PER_TENANT, AUDIT_EXPORTS_PER_WORKER},
	};

	(void)state;
	for (size_t at = 0; at < 2; at++) {
		struct audit_streams *streams = audit_streams_new();
		struct owner owners[AUDIT_TAILS_PER_WORKER + 1] = { 0 };
		char tenants[AUDIT_TAILS_PER_WORKER][8];
		size_t n = 0;

		for (size_t tenant = 0; n < rows[at].per_worker; tenant++) {
			snprintf(tenants[tenant], sizeof(tenants[tenant]), "t%zu", tenant);
			for (size_t i = 0; i < rows[at].per_tenant; i++)
				assert_int_equal(enter(streams, &owners[n++], rows[at].kind,
						       tenants[tenant]),
						 0);
			if (n < rows[at].per_worker)
				assert_int_equal(
					enter(streams, &owners[n], rows[at].kind, tenants[tenant]),
					-ERR_RATE_LIMITED);
		}
		assert_int_equal(enter(streams, &owners[n], rows[at].kind, "other"),
				 -ERR_RATE_LIMITED);
		audit_streams_leave(&owners[3].stream);
		assert_int_equal(enter(streams, &owners[n], rows[at].kind, "other"), 0);
		audit_streams_end(streams);
		audit_streams_free(&streams);
		assert_null(streams);
	}
}

static void a_drain_ends_tails_and_its_end_exports(void **state)
{
	struct audit_streams *streams = audit_streams_new();
	struct owner tail = { 0 }, export = { 0 }, late = { 0 };

	(void)state;
	assert_int_equal(enter(streams, &tail, AUDIT_TAIL, "t"), 0);
	assert_int_equal(enter(streams, &export, AUDIT_EXPORT, "t"), 0);
	audit_streams_drain(streams);
	assert_int_equal(tail.n_ends, 1);
	assert_int_equal(export.n_ends, 0);
	assert_int_equal(enter(streams, &late, AUDIT_TAIL, "t"), -ERR_UNAVAILABLE);
	audit_streams_end(streams);
	assert_int_equal(tail.n_ends, 1);
	assert_int_equal(export.n_ends, 1);
	audit_streams_leave(&export.stream); /* again is nothing */
	audit_streams_free(&streams);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(so_many_and_no_more),
		cmocka_unit_test(a_drain_ends_tails_and_its_end_exports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
