/* SPDX-License-Identifier: Apache-2.0 */

/* The sample upstream runs in a child process, as in the development start; each test asks it
 * over HTTP. */

#include "gateway/app/sample_clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "gateway/app/listener.h"

#define COUNT(array)   (sizeof(array) / sizeof((array)[0]))
#define PATIENCE_S     10
#define MAX_BYTES      65536
#define MODERN_HEADERS "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: %s\r\n"
#define META                                                                                       \
	"\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","                   \
	"\"io.modelcontextprotocol/clientCapabilities\":{}%s}"

struct fixture {
	pid_t pid;
	int port;
	char session[64];
	char answer[MAX_BYTES];
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- a client --- */

static int dial(const struct fixture *f)
{
	const struct sockaddr_in address = { .sin_family = AF_INET,
					     .sin_port = htons((uint16_t)f->port),
					     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int send_request(const struct fixture *f, const char *method, const char *headers,
			const char *body)
{
	char request[4096];
	int fd = dial(f);
	int n = snprintf(request, sizeof(request),
			 "%s /mcp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n"
			 "Content-Type: application/json\r\nAccept: application/json, "
			 "text/event-stream\r\n%sContent-Length: %zu\r\n\r\n%s",
			 method, f->port, headers, strlen(body), body);

	assert_true(n > 0 && (size_t)n < sizeof(request));
	assert_int_equal(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
	return fd;
}

/* Reads until the answer holds text; NULL: until its end. */
static void receive(struct fixture *f, int fd, const char *text)
{
	size_t n = 0;
	ssize_t more = 1;

	f->answer[0] = '\0';
	while (more > 0 && (text == NULL || strstr(f->answer, text) == NULL)) {
		more = recv(fd, f->answer + n, sizeof(f->answer) - n - 1, 0);
		if (more < 0)
			fail_msg("nothing more comes after %s", f->answer);
		n += (size_t)more;
		f->answer[n] = '\0';
	}
	if (text != NULL && strstr(f->answer, text) == NULL)
		fail_msg("no %s in %s", text, f->answer);
}

static void ask(struct fixture *f, const char *method, const char *headers, const char *body)
{
	int fd = send_request(f, method, headers, body);

	receive(f, fd, NULL);
	close(fd);
}

static void expect(const struct fixture *f, const char *status, const char *holds)
{
	char line[64];

	snprintf(line, sizeof(line), "HTTP/1.1 %s ", status);
	if (strncmp(f->answer, line, strlen(line)) != 0 || strstr(f->answer, holds) == NULL)
		fail_msg("not %s with %s: %s", status, holds, f->answer);
}

static const char *session_header(const struct fixture *f, char header[128])
{
	snprintf(header, 128, "Mcp-Session-Id: %s\r\n", f->session);
	return header;
}

static void ask_legacy(struct fixture *f, const char *body)
{
	char header[128];

	ask(f, "POST", session_header(f, header), body);
}

static void initialize(struct fixture *f, const char *version)
{
	char body[512];
	const char *at;

	snprintf(body, sizeof(body),
		 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":"
		 "{\"protocolVersion\":\"%s\",\"capabilities\":{},\"clientInfo\":{}}}",
		 version);
	ask(f, "POST", "", body);
	at = strstr(f->answer, "Mcp-Session-Id: ");
	assert_non_null(at);
	snprintf(f->session, sizeof(f->session), "%.*s", (int)strcspn(at + 16, "\r"), at + 16);
}

/* params: what stands before _meta, with its comma. more: further members of _meta. */
static int send_modern(struct fixture *f, const char *method, const char *params, const char *more)
{
	char headers[256];
	char body[2048];
	int n = snprintf(headers, sizeof(headers), MODERN_HEADERS, method);

	if (strcmp(method, "tools/call") == 0)
		snprintf(headers + n, sizeof(headers) - (size_t)n, "Mcp-Name: %s\r\n",
			 strstr(params, "now") != NULL	   ? "now"
			 : strstr(params, "sleep") != NULL ? "sleep"
							   : "nope");
	snprintf(body, sizeof(body),
		 "{\"jsonrpc\":\"2.0\",\"id\":\"i\",\"method\":\"%s\",\"params\":{%s" META "}}",
		 method, params, more);
	return send_request(f, "POST", headers, body);
}

static void ask_modern(struct fixture *f, const char *method, const char *params)
{
	int fd = send_modern(f, method, params, "");

	receive(f, fd, NULL);
	close(fd);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;
	int fd;

	assert_non_null(f);
	fd = listener_bind("127.0.0.1:0", &err);
	assert_true(fd >= 0);
	f->port = listener_port(fd);
	f->pid = fork();
	assert_true(f->pid >= 0);
	if (f->pid == 0)
		_exit(sample_clock_run(fd));
	close(fd);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	int status = 0;

	if (f->pid > 0) {
		kill(f->pid, SIGTERM);
		waitpid(f->pid, &status, 0);
	}
	free(f);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* --- tests --- */

static void a_legacy_client_gets_a_version_and_a_session(void **state)
{
	struct fixture *f = *state;

	initialize(f, "2025-06-18");
	expect(f, "200", "\"protocolVersion\":\"2025-06-18\"");
	assert_non_null(strstr(f->answer, "\"capabilities\":{\"tools\":{}}"));
	initialize(f, "1999-01-01");
	expect(f, "200", "\"protocolVersion\":\"2025-11-25\"");
	ask_legacy(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
	expect(f, "202", "Content-Length: 0\r\n");
	ask_legacy(f, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}");
	expect(f, "200", "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
	ask(f, "POST", "",
	    "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"initialize\",\"params\":{}}");
	expect(f, "200", "-32602");
}

static void a_session_is_needed_and_ends(void **state)
{
	static const char ping[] = "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}";
	struct fixture *f = *state;
	char header[128];

	ask(f, "POST", "", ping);
	expect(f, "400", "-32000");
	ask(f, "POST", "Mcp-Session-Id: none\r\n", ping);
	expect(f, "404", "-32001");
	ask(f, "DELETE", "", "");
	expect(f, "400", "-32000");
	initialize(f, "2025-11-25");
	ask(f, "DELETE", session_header(f, header), "");
	expect(f, "204", "");
	ask_legacy(f, ping);
	expect(f, "404", "-32001");
	ask(f, "DELETE", header, "");
	expect(f, "404", "-32001");
}

static void a_modern_client_discovers(void **state)
{
	struct fixture *f = *state;

	ask_modern(f, "server/discover", "");
	expect(f, "200", "\"supportedVersions\":[\"2026-07-28\"]");
	assert_non_null(strstr(f->answer, "\"resultType\":\"complete\""));
	assert_non_null(strstr(f->answer, "\"cacheScope\":\"public\""));
	assert_null(strstr(f->answer, "Mcp-Session-Id"));
	ask_modern(f, "ping", "");
	expect(f, "404", "-32601");
	ask(f, "DELETE", "MCP-Protocol-Version: 2026-07-28\r\n", "");
	expect(f, "405", "Allow: POST\r\n");
}

static void both_eras_see_the_same_tools(void **state)
{
	struct fixture *f = *state;

	initialize(f, "2025-11-25");
	ask_legacy(f, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\"}");
	expect(f, "200", "\"name\":\"now\"");
	assert_non_null(strstr(f->answer, "\"name\":\"sleep\""));
	assert_null(strstr(f->answer, "resultType"));
	ask_modern(f, "tools/list", "");
	expect(f, "200", "\"name\":\"now\"");
	assert_non_null(strstr(f->answer, "\"name\":\"sleep\""));
	assert_non_null(strstr(f->answer, "\"ttlMs\":"));
	ask_modern(f, "tools/list", "\"cursor\":\"x\",");
	expect(f, "400", "-32602");
}

static void now_is_a_time(void **state)
{
	static const char start[] = "\"text\":\"";
	struct fixture *f = *state;
	char text[64];
	const char *at;
	int64_t unix_us;
	struct err err;

	ask_modern(f, "tools/call", "\"name\":\"now\",");
	at = strstr(f->answer, start);
	assert_non_null(at);
	at += strlen(start);
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(at, "\""), at);
	assert_int_equal(text_parse_time(text, &unix_us, &err), 0);
	assert_true(llabs(unix_us / 1000000 - (int64_t)time(NULL)) <= PATIENCE_S);
}

static void wrong_calls_are_told(void **state)
{
	static const char *const no_ms[] = {
		"{}",		"{\"ms\":-1}",	"{\"ms\":60001}", "{\"ms\":\"1\"}",
		"{\"ms\":1.5}", "{\"ms\":null}"
	};
	struct fixture *f = *state;

	ask_modern(f, "tools/call", "\"name\":\"nope\",");
	expect(f, "200", "-32602");
	ask_modern(f, "tools/call", "\"name\":\"now\",\"arguments\":[],");
	expect(f, "400", "-32602");
	for (size_t i = 0; i < COUNT(no_ms); i++) {
		char params[128];

		snprintf(params, sizeof(params), "\"name\":\"sleep\",\"arguments\":%s,", no_ms[i]);
		ask_modern(f, "tools/call", params);
		expect(f, "200", "\"isError\":true");
	}
	ask(f, "POST", "", "{x");
	expect(f, "400", "-32700");
	ask(f, "GET", "", "");
	expect(f, "405", "Allow: POST, DELETE\r\n");
}

static void a_page_of_somebody_else_is_refused(void **state)
{
	struct fixture *f = *state;

	ask(f, "POST", "Origin: https://evil.example\r\n", "{}");
	expect(f, "403", "-32000");
}

static void sleep_reports_to_whoever_asks(void **state)
{
	struct fixture *f = *state;
	int fd = send_modern(f, "tools/call", "\"name\":\"sleep\",\"arguments\":{\"ms\":250},",
			     ",\"progressToken\":12345678901234567890");

	receive(f, fd, NULL);
	close(fd);
	expect(f, "200", "text/event-stream");
	assert_non_null(strstr(f->answer, "\"progressToken\":12345678901234567890,"
					  "\"progress\":100,\"total\":250"));
	assert_non_null(strstr(f->answer, "\"progress\":200,\"total\":250"));
	assert_non_null(strstr(f->answer, "\"progress\":250,\"total\":250"));
	assert_non_null(strstr(f->answer, "slept 250 ms"));
	ask_modern(f, "tools/call", "\"name\":\"sleep\",\"arguments\":{\"ms\":0},");
	expect(f, "200", "slept 0 ms");
	assert_null(strstr(f->answer, "progress"));
}

static void a_cancelled_sleep_gives_no_answer(void **state)
{
	struct fixture *f = *state;
	int64_t began = now_ms();
	char header[128];
	int fd;

	initialize(f, "2025-11-25");
	fd = send_request(f, "POST", session_header(f, header),
			  "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":"
			  "{\"name\":\"sleep\",\"arguments\":{\"ms\":60000}}}");
	receive(f, fd, "\r\n\r\n");
	/* Of another id: nothing happens. */
	ask_legacy(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
		      "\"params\":{\"requestId\":\"7\"}}");
	expect(f, "202", "");
	ask_legacy(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
		      "\"params\":{\"requestId\": 7 }}");
	expect(f, "202", "");
	receive(f, fd, NULL);
	close(fd);
	assert_null(strstr(f->answer, "result"));
	assert_true(now_ms() - began < 30000);
}

static void stopping_does_not_wait_for_sleepers(void **state)
{
	struct fixture *f = *state;
	int fd = send_modern(f, "tools/call", "\"name\":\"sleep\",\"arguments\":{\"ms\":60000},",
			     "");
	int64_t began = now_ms();
	int status;

	receive(f, fd, "\r\n\r\n");
	kill(f->pid, SIGTERM);
	assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
	f->pid = 0;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_true(now_ms() - began < 5000);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_legacy_client_gets_a_version_and_a_session),
		TEST(a_session_is_needed_and_ends),
		TEST(a_modern_client_discovers),
		TEST(both_eras_see_the_same_tools),
		TEST(now_is_a_time),
		TEST(wrong_calls_are_told),
		TEST(a_page_of_somebody_else_is_refused),
		TEST(sleep_reports_to_whoever_asks),
		TEST(a_cancelled_sleep_gives_no_answer),
		TEST(stopping_does_not_wait_for_sleepers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
