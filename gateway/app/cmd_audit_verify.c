/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate audit verify: whether the book is what was written. */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/verify_run.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/app/audit_key.h"
#include "gateway/app/cli.h"
#include "gateway/app/cmd_keyring.h"
#include "gateway/app/sync.h"
#include "tokenstore/keyring.h"

#define PAGE_ROWS	1000
#define PROBE_MS	2500   /* until PostgreSQL has answered at all */
#define OP_TIMEOUT_MS	600000 /* for the first page of a large book on a slow disk */
#define MAX_FINDINGS	100    /* are told; all are counted */
#define MAX_JSON_BYTES	((size_t)4 << 20)
#define MAX_CHAIN_NOTES 1000
#define ATTEMPTS	3
#define DEV_DIR		".run"
#define US_PER_MS	1000

struct verify_options {
	struct keyring_options base; /* first: as keyring_command_open takes them */
	const char *from, *to;
	const char *public_key;
	const char *database_url;
	struct cli_list anchors;
	bool show_public_key;
	bool json;
};
#define AT(member) offsetof(struct verify_options, member)

static const struct cli_option verify_options[] = {
	{"config",	    'c', CLI_TEXT, AT(base.config.file)},
	{ "set",		 0,   CLI_LIST, AT(base.config.sets)},
	{ "dir",		 0,   CLI_TEXT, AT(base.dir)	   },
	{ "from",		  0,   CLI_TEXT, AT(from)		},
	{ "to",		0,   CLI_TEXT, AT(to)		    },
	{ "anchors",	     0,	CLI_LIST, AT(anchors)	      },
	{ "public-key",	0,   CLI_TEXT, AT(public_key)	    },
	{ "show-public-key", 0,	CLI_FLAG, AT(show_public_key) },
	{ "database",	      0,	 CLI_TEXT, AT(database_url)    },
	{ "json",		  0,   CLI_FLAG, AT(json)		},
	{ NULL,		0,   CLI_TEXT, 0		       },
};

struct verifying {
	struct cli *cli;
	const struct verify_options *options;
	struct keyring_command command;
	uint8_t public_key[ED25519_PUBLIC_BYTES];
	int64_t from_us, to_us;
	struct anchor_files *files;
	struct loop *loop;
	struct db *db;
	struct verify_run *run;
	/* What it came to. */
	struct verify_totals totals;
	uint64_t n_findings;
	struct buf findings; /* lines, or objects with commas */
	struct buf first;    /* the first of them */
	struct buf notes;    /* likewise */
	size_t n_notes;
	bool failed;
	struct err err;
};

static bool is_json(const struct verifying *v)
{
	return v->cli->output == OUTPUT_JSON;
}

/* --- what is told of a record ---------------------------------------------------------------- */

static void add_time(struct buf *out, int64_t unix_us)
{
	char text[TEXT_TIME_BYTES];

	text_time(unix_us, text);
	buf_add(out, text);
}

static void add_id(struct buf *out, const uint8_t id[CHAIN_ID_BYTES])
{
	char text[UUID_TEXT_BYTES];

	uuid_text(id, text);
	buf_add(out, text);
}

static bool is_anchor(const struct verify_record *record)
{
	return record->kind == VERIFY_ANCHOR;
}

/* "call 0198… (started …), link 17 of chain 5f…" */
static void add_record(struct buf *out, const struct verify_record *record)
{
	const char *of = is_anchor(record) ? "epoch" : record->chained ? "link" : "number";

	buf_add(out, verify_kind_word(record->kind));
	if (record->has_call_id) {
		buf_add(out, " ");
		add_id(out, record->call_id);
	}
	if (record->label[0] != '\0')
		buf_printf(out, " %s", record->label);
	if (record->started_us != 0) {
		buf_add(out, " of ");
		add_time(out, record->started_us);
	}
	if (record->first != 0 || is_anchor(record))
		buf_printf(out, ", %s %" PRIu64, of, record->first);
	if (record->last > record->first)
		buf_printf(out, " to %" PRIu64, record->last);
	if (record->chained) {
		buf_add(out, " of chain ");
		add_id(out, record->chain);
	}
}

