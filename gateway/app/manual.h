/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_MANUAL_H
#define GATEWAY_APP_MANUAL_H

/* Manual pages in mdoc(7), from the tables of commands and of settings. */

#define MANUAL_TOLLGATE "tollgate.1"
#define MANUAL_YAML	"tollgate.yaml.5"

/* On standard output. Returns an exit code. */
int manual_print(const char *page);

#endif
