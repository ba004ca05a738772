/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/config_yaml.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/span.h"

#define MAX_PROBLEM_BYTES 256
#define FIRST_ENTRIES	  32
#define FILE_KEY	  "file"

struct reader {
	yaml_parser_t parser;
	yaml_event_t event; /* the one that was read last */
	bool failed;	    /* nothing can be read on */
	struct span text;
	struct arena *arena;
	struct yaml_mapping *out;
	size_t max_entries;
	yaml_problem *problem;
	void *ctx;
};

static struct yaml_place place_of(yaml_mark_t mark)
{
	return (struct yaml_place){ mark.line + 1, mark.column + 1 };
}

static void tell(struct reader *reader, struct yaml_place place, const char *format, ...)
	ERR_PRINTF(3, 4);
static void tell(struct reader *reader, struct yaml_place place, const char *format, ...)
{
	char text[MAX_PROBLEM_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	reader->problem(reader->ctx, place, text);
}

static void give_up(struct reader *reader, struct yaml_place place, const char *why)
{
	tell(reader, place, "%s", why);
	reader->failed = true;
}

/* Bytes that are no text are told by their offset only. */
static struct yaml_place place_of_offset(struct span text, size_t offset)
{
	struct yaml_place place = { 1, 1 };

	for (size_t i = 0; i < offset && i < text.n; i++) {
		if (text.p[i] == '\n') {
			place.line++;
			place.column = 1;
		} else if ((text.p[i] & 0xc0) != 0x80) {
			place.column++;
		}
	}
	return place;
}

static void tell_syntax(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	struct yaml_place place = parser->error == YAML_READER_ERROR
					  ? place_of_offset(reader->text, parser->problem_offset)
					  : place_of(parser->problem_mark);

	tell(reader, place, "%s%s%s", parser->problem != NULL ? parser->problem : "no YAML",
	     parser->context != NULL ? ", " : "", parser->context != NULL ? parser->context : "");
	reader->failed = true;
}

/* Names of nodes and types of others' making: nothing here needs them. */
static void refuse_decoration(struct reader *reader)
{
	const yaml_event_t *event = &reader->event;
	const yaml_char_t *anchor = NULL;
	const yaml_char_t *tag = NULL;

	if (event->type == YAML_SCALAR_EVENT) {
		anchor = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
	} else if (event->type == YAML_SEQUENCE_START_EVENT) {
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
	} else if (event->type == YAML_MAPPING_START_EVENT) {
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
	} else if (event->type == YAML_ALIAS_EVENT) {
		tell(reader, place_of(event->start_mark), "aliases (*%.64s) are not supported",
		     (const char *)event->data.alias.anchor);
	}
	if (anchor != NULL)
		tell(reader, place_of(event->start_mark), "anchors (&%.64s) are not supported",
		     (const char *)anchor);
	if (tag != NULL)
		tell(reader, place_of(event->start_mark), "tags (%.64s) are not supported",
		     (const char *)tag);
}

/* False once nothing more can be read. */
static bool next(struct reader *reader)
{
	if (reader->failed)
		return false;
	yaml_event_delete(&reader->event);
	if (!yaml_parser_parse(&reader->parser, &reader->event)) {
		tell_syntax(reader);
		return false;
	}
	refuse_decoration(reader);
	return true;
}

static struct yaml_place here(const struct reader *reader)
{
	return place_of(reader->event.start_mark);
}

/* The rest of the value whose first event was just read. */
static void skip(struct reader *reader)
{
	size_t depth = 0;

	for (;;) {
		switch (reader->event.type) {
		case YAML_SEQUENCE_START_EVENT:
		case YAML_MAPPING_START_EVENT:
			if (++depth > YAML_MAX_DEPTH)
				give_up(reader, here(reader), "this is nested too deeply");
			break;
		case YAML_SEQUENCE_END_EVENT:
		case YAML_MAPPING_END_EVENT:
			depth--;
			break;
		default:
			break;
		}
		if (depth == 0 || !next(reader))
			return;
	}
}

/* --- scalars --------------------------------------------------------------------------------- */

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (strcmp(text, *words) == 0)
			return true;
	}
	return false;
}

enum yaml_type yaml_type_of(const char *text)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
	static const char *const bools[] = {
		"true", "True", "TRUE", "false", "False", "FALSE", NULL
	};
	const struct span span = span_of(text);
	struct err ignored;

	if (is_one_of(text, nulls))
		return YAML_NULL;
	if (is_one_of(text, bools))
		return YAML_BOOL;
	if (span_check(span, NULL, &ignored) == 0 && span_type(span) == SPAN_NUMBER)
		return YAML_NUMBER;
	return YAML_TEXT;
}

/* Of the event that was read last. False if it holds what no setting can hold. */
static bool take_scalar(struct reader *reader, struct yaml_scalar *out)
{
	const yaml_event_t *event = &reader->event;
	const char *text = (const char *)event->data.scalar.value;
	size_t n = event->data.scalar.length;

	if (memchr(text, '\0', n) != NULL) {
		tell(reader, here(reader), "a value must not hold a NUL");
		return false;
	}
	*out = (struct yaml_scalar){
		.text = arena_dup(reader->arena, text, n),
		.style = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? YAML_PLAIN
									     : YAML_QUOTED,
		.place = here(reader),
	};
	return true;
}

/* --- what stands behind a name --------------------------------------------------------------- */

