/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/egress.h"

enum { OK = -1, BAD = ERR_BAD_REQUEST, NO = ERR_FORBIDDEN };

/* Columns: what a policy without exceptions says, one that allows loopback, and one with the
 * exceptions below. */
static const struct {
	const char *url;
	int plain, loopback, excepted;
} urls[] = {
	/* public, by name and by address */
	{"https://example.com/",				  OK,  OK,  OK },
	{ "https://example.com:8443/",			       OK,  OK,  OK },
	{ "https://EXAMPLE.com./",				   OK,  OK,  OK },
	{ "https://8.8.8.8/",				   OK,  OK,  OK },
	{ "https://134744072/",				 OK,  OK,	OK },
	{ "https://[2606:4700:4700::1111]/",		     OK,	 OK,  OK },
	{ "https://xn--bcher-kva.example/",			    OK,	OK,  OK },
	{ "https://1.0.0.1/",				   OK,  OK,  OK },
	{ "https://9.255.255.255/",				    OK,	OK,  OK },
	{ "https://11.0.0.0/",				  OK,  OK,  OK },
	{ "https://100.63.255.255/",			     OK,	 OK,  OK },
	{ "https://100.128.0.0/",				  OK,  OK,  OK },
	{ "https://126.255.255.255/",			      OK,  OK,  OK },
	{ "https://128.0.0.1/",				 OK,  OK,	OK },
	{ "https://169.253.255.255/",			      OK,  OK,  OK },
	{ "https://169.255.0.0/",				  OK,  OK,  OK },
	{ "https://172.15.255.255/",			     OK,	 OK,  OK },
	{ "https://172.32.0.0/",				 OK,  OK,	 OK },
	{ "https://192.0.1.1/",				 OK,  OK,	OK },
	{ "https://192.167.255.255/",			      OK,  OK,  OK },
	{ "https://192.169.0.0/",				  OK,  OK,  OK },
	{ "https://198.17.255.255/",			     OK,	 OK,  OK },
	{ "https://198.20.0.0/",				 OK,  OK,	 OK },
	{ "https://223.255.255.255/",			      OK,  OK,  OK },
	{ "https://168.63.129.15/",				    OK,	OK,  OK },
	{ "https://[2001:200::1]/",				    OK,	OK,  OK },
	{ "https://[2003::1]/",				 OK,  OK,	OK },
	{ "https://[3ffe::1]/",				 OK,  OK,	OK },
 /* plain http, wherever it goes */
	{ "http://example.com/",				 NO,  NO,	 NO },
	{ "http://8.8.8.8/",				    NO,	 NO,  NO },
	{ "http://[2606:4700:4700::1111]/",			    NO,	NO,  NO },
	{ "http://example.com:443/",			     NO,	 NO,  NO },
 /* loopback in all spellings */
	{ "https://127.0.0.1/",				 NO,  OK,	NO },
	{ "http://127.0.0.1/",				  NO,  OK,  NO },
	{ "http://127.0.0.1:3921/mcp",			       NO,  OK,  OK },
	{ "https://127.0.0.1:3921/mcp",				NO,  OK,	OK },
	{ "http://127.0.0.2:3921/",				    NO,	OK,  NO },
	{ "http://2130706433:3921/",			     NO,	 OK,  OK },
	{ "http://0x7f000001:3921/",			     NO,	 OK,  OK },
	{ "http://0x7F.0.0.1:3921/",			     NO,	 OK,  OK },
	{ "http://017700000001:3921/",			       NO,  OK,  OK },
	{ "http://0177.0.0.1:3921/",			     NO,	 OK,  OK },
	{ "http://127.1:3921/",				 NO,  OK,	OK },
	{ "http://127.0.1:3921/",				  NO,  OK,  OK },
	{ "http://127.0.0.1:03921/",			     NO,	 OK,  OK },
	{ "https://127.255.255.254/",			      NO,  OK,  NO },
	{ "https://2130706433/",				 NO,  OK,	 NO },
	{ "https://0x7f000001/",				 NO,  OK,	 NO },
	{ "https://0x7f.1/",				    NO,	 OK,  NO },
	{ "https://017700000001/",				   NO,  OK,  NO },
	{ "https://0177.0.0.01/",				  NO,  OK,  NO },
	{ "https://127.1/",				     NO,	OK,  NO },
	{ "https://[::1]/",				     NO,	OK,  NO },
	{ "http://[::1]:3921/",				 NO,  OK,	NO },
	{ "https://[0:0:0:0:0:0:0:1]/",				NO,  OK,	NO },
	{ "https://[::0001]/",				  NO,  OK,  NO },
	{ "https://[::0.0.0.1]/",				  NO,  OK,  NO },
	{ "http://localhost:3921/",				    NO,	OK,  NO },
	{ "http://LOCALHOST/",				  NO,  OK,  NO },
	{ "http://localhost./",				 NO,  OK,	NO },
	{ "http://api.localhost/",				   NO,  OK,  NO },
	{ "http://localhost.example.com/",			   NO,  NO,  NO },
	{ "http://notlocalhost/",				  NO,  NO,  NO },
	{ "https://127.0.0.1.example.com/",			    OK,	OK,  OK },
	{ "https://localhost/",				 OK,  OK,	OK }, /* a name: judged by its address */
	/* this network */
	{ "https://0.0.0.0/",				   NO,  NO,  NO },
	{ "https://0/",					 NO,  NO,	NO },
	{ "https://0x0/",				       NO,  NO,  NO },
	{ "https://0.1.2.3/",				   NO,  NO,  NO },
	{ "https://[::]/",				      NO,  NO,  NO },
 /* private and shared */
	{ "https://10.0.0.1/",				  NO,  NO,  NO },
	{ "https://10.255.255.255/",			     NO,	 NO,  NO },
	{ "https://10.1/",				      NO,  NO,  NO },
	{ "https://167772161/",				 NO,  NO,	NO },
	{ "https://0xa.0.0.1/",				 NO,  NO,	NO },
	{ "https://012.0.0.1/",				 NO,  NO,	NO },
	{ "https://10.2.3.4:8443/",				    NO,	NO,  OK },
	{ "https://10.2.3.4:8444/",				    NO,	NO,  NO },
	{ "https://100.64.0.1/",				 NO,  NO,	 NO },
	{ "https://100.127.255.255/",			      NO,  NO,  NO },
	{ "https://172.16.0.1/",				 NO,  NO,	 NO },
	{ "https://172.31.255.255/",			     NO,	 NO,  NO },
	{ "https://192.168.0.1/",				  NO,  NO,  NO },
	{ "https://192.168.257/",				  NO,  NO,  NO },
	{ "https://3232235777/",				 NO,  NO,	 NO },
 /* link-local, cloud metadata */
	{ "https://169.254.169.254/",			      NO,  NO,  NO },
	{ "https://2852039166/",				 NO,  NO,	 NO },
	{ "https://0xa9fea9fe/",				 NO,  NO,	 NO },
	{ "https://0251.0376.0251.0376/",			  NO,  NO,  NO },
	{ "https://169.254.43518/",				    NO,	NO,  NO },
	{ "https://168.63.129.16/",				    NO,	NO,  NO },
	{ "https://100.100.100.200/",			      NO,  NO,  NO },
 /* documentation, benchmarking, protocol, multicast, reserved */
	{ "https://192.0.0.1/",				 NO,  NO,	NO },
	{ "https://192.0.0.192/",				  NO,  NO,  NO },
	{ "https://192.0.2.1/",				 NO,  NO,	NO },
	{ "https://192.88.99.1/",				  NO,  NO,  NO },
	{ "https://198.18.0.1/",				 NO,  NO,	 NO },
	{ "https://198.19.255.255/",			     NO,	 NO,  NO },
	{ "https://198.51.100.1/",				   NO,  NO,  NO },
	{ "https://203.0.113.1/",				  NO,  NO,  NO },
	{ "https://224.0.0.1/",				 NO,  NO,	NO },
	{ "https://239.255.255.255/",			      NO,  NO,  NO },
	{ "https://240.0.0.1/",				 NO,  NO,	NO },
	{ "https://255.255.255.255/",			      NO,  NO,  NO },
	{ "https://4294967295/",				 NO,  NO,	 NO },
 /* IPv6 that is not global */
	{ "https://[fe80::1]/",				 NO,  NO,	NO },
	{ "https://[fec0::1]/",				 NO,  NO,	NO },
	{ "https://[fc00::1]/",				 NO,  NO,	NO },
	{ "https://[fd00:ec2::254]/",			      NO,  NO,  NO },
	{ "https://[fd12:3456::1]:8443/",			  NO,  NO,  OK },
	{ "https://[FD12:3456:0:0::1]:8443/",		      NO,  NO,  OK },
	{ "https://[fd12:3456::1]:8444/",			  NO,  NO,  NO },
	{ "https://[ff02::1]/",				 NO,  NO,	NO },
	{ "https://[100::1]/",				  NO,  NO,  NO },
	{ "https://[1fff:ffff::1]/",			     NO,	 NO,  NO },
	{ "https://[4000::1]/",				 NO,  NO,	NO },
	{ "https://[5f00::1]/",				 NO,  NO,	NO },
	{ "https://[2001:db8::1]/",				    NO,	NO,  NO },
	{ "https://[3fff::1]/",				 NO,  NO,	NO },
	{ "https://[3fff:fff::1]/",				    NO,	NO,  NO },
	{ "https://[2001::1]/",				 NO,  NO,	NO },
	{ "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",    NO,	 NO,  NO },
	{ "https://[2001:10::1]/",				   NO,  NO,  NO },
	{ "https://[2001:20::1]/",				   NO,  NO,  NO },
 /* IPv4 inside IPv6, public or not */
	{ "https://[::ffff:127.0.0.1]/",			 NO,  NO,	 NO },
	{ "https://[::ffff:7f00:1]/",			      NO,  NO,  NO },
	{ "https://[::ffff:8.8.8.8]/",			       NO,  NO,  NO },
	{ "http://[::ffff:127.0.0.1]:3921/",		     NO,	 NO,  NO },
	{ "https://[::ffff:0:127.0.0.1]/",			   NO,  NO,  NO },
	{ "https://[::127.0.0.1]/",				    NO,	NO,  NO },
	{ "https://[::8.8.8.8]/",				  NO,  NO,  NO },
	{ "https://[64:ff9b::127.0.0.1]/",			   NO,  NO,  NO },
	{ "https://[64:ff9b::a9fe:a9fe]/",			   NO,  NO,  NO },
	{ "https://[64:ff9b::8.8.8.8]/",			 NO,  NO,	 NO },
	{ "https://[64:ff9b:1::10.0.0.1]/",			    NO,	NO,  NO },
	{ "https://[2002:7f00:1::]/",			      NO,  NO,  NO },
	{ "https://[2002:a9fe:a9fe::1]/",			  NO,  NO,  NO },
	{ "https://[2002:808:808::1]/",				NO,  NO,	NO },
 /* exceptions: host and port, both protocols */
	{ "http://intranet.example:8080/",			   NO,  NO,  OK },
	{ "https://intranet.example:8080/",			    OK,	OK,  OK },
	{ "http://INTRANET.example.:8080/",			    NO,	NO,  OK },
	{ "http://intranet.example/",			      NO,  NO,  NO },
	{ "http://intranet.example:8081/",			   NO,  NO,  NO },
	{ "http://x.intranet.example:8080/",		     NO,	 NO,  NO },
	{ "http://intranet.example.evil.com:8080/",		    NO,	NO,  NO },
 /* no usable URL */
	{ "ftp://127.0.0.1:3921/",				   BAD, BAD, BAD},
	{ "http://user@127.0.0.1:3921/",			 BAD, BAD, BAD},
	{ "http://127.0.0.1:3921@evil.com/",		     BAD, BAD, BAD},
	{ "http://evil.com#@127.0.0.1:3921/",		      BAD, BAD, BAD},
	{ "http://evil.com\\@127.0.0.1:3921/",		       BAD, BAD, BAD},
	{ "http://127.0.0.1.:3921/",			     BAD, BAD, BAD},
	{ "http://%31%32%37.0.0.1:3921/",			  BAD, BAD, BAD},
	{ "http://127.0.0.1:3921:80/",			       BAD, BAD, BAD},
	{ "http://127.0.0.1:0/",				 BAD, BAD, BAD},
	{ "http://[fe80::1%25lo]/",				    BAD, BAD, BAD},
	{ "http://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1/", BAD, BAD, BAD},
	{ "https://b\xc3\xbc"
	  "cher.example/",			     BAD, BAD, BAD},
	{ "https://1.2.3.4.5/",				 BAD, BAD, BAD},
	{ "https://[::1/",				      BAD, BAD, BAD},
	{ "https:///etc/passwd",				 BAD, BAD, BAD},
	{ "",						   BAD, BAD, BAD},
};

