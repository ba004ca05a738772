/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/app/dev_dir.h"

int dev_dir_take(char taken[DEV_DIR_BYTES], const char *dir, struct err *err)
{
	char *absolute = realpath(dir, NULL);

	if (absolute == NULL || strlen(absolute) >= DEV_DIR_BYTES) {
		free(absolute);
		return err_set(err, ERR_BAD_REQUEST,
			       "%s: no usable directory, or its path is longer than %d bytes", dir,
			       DEV_DIR_BYTES - 1);
	}
	memcpy(taken, absolute, strlen(absolute) + 1);
	free(absolute);
	return 0;
}

void dev_dir_read_key(const char *path, char key[DEV_KEY_BYTES])
{
	FILE *file = fopen(path, "re");
	size_t n = file != NULL ? fread(key, 1, DEV_KEY_BYTES - 1, file) : 0;

	key[n] = '\0';
	if (file != NULL)
		fclose(file);
}
