/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/core/breaker.h"

/* A life as letters, and the state after each: "." and "x" calls that go well or fail, "a" that
 * asks and goes if it may, "+" and "-" a probe that goes well or fails, "b" one that tells nothing,
 * "t" that 999 ms pass, "1" that 1 ms does. States: C closed, O open, H half open. */
struct life {
	const char *name;
	const char *events;
	const char *states;
};

static char letter_of(const struct breaker *breaker)
{
	static const char letters[] = {
		[BREAKER_CLOSED] = 'C', [BREAKER_OPEN] = 'O', [BREAKER_HALF_OPEN] = 'H'
	};

	return letters[breaker->state];
}

static void live(struct breaker *breaker, char event, int64_t *now_ms)
{
	switch (event) {
	case '.':
	case 'x':
		breaker_heard(breaker, BREAKER_PASS, event == 'x' ? BREAKER_FAILED : BREAKER_WELL,
			      *now_ms);
		break;
	case 'a':
		breaker_admit(breaker, *now_ms);
		break;
	case '+':
	case '-':
		breaker_heard(breaker, BREAKER_PROBE, event == '-' ? BREAKER_FAILED : BREAKER_WELL,
			      *now_ms);
		break;
	case 'b':
		breaker_put_back(breaker, *now_ms, BREAKER_PROBE_MS);
		break;
	case 't':
		*now_ms += BREAKER_PROBE_MS - 1;
		break;
	default:
		*now_ms += 1;
	}
}

static void it_lives_by_the_table(void **state)
{
	static const struct life lives[] = {
		{"five failures open it",			   "xxxxx",	    "CCCCO"	    },
		{ "four do not",				    "xxxx......x",	"CCCCCCCCCCC"   },
		{ "among ten calls",				     "xxxx.....x",	   "CCCCCCCCCO"	},
		{ "and not among eleven",				  "xxxx......x.",	  "CCCCCCCCCCCC"	 },
		{ "open it lets nothing through for a second",      "xxxxxataa1a",    "CCCCOOOOOOH"   },
		{ "the probe goes alone",				  "xxxxxt1aaat1aa", "CCCCOOOHHHHHHH"},
		{ "a probe that goes well closes it",		      "xxxxxt1a+a",	    "CCCCOOOHCC"	 },
		{ "and what was before is forgotten",		      "xxxxxt1a+xxxxx", "CCCCOOOHCCCCCO"},
		{ "a probe that fails opens it for another second", "xxxxxt1a-ta1a",
		  "CCCCOOOHOOOOH"								      },
		{ "one that tells nothing too",			"xxxxxt1abta1a",	 "CCCCOOOHOOOOH" },
		{ "late failures of older calls change nothing",	 "xxxxxxxt1axx+",  "CCCCOOOOOHHHC" },
		{ "an older call that is answered closes it",	      "xxxxx.",		"CCCCOC"	 },
		{ "nothing is put back while it is closed",	    "xbx",		   "CCC"		 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
		struct breaker breaker = { 0 };
		int64_t now_ms = 12345;

		assert_int_equal(strlen(lives[i].events), strlen(lives[i].states));
		for (size_t at = 0; lives[i].events[at] != '\0'; at++) {
			live(&breaker, lives[i].events[at], &now_ms);
			if (letter_of(&breaker) != lives[i].states[at])
				fail_msg("%s: after %.*s it is %c, not %c", lives[i].name,
					 (int)at + 1, lives[i].events, letter_of(&breaker),
					 lives[i].states[at]);
		}
	}
}

static void what_it_says_follows_its_state(void **state)
{
	struct breaker breaker = { 0 };
	int64_t now_ms = 0;

	(void)state;
	assert_int_equal(breaker_admit(&breaker, now_ms), BREAKER_PASS);
	for (int i = 0; i < BREAKER_FAILURES; i++)
		breaker_heard(&breaker, BREAKER_PASS, BREAKER_FAILED, now_ms);
	assert_int_equal(breaker_failures(&breaker), BREAKER_FAILURES);
	assert_int_equal(breaker_admit(&breaker, now_ms), BREAKER_REFUSE);
	assert_int_equal(breaker.probe_at_ms, BREAKER_PROBE_MS);
	now_ms = BREAKER_PROBE_MS;
	assert_int_equal(breaker_admit(&breaker, now_ms), BREAKER_PROBE);
	assert_int_equal(breaker_admit(&breaker, now_ms), BREAKER_REFUSE);
	breaker_heard(&breaker, BREAKER_PROBE, BREAKER_WELL, now_ms);
	assert_int_equal(breaker_admit(&breaker, now_ms), BREAKER_PASS);
	assert_int_equal(breaker_failures(&breaker), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_lives_by_the_table),
		cmocka_unit_test(what_it_says_follows_its_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
