/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/param_headers.h"

#include <string.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/text.h"

#define ANNOTATION	 "x-mcp-header"
#define PREFIX		 "Mcp-Param-"
#define MAX_NAME_BYTES	 128
#define MAX_KEY_BYTES	 1024
#define MAX_SCHEMA_BYTES ((size_t)1024 << 10)
#define COUNT(array)	 (sizeof(array) / sizeof((array)[0]))

/* What a keyword of JSON Schema holds. Only what stands under `properties` alone is reachable for
 * an annotation; anywhere else it makes the tool invalid. */
enum holds {
	HOLDS_DATA,	  /* not schemas: defaults, enums, … */
	HOLDS_PROPERTIES, /* a schema for each name */
	HOLDS_SCHEMA,	  /* one, or an array of them */
	HOLDS_SCHEMAS,	  /* one for each name */
};

static const struct {
	const char *keyword;
	enum holds holds;
} keywords[] = {
	{"properties",		HOLDS_PROPERTIES},
	{ "items",		   HOLDS_SCHEMA	},
	{ "prefixItems",		 HOLDS_SCHEMA    },
	{ "contains",	      HOLDS_SCHEMA	   },
	{ "additionalProperties",  HOLDS_SCHEMA    },
	{ "additionalItems",	     HOLDS_SCHEMA	  },
	{ "unevaluatedProperties", HOLDS_SCHEMA	},
	{ "unevaluatedItems",      HOLDS_SCHEMA	   },
	{ "propertyNames",	   HOLDS_SCHEMA	},
	{ "oneOf",		   HOLDS_SCHEMA	},
	{ "anyOf",		   HOLDS_SCHEMA	},
	{ "allOf",		   HOLDS_SCHEMA	},
	{ "not",		   HOLDS_SCHEMA    },
	{ "if",		    HOLDS_SCHEMA    },
	{ "then",		  HOLDS_SCHEMA    },
	{ "else",		  HOLDS_SCHEMA    },
	{ "patternProperties",     HOLDS_SCHEMAS   },
	{ "dependentSchemas",      HOLDS_SCHEMAS   },
	{ "$defs",		   HOLDS_SCHEMAS	 },
	{ "definitions",		 HOLDS_SCHEMAS   },
};

/* One reading of a schema: to check it, or, with an arena, to write headers. */
struct reading {
	char names[PARAM_HEADERS_MAX][MAX_NAME_BYTES + 1];
	int n_names;
	struct err *err;
	struct arena *arena;
	struct http_header *out;
	size_t n_out;
};

/* Where in the schema: what an annotation there would be about. */
struct place {
	bool reachable;
	bool root;
	struct span argument; /* the value in the call, if any */
};

static int read_schema(struct reading *reading, struct span schema, struct place place);

static enum holds holds(struct span key)
{
	for (size_t i = 0; i < COUNT(keywords); i++) {
		if (span_string_is(key, keywords[i].keyword))
			return keywords[i].holds;
	}
	return HOLDS_DATA;
}

static int read_name(struct reading *reading, struct span value)
{
	char *name = reading->names[reading->n_names];
	struct buf text;
	int ret = -1;

	buf_init(&text, MAX_NAME_BYTES);
	if (span_string(value, &text) == 0 && strlen(buf_str(&text)) == text.len) {
		memcpy(name, buf_str(&text), text.len + 1);
		ret = text_is_token(name) ? 0 : -1;
	}
	buf_fini(&text);
	return ret;
}

static bool is_taken(const struct reading *reading, const char *name)
{
	for (int i = 0; i < reading->n_names; i++) {
		if (text_equal_nocase(reading->names[i], name))
			return true;
	}
	return false;
}

/* The header that this annotation gives the call. */
static void write_header(struct reading *reading, const char *name, struct span argument)
{
	struct span value = span_trim(argument);
	const char *text;
	struct buf plain;

	switch (span_type(value)) {
	case SPAN_STRING:
		/* Unescaping never makes it longer. */
		buf_init(&plain, value.n);
		text = span_string(value, &plain) == 0
			       ? param_header_value(reading->arena, buf_str(&plain), plain.len)
			       : NULL;
		buf_fini(&plain);
		break;
	case SPAN_NUMBER:
	case SPAN_BOOL:
		text = arena_dup(reading->arena, value.p, value.n);
		break;
	default:
		return;
	}
	if (text != NULL)
		reading->out[reading->n_out++] =
			(struct http_header){ arena_printf(reading->arena, PREFIX "%s", name),
					      text };
}

static int read_annotation(struct reading *reading, struct span schema, struct span value,
			   struct place place)
{
	struct span type = span_get(schema, "type");

