/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/dev_seed.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "gateway/app/commands.h"
#include "gateway/app/exit_codes.h"
#include "gateway/app/operator.h"
#include "gateway/app/sync.h"
#include "gateway/core/browser.h"
#include "gateway/core/event_context.h"
#include "gateway/core/provision.h"
#include "tokenstore/keyring.h"

#define DB_TIMEOUT_MS	   10000
#define ADMIN_KEY_NAME	   "development-admin"
#define USER_KEY_NAME	   "ana-development"
#define DUPLICATE_DATABASE "42P04"

struct seeding {
	const struct dev_seed *seed;
	struct loop *loop;
	struct db *db; /* as tollgate_app */
	struct keyring *keyring;
	struct arena *arena;
	char deployment[UUID_TEXT_BYTES];
	char tenant_id[UUID_TEXT_BYTES]; /* "" until it is known */
	char user_id[UUID_TEXT_BYTES];
	bool bound; /* the database has secrets of some keyring */
	bool has_admin_key;
	bool has_user_key;
	json_t *urls; /* connection → URL as stored */
};

/* A sample upstream as the development start serves it. */
struct sample_row {
	const char *name;
	const char *description;
	int port;
	const char *auth_mode;
	const char *oauth; /* settings, or NULL */
};

static const char reader_script[] =
	"DO $$ BEGIN CREATE ROLE " DEV_READER " LOGIN IN ROLE audit_reader;"
	" EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
	"INSERT INTO audit.reader_roles (role_name, tenant_id)"
	" SELECT '" DEV_READER "', id FROM tollgate.tenants WHERE name = '" DEV_TENANT "'"
	" ON CONFLICT DO NOTHING;";

static int make_schema(struct seeding *seeding, struct err *err)
{
	const struct dev_cluster *cluster = seeding->seed->cluster;
	char *server = dev_cluster_url(cluster, "postgres", "postgres");
	char *database = dev_cluster_url(cluster, DEV_DATABASE, "postgres");
	size_t n;
	int ret = 0;

	if (sync_script(seeding->loop, server, "CREATE DATABASE " DEV_DATABASE, err) < 0 &&
	    strcmp(err->tag, DUPLICATE_DATABASE) != 0)
		ret = -1;
	if (ret == 0)
		ret = sync_migrate(seeding->loop, database, false, NULL, NULL, &n, err);
	free(server);
	free(database);
	return ret;
}

static int make_reader(struct seeding *seeding, struct err *err)
{
	char *database = dev_cluster_url(seeding->seed->cluster, DEV_DATABASE, "postgres");
	int ret = sync_script(seeding->loop, database, reader_script, err);

	free(database);
	return ret;
}

static void take_tenant(void *ctx, const struct db_result *const *results, size_t n)
{
	struct seeding *seeding = ctx;

	assert(n == 3);
	seeding->bound = db_bool(results[2], 0, "bound");
	snprintf(seeding->deployment, sizeof(seeding->deployment), "%s",
		 db_text(results[0], 0, "id"));
	if (db_rows(results[1]) == 1)
		snprintf(seeding->tenant_id, sizeof(seeding->tenant_id), "%s",
			 db_text(results[1], 0, "id"));
}

static int find_tenant(struct seeding *seeding, struct err *err)
{
	static const struct db_statement statements[] = {
		{ .sql = "SELECT tollgate.setting('deployment_id') AS id" },
		{ .sql = "SELECT id FROM tollgate.find_tenant('" DEV_TENANT "')" },
		{ .sql = "SELECT tollgate.setting('key_check') IS NOT NULL"
			 " OR EXISTS (SELECT FROM tollgate.list_tenants()) AS bound" },
	};
	const struct db_tx tx = { .statements = statements, .n_statements = 3 };

	return sync_tx(seeding->loop, seeding->db, &tx, take_tenant, seeding, err);
}

static void take_contents(void *ctx, const struct db_result *const *results, size_t n)
{
	struct seeding *seeding = ctx;

	assert(n == 3);
	if (db_rows(results[0]) == 1)
		snprintf(seeding->user_id, sizeof(seeding->user_id), "%s",
			 db_text(results[0], 0, "id"));
	for (size_t i = 0; i < db_rows(results[1]); i++) {
		const char *name = db_text(results[1], i, "name");

		seeding->has_admin_key |= strcmp(name, ADMIN_KEY_NAME) == 0;
		seeding->has_user_key |= strcmp(name, USER_KEY_NAME) == 0;
	}
	for (size_t i = 0; i < db_rows(results[2]); i++)
		json_object_set_new(seeding->urls, db_text(results[2], i, "name"),
				    json_string(db_text(results[2], i, "url")));
}

