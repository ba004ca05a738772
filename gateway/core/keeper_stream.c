/* SPDX-License-Identifier: Apache-2.0 */
/* Listening to an upstream that is watched, so that a change of its tools is known at once. */

#include "base/log.h"
#include "gateway/core/keeper_priv.h"

static bool is_held(enum stream_state state)
{
	return state == STREAM_OPENING || state == STREAM_OPEN;
}

static void stream_set(struct connection_watch *watch, enum stream_state state)
{
	struct keeper *keeper = watch->lease->keeper;

	keeper->n_streams -= is_held(watch->stream.state);
	watch->stream.state = state;
	keeper->n_streams += is_held(state);
}

void watch_stream_stop(struct connection_watch *watch)
{
	timer_stop(&watch->stream.timer);
	upstream_watch_cancel(&watch->stream.watch);
	stream_set(watch, STREAM_OFF);
}

/* What changed before it listened was not heard. */
static void on_opened(void *ctx)
{
	struct connection_watch *watch = ctx;

	watch->stream.opened_ms = loop_now_ms(watch->lease->keeper->params.loop);
	stream_set(watch, STREAM_OPEN);
	watch_again(watch);
}

static void on_changed(void *ctx)
{
	watch_again(ctx);
}

static void on_reopen(void *ctx)
{
	struct connection_watch *watch = ctx;

	stream_set(watch, STREAM_OFF);
	/* Else the next listing that succeeds opens it. */
	if (watch->failures == 0)
		watch_stream_open(watch);
}

static void on_ended(void *ctx, const struct err *err)
{
	struct connection_watch *watch = ctx;
	struct loop *loop = watch->lease->keeper->params.loop;
	const struct log_subject subject = watch_log_subject(watch);
	bool was_open = watch->stream.state == STREAM_OPEN;
	int64_t delay_ms;

	if (err->code == ERR_NOT_FOUND) {
		stream_set(watch, STREAM_NONE);
		return;
	}
	if (was_open && loop_now_ms(loop) - watch->stream.opened_ms >= KEEPER_STREAM_STABLE_MS)
		watch->stream.failures = 0;
	delay_ms = watch_retry_ms(++watch->stream.failures);
	log_debug(&subject, "its stream has ended: %s; next try in %lld ms", err->text,
		  (long long)delay_ms);
	stream_set(watch, STREAM_BROKEN);
	timer_start(loop, &watch->stream.timer, delay_ms, on_reopen, watch);
	if (was_open)
		watch_again(watch); /* it may be that it is down */
}

void watch_stream_open(struct connection_watch *watch)
{
	static const struct upstream_watch_events events = { on_opened, on_changed, on_ended };
	struct keeper *keeper = watch->lease->keeper;

	if (watch->stream.state != STREAM_OFF || keeper->n_streams >= KEEPER_MAX_STREAMS)
		return;
	stream_set(watch, STREAM_OPENING);
	upstream_watch_start(keeper->params.upstreams, &watch->stream.watch,
			     &(struct upstream_watch_request){ .tenant = watch->tenant,
							       .connection = watch->connection,
							       .subject = watch->list.subject },
			     &events, watch);
}
