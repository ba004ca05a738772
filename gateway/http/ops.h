/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_OPS_H
#define GATEWAY_HTTP_OPS_H

/* The handlers of the operations listener. */

#include "gateway/http/exchange.h"

void ops_livez(struct exchange *exchange); /* the process turns its loop */
/* Whichever worker is asked tells about the whole gateway. */
void ops_readyz(struct exchange *exchange);  /* it should be sent requests */
void ops_metrics(struct exchange *exchange); /* text for Prometheus */

#endif
