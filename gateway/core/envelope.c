/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/envelope.h"

#include <string.h>

#define METHOD_MAX_BYTES 256

/* What the members of the outermost object are; anything else is refused, so that no peer can
 * read a message in what we took for decoration. */
struct members {
	struct span jsonrpc, id, method, params, result, error;
};

/* Members of params that decide something. A name that some parsers take for one of these, and
 * we would not, is refused: such parsers ignore case, as Unicode folds it. */
static const char *const guarded_names[] = { "_meta", "name", "arguments", "uri", "taskId" };

static bool is_integer(struct span number)
{
	return memchr(number.p, '.', number.n) == NULL && memchr(number.p, 'e', number.n) == NULL &&
	       memchr(number.p, 'E', number.n) == NULL;
}

static bool is_id(struct span value)
{
	enum span_type type = span_type(value);

	return type == SPAN_STRING || (type == SPAN_NUMBER && is_integer(span_trim(value)));
}

static struct span *member_slot(struct members *members, struct span key)
{
	const struct {
		const char *name;
		struct span *slot;
	} slots[] = {
		{"jsonrpc", &members->jsonrpc},
		  { "id",	  &members->id     },
		{ "method", &members->method },
		  { "params", &members->params },
		{ "result", &members->result },
		  { "error",  &members->error  },
	};

	for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
		if (span_string_is(key, slots[i].name))
			return slots[i].slot;
	}
	return NULL;
}

/* Reads all of them even if one is unknown: the answer should echo the id. */
static int read_members(struct span object, struct members *out, struct err *err)
{
	struct span_iter iter;
	struct span key, value;
	bool unknown = false;

	span_iter_init(&iter, object);
	while (span_next(&iter, &key, &value)) {
		struct span *slot = member_slot(out, key);

		if (slot != NULL)
			*slot = span_trim(value);
		else
			unknown = true;
	}
	if (unknown)
		return err_set(err, ERR_BAD_REQUEST,
			       "the message has a member that JSON-RPC "
			       "does not define");
	return 0;
}

/* The next character of an unescaped key, folded as far as ASCII names can be affected:
 * U+017F folds to s and U+212A to k. */
static size_t fold(const char *p, size_t n, char *out)
{
	if (n >= 2 && memcmp(p, "\xc5\xbf", 2) == 0) {
		*out = 's';
		return 2;
	}
	if (n >= 3 && memcmp(p, "\xe2\x84\xaa", 3) == 0) {
		*out = 'k';
		return 3;
	}
	*out = p[0];
	if (p[0] >= 'A' && p[0] <= 'Z')
		*out = "abcdefghijklmnopqrstuvwxyz"[p[0] - 'A'];
	return 1;
}

static bool folds_to(struct span text, const char *name)
{
	while (text.n > 0 && *name != '\0') {
		char a, b;
		size_t used = fold(text.p, text.n, &a);

		fold(name, 1, &b);
		if (a != b)
			return false;
		text.p += used;
		text.n -= used;
		name++;
	}
	return text.n == 0 && *name == '\0';
}

static int check_key(struct span key, struct buf *scratch, struct err *err)
{
	buf_clear(scratch);
	/* A key that does not fit in the scratch is longer than any name. */
	if (span_string(key, scratch) < 0)
		return 0;
	for (size_t i = 0; i < sizeof(guarded_names) / sizeof(guarded_names[0]); i++) {
		struct span text = buf_span(scratch);

		if (folds_to(text, guarded_names[i]) && !span_is(text, guarded_names[i]))
			return err_set(err, ERR_BAD_REQUEST,
				       "params has a member that differs from \"%s\" only in case",
				       guarded_names[i]);
	}
	return 0;
}

static int read_params(struct span params, struct envelope *out, struct err *err)
{
	struct buf scratch;
	struct span_iter iter;
	struct span key, value;
	int result = 0;

	if (params.p == NULL)
		return 0;
	if (span_type(params) != SPAN_OBJECT)
		return err_set(err, ERR_BAD_REQUEST, "params must be an object");
	out->params = params;
	buf_init(&scratch, 64);
	span_iter_init(&iter, params);
	while (result == 0 && span_next(&iter, &key, &value))
		result = check_key(key, &scratch, err);
	buf_fini(&scratch);
	if (result < 0)
		return -1;
	out->meta = span_trim(span_get(params, "_meta"));
	if (out->meta.p != NULL && span_type(out->meta) != SPAN_OBJECT)
		return err_set(err, ERR_BAD_REQUEST, "params._meta must be an object");
	return 0;
}

static int read_method(struct span method, struct arena *arena, struct envelope *out,
		       struct err *err)
{
	struct buf name;
	int result = 0;