static const char *const exceptions[] = {
	"127.0.0.1:3921",
	"10.2.3.4:8443",
	"[fd12:3456::1]:8443",
	"Intranet.Example:8080",
};
#define N_EXCEPTIONS (sizeof(exceptions) / sizeof(exceptions[0]))

struct policies {
	struct egress_policy *plain, *loopback, *excepted;
};

static int set_up(void **state)
{
	static struct policies policies;
	struct err err;

	policies.plain = egress_policy_new(NULL, 0, false, &err);
	policies.loopback = egress_policy_new(NULL, 0, true, &err);
	policies.excepted = egress_policy_new(exceptions, N_EXCEPTIONS, false, &err);
	if (policies.plain == NULL || policies.loopback == NULL || policies.excepted == NULL)
		return -1;
	*state = &policies;
	return 0;
}

static int tear_down(void **state)
{
	struct policies *policies = *state;

	egress_policy_unref(&policies->plain);
	egress_policy_unref(&policies->loopback);
	egress_policy_unref(&policies->excepted);
	egress_policy_unref(&policies->excepted);
	return 0;
}

static void expect(const struct egress_policy *policy, const char *name, const char *url,
		   int wanted)
{
	struct err err = { 0 };
	int got = egress_check_url(policy, url, &err) == 0 ? OK : (int)err.code;

	if (got != wanted)
		fail_msg("%s with %s: %d instead of %d (%s)", url, name, got, wanted, err.text);
}

