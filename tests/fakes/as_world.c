/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "tests/fakes/as_world.h"

#define MAX_TEXT_BYTES (1 << 20)

int as_set_up(void **state)
{
	struct as_world *as = mem_new(sizeof(*as));
	void *world = NULL;
	int ret = world_set_up(&world);

	as->world = world;
	as->arena = arena_new();
	*state = as;
	return ret;
}

int as_tear_down(void **state)
{
	struct as_world *as = *state;
	void *world = as->world;

	world_tear_down(&world);
	arena_free(&as->arena);
	free(as);
	return 0;
}

const char *as_text(struct as_world *as, const char *text)
{
	struct buf out;
	const char *at;
	const char *copy;

	buf_init(&out, MAX_TEXT_BYTES);
	while ((at = strstr(text, "$O")) != NULL) {
		buf_append(&out, text, (size_t)(at - text));
		buf_add(&out, as->origin);
		text = at + 2;
	}
	buf_add(&out, text);
	assert_false(out.overflow);
	copy = arena_dup(as->arena, buf_str(&out), out.len);
	buf_fini(&out);
	return copy;
}

static void begin(struct as_world *as)
{
	peer_stop(&as->world->peer);
	arena_free(&as->arena);
	as->arena = arena_new();
	as->dones = 0;
}

/* Nothing connects before the test does, so the scripts may be written once the port is known. */
static void listen_for(struct as_world *as, size_t n)
{
	for (size_t i = 0; i < n; i++)
		as->scripts[i] = as->steps[i];
	as->world->peer = peer_start(as->scripts, n);
	snprintf(as->origin, sizeof(as->origin), "http://127.0.0.1:%u", peer_port(as->world->peer));
}

static void write_answer(struct as_world *as, struct peer_step *steps,
			 const struct as_answer *answer)
{
	const char *headers = as_text(as, answer->headers != NULL ? answer->headers : AS_JSON);
	const char *body = as_text(as, answer->body != NULL ? answer->body : "");

	steps[0] = (struct peer_step){ PEER_REQUEST, NULL, 0 };
	steps[1] = (struct peer_step){ PEER_CLOSE, NULL, 0 };
	if (answer->status == 0)
		return;
	steps[1] = (struct peer_step){ PEER_SEND, NULL, 0 };
	steps[1].text = arena_printf(as->arena,
				     "HTTP/1.1 %d Status\r\nConnection: close\r\n"
				     "Content-Length: %zu\r\n%s\r\n%s",
				     answer->status, strlen(body), headers, body);
	steps[2] = (struct peer_step){ PEER_CLOSE, NULL, 0 };
}

void as_play(struct as_world *as, const struct as_answer *answers, size_t n)
{
	static const struct as_answer none = { .status = 0 };

	assert_true(n <= AS_MAX_ANSWERS);
	begin(as);
	listen_for(as, n + 1);
	for (size_t i = 0; i <= n; i++)
		write_answer(as, as->steps[i], i < n ? &answers[i] : &none);
}

void as_play_steps(struct as_world *as, const struct peer_step *steps)
{
	begin(as);
	listen_for(as, 1);
	as->scripts[0] = steps;
}

const char *as_asked(struct as_world *as)
{
	struct buf out;
	const char *copy;

	buf_init(&out, MAX_TEXT_BYTES);
	for (size_t i = 0; i < peer_requests(as->world->peer); i++) {
		char *text = peer_request(as->world->peer, i);

		/* "GET /path HTTP/1.1" */
		buf_append(&out, text,
			   strcspn(strchr(text, ' ') + 1, " ") +
				   (size_t)(strchr(text, ' ') + 1 - text));
		buf_add(&out, "\n");
		free(text);
	}
	copy = arena_dup(as->arena, buf_str(&out), out.len);
	buf_fini(&out);
	return copy;
}

const char *as_request(struct as_world *as, size_t k)
{
	char *text = peer_request(as->world->peer, k);
	const char *copy = arena_strdup(as->arena, text);

	free(text);
	return copy;
}

const char *as_body(struct as_world *as, size_t k)
{
	const char *body = strstr(as_request(as, k), "\r\n\r\n");

	assert_non_null(body);
	return body + 4;
}

void as_done(struct as_world *as)
{
	as->dones++;
	loop_stop(as->world->loop);
}

void as_wait(struct as_world *as, size_t n)
{
	while (as->dones < n)
		world_run(as->world);
	assert_int_equal(as->dones, n);
}
