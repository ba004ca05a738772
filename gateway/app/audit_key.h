/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_AUDIT_KEY_H
#define GATEWAY_APP_AUDIT_KEY_H

/* What a gateway and who verifies its book have to agree on. */

#include <stdint.h>

#include "base/crypto.h"
#include "gateway/app/config.h"

struct keyring;

/* What anchors and seals are signed with. The caller wipes it. */
void audit_key_seed(const struct keyring *keyring, uint8_t seed[ED25519_SEED_BYTES]);
/* The file that anchors go to. The caller frees. */
char *audit_anchor_path(const struct config *config);

#endif
