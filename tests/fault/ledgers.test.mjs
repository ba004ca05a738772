// SPDX-License-Identifier: Apache-2.0
//
// The comparison of the three ledgers finds each way in which they can disagree.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { compareLedgers } from './lib/ledgers.mjs';

const call = (more = {}) => ({
  nonce: 'n1',
  tenant: 'acme',
  user: 'ana',
  method: 'tools/call',
  connection: 'old',
  tool: 'old__echo',
  status: 200,
  answer: { result: { content: [] } },
  endedAt: 2,
  ...more,
});
const run = (more = {}) => ({
  nonce: 'n1',
  times: 1,
  tool: 'echo',
  tenant: 'acme',
  outcome: 'result',
  ...more,
});
const row = (more = {}) => ({
  request_id: '"n1"',
  tenant: 'acme',
  user_name: 'ana',
  connection: 'old',
  method: 'tools/call',
  tool: 'old__echo',
  outcome: 'ok',
  ...more,
});
const lost = { status: undefined, answer: undefined, problem: 'ECONNRESET' };

// Exactly one contradiction, which says this.
function finds(ledgers, pattern, allowed) {
  const problems = compareLedgers(ledgers, allowed);
  assert.equal(problems.length, 1, problems.join('\n'));
  assert.match(problems[0], pattern);
}
const all = () => true;

describe('ledgers that agree', () => {
  const agrees = (ledgers, allowed) => assert.deepEqual(compareLedgers(ledgers, allowed), []);

  test('have nothing to say', () => {
    agrees({ calls: [call()], runs: [run()], rows: [row()] });
    agrees({ calls: [], runs: [], rows: [] });
  });
  test('may lack the row of a call that was lost before it left the gate', () => {
    agrees({ calls: [call(lost)], runs: [], rows: [] }, all);
  });
  test('say of a call whose worker died that nobody knows', () => {
    agrees({ calls: [call(lost)], runs: [run()], rows: [row({ outcome: 'unknown' })] }, all);
  });
  const unrecorded = {
    status: 503,
    answer: { error: { code: -32000, data: { code: 'audit_unavailable' } } },
  };
  test('may lack the row of a call that the book had no room for', () => {
    agrees({ calls: [call(unrecorded)], runs: [], rows: [] }, all);
    agrees({ calls: [call(unrecorded)], runs: [], rows: [row({ outcome: 'unavailable' })] }, all);
  });
  test('do not know how a call ended whose outcome had no room', () => {
    agrees({ calls: [call(unrecorded)], runs: [run()], rows: [row({ outcome: 'unknown' })] }, all);
  });
  test('know no tenant of what was refused unread', () => {
    const refused = call({ status: 503, answer: { error: { code: -32000 } } });
    const nobody = { tenant: null, user_name: null, tool: null, connection: null };
    agrees({ calls: [refused], runs: [], rows: [row({ outcome: 'unavailable', ...nobody })] }, all);
  });
});

describe('ledgers disagree when', () => {
  test('a call ran twice', () => {
    finds({ calls: [call()], runs: [run({ times: 2 })], rows: [row()] }, /^I1 n1: ran 2 times/);
  });
  test('a call that ran has no row', () => {
    finds({ calls: [call(lost)], runs: [run()], rows: [] }, /^I1 n1: ran upstream and has/, all);
  });
  test('a call that had no room ran all the same', () => {
    const answer = { error: { code: -32000, data: { code: 'audit_unavailable' } } };
    finds(
      { calls: [call({ status: 503, answer })], runs: [run()], rows: [] },
      /^I1 n1: ran upstream and has/,
      all,
    );
  });
  test('another 503 has no row', () => {
    const answer = { error: { code: -32000, data: { code: 'other' } } };
    finds({ calls: [call({ status: 503, answer })], runs: [], rows: [] }, /^I2 n1: answered/, all);
  });
  test('an upstream ran what nobody sent', () => {
    finds({ calls: [], runs: [run()], rows: [] }, /^I1 n1: ran upstream, nobody sent it/);
  });
  test('a call that was refused ran all the same', () => {
    const denied = call({ answer: { error: { code: -32602 } } });
    finds(
      { calls: [denied], runs: [run()], rows: [row({ outcome: 'denied' })] },
      /^I1 n1: ran/,
      all,
    );
  });
  test('a client has a result that no upstream gave', () => {
    const problems = compareLedgers({ calls: [call()], runs: [], rows: [row()] });
    assert.equal(problems.length, 2);
    for (const problem of problems) assert.match(problem, /^I1 n1: .*the upstream never saw it/);
  });
  test('a call that was answered has no row', () => {
    const list = call({ method: 'tools/list', tool: undefined, connection: undefined });
    finds({ calls: [list], runs: [], rows: [] }, /^I2 n1: answered, and has no row/);
  });
  test('a row says otherwise than the client saw', () => {
    finds(
      { calls: [call()], runs: [run()], rows: [row({ outcome: 'timeout' })] },
      /^I2 n1: the row says timeout/,
    );
  });
  test('a row is there twice', () => {
    finds({ calls: [call()], runs: [run()], rows: [row(), row()] }, /^I3 n1: 2 rows/);
  });
  test('a row is of no call', () => {
    finds({ calls: [], runs: [], rows: [row()] }, /^I3 n1: a row that nobody sent/);
    finds({ calls: [], runs: [], rows: [row({ request_id: '7' })] }, /^I3 a row that nobody sent/);
    finds({ calls: [], runs: [], rows: [row({ request_id: null })] }, /^I3 a row that nobody sent/);
  });
  for (const [column, value] of Object.entries({
    tenant: 'other',
    user_name: 'bob',
    connection: 'new',
    tool: 'old__sleep',
    method: 'tools/list',
  }))
    test(`a row names another ${column}`, () => {
      finds(
        { calls: [call()], runs: [run()], rows: [row({ [column]: value })] },
        new RegExp(`^I4 n1: ${column} is`),
      );
    });
  test('an upstream was called for another tenant', () => {
    finds(
      { calls: [call()], runs: [run({ tenant: 'other' })], rows: [row()] },
      /^I4 n1: ran for tenant other/,
    );
  });
  test("a client got another's answer", () => {
    finds(
      { calls: [call({ foreign: 'the answer to n2' })], runs: [run()], rows: [row()] },
      /^I4 n1: got the answer to n2/,
    );
  });
  test('a call failed that was not allowed to', () => {
    const broken = call({ answer: { result: { content: [], isError: true } } });
    const ledgers = { calls: [broken], runs: [], rows: [row({ outcome: 'upstream_error' })] };
    finds(ledgers, /^failed n1: /);
    assert.deepEqual(compareLedgers(ledgers, all), []);
    finds({ calls: [call(lost)], runs: [], rows: [] }, /^failed n1: .*ECONNRESET/);
  });
  test('a call never came to an end', () => {
    const problems = compareLedgers(
      { calls: [call({ ...lost, endedAt: undefined })], runs: [], rows: [] },
      all,
    );
    assert.deepEqual(problems, ['n1: still runs']);
  });
});
