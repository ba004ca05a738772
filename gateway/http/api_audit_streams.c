/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_audit_streams.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct audit_streams {
	struct audit_stream *first;
	bool draining;
};

static const struct {
	const char *name;
	size_t per_worker, per_tenant;
} kinds[] = {
	[AUDIT_TAIL] = {"tails",	  AUDIT_TAILS_PER_WORKER,	  AUDIT_TAILS_PER_TENANT	 },
	[AUDIT_EXPORT] = { "exports", AUDIT_EXPORTS_PER_WORKER, AUDIT_EXPORTS_PER_TENANT},
};

struct audit_streams *audit_streams_new(void)
{
	return mem_new(sizeof(struct audit_streams));
}

void audit_streams_free(struct audit_streams **slot)
{
	if (*slot == NULL)
		return;
	assert((*slot)->first == NULL);
	free(*slot);
	*slot = NULL;
}

int audit_streams_enter(struct audit_streams *streams, struct audit_stream *stream, struct err *err)
{
	size_t n = 0, of_tenant = 0;

	assert(stream->streams == NULL);
	if (streams->draining)
		return err_set(err, ERR_UNAVAILABLE, "this worker stops: try again");
	for (const struct audit_stream *at = streams->first; at != NULL; at = at->next) {
		if (at->kind != stream->kind)
			continue;
		n++;
		of_tenant += strcmp(at->tenant_id, stream->tenant_id) == 0;
	}
	if (n >= kinds[stream->kind].per_worker || of_tenant >= kinds[stream->kind].per_tenant)
		return err_set(err, ERR_RATE_LIMITED, "too many %s run already: try again later",
			       kinds[stream->kind].name);
	stream->streams = streams;
	stream->next = streams->first;
	if (stream->next != NULL)
		stream->next->prev = stream;
	streams->first = stream;
	return 0;
}

void audit_streams_leave(struct audit_stream *stream)
{
	if (stream->streams == NULL)
		return;
	if (stream->prev != NULL)
		stream->prev->next = stream->next;
	else
		stream->streams->first = stream->next;
	if (stream->next != NULL)
		stream->next->prev = stream->prev;
	stream->streams = NULL;
	stream->next = stream->prev = NULL;
}

static void end_kind(struct audit_streams *streams, enum audit_stream_kind kind)
{
	struct audit_stream *next;

	for (struct audit_stream *at = streams->first; at != NULL; at = next) {
		next = at->next;
		if (at->kind == kind)
			at->end(at->ctx);
	}
}

void audit_streams_drain(struct audit_streams *streams)
{
	streams->draining = true;
	end_kind(streams, AUDIT_TAIL);
}

void audit_streams_end(struct audit_streams *streams)
{
	audit_streams_drain(streams);
	end_kind(streams, AUDIT_EXPORT);
}
