/* SPDX-License-Identifier: Apache-2.0 */

/* Where lists and tails go on: what clients give back is theirs to change, so every part is looked
 * at again. None of it widens what the caller sees. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/http/api_audit_query.h"

#define PLACE_VERSION "a1"
#define MARK_VERSION  "t1"
#define MAX_AT_US     INT64_C(4102444800000000) /* the year 2100 */
#define MAX_BUCKET_S  86400
#define NOTHING	      "-"

/* --- reading --------------------------------------------------------------------------------- */

/* Decoded, in words; -1: it is not as many words. */
static int read_words(const char *text, size_t max, char *room, const char **words, size_t n)
{
	size_t length = strlen(text);
	long decoded = length < max ? base64url_decode((struct span){ text, length }, room) : -1;

	if (decoded <= 0 || memchr(room, '\0', (size_t)decoded) != NULL)
		return -1;
	room[decoded] = '\0';
	for (size_t i = 0; i < n; i++) {
		char *space = strchr(room, ' ');

		if (room[0] == '\0' || (space == NULL) != (i + 1 == n))
			return -1;
		words[i] = room;
		if (space != NULL) {
			*space = '\0';
			room = space + 1;
		}
	}
	return 0;
}

static int read_us(const char *text, int64_t *out)
{
	struct err ignored;
	uint64_t us;

	if (text_uint(text, 0, MAX_AT_US, &us, &ignored) < 0)
		return -1;
	*out = (int64_t)us;
	return 0;
}

static int read_uuid(const char *text, char out[UUID_TEXT_BYTES])
{
	if (!uuid_valid(text))
		return -1;
	memcpy(out, text, UUID_TEXT_BYTES);
	return 0;
}

static int not_ours(struct err *err)
{
	return err_set(err, ERR_BAD_REQUEST, "it is not one that was given as the place to go on");
}

/* --- places ---------------------------------------------------------------------------------- */

void audit_place_write(const struct audit_place *place, char out[AUDIT_CURSOR_BYTES])
{
	char text[AUDIT_CURSOR_BYTES / 2 + 48];
	int n = snprintf(text, sizeof(text),
			 PLACE_VERSION " %" PRId64 " %" PRId64 " %" PRId64 " %s %s", place->from_us,
			 place->to_us, place->started_us, place->tenant_id, place->call_id);

	base64url_encode(text, (size_t)n, out);
}

int audit_place_parse(const char *cursor, struct audit_place *out, struct err *err)
{
	char room[AUDIT_CURSOR_BYTES];
	const char *words[6];

	if (read_words(cursor, sizeof(room), room, words, 6) < 0 ||
	    strcmp(words[0], PLACE_VERSION) != 0 || read_us(words[1], &out->from_us) < 0 ||
	    read_us(words[2], &out->to_us) < 0 || read_us(words[3], &out->started_us) < 0 ||
	    read_uuid(words[4], out->tenant_id) < 0 || read_uuid(words[5], out->call_id) < 0 ||
	    out->from_us >= out->to_us) {
		not_ours(err);
		return err_prefix(err, "cursor");
	}
	return 0;
}

/* --- marks ----------------------------------------------------------------------------------- */

/* A transaction id: 64 bits without a sign, not 0. */
static int read_xid(const char *text, size_t n, uint64_t *out)
{
	char digits[24];
	struct err ignored;

	if (n >= sizeof(digits))
		return -1;
	memcpy(digits, text, n);
	digits[n] = '\0';
	return text_uint(digits, 1, INT64_MAX, out, &ignored);
}

/* xmin:xmax:xip,…: as pg_snapshot wants it. The ids in progress ascend, from xmin to before xmax.
 */
static bool is_snapshot(const char *text)
{
	const char *colon = strchr(text, ':');
	const char *second = colon != NULL ? strchr(colon + 1, ':') : NULL;
	uint64_t xmin, xmax, xip, last = 0;

	if (second == NULL || read_xid(text, (size_t)(colon - text), &xmin) < 0 ||
	    read_xid(colon + 1, (size_t)(second - colon - 1), &xmax) < 0 || xmin > xmax)
		return false;
	for (const char *at = second + 1; *at != '\0';) {
		size_t n = strcspn(at, ",");

		if (read_xid(at, n, &xip) < 0 || xip < xmin || xip >= xmax || xip <= last)
			return false;
		last = xip;
		at += n;
		if (*at == ',' && *++at == '\0')
			return false;
	}
	return true;
}

