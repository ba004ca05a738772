/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/form.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_escaped(const char *plain, const char *expected)
{
	struct buf out;

	buf_init(&out, 1024);
	form_escape(&out, plain, strlen(plain));
	assert_string_equal(buf_str(&out), expected);
	buf_fini(&out);
}

static void values_are_escaped_as_browsers_do(void **state)
{
	(void)state;
	assert_escaped("", "");
	assert_escaped("Az09-._*", "Az09-._*");
	assert_escaped("a b+c", "a+b%2Bc");
	assert_escaped("~!'()/:&=%?#@\"\n", "%7E%21%27%28%29%2F%3A%26%3D%25%3F%23%40%22%0A");
	assert_escaped("\xc3\xa4\xff", "%C3%A4%FF");
}

static void pairs_are_joined(void **state)
{
	struct buf form;

	(void)state;
	buf_init(&form, 1024);
	form_add(&form, "a", "1 2");
	form_add(&form, "b&", "=");
	assert_string_equal(buf_str(&form), "a=1+2&b%26=%3D");
	buf_clear(&form);
	buf_add(&form, "https://h/?");
	form_add(&form, "a", "1");
	assert_string_equal(buf_str(&form), "https://h/?a=1");
	buf_fini(&form);
}

static void pairs_come_off_one_by_one(void **state)
{
	struct span form = SPAN("a=1&b&&=x&c=d=e");
	struct span name;
	struct span value;

	(void)state;
	assert_true(form_next(&form, &name, &value) && span_is(name, "a") && span_is(value, "1"));
	assert_true(form_next(&form, &name, &value) && span_is(name, "b"));
	assert_null(value.p);
	assert_true(form_next(&form, &name, &value) && name.n == 0 && value.p == NULL);
	assert_true(form_next(&form, &name, &value) && name.n == 0 && span_is(value, "x"));
	assert_true(form_next(&form, &name, &value) && span_is(name, "c") && span_is(value, "d=e"));
	assert_false(form_next(&form, &name, &value));
}

static void a_name_is_found_however_it_is_escaped(void **state)
{
	(void)state;
	assert_true(form_has(SPAN("x=1&state=2"), "state"));
	assert_true(form_has(SPAN("%73tate=2"), "state"));
	assert_true(form_has(SPAN("st%61te"), "state"));
	assert_false(form_has(SPAN("mystate=2&states=1&x=state"), "state"));
	assert_false(form_has(SPAN("%7state=2&%=1&%zz"), "state"));
	assert_false(form_has(SPAN(""), "state"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_escaped_as_browsers_do),
		cmocka_unit_test(pairs_are_joined),
		cmocka_unit_test(pairs_come_off_one_by_one),
		cmocka_unit_test(a_name_is_found_however_it_is_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
