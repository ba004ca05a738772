/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/chain.h"

#include <endian.h>
#include <string.h>

#include "base/mem.h"

/* A statement that is signed or summed. Every field has a fixed width, and the title differs. */
struct statement {
	uint8_t bytes[256];
	size_t n;
};

static void put(struct statement *out, const void *p, size_t n)
{
	memcpy(out->bytes + out->n, p, n);
	out->n += n;
}

static void put64(struct statement *out, uint64_t value)
{
	value = htobe64(value);
	put(out, &value, sizeof(value));
}

static void put_title(struct statement *out, const char *title)
{
	put(out, title, strlen(title) + 1);
}

static struct span statement_span(const struct statement *statement)
{
	return (struct span){ (const char *)statement->bytes, statement->n };
}

void chain_begin(struct chain *chain)
{
	char id[UUID_TEXT_BYTES];

	*chain = (struct chain){ .epoch_first = 1 };
	uuid_v4(id);
	uuid_parse(id, chain->id);
	crypto_random(chain->ratchet, sizeof(chain->ratchet));
	chain_resume(chain);
}

void chain_resume(struct chain *chain)
{
	crypto_hkdf_sha256(chain->ratchet, sizeof(chain->ratchet), "tollgate audit mac 1",
			   chain->mac_key, sizeof(chain->mac_key));
}

void chain_mac(const uint8_t mac_key[SHA256_BYTES], const uint8_t id[CHAIN_ID_BYTES], uint64_t seq,
	       const uint8_t before[CHAIN_MAC_BYTES], const uint8_t digest[SHA256_BYTES],
	       uint8_t out[CHAIN_MAC_BYTES])
{
	struct statement link = { .n = 0 };

	put(&link, id, CHAIN_ID_BYTES);
	put64(&link, seq);
	put(&link, before, CHAIN_MAC_BYTES);
	put(&link, digest, SHA256_BYTES);
	crypto_hmac_sha256(mac_key, SHA256_BYTES, link.bytes, link.n, out);
}

void chain_link(struct chain *chain, const uint8_t digest[SHA256_BYTES])
{
	uint8_t mac[CHAIN_MAC_BYTES];

	chain->seq++;
	chain_mac(chain->mac_key, chain->id, chain->seq, chain->mac, digest, mac);
	memcpy(chain->mac, mac, sizeof(mac));
}

static void anchor_statement(const struct chain_anchor *anchor, struct statement *out)
{
	out->n = 0;
	put_title(out, "tollgate audit anchor 1");
	put(out, anchor->id, sizeof(anchor->id));
	put64(out, anchor->epoch);
	put64(out, anchor->first_seq);
	put64(out, anchor->last_seq);
	put(out, anchor->last_mac, sizeof(anchor->last_mac));
	put(out, anchor->mac_key, sizeof(anchor->mac_key));
	put64(out, (uint64_t)anchor->anchored_us);
}

static void turn(struct chain *chain)
{
	uint8_t next[SHA256_BYTES];

	crypto_hkdf_sha256(chain->ratchet, sizeof(chain->ratchet), "tollgate audit ratchet 1", next,
			   sizeof(next));
	memcpy(chain->ratchet, next, sizeof(next));
	mem_wipe(next, sizeof(next));
	chain->epoch++;
	chain->epoch_first = chain->seq + 1;
	chain_resume(chain);
}

void chain_anchor(struct chain *chain, int64_t now_us, const uint8_t seed[ED25519_SEED_BYTES],
		  struct chain_anchor *out)
{
	struct statement statement;

	*out = (struct chain_anchor){
		.epoch = chain->epoch,
		.first_seq = chain->epoch_first,
		.last_seq = chain->seq,
		.anchored_us = now_us,
	};
	memcpy(out->id, chain->id, sizeof(out->id));
	memcpy(out->last_mac, chain->mac, sizeof(out->last_mac));
	memcpy(out->mac_key, chain->mac_key, sizeof(out->mac_key));
	anchor_statement(out, &statement);
	crypto_ed25519_sign(seed, statement_span(&statement), out->signature);
	turn(chain);
}

bool chain_anchor_verify(const struct chain_anchor *anchor,
			 const uint8_t public_key[ED25519_PUBLIC_BYTES])
{
	struct statement statement;

	anchor_statement(anchor, &statement);
	return crypto_ed25519_verify(public_key, statement_span(&statement), anchor->signature);
}

static void reduction_statement(const uint8_t id[CHAIN_ID_BYTES], uint64_t seq,
				const uint8_t mac[CHAIN_MAC_BYTES],
				const uint8_t digest[SHA256_BYTES], struct statement *out)
{
	out->n = 0;
	put_title(out, "tollgate audit reduction 1");
	put(out, id, CHAIN_ID_BYTES);
	put64(out, seq);
	put(out, mac, CHAIN_MAC_BYTES);
	put(out, digest, SHA256_BYTES);
}

void chain_reduction_sign(const uint8_t seed[ED25519_SEED_BYTES], const uint8_t id[CHAIN_ID_BYTES],
			  uint64_t seq, const uint8_t mac[CHAIN_MAC_BYTES],
			  const uint8_t digest[SHA256_BYTES], uint8_t out[CHAIN_SIGNATURE_BYTES])
{
	struct statement statement;

	reduction_statement(id, seq, mac, digest, &statement);
	crypto_ed25519_sign(seed, statement_span(&statement), out);
}

bool chain_reduction_verify(const uint8_t public_key[ED25519_PUBLIC_BYTES],
			    const uint8_t id[CHAIN_ID_BYTES], uint64_t seq,
			    const uint8_t mac[CHAIN_MAC_BYTES], const uint8_t digest[SHA256_BYTES],
			    const uint8_t signature[CHAIN_SIGNATURE_BYTES])
{
	struct statement statement;

	reduction_statement(id, seq, mac, digest, &statement);
	return crypto_ed25519_verify(public_key, statement_span(&statement), signature);
}
