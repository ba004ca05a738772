/* SPDX-License-Identifier: Apache-2.0 */

/* Options of connections as the body of a request. */

#include <string.h>

#include "base/json.h"
#include "gateway/app/cmd_connections.h"

#define MAX_CONNECTION_BYTES ((size_t)8 * 1024 * 1024)

static void set_text(json_t *object, const char *key, const char *text)
{
	if (text != NULL)
		json_object_set_new(object, key, json_string(text));
}

static void set_list(json_t *object, const char *key, const struct cli_list *list)
{
	json_t *array;

	if (list->n == 0)
		return;
	array = json_array();
	for (size_t i = 0; i < list->n; i++)
		json_array_append_new(array, json_string(list->items[i]));
	json_object_set_new(object, key, array);
}

static void set_object(json_t *body, const char *key, json_t *object)
{
	if (json_object_size(object) > 0)
		json_object_set(body, key, object);
	json_decref(object);
}

int connection_pairs(const char *option, const struct cli_list *given,
		     const struct cli_list *removed, json_t **out, struct err *err)
{
	json_t *pairs = json_object();

	for (size_t i = 0; i < given->n; i++) {
		const char *text = given->items[i];
		const char *equals = strchr(text, '=');

		if (equals == NULL || equals == text) {
			json_decref(pairs);
			return err_set(err, ERR_BAD_REQUEST, "--%s wants NAME=VALUE, not %s",
				       option, text);
		}
		json_object_setn_new(pairs, text, (size_t)(equals - text), json_string(equals + 1));
	}
	for (size_t i = 0; i < removed->n; i++)
		json_object_set_new(pairs, removed->items[i], json_null());
	*out = pairs;
	return 0;
}

static int check_auth(const struct connection_options *options, struct err *err)
{
	const char *mode = options->auth;

	if (mode == NULL)
		return 0;
	if (strcmp(mode, "none") != 0 && strcmp(mode, "bearer") != 0 &&
	    strcmp(mode, "api_key") != 0 && strcmp(mode, "oauth") != 0)
		return err_set(err, ERR_BAD_REQUEST,
			       "--auth is none, bearer, api_key or oauth, not %s", mode);
	if (strcmp(mode, "none") == 0 && options->credential_file != NULL)
		return err_set(err, ERR_BAD_REQUEST,
			       "--auth none takes no credential: say bearer or api_key");
	if (strcmp(mode, "oauth") == 0 && options->credential_file != NULL)
		return err_set(err, ERR_BAD_REQUEST,
			       "--auth oauth takes no credential: somebody connects an account, or "
			       "--client-secret-file has the client's secret");
	if (strcmp(mode, "oauth") != 0 && oauth_options_given(&options->oauth) != NULL)
		return err_set(err, ERR_BAD_REQUEST, "--%s needs --auth oauth",
			       oauth_options_given(&options->oauth));
	return 0;
}

/* A mode that is left must not leave its secret or its header behind. */
static int set_auth(struct cli *cli, json_t *body, const struct connection_options *options,
		    bool change, struct err *err)
{
	json_t *auth = json_object();

	set_text(auth, "mode", options->auth);
	if (change && options->auth != NULL && strcmp(options->auth, "none") == 0)
		json_object_set_new(auth, "credential", json_null());
	if (change && options->auth != NULL && strcmp(options->auth, "api_key") != 0)
		json_object_set_new(auth, "header", json_null());
	set_text(auth, "header", options->auth_header);
	if (options->credential_file != NULL) {
		json_t *credential = connection_read_secret(cli, options->credential_file, err);

		if (credential == NULL) {
			json_decref(auth);
			return -1;
		}
		json_object_set_new(auth, "credential", credential);
	}
	if (connection_set_oauth(cli, auth, &options->oauth, err) < 0) {
		json_decref(auth);
		return -1;
	}
	set_object(body, "auth", auth);
	return 0;
}

int connection_set_body(struct cli *cli, json_t *body, const struct connection_options *options,
			bool change, struct err *err)
{
	json_t *tools = json_object();
	json_t *audit = json_object();
	json_t *headers;

	set_text(body, "url", options->url);
	set_text(body, "era", options->era);
	set_text(body, "session", options->session);
	set_text(body, "description", options->description);
	set_text(body, "connect_timeout", options->connect_timeout);
	set_text(body, "call_timeout", options->call_timeout);
	set_list(tools, "allow", &options->allow);
	set_list(tools, "deny", &options->deny);
	set_object(body, "tools", tools);
	set_text(audit, "level", options->audit_level);
	set_list(audit, "redact", &options->audit_redact);
	set_object(body, "audit", audit);
	if (check_auth(options, err) < 0 ||
	    connection_pairs("header", &options->headers, &options->headers_removed, &headers,
			     err) < 0)
		return -1;
	set_object(body, "headers", headers);
	return set_auth(cli, body, options, change, err);
}

struct span connection_text(struct cli *cli, const json_t *body)
{
	struct buf text;
	struct span span;

	buf_init(&text, MAX_CONNECTION_BYTES);
	if (json_write(body, &text) < 0)
		buf_clear(&text);
	span = (struct span){ arena_dup(cli->arena, buf_str(&text), text.len), text.len };
	buf_wipe(&text);
	return span;
}

int connection_body(struct cli *cli, const struct connection_options *options, struct span *out,
		    struct err *err)
{
	json_t *body = json_object();
	int ret = connection_set_body(cli, body, options, false, err);

	if (ret == 0)
		*out = connection_text(cli, body);
	json_decref(body);
	return ret;
}

static bool needs_credential(const struct connection_options *options)
{
	return options->credential_file == NULL && options->auth != NULL &&
	       strcmp(options->auth, "none") != 0 && strcmp(options->auth, "oauth") != 0;
}

int connection_check_new(const struct connection_options *options, struct err *err)
{
	if (options->url == NULL)
		return err_set(err, ERR_BAD_REQUEST, "--url is missing");
	if (check_auth(options, err) < 0)
		return -1;
	if (needs_credential(options))
		return err_set(err, ERR_BAD_REQUEST,
			       "--auth %s needs a credential: --credential-file FILE, or - for "
			       "standard input",
			       options->auth);
	if (options->credential_file != NULL && options->auth == NULL)
		return err_set(err, ERR_BAD_REQUEST,
			       "--credential-file needs --auth bearer or api_key");
	if (options->auth == NULL && oauth_options_given(&options->oauth) != NULL)
		return err_set(err, ERR_BAD_REQUEST, "--%s needs --auth oauth",
			       oauth_options_given(&options->oauth));
	return 0;
}
