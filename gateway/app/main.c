/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "gateway/app/commands.h"

int main(int argc, char **argv)
{
	/* libpq would send them, and what times look like is our own business. */
	unsetenv("PGTZ");
	unsetenv("PGDATESTYLE");
	return commands_run(argc, argv);
}
