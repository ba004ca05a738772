/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_CONFIG_PRIV_H
#define GATEWAY_APP_CONFIG_PRIV_H

/* What the files of the configuration share: the table of settings. */

#include "gateway/app/config.h"

#define CONFIG_MAX_LIST	      100
#define CONFIG_MAX_FILE_BYTES 65536
#define CONFIG_ENV_PREFIX     "TOLLGATE_"
#define CONFIG_ENV_BYTES      128

enum setting_kind {
	TEXT,
	CONNINFO, /* of PostgreSQL: a text that may hold a password */
	HIDDEN,	  /* a text that is a secret: shown to nobody */
	LIST,	  /* of texts */
	NUMBER,
	DURATION,
	WORD, /* one of a few */
};

struct setting {
	const char *name;
	enum setting_kind kind;
	size_t at;
	size_t count_at; /* LIST */
	const char *fallback;
	uint64_t min, max; /* of a NUMBER, or of a DURATION in milliseconds */
	const char *words; /* of a WORD, '|' between */
	/* Of a text or an element of a list that is not empty; NULL: anything goes. */
	int (*check)(const char *value, struct err *err);
	const char *help;
};
extern const struct setting config_settings[];
extern const size_t config_n_settings;

/* NULL: there is none of that name. */
const struct setting *config_find(const char *name);
/* Says which name was probably meant. Always returns -1. */
int config_unknown(const char *name, struct err *err);
/* origin says where the value comes from, and is copied. */
int config_apply(struct config *config, const struct setting *setting, const char *value,
		 const char *origin, struct err *err) MUST_CHECK;
int config_apply_list(struct config *config, const struct setting *setting,
		      const char *const *items, size_t n, const char *origin,
		      struct err *err) MUST_CHECK;
/* "TOLLGATE_NAME" + suffix. */
void config_variable(const struct setting *setting, const char *suffix,
		     char variable[CONFIG_ENV_BYTES]);
/* The file's text without the newline at its end, in the arena; NULL on failure. */
char *config_read_text(struct arena *arena, const char *path, struct err *err) MUST_CHECK;

/* Each tells what is wrong and goes on. */
void config_problem(const struct config_problems *problems, const char *format, ...)
	ERR_PRINTF(2, 3);
void config_read_file(struct config *config, const char *path,
		      const struct config_problems *problems);
void config_read_environment(struct config *config, const struct config_problems *problems);
void config_read_sets(struct config *config, const struct config_sources *sources,
		      const struct config_problems *problems);
void config_find_missing(const struct config *config, const struct config_problems *problems);

#endif
