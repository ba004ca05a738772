/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/partition_seal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "audit/row.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

#define VERSION 1
#define TITLE	"tollgate audit partition seal 1"

/* --- ranges ---------------------------------------------------------------------------------- */

bool ranges_add(struct ranges *ranges, const struct verify_range *range)
{
	if (ranges->n == RANGES_MAX)
		return false;
	if (ranges->n == ranges->room) {
		ranges->room = ranges->room == 0 ? 64 : 2 * ranges->room;
		ranges->items = mem_resize(ranges->items, ranges->room, sizeof(*range));
	}
	ranges->items[ranges->n++] = *range;
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct verify_range *left = a;
	const struct verify_range *right = b;
	int chains = memcmp(left->chain, right->chain, CHAIN_ID_BYTES);

	if (chains != 0)
		return chains;
	if (left->first != right->first)
		return left->first < right->first ? -1 : 1;
	return (left->last > right->last) - (left->last < right->last);
}

static bool touches(const struct verify_range *left, const struct verify_range *right)
{
	return memcmp(left->chain, right->chain, CHAIN_ID_BYTES) == 0 &&
	       left->last + 1 == right->first &&
	       memcmp(left->mac, right->before, CHAIN_MAC_BYTES) == 0;
}

void ranges_sort(struct ranges *ranges)
{
	size_t n = 0;

	if (ranges->n == 0)
		return;
	qsort(ranges->items, ranges->n, sizeof(*ranges->items), compare);
	for (size_t i = 1; i < ranges->n; i++) {
		struct verify_range *last = &ranges->items[n];
		const struct verify_range *next = &ranges->items[i];

		if (!touches(last, next)) {
			ranges->items[++n] = *next;
			continue;
		}
		last->last = next->last;
		memcpy(last->mac, next->mac, sizeof(last->mac));
	}
	ranges->n = n + 1;
}