static void judges_every_spelling_of_a_url(void **state)
{
	const struct policies *policies = *state;

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		expect(policies->plain, "no exception", urls[i].url, urls[i].plain);
		expect(policies->loopback, "loopback", urls[i].url, urls[i].loopback);
		expect(policies->excepted, "exceptions", urls[i].url, urls[i].excepted);
	}
}

static void without_a_policy_nothing_is_allowed(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x08080808) };
	struct err err;

	(void)state;
	assert_int_equal(egress_check_url(NULL, "https://example.com/", &err), -1);
	assert_int_equal(err.code, ERR_FORBIDDEN);
	assert_false(egress_allows(NULL, "example.com", 443, (struct sockaddr *)&in));
}

/* host, port, and the address that the name turned out to have */
static const struct {
	const char *host;
	uint16_t port;
	const char *address;
	bool plain, loopback, excepted;
} connects[] = {
	{"example.com",	 443,  "8.8.8.8",		 true,  true,  true },
	{ "example.com",	 443,  "2606:4700::1",     true,  true,  true },
	{ "example.com",	 443,  "127.0.0.1",	   false, true,	false},
	{ "example.com",	 443,  "::1",		     false, true,  false},
	{ "example.com",	 443,  "10.0.0.1",	  false, false, false},
	{ "example.com",	 443,  "169.254.169.254",	 false, false, false},
	{ "example.com",	 443,  "0.0.0.0",		 false, false, false},
	{ "example.com",	 443,  "::",		    false, false, false},
	{ "example.com",	 443,  "::ffff:127.0.0.1", false, false, false},
	{ "example.com",	 443,  "::ffff:8.8.8.8",	false, false, false},
	{ "example.com",	 443,  "64:ff9b::a00:1",	false, false, false},
	{ "example.com",	 443,  "2002:a00:1::1",    false, false, false},
	{ "example.com",	 443,  "fe80::1",		 false, false, false},
	{ "localhost",	       3921, "127.0.0.1",	  false, true,  false},
 /* An exception for an address is for URLs with that address, not for names that lead
	 * there: whoever owns the name must not choose. */
	{ "example.com",	 3921, "127.0.0.1",	    false, true,	 false},
	{ "127.0.0.1",	       3921, "127.0.0.1",	  false, true,  true },
	{ "127.0.0.1",	       3921, "127.0.0.2",	  false, true,  false},
	{ "127.0.0.1",	       3921, "10.0.0.1",	 false, false, false},
	{ "127.0.0.1",	       3922, "127.0.0.1",	  false, true,  false},
	{ "fd12:3456::1",	  8443, "fd12:3456::1",	false, false, true },
	{ "fd12:3456::1",	  8443, "fd12:3456::2",	false, false, false},
 /* An exception for a name is for wherever the operator's name leads. */
	{ "intranet.example", 8080, "10.9.9.9",		false, false, true },
	{ "INTRANET.example", 8080, "fd00::9",	       false, false, true },
	{ "intranet.example", 8081, "10.9.9.9",		false, false, false},
	{ "intranet.example", 8080, "8.8.8.8",	       true,  true,  true },
};

