/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/anchor_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/partition_seal.h"
#include "audit/row.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

#define READ_BYTES ((size_t)64 << 10)

struct place {
	uint8_t chain[CHAIN_ID_BYTES];
	uint64_t epoch;
	uint64_t offset;
	uint32_t file;
	uint32_t n_bytes;
};

struct anchor_files {
	int fds[ANCHOR_FILES_MAX];
	size_t n_files;
	struct place *places; /* ascending */
	size_t n, room;
	size_t n_unreadable;
};

/* --- a line ---------------------------------------------------------------------------------- */

static bool get_bytes(const json_t *line, const char *key, uint8_t *out, size_t n)
{
	const char *text = json_text(line, key);

	return text != NULL && hex_decode(span_of(text), out, n) == 0;
}

static bool get_number(const json_t *line, const char *key, uint64_t *out)
{
	const json_t *value = json_object_get(line, key);

	*out = (uint64_t)json_integer_value(value);
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

static bool has_type(const json_t *line, const char *type)
{
	const char *text = json_text(line, "type");

	return text != NULL && strcmp(text, type) == 0;
}

static bool get_anchor(const json_t *line, struct chain_anchor *out)
{
	const char *at = json_text(line, "anchored_at");
	struct err ignored;

	return has_type(line, "anchor") && uuid_parse(json_text(line, "chain"), out->id) &&
	       get_number(line, "epoch", &out->epoch) &&
	       get_number(line, "first_seq", &out->first_seq) &&
	       get_number(line, "last_seq", &out->last_seq) &&
	       get_bytes(line, "last_mac", out->last_mac, sizeof(out->last_mac)) &&
	       get_bytes(line, "mac_key", out->mac_key, sizeof(out->mac_key)) &&
	       get_bytes(line, "signature", out->signature, sizeof(out->signature)) && at != NULL &&
	       text_parse_time(at, &out->anchored_us, &ignored) == 0;
}

bool anchor_line_read(struct span text, struct chain_anchor *out)
{
	struct err ignored;
	json_t *line = text.n <= ANCHOR_LINE_BYTES ? json_parse(text, &ignored) : NULL;
	bool good = line != NULL && get_anchor(line, out);

	json_decref(line);
	return good;
}

static void put_hex(struct buf *out, const char *name, const uint8_t *bytes, size_t n)
{
	char digits[2 * CHAIN_SIGNATURE_BYTES + 1];

	hex_encode(bytes, n, digits);
	buf_printf(out, ",\"%s\":\"%s\"", name, digits);
}

void anchor_line_write(const struct chain_anchor *anchor, struct buf *out)
{
	char id[UUID_TEXT_BYTES], at[TEXT_TIME_BYTES];

	uuid_text(anchor->id, id);
	text_time(anchor->anchored_us, at);
	buf_printf(out,
		   "{\"type\":\"anchor\",\"chain\":\"%s\",\"epoch\":%" PRIu64
		   ",\"first_seq\":%" PRIu64 ",\"last_seq\":%" PRIu64,
		   id, anchor->epoch, anchor->first_seq, anchor->last_seq);
	put_hex(out, "last_mac", anchor->last_mac, sizeof(anchor->last_mac));
	put_hex(out, "mac_key", anchor->mac_key, sizeof(anchor->mac_key));
	buf_printf(out, ",\"anchored_at\":\"%s\"", at);
	put_hex(out, "signature", anchor->signature, sizeof(anchor->signature));
	buf_add(out, "}\n");
}

/* --- the index ------------------------------------------------------------------------------- */

static int compare_key(const struct place *place, const uint8_t *chain, uint64_t epoch)
{
	int chains = memcmp(place->chain, chain, CHAIN_ID_BYTES);

	return chains != 0 ? chains : (place->epoch > epoch) - (place->epoch < epoch);
}

static int compare(const void *a, const void *b)
{
	const struct place *left = a;
	const struct place *right = b;
	int keys = compare_key(left, right->chain, right->epoch);

	if (keys != 0)
		return keys;
	if (left->file != right->file)
		return left->file < right->file ? -1 : 1;
	return (left->offset > right->offset) - (left->offset < right->offset);
}

/* The first place that is not less. */
static size_t find(const struct anchor_files *files, const uint8_t *chain, uint64_t epoch)
{
	size_t low = 0;
	size_t high = files->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_key(&files->places[middle], chain, epoch) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int add(struct anchor_files *files, const struct place *place, struct err *err)
{
	if (files->n == ANCHOR_FILES_LINES)
		return err_set(err, ERR_TOO_LARGE, "more than %d anchors", ANCHOR_FILES_LINES);
	if (files->n == files->room) {
		files->room = files->room == 0 ? 1024 : 2 * files->room;
		files->places = mem_resize(files->places, files->room, sizeof(*place));
	}
	files->places[files->n++] = *place;
	return 0;
}

/* Seals of partitions may be long; what they say is in the database too. */
static bool is_seal(struct span line)
{
	static const char start[] = "{\"type\":\"seal\"";

	return line.n >= strlen(start) && memcmp(line.p, start, strlen(start)) == 0;
}

static int take_line(struct anchor_files *files, struct span line, uint64_t offset, struct err *err)
{
	struct place place = { .offset = offset,
			       .file = (uint32_t)files->n_files,
			       .n_bytes = (uint32_t)line.n };
	struct chain_anchor anchor;

	if (line.n == 0 || is_seal(line))
		return 0;
	if (!anchor_line_read(line, &anchor)) {
		files->n_unreadable++;
		return 0;
	}
	memcpy(place.chain, anchor.id, sizeof(place.chain));
	place.epoch = anchor.epoch;
	return add(files, &place, err);
}

/* Of a line, its beginning is kept, which is all of an anchor. */
struct scan {
	struct anchor_files *files;
	char line[ANCHOR_LINE_BYTES + 1];
	size_t n; /* may be more than fits */
	uint64_t start;
};

static int scan_end(struct scan *scan, uint64_t next, struct err *err)
{
	size_t kept = scan->n < sizeof(scan->line) ? scan->n : sizeof(scan->line);
	int ret = take_line(scan->files, (struct span){ scan->line, kept }, scan->start, err);

	scan->n = 0;
	scan->start = next;
	return ret;
}

static int scan_bytes(struct scan *scan, const char *bytes, size_t n, uint64_t offset,
		      struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] == '\n') {
			if (scan_end(scan, offset + i + 1, err) < 0)
				return -1;
			continue;
		}
		if (scan->n < sizeof(scan->line))
			scan->line[scan->n] = bytes[i];
		scan->n++;
	}
	return 0;
}