/* The first range of a chain that is not less. */
static size_t find(const struct ranges *ranges, const uint8_t *chain)
{
	size_t low = 0;
	size_t high = ranges->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(ranges->items[middle].chain, chain, CHAIN_ID_BYTES) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct verify_range *ranges_find(const struct ranges *ranges, const uint8_t *chain, size_t *n)
{
	size_t first = find(ranges, chain);
	size_t end = first;

	while (end < ranges->n && memcmp(ranges->items[end].chain, chain, CHAIN_ID_BYTES) == 0)
		end++;
	*n = end - first;
	return *n > 0 ? &ranges->items[first] : NULL;
}

bool ranges_chain(const struct ranges *ranges, const uint8_t from[CHAIN_ID_BYTES],
		  uint8_t out[CHAIN_ID_BYTES])
{
	size_t at = find(ranges, from);

	if (at == ranges->n)
		return false;
	memcpy(out, ranges->items[at].chain, CHAIN_ID_BYTES);
	return true;
}

void ranges_fini(struct ranges *ranges)
{
	free(ranges->items);
	*ranges = (struct ranges){ .n = 0 };
}

/* --- writing --------------------------------------------------------------------------------- */

static void put_time(struct buf *out, const char *name, int64_t unix_us)
{
	char text[TEXT_TIME_BYTES];

	text_time(unix_us, text);
	buf_printf(out, "\"%s\":\"%s\",", name, text);
}

static void put_range(struct buf *out, const struct verify_range *range)
{
	char before[2 * CHAIN_MAC_BYTES + 1], mac[2 * CHAIN_MAC_BYTES + 1];

	hex_encode(range->before, sizeof(range->before), before);
	hex_encode(range->mac, sizeof(range->mac), mac);
	buf_printf(out, "[%" PRIu64 ",%" PRIu64 ",\"%s\",\"%s\"]", range->first, range->last,
		   before, mac);
}

static void put_ranges(struct buf *out, const struct ranges *ranges)
{
	const uint8_t *chain = NULL;

	for (size_t i = 0; i < ranges->n; i++) {
		const struct verify_range *range = &ranges->items[i];
		char id[UUID_TEXT_BYTES];

		if (chain != NULL && memcmp(chain, range->chain, CHAIN_ID_BYTES) == 0) {
			buf_add(out, ",");
		} else {
			uuid_text(range->chain, id);
			buf_printf(out, "%s{\"chain\":\"%s\",\"ranges\":[",
				   chain != NULL ? "]}," : "", id);
		}
		chain = range->chain;
		put_range(out, range);
	}
	if (chain != NULL)
		buf_add(out, "]}");
}

void partition_seal_write(const struct partition_seal *seal, const struct ranges *ranges,
			  struct buf *out)
{
	buf_printf(out, "{\"version\":%d,\"log\":", VERSION);
	buf_add_json_string(out, seal->log, strlen(seal->log));
	buf_add(out, ",\"partition\":");
	buf_add_json_string(out, seal->partition, strlen(seal->partition));
	buf_add(out, ",");
	put_time(out, "from", seal->from_us);
	put_time(out, "to", seal->to_us);
	buf_printf(out, "\"rows\":%" PRIu64 ",\"unchained\":%" PRIu64 ",", seal->rows,
		   seal->unchained);
	put_time(out, "sealed_at", seal->sealed_us);
	buf_add(out, "\"chains\":[");
	put_ranges(out, ranges);
	buf_add(out, "]}");
}

/* --- signing --------------------------------------------------------------------------------- */

/* A digest of the statement, for a signature is over a few bytes elsewhere too. */
static struct span signed_bytes(struct span statement, char out[sizeof(TITLE) + SHA256_BYTES])
{
	uint8_t digest[SHA256_BYTES];

	crypto_sha256(statement.p, statement.n, digest);
	memcpy(out, TITLE, sizeof(TITLE));
	memcpy(out + sizeof(TITLE), digest, sizeof(digest));
	return (struct span){ out, sizeof(TITLE) + SHA256_BYTES };
}

void partition_seal_sign(const uint8_t seed[ED25519_SEED_BYTES], struct span statement,
			 uint8_t out[CHAIN_SIGNATURE_BYTES])
{
	char bytes[sizeof(TITLE) + SHA256_BYTES];

	crypto_ed25519_sign(seed, signed_bytes(statement, bytes), out);
}

bool partition_seal_verify(const uint8_t public_key[ED25519_PUBLIC_BYTES], struct span statement,
			   const uint8_t signature[CHAIN_SIGNATURE_BYTES])
{
	char bytes[sizeof(TITLE) + SHA256_BYTES];

	return crypto_ed25519_verify(public_key, signed_bytes(statement, bytes), signature);
}

/* --- reading --------------------------------------------------------------------------------- */

static bool get_name(const json_t *object, const char *key, char out[PARTITION_NAME_BYTES])
{
	const char *text = json_text(object, key);

	return text != NULL &&
	       snprintf(out, PARTITION_NAME_BYTES, "%s", text) < PARTITION_NAME_BYTES;
}

static bool get_time(const json_t *object, const char *key, int64_t *out)
{
	const char *text = json_text(object, key);
	struct err ignored;

	return text != NULL && text_parse_time(text, out, &ignored) == 0;
}

static bool get_count(const json_t *value, uint64_t *out)
{
	*out = (uint64_t)json_integer_value(value);
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

static bool get_mac(const json_t *value, uint8_t out[CHAIN_MAC_BYTES])
{
	const char *text = json_string_value(value);

	return text != NULL && hex_decode(span_of(text), out, CHAIN_MAC_BYTES) == 0;
}

static bool get_range(const json_t *value, struct verify_range *out)
{
	return json_array_size(value) == 4 && get_count(json_array_get(value, 0), &out->first) &&
	       get_count(json_array_get(value, 1), &out->last) && out->first > 0 &&
	       out->last >= out->first && get_mac(json_array_get(value, 2), out->before) &&
	       get_mac(json_array_get(value, 3), out->mac);
}

static int read_chain(const json_t *chain, struct ranges *ranges, struct err *err)
{
	struct verify_range range;
	json_t *value;
	size_t i;

	if (!uuid_parse(json_text(chain, "chain"), range.chain))
		return err_set(err, ERR_PARSE, "a seal with a bad chain");
	json_array_foreach(json_object_get(chain, "ranges"), i, value)
	{
		if (!get_range(value, &range))
			return err_set(err, ERR_PARSE, "a seal with a bad range");
		if (!ranges_add(ranges, &range))
			return err_set(err, ERR_TOO_LARGE,
				       "more than %d runs of links were dropped", RANGES_MAX);
	}
	return 0;
}

static bool read_head(const json_t *root, struct partition_seal *out)
{
	return json_integer_value(json_object_get(root, "version")) == VERSION &&
	       get_name(root, "log", out->log) && get_name(root, "partition", out->partition) &&
	       get_time(root, "from", &out->from_us) && get_time(root, "to", &out->to_us) &&
	       get_time(root, "sealed_at", &out->sealed_us) &&
	       get_count(json_object_get(root, "rows"), &out->rows) &&
	       get_count(json_object_get(root, "unchained"), &out->unchained) &&
	       json_is_array(json_object_get(root, "chains"));
}

static int read_chains(const json_t *chains, struct ranges *ranges, struct err *err)
{
	json_t *chain;
	size_t i;

	json_array_foreach(chains, i, chain)
	{
		if (read_chain(chain, ranges, err) < 0)
			return -1;
	}
	return 0;
}

int partition_seal_read(struct span statement, struct partition_seal *out, struct ranges *ranges,
			struct err *err)
{
	json_t *root = json_parse(statement, err);
	int ret;

	*out = (struct partition_seal){ .rows = 0 };
	if (root == NULL)
		return -1;
	ret = read_head(root, out) ? read_chains(json_object_get(root, "chains"), ranges, err)
				   : err_set(err, ERR_PARSE, "no seal of a partition");
	json_decref(root);
	return ret;
}
