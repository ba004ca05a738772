/* SPDX-License-Identifier: Apache-2.0 */

#include "tokenstore/keyring.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* 32 bytes each: zeros, and 0xff. */
#define ZEROS "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define ONES  "__________________________________________8"

#define DEPLOYMENT "d1"
#define TENANT	   "11111111-1111-4111-8111-111111111111"

struct fixture {
	char dir[64];
	char path[96];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/test_keyring.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/keyring.json", f->dir);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	assert_int_equal(rmdir(f->dir), 0); /* nothing else was left there */
	free(f);
	return 0;
}

static void write_file(const struct fixture *f, const char *text, mode_t mode)
{
	int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static struct keyring *load(const struct fixture *f)
{
	struct err err = { 0 };
	struct keyring *keyring = keyring_load(f->path, &err);

	if (keyring == NULL)
		fail_msg("%s", err.text);
	return keyring;
}

static struct keyring *load_text(const struct fixture *f, const char *text)
{
	write_file(f, text, 0600);
	return load(f);
}

static struct keyring *load_new(const struct fixture *f)
{
	struct err err;

	assert_int_equal(keyring_create(f->path, &err), 0);
	return load(f);
}

static void assert_refused(const struct fixture *f, const char *reason)
{
	struct err err = { 0 };

	assert_null(keyring_load(f->path, &err));
	assert_int_equal(err.code, ERR_INTERNAL);
	assert_non_null(strstr(err.text, f->path));
	if (strstr(err.text, reason) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", err.text, reason);
	assert_null(strstr(err.text, ZEROS)); /* no key in a message */
	assert_null(strstr(err.text, ONES));
}

static void a_new_keyring_is_private_and_loads(void **state)
{
	struct fixture *f = *state;
	struct keyring *keyring = load_new(f);
	struct stat info;

	assert_int_equal(stat(f->path, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
	assert_int_equal(keyring_primary(keyring), 1);
	keyring_free(&keyring);
	assert_null(keyring);
	keyring_free(&keyring);
}

static void two_new_keyrings_differ(void **state)
{
	struct fixture *f = *state;
	uint8_t a[SHA256_BYTES], b[SHA256_BYTES];
	struct keyring *keyring = load_new(f);

	keyring_check_value(keyring, a);
	keyring_free(&keyring);
	assert_int_equal(unlink(f->path), 0);
	keyring = load_new(f);
	keyring_check_value(keyring, b);
	keyring_free(&keyring);
	assert_memory_not_equal(a, b, sizeof(a));
}

static void an_existing_file_is_never_overwritten(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct stat info;

	write_file(f, "precious", 0600);
	assert_int_equal(keyring_create(f->path, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(stat(f->path, &info), 0);
	assert_int_equal(info.st_size, 8);
}

static void creating_where_nothing_can_be_written_fails(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(keyring_create("/tmp/test_keyring.no/such/dir", &err), -1);
	assert_int_equal(err.code, ERR_INTERNAL);
}

static void a_file_others_could_open_is_refused(void **state)
{
	static const mode_t modes[] = { 0644, 0640, 0604, 0660, 0601, 0620, 0777 };
	struct fixture *f = *state;
	struct keyring *keyring = load_new(f);
	struct err err;

	keyring_free(&keyring);
	for (size_t i = 0; i < COUNT(modes); i++) {
		assert_int_equal(chmod(f->path, modes[i]), 0);
		assert_refused(f, "must not be accessible to others");
	}
	assert_int_equal(chmod(f->path, 0400), 0);
	keyring = keyring_load(f->path, &err);
	assert_non_null(keyring);
	keyring_free(&keyring);
}

static void what_is_no_file_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "No such file");
	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_refused(f, "not a regular file");
	assert_int_equal(rmdir(f->path), 0);
	assert_int_equal(mkfifo(f->path, 0600), 0);
	assert_refused(f, "not a regular file");
}

#define KEY_1 "{\"id\":1,\"key\":\"" ZEROS "\"}"
#define KEY_2 "{\"id\":2,\"key\":\"" ONES "\"}"
#define RING(version, pepper, primary, keys)                                                       \
	"{\"version\":" version ",\"pepper\":" pepper ",\"primary\":" primary ",\"keys\":" keys "}"
#define PEPPER "\"" ZEROS "\""

static void wrong_contents_are_refused_with_a_reason(void **state)
{
	static const struct {
		const char *text;
		const char *reason;
	} cases[] = {
		{"",			       "not JSON"		 },
		{ "{",			     "not JSON"		  },
		{ RING("1",			    PEPPER,		    "1", "[" KEY_1 "]") "x", "not JSON" },
		{ "{\"version\":1,\"version\":1}",		   "not JSON"			      },
		{ "[]", "version 1"},
		{ "{}",			    "version 1"				       },
		{ RING("2",			    PEPPER,		    "1", "[" KEY_1 "]"), "version 1" },
		{ RING("\"1\"",			PEPPER,		"1", "[" KEY_1 "]"), "version 1" },
		{ RING("1",		    "null",				    "1", "[" KEY_1 "]"), "pepper" },
		{ RING("1",		    "\"\"",		    "1", "[" KEY_1 "]"), "pepper" },
		{ RING("1",		    "\"" ZEROS "A\"",			      "1", "[" KEY_1 "]"), "pepper" },
		{ RING("1",			    "\"AAA\"",			       "1", "[" KEY_1 "]"), "pepper" },
		{ RING("1",		    "\"" ZEROS "=\"",				      "1", "[" KEY_1 "]"), "pepper" },
		{ RING("1",			    PEPPER,			    "1", "{}"), "keys must be a list" },
		{ RING("1",		    PEPPER,				    "1", "[]"), "primary" },
		{ RING("1",			    PEPPER,		    "2", "[" KEY_1 "]"), "primary" },
		{ RING("1",		    PEPPER,				    "\"1\"", "[" KEY_1 "]"), "primary" },
		{ RING("1",			    PEPPER,		    "null", "[" KEY_1 "]"), "primary" },
		{ RING("1",		    PEPPER,				    "1", "[" KEY_1 "," KEY_1 "]"), "same id" },
		{ RING("1",			    PEPPER,		    "1", "[7]"), "needs an id" },
		{ RING("1",		    PEPPER,				    "1", "[{\"key\":\"" ZEROS "\"}]"), "needs an id" },
		{ RING("1",			    PEPPER,		    "0", "[{\"id\":0,\"key\":\"" ZEROS "\"}]"), "needs an id" },
		{ RING("1",			    PEPPER,				    "1", "[{\"id\":4294967296,\"key\":\"" ZEROS "\"}]"),
		  "needs an id" },
		{ RING("1",			    PEPPER,			    "1", "[{\"id\":1}]"), "32 bytes" },
		{ RING("1",			    PEPPER,					 "1", "[{\"id\":1,\"key\":\"" ZEROS "\",\"note\":1}]"),
		  "not known" },
		{ "{\"version\":1,\"peper\":" PEPPER "}",			  "not known"		      },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		write_file(f, cases[i].text, 0600);
		assert_refused(f, cases[i].reason);
	}
}

static void every_shortening_of_a_keyring_is_refused(void **state)
{
	static const char text[] = RING("1", PEPPER, "1", "[" KEY_1 "]");
	struct fixture *f = *state;
	char cut[sizeof(text)];

	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		memcpy(cut, text, n);
		cut[n] = '\0';
		write_file(f, cut, 0600);
		assert_refused(f, "not JSON");
	}
}

/* The last of n keys has the highest id there is and is the primary one. */
static void print_keys(char *text, size_t size, size_t n)
{
	FILE *out = fmemopen(text, size, "w");

	assert_non_null(out);
	fputs("{\"version\":1,\"pepper\":" PEPPER ",\"primary\":4294967295,\"keys\":[", out);
	for (size_t i = 1; i < n; i++)
		fprintf(out, "{\"id\":%zu,\"key\":\"" ZEROS "\"},", i);
	fputs("{\"id\":4294967295,\"key\":\"" ONES "\"}]}", out);
	fclose(out);
}

static void too_many_keys_or_bytes_are_refused(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(100000);

	print_keys(text, 100000, KEYRING_MAX_KEYS + 1);
	write_file(f, text, 0600);
	assert_refused(f, "too many keys");
	memset(text, ' ', 99999);
	text[99999] = '\0';
	write_file(f, text, 0600);
	assert_refused(f, "too large");
	free(text);
}

static void the_mac_is_hmac_with_the_pepper(void **state)
{
	struct fixture *f = *state;
	struct keyring *keyring = load_text(f, RING("1", PEPPER, "1", "[" KEY_1 "]"));
	uint8_t pepper[32] = { 0 }, mac[SHA256_BYTES], expected[SHA256_BYTES];

	keyring_mac(keyring, "text", 4, mac);
	crypto_hmac_sha256(pepper, sizeof(pepper), "text", 4, expected);
	assert_memory_equal(mac, expected, sizeof(mac));
	keyring_free(&keyring);
}

static void the_check_value_follows_the_pepper_and_not_the_keys(void **state)
{
	static const char *const texts[] = {
		RING("1", PEPPER, "1", "[" KEY_1 "]"),
		RING("1", PEPPER, "2", "[" KEY_1 "," KEY_2 "]"),
		RING("1", "\"" ONES "\"", "1", "[" KEY_1 "]"),
	};
	struct fixture *f = *state;
	uint8_t values[COUNT(texts)][SHA256_BYTES];

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct keyring *keyring = load_text(f, texts[i]);

		keyring_check_value(keyring, values[i]);
		keyring_free(&keyring);
	}
	assert_memory_equal(values[0], values[1], SHA256_BYTES);
	assert_memory_not_equal(values[0], values[2], SHA256_BYTES);
}

struct wrapped {
	uint8_t bytes[KEYRING_WRAPPED_BYTES];
};

static struct span span_of_wrapped(const struct wrapped *wrapped)
{
	return (struct span){ (const char *)wrapped->bytes, sizeof(wrapped->bytes) };
}

static void assert_unwraps(const struct keyring *keyring, const struct wrapped *wrapped,
			   const struct seal_key *expected, uint32_t kek_id)
{
	struct seal_key back;
	struct err err;

	assert_int_equal(keyring_unwrap(keyring, DEPLOYMENT, TENANT, expected->dek_id,
					span_of_wrapped(wrapped), &back, &err),
			 0);
	assert_int_equal(back.kek_id, kek_id);
	assert_int_equal(back.dek_id, expected->dek_id);
	assert_memory_equal(back.bytes, expected->bytes, sizeof(back.bytes));
}

static void assert_no_unwrap(const struct keyring *keyring, const char *deployment,
			     const char *tenant, uint64_t dek_id, struct span wrapped)
{
	struct seal_key back;
	struct err err = { 0 };

	assert_int_equal(keyring_unwrap(keyring, deployment, tenant, dek_id, wrapped, &back, &err),
			 -1);
	assert_int_equal(err.code, ERR_INTERNAL);
}

static void a_data_key_wraps_and_unwraps(void **state)
{
	struct fixture *f = *state;
	struct keyring *keyring = load_new(f);
	struct wrapped wrapped;
	struct seal_key dek;

	seal_key_random(&dek, 99, UINT64_MAX);
	keyring_wrap(keyring, DEPLOYMENT, TENANT, &dek, wrapped.bytes);
	assert_unwraps(keyring, &wrapped, &dek, 1);
	keyring_free(&keyring);
}

static void a_wrapped_key_opens_for_its_owner_only(void **state)
{
	struct fixture *f = *state;
	struct keyring *keyring = load_new(f);
	struct wrapped wrapped;
	struct seal_key dek;
	struct span span = span_of_wrapped(&wrapped);

	seal_key_random(&dek, 1, 7);
	keyring_wrap(keyring, DEPLOYMENT, TENANT, &dek, wrapped.bytes);
	assert_no_unwrap(keyring, "d2", TENANT, 7, span);
	assert_no_unwrap(keyring, DEPLOYMENT, "other", 7, span);
	assert_no_unwrap(keyring, DEPLOYMENT TENANT, "", 7, span);
	assert_no_unwrap(keyring, DEPLOYMENT, TENANT, 8, span);
	for (size_t n = 0; n < sizeof(wrapped.bytes); n++)
		assert_no_unwrap(keyring, DEPLOYMENT, TENANT, 7, (struct span){ span.p, n });
	for (size_t bit = 0; bit < 8 * sizeof(wrapped.bytes); bit++) {
		wrapped.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_no_unwrap(keyring, DEPLOYMENT, TENANT, 7, span);
		wrapped.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_unwraps(keyring, &wrapped, &dek, 1);
	keyring_free(&keyring);
}

static void old_wraps_open_after_a_new_primary_until_the_old_key_goes(void **state)
{
	struct fixture *f = *state;
	struct keyring *keyring = load_text(f, RING("1", PEPPER, "1", "[" KEY_1 "]"));
	struct wrapped by_1, by_2;
	struct seal_key dek;

	seal_key_random(&dek, 1, 7);
	keyring_wrap(keyring, DEPLOYMENT, TENANT, &dek, by_1.bytes);
	keyring_free(&keyring);

	keyring = load_text(f, RING("1", PEPPER, "2", "[" KEY_1 "," KEY_2 "]"));
	assert_int_equal(keyring_primary(keyring), 2);
	keyring_wrap(keyring, DEPLOYMENT, TENANT, &dek, by_2.bytes);
	assert_unwraps(keyring, &by_1, &dek, 1);
	assert_unwraps(keyring, &by_2, &dek, 2);
	keyring_free(&keyring);

	keyring = load_text(f, RING("1", PEPPER, "2", "[" KEY_2 "]"));
	assert_no_unwrap(keyring, DEPLOYMENT, TENANT, 7, span_of_wrapped(&by_1));
	assert_unwraps(keyring, &by_2, &dek, 2);
	keyring_free(&keyring);

	/* The same id, another key. */
	keyring = load_text(f, RING("1", PEPPER, "2", "[{\"id\":2,\"key\":\"" ZEROS "\"}]"));
	assert_no_unwrap(keyring, DEPLOYMENT, TENANT, 7, span_of_wrapped(&by_2));
	keyring_free(&keyring);
}

static void a_key_is_added_promoted_and_removed(void **state)
{
	struct fixture *f = *state;
	struct keyring *keyring = load_new(f);
	uint32_t ids[KEYRING_MAX_KEYS];
	struct wrapped wrapped;
	struct seal_key dek;
	struct err err;
	uint32_t id = 0;

	assert_int_equal(keyring_add(keyring, &id, &err), 0);
	assert_int_equal(id, 2);
	assert_int_equal(keyring_primary(keyring), 1);
	assert_int_equal(keyring_ids(keyring, ids), 2);
	assert_int_equal(ids[0], 1);
	assert_int_equal(ids[1], 2);
	assert_int_equal(keyring_promote(keyring, 3, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(keyring_promote(keyring, 2, &err), 0);
	seal_key_random(&dek, 1, 7);
	keyring_wrap(keyring, DEPLOYMENT, TENANT, &dek, wrapped.bytes);
	assert_unwraps(keyring, &wrapped, &dek, 2);
	assert_int_equal(keyring_remove(keyring, 2, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(keyring_remove(keyring, 3, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(keyring_remove(keyring, 1, &err), 0);
	assert_false(keyring_has(keyring, 1));
	assert_unwraps(keyring, &wrapped, &dek, 2);
	keyring_free(&keyring);
}

static void an_id_is_never_given_twice(void **state)
{
	struct fixture *f = *state;
	struct keyring *keyring = load_new(f);
	struct err err;
	uint32_t id = 0;

	assert_int_equal(keyring_add(keyring, &id, &err), 0);
	assert_int_equal(keyring_remove(keyring, 2, &err), 0);
	assert_int_equal(keyring_add(keyring, &id, &err), 0);
	assert_int_equal(id, 3);
	for (size_t i = 2; i < KEYRING_MAX_KEYS; i++)
		assert_int_equal(keyring_add(keyring, &id, &err), 0);
	assert_int_equal(keyring_add(keyring, &id, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	keyring_free(&keyring);
	keyring = load_text(f, "{\"version\":1,\"pepper\":" PEPPER ",\"primary\":1,\"last_id\":"
			       "4294967295,\"keys\":[" KEY_1 "]}");
	assert_int_equal(keyring_add(keyring, &id, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	keyring_free(&keyring);
}

static void it_takes_the_keys_of_its_own_deployment_only(void **state)
{
	struct fixture *f = *state;
	struct keyring *keyring = load_text(f, RING("1", PEPPER, "1", "[" KEY_1 "]"));
	const struct keyring *borrowed = keyring;
	struct keyring *other;
	struct err err;

	other = load_text(f, RING("1", PEPPER, "2", "[" KEY_1 "," KEY_2 "]"));
	assert_int_equal(keyring_take(keyring, &other, &err), 0);
	assert_null(other);
	assert_int_equal(keyring_primary(borrowed), 2);
	assert_true(keyring_has(borrowed, 2));
	other = load_text(f, RING("1", "\"" ONES "\"", "1", "[" KEY_1 "]"));
	assert_int_equal(keyring_take(keyring, &other, &err), -1);
	assert_null(other);
	assert_int_equal(keyring_primary(borrowed), 2);
	keyring_free(&keyring);
}

static void ids_of_32_bits_and_as_many_keys_as_allowed_work(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(100000);
	struct keyring *keyring;
	struct wrapped wrapped;
	struct seal_key dek;

	print_keys(text, 100000, KEYRING_MAX_KEYS);
	keyring = load_text(f, text);
	assert_int_equal(keyring_primary(keyring), UINT32_MAX);
	seal_key_random(&dek, 1, 7);
	keyring_wrap(keyring, DEPLOYMENT, TENANT, &dek, wrapped.bytes);
	assert_unwraps(keyring, &wrapped, &dek, UINT32_MAX);
	keyring_free(&keyring);
	free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_keyring_is_private_and_loads),
		TEST(two_new_keyrings_differ),
		TEST(an_existing_file_is_never_overwritten),
		TEST(creating_where_nothing_can_be_written_fails),
		TEST(a_file_others_could_open_is_refused),
		TEST(what_is_no_file_is_refused),
		TEST(wrong_contents_are_refused_with_a_reason),
		TEST(every_shortening_of_a_keyring_is_refused),
		TEST(too_many_keys_or_bytes_are_refused),
		TEST(the_mac_is_hmac_with_the_pepper),
		TEST(the_check_value_follows_the_pepper_and_not_the_keys),
		TEST(a_data_key_wraps_and_unwraps),
		TEST(a_wrapped_key_opens_for_its_owner_only),
		TEST(old_wraps_open_after_a_new_primary_until_the_old_key_goes),
		TEST(a_key_is_added_promoted_and_removed),
		TEST(an_id_is_never_given_twice),
		TEST(it_takes_the_keys_of_its_own_deployment_only),
		TEST(ids_of_32_bits_and_as_many_keys_as_allowed_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
