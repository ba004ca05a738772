// SPDX-License-Identifier: Apache-2.0
//
// The conformance suite through the endpoint of one connection: the requirements of either revision,
// on an upstream of either era. What has to pass and what does not yet is in conformance_baseline.mjs.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { baseline, passing } from './conformance_baseline.mjs';
import {
  baselineOf,
  eras,
  expectedFailures,
  judge,
  readResults,
  revisions,
  runSuite,
  startStage,
} from './lib/conformance.mjs';

let scratch;
let stage;
const seen = new Set(); // scenarios of all runs through the gateway

before(async () => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'tollgate-conformance-'));
  stage = await startStage();
});

after(async () => {
  await stage?.close();
  fs.rmSync(scratch, { recursive: true, force: true });
});

async function runAll(url, revision, name, expected) {
  const output = path.join(scratch, name);
  const file = `${output}.yml`;
  fs.writeFileSync(file, expectedFailures(expected));
  const args = ['--url', url, '--requirements', revision, '--expected-failures', file];
  const run = await runSuite([...args, '--output-dir', output]);
  return { ...run, results: fs.existsSync(output) ? readResults(output) : new Map() };
}

describe('through the gateway', { concurrency: 2 }, () => {
  for (const revision of revisions) {
    for (const era of eras) {
      test(`${revision} on an upstream of the ${era} era`, async (t) => {
        const expected = baselineOf(baseline, { revision, era });
        const name = `${revision}-${era}`;
        const { code, output, results } = await runAll(stage.url(era), revision, name, expected);
        for (const [scenario, checks] of results) {
          seen.add(scenario);
          await t.test(scenario, () => {
            assert.deepEqual(judge(scenario, checks, passing[revision], expected), []);
          });
        }
        await t.test('every scenario that has to pass was run', () => {
          assert.deepEqual(
            passing[revision].filter((scenario) => !results.has(scenario)),
            [],
          );
        });
        await t.test('the suite itself agrees', () => {
          assert.equal(code, 0, output.slice(output.indexOf('=== SUMMARY')));
        });
      });
    }
  }
});

test('every entry of the baseline is about a scenario that the suite runs', () => {
  const named = new Set(baseline.map(([name]) => name.split(':')[0]));
  assert.deepEqual(
    [...named].filter((scenario) => !seen.has(scenario)),
    [],
  );
});

// Without the gateway, so that what the baseline says of it is not the fixtures' doing.
describe('the fixtures by themselves', { concurrency: 2 }, () => {
  const lacking = {
    '2025-11-25': ['dns-rebinding-protection', 'server-sse-polling'],
    '2026-07-28': ['dns-rebinding-protection', 'http-custom-header-server-validation'],
  };
  for (const [revision, era] of [
    ['2025-11-25', 'legacy'],
    ['2026-07-28', 'modern'],
  ]) {
    test(`offer all that ${revision} asks for`, async () => {
      const { results } = await runAll(
        stage.upstreams[era].url,
        revision,
        `${era}-alone`,
        new Map(),
      );
      const failing = [...results]
        .filter(([scenario]) => !scenario.startsWith('tasks-'))
        .filter(([scenario, checks]) => judge(scenario, checks, [scenario], new Map()).length > 0);
      assert.deepEqual(failing.map(([scenario]) => scenario).toSorted(), lacking[revision]);
    });
  }
});