	buf_init(&name, METHOD_MAX_BYTES);
	if (span_type(method) != SPAN_STRING)
		result = err_set(err, ERR_BAD_REQUEST, "method must be a string");
	else if (span_string(method, &name) < 0)
		result = err_set(err, ERR_BAD_REQUEST, "method is longer than %d bytes",
				 METHOD_MAX_BYTES);
	else if (name.len == 0 || memchr(name.data, '\0', name.len) != NULL)
		result = err_set(err, ERR_BAD_REQUEST, "method must not be empty or hold NUL");
	else
		out->method = arena_dup(arena, name.data, name.len);
	buf_fini(&name);
	return result;
}

static int read_call(const struct members *members, struct arena *arena, struct envelope *out,
		     struct err *err)
{
	out->kind = out->id.p != NULL ? ENVELOPE_REQUEST : ENVELOPE_NOTIFICATION;
	if (read_method(members->method, arena, out, err) < 0)
		return -1;
	if (members->result.p != NULL || members->error.p != NULL)
		return err_set(err, ERR_BAD_REQUEST, "method and %s exclude each other",
			       members->result.p != NULL ? "result" : "error");
	return read_params(members->params, out, err);
}

static int read_response(const struct members *members, struct envelope *out, struct err *err)
{
	int64_t code;

	out->kind = ENVELOPE_RESPONSE;
	if (members->result.p == NULL && members->error.p == NULL)
		return err_set(err, ERR_BAD_REQUEST, "the message has no method");
	if (members->result.p != NULL && members->error.p != NULL)
		return err_set(err, ERR_BAD_REQUEST, "result and error exclude each other");
	if (members->params.p != NULL)
		return err_set(err, ERR_BAD_REQUEST, "a response has no params");
	if (out->id.p == NULL)
		return err_set(err, ERR_BAD_REQUEST, "a response must have an id");
	out->result = members->result;
	if (members->error.p == NULL)
		return 0;
	if (span_type(members->error) != SPAN_OBJECT ||
	    span_int64(span_get(members->error, "code"), &code) < 0 ||
	    span_type(span_get(members->error, "message")) != SPAN_STRING)
		return err_set(err, ERR_BAD_REQUEST,
			       "error must be an object with an integer code and a message");
	out->error = members->error;
	return 0;
}

int envelope_parse(struct span text, struct arena *arena, struct envelope *out, struct err *err)
{
	struct members members = { 0 };

	*out = (struct envelope){ .text = text };
	if (span_check(text, NULL, err) < 0)
		return -1;
	if (span_type(text) == SPAN_ARRAY) {
		out->kind = ENVELOPE_BATCH;
		return 0;
	}
	if (span_type(text) != SPAN_OBJECT)
		return err_set(err, ERR_BAD_REQUEST, "a message must be an object");
	if (read_members(text, &members, err) < 0) {
		if (is_id(members.id))
			out->id = members.id;
		return -1;
	}
	if (is_id(members.id))
		out->id = members.id;
	else if (members.id.p != NULL)
		return err_set(err, ERR_BAD_REQUEST, "id must be a string or an integer");
	if (!span_string_is(members.jsonrpc, "2.0"))
		return err_set(err, ERR_BAD_REQUEST, "jsonrpc must be \"2.0\"");
	if (members.method.p != NULL)
		return read_call(&members, arena, out, err);
	return read_response(&members, out, err);
}

void envelope_open(struct buf *out, struct span id, const char *member)
{
	buf_add(out, "{\"jsonrpc\":\"2.0\",\"id\":");
	if (id.p != NULL)
		buf_add_span(out, id);
	else
		buf_add(out, "null");
	buf_printf(out, ",\"%s\":", member);
}

void envelope_result(struct buf *out, struct span id, struct span result)
{
	envelope_open(out, id, "result");
	buf_add_span(out, result);
	buf_add(out, "}");
}

void envelope_error_object(struct buf *out, int code, const char *message, struct span data)
{
	buf_printf(out, "{\"code\":%d,\"message\":", code);
	buf_add_json_string(out, message, strlen(message));
	if (data.p != NULL) {
		buf_add(out, ",\"data\":");
		buf_add_span(out, data);
	}
	buf_add(out, "}");
}

void envelope_error(struct buf *out, struct span id, int code, const char *message,
		    struct span data)
{
	envelope_open(out, id, "error");
	envelope_error_object(out, code, message, data);
	buf_add(out, "}");
}

void envelope_notification(struct buf *out, const char *method, struct span params)
{
	buf_add(out, "{\"jsonrpc\":\"2.0\",\"method\":");
	buf_add_json_string(out, method, strlen(method));
	if (params.p != NULL) {
		buf_add(out, ",\"params\":");
		buf_add_span(out, params);
	}
	buf_add(out, "}");
}