	if (!place.reachable || place.root)
		return err_set(reading->err, ERR_UPSTREAM,
			       ANNOTATION " stands where no property is");
	if (reading->n_names == PARAM_HEADERS_MAX)
		return err_set(reading->err, ERR_UPSTREAM, "more than %d times " ANNOTATION,
			       PARAM_HEADERS_MAX);
	if (read_name(reading, value) < 0)
		return err_set(reading->err, ERR_UPSTREAM, ANNOTATION " is no name of a header");
	if (!span_string_is(type, "string") && !span_string_is(type, "integer") &&
	    !span_string_is(type, "boolean"))
		return err_set(reading->err, ERR_UPSTREAM,
			       ANNOTATION " on what is no string, integer or boolean");
	if (is_taken(reading, reading->names[reading->n_names]))
		return err_set(reading->err, ERR_UPSTREAM, "the same " ANNOTATION " twice");
	if (reading->arena != NULL)
		write_header(reading, reading->names[reading->n_names], place.argument);
	reading->n_names++;
	return 0;
}

/* The member of that name, which is a string as it stands in another object. */
static struct span member_named(struct span object, struct span key)
{
	struct span value = { 0 };
	struct buf name;

	buf_init(&name, MAX_KEY_BYTES);
	if (span_string(key, &name) == 0 && strlen(buf_str(&name)) == name.len)
		value = span_get(object, buf_str(&name));
	buf_fini(&name);
	return value;
}

static int read_properties(struct reading *reading, struct span properties, struct place place)
{
	struct span_iter iter;
	struct span key;
	struct span schema;

	if (span_type(properties) != SPAN_OBJECT)
		return 0;
	span_iter_init(&iter, properties);
	while (span_next(&iter, &key, &schema)) {
		struct place below = { .reachable = place.reachable };

		if (reading->arena != NULL)
			below.argument = member_named(place.argument, key);
		if (read_schema(reading, schema, below) < 0)
			return -1;
	}
	return 0;
}

/* Out of reach from here on. */
static int read_others(struct reading *reading, struct span value, enum holds what)
{
	struct span_iter iter;
	struct span key;
	struct span schema;

	if (what == HOLDS_SCHEMA && span_type(value) == SPAN_OBJECT)
		return read_schema(reading, value, (struct place){ .reachable = false });
	span_iter_init(&iter, value);
	while (span_next(&iter, &key, &schema)) {
		if (read_schema(reading, schema, (struct place){ .reachable = false }) < 0)
			return -1;
	}
	return 0;
}

/* Goes as deep as the text does, which span_check has bounded. */
static int read_schema(struct reading *reading, struct span schema, struct place place)
{
	struct span_iter iter;
	struct span key;
	struct span value;
	int ret = 0;

	if (span_type(schema) != SPAN_OBJECT)
		return 0;
	span_iter_init(&iter, schema);
	while (ret == 0 && span_next(&iter, &key, &value)) {
		enum holds what = holds(key);

		if (span_string_is(key, ANNOTATION))
			ret = read_annotation(reading, schema, value, place);
		else if (what == HOLDS_PROPERTIES)
			ret = read_properties(reading, value, place);
		else if (what != HOLDS_DATA)
			ret = read_others(reading, value, what);
	}
	return ret;
}

/* Nearly no tool has any: this spares the reading. An escape may hide the word. */
static bool may_have(struct span tool)
{
	return memmem(tool.p, tool.n, ANNOTATION, strlen(ANNOTATION)) != NULL ||
	       memmem(tool.p, tool.n, "\\u", 2) != NULL;
}

int param_headers_check(struct span tool, struct err *err)
{
	struct reading reading = { .err = err };
	struct span schema;

	if (!may_have(tool))
		return 0;
	schema = span_get(tool, "inputSchema");
	if (schema.n > MAX_SCHEMA_BYTES)
		return err_set(err, ERR_UPSTREAM, "its inputSchema is too large");
	if (read_schema(&reading, schema, (struct place){ .reachable = true, .root = true }) < 0)
		return -1;
	return reading.n_names;
}

size_t param_headers_write(struct span tool, struct span arguments, struct arena *arena,
			   struct http_header out[PARAM_HEADERS_MAX])
{
	struct err ignored;
	struct reading reading = { .err = &ignored, .arena = arena, .out = out };
	const struct place root = { .reachable = true, .root = true, .argument = arguments };

	if (read_schema(&reading, span_get(tool, "inputSchema"), root) < 0)
		return 0;
	return reading.n_out;
}

static bool is_plain(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] < 0x20 || p[i] > 0x7e)
			return false;
	}
	return n > 0 && p[0] != ' ' && p[n - 1] != ' ' && (n < 2 || memcmp(p, "=?", 2) != 0);
}

const char *param_header_value(struct arena *arena, const char *p, size_t n)
{
	char *encoded;

	if (is_plain(p, n))
		return arena_dup(arena, p, n);
	encoded = arena_alloc(arena, (n + 2) / 3 * 4 + 1);
	base64_encode(p, n, encoded);
	return arena_printf(arena, "=?base64?%s?=", encoded);
}
