// SPDX-License-Identifier: Apache-2.0
//
// Every scenario by name: what it shows, and how much of it `make test` and `make campaign` run.
//
// run(options) gives {problems, numbers, limits}. A problem is a sentence about something that must
// not be; a limit is [number, at most], judged by the campaign only: time belongs to no test.

import { kill } from './kill.mjs';
import { clockSteps, gatewaysKilled } from './machine.mjs';
import { neighbours } from './neighbours.mjs';
import {
  postgresFull,
  postgresKilled,
  postgresReadOnly,
  postgresStopped,
} from './postgres.mjs';
import { refreshKill, refreshMany, refreshStorm } from './refresh.mjs';
import { restart, rollingGateways, rollingWorkers } from './restart.mjs';
import { spoolFaults, spoolFull } from './spool.mjs';

export const scenarios = {
  kill: {
    shows: 'a killed worker takes nothing with it but the connections that it held',
    run: kill,
    sample: { count: 4 },
    full: { count: 200 },
  },
  'postgres-killed': {
    shows: 'what is known is served while Postgres is dead, and every row arrives',
    run: postgresKilled,
    sample: { seconds: 4 },
    full: { seconds: 20 },
  },
  'postgres-stopped': {
    shows: 'what is known is served while Postgres hangs, and every row arrives',
    run: postgresStopped,
    sample: { seconds: 4 },
    full: { seconds: 20 },
  },
  'postgres-full': {
    shows: 'every row arrives after the disk of Postgres was full',
    run: postgresFull,
    sample: { seconds: 3 },
    full: { seconds: 20 },
  },
  'postgres-read-only': {
    shows: 'every row arrives after Postgres took no writes',
    run: postgresReadOnly,
    sample: { seconds: 3 },
    full: { seconds: 20 },
  },
  'spool-full': {
    shows: 'a full disk of the spool refuses calls, lets what runs finish, and resumes by itself',
    run: spoolFull,
    sample: { rounds: 2 },
    full: { rounds: 6 },
  },
  'spool-faults': {
    shows: 'a spool that fails at any call costs no row, and a worker on a dead disk is replaced',
    run: spoolFaults,
    sample: { most: 12, stride: 4, seconds: 2 },
    full: { most: 40, seconds: 20 },
  },
  'clock-steps': {
    shows: 'a wall clock that steps costs no call and no row',
    run: clockSteps,
    sample: { rounds: 1 },
    full: { rounds: 20 },
  },
  'gateways-killed': {
    shows: 'of two gateways one is killed whole and comes back, or its spools are drained elsewhere',
    run: gatewaysKilled,
    sample: { count: 1 },
    full: { count: 30 },
  },
  neighbours: {
    shows: 'upstreams in trouble harm nobody else, and come back by themselves',
    run: neighbours,
    sample: { seconds: 4, rounds: 1, patient: false },
    full: { seconds: 60, rounds: 4 },
  },
  'refresh-storm': {
    shows: 'a token that expires under many callers of two gateways is renewed exactly once',
    run: refreshStorm,
    sample: { rounds: 7 },
    full: { rounds: 125 },
  },
  'refresh-kill': {
    shows: 'a worker that dies while it renews loses no grant but where the answer was lost',
    run: refreshKill,
    sample: { count: 5 },
    full: { count: 50 },
  },
  'refresh-many': {
    shows: 'grants that all fall due at once are renewed once each, and calls do not wait for them',
    run: refreshMany,
    sample: { count: 200, idleMs: 1000 },
    full: { count: 10000 },
  },
  restart: {
    shows: 'sessions outlive the gateway',
    run: restart,
    sample: { count: 1 },
    full: { count: 10 },
  },
  'rolling-workers': {
    shows: 'workers are replaced under load without a failed call',
    run: rollingWorkers,
    sample: { seconds: 4, every: 2 },
    full: { seconds: 120, every: 5 },
  },
  'rolling-gateways': {
    shows: 'gateways behind a front are restarted one after the other without a failed call',
    run: rollingGateways,
    sample: { seconds: 4, every: 2 },
    full: { seconds: 120, every: 5 },
  },
};
