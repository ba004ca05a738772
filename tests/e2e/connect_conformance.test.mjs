// SPDX-License-Identifier: Apache-2.0
//
// The conformance suite's authorization scenarios for clients, with the gateway as the client: for
// each scenario the suite plays an upstream and its authorization server, and the test connects an
// account through the gateway's pages and calls a tool. What either revision requires has to pass,
// and both forms of client_credentials; nothing is expected to fail.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { judge } from './lib/conformance.mjs';
import { callThrough, followLink, linkIn, requestLink } from './lib/connect.mjs';
import { dispose, newDirectory, start } from './lib/gateway.mjs';
import { listen, readBody } from './lib/http_server.mjs';

const suite = path.resolve(
  import.meta.dirname,
  'node_modules/@modelcontextprotocol/conformance/dist/index.js',
);
const driver = path.join(import.meta.dirname, 'fixtures/connect_driver.mjs');

const both = [
  'metadata-default',
  'metadata-var1',
  'metadata-var2',
  'metadata-var3',
  'basic-cimd',
  'scope-from-www-authenticate',
  'scope-from-scopes-supported',
  'scope-omitted-when-undefined',
  'scope-step-up',
  'scope-retry-limit',
  'token-endpoint-auth-basic',
  'token-endpoint-auth-post',
  'token-endpoint-auth-none',
  'pre-registration',
  'client-credentials-basic',
  'client-credentials-jwt',
];
const required = {
  '2025-11-25': both,
  '2026-07-28': [
    ...both,
    'resource-mismatch',
    'offline-access-scope',
    'offline-access-not-supported',
    'authorization-server-migration',
    'iss-supported',
    'iss-not-advertised',
    'iss-supported-missing',
    'iss-wrong-issuer',
    'iss-unexpected',
    'iss-normalized',
    'metadata-issuer-mismatch',
  ],
};
// What a user does who is sent to connect again and again.
const patience = 3;

let gateway;
let tenant;
let scratch;
let control;
let count = 0;

before(async () => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'tollgate-connect-'));
  // The address that the suite knows for a client that brings a document of itself.
  gateway = await start(newDirectory(), {
    args: ['--set', 'client_metadata_url=https://conformance-test.local/client-metadata.json'],
  });
  tenant = await gateway.newTenant('conformance');
  control = await listen(async (request, response) => {
    try {
      const asked = JSON.parse(await readBody(request));
      response.end(JSON.stringify(await drive(asked)));
    } catch (problem) {
      response.writeHead(500).end(problem.stack);
    }
  });
});

after(async () => {
  await control?.close();
  if (gateway) await dispose(gateway);
  fs.rmSync(scratch, { recursive: true, force: true });
});

function settingsOf(scenario, context) {
  const { client_id, client_secret, private_key_pem } = context;
  switch (scenario) {
    case 'auth/pre-registration':
      return { client_id, client_secret };
    case 'auth/client-credentials-basic':
      return { grant: 'client_credentials', client_id, client_secret };
    case 'auth/client-credentials-jwt':
      return {
        grant: 'client_credentials',
        client_id,
        client_secret: private_key_pem,
        token_endpoint_auth: 'private_key_jwt',
      };
    default:
      return {};
  }
}

// The client of one scenario. What it is asked again it does again, until it need not or gives up.
async function drive({ scenario, revision, context, url }) {
  if (!required[revision].includes(scenario.replace(/^auth\//, ''))) return 'not asked for';
  const name = `s${++count}`;
  const key = tenant.userKey;
  const oauth = settingsOf(scenario, context);
  await tenant.must(201, 'POST', '/connections', {
    name,
    url,
    era: revision === '2026-07-28' ? 'modern' : 'legacy',
    auth: { mode: 'oauth', oauth },
  });
  const log = [];
  const call = async () => {
    const reply = await callThrough(gateway, { key, name, tool: 'test-tool' });
    log.push(`call: ${reply.status} ${reply.text}`);
    return reply;
  };
  const connect = async (link) => {
    const { attempt } = await followLink(gateway, { key, link });
    log.push(`connect: ${attempt.state} ${JSON.stringify(attempt.error)}`);
    return attempt.state === 'connected';
  };
  if (oauth.grant === 'client_credentials') {
    await gateway.listed(tenant.adminKey, name);
    await call();
  } else {
    let link = (await requestLink(gateway, key, name)).url;
    for (let tries = 0; link !== undefined && tries < patience; tries++) {
      if (!(await connect(link))) break;
      link = linkIn(await call());
    }
    // The server may have moved since.
    if (scenario === 'auth/authorization-server-migration') {
      link = linkIn(await call());
      if (link !== undefined && (await connect(link))) await call();
    }
  }
  await tenant.api('DELETE', `/connections/${name}`, undefined, { ifMatch: true });
  return log;
}

// {results: Map of scenario → checks, said: Map of scenario → what the driver wrote}
async function run(revision) {
  const output = path.join(scratch, revision);
  const child = spawn(
    process.execPath,
    [
      suite,
      'client',
      ...['--command', `${process.execPath} ${driver}`],
      ...['--requirements', revision],
      ...['--timeout', '60000', '--output-dir', output],
    ],
    {
      stdio: 'ignore',
      env: { PATH: process.env.PATH, NO_COLOR: '1', TOLLGATE_E2E_DRIVER: control.origin },
    },
  );
  await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  const base = path.join(output, 'auth');
  const read = (name, file) => fs.readFileSync(path.join(base, name, file), 'utf8');
  const found = fs
    .readdirSync(base)
    .map((name) => [/^(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/.exec(name)[1], name]);
  return new Map(
    found.map(([scenario, name]) => [
      scenario,
      { checks: JSON.parse(read(name, 'checks.json')), said: read(name, 'stdout.txt') },
    ]),
  );
}

describe('authorization as the client of an upstream', { concurrency: 2 }, () => {
  for (const [revision, scenarios] of Object.entries(required))
    test(revision, async (t) => {
      const results = await run(revision);
      for (const scenario of scenarios)
        await t.test(scenario, () => {
          const { checks, said } = results.get(scenario) ?? { checks: [] };
          assert.deepEqual(judge(scenario, checks, [scenario], new Map()), [], said);
        });
    });
});