static int find_contents(struct seeding *seeding, struct err *err)
{
	static const struct db_statement statements[] = {
		{ .sql = "SELECT id FROM tollgate.users WHERE name = '" DEV_USER "'" },
		{ .sql = "SELECT name FROM tollgate.api_keys" },
		{ .sql = "SELECT name, url FROM tollgate.connections" },
	};
	const struct db_setting setting = { "app.tenant", seeding->tenant_id };
	const struct db_tx tx = { &setting, 1, statements, 3 };

	return sync_tx(seeding->loop, seeding->db, &tx, take_contents, seeding, err);
}

static int write_secret(const char *path, struct secret text, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool written = fd >= 0 && write(fd, text.reveal, text.n) == (ssize_t)text.n;

	if (fd >= 0)
		close(fd);
	return written ? 0 : err_set(err, ERR_INTERNAL, "%s cannot be written", path);
}

/* A key whose file was lost is made anew: nobody else can have it. */
static int make_key(struct seeding *seeding, struct provision *provision, const char *name,
		    const char *user_id, const char *role, const char *path, struct err *err)
{
	char *id = arena_alloc(seeding->arena, UUID_TEXT_BYTES);
	const struct key_row row = { .id = id,
				     .name = name,
				     .user_id = user_id,
				     .role = role,
				     .created_by = "tollgate dev" };
	const struct span name_param = span_of(name);
	struct apikey key;
	struct secret text;
	int ret;

	uuid_v4(id);
	apikey_new(seeding->keyring, &key, &text);
	provision_add(provision, "DELETE FROM tollgate.api_keys WHERE name = $1", &name_param, 1);
	provision_key(provision, &row, &key);
	ret = write_secret(path, text, err);
	secret_fini(&text);
	return ret;
}

/* Where it is may change; whatever else somebody has changed of it stays. */
static void move_sample(struct provision *provision, const char *name, const char *url)
{
	const struct span params[] = { span_of(url), span_of(name) };

	provision_add(provision,
		      "UPDATE tollgate.connections SET url = $1, version = version + 1"
		      " WHERE name = $2",
		      params, 2);
}

static void add_sample(struct seeding *seeding, struct provision *provision,
		       const struct sample_row *sample)
{
	char *url = arena_printf(seeding->arena, "http://127.0.0.1:%d/mcp", sample->port);
	const char *stored = json_text(seeding->urls, sample->name);
	char *id = arena_alloc(seeding->arena, UUID_TEXT_BYTES);

	if (stored != NULL) {
		if (strcmp(stored, url) != 0)
			move_sample(provision, sample->name, url);
		return;
	}
	uuid_v4(id);
	provision_connection(provision,
			     &(struct connection_row){
				     .id = id,
				     .version = 1,
				     .name = sample->name,
				     .description = sample->description,
				     .enabled = true,
				     .url = url,
				     .era = "auto",
				     .auth_mode = sample->auth_mode,
				     .oauth = sample->oauth,
				     .header_names = "[]",
				     .connect_timeout_ms = 10000,
				     .call_timeout_ms = 60000,
				     .session_scope = "shared",
				     .trust_level = "untrusted",
				     .tools_allow = "[\"*\"]",
				     .tools_deny = "[]",
				     .audit_level = "redacted",
				     .audit_redact = "[]",
			     },
			     NULL, seeding->deployment);
}

