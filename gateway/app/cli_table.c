/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "gateway/app/cli.h"

#define MAX_PATH_PART 64
#define FIRST_ROWS    16
#define GAP	      2

size_t cli_terminal_width(FILE *out)
{
	struct winsize size;

	if (!isatty(fileno(out)) || ioctl(fileno(out), TIOCGWINSZ, &size) < 0)
		return 0;
	return size.ws_col;
}

void cli_table_init(struct cli_table *table, struct arena *arena, const char *const *titles)
{
	*table = (struct cli_table){ .titles = titles, .arena = arena };
	while (titles[table->n_columns] != NULL)
		table->n_columns++;
}

void cli_table_add(struct cli_table *table, const char *const *cells)
{
	size_t row_bytes = table->n_columns * sizeof(*cells);

	if (table->n_rows == table->max_rows) {
		size_t max = table->max_rows == 0 ? FIRST_ROWS : 2 * table->max_rows;
		const char **grown = arena_alloc(table->arena, max * row_bytes);

		if (table->n_rows > 0)
			memcpy(grown, table->cells, table->n_rows * row_bytes);
		table->cells = grown;
		table->max_rows = max;
	}
	memcpy(&table->cells[table->n_rows * table->n_columns], cells, row_bytes);
	table->n_rows++;
}

/* Bytes of the character at text; 1 for what is no UTF-8. */
static size_t character_bytes(const char *text)
{
	size_t n = 1;

	if ((*text & 0xc0) != 0xc0)
		return 1;
	while ((text[n] & 0xc0) == 0x80)
		n++;
	return n;
}

/* Control characters, C1 in UTF-8 included: a terminal would obey them. */
static bool is_control(const char *text)
{
	unsigned char c = (unsigned char)text[0];

	return c < 0x20 || c == 0x7f || (c == 0xc2 && ((unsigned char)text[1] & 0xe0) == 0x80);
}

/* In characters: they are taken for one column each. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text != '\0'; text += character_bytes(text))
		width++;
	return width;
}

/* Returns how many columns were written. */
static size_t print_cell(FILE *out, const char *text, size_t max)
{
	size_t width = width_of(text);
	size_t shown = width > max ? max - 1 : width;

	for (size_t i = 0; i < shown; i++) {
		size_t n = character_bytes(text);

		if (is_control(text))
			fputc(' ', out);
		else
			fwrite(text, 1, n, out);
		text += n;
	}
	if (shown < width)
		fputs("…", out);
	return shown < width ? shown + 1 : width;
}

static void print_row(const struct cli_table *table, const size_t *widths, const char *const *cells,
		      FILE *out, size_t max_width)
{
	size_t left = max_width == 0 ? SIZE_MAX : max_width;

	for (size_t i = 0; i < table->n_columns && left > 0; i++) {
		const char *cell = cells[i] == NULL || cells[i][0] == '\0' ? "-" : cells[i];
		size_t used = print_cell(out, cell, left);
		size_t wanted = widths[i] + GAP;

		left -= used;
		if (i + 1 == table->n_columns)
			break;
		for (; used < wanted && left > 0; used++, left--)
			fputc(' ', out);
	}
	fputc('\n', out);
}

void cli_table_print(const struct cli_table *table, FILE *out, size_t max_width)
{
	size_t *widths = arena_alloc(table->arena, table->n_columns * sizeof(*widths));

	for (size_t i = 0; i < table->n_columns; i++)
		widths[i] = width_of(table->titles[i]);
	for (size_t i = 0; i < table->n_rows * table->n_columns; i++) {
		size_t *widest = &widths[i % table->n_columns];
		size_t width = table->cells[i] == NULL ? 1 : width_of(table->cells[i]);

		if (width > *widest)
			*widest = width;
	}
	print_row(table, widths, table->titles, out, max_width);
	for (size_t row = 0; row < table->n_rows; row++)
		print_row(table, widths, &table->cells[row * table->n_columns], out, max_width);
}