static void add_string(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, ",\"%s\":", name);
	buf_add_json_string(out, value, strlen(value));
}

static void add_record_json(struct buf *out, enum verify_problem problem,
			    const struct verify_record *record)
{
	char text[TEXT_TIME_BYTES], id[UUID_TEXT_BYTES];

	buf_printf(out, "{\"problem\":\"%s\"", verify_problem_word(problem));
	add_string(out, "kind", verify_kind_word(record->kind));
	add_string(out, "text", verify_problem_text(problem));
	if (record->chained) {
		uuid_text(record->chain, id);
		add_string(out, "chain", id);
	}
	if (record->first != 0 || is_anchor(record))
		buf_printf(out, ",\"%s\":%" PRIu64 ",\"last\":%" PRIu64,
			   is_anchor(record) ? "epoch"
			   : record->chained ? "seq"
					     : "number",
			   record->first, record->last);
	if (record->has_call_id) {
		uuid_text(record->call_id, id);
		add_string(out, record->kind == VERIFY_CALL ? "call_id" : "event_id", id);
	}
	if (record->started_us != 0) {
		text_time(record->started_us, text);
		add_string(out, "at", text);
	}
	if (record->label[0] != '\0')
		add_string(out, "name", record->label);
	buf_add(out, "}");
}

static void on_finding(void *ctx, enum verify_problem problem, const struct verify_record *record)
{
	struct verifying *v = ctx;
	struct buf *out = &v->findings;

	if (v->n_findings++ >= MAX_FINDINGS)
		return;
	if (is_json(v)) {
		buf_add(out, out->len > 0 ? "," : "");
		add_record_json(out, problem, record);
	} else {
		add_record(out, record);
		buf_printf(out, ": %s\n", verify_problem_text(problem));
	}
	if (v->n_findings == 1)
		buf_add_span(&v->first, buf_span(out));
}

/* --- chains ---------------------------------------------------------------------------------- */

static void on_chain_done(void *ctx, const struct verify_chain_end *end)
{
	struct verifying *v = ctx;
	struct buf *out = &v->notes;
	char id[UUID_TEXT_BYTES];

	if (end->counts.not_anchored == 0 && end->anchored_us != 0)
		return;
	if (end->counts.links + end->counts.dropped == 0 || v->n_notes++ >= MAX_CHAIN_NOTES)
		return;
	uuid_text(end->id, id);
	if (is_json(v)) {
		buf_printf(out, "%s{\"chain\":\"%s\",\"not_anchored\":%" PRIu64 ",\"anchored_at\":",
			   out->len > 0 ? "," : "", id, end->counts.not_anchored);
		buf_add(out, end->anchored_us != 0 ? "\"" : "null");
		if (end->anchored_us != 0)
			add_time(out, end->anchored_us);
		buf_add(out, end->anchored_us != 0 ? "\"}" : "}");
		return;
	}
	buf_printf(out, "chain %s: %" PRIu64 " links not yet anchored; ", id,
		   end->counts.not_anchored);
	buf_add(out, end->anchored_us != 0 ? "the last anchor is of " : "it has no anchor");
	if (end->anchored_us != 0)
		add_time(out, end->anchored_us);
	buf_add(out, "\n");
}

/* --- conclusions ----------------------------------------------------------------------------- */

