/* SPDX-License-Identifier: Apache-2.0 */

/*
 * base/span.h against jansson: the same verdict on every text and the same values in it.
 * jansson has limits that we do not: numbers that fit a C type, no NUL in a member name. And it
 * takes a NUL byte outside of strings for the end of the text.
 */

#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/span.h"

enum { MAX_OUT_BYTES = 1 << 24 };

static const struct span_limits deep = { .max_depth = SIZE_MAX, .max_nodes = SIZE_MAX };

/* Where the leaves and names of a text lie, in order, each replaced by a copy of itself. */
struct leaves {
	struct splice *list;
	size_t n;
	size_t max;
};

static void add_leaf(struct leaves *leaves, struct span span)
{
	if (leaves->n == leaves->max) {
		leaves->max = leaves->max * 2 + 16;
		leaves->list = mem_resize(leaves->list, leaves->max, sizeof(leaves->list[0]));
	}
	leaves->list[leaves->n++] = (struct splice){
		span, {mem_dup(span.p, span.n), span.n}
	};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static void walk(struct span value, const json_t *tree, struct leaves *leaves);

static void compare_string(struct span value, const char *bytes, size_t n)
{
	struct buf out;

	buf_init(&out, MAX_OUT_BYTES);
	assert(span_string(value, &out) == 0);
	assert(out.len == n && memcmp(buf_str(&out), bytes, n) == 0);
	assert(span_string_is(value, bytes) == (strlen(bytes) == n));
	buf_fini(&out);
}

static void compare_leaf(struct span value, const json_t *tree)
{
	static const enum span_type types[] = {
		[JSON_OBJECT] = SPAN_OBJECT, [JSON_ARRAY] = SPAN_ARRAY,
		[JSON_STRING] = SPAN_STRING, [JSON_INTEGER] = SPAN_NUMBER,
		[JSON_REAL] = SPAN_NUMBER,   [JSON_TRUE] = SPAN_BOOL,
		[JSON_FALSE] = SPAN_BOOL,    [JSON_NULL] = SPAN_NULL,
	};
	int64_t number;

	assert(span_type(value) == types[json_typeof(tree)]);
	assert(span_true(value) == json_is_true(tree));
	if (json_is_string(tree))
		compare_string(value, json_string_value(tree), json_string_length(tree));
	if (json_is_integer(tree))
		assert(span_int64(value, &number) == 0 && number == json_integer_value(tree));
	else
		assert(span_int64(value, &number) < 0);
}

static void walk_object(struct span value, const json_t *tree, struct leaves *leaves)
{
	void *at = tree != NULL ? json_object_iter((json_t *)tree) : NULL;
	struct span_iter iter;
	struct span key;
	struct span member;

	span_iter_init(&iter, value);
	while (span_next(&iter, &key, &member)) {
		add_leaf(leaves, key);
		if (tree != NULL) {
			const char *name = json_object_iter_key(at);

			compare_string(key, name, strlen(name));
			assert(span_get(value, name).p == member.p);
		}
		walk(member, tree != NULL ? json_object_iter_value(at) : NULL, leaves);
		if (tree != NULL)
			at = json_object_iter_next((json_t *)tree, at);
	}
	assert(at == NULL);
}

static void walk_array(struct span value, const json_t *tree, struct leaves *leaves)
{
	struct span_iter iter;
	struct span key;
	struct span element;
	size_t i = 0;

	span_iter_init(&iter, value);
	while (span_next(&iter, &key, &element)) {
		assert(key.p == NULL);
		walk(element, json_array_get(tree, i++), leaves);
	}
	assert(tree == NULL || i == json_array_size(tree));
}

/* tree is NULL where jansson could not follow. Only for texts within SPAN_MAX_DEPTH. */
static void walk(struct span value, const json_t *tree, struct leaves *leaves)
{
	struct err err;

	/* A value by itself is a text. */
	assert(span_check(value, NULL, &err) == 0);
	if (span_type(value) == SPAN_OBJECT) {
		walk_object(value, tree, leaves);
	} else if (span_type(value) == SPAN_ARRAY) {
		walk_array(value, tree, leaves);
	} else {
		add_leaf(leaves, value);
		if (tree != NULL)
			compare_leaf(value, tree);
	}
}

static void assert_rebuilt(struct span text, const struct splice *splices, size_t n)
{
	struct buf out;

	buf_init(&out, MAX_OUT_BYTES);
	assert(splice_apply(text, splices, n, &out) == 0);
	assert(span_eq(buf_span(&out), text));
	buf_fini(&out);
}

/* Nothing but white space and punctuation may lie between the leaves. */
static void assert_only_structure_between(struct span text, const struct leaves *leaves)
{
	const char *at = text.p;

	for (size_t i = 0; i <= leaves->n; i++) {
		const char *end = i < leaves->n ? leaves->list[i].at.p : text.p + text.n;

		for (; at < end; at++)
			assert(memchr(" \t\r\n[]{},:", *at, 10) != NULL);
		if (i < leaves->n)
			at += leaves->list[i].at.n;
	}
	assert(at == text.p + text.n);
}

static void check_walk(struct span text, const json_t *tree)
{
	struct leaves leaves = { 0 };

	walk(span_trim(text), tree, &leaves);
	assert_only_structure_between(text, &leaves);
	assert_rebuilt(text, NULL, 0);
	assert_rebuilt(text, leaves.list, leaves.n);
	for (size_t i = 0; i < leaves.n; i++)
		free((char *)leaves.list[i].with.p);
	free(leaves.list);
}

/* Whatever the object holds: put a member and find it, remove one and miss it. */
static void check_edits(struct span object)
{
	static const char *const keys[] = { "a", "id", "" };
	struct err err;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct buf scratch;
		struct buf out;
		struct buf less;
		struct splice splice;

		buf_init(&scratch, 64);
		buf_init(&out, MAX_OUT_BYTES);
		buf_init(&less, MAX_OUT_BYTES);
		splice = splice_member(object, keys[i], SPAN("[1e400]"), &scratch);
		assert(splice_apply(object, &splice, 1, &out) == 0);
		assert(span_check(buf_span(&out), &deep, &err) == 0);
		assert(span_is(span_get(buf_span(&out), keys[i]), "[1e400]"));
		assert(splice_remove(buf_span(&out), keys[i], &splice));
		assert(splice_apply(buf_span(&out), &splice, 1, &less) == 0);
		assert(span_check(buf_span(&less), &deep, &err) == 0);
		assert(span_get(buf_span(&less), keys[i]).p == NULL);
		buf_fini(&scratch);
		buf_fini(&out);
		buf_fini(&less);
	}
}

static bool jansson_cannot(const json_error_t *problem)
{
	enum json_error_code code = json_error_code(problem);

	return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
	       code == json_error_stack_overflow;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = { (const char *)data, size };
	json_error_t problem;
	struct err err;
	bool valid = span_check(text, &deep, &err) == 0;
	json_t *tree =
		json_loadb(text.p != NULL ? text.p : "", size,
			   JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem);

	if (size > 0 && memchr(data, '\0', size) != NULL)
		assert(!valid);
	else if (tree != NULL || !jansson_cannot(&problem))
		assert(valid == (tree != NULL));
	if (span_check(text, NULL, &err) == 0) {
		assert(valid);
		check_walk(text, tree);
		if (span_type(text) == SPAN_OBJECT)
			check_edits(text);
	}
	json_decref(tree);
	return 0;
}
