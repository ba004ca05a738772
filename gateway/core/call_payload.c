/* SPDX-License-Identifier: Apache-2.0 */
/* What went through a call, sealed before it touches a disk. */

#include <string.h>

#include "audit/payload.h"
#include "base/seal.h"
#include "gateway/core/call_priv.h"

static bool is_kept(const struct call *call)
{
	return call->connection != NULL && call->connection->audit_level == AUDIT_FULL &&
	       call->tool_sent != NULL;
}

static struct span plain_of(const struct call *call, enum payload_part part)
{
	if (part == PAYLOAD_ARGUMENTS)
		return span_trim(span_get(call->params.request.params, "arguments"));
	return buf_span(&call->answer.body);
}

static int seal_part(const struct call *call, enum payload_part part, struct span plain,
		     struct buf *out, struct err *err)
{
	const struct seal_key *key = tenant_seal_key(call->tenant);
	char row[PAYLOAD_PLACE_BYTES];
	const struct seal_place place = {
		.deployment = call->gate->deployment,
		.tenant = call->tenant->id,
		.table = PAYLOAD_TABLE,
		.column = PAYLOAD_COLUMN,
		.row = row,
		.version = call->record.started_us,
	};

	if (key == NULL)
		return err_set(err, ERR_UNAVAILABLE,
			       "the tenant's data key does not open with this gateway's keyring");
	payload_place(call->record.id, payload_part_name(part), (int64_t)plain.n, row);
	seal(key, &place, (struct span){ plain.p, payload_kept(plain) }, out);
	return 0;
}

static int append(struct call *call, enum payload_part part, struct span plain, struct span sealed,
		  struct err *err)
{
	uint8_t call_id[EVENT_UUID_BYTES];
	uint8_t tenant_id[EVENT_UUID_BYTES];
	struct buf record;
	int ret;

	if (!uuid_parse(call->record.id, call_id) || !uuid_parse(call->tenant->id, tenant_id))
		return err_set(err, ERR_INTERNAL, "an id that is no UUID");
	buf_init(&record, PAYLOAD_MAX_RECORD_BYTES);
	payload_encode(&(struct payload){ .part = part,
					  .truncated = payload_kept(plain) < plain.n,
					  .call_id = call_id,
					  .started_us = call->record.started_us,
					  .tenant_id = tenant_id,
					  .bytes = (int64_t)plain.n,
					  .sealed = sealed },
		       &record);
	ret = book_append_record(call->gate->book, EVENT_PAYLOAD, buf_span(&record), NULL, NULL,
				 NULL, err);
	buf_fini(&record);
	return ret;
}

int call_payload(struct call *call, enum payload_part part, struct err *err)
{
	struct span plain = plain_of(call, part);
	size_t i = part - PAYLOAD_ARGUMENTS;
	struct buf sealed;
	int ret;

	if (!is_kept(call) || plain.n == 0 || call->record.has_payload[i])
		return 0;
	buf_init(&sealed, PAYLOAD_MAX_BYTES + SEAL_OVERHEAD_BYTES);
	ret = seal_part(call, part, plain, &sealed, err);
	if (ret == 0)
		ret = append(call, part, plain, buf_span(&sealed), err);
	if (ret == 0) {
		crypto_sha256(sealed.data, sealed.len, call->record.payloads[i]);
		call->record.has_payload[i] = true;
	}
	buf_fini(&sealed);
	return ret;
}

const uint8_t *call_payload_digest(struct call *call)
{
	struct buf parts;
	bool has_any;

	buf_init(&parts, sizeof(call->record.payloads));
	for (size_t i = 0; i < PAYLOAD_N_PARTS; i++) {
		if (call->record.has_payload[i])
			buf_append(&parts, call->record.payloads[i], SHA256_BYTES);
	}
	if (parts.len > 0)
		crypto_sha256(parts.data, parts.len, call->record.payload_digest);
	has_any = parts.len > 0;
	buf_fini(&parts);
	return has_any ? call->record.payload_digest : NULL;
}
