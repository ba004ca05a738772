/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_NOTIFY_H
#define GATEWAY_APP_NOTIFY_H

/* What the service manager hears of us: sd_notify(3) without the library. */

#include <stdint.h>

struct notify {
	int fd;		     /* -1: nobody asked */
	int64_t watchdog_ms; /* how often it wants to hear; 0: never */
	int64_t next_ms;     /* when it hears next */
};

/* Reads NOTIFY_SOCKET and WATCHDOG_USEC and removes them: they are not for children. */
void notify_init(struct notify *notify);
void notify_fini(struct notify *notify);
/* "READY=1", "STOPPING=1\nSTATUS=…", … */
void notify_send(const struct notify *notify, const char *state);
/* WATCHDOG=1 if it is time. */
void notify_beat(struct notify *notify, int64_t now_ms);

#endif
