/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every address that an upstream or an authorization server can make us ask, in every spelling that
 * leads inside: nobody in there hears of it. One address is excepted, that of the server which
 * names the others; a witness listens beside it, on both loopbacks.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "oauth/discovery.h"
#include "oauth/fetch.h"
#include "oauth/registration.h"
#include "oauth/revoke.h"
#include "oauth/token.h"
#include "tests/fakes/as_world.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* $W is the witness's port, $P that of the server which may be asked. */
static const char *const spellings[] = {
	"http://127.0.0.1:$W/",
	"https://127.0.0.1:$W/",
	"HTTP://127.0.0.1:$W/",
	"http://127.0.0.1.:$W/",
	"http://localhost:$W/",
	"http://LocalHost.:$W/",
	"http://2130706433:$W/",
	"http://0x7f000001:$W/",
	"http://0X7F.0.0.1:$W/",
	"http://0177.0.0.1:$W/",
	"http://017700000001:$W/",
	"http://127.1:$W/",
	"http://127.0.1:$W/",
	"http://127.255.255.254:$W/",
	"http://0:$W/",
	"http://0.0.0.0:$W/",
	"http://[::1]:$W/",
	"http://[::1]:$P/",
	"http://[0:0:0:0:0:0:0:1]:$W/",
	"http://[::]:$W/",
	"http://[::ffff:127.0.0.1]:$W/",
	"http://[::ffff:7f00:1]:$W/",
	"http://[::127.0.0.1]:$W/",
	"http://[64:ff9b::7f00:1]:$W/",
	"http://[2002:7f00:1::]:$W/",
	"http://[fe80::1%25lo]:$W/",
	"http://user@127.0.0.1:$W/",
	"http://user:pass@127.0.0.1:$W/",
	"http://127.0.0.1:$P@127.0.0.1:$W/",
	"http://127.0.0.1:$P#@127.0.0.1:$W/",
	"http://127.0.0.1:$P\\@127.0.0.1:$W/",
	"http://127.0.0.1:$W\\@127.0.0.1:$P/",
	"http://127.0.0.1:$W#",
	"http://127%2e0%2e0%2e1:$W/",
	"http://%31%32%37.0.0.1:$W/",
	"http://127\xe3\x80\x82"
	"0\xe3\x80\x82"
	"0\xe3\x80\x82"
	"1:$W/",
	"http://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1:$W/",
	"http:127.0.0.1:$W/",
	"http:/127.0.0.1:$W/",
	"http:///127.0.0.1:$W/",
	"//127.0.0.1:$W/",
	"127.0.0.1:$W/",
	" http://127.0.0.1:$W/",
	"http://127.0.0.1:$W /",
	"http://127.0.0.1:$W/\r\nHost: x",
	"http://127.0.0.1:0$W/",
	"https://10.0.0.1:$W/",
	"https://172.16.0.1/",
	"https://192.168.0.1/",
	"https://100.64.0.1/",
	"http://169.254.169.254/latest/meta-data/",
	"https://169.254.169.254/latest/meta-data/",
	"https://2852039166/",
	"https://168.63.129.16/",
	"https://198.18.0.1/",
	"https://192.0.0.192/",
	"https://192.0.2.1/",
	"https://224.0.0.1/",
	"https://255.255.255.255/",
	"https://[fd00:ec2::254]/",
	"https://[fe80::1]/",
	"https://[fec0::1]/",
	"https://[ff02::1]/",
	"https://[2001:db8::1]/",
	"https://[::ffff:10.0.0.1]/",
	"ftp://127.0.0.1:$W/",
	"gopher://127.0.0.1:$W/_x",
	"dict://127.0.0.1:$W/x",
	"ldap://127.0.0.1:$W/",
	"telnet://127.0.0.1:$W/",
	"smb://127.0.0.1:$W/x",
	"ws://127.0.0.1:$W/",
	"http+unix://%2ftmp%2fx/",
	"unix:/tmp/x",
	"file:///etc/passwd",
	"data:application/json,{}",
	"javascript:alert(1)",
	"",
};

/* --- who would hear of it -------------------------------------------------------------------- */