static bool take_list(struct reader *reader, struct yaml_entry *entry)
{
	bool good = true;

	entry->shape = YAML_LIST;
	entry->values = arena_alloc(reader->arena, YAML_MAX_ITEMS * sizeof(*entry->values));
	while (next(reader) && reader->event.type != YAML_SEQUENCE_END_EVENT) {
		if (reader->event.type != YAML_SCALAR_EVENT) {
			tell(reader, here(reader), "%s: an entry of a list must be a text",
			     entry->name);
			skip(reader);
			good = false;
		} else if (entry->n_values == YAML_MAX_ITEMS) {
			give_up(reader, here(reader), "this list is too long");
		} else if (take_scalar(reader, &entry->values[entry->n_values])) {
			entry->n_values++;
		} else {
			good = false;
		}
	}
	return good;
}

/* {file: path}. What else stands in it is told once. */
static bool take_file(struct reader *reader, struct yaml_entry *entry)
{
	const struct yaml_place start = here(reader);
	bool good = true;

	entry->shape = YAML_FILE;
	entry->values = arena_alloc(reader->arena, sizeof(*entry->values));
	while (next(reader) && reader->event.type != YAML_MAPPING_END_EVENT) {
		bool is_file = reader->event.type == YAML_SCALAR_EVENT &&
			       strcmp((const char *)reader->event.data.scalar.value, FILE_KEY) == 0;

		skip(reader); /* the key */
		if (!next(reader))
			break;
		if (is_file && entry->n_values == 0 && reader->event.type == YAML_SCALAR_EVENT &&
		    take_scalar(reader, &entry->values[0])) {
			entry->n_values = 1;
		} else {
			skip(reader);
			good = false;
		}
	}
	if (!reader->failed && (!good || entry->n_values == 0))
		tell(reader, start, "%s: a mapping here can only be {" FILE_KEY ": path}",
		     entry->name);
	return good && entry->n_values == 1;
}

static bool take_value(struct reader *reader, struct yaml_entry *entry)
{
	switch (reader->event.type) {
	case YAML_SCALAR_EVENT:
		entry->shape = YAML_SCALAR;
		entry->values = arena_alloc(reader->arena, sizeof(*entry->values));
		entry->n_values = 1;
		return take_scalar(reader, entry->values);
	case YAML_SEQUENCE_START_EVENT:
		return take_list(reader, entry);
	case YAML_MAPPING_START_EVENT:
		return take_file(reader, entry);
	default:
		return false; /* an alias, which has been refused */
	}
}

static void add_entry(struct reader *reader, const struct yaml_entry *entry)
{
	struct yaml_mapping *out = reader->out;

	if (out->n == reader->max_entries) {
		size_t max = out->n == 0 ? FIRST_ENTRIES : 2 * out->n;
		struct yaml_entry *grown = arena_alloc(reader->arena, max * sizeof(*grown));

		if (out->n > 0)
			memcpy(grown, out->entries, out->n * sizeof(*grown));
		out->entries = grown;
		reader->max_entries = max;
	}
	out->entries[out->n++] = *entry;
}

static bool is_new(struct reader *reader, const struct yaml_entry *entry)
{
	for (size_t i = 0; i < reader->out->n; i++) {
		const struct yaml_entry *other = &reader->out->entries[i];

		if (strcmp(other->name, entry->name) != 0)
			continue;
		tell(reader, entry->place, "%s is given twice: first in line %zu", entry->name,
		     other->place.line);
		return false;
	}
	return true;
}

/* The name has just been read. */
static void take_entry(struct reader *reader)
{
	struct yaml_entry entry = { .place = here(reader) };
	struct yaml_scalar name;
	bool good;

	if (reader->event.type != YAML_SCALAR_EVENT) {
		tell(reader, entry.place, "a name of a setting is needed here");
		skip(reader);
		if (next(reader))
			skip(reader);
		return;
	}
	good = take_scalar(reader, &name);
	entry.name = good ? name.text : "";
	if (!next(reader))
		return;
	good = take_value(reader, &entry) && good;
	if (!good || reader->failed || !is_new(reader, &entry))
		return;
	if (reader->out->n == YAML_MAX_ENTRIES)
		give_up(reader, entry.place, "there are too many names");
	else
		add_entry(reader, &entry);
}

static void read_root(struct reader *reader)
{
	const yaml_event_t *event = &reader->event;
	bool is_empty = event->type == YAML_SCALAR_EVENT &&
			event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
			yaml_type_of((const char *)event->data.scalar.value) == YAML_NULL;

	if (event->type == YAML_MAPPING_START_EVENT) {
		while (next(reader) && event->type != YAML_MAPPING_END_EVENT)
			take_entry(reader);
	} else if (!is_empty) {
		give_up(reader, here(reader), "settings are NAME: VALUE, one a line");
	}
}

static void read_stream(struct reader *reader)
{
	const yaml_event_t *event = &reader->event;

	if (!next(reader) || !next(reader) || event->type == YAML_STREAM_END_EVENT)
		return; /* an empty file is a document without settings */
	if (next(reader))
		read_root(reader);
	while (next(reader)) {
		if (event->type == YAML_DOCUMENT_START_EVENT)
			give_up(reader, here(reader), "there must be one document only");
		if (event->type == YAML_STREAM_END_EVENT)
			return;
	}
}

void yaml_read(struct span text, struct arena *arena, struct yaml_mapping *out,
	       yaml_problem *problem, void *ctx)
{
	struct reader reader = {
		.text = text, .arena = arena, .out = out, .problem = problem, .ctx = ctx
	};

	*out = (struct yaml_mapping){ 0 };
	if (!yaml_parser_initialize(&reader.parser))
		abort(); /* no memory */
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text.p, text.n);
	read_stream(&reader);
	yaml_event_delete(&reader.event);
	yaml_parser_delete(&reader.parser);
}
