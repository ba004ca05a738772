/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_TOOL_LABELS_H
#define GATEWAY_CORE_TOOL_LABELS_H

/* Which tools have a label of their own in metrics: of each tenant the first that were called, in
 * this worker. Tenants choose the names, so without that there would be no bound. */

#include <stddef.h>

#define TOOL_LABELS_PER_TENANT 64
#define TOOL_LABELS_TENANTS    1024

struct tool_labels;
struct tool_labels *tool_labels_new(void);
void tool_labels_free(struct tool_labels **labels);
/* tool, or METRIC_OTHER; of NULL always that. */
const char *tool_label(struct tool_labels *labels, const char *tenant, const char *tool);

#endif
