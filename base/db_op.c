/* SPDX-License-Identifier: Apache-2.0 */

/* What an operation owns: its copy of the transaction, and its results. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/db_priv.h"

/* With a NUL behind, as libpq wants its parameters. */
static struct span copy_param(struct db_op *op, struct span param)
{
	if (param.p == NULL)
		return param;
	assert(memchr(param.p, '\0', param.n) == NULL);
	op->tx_bytes += param.n;
	return (struct span){ arena_dup(op->arena, param.p, param.n), param.n };
}

static struct db_statement copy_statement(struct db_op *op, const struct db_statement *statement)
{
	struct span *params = arena_alloc(op->arena, (statement->n_params + 1) * sizeof(*params));

	assert(statement->n_params <= DB_MAX_PARAMS);
	for (size_t i = 0; i < statement->n_params; i++)
		params[i] = copy_param(op, statement->params[i]);
	op->tx_bytes += strlen(statement->sql);
	return (struct db_statement){ .sql = arena_strdup(op->arena, statement->sql),
				      .params = params,
				      .n_params = statement->n_params };
}

struct db_op *db_op_new(const struct db_tx *tx)
{
	struct db_op *op = mem_new(sizeof(*op));
	struct db_setting *settings;
	struct db_statement *statements;

	assert(tx->n_statements > 0 && tx->n_statements <= DB_MAX_STATEMENTS);
	op->arena = arena_new();
	settings = arena_alloc(op->arena, (tx->n_settings + 1) * sizeof(*settings));
	for (size_t i = 0; i < tx->n_settings; i++) {
		settings[i].name = arena_strdup(op->arena, tx->settings[i].name);
		settings[i].value = arena_strdup(op->arena, tx->settings[i].value);
	}
	statements = arena_alloc(op->arena, tx->n_statements * sizeof(*statements));
	for (size_t i = 0; i < tx->n_statements; i++)
		statements[i] = copy_statement(op, &tx->statements[i]);
	op->tx = (struct db_tx){ .settings = settings,
				 .n_settings = tx->n_settings,
				 .statements = statements,
				 .n_statements = tx->n_statements };
	return op;
}

void db_op_forget_tx(struct db_op *op)
{
	arena_free(&op->arena);
	op->tx.settings = NULL;
	op->tx.statements = NULL;
}

void db_op_free(struct db_op *op)
{
	for (size_t i = 0; i < DB_MAX_STATEMENTS; i++)
		PQclear(op->results[i].pg);
	arena_free(&op->arena);
	free(op);
}
