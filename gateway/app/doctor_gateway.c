/* SPDX-License-Identifier: Apache-2.0 */

/* Checks of what listens: the gateway, or nobody yet. */

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/egress.h"
#include "base/http_client.h"
#include "gateway/app/doctor.h"
#include "gateway/app/listener.h"

#define READY_TIMEOUT_MS 3000
#define MAX_BODY_BYTES	 65536
#define SHOWN_BYTES	 200
#define ANY_V4		 "0.0.0.0:"
#define ANY_V6		 "[::]:"

static void check_port(struct doctor *doctor, struct finding *finding, const char *address)
{
	size_t n = strlen(address);
	struct err err;
	bool is_free;

	if (n > 2 && strcmp(address + n - 2, ":0") == 0)
		return doctor_found(doctor, finding, VERDICT_OK, NULL, "%s: any free port",
				    address);
	is_free = listener_check_unused(address, &err) == 0;
	if (is_free && doctor->runs)
		doctor_found(doctor, finding, VERDICT_WARN,
			     "restart the gateway: it was started with another address",
			     "a gateway runs, but does not listen on %s", address);
	else if (is_free)
		doctor_found(doctor, finding, VERDICT_OK, NULL, "%s is free", address);
	else if (doctor->runs)
		doctor_found(doctor, finding, VERDICT_OK, NULL, "%s is served", address);
	else
		doctor_found(doctor, finding, VERDICT_FAIL,
			     "end the other program (ss -ltnp names it), or set another address",
			     "%s", err.text);
}

static void check_listen(struct doctor *doctor, struct finding *finding)
{
	check_port(doctor, finding, doctor->config.listen);
}

static void check_key_listen(struct doctor *doctor, struct finding *finding)
{
	check_port(doctor, finding, doctor->config.key_listen);
}

static bool is_any(const char *address)
{
	return strncmp(address, ANY_V4, strlen(ANY_V4)) == 0 ||
	       strncmp(address, ANY_V6, strlen(ANY_V6)) == 0;
}

static void check_ops_listen(struct doctor *doctor, struct finding *finding)
{
	const char *address = doctor->config.ops_listen;

	check_port(doctor, finding, address);
	if (finding->verdict == VERDICT_OK && is_any(address))
		doctor_found(doctor, finding, VERDICT_WARN,
			     "listen on 127.0.0.1, or on an address that only your monitoring "
			     "reaches",
			     "%s is open to every network of this machine", address);
}

/* --- /readyz --------------------------------------------------------------------------------- */

struct answer {
	struct loop *loop;
	int status;
	struct buf body;
	bool failed;
	struct err err;
};

static void on_head(void *ctx, const struct http_head *head)
{
	struct answer *answer = ctx;

	answer->status = head->status;
}

static void on_data(void *ctx, const char *p, size_t n)
{
	struct answer *answer = ctx;

	buf_append(&answer->body, p, n);
}

static void on_done(void *ctx, const struct err *err)
{
	struct answer *answer = ctx;

	answer->failed = err != NULL;
	if (err != NULL)
		answer->err = *err;
	loop_stop(answer->loop);
}

static void get(struct doctor *doctor, const char *address, struct answer *answer)
{
	static const struct http_events events = { on_head, on_data, on_done };
	struct egress_policy *egress = egress_policy_new(&address, 1, true, &answer->err);
	struct http_client *client;
	struct http_request *slot = NULL;

	answer->failed = egress == NULL;
	if (egress == NULL)
		return;
	client = http_client_new(doctor->loop);
	http_start(client, &slot,
		   &(struct http_params){
			   .method = "GET",
			   .url = arena_printf(doctor->arena, "http://%s/readyz", address),
			   .pool_key = "doctor",
			   .egress = egress,
			   .connect_timeout_ms = READY_TIMEOUT_MS,
			   .first_byte_timeout_ms = READY_TIMEOUT_MS,
			   .total_timeout_ms = READY_TIMEOUT_MS,
			   .max_body_bytes = MAX_BODY_BYTES,
		   },
		   &events, answer);
	loop_run(doctor->loop);
	http_client_free(&client);
	egress_policy_unref(&egress);
}

/* Where somebody on this machine reaches what listens on every address. */
static const char *reachable(struct doctor *doctor, const char *address)
{
	if (is_any(address))
		return arena_printf(doctor->arena, "127.0.0.1%s", strrchr(address, ':'));
	return address;
}

static void check_ready(struct doctor *doctor, struct finding *finding)
{
	const char *address = reachable(doctor, doctor->config.ops_listen);
	struct answer answer = { .loop = doctor->loop };

	if (!doctor->runs || strcmp(strrchr(address, ':'), ":0") == 0)
		return doctor_found(doctor, finding, VERDICT_WARN, "see running",
				    "not asked: no gateway runs, or its port is not known");
	buf_init(&answer.body, MAX_BODY_BYTES);
	get(doctor, address, &answer);
	if (answer.failed)
		doctor_found(doctor, finding, VERDICT_FAIL,
			     "look into the log of the gateway, and restart it",
			     "it does not answer: %s", answer.err.text);
	else if (answer.status != 200)
		doctor_found(doctor, finding, VERDICT_FAIL,
			     "wait if it was just started; else look into its log", "HTTP %d: %.*s",
			     answer.status, SHOWN_BYTES, buf_str(&answer.body));
	else
		doctor_found(doctor, finding, VERDICT_OK, NULL, "http://%s/readyz says yes",
			     address);
	buf_fini(&answer.body);
}

const struct check doctor_gateway_checks[] = {
	{"listen",	    check_listen	 },
	{ "key_listen", check_key_listen},
	{ "ops_listen", check_ops_listen},
	{ "ready",	   check_ready     },
	{ NULL,		NULL	     },
};