static int scan_file(struct anchor_files *files, int fd, const char *path, struct err *err)
{
	struct scan *scan = mem_new(sizeof(*scan));
	char *bytes = mem_new(READ_BYTES);
	uint64_t offset = 0;
	int ret = 0;
	ssize_t n;

	scan->files = files;
	while (ret == 0 && (n = read(fd, bytes, READ_BYTES)) != 0) {
		if (n < 0)
			ret = err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno));
		else
			ret = scan_bytes(scan, bytes, (size_t)n, offset, err);
		offset += (uint64_t)(n > 0 ? n : 0);
	}
	if (ret == 0)
		ret = scan_end(scan, offset, err);
	free(bytes);
	free(scan);
	return ret;
}

static int open_file(struct anchor_files *files, const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_INTERNAL, "%s: %s", path,
			       strerror(errno));
	if (scan_file(files, fd, path, err) < 0) {
		close(fd);
		return -1;
	}
	files->fds[files->n_files++] = fd;
	return 0;
}

struct anchor_files *anchor_files_open(const char *const *paths, size_t n, struct err *err)
{
	struct anchor_files *files = mem_new(sizeof(*files));

	if (n > ANCHOR_FILES_MAX) {
		err_set(err, ERR_TOO_LARGE, "more than %d files of anchors", ANCHOR_FILES_MAX);
		anchor_files_free(&files);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		if (open_file(files, paths[i], err) < 0) {
			anchor_files_free(&files);
			return NULL;
		}
	}
	if (files->n > 0)
		qsort(files->places, files->n, sizeof(*files->places), compare);
	return files;
}

void anchor_files_free(struct anchor_files **slot)
{
	struct anchor_files *files = *slot;

	if (files == NULL)
		return;
	*slot = NULL;
	for (size_t i = 0; i < files->n_files; i++)
		close(files->fds[i]);
	free(files->places);
	free(files);
}

size_t anchor_files_n_anchors(const struct anchor_files *files)
{
	return files->n;
}

size_t anchor_files_n_unreadable(const struct anchor_files *files)
{
	return files->n_unreadable;
}

bool anchor_files_find(const struct anchor_files *files, const uint8_t chain[CHAIN_ID_BYTES],
		       uint64_t epoch, size_t n, struct chain_anchor *out)
{
	size_t at = find(files, chain, epoch) + n;
	char line[ANCHOR_LINE_BYTES];
	const struct place *place;

	if (at >= files->n || compare_key(&files->places[at], chain, epoch) != 0)
		return false;
	place = &files->places[at];
	/* Unless somebody has changed the file meanwhile. */
	return pread(files->fds[place->file], line, place->n_bytes, (off_t)place->offset) ==
		       (ssize_t)place->n_bytes &&
	       anchor_line_read((struct span){ line, place->n_bytes }, out) &&
	       out->epoch == epoch && memcmp(out->id, chain, CHAIN_ID_BYTES) == 0;
}

bool anchor_files_next(const struct anchor_files *files, const uint8_t chain[CHAIN_ID_BYTES],
		       uint64_t epoch, uint64_t *next)
{
	size_t at = find(files, chain, epoch);

	if (at == files->n || memcmp(files->places[at].chain, chain, CHAIN_ID_BYTES) != 0)
		return false;
	*next = files->places[at].epoch;
	return true;
}

bool anchor_files_chain(const struct anchor_files *files, const uint8_t from[CHAIN_ID_BYTES],
			uint8_t out[CHAIN_ID_BYTES])
{
	size_t at = find(files, from, 0);

	if (at == files->n)
		return false;
	memcpy(out, files->places[at].chain, CHAIN_ID_BYTES);
	return true;
}
