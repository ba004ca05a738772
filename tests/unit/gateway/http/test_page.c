/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define EVIL	     "\"'><script>alert(1)</script>&{{title}}"

static char *render(const char *name, const struct page_values *values)
{
	struct buf out;

	buf_init(&out, PAGE_MAX_BYTES);
	page_render(name, values, &out);
	assert_false(out.overflow);
	return buf_take(&out, &(size_t){ 0 });
}

static void what_is_special_is_escaped(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	page_escape("", &out);
	page_escape("a<b>&\"'c", &out);
	assert_string_equal(buf_str(&out), "a&lt;b&gt;&amp;&quot;&#39;c");
	buf_fini(&out);
}

/* Whatever a page is given, wherever it stands: no tag and no attribute comes of it. */
static void no_value_becomes_markup_on_any_page(void **state)
{
	static const char *const names[] = {
		"title",	 "attempt",	"user",		 "tenant",  "state",
		"error",	 "sentence",	"detail",	 "remedy",  "connection",
		"upstream_host", "issuer_host", "redirect_host", "account", "former_account",
		"tools",	 "scope",	"alert",	 "code",    "code_user",
		"code_tenant",	 "csrf",	"csrf_signout",
	};
	static const char *const pages[] = { "consent", "choice", "done",
					     "error",	"signin", "signedin" };

	(void)state;
	for (size_t page = 0; page < COUNT(pages); page++) {
		struct page_values values = { .n = 0 };
		char *text;

		for (size_t i = 0; i < COUNT(names); i++)
			page_set(&values, names[i], EVIL);
		page_set(&values, "again", "yes");
		text = render(pages[page], &values);
		assert_null(strstr(text, "<script>"));
		assert_null(strstr(text, "alert(1)</"));
		assert_null(strstr(text, "\"'>"));
		assert_non_null(strstr(text, "&quot;&#39;&gt;&lt;script&gt;alert(1)"));
		/* A value is no template. */
		assert_non_null(strstr(text, "{{title}}"));
		free(text);
	}
}

static void a_list_is_written_item_by_item(void **state)
{
	struct page_values values = { .n = 0 };
	char *text;

	(void)state;
	page_set(&values, "scope", "read");
	page_set(&values, "scope", NULL);
	page_set(&values, "scope", "");
	page_set(&values, "scope", "write");
	text = render("consent", &values);
	assert_non_null(strstr(text, "<dd><code>read</code></dd>\n<dd><code>write</code></dd>\n"));
	assert_null(strstr(text, "without asking for more"));
	free(text);
}

static void what_is_not_there_leaves_its_section_out(void **state)
{
	struct page_values values = { .n = 0 };
	char *text = render("consent", &values);

	(void)state;
	assert_non_null(strstr(text, "without asking for more"));
	assert_null(strstr(text, "<code>"));
	assert_null(strstr(text, "Sign out"));
	assert_null(strstr(text, "{{"));
	free(text);
}

/* Every page: a language, a title, one main, one heading, and nothing inline. */
static void pages_are_well_formed(void **state)
{
	(void)state;
	for (const struct page_file *file = page_files; file->name != NULL; file++) {
		size_t n = strlen(file->name);

		if (strcmp(file->name + n - 5, ".html") != 0)
			continue;
		assert_null(strstr(file->text, "style="));
		assert_null(strstr(file->text, "onclick"));
		assert_null(strstr(file->text, "<style"));
		assert_null(strstr(file->text, "http:"));
		assert_null(strstr(file->text, "https:"));
		if (strcmp(file->name, "head.html") == 0) {
			assert_non_null(strstr(file->text, "<html lang=\"en\">"));
			assert_non_null(strstr(file->text, "<main"));
		} else if (strcmp(file->name, "foot.html") != 0) {
			assert_memory_equal(file->text, "{{>head}}", 9);
			assert_non_null(strstr(file->text, "{{>foot}}"));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_special_is_escaped),
		cmocka_unit_test(no_value_becomes_markup_on_any_page),
		cmocka_unit_test(a_list_is_written_item_by_item),
		cmocka_unit_test(what_is_not_there_leaves_its_section_out),
		cmocka_unit_test(pages_are_well_formed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