static struct sockaddr_storage address_of(const char *text)
{
	struct sockaddr_storage storage = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&storage;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&storage;

	if (inet_pton(AF_INET, text, &in->sin_addr) == 1)
		storage.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1)
		storage.ss_family = AF_INET6;
	else
		fail_msg("%s is no address", text);
	return storage;
}

static void judges_each_address_before_it_is_connected(void **state)
{
	const struct policies *policies = *state;

	for (size_t i = 0; i < sizeof(connects) / sizeof(connects[0]); i++) {
		struct sockaddr_storage to = address_of(connects[i].address);
		const struct sockaddr *address = (const struct sockaddr *)&to;
		const char *host = connects[i].host;
		uint16_t port = connects[i].port;

		if (egress_allows(policies->plain, host, port, address) != connects[i].plain ||
		    egress_allows(policies->loopback, host, port, address) !=
			    connects[i].loopback ||
		    egress_allows(policies->excepted, host, port, address) != connects[i].excepted)
			fail_msg("%s:%u at %s", host, port, connects[i].address);
	}
}

static void only_internet_addresses_are_allowed(void **state)
{
	const struct policies *policies = *state;
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/run/x" };

	assert_false(egress_allows(policies->excepted, "intranet.example", 8080,
				   (struct sockaddr *)&un));
}

