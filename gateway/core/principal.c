/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/principal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char *const role_names[] = {
	[ROLE_USER] = "user",
	[ROLE_ADMIN] = "admin",
	[ROLE_PLATFORM] = "platform",
};
#define N_ROLES (sizeof(role_names) / sizeof(role_names[0]))

const char *role_name(enum role role)
{
	return role_names[role];
}

int role_parse(const char *name, enum role *out, struct err *err)
{
	for (size_t i = 0; i < N_ROLES; i++) {
		if (strcmp(name, role_names[i]) == 0) {
			*out = (enum role)i;
			return 0;
		}
	}
	return err_set(err, ERR_BAD_REQUEST, "role must be user, admin or platform");
}

const char *principal_name(const struct principal *principal)
{
	return principal->user_name != NULL ? principal->user_name : principal->api_key;
}

struct principal *principal_ref(struct principal *principal)
{
	principal->refs++;
	return principal;
}

void principal_unref(struct principal **principal)
{
	struct principal *was = *principal;

	*principal = NULL;
	if (was == NULL)
		return;
	assert(was->refs > 0);
	if (--was->refs > 0)
		return;
	free(was->tenant);
	free(was->user_name);
	free(was->api_key);
	free(was);
}
