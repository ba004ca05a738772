/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_ANCHOR_FILE_H
#define AUDIT_ANCHOR_FILE_H

/*
 * The anchors in the second sink: files of JSON lines, which somebody has kept away from the
 * database. An index of where each stands is held in memory, some 40 bytes for an anchor.
 *
 * Never trusts the files. Lines that are something else are skipped, and counted if they are
 * nothing that a gateway writes.
 */

#include <stddef.h>
#include <stdint.h>

#include <stdbool.h>

#include "audit/chain.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

struct anchor_files;

#define ANCHOR_FILES_MAX   64
#define ANCHOR_FILES_LINES 20000000 /* some 40 years of one chain */
#define ANCHOR_LINE_BYTES  1024

/* Without its newline. False: it is no anchor. */
bool anchor_line_read(struct span line, struct chain_anchor *out);
/* The same back; appends it with its newline. */
void anchor_line_write(const struct chain_anchor *anchor, struct buf *out);

/* Returns new ones; ERR_NOT_FOUND, ERR_TOO_LARGE, ERR_INTERNAL. */
struct anchor_files *anchor_files_open(const char *const *paths, size_t n,
				       struct err *err) MUST_CHECK;
void anchor_files_free(struct anchor_files **files);
size_t anchor_files_n_anchors(const struct anchor_files *files);
/* Lines that could not be read: the last one of a gateway that died, or somebody wrote there. */
size_t anchor_files_n_unreadable(const struct anchor_files *files);

/* The anchor of an epoch. An epoch may stand there more than once: n is 0, 1, … False: there is
 * none, or no n-th. */
bool anchor_files_find(const struct anchor_files *files, const uint8_t chain[CHAIN_ID_BYTES],
		       uint64_t epoch, size_t n, struct chain_anchor *out);
/* The first epoch from `epoch` on that the files have of the chain. */
bool anchor_files_next(const struct anchor_files *files, const uint8_t chain[CHAIN_ID_BYTES],
		       uint64_t epoch, uint64_t *next);
/* The first chain that is not less. */
bool anchor_files_chain(const struct anchor_files *files, const uint8_t from[CHAIN_ID_BYTES],
			uint8_t out[CHAIN_ID_BYTES]);

#endif