static void print_json(const struct verifying *v)
{
	const struct verify_totals *totals = &v->totals;
	const struct verify_counts *counts = &totals->counts;

	printf("{\"ok\":%s,\"chains\":%" PRIu64 ",\"links\":%" PRIu64 ",\"anchors\":%" PRIu64
	       ",\"not_anchored\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"partitions\":%" PRIu64,
	       v->n_findings == 0 ? "true" : "false", totals->chains, counts->links,
	       counts->anchors, counts->not_anchored, counts->dropped, totals->partitions);
	printf(",\"events\":%" PRIu64 ",\"event_seals\":%" PRIu64 ",\"unchained\":%" PRIu64,
	       totals->events, totals->event_seals, totals->unchained);
	if (v->files != NULL)
		printf(",\"second_sink\":{\"anchors\":%zu,\"unreadable\":%zu,\"lacks\":%" PRIu64
		       ",\"pending\":%" PRIu64 "}",
		       anchor_files_n_anchors(v->files), anchor_files_n_unreadable(v->files),
		       totals->not_in_files, totals->pending_anchors);
	else
		printf(",\"second_sink\":null");
	printf(",\"payloads\":%s,\"open_chains\":[%s],\"n_findings\":%" PRIu64
	       ",\"first\":%s,\"findings\":[%s]}\n",
	       totals->payloads ? "true" : "false", buf_str(&v->notes), v->n_findings,
	       v->n_findings > 0 ? buf_str(&v->first) : "null", buf_str(&v->findings));
}

static void print_sink(const struct verifying *v)
{
	const struct verify_totals *totals = &v->totals;

	if (v->files == NULL) {
		printf("the second sink was not looked at: --anchors FILE\n");
		return;
	}
	printf("second sink: %zu anchors", anchor_files_n_anchors(v->files));
	if (totals->not_in_files > 0)
		printf("; %" PRIu64 " of the table's are not in it", totals->not_in_files);
	if (totals->pending_anchors > 0)
		printf("; %" PRIu64 " are on their way to the table", totals->pending_anchors);
	if (anchor_files_n_unreadable(v->files) > 0)
		printf("; %zu lines are none", anchor_files_n_unreadable(v->files));
	printf("\n");
}

static void print_text(const struct verifying *v)
{
	const struct verify_totals *totals = &v->totals;
	const struct verify_counts *counts = &totals->counts;

	printf("%" PRIu64 " links of %" PRIu64 " chains, %" PRIu64 " anchors\n", counts->links,
	       totals->chains, counts->anchors);
	if (totals->event_seals > 0)
		printf("%" PRIu64 " of the links seal %" PRIu64 " events\n", totals->event_seals,
		       totals->events);
	if (totals->partitions > 0)
		printf("%" PRIu64 " links went with %" PRIu64 " partitions that were dropped\n",
		       counts->dropped, totals->partitions);
	if (totals->unchained > 0)
		printf("%" PRIu64 " rows are older than the chains\n", totals->unchained);
	if (!totals->payloads)
		printf("payloads were not looked at: this role may not read them\n");
	print_sink(v);
	printf("%s", buf_str(&v->notes));
	if (v->n_findings == 0) {
		printf("nothing is wrong\n");
		return;
	}
	printf("\n%s", buf_str(&v->findings));
	if (v->n_findings > MAX_FINDINGS)
		printf("and %" PRIu64 " more\n", v->n_findings - MAX_FINDINGS);
}

static int conclude(struct verifying *v)
{
	size_t n = v->first.len;

	if (is_json(v))
		print_json(v);
	else
		print_text(v);
	if (v->n_findings == 0)
		return EXIT_OK;
	if (!is_json(v) && n > 0)
		v->first.data[--n] = '\0';
	return cli_fail(v->cli, EXIT_UNEXPECTED, "tampered",
			"the book is not what was written: %" PRIu64 " findings%s%.400s",
			v->n_findings,
			is_json(v) ? "" : ", first: ", is_json(v) ? "" : buf_str(&v->first));
}

/* --- the run --------------------------------------------------------------------------------- */

