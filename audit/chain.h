/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_CHAIN_H
#define AUDIT_CHAIN_H

/*
 * What makes the book tamper-evident: each row is a link of a hash chain, made when the row is
 * complete and before PostgreSQL sees it. Pure: no files, no database, no clock.
 *
 *   mac(seq) = HMAC-SHA256(key(epoch), id | u64 seq | mac(seq - 1) | SHA-256(canonical row))
 *   key(e)   = HKDF(ratchet(e), "tollgate audit mac 1")
 *   ratchet(e + 1) = HKDF(ratchet(e), "tollgate audit ratchet 1"), whereupon ratchet(e) is wiped
 *
 * mac(0) is all zero; ratchet(0) is random. A chain belongs to one spool directory and goes on
 * when another process takes the directory over. An epoch ends with an anchor: a statement where
 * the chain stands, signed with Ed25519 (RFC 8032), which also discloses key(e). From then on the
 * key forges nothing: to change a link and keep the MAC of the last needs a second preimage. Before
 * it, only the gateway has the key. So a verifier needs no secret, and who gets hold of the
 * database alone can change nothing unseen; who gets hold of the machine, nothing that an anchor
 * in the second sink has fixed.
 *
 * Integers are big-endian.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/err.h"
#include "base/span.h"

#define CHAIN_ID_BYTES	      16
#define CHAIN_MAC_BYTES	      SHA256_BYTES
#define CHAIN_SIGNATURE_BYTES ED25519_SIGNATURE_BYTES

struct chain {
	uint8_t id[CHAIN_ID_BYTES];
	uint64_t epoch;
	uint64_t epoch_first;	       /* sequence of the first link of the epoch */
	uint8_t ratchet[SHA256_BYTES]; /* secret */
	uint8_t mac_key[SHA256_BYTES]; /* of the epoch: follows from the ratchet; secret */
	uint64_t seq;		       /* of the last link; 0: there is none */
	uint8_t mac[CHAIN_MAC_BYTES];  /* of the last link */
};

struct chain_anchor {
	uint8_t id[CHAIN_ID_BYTES];
	uint64_t epoch;
	uint64_t first_seq;
	uint64_t last_seq; /* first_seq - 1: the epoch is empty */
	uint8_t last_mac[CHAIN_MAC_BYTES];
	uint8_t mac_key[SHA256_BYTES];
	int64_t anchored_us; /* Unix microseconds */
	uint8_t signature[CHAIN_SIGNATURE_BYTES];
};

/* Where a row stands. */
struct chain_link {
	uint8_t id[CHAIN_ID_BYTES];
	uint64_t seq;
	uint8_t mac[CHAIN_MAC_BYTES];
};
#define CHAIN_LINK_BYTES (CHAIN_ID_BYTES + 8 + CHAIN_MAC_BYTES)

/* A new chain; its id is a random UUID (version 4). */
void chain_begin(struct chain *chain);
/* Goes on where a chain stood: of *chain, all but mac_key has been filled in. */
void chain_resume(struct chain *chain);
/* Appends a row, given SHA-256 of what event_canonical says: seq and mac are the row's. */
void chain_link(struct chain *chain, const uint8_t digest[SHA256_BYTES]);
/* What chain_link computes, for who verifies with a disclosed key. */
void chain_mac(const uint8_t mac_key[SHA256_BYTES], const uint8_t id[CHAIN_ID_BYTES], uint64_t seq,
	       const uint8_t before[CHAIN_MAC_BYTES], const uint8_t digest[SHA256_BYTES],
	       uint8_t out[CHAIN_MAC_BYTES]);
/* Ends the epoch: fills the anchor, signed with the seed, and turns the ratchet. */
void chain_anchor(struct chain *chain, int64_t now_us, const uint8_t seed[ED25519_SEED_BYTES],
		  struct chain_anchor *out);
bool chain_anchor_verify(const struct chain_anchor *anchor,
			 const uint8_t public_key[ED25519_PUBLIC_BYTES]);

/* What is signed of a row that had to be stored reduced: its place, and the SHA-256 of what
 * event_canonical says of what was stored. */
void chain_reduction_sign(const uint8_t seed[ED25519_SEED_BYTES], const uint8_t id[CHAIN_ID_BYTES],
			  uint64_t seq, const uint8_t mac[CHAIN_MAC_BYTES],
			  const uint8_t digest[SHA256_BYTES], uint8_t out[CHAIN_SIGNATURE_BYTES]);
bool chain_reduction_verify(const uint8_t public_key[ED25519_PUBLIC_BYTES],
			    const uint8_t id[CHAIN_ID_BYTES], uint64_t seq,
			    const uint8_t mac[CHAIN_MAC_BYTES], const uint8_t digest[SHA256_BYTES],
			    const uint8_t signature[CHAIN_SIGNATURE_BYTES]);

#endif
