/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/audit_key.h"

#include <string.h>

#include "base/mem.h"
#include "tokenstore/keyring.h"

void audit_key_seed(const struct keyring *keyring, uint8_t seed[ED25519_SEED_BYTES])
{
	static const char title[] = "tollgate audit anchor 1";

	keyring_mac(keyring, title, sizeof(title) - 1, seed);
}

char *audit_anchor_path(const struct config *config)
{
	if (config->audit_anchor_file[0] != '\0')
		return mem_strdup(config->audit_anchor_file);
	return mem_printf("%s/anchors.jsonl", config->data_dir);
}