static void on_done(void *ctx, const struct verify_totals *totals, const struct err *err)
{
	struct verifying *v = ctx;

	v->totals = *totals;
	v->failed = err != NULL;
	if (err != NULL)
		v->err = *err;
	loop_stop(v->loop);
}

static void verify_once(struct verifying *v)
{
	/* Whoever comes as the gateway sees all of it only so; to others it says nothing. */
	static const struct db_setting scope = { "app.audit_scope", "seals" };

	v->n_findings = 0;
	v->n_notes = 0;
	buf_clear(&v->findings);
	buf_clear(&v->first);
	buf_clear(&v->notes);
	verify_run_start(&v->run, &(struct verify_run_params){
					  .loop = v->loop,
					  .db = v->db,
					  .setting = &scope,
					  .public_key = v->public_key,
					  .files = v->files,
					  .now_us = loop_unix_us(),
					  .page_rows = PAGE_ROWS,
					  .from_us = v->from_us,
					  .to_us = v->to_us,
					  .report = on_finding,
					  .chain_done = on_chain_done,
					  .done = on_done,
					  .ctx = v,
				  });
	loop_run(v->loop);
}

static struct db *connect_to(struct verifying *v, const char *url, int64_t timeout_ms)
{
	return db_new(v->loop, &(struct db_params){
				       .conninfo = url,
				       .max_connections = 1,
				       .connect_timeout_ms = PROBE_MS,
				       .op_timeout_ms = timeout_ms,
				       .idle_ms = OP_TIMEOUT_MS,
				       .max_queued = 1,
			       });
}

/* One that does not answer is not waited for as long as one that has much to read. */
static int probe(struct verifying *v, const char *url)
{
	static const struct db_statement hello = { .sql = "SELECT 1" };
	const struct db_tx tx = { .statements = &hello, .n_statements = 1 };
	struct err err;
	int ret;

	v->db = connect_to(v, url, PROBE_MS);
	ret = sync_tx(v->loop, v->db, &tx, NULL, NULL, &err);
	db_free(&v->db);
	return ret == 0 ? EXIT_OK : cli_fail(v->cli, EXIT_UNREACHABLE, "database", "%s", err.text);
}

static int verify(struct verifying *v, const char *url)
{
	v->db = connect_to(v, url, OP_TIMEOUT_MS);
	buf_init(&v->findings, MAX_JSON_BYTES);
	buf_init(&v->first, MAX_JSON_BYTES);
	buf_init(&v->notes, MAX_JSON_BYTES);
	/* What was missing may have gone with a partition that was dropped at that moment. */
	for (int i = 0; i < ATTEMPTS; i++) {
		verify_once(v);
		if (v->failed || v->n_findings == 0 || !v->totals.partitions_dropped)
			break;
	}
	db_free(&v->db);
	if (v->failed)
		return cli_fail(v->cli, EXIT_UNREACHABLE, "database", "%s", v->err.text);
	return conclude(v);
}

/* --- what it needs --------------------------------------------------------------------------- */

/* As the API takes them: "now", so long ago, or a time. */
static int parse_time(struct verifying *v, const char *text, int64_t absent, int64_t *out)
{
	int64_t now_us = loop_unix_us();
	int64_t ms = 0;
	struct err err;

	*out = absent;
	if (text == NULL || text_parse_time(text, out, &err) == 0)
		return EXIT_OK;
	if (strcmp(text, "now") != 0 &&
	    (text_duration_ms(text, &ms, &err) < 0 || ms > now_us / US_PER_MS))
		return cli_misuse(v->cli,
				  "%s: a time is 2026-07-01T00:00:00Z, how long ago such as 7d, "
				  "or now",
				  text);
	*out = now_us - ms * US_PER_MS;
	return EXIT_OK;
}

