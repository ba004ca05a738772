/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A schema as a graph, so that one that refers to itself is as finite as any other: a node is a
 * schema in the text, an edge leads to where a member or an element of its value stands, or to
 * another schema for the value itself. It is built breadth first, so no depth is too much; every
 * ceiling fails closed: what is behind it is secret.
 */
#include "audit/redact_schema.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"

#define MAX_NODES 1024
#define MAX_EDGES 8192
/* Stands for all that is not seen. */
#define UNSEEN		  0
#define ROOT		  1
#define MAX_POINTER_BYTES 512
/* References are followed by reading: all of a schema together so many bytes for each of its own,
 * and a short one more. */
#define FOLLOW_FACTOR 256
#define FOLLOW_BYTES  ((size_t)1 << 20)
#define N_OF(array)   (sizeof(array) / sizeof((array)[0]))

enum edge_kind {
	EDGE_MEMBER,	 /* of its name */
	EDGE_ANY_MEMBER, /* of whatever name */
	EDGE_ELEMENT,
	EDGE_SAME, /* the value itself */
};

struct edge {
	enum edge_kind kind;
	uint16_t to;
	struct span name; /* MEMBER: unescaped */
};

struct node {
	struct span schema;
	bool secret;
	uint16_t first;
	uint16_t n;
};

struct redact_schema {
	struct node *nodes;
	struct edge *edges;
	size_t n_nodes;
	size_t n_edges;
};

/* How a keyword holds schemas. */
enum holds { ONE, LIST, NAMED, ONE_OR_LIST };

static const struct {
	const char *keyword;
	enum holds holds;
	enum edge_kind kind;
} keywords[] = {
	{"properties",		NAMED,       EDGE_MEMBER	   },
	{ "patternProperties",     NAMED,	      EDGE_ANY_MEMBER},
	{ "additionalProperties",  ONE,	       EDGE_ANY_MEMBER},
	{ "unevaluatedProperties", ONE,		EDGE_ANY_MEMBER},
	{ "items",		   ONE_OR_LIST, EDGE_ELEMENT   },
	{ "prefixItems",		 LIST,	       EDGE_ELEMENT   },
	{ "additionalItems",	     ONE,	  EDGE_ELEMENT   },
	{ "unevaluatedItems",      ONE,	   EDGE_ELEMENT	},
	{ "contains",	      ONE,	   EDGE_ELEMENT	},
	{ "allOf",		   LIST,	 EDGE_SAME	   },
	{ "anyOf",		   LIST,	 EDGE_SAME	   },
	{ "oneOf",		   LIST,	 EDGE_SAME	   },
	{ "if",		    ONE,	     EDGE_SAME      },
	{ "then",		  ONE,	       EDGE_SAME	 },
	{ "else",		  ONE,	       EDGE_SAME	 },
	{ "dependentSchemas",      NAMED,	     EDGE_SAME      },
};

struct compiler {
	struct arena *arena;
	struct redact_schema *graph;
	struct span root;
	size_t follow_bytes; /* that may still be read */
};

/* --- building --- */

static uint16_t node_for(struct compiler *compiler, struct span schema)
{
	struct redact_schema *graph = compiler->graph;

	schema = span_trim(schema);
	for (size_t i = ROOT; i < graph->n_nodes; i++) {
		if (graph->nodes[i].schema.p == schema.p)
			return (uint16_t)i;
	}
	if (graph->n_nodes == MAX_NODES)
		return UNSEEN;
	graph->nodes[graph->n_nodes] = (struct node){ .schema = schema };
	return (uint16_t)graph->n_nodes++;
}

static struct span unescaped(struct compiler *compiler, struct span key)
{
	struct span name;
	struct buf text;
	int rc;

	if (memchr(key.p, '\\', key.n) == NULL)
		return (struct span){ key.p + 1, key.n - 2 };
	buf_init(&text, key.n);
	rc = span_string(key, &text);
	assert(rc == 0);
	name = (struct span){ arena_dup(compiler->arena, buf_str(&text), text.len), text.len };
	buf_fini(&text);
	return name;
}

static void add_edge(struct compiler *compiler, struct node *node, struct edge edge)
{
	struct redact_schema *graph = compiler->graph;

	if (graph->n_edges == MAX_EDGES) {
		node->secret = true;
		return;
	}
	graph->edges[graph->n_edges++] = edge;
	node->n++;
}

static void add_all(struct compiler *compiler, struct node *node, enum edge_kind kind,
		    struct span schemas)
{
	struct span_iter iter;
	struct span key;
	struct span value;

