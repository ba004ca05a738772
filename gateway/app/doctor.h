/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_DOCTOR_H
#define GATEWAY_APP_DOCTOR_H

/*
 * What `tollgate doctor` looks at. A check finds one thing out and says in a sentence what it
 * found and, unless that is fine, in another what to do. Checks change nothing and show no
 * secret; one whose ground is missing (no database) warns that it was not made.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/db.h"
#include "base/loop.h"
#include "base/mem.h"
#include "gateway/app/config.h"

struct keyring;

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };
const char *verdict_name(enum verdict verdict);

struct finding {
	enum verdict verdict;
	const char *text; /* in the arena */
	const char *fix;  /* a constant; NULL: nothing to do */
};

struct doctor {
	struct arena *arena;
	struct loop *loop;
	struct config config;
	const char *problem; /* the first of the configuration; NULL: it is good */
	size_t n_problems;
	const char *source;	 /* where the configuration comes from */
	const char *dev_dir;	 /* NULL: not a development directory */
	int64_t workers;	 /* that run, or would */
	bool runs;		 /* somebody holds the data directory */
	struct keyring *keyring; /* NULL: it cannot be used */
	struct db *db;		 /* as the program; NULL: not looked at */
	bool reached;		 /* it answers */
	bool migrated;		 /* its schema is that of this program */
};

struct check {
	const char *name;
	void (*run)(struct doctor *doctor, struct finding *finding);
};
/* In the order in which they build on each other; each ends with a NULL name. */
extern const struct check doctor_local_checks[];
extern const struct check doctor_database_checks[];
extern const struct check doctor_gateway_checks[];

/* fix NULL: all is well. */
void doctor_found(struct doctor *doctor, struct finding *finding, enum verdict verdict,
		  const char *fix, const char *format, ...) ERR_PRINTF(5, 6);

#endif
