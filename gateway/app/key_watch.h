/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_KEY_WATCH_H
#define GATEWAY_APP_KEY_WATCH_H

/*
 * Notices that another file lies where the keyring is, and loads it. Whether that is the right one
 * is for its owner to judge.
 */

#include "base/err.h"
#include "base/loop.h"
#include "base/metrics.h"

struct key_watch;
struct keyring;

#define KEY_WATCH_MS 1000

struct key_watch_params {
	struct loop *loop;
	const char *path;
	int64_t interval_ms; /* KEY_WATCH_MS, but for tests */
	struct meter *meter; /* says whether the file that is there can be used; may be NULL */
	/* The receiver takes the keyring. */
	void (*changed)(void *ctx, struct keyring *keyring);
	void *ctx;
};
struct key_watch *key_watch_new(const struct key_watch_params *params);
void key_watch_free(struct key_watch **watch);
/* What is there now, or NULL; `changed` will tell of what differs from it. */
struct keyring *key_watch_load(struct key_watch *watch, struct err *err) MUST_CHECK;

#endif