describe('the judge', () => {
  const check = (id, status) => ({ id, status });
  const good = [check('a', 'SUCCESS'), check('note', 'INFO')];
  const valid = check('wire-schema-valid', 'SUCCESS');
  const list = (...entries) => baselineOf(entries, { revision: '2026-07-28', era: 'modern' });
  const none = list();
  const whole = list(['s', 'why']);
  const part = list(['s:a', 'why'], ['s:b', 'why']);
  const varying = list(['s:a', 'why', { varies: true }]);

  for (const [what, checks, passes, lists, problems] of [
    ['accepts what passes', good, ['s'], none, []],
    ['wants every check to pass', [...good, check('b', 'FAILURE')], ['s'], none, [/^b: FAILURE/]],
    ['takes a warning for a failure', [...good, check('b', 'WARNING')], ['s'], none, [/^b: WARN/]],
    ['takes a skipped check for a failure', [check('a', 'SKIPPED')], ['s'], none, [/^a/, /proven/]],
    ['wants something to be proven', [check('a', 'INFO')], ['s'], none, [/nothing was proven/]],
    ['refuses what is in neither list', good, [], none, [/neither list/]],
    ['refuses what is in both lists', good, ['s'], whole, [/both lists/]],
    ['accepts a failure that is expected', [check('a', 'FAILURE'), valid], [], whole, []],
    ['refuses an expected failure that passes', [...good, valid], [], whole, [/passes now/]],
    [
      'wants valid messages even then',
      [check('a', 'FAILURE'), check('wire-schema-valid', 'FAILURE')],
      [],
      whole,
      [/wire-schema-valid/],
    ],
    ['accepts expected checks', [check('a', 'FAILURE'), check('b', 'SKIPPED')], [], part, []],
    [
      'refuses one of them that passes',
      [check('a', 'SUCCESS'), check('b', 'WARNING')],
      [],
      part,
      [/^a passes now/],
    ],
    [
      'refuses the failure of another check',
      [check('a', 'FAILURE'), check('b', 'FAILURE'), check('c', 'FAILURE')],
      [],
      part,
      [/^c: FAILURE/],
    ],
    ['lets pass what varies', good, [], varying, []],
    ['lets fail what varies', [check('a', 'FAILURE')], [], varying, []],
    [
      'refuses another failure beside what varies',
      [check('a', 'SUCCESS'), check('c', 'FAILURE')],
      [],
      varying,
      [/^c: FAILURE/],
    ],
    ['refuses a check that is not there', [check('a', 'FAILURE')], [], part, [/no such check/]],
  ]) {
    test(what, () => {
      const found = judge('s', checks, passes, lists);
      assert.equal(found.length, problems.length, found.join());
      problems.forEach((problem, at) => assert.match(found[at], problem));
    });
  }

  test('reads an entry for the revision and the era that it names only', () => {
    const entries = [
      ['old', 'why', { revision: '2025-11-25' }],
      ['mine', 'why', { revision: '2026-07-28', era: 'modern' }],
      ['theirs', 'why', { era: 'legacy' }],
    ];
    assert.deepEqual([...list(...entries).keys()], ['mine']);
    assert.throws(() => list(['s', 'why'], ['s:a', 'why']), /twice/);
    assert.throws(() => list(['s:a', 'why'], ['s:a', 'why']), /twice/);
  });
});

test('the suite fails on a baseline that names what passes, or not what fails', async () => {
  const run = async (name, scenario, entries) => {
    const file = path.join(scratch, `${name}.yml`);
    const expected = baselineOf(entries, { revision: '2025-11-25', era: 'legacy' });
    fs.writeFileSync(file, expectedFailures(expected));
    const args = ['--spec-version', '2025-11-25', '--scenario', scenario];
    return runSuite(['--url', stage.upstreams.legacy.url, ...args, '--expected-failures', file]);
  };
  const [stale, missing, right] = await Promise.all([
    run('stale', 'ping', [['ping', 'why']]),
    run('missing', 'dns-rebinding-protection', [['ping', 'why']]),
    run('right', 'dns-rebinding-protection', [
      ['dns-rebinding-protection:localhost-host-rebinding-rejected', 'a fixture looks at no Host'],
    ]),
  ]);
  assert.deepEqual([stale.code, missing.code, right.code], [1, 1, 0]);
  assert.match(stale.output, /Stale baseline entries[^]*ping/);
  assert.match(missing.output, /Unexpected failures[^]*dns-rebinding-protection/);
});
