/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAKES_IOFAIL_H
#define TESTS_FAKES_IOFAIL_H

/*
 * Makes the n-th call that changes a file fail. A test that uses it links with
 *
 *   -Wl,--wrap=write,--wrap=writev,--wrap=fdatasync,--wrap=fsync,--wrap=fallocate,--wrap=ftruncate
 *
 * Only calls on regular files and directories count, so that pipes, event descriptors and
 * terminals work on. Safe with threads.
 */

enum iofail_mode {
	IOFAIL_OFF,
	IOFAIL_ONCE,	   /* the n-th call fails */
	IOFAIL_FROM,	   /* it and all later ones fail */
	IOFAIL_SHORT_ONCE, /* of write and writev only: the n-th takes half of its bytes */
	IOFAIL_EINTR_ONCE, /* of write, writev and fallocate only: the n-th is interrupted */
};

/* Counting starts anew; n is 1 for the first call. */
void iofail_arm(enum iofail_mode mode, unsigned n, int error);
void iofail_disarm(void);
/* Whether any call failed since iofail_arm. */
int iofail_fired(void);

#endif