static int read_snapshot(const char *text, char out[AUDIT_SNAPSHOT_BYTES])
{
	if (strlen(text) >= AUDIT_SNAPSHOT_BYTES || !is_snapshot(text))
		return -1;
	snprintf(out, AUDIT_SNAPSHOT_BYTES, "%s", text);
	return 0;
}

void audit_mark_write(const struct audit_mark *mark, char out[AUDIT_MARK_BYTES])
{
	char text[2 * AUDIT_SNAPSHOT_BYTES + 100];
	bool inside = mark->until[0] != '\0';
	int n = snprintf(text, sizeof(text), MARK_VERSION " %s %s %s %s", mark->before,
			 inside ? mark->until : NOTHING, inside ? mark->stored_in : NOTHING,
			 inside ? mark->call_id : NOTHING);

	base64url_encode(text, (size_t)n, out);
}

int audit_mark_parse(const char *text, struct audit_mark *out, struct err *err)
{
	char room[AUDIT_MARK_BYTES];
	const char *words[5];
	uint64_t xid;

	*out = (struct audit_mark){ .until = "" };
	if (read_words(text, sizeof(room), room, words, 5) < 0 ||
	    strcmp(words[0], MARK_VERSION) != 0 || read_snapshot(words[1], out->before) < 0)
		goto bad;
	if (strcmp(words[2], NOTHING) == 0 && strcmp(words[3], NOTHING) == 0 &&
	    strcmp(words[4], NOTHING) == 0)
		return 0;
	if (read_snapshot(words[2], out->until) < 0 ||
	    read_xid(words[3], strlen(words[3]), &xid) < 0 || read_uuid(words[4], out->call_id) < 0)
		goto bad;
	snprintf(out->stored_in, sizeof(out->stored_in), "%" PRIu64, xid);
	return 0;
bad:
	not_ours(err);
	return err_prefix(err, "Last-Event-ID");
}

/* --- ids and buckets ------------------------------------------------------------------------- */

/* RFC 9562 section 5.7: 48 bits of milliseconds, then the version. */
int64_t audit_call_id_ms(const char *call_id)
{
	char digits[13];

	if (!uuid_valid(call_id) || call_id[14] != '7')
		return -1;
	snprintf(digits, sizeof(digits), "%.8s%.4s", call_id, call_id + 9);
	return (int64_t)strtoll(digits, NULL, 16);
}

static const struct {
	const char *name;
	int64_t seconds;
	int64_t auto_up_to_s; /* of the whole span */
} buckets[] = {
	[AUDIT_MINUTE] = {"minute", 60,		 INT64_C(3) * 3600 },
	[AUDIT_HOUR] = { "hour",	 3600,	       INT64_C(7) * 86400},
	[AUDIT_DAY] = { "day",   MAX_BUCKET_S, INT64_MAX	       },
};

int audit_bucket_seconds(const struct audit_query *query, int64_t *out, struct err *err)
{
	int64_t span_s = (query->to_us - query->from_us) / 1000000;
	enum audit_bucket bucket = query->bucket;
	int64_t n;

	if (bucket == AUDIT_BUCKET_AUTO)
		for (bucket = AUDIT_MINUTE; span_s > buckets[bucket].auto_up_to_s;)
			bucket++;
	*out = buckets[bucket].seconds;
	n = span_s / *out + 2; /* with those that are begun at either end */
	if (n > AUDIT_MAX_BUCKETS)
		return err_set(err, ERR_BAD_REQUEST,
			       "these would be %" PRId64 " buckets, and at most %d are given: ask "
			       "for larger ones or a shorter time",
			       n, AUDIT_MAX_BUCKETS);
	return 0;
}

const char *audit_bucket_name(int64_t seconds)
{
	size_t at = AUDIT_MINUTE;

	while (buckets[at].seconds != seconds)
		at++;
	return buckets[at].name;
}
