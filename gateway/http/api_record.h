/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_API_RECORD_H
#define GATEWAY_HTTP_API_RECORD_H

/*
 * What audit.admin_events hears of a request. A route that changes something, or shows what is
 * otherwise sealed, has a row in the table of api_record.c (a test sees to it that none is
 * forgotten). The change itself is recorded by triggers, in its transaction; who asks for it goes
 * with every transaction of the request. What is refused, and what changes no row of ours, is
 * recorded here before it is answered.
 */

#include <stdbool.h>

#include "gateway/core/attempts.h"
#include "gateway/http/api.h"

#define API_EVENT_HEADER "Tollgate-Event-Id"

/* NULL: nothing is recorded of it. */
const struct api_action *api_action_of(api_step *const *steps);
const char *api_action_name(const struct api_action *action);

/* Gives the request an event id, if its route changes something. */
void api_record_begin(struct api_request *request);
/* The setting app.event for a transaction of the request; NULL: none. In the arena. */
const char *api_record_context(struct api_request *request);
/* Its answer is known, and stands in request->answer. False: there is nothing to wait for; else it
 * calls done when the event is written. */
bool api_record_start(struct api_request *request, attempt_done *done);

#endif
