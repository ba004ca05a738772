/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_CONFIG_YAML_H
#define GATEWAY_APP_CONFIG_YAML_H

/*
 * The shape of a configuration file: one YAML document (JSON is one), a mapping from names to
 * texts, to lists of texts, or to {file: path}. Knows no setting.
 *
 * Refused are anchors, aliases, tags, keys given twice and further documents. Plain scalars are
 * told apart as JSON would: no, on and 00123 are texts.
 */

#include <stddef.h>

#include "base/mem.h"
#include "base/span.h"

#define YAML_MAX_DEPTH	 16
#define YAML_MAX_ENTRIES 1000
#define YAML_MAX_ITEMS	 200 /* of one list */

enum yaml_type { YAML_NULL, YAML_BOOL, YAML_NUMBER, YAML_TEXT };
enum yaml_style { YAML_PLAIN, YAML_QUOTED };

/* Lines and columns count from 1. */
struct yaml_place {
	size_t line, column;
};

struct yaml_scalar {
	const char *text;
	enum yaml_style style;
	struct yaml_place place;
};

enum yaml_shape { YAML_SCALAR, YAML_LIST, YAML_FILE };

struct yaml_entry {
	const char *name;
	struct yaml_place place; /* of the name */
	enum yaml_shape shape;
	struct yaml_scalar *values; /* one, unless it is a list */
	size_t n_values;
};

struct yaml_mapping {
	struct yaml_entry *entries;
	size_t n;
};

/* Tells each problem, and goes on where that makes sense: entries that are not well formed are
 * left out. Everything lies in the arena. */
typedef void yaml_problem(void *ctx, struct yaml_place place, const char *text);
void yaml_read(struct span text, struct arena *arena, struct yaml_mapping *out,
	       yaml_problem *problem, void *ctx);

/* Of a plain scalar with this text. */
enum yaml_type yaml_type_of(const char *text);

#endif
