/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_CMD_AUDIT_H
#define GATEWAY_APP_CMD_AUDIT_H

/* What the files of `tollgate audit …` share. */

#include "gateway/app/cli.h"

/* `audit psql` hands its arguments on, so it reads them itself: a row of the table's `run`. */
int cmd_audit_psql(int argc, char **argv);

#endif
