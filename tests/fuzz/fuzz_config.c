/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whatever a configuration file holds: what is understood lies within the limits, each name once,
 * and every problem has a place within the file. What was set from it can be dumped, and the dump
 * read without problems gives the same settings.
 */

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/app/config_priv.h"
#include "gateway/app/config_yaml.h"

enum { MAX_INPUT = 4096, PATH_BYTES = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bounds {
	size_t lines;
	size_t n;
};

static void on_problem(void *ctx, struct yaml_place place, const char *text)
{
	struct bounds *bounds = ctx;

	assert(place.line >= 1 && place.line <= bounds->lines + 1);
	assert(place.column >= 1 && text[0] != '\0');
	bounds->n++;
}

static void check_mapping(const struct yaml_mapping *mapping)
{
	assert(mapping->n <= YAML_MAX_ENTRIES);
	for (size_t i = 0; i < mapping->n; i++) {
		const struct yaml_entry *entry = &mapping->entries[i];

		assert(entry->n_values <= YAML_MAX_ITEMS);
		assert(entry->shape == YAML_LIST || entry->n_values == 1);
		for (size_t j = 0; j < i; j++)
			assert(strcmp(mapping->entries[j].name, entry->name) != 0);
	}
}

/* Every line end that YAML 1.1 knows. */
static size_t count_lines(const uint8_t *data, size_t size)
{
	size_t n = 1;

	for (size_t i = 0; i < size; i++)
		n += data[i] == '\n' || data[i] == '\r' || data[i] == 0x85 || data[i] == 0xa8 ||
		     data[i] == 0xa9;
	return n;
}

static void on_text(void *ctx, const char *text)
{
	(void)ctx;
	assert(text[0] != '\0');
}

static void on_impossible(void *ctx, const char *text)
{
	(void)ctx;
	fprintf(stderr, "%s\n", text);
	abort();
}

static char *dump_of(const struct config *config)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	assert(out != NULL);
	config_dump_yaml(config, CONFIG_ORIGINS, out);
	fclose(out);
	return text;
}

static void write_file(const char *path, const void *p, size_t n)
{
	FILE *file = fopen(path, "we");

	assert(file != NULL && fwrite(p, 1, n, file) == n);
	fclose(file);
}

static char *values_of(const struct config *config)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	assert(out != NULL);
	config_dump_yaml(config, CONFIG_VALUES, out);
	fclose(out);
	return text;
}

static void check_round(const uint8_t *data, size_t size)
{
	char path[PATH_BYTES];
	size_t n = 0;
	const struct config_problems any = { .tell = on_text, .n = &n };
	const struct config_problems none = { .tell = on_impossible, .n = &n };
	struct config first;
	struct config second;
	char *dump;
	char *before;
	char *after;

	snprintf(path, sizeof(path), "/tmp/fuzz_config.%d", (int)getpid());
	write_file(path, data, size);
	config_init(&first);
	config_read_file(&first, path, &any);
	dump = dump_of(&first);
	before = values_of(&first);
	write_file(path, dump, strlen(dump));
	config_init(&second);
	config_read_file(&second, path, &none);
	after = values_of(&second);
	assert(strcmp(before, after) == 0);
	unlink(path);
	free(after);
	free(before);
	free(dump);
	config_free(&second);
	config_free(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bounds bounds = { .lines = count_lines(data, size) };
	struct arena *arena = arena_new();
	struct yaml_mapping mapping;

	if (size <= MAX_INPUT) {
		yaml_read((struct span){ (const char *)data, size }, arena, &mapping, on_problem,
			  &bounds);
		check_mapping(&mapping);
		/* A file of its own may be anything, and endless. */
		if (memmem(data, size, "file", 4) == NULL)
			check_round(data, size);
	}
	arena_free(&arena);
	return 0;
}
