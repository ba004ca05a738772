/* SPDX-License-Identifier: Apache-2.0 */

/*
 * gateway/core/envelope.h against the same rules written for jansson's trees: the same verdict
 * and kind, and the same members in it, wherever jansson can follow. What is written from a
 * parsed message must be readable again and mean the same.
 */

#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "gateway/core/envelope.h"

enum { MAX_OUT_BYTES = 1 << 24, MAX_METHOD_BYTES = 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const members[] = { "jsonrpc", "id", "method", "params", "result", "error" };

/* jansson keeps no text: what a span means is compared as a tree. */
static void compare(struct span span, const json_t *tree)
{
	json_t *read;

	assert((span.p != NULL) == (tree != NULL));
	if (tree == NULL)
		return;
	read = json_loadb(span.p, span.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL,
			  NULL);
	assert(read != NULL && json_equal(read, tree));
	json_decref(read);
}

static bool only_known_members(const json_t *message)
{
	size_t known = 0;

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		if (json_object_get(message, members[i]) != NULL)
			known++;
	}
	return json_object_size(message) == known;
}

static bool is_id(const json_t *id)
{
	return json_is_string(id) || json_is_integer(id);
}

static bool is_method(const json_t *method)
{
	const char *text = json_string_value(method);
	size_t n = json_string_length(method);

	return text != NULL && n > 0 && n <= MAX_METHOD_BYTES && strlen(text) == n;
}

static void append_folded(char *out, const char *key)
{
	for (; *key != '\0'; out++) {
		if (strncmp(key, "\xc5\xbf", 2) == 0) {
			*out = 's';
			key += 2;
		} else if (strncmp(key, "\xe2\x84\xaa", 3) == 0) {
			*out = 'k';
			key += 3;
		} else {
			*out = *key >= 'A' && *key <= 'Z' ? (char)(*key + 32) : *key;
			key++;
		}
	}
	*out = '\0';
}

static bool is_guarded(const char *key)
{
	static const char *const names[][2] = {
		{"_meta",	   "_meta"	   },
		      { "name",	"name"     },
		      { "arguments", "arguments"},
		{ "uri",	 "uri"      },
		      { "taskid",	  "taskId"   },
	};
	char *folded = mem_new(strlen(key) + 1);
	bool guarded = false;

	append_folded(folded, key);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(folded, names[i][0]) == 0 && strcmp(key, names[i][1]) != 0)
			guarded = true;
	}
	free(folded);
	return guarded;
}

static bool params_are_good(json_t *params)
{
	const json_t *meta = json_object_get(params, "_meta");
	const char *key;
	json_t *value;

	if (params == NULL)
		return true;
	if (!json_is_object(params) || (meta != NULL && !json_is_object(meta)))
		return false;
	json_object_foreach(params, key, value)
	{
		if (is_guarded(key))
			return false;
	}
	return true;
}

static bool is_good(const json_t *message)
{
	const json_t *id = json_object_get(message, "id");
	const json_t *result = json_object_get(message, "result");
	const json_t *error = json_object_get(message, "error");
	const json_t *version = json_object_get(message, "jsonrpc");
	json_t *params = json_object_get(message, "params");

	if (!json_is_object(message) || !only_known_members(message) ||
	    (id != NULL && !is_id(id)) || json_string_length(version) != 3 ||
	    strcmp(json_string_value(version), "2.0") != 0)
		return false;
	if (json_object_get(message, "method") != NULL)
		return is_method(json_object_get(message, "method")) && result == NULL &&
		       error == NULL && params_are_good(params);
	if ((result == NULL) == (error == NULL) || params != NULL || id == NULL)
		return false;
	return error == NULL || (json_is_integer(json_object_get(error, "code")) &&
				 json_is_string(json_object_get(error, "message")));
}

static void compare_members(const struct envelope *envelope, const json_t *message)
{
	const json_t *params = json_object_get(message, "params");
	const json_t *method = json_object_get(message, "method");

	assert((envelope->method != NULL) == (method != NULL));
	if (method != NULL)
		assert(strcmp(envelope->method, json_string_value(method)) == 0);
	compare(envelope->id, json_object_get(message, "id"));
	compare(envelope->params, params);
	compare(envelope->meta, json_object_get(params, "_meta"));
	compare(envelope->result, json_object_get(message, "result"));
	compare(envelope->error, json_object_get(message, "error"));
	if (method == NULL)
		assert(envelope->kind == ENVELOPE_RESPONSE);
	else
		assert(envelope->kind ==
		       (envelope->id.p != NULL ? ENVELOPE_REQUEST : ENVELOPE_NOTIFICATION));
}

/* Ours, made of theirs. */
static void write_and_read(const struct envelope *envelope, struct arena *arena)
{
	struct envelope again;
	struct buf out;
	struct err err;

	buf_init(&out, MAX_OUT_BYTES);
	if (envelope->kind == ENVELOPE_RESPONSE)
		envelope_result(&out, envelope->id,
				envelope->result.p != NULL ? envelope->result : envelope->error);
	else if (envelope->kind == ENVELOPE_REQUEST)
		envelope_error(&out, envelope->id, -32000, envelope->method, envelope->params);
	else
		envelope_notification(&out, envelope->method, envelope->params);
	assert(envelope_parse(buf_span(&out), arena, &again, &err) == 0);
	assert(span_eq(again.id, envelope->id));
	if (envelope->kind == ENVELOPE_NOTIFICATION) {
		assert(strcmp(again.method, envelope->method) == 0);
		assert(span_eq(again.params, envelope->params));
		assert(span_eq(again.meta, envelope->meta));
	}
	buf_fini(&out);
}

static void compare_trees(int result, const struct envelope *envelope, struct err *err,
			  const json_t *tree)
{
	if (json_is_array(tree)) {
		assert(result == 0 && envelope->kind == ENVELOPE_BATCH);
		return;
	}
	assert((result == 0) == is_good(tree));
	if (result == 0)
		compare_members(envelope, tree);
	else
		assert(err->code == ERR_BAD_REQUEST);
	if (result < 0 && envelope->id.p != NULL)
		compare(envelope->id, json_object_get(tree, "id"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = { size > 0 ? (const char *)data : "", size };
	struct arena *arena = arena_new();
	struct envelope envelope;
	struct err err, json_err;
	int result = envelope_parse(text, arena, &envelope, &err);
	bool is_json = span_check(text, NULL, &json_err) == 0;
	json_t *tree =
		is_json ? json_loadb(text.p, size,
				     JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL,
				     NULL)
			: NULL;

	if (!is_json)
		assert(result < 0 && err.code == ERR_PARSE && envelope.id.p == NULL);
	else if (tree != NULL)
		compare_trees(result, &envelope, &err, tree);
	if (result == 0 && envelope.kind != ENVELOPE_BATCH)
		write_and_read(&envelope, arena);
	json_decref(tree);
	arena_free(&arena);
	return 0;
}