static void a_bad_exception_is_named(void **state)
{
	static const char *const bad[] = {
		"",
		"example.com",
		"example.com:",
		":80",
		"example.com:0",
		"example.com:65536",
		"example.com:80/",
		"https://example.com:80",
		"example.com:80:90",
		"::1:80",
		"[::1]",
		"[::1]:",
		"user@example.com:80",
		"*.example.com:80",
		"10.0.0.0/8:80",
		"example.com:80?",
		"1.2.3.4.5:80",
		"exa mple.com:80",
		"[fe80::1%25lo]:80",
		"[::1]80",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *both[] = { "good.example:443", bad[i] };
		struct err err;

		if (egress_policy_new(both, 2, false, &err) != NULL)
			fail_msg("\"%s\" was taken", bad[i]);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
		assert_non_null(strstr(err.text, bad[i]));
		assert_null(strstr(err.text, "good.example"));
	}
}

static uint64_t id_of(const char *const *allow, size_t n, bool allow_loopback)
{
	struct err err;
	struct egress_policy *policy = egress_policy_new(allow, n, allow_loopback, &err);
	uint64_t id;

	assert_non_null(policy);
	id = egress_policy_id(policy);
	egress_policy_unref(&policy);
	assert_null(policy);
	return id;
}

static void the_id_follows_the_content(void **state)
{
	static const char *const ab[] = { "a.example:1", "b.example:2" };
	static const char *const ba[] = { "B.example:02", "A.example:1" };
	static const char *const other[] = { "a.example:1", "b.example:3" };
	static const char *const name[] = { "127.1:80" };
	static const char *const same[] = { "127.0.0.1:80" };

	(void)state;
	assert_true(id_of(ab, 2, false) == id_of(ba, 2, false));
	assert_true(id_of(ab, 2, false) != id_of(ab, 2, true));
	assert_true(id_of(ab, 2, false) != id_of(ab, 1, false));
	assert_true(id_of(ab, 2, false) != id_of(other, 2, false));
	assert_true(id_of(ab, 0, false) != id_of(ab, 0, true));
	assert_true(id_of(name, 1, false) == id_of(same, 1, false));
}

static void a_policy_lives_while_someone_refers_to_it(void **state)
{
	struct err err;
	struct egress_policy *policy = egress_policy_new(NULL, 0, false, &err);
	struct egress_policy *other = egress_policy_ref(policy);

	(void)state;
	egress_policy_unref(&policy);
	assert_null(policy);
	assert_int_equal(egress_check_url(other, "https://example.com/", &err), 0);
	egress_policy_unref(&other);
	egress_policy_unref(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judges_every_spelling_of_a_url),
		cmocka_unit_test(without_a_policy_nothing_is_allowed),
		cmocka_unit_test(judges_each_address_before_it_is_connected),
		cmocka_unit_test(only_internet_addresses_are_allowed),
		cmocka_unit_test(a_bad_exception_is_named),
		cmocka_unit_test(the_id_follows_the_content),
		cmocka_unit_test(a_policy_lives_while_someone_refers_to_it),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