	span_iter_init(&iter, schemas);
	while (span_next(&iter, &key, &value))
		add_edge(compiler, node,
			 (struct edge){ kind, node_for(compiler, value),
					kind == EDGE_MEMBER ? unescaped(compiler, key)
							    : (struct span){ 0 } });
}

static void add_keyword(struct compiler *compiler, struct node *node, size_t i, struct span value)
{
	enum span_type type = span_type(value);
	bool many = keywords[i].holds == NAMED ? type == SPAN_OBJECT : type == SPAN_ARRAY;

	if (keywords[i].holds != ONE && many)
		add_all(compiler, node, keywords[i].kind, value);
	else if (keywords[i].holds != LIST && keywords[i].holds != NAMED && type == SPAN_OBJECT)
		add_edge(compiler, node,
			 (struct edge){ keywords[i].kind, node_for(compiler, value), { 0 } });
}

/* One step of a JSON pointer (RFC 6901), percent-decoded, at *at; ~1 and ~0 are put back. */
static bool next_step(const char **at, char step[MAX_POINTER_BYTES])
{
	size_t n = 0;

	if (**at != '/')
		return false;
	for ((*at)++; **at != '\0' && **at != '/'; (*at)++) {
		char c = **at;

		if (c == '%' &&
		    hex_decode((struct span){ *at + 1, strnlen(*at + 1, 2) }, &c, 1) == 0)
			*at += 2;
		else if (c == '~' && ((*at)[1] == '0' || (*at)[1] == '1'))
			c = *++*at == '1' ? '/' : '~';
		if (n + 1 >= MAX_POINTER_BYTES)
			return false;
		step[n++] = c;
	}
	step[n] = '\0';
	return true;
}

static struct span element(struct span array, const char *index)
{
	struct span_iter iter;
	struct span key;
	struct span value;
	char *end;
	unsigned long left = strtoul(index, &end, 10);

	span_iter_init(&iter, array);
	while (*end == '\0' && isdigit((unsigned char)*index) && span_next(&iter, &key, &value)) {
		if (left-- == 0)
			return value;
	}
	return (struct span){ 0 };
}

static bool may_read(struct compiler *compiler, struct span value)
{
	if (value.n > compiler->follow_bytes)
		return false;
	compiler->follow_bytes -= value.n;
	return true;
}

/* Absent: it leads out of the schema, or nowhere, or there were too many. */
static struct span follow(struct compiler *compiler, const char *reference)
{
	struct span value = compiler->root;
	char step[MAX_POINTER_BYTES];

	if (*reference++ != '#')
		return (struct span){ 0 };
	while (*reference != '\0' && value.p != NULL) {
		if (!next_step(&reference, step) || !may_read(compiler, value))
			return (struct span){ 0 };
		value = span_type(value) == SPAN_ARRAY ? element(value, step)
						       : span_get(value, step);
	}
	return value;
}

static void add_reference(struct compiler *compiler, struct node *node, struct span value)
{
	struct span to = { 0 };
	struct buf text;

	buf_init(&text, MAX_POINTER_BYTES);
	if (span_string(value, &text) == 0)
		to = follow(compiler, buf_str(&text));
	buf_fini(&text);
	add_edge(compiler, node,
		 (struct edge){ EDGE_SAME, to.p != NULL ? node_for(compiler, to) : UNSEEN, { 0 } });
}

static void read_member(struct compiler *compiler, struct node *node, struct span key,
			struct span value)
{
	if ((span_string_is(key, "format") && span_string_is(value, "password")) ||
	    (span_string_is(key, "writeOnly") && span_true(value)))
		node->secret = true;
	if (span_string_is(key, "$ref") || span_string_is(key, "$dynamicRef") ||
	    span_string_is(key, "$recursiveRef"))
		add_reference(compiler, node, value);
	for (size_t i = 0; i < N_OF(keywords); i++) {
		if (span_string_is(key, keywords[i].keyword))
			add_keyword(compiler, node, i, value);
	}
}

static void read_node(struct compiler *compiler, size_t i)
{
	struct node *node = &compiler->graph->nodes[i]; /* they do not move */
	struct span_iter iter;
	struct span key;
	struct span value;

	node->first = (uint16_t)compiler->graph->n_edges;
	if (span_type(node->schema) != SPAN_OBJECT)
		return;
	span_iter_init(&iter, node->schema);
	while (span_next(&iter, &key, &value))
		read_member(compiler, node, key, value);
}