struct scene {
	struct as_world *as;
	struct egress_policy *egress;
	unsigned port; /* of the witness */
	int v4, v6;    /* -1: this machine has none */
	struct arena *arena;
	/* What runs. */
	struct discovery *discovery;
	struct token_request *token;
	struct registration_request *registration;
	struct revoke *revoke;
	struct fetch *fetch;
	bool ok;
	bool reached;
	struct err err;
};

static int listen_on(const struct sockaddr *address, socklen_t n)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && (bind(fd, address, n) < 0 || listen(fd, 16) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void start_witness(struct scene *scene)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_any };
	socklen_t n = sizeof(v4);

	scene->v4 = listen_on((const struct sockaddr *)&v4, sizeof(v4));
	assert_true(scene->v4 >= 0);
	assert_int_equal(getsockname(scene->v4, (struct sockaddr *)&v4, &n), 0);
	scene->port = ntohs(v4.sin_port);
	v6.sin6_port = v4.sin_port;
	scene->v6 = -1;
	scene->v6 = listen_on((const struct sockaddr *)&v6, sizeof(v6));
}

/* Once is enough. */
static bool was_reached(void *ctx)
{
	struct scene *scene = ctx;
	int fd = accept4(scene->v4, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0 && scene->v6 >= 0)
		fd = accept4(scene->v6, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	scene->reached = scene->reached || fd >= 0;
	return scene->reached;
}

/* The second witness, for addresses that nobody can listen at here: the program's own connect(2),
 * which stands before the library's. */
static struct {
	uint16_t allowed; /* on 127.0.0.1 */
	size_t others;
} connects;

static bool is_allowed(int fd, const struct sockaddr *address)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
	int type = SOCK_DGRAM;
	socklen_t n = sizeof(type);

	/* A name may be looked up; what it stands for is judged. */
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_STREAM ||
	    (address->sa_family != AF_INET && address->sa_family != AF_INET6))
		return true;
	return address->sa_family == AF_INET && ntohl(v4->sin_addr.s_addr) == INADDR_LOOPBACK &&
	       ntohs(v4->sin_port) == connects.allowed;
}

int connect(int fd, const struct sockaddr *address, socklen_t n)
{
	if (!is_allowed(fd, address))
		connects.others++;
	return (int)syscall(SYS_connect, fd, address, n);
}

static int set_up(void **state)
{
	struct scene *scene;

	if (as_set_up(state) != 0)
		return -1;
	scene = mem_new(sizeof(*scene));
	scene->as = *state;
	start_witness(scene);
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;
	int v6 = scene->v6;

	close(scene->v4);
	if (v6 >= 0)
		close(v6);
	egress_policy_unref(&scene->egress);
	*state = scene->as;
	free(scene);
	return as_tear_down(state);
}

/* The server that is hostile answers these; only its own address may be asked. */
static void play(struct scene *scene, const struct as_answer *answers, size_t n)
{
	const char *allow;
	struct err err;

	as_play(scene->as, answers, n);
	allow = scene->as->origin + strlen("http://");
	connects.allowed = peer_port(scene->as->world->peer);
	connects.others = 0;
	egress_policy_unref(&scene->egress);
	scene->egress = egress_policy_new(&allow, 1, false, &err);
	assert_non_null(scene->egress);
}

/* --- who can make us ask --------------------------------------------------------------------- */

static void finish(struct scene *scene, const struct err *err)
{
	scene->ok = err == NULL;
	if (err != NULL)
		scene->err = *err;
	as_done(scene->as);
}

static void on_discovered(void *ctx, const struct oauth_server *server, const struct err *err)
{
	(void)server;
	finish(ctx, err);
}

static void on_token(void *ctx, const struct token_reply *reply, const struct token_error *error)
{
	struct err err;

	(void)reply;
	if (error != NULL)
		err_set(&err, ERR_UPSTREAM, "%s", error->text);
	finish(ctx, error != NULL ? &err : NULL);
}

static void on_registered(void *ctx, const struct registration *registration, const struct err *err)
{
	(void)registration;
	finish(ctx, err);
}

static void on_revoked(void *ctx, const struct err *err)
{
	finish(ctx, err);
}

