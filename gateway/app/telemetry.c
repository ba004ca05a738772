/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/telemetry.h"

#include <string.h>

#include "audit/otel_names.h"
#include "base/crypto.h"
#include "base/text.h"
#include "gateway/app/config.h"
#include "version.h"

#define TRACES_PATH   "/v1/traces"
#define N_OWN	      3 /* attributes of the resource that nobody has to set */
#define SCOPE	      "tollgate"
#define REDACTED_FORM "it must be NAME=VALUE with commas between, values percent-encoded"

static struct span trimmed(struct span text)
{
	while (text.n > 0 && text.p[0] == ' ')
		text = (struct span){ text.p + 1, text.n - 1 };
	while (text.n > 0 && text.p[text.n - 1] == ' ')
		text.n--;
	return text;
}

/* NULL if a percent sign stands alone, or for a byte that no text has. */
static char *decode(struct span text, struct arena *arena)
{
	char *out = arena_alloc(arena, text.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++, n++) {
		out[n] = text.p[i];
		if (out[n] == '%') {
			if (i + 2 >= text.n ||
			    hex_decode((struct span){ text.p + i + 1, 2 }, out + n, 1) < 0)
				return NULL;
			i += 2;
		}
		if ((unsigned char)out[n] < ' ' || out[n] == '\x7f')
			return NULL;
	}
	return text_is_utf8(out, n) ? out : NULL;
}

static int pair_of(struct span text, struct arena *arena, struct telemetry_pair *out)
{
	const char *equals = text.n > 0 ? memchr(text.p, '=', text.n) : NULL;
	struct span name, value;

	if (equals == NULL)
		return -1;
	name = trimmed((struct span){ text.p, (size_t)(equals - text.p) });
	value = trimmed((struct span){ equals + 1, text.n - (size_t)(equals - text.p) - 1 });
	out->name = arena_dup(arena, name.p, name.n);
	out->value = decode(value, arena);
	return name.n > 0 && out->value != NULL && text_is_token(out->name) ? 0 : -1;
}

int telemetry_pairs(const char *text, struct arena *arena,
		    struct telemetry_pair out[TELEMETRY_MAX_PAIRS], struct err *err)
{
	int n = 0;

	while (*text != '\0') {
		size_t length = strcspn(text, ",");
		struct span one = trimmed((struct span){ text, length });

		text += length + (text[length] == ',');
		if (one.n == 0)
			continue;
		if (n == TELEMETRY_MAX_PAIRS)
			return err_set(err, ERR_BAD_REQUEST, "there are more than %d entries",
				       TELEMETRY_MAX_PAIRS);
		if (pair_of(one, arena, &out[n++]) < 0) {
			err_set(err, ERR_BAD_REQUEST, REDACTED_FORM);
			return -1;
		}
	}
	return n;
}

int telemetry_attributes_check(const char *value, struct err *err)
{
	struct telemetry_pair pairs[TELEMETRY_MAX_PAIRS];
	struct arena *arena = arena_new();
	int n = telemetry_pairs(value, arena, pairs, err);

	arena_free(&arena);
	return n < 0 ? -1 : 0;
}

int telemetry_headers_check(const char *value, struct err *err)
{
	return telemetry_attributes_check(value, err);
}

int telemetry_ratio_check(const char *value, struct err *err)
{
	struct tracing tracing;

	return tracing_sampler_parse("traceidratio", value, &tracing, err);
}

/* The base may end with a slash. */
static const char *traces_url(const struct config *config, struct arena *arena)
{
	const char *base = config->otlp_endpoint;
	size_t n = strlen(base);

	if (config->otlp_traces_endpoint[0] != '\0')
		return config->otlp_traces_endpoint;
	if (n == 0)
		return NULL;
	return arena_printf(arena, "%.*s" TRACES_PATH, (int)(base[n - 1] == '/' ? n - 1 : n), base);
}

/* OTEL_SERVICE_NAME wins over an attribute of that name (SDK configuration). */
static size_t resource_of(const struct config *config, const char *node_id,
			  const struct telemetry_pair *pairs, int n_pairs,
			  struct otlp_attribute out[N_OWN + TELEMETRY_MAX_PAIRS])
{
	static const enum otel_name own[N_OWN] = { OTEL_SERVICE, OTEL_SERVICE_VERSION,
						   OTEL_SERVICE_INSTANCE };
	const char *values[N_OWN] = { config->service_name, TOLLGATE_VERSION, node_id };
	size_t n = 0;

	for (; n < N_OWN; n++)
		out[n] = (struct otlp_attribute){ otel_names[own[n]].attribute, span_of(values[n]),
						  0 };
	for (int i = 0; i < n_pairs; i++) {
		bool taken = false;

		for (size_t k = 0; k < N_OWN; k++)
			taken = taken || strcmp(pairs[i].name, out[k].key) == 0;
		if (!taken)
			out[n++] = (struct otlp_attribute){ pairs[i].name, span_of(pairs[i].value),
							    0 };
	}
	return n;
}

static struct otlp *open_otlp(struct loop *loop, const struct config *config, const char *node_id,
			      struct arena *arena, struct err *err)
{
	struct otlp_attribute resource[N_OWN + TELEMETRY_MAX_PAIRS];
	struct http_header headers[TELEMETRY_MAX_PAIRS];
	struct telemetry_pair pairs[TELEMETRY_MAX_PAIRS];
	int n_headers = telemetry_pairs(config->otlp_headers, arena, pairs, err);
	int n_pairs;

	for (int i = 0; i < n_headers; i++)
		headers[i] = (struct http_header){ pairs[i].name, pairs[i].value };
	n_pairs = telemetry_pairs(config->resource_attributes, arena, pairs, err);
	if (n_headers < 0 || n_pairs < 0)
		return NULL;
	return otlp_new(
		&(struct otlp_params){
			.loop = loop,
			.url = traces_url(config, arena),
			.headers = headers,
			.n_headers = (size_t)n_headers,
			.resource = resource,
			.n_resource = resource_of(config, node_id, pairs, n_pairs, resource),
			.scope_name = SCOPE,
			.scope_version = TOLLGATE_VERSION,
			.timeout_ms = config->otlp_timeout_ms,
			.batch_ms = config->otlp_delay_ms,
		},
		err);
}

int telemetry_init(struct tracing *tracing, struct loop *loop, const struct config *config,
		   const char *node_id, struct err *err)
{
	struct arena *arena;
	int ret = 0;

	*tracing = (struct tracing){ .otlp = NULL };
	if (tracing_sampler_parse(config->traces_sampler, config->traces_sampler_arg, tracing,
				  err) < 0)
		return err_prefix(err, "traces_sampler_arg");
	arena = arena_new();
	if (traces_url(config, arena) != NULL) {
		tracing->otlp = open_otlp(loop, config, node_id, arena, err);
		ret = tracing->otlp != NULL ? 0 : err_prefix(err, "otlp_endpoint");
	}
	arena_free(&arena);
	return ret;
}

void telemetry_fini(struct tracing *tracing)
{
	otlp_free(&tracing->otlp);
}