static int find_public_key(struct verifying *v)
{
	const char *text = v->options->public_key;
	uint8_t seed[ED25519_SEED_BYTES];
	struct keyring *keyring;
	struct err err;

	if (text != NULL && hex_decode(span_of(text), v->public_key, sizeof(v->public_key)) < 0)
		return cli_misuse(v->cli, "--public-key takes %d hex digits",
				  2 * ED25519_PUBLIC_BYTES);
	if (text != NULL)
		return EXIT_OK;
	keyring = keyring_load(v->command.config.keyring_file, &err);
	if (keyring == NULL)
		return cli_fail(v->cli, EXIT_CONFIG, "keyring", "%s; or say --public-key",
				err.text);
	audit_key_seed(keyring, seed);
	crypto_ed25519_public(seed, v->public_key);
	mem_wipe(seed, sizeof(seed));
	keyring_free(&keyring);
	return EXIT_OK;
}

static int open_files(struct verifying *v)
{
	const struct cli_list *given = &v->options->anchors;
	char *own = audit_anchor_path(&v->command.config);
	bool opens_own =
		given->n == 0 && v->options->database_url == NULL && access(own, F_OK) == 0;
	const char *paths[] = { own };
	struct err err;

	if (given->n > 0 || opens_own)
		v->files = anchor_files_open(opens_own ? paths : given->items,
					     opens_own ? 1 : given->n, &err);
	free(own);
	return v->files != NULL || (given->n == 0 && !opens_own)
		       ? EXIT_OK
		       : cli_fail(v->cli, EXIT_USAGE, "anchors", "%s", err.text);
}

static int show_public_key(struct verifying *v)
{
	char text[2 * ED25519_PUBLIC_BYTES + 1];

	hex_encode(v->public_key, sizeof(v->public_key), text);
	if (is_json(v))
		printf("{\"public_key\":\"%s\"}\n", text);
	else
		printf("%s\n", text);
	return EXIT_OK;
}

static int check_and_verify(struct verifying *v)
{
	const char *url = v->options->database_url;
	int code = find_public_key(v);

	if (code != EXIT_OK || v->options->show_public_key)
		return code != EXIT_OK ? code : show_public_key(v);
	if (url == NULL)
		url = v->command.config.database_url;
	if (url == NULL || url[0] == '\0')
		return cli_misuse(v->cli, "say which database: --database, --dir or --config");
	code = parse_time(v, v->options->from, INT64_MIN, &v->from_us);
	if (code == EXIT_OK)
		code = parse_time(v, v->options->to, INT64_MAX, &v->to_us);
	if (code == EXIT_OK)
		code = open_files(v);
	if (code != EXIT_OK)
		return code;
	v->loop = loop_new();
	code = probe(v, url);
	if (code == EXIT_OK)
		code = verify(v, url);
	loop_free(&v->loop);
	return code;
}

/* A development directory beside us is meant if nothing else was said. */
static struct keyring_options choose_source(const struct verify_options *options)
{
	struct keyring_options base = options->base;

	if (base.dir == NULL && base.config.file == NULL && base.config.sets.n == 0 &&
	    getenv("TOLLGATE_CONFIG") == NULL && getenv("TOLLGATE_DATABASE_URL") == NULL &&
	    options->database_url == NULL && access(DEV_DIR "/keyring.json", F_OK) == 0)
		base.dir = DEV_DIR;
	return base;
}

static int run(struct cli *cli, const void *ctx)
{
	const struct verify_options *options = ctx;
	const struct keyring_options source = choose_source(options);
	struct verifying v = { .cli = cli, .options = options };
	int code;

	if (options->json)
		cli->output = OUTPUT_JSON;
	code = keyring_command_open(&v.command, cli, &source);
	if (code == EXIT_OK)
		code = check_and_verify(&v);
	anchor_files_free(&v.files);
	buf_fini(&v.findings);
	buf_fini(&v.first);
	buf_fini(&v.notes);
	keyring_command_close(&v.command);
	return code;
}

const struct cli_command cli_audit_verify = { verify_options, sizeof(struct verify_options),
					      CLI_LOCAL, run };
