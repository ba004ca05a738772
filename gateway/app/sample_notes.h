/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_SAMPLE_NOTES_H
#define GATEWAY_APP_SAMPLE_NOTES_H

/*
 * The sample upstream of `tollgate dev` that wants an account: an MCP server of both eras at /mcp
 * with the tools `list_notes {}` and `add_note {"text"}`, and the authorization server for it (RFC
 * 8414, 9728, 7591, 7009; PKCE; a consent page; access tokens for a minute; refresh tokens that
 * work once). Anybody may sign in under any name. / is a page that shows who has access, and takes
 * it back.
 *
 * Serves the listening socket, which must be of 127.0.0.1, until SIGTERM. What it knows is kept in
 * state_file, so that access outlives a restart. Returns an exit code.
 */
int sample_notes_run(int listen_fd, const char *state_file);

#define SAMPLE_NOTES_ACCESS_S 60 /* life of an access token */

#endif