/* Nearly all schemas say nothing of the kind. An escaped letter may hide the word. */
static bool may_mark(struct span schema)
{
	return memmem(schema.p, schema.n, "password", 8) != NULL ||
	       memmem(schema.p, schema.n, "writeOnly", 9) != NULL ||
	       memmem(schema.p, schema.n, "\\u", 2) != NULL;
}

static bool marks(const struct redact_schema *graph)
{
	for (size_t i = ROOT; i < graph->n_nodes; i++) {
		if (graph->nodes[i].secret)
			return true;
	}
	for (size_t i = 0; i < graph->n_edges; i++) {
		if (graph->edges[i].to == UNSEEN)
			return true;
	}
	return false;
}

static const struct redact_schema *keep(struct arena *arena, const struct redact_schema *graph)
{
	struct redact_schema *kept = arena_alloc(arena, sizeof(*kept));

	*kept = *graph;
	kept->nodes = arena_dup(arena, graph->nodes, graph->n_nodes * sizeof(struct node));
	kept->edges = arena_dup(arena, graph->edges, graph->n_edges * sizeof(struct edge));
	return kept;
}

const struct redact_schema *redact_schema_compile(struct arena *arena, struct span schema)
{
	const struct redact_schema *kept = NULL;
	struct redact_schema graph = { .n_nodes = ROOT };
	struct compiler compiler = { arena, &graph, span_trim(schema),
				     FOLLOW_FACTOR * schema.n + FOLLOW_BYTES };

	if (schema.p == NULL || !may_mark(schema))
		return NULL;
	graph.nodes = mem_new(MAX_NODES * sizeof(struct node));
	graph.edges = mem_new(MAX_EDGES * sizeof(struct edge));
	graph.nodes[UNSEEN].secret = true;
	node_for(&compiler, schema);
	for (size_t i = ROOT; i < graph.n_nodes; i++)
		read_node(&compiler, i);
	if (marks(&graph))
		kept = keep(arena, &graph);
	free(graph.nodes);
	free(graph.edges);
	return kept;
}

/* --- looking --- */

static void add_node(const struct redact_schema *schema, uint16_t node, struct schema_set *out)
{
	for (size_t i = 0; i < out->n; i++) {
		if (out->nodes[i] == node)
			return;
	}
	if (out->n == SCHEMA_MAX_PLACES) {
		out->secret = true;
		return;
	}
	out->nodes[out->n++] = node;
	out->secret = out->secret || schema->nodes[node].secret;
}

/* With whatever else these places stand for. */
static void close_set(const struct redact_schema *schema, struct schema_set *out)
{
	for (size_t i = 0; i < out->n; i++) {
		const struct node *node = &schema->nodes[out->nodes[i]];

		for (size_t j = 0; j < node->n; j++) {
			const struct edge *edge = &schema->edges[node->first + j];

			if (edge->kind == EDGE_SAME)
				add_node(schema, edge->to, out);
		}
	}
}

void redact_schema_root(const struct redact_schema *schema, struct schema_set *out)
{
	*out = (struct schema_set){ 0 };
	add_node(schema, ROOT, out);
	close_set(schema, out);
}

static bool leads(const struct edge *edge, enum edge_kind kind, struct span name)
{
	if (kind == EDGE_ELEMENT)
		return edge->kind == EDGE_ELEMENT;
	return edge->kind == EDGE_ANY_MEMBER ||
	       (edge->kind == EDGE_MEMBER && span_eq(edge->name, name));
}

static void step(const struct redact_schema *schema, const struct schema_set *from,
		 enum edge_kind kind, struct span name, struct schema_set *out)
{
	*out = (struct schema_set){ 0 };
	for (size_t i = 0; i < from->n; i++) {
		const struct node *node = &schema->nodes[from->nodes[i]];

		for (size_t j = 0; j < node->n; j++) {
			const struct edge *edge = &schema->edges[node->first + j];

			if (leads(edge, kind, name))
				add_node(schema, edge->to, out);
		}
	}
	close_set(schema, out);
}

void redact_schema_member(const struct redact_schema *schema, const struct schema_set *from,
			  struct span name, struct schema_set *out)
{
	step(schema, from, EDGE_MEMBER, name, out);
}

void redact_schema_element(const struct redact_schema *schema, const struct schema_set *from,
			   struct schema_set *out)
{
	step(schema, from, EDGE_ELEMENT, (struct span){ 0 }, out);
}
