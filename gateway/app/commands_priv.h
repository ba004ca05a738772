/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_COMMANDS_PRIV_H
#define GATEWAY_APP_COMMANDS_PRIV_H

/* What commands.c (the table) and commands_run.c (what is done with it) share. */

#include "gateway/app/commands.h"

int cmd_help(int argc, char **argv);
int cmd_version(int argc, char **argv);

#endif
