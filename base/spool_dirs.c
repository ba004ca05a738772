/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spool_dirs.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

void spool_dirs_path(const struct spool_dirs *dirs, unsigned n, char out[SPOOL_DIR_BYTES])
{
	if (n == 0)
		snprintf(out, SPOOL_DIR_BYTES, "%s/%s%u", dirs->data_dir, dirs->prefix, dirs->slot);
	else
		snprintf(out, SPOOL_DIR_BYTES, "%s/%s%u.%u", dirs->data_dir, dirs->prefix,
			 dirs->slot, n);
}

/* <prefix><slot> or <prefix><slot>.<n> */
static bool slot_of(const char *name, const char *prefix, uint64_t *slot)
{
	const size_t skip = strlen(prefix);
	char number[16];
	struct err ignored;
	size_t n;

	if (strncmp(name, prefix, skip) != 0)
		return false;
	n = strcspn(name + skip, ".");
	if (n >= sizeof(number))
		return false;
	memcpy(number, name + skip, n);
	number[n] = '\0';
	return text_uint(number, 0, SPOOL_DIRS_MAX_SLOT, slot, &ignored) == 0;
}

static bool is_ours(const struct spool_dirs *dirs, const char *name)
{
	uint64_t slot;

	if (!slot_of(name, dirs->prefix, &slot))
		return false;
	return slot == dirs->slot || (dirs->slot == 0 && slot >= dirs->n_slots);
}

void spool_dirs_each(const struct spool_dirs *dirs, void (*each)(void *ctx, const char *path),
		     void *ctx)
{
	DIR *dir = opendir(dirs->data_dir);
	const struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		char path[SPOOL_DIR_BYTES];
		int n = snprintf(path, sizeof(path), "%s/%s", dirs->data_dir, entry->d_name);

		if (n > 0 && (size_t)n < sizeof(path) && is_ours(dirs, entry->d_name))
			each(ctx, path);
	}
	if (dir != NULL)
		closedir(dir);
}
