/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/otel_names.h"

const struct otel_names otel_names[N_OTEL_NAMES] = {
#define X(id, attribute, column, label) [OTEL_##id] = { attribute, column, label },
	OTEL_NAMES(X)
#undef X
};
