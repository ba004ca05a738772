/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_SAMPLE_CLOCK_H
#define GATEWAY_APP_SAMPLE_CLOCK_H

/*
 * The sample upstream of `tollgate dev`: an MCP server of both eras at /mcp with the tools
 * `now {}` and `sleep {"ms"}` (reports progress, can be cancelled). Serves the listening socket
 * until SIGTERM. Returns an exit code.
 */
int sample_clock_run(int listen_fd);

#endif
