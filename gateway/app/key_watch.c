/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/key_watch.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway/core/meters.h"
#include "tokenstore/keyring.h"

struct key_watch {
	struct key_watch_params params;
	struct keyring_stamp stamp;
	struct timer timer;
};

static void start_timer(struct key_watch *watch);

static void tell_meter(const struct key_watch *watch, bool usable)
{
	if (watch->params.meter != NULL)
		meter_gauge(watch->params.meter, METER_KEYRING_OK, NULL, usable);
}

/* The stamp is read before the file: what changes in between is seen the next time. */
struct keyring *key_watch_load(struct key_watch *watch, struct err *err)
{
	struct keyring *keyring;

	(void)keyring_stamp(watch->params.path, &watch->stamp);
	keyring = keyring_load(watch->params.path, err);
	tell_meter(watch, keyring != NULL);
	return keyring;
}

/* One call of stat(2) on a local file, and a read of a few hundred bytes when it was replaced. */
static void on_timer(void *ctx)
{
	struct key_watch *watch = ctx;
	struct keyring *keyring;
	struct err err;

	start_timer(watch);
	if (!keyring_stamp(watch->params.path, &watch->stamp))
		return;
	keyring = key_watch_load(watch, &err);
	if (keyring != NULL)
		watch->params.changed(watch->params.ctx, keyring);
	else
		log_error(&(struct log_subject){ .component = "keyring" },
			  "%s; the keys stay what they were", err.text);
}

static void start_timer(struct key_watch *watch)
{
	timer_start(watch->params.loop, &watch->timer, watch->params.interval_ms, on_timer, watch);
}

struct key_watch *key_watch_new(const struct key_watch_params *params)
{
	struct key_watch *watch = mem_new(sizeof(*watch));

	watch->params = *params;
	start_timer(watch);
	return watch;
}

void key_watch_free(struct key_watch **slot)
{
	struct key_watch *watch = *slot;

	if (watch == NULL)
		return;
	*slot = NULL;
	timer_stop(&watch->timer);
	free(watch);
}
