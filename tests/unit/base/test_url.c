/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/url.h"

static const struct {
	const char *text;
	bool https;
	const char *host;
	uint16_t port;
	const char *understood;
} good[] = {
	{"https://example.com",		 true,  "example.com",	      443,   "https://example.com/"	  },
	{ "http://example.com/",		 false, "example.com",	       80,	   "http://example.com/"	 },
	{ "HTTPS://Example.COM/A",	   true,	 "example.com",		443,   "https://Example.COM/A"    },
	{ "https://example.com:8443/a?b=c", true,  "example.com",		 8443,
	  "https://example.com:8443/a?b=c"								     },
	{ "https://example.com:/a",	    true,  "example.com",		 443,   "https://example.com/a"    },
	{ "https://example.com:0443/",      true,  "example.com",	    443,	 "https://example.com:443/" },
	{ "https://example.com./a",	    true,  "example.com",		 443,   "https://example.com./a"   },
	{ "https://example.com?q",	   true,	 "example.com",		443,   "https://example.com/?q"   },
	{ "https://example.com/a/../b",	true,  "example.com",	     443,	  "https://example.com/b"	  },
	{ "https://example.com/a@b%2f?@",	  true,	"example.com",	       443,
	  "https://example.com/a@b%2f?@"								       },
	{ "https://xn--bcher-kva.example/", true,  "xn--bcher-kva.example", 443,
	  "https://xn--bcher-kva.example/"								     },
	{ "https://under_score.example/",	  true,	"under_score.example",   443,
	  "https://under_score.example/"								       },
	{ "http://127.0.0.1:8080/mcp",      false, "127.0.0.1",		   8080,	 "http://127.0.0.1:8080/mcp"},
	{ "http://2130706433/",		false, "127.0.0.1",		    80,	"http://127.0.0.1/"	    },
	{ "http://0x7f000001/",		false, "127.0.0.1",		    80,	"http://127.0.0.1/"	    },
	{ "http://017700000001/",		  false, "127.0.0.1",	      80,	  "http://127.0.0.1/"	      },
	{ "http://127.1/",		   false, "127.0.0.1",	       80,	   "http://127.0.0.1/"	       },
	{ "http://0/",		       false, "0.0.0.0",		 80,    "http://0.0.0.0/"	       },
	{ "http://[::1]:9/",		     false, "::1",		   9,     "http://[::1]:9/"		},
	{ "http://[0:0::1]/",		      false, "::1",		    80,	"http://[::1]/"		},
	{ "https://[2001:DB8::A]/",	    true,  "2001:db8::a",		 443,   "https://[2001:DB8::A]/"   },
	{ "http://[::ffff:127.0.0.1]/",	false, "::ffff:127.0.0.1",	   80,
	  "http://[::ffff:127.0.0.1]/"									 },
	{ "https://a1.example/",		 true,  "a1.example",	     443,	  "https://a1.example/"	},
	{ "https://1password.example/",	true,  "1password.example",	   443,
	  "https://1password.example/"									 },
	{ "http://localhost:65535/",	     false, "localhost",		 65535, "http://localhost:65535/"  },
};

static const char *const bad[] = {
	"",
	"example.com",
	"//example.com/",
	"https:example.com",
	"https:/example.com/",
	"https:///example.com/",
	"https://",
	"https:///",
	"https://?q",
	"https://:443/",
	"ftp://example.com/",
	"file:///etc/passwd",
	"gopher://example.com/",
	"javascript://example.com/%0aalert(1)",
	"https://user@example.com/",
	"https://user:pass@example.com/",
	"https://@example.com/",
	"https://example.com@127.0.0.1/",
	"https://example.com\\@127.0.0.1/",
	"https://example.com\\.evil.example/",
	"https://example.com/#fragment",
	"https://example.com/#",
	"https://example.com#@127.0.0.1/",
	"https://example.com:0/",
	"https://example.com:65536/",
	"https://example.com:99999999999/",
	"https://example.com:-1/",
	"https://example.com:80:90/",
	"https://example.com:8a/",
	"https://example.com:+80/",
	"https:// example.com/",
	"https://exa mple.com/",
	"https://example.com/a b",
	"https://example.com/\t",
	"https://example.com/\r\nHost: x",
	"https://example.com/\x7f",
	"https://b\xc3\xbc"
	"cher.example/",
	"https://example.com/\xc3\xbc",
	"https://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/",
	"https://127\xe3\x80\x82"
	"0.0.1/",
	"https://%31%32%37.0.0.1/",
	"https://example%2ecom/",
	"https://example.com%00.evil.example/",
	"https://.example.com/",
	"https://example..com/",
	"https://./",
	"https://../",
	"https://exa!mple.com/",
	"https://exa$mple.com/",
	"https://exa~mple.com/",
	"https://exa|mple.com/",
	"https://*.example.com/",
	"https://127.0.0.1./",
	"https://0x7f.1./",
	"https://127.0.0.1.2/",
	"https://256.1.1.1/",
	"https://1.2.3.256/",
	"https://1.2.3.08/",
	"https://08.8.8.8/",
	"https://4294967296/",
	"https://0x/",
	"https://0x100000000/",
	"https://example.0x7f/",
	"https://example.1/",
	"https://1.2.3.4.5/",
	"https://[::1/",
	"https://::1/",
	"https://[]/",
	"https://[:::1]/",
	"https://[1::2::3]/",
	"https://[::1]x/",
	"https://[::g]/",
	"https://[fe80::1%25eth0]/",
	"https://[fe80::1%eth0]/",
	"https://[127.0.0.1]/",
	"https://[v1.fe80::a+en1]/",
};

static void understands_plain_urls(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct url url;
		struct err err;

		if (url_parse(good[i].text, &url, &err) < 0)
			fail_msg("%s: %s", good[i].text, err.text);
		assert_int_equal(url.https, good[i].https);
		assert_string_equal(url.host, good[i].host);
		assert_int_equal(url.port, good[i].port);
		assert_string_equal(url.text, good[i].understood);
	}
}

/* The HTTP client gives the text to curl, which parses it again. */
static void what_it_understood_means_the_same_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct url once, twice;
		struct err err;

		assert_int_equal(url_parse(good[i].text, &once, &err), 0);
		assert_int_equal(url_parse(once.text, &twice, &err), 0);
		assert_string_equal(once.text, twice.text);
		assert_string_equal(once.host, twice.host);
		assert_int_equal(once.port, twice.port);
	}
}

static void refuses_everything_else(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct url url;
		struct err err;

		if (url_parse(bad[i], &url, &err) == 0)
			fail_msg("%s was taken as host %s", bad[i], url.host);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
		assert_true(err.text[0] != '\0');
	}
}

static void bounds_the_length(void **state)
{
	char text[URL_MAX_BYTES + 2];
	struct url url;
	struct err err;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "https://example.com/", 20);
	text[URL_MAX_BYTES + 1] = '\0';
	assert_int_equal(url_parse(text, &url, &err), -1);
	assert_int_equal(err.code, ERR_BAD_REQUEST);
	text[URL_MAX_BYTES] = '\0';
	assert_int_equal(url_parse(text, &url, &err), 0);
	memset(text + 8, 'a', 256);
	assert_int_equal(url_parse(text, &url, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(understands_plain_urls),
		cmocka_unit_test(what_it_understood_means_the_same_again),
		cmocka_unit_test(refuses_everything_else),
		cmocka_unit_test(bounds_the_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
