/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_VERIFY_H
#define AUDIT_VERIFY_H

/*
 * Whether the links of a chain are the ones that its anchors fix. Pure: who calls it reads them, in
 * the order of their sequences, however many there are; what it keeps is of a fixed size.
 *
 * A record that is wrong is named, and what follows it is judged on its own: one change of the book
 * is one finding, where that can be told.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/chain.h"

/* Name, word for programs, what is wrong. */
#define VERIFY_PROBLEMS(X)                                                                         \
	X(ALTERED, "altered", "it is not what was written")                                        \
	X(MISSING, "missing", "it is not there")                                                   \
	X(DUPLICATE, "duplicate", "its place in the chain belongs to another record")              \
	X(REWRITTEN, "rewritten", "the epoch does not end with the link that its anchor names")    \
	X(DROPPED, "dropped", "its place is in a partition that was dropped")                      \
	X(EDGE, "edge", "it is not the one that a dropped partition went on from")                 \
	X(ANCHOR_ALTERED, "anchor_altered", "the anchor's signature is not by our key")            \
	X(ANCHOR_MISSING, "anchor_missing", "the anchor is not in audit.anchors")                  \
	X(ANCHOR_DIFFERS, "anchor_differs", "the anchor is not the one in the second sink")        \
	X(ANCHOR_MISPLACED, "anchor_misplaced",                                                    \
	  "the anchor does not go on where the one before ended")                                  \
	X(SEAL_ALTERED, "seal_altered", "the seal of the partition is not by our key")             \
	X(EVENTS_ALTERED, "events_altered", "the events are not the ones that were sealed")        \
	X(EVENTS_MISSING, "events_missing", "no seal covers these events, but later ones")         \
	X(EVENT_UNSEALED, "event_unsealed", "no seal covers the event")                            \
	X(EVENT_LATE, "event_late", "it was not there when later events were sealed")              \
	X(UNCHAINED, "unchained", "it is a link of no chain, and not signed as such")              \
	X(UNANCHORED, "unanchored", "no anchor holds it, and none will that is still to come")     \
	X(PAYLOAD_ALTERED, "payload_altered", "its payload is not the one that was kept")          \
	X(PAYLOAD_MISSING, "payload_missing", "its payload is not there")

enum verify_problem {
#define X(name, word, text) VERIFY_##name,
	VERIFY_PROBLEMS(X)
#undef X
};
const char *verify_problem_word(enum verify_problem problem);
const char *verify_problem_text(enum verify_problem problem);

enum verify_kind {
	VERIFY_CALL,	   /* call_id and started_us name it */
	VERIFY_EVENT_SEAL, /* started_us: when it was made */
	VERIFY_ANCHOR,	   /* number: epoch; started_us: when it was made */
	VERIFY_SEAL,	   /* of a partition: label */
	VERIFY_EVENTS,	   /* label: the log; first to last: numbers of events */
	VERIFY_PLACE,	   /* first to last: sequences */
};
const char *verify_kind_word(enum verify_kind kind);

/* What a finding is about. */
struct verify_record {
	enum verify_kind kind;
	bool chained;
	uint8_t chain[CHAIN_ID_BYTES];
	uint64_t first, last; /* sequences, or what the kind says; 0: none */
	bool has_call_id;
	uint8_t call_id[16];
	int64_t started_us; /* 0: not known */
	char label[64];
};
typedef void verify_report(void *ctx, enum verify_problem problem,
			   const struct verify_record *record);
/* An anchor as what a finding is about. */
struct verify_record verify_anchor_record(const struct chain_anchor *anchor);

/* A run of links that went with a partition. */
struct verify_range {
	uint8_t chain[CHAIN_ID_BYTES];
	uint64_t first, last;
	uint8_t before[CHAIN_MAC_BYTES]; /* MAC of the link before first */
	uint8_t mac[CHAIN_MAC_BYTES];	 /* of last */
};

struct verify_link {
	struct verify_record record; /* first: its sequence */
	uint8_t mac[CHAIN_MAC_BYTES];
	uint8_t digest[SHA256_BYTES]; /* of what is there now */
	bool readable;		      /* false: no gateway writes such a row; without digest */
	int64_t ended_us;	      /* when it became a link, as it says itself; 0: it does not */
	bool reduced; /* another row was linked: the reduction speaks for this one */
	uint8_t reduction[CHAIN_SIGNATURE_BYTES];
};

/* That claim one place; what goes beyond is reported at once. */
#define VERIFY_MAX_RIVALS 4

struct verify_counts {
	uint64_t links;	       /* that are there */
	uint64_t dropped;      /* that went with partitions */
	uint64_t not_anchored; /* behind the last anchor */
	uint64_t anchors;
};

struct verify_chain {
	uint8_t id[CHAIN_ID_BYTES];
	const uint8_t *public_key; /* ED25519_PUBLIC_BYTES */
	verify_report *report;
	/* Each link that stands in its place, good or bad; may be NULL. before: the MAC that it
	 * follows; NULL: not known. */
	void (*judged)(void *ctx, const struct verify_link *link, const uint8_t *before);
	void *ctx;
	const struct verify_range *ranges; /* of this chain, ascending; those to come */
	size_t n_ranges;
	/* A link that no anchor holds is reported if it ended before the one or after the other. */
	int64_t late_before_us, late_after_us;
	struct verify_counts counts;

	/* Its own. */
	uint64_t want; /* the place that comes next */
	bool has_before, has_otherwise;
	uint8_t before[CHAIN_MAC_BYTES];    /* MAC of the link at want - 1 */
	uint8_t otherwise[CHAIN_MAC_BYTES]; /* what it ought to be, if it is wrong */
	struct verify_link rivals[VERIFY_MAX_RIVALS];
	size_t n_rivals;
	struct verify_record latest; /* the last link that was judged */
	bool latest_bad;
	bool told_late; /* a link that no anchor holds was reported */
	bool has_epoch;
	struct chain_anchor anchor; /* of the epoch */
	uint64_t want_epoch;
	uint64_t edge; /* behind the epoch before; 0: not known */
};

/* The caller has filled in id, public_key, report, judged, ctx and ranges. Begins behind an anchor,
 * or with the first link if after is NULL. */
void verify_chain_begin(struct verify_chain *chain, const struct chain_anchor *after);
/* The anchor of the epoch whose links come next; anchors come in the order of epochs. One that is
 * not ours is reported and holds nothing. Links before its first, whose own anchor is missing, are
 * looked for and counted, but what they say cannot be checked. */
void verify_chain_anchor(struct verify_chain *chain, const struct chain_anchor *anchor);
/* Whether a link of that sequence belongs to the epoch of the last anchor. */
bool verify_chain_holds(const struct verify_chain *chain, uint64_t seq);
/* Sequences ascend; the same one may come again. Those that no anchor holds come after the last. */
void verify_chain_link(struct verify_chain *chain, const struct verify_link *link);
/* There are no more links in the epoch of the last anchor; nothing if it holds none. */
void verify_chain_epoch_end(struct verify_chain *chain);
/* There are no more links at all. */
void verify_chain_end(struct verify_chain *chain);

#endif