const char *cli_cell_of(struct arena *arena, struct span value)
{
	struct buf text;
	const char *cell;

	value = span_trim(value);
	switch (span_type(value)) {
	case SPAN_ABSENT:
	case SPAN_NULL:
		return NULL;
	case SPAN_STRING:
		break;
	default:
		return arena_dup(arena, value.p, value.n);
	}
	buf_init(&text, value.n + 1);
	if (span_string(value, &text) < 0)
		buf_clear(&text);
	cell = arena_dup(arena, buf_str(&text), text.len);
	buf_fini(&text);
	return cell;
}

const char *cli_cell(struct arena *arena, struct span object, const char *path)
{
	while (*path != '\0') {
		char part[MAX_PATH_PART];
		size_t n = strcspn(path, ".");

		snprintf(part, sizeof(part), "%.*s", (int)n, path);
		object = span_get(object, part);
		path += n + (path[n] == '.');
	}
	return cli_cell_of(arena, object);
}

static void print_items(const struct span *items, size_t n)
{
	fputs("{\"items\":[", stdout);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			fputc(',', stdout);
		fwrite(items[i].p, 1, items[i].n, stdout);
	}
	fputs("],\"next\":null}\n", stdout);
}

int cli_print_list(struct cli *cli, const struct cli_column *columns, const struct span *items,
		   size_t n)
{
	size_t n_columns = 0;
	const char **titles;
	struct cli_table table;

	if (cli->output == OUTPUT_JSON) {
		print_items(items, n);
		return EXIT_OK;
	}
	while (columns[n_columns].title != NULL)
		n_columns++;
	titles = arena_alloc(cli->arena, (n_columns + 1) * sizeof(*titles));
	for (size_t i = 0; i < n_columns; i++)
		titles[i] = columns[i].title;
	cli_table_init(&table, cli->arena, titles);
	for (size_t row = 0; row < n; row++) {
		const char **cells = arena_alloc(cli->arena, n_columns * sizeof(*cells));

		for (size_t i = 0; i < n_columns; i++)
			cells[i] = cli_cell(cli->arena, items[row], columns[i].path);
		cli_table_add(&table, cells);
	}
	cli_table_print(&table, stdout, cli_terminal_width(stdout));
	return EXIT_OK;
}

int cli_print_json(struct span body)
{
	if (body.n > 0)
		fwrite(body.p, 1, body.n, stdout);
	fputc('\n', stdout);
	return EXIT_OK;
}

int cli_print_object(struct cli *cli, struct span body)
{
	static const char *const titles[] = { "MEMBER", "VALUE", NULL };
	struct cli_table table;
	struct span_iter iter;
	struct span key, value;

	if (cli->output == OUTPUT_JSON)
		return cli_print_json(body);
	cli_table_init(&table, cli->arena, titles);
	span_iter_init(&iter, body);
	while (span_next(&iter, &key, &value)) {
		const char **cells = arena_alloc(cli->arena, 2 * sizeof(*cells));

		cells[0] = cli_cell_of(cli->arena, key);
		cells[1] = cli_cell_of(cli->arena, value);
		cli_table_add(&table, cells);
	}
	cli_table_print(&table, stdout, 0);
	return EXIT_OK;
}

void cli_print_field(FILE *out, const char *text)
{
	print_cell(out, text, SIZE_MAX);
}

void cli_print_text(FILE *out, struct span text)
{
	bool terminal = isatty(fileno(out));

	for (size_t i = 0; i < text.n; i++) {
		char at[3] = { 0 };

		memcpy(at, text.p + i, i + 1 < text.n ? 2 : 1);
		if (terminal && at[0] != '\n' && at[0] != '\t' && is_control(at)) {
			fputc('?', out);
			i += (unsigned char)at[0] == 0xc2;
		} else {
			fputc(text.p[i], out);
		}
	}
	if (text.n == 0 || text.p[text.n - 1] != '\n')
		fputc('\n', out);
}