static void on_fetched(void *ctx, const struct fetch_answer *answer)
{
	finish(ctx, answer->err);
}

static void discover(struct scene *scene, const char *resource, const char *challenge,
		     const char *issuer)
{
	const struct discovery_params params = {
		.client = scene->as->world->client,
		.egress = scene->egress,
		.resource_url = resource,
		.challenge = span_of(challenge),
		.issuer = issuer,
		.allow_http = true, /* so that nothing but the policy stands in the way */
		.timeout_ms = 10000,
	};

	discovery_start(scene->as->world->loop, &scene->discovery, scene->arena, &params,
			on_discovered, scene);
}

static const char *json_of(struct scene *scene, const char *text)
{
	struct buf out;
	const char *copy;

	buf_init(&out, 8192);
	buf_add_json_string(&out, text, strlen(text));
	copy = arena_strdup(scene->arena, buf_str(&out));
	buf_fini(&out);
	return copy;
}

static void resource(struct scene *scene, const char *url)
{
	discover(scene, url, NULL, NULL);
}

static void resource_metadata(struct scene *scene, const char *url)
{
	discover(scene, as_text(scene->as, "$O/mcp"),
		 arena_printf(scene->arena, "Bearer resource_metadata=%s", json_of(scene, url)),
		 NULL);
}

/* Played before it starts: what is said of it is the document that comes. */
static void issuer(struct scene *scene, const char *url)
{
	(void)url;
	discover(scene, as_text(scene->as, "$O/mcp"), "Bearer", NULL);
}

static void pinned_issuer(struct scene *scene, const char *url)
{
	discover(scene, as_text(scene->as, "$O/mcp"), "Bearer", url);
}

static void token_endpoint(struct scene *scene, const char *url)
{
	static const struct oauth_param params[] = {
		{"grant_type", "client_credentials"}
	};

	token_request_start(scene->as->world->loop, &scene->token,
			    &(struct token_request_params){ .client = scene->as->world->client,
							    .egress = scene->egress,
							    .token_url = url,
							    .oauth_client = { .id = "me" },
							    .params = params,
							    .n_params = 1 },
			    on_token, scene);
}

static void registration_endpoint(struct scene *scene, const char *url)
{
	registration_start(scene->as->world->loop, &scene->registration,
			   &(struct registration_params){
				   .client = scene->as->world->client,
				   .egress = scene->egress,
				   .url = url,
				   .redirect_uri = "https://gw.example/oauth/callback/1",
				   .client_name = "x",
			   },
			   on_registered, scene);
}

static void revocation_endpoint(struct scene *scene, const char *url)
{
	struct secret token = secret_new("t0ken", 5);

	revoke_start(scene->as->world->loop, &scene->revoke,
		     &(struct revoke_params){ .client = scene->as->world->client,
					      .egress = scene->egress,
					      .revocation_url = url,
					      .oauth_client = { .id = "me" },
					      .token = &token },
		     on_revoked, scene);
	secret_fini(&token);
}

/* As userinfo is asked. */
static void userinfo_endpoint(struct scene *scene, const char *url)
{
	static const struct http_header headers[] = {
		{"authorization", "Bearer t0ken"}
	};

	fetch_start(&scene->fetch,
		    &(struct fetch_params){ .client = scene->as->world->client,
					    .egress = scene->egress,
					    .method = "GET",
					    .url = url,
					    .headers = headers,
					    .n_headers = 1,
					    .want = FETCH_OK },
		    on_fetched, scene);
}

static const struct entry {
	const char *name;
	void (*ask)(struct scene *scene, const char *url);
} entries[] = {
	{"the resource",		  resource		   },
	{ "resource_metadata",     resource_metadata	 },
	{ "authorization_servers", issuer		  },
	{ "issuer",		    pinned_issuer	  },
	{ "token_endpoint",	    token_endpoint	   },
	{ "registration_endpoint", registration_endpoint},
	{ "revocation_endpoint",	 revocation_endpoint  },
	{ "userinfo_endpoint",     userinfo_endpoint	 },
};

/* --- the table ------------------------------------------------------------------------------- */