static void add_samples(struct seeding *seeding, struct provision *provision)
{
	const struct sample_row samples[] = {
		{"clock",  "Sample upstream of the development start.",		seeding->seed->clock_port,
		  "none",											      NULL},
		{ "notes", "Sample upstream that wants an account of each user.",
		  seeding->seed->notes_port,								  "oauth",
		  "{\"grant\":\"authorization_code\",\"per\":\"user\","
		  "\"token_endpoint_auth\":\"basic\",\"scope\":\"\",\"resource\":true,"
		  "\"authorize_params\":{}}"									      },
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		add_sample(seeding, provision, &samples[i]);
}

static void add_signin_code(struct seeding *seeding, struct provision *provision)
{
	char *hash = arena_alloc(seeding->arena, BROWSER_HASH_BYTES);

	browser_token_hash(seeding->seed->signin_code, hash);

	const struct span params[] = { span_of(hash), span_of(seeding->user_id),
				       SPAN("tollgate dev"), span_of(NULL) };

	provision_add(provision, browser_insert_code, params, 4);
}

static int run(struct seeding *seeding, struct provision *provision, struct err *err)
{
	const struct db_setting settings[] = {
		provision->tenant,
		{EVENT_CONTEXT_SETTING, operator_context(seeding->arena, "seed")},
	};
	struct db_tx tx = provision_tx(provision);

	if (provision->n == 0)
		return 0;
	tx.settings = settings;
	tx.n_settings = 2;
	return sync_tx(seeding->loop, seeding->db, &tx, NULL, NULL, err);
}

static int make_tenant(struct seeding *seeding, struct err *err)
{
	struct provision provision;

	if (seeding->tenant_id[0] != '\0')
		return 0;
	uuid_v4(seeding->tenant_id);
	provision_init(&provision, seeding->arena, seeding->tenant_id);
	provision_tenant(&provision, seeding->keyring, seeding->deployment,
			 &(struct tenant_row){ DEV_TENANT, true, "{\"allow\":[]}" });
	return run(seeding, &provision, err);
}

static int make_contents(struct seeding *seeding, struct err *err)
{
	const struct dev_seed *seed = seeding->seed;
	struct provision provision;

	provision_init(&provision, seeding->arena, seeding->tenant_id);
	if (seeding->user_id[0] == '\0') {
		uuid_v4(seeding->user_id);
		provision_user(&provision, &(struct user_row){ seeding->user_id, DEV_USER, NULL,
							       "user", true });
	}
	if ((!seeding->has_admin_key || access(seed->admin_key_file, R_OK) < 0) &&
	    make_key(seeding, &provision, ADMIN_KEY_NAME, NULL, "platform", seed->admin_key_file,
		     err) < 0)
		return -1;
	if ((!seeding->has_user_key || access(seed->user_key_file, R_OK) < 0) &&
	    make_key(seeding, &provision, USER_KEY_NAME, seeding->user_id, "user",
		     seed->user_key_file, err) < 0)
		return -1;
	add_samples(seeding, &provision);
	add_signin_code(seeding, &provision);
	return run(seeding, &provision, err);
}

/* A new keyring would make useless what was sealed with one that is gone. */
static int open_keyring(struct seeding *seeding, struct err *err)
{
	const char *path = seeding->seed->keyring_file;

	if (access(path, F_OK) < 0) {
		if (seeding->bound)
			return err_set(err, ERR_CONFLICT,
				       "%s is not there, but the database has secrets that were "
				       "sealed with it: put it back",
				       path);
		if (keyring_create(path, err) < 0)
			return -1;
	}
	seeding->keyring = keyring_load(path, err);
	return seeding->keyring != NULL ? 0 : -1;
}

static int fill(struct seeding *seeding, struct err *err)
{
	char *url = dev_cluster_url(seeding->seed->cluster, DEV_DATABASE, "tollgate_app");

	seeding->db = db_new(seeding->loop, &(struct db_params){
						    .conninfo = url,
						    .max_connections = 1,
						    .connect_timeout_ms = DB_TIMEOUT_MS,
						    .op_timeout_ms = DB_TIMEOUT_MS,
						    .idle_ms = DB_TIMEOUT_MS,
						    .max_queued = 10,
					    });
	free(url);
	if (find_tenant(seeding, err) < 0 || open_keyring(seeding, err) < 0 ||
	    make_tenant(seeding, err) < 0 || find_contents(seeding, err) < 0)
		return -1;
	return make_contents(seeding, err);
}

int dev_seed_run(void *seed)
{
	struct seeding seeding = {
		.seed = seed, .loop = loop_new(), .arena = arena_new(), .urls = json_object()
	};
	struct err err;
	int code = EXIT_OK;

	if (make_schema(&seeding, &err) < 0 || fill(&seeding, &err) < 0 ||
	    make_reader(&seeding, &err) < 0)
		code = complain(EXIT_UNEXPECTED, "%s", err.text);
	db_free(&seeding.db);
	keyring_free(&seeding.keyring);
	json_decref(seeding.urls);
	arena_free(&seeding.arena);
	loop_free(&seeding.loop);
	return code;
}