static const char *spell(struct scene *scene, const char *spelling)
{
	struct buf out;
	const char *url;

	buf_init(&out, 1024);
	for (const char *p = spelling; *p != '\0'; p++) {
		if (p[0] == '$' && p[1] == 'W')
			buf_printf(&out, "%u", scene->port);
		else if (p[0] == '$' && p[1] == 'P')
			buf_add(&out, strrchr(scene->as->origin, ':') + 1);
		else
			buf_append(&out, p, 1);
		p += p[0] == '$' ? 1 : 0;
	}
	url = arena_strdup(scene->arena, buf_str(&out));
	buf_fini(&out);
	return url;
}

/* The way to where url is named; what comes after that finds the connection closed. */
static void attack(struct scene *scene, const struct entry *entry, const char *url)
{
	scene->as->dones = 0;
	entry->ask(scene, url);
	as_wait(scene->as, 1);
}

static void nobody_inside_hears_of_any_spelling(void **state)
{
	struct scene *scene = *state;

	for (size_t e = 0; e < COUNT(entries); e++) {
		for (size_t i = 0; i < COUNT(spellings); i++) {
			bool names = entries[e].ask == issuer;
			struct as_answer document = { 200, NULL, NULL };
			const char *url;

			scene->arena = arena_new();
			play(scene, &document, 0);
			url = spell(scene, spellings[i]);
			document.body = arena_printf(
				scene->arena,
				"{\"resource\":\"$O/mcp\",\"authorization_servers\":[%s]}",
				json_of(scene, url));
			if (names)
				play(scene, &document, 1);
			attack(scene, &entries[e], url);
			if (scene->ok || was_reached(scene) || connects.others > 0)
				fail_msg("%s: %s was asked", entries[e].name, url);
			arena_free(&scene->arena);
		}
	}
}

/* The same, where the server that may be asked sends on. */
static void nobody_inside_hears_of_a_redirect(void **state)
{
	static const int statuses[] = { 301, 302, 303, 307, 308 };
	struct scene *scene = *state;

	for (size_t e = 0; e < COUNT(entries); e++) {
		for (size_t i = 0; i < COUNT(statuses); i++) {
			struct as_answer answers[8];

			scene->arena = arena_new();
			for (size_t k = 0; k < COUNT(answers); k++)
				answers[k] = (struct as_answer){
					statuses[i],
					arena_printf(scene->arena,
						     "Location: http://127.0.0.1:%u/\r\n",
						     scene->port),
					"{}"
				};
			if (entries[e].ask == issuer)
				answers[0] = (struct as_answer){
					200, NULL,
					"{\"resource\":\"$O/"
					"mcp\",\"authorization_servers\":[\"$O\"]}"
				};
			play(scene, answers, COUNT(answers));
			attack(scene, &entries[e],
			       as_text(scene->as, entries[e].ask == pinned_issuer ? "$O" : "$O/x"));
			if (was_reached(scene) || connects.others > 0)
				fail_msg("%s: %d was followed", entries[e].name, statuses[i]);
			/* The table would be worth nothing if these were not asked. */
			assert_string_not_equal(as_asked(scene->as), "");
			arena_free(&scene->arena);
		}
	}
}

static void the_witness_hears_who_is_let_in(void **state)
{
	static const struct as_answer none = { .status = 0 };
	struct scene *scene = *state;
	const char *allow;
	struct err err;

	scene->arena = arena_new();
	play(scene, &none, 1);
	egress_policy_unref(&scene->egress);
	allow = arena_printf(scene->arena, "127.0.0.1:%u", scene->port);
	scene->egress = egress_policy_new(&allow, 1, false, &err);
	scene->as->dones = 0;
	userinfo_endpoint(scene, arena_printf(scene->arena, "http://%s/", allow));
	world_run_until(scene->as->world, was_reached, scene);
	assert_int_equal(connects.others, 1);
	fetch_cancel(&scene->fetch);
	arena_free(&scene->arena);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nobody_inside_hears_of_any_spelling),
		TEST(nobody_inside_hears_of_a_redirect),
		TEST(the_witness_hears_who_is_let_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
