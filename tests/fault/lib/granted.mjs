// SPDX-License-Identifier: Apache-2.0
//
// Two gateways on one Postgres, and connections whose grants come from one strict authorization
// server: a refresh token works once, and one that comes twice ends all that stems from it.

import { startAuthorizationServer } from '../../e2e/lib/authorization_server.mjs';
import { connectDatabase, dispose, newDirectory, start } from '../../e2e/lib/gateway.mjs';
import { requestModern } from '../../e2e/lib/raw.mjs';
import { startServe } from '../../e2e/lib/serve.mjs';

const client = 'me';

export class Granted {
  static async build({ connections, workers = 2, settings = {}, server = {} }) {
    const world = new Granted();
    world.server = await startAuthorizationServer({ clients: { [client]: undefined }, ...server });
    const env = Object.fromEntries(
      Object.entries(settings).map(([name, value]) => [`TOLLGATE_${name.toUpperCase()}`, value]),
    );
    world.first = await start(newDirectory(), { args: ['--workers', String(workers)], env });
    world.database = await connectDatabase(world.first.dev.owner_database_url);
    world.second = await startServe(world.first, 'second', {
      TOLLGATE_WORKERS: String(workers),
      ...env,
    });
    world.tenant = await world.first.newTenant('granted');
    await world.permit();
    world.names = Array.from({ length: connections }, (_, at) => `c${at}`);
    for (const name of world.names) await world.connect(name);
    world.calls = 0;
    return world;
  }

  // `serve` wants an exception for loopback; `dev` does not.
  async permit(...more) {
    const { host } = new URL(this.server.url);
    await this.first.must(
      200,
      'PATCH',
      `/tenants/${this.tenant.name}`,
      { egress: { allow: [host, ...more] } },
      { ifMatch: true },
    );
  }

  async connect(name) {
    await this.tenant.must(201, 'POST', '/connections', {
      name,
      url: this.server.url,
      call_timeout: '60s',
      auth: {
        mode: 'oauth',
        oauth: {
          grant: 'authorization_code',
          per: 'shared',
          client_id: client,
          authorization_url: `${this.server.origin}/authorize`,
          token_url: `${this.server.origin}/token`,
          token_endpoint_auth: 'none',
        },
      },
    });
    await this.give(name);
    await this.first.listed(this.tenant.adminKey, name);
  }

  // A new grant, as if somebody had signed in.
  async give(name) {
    const id = `${name}-${this.server.grants.size}`;
    this.server.grants.set(id, { subject: name, client, refreshes: true, alive: true });
    const { json } = this.server.tokens(id, { withRefresh: true, first: true });
    await this.tenant.must(200, 'POST', `/connections/${name}/oauth/ingest`, json);
  }

  // The tokens of one connection expire.
  expire(name) {
    for (const [token, { grant }] of this.server.access)
      if (grant.subject === name) this.server.access.delete(token);
  }

  // One call through one of the gateways. Gives a sentence if it failed.
  async call(name, at) {
    const url = at % 2 === 0 ? this.first.mcp() : this.second.mcp();
    this.calls++;
    try {
      const { answer, status } = await requestModern(
        url,
        'tools/call',
        { name: `${name}__whoami`, arguments: {} },
        { key: this.tenant.userKey },
      );
      const text = answer?.result?.content?.[0]?.text;
      return text === name ? undefined : `${name}: ${status} ${JSON.stringify(answer)}`;
    } catch (problem) {
      return `${name}: ${problem.message}`;
    }
  }

  async query(text, values) {
    return (await this.database.query(text, values)).rows;
  }

  // How often each type was recorded.
  async events() {
    const rows = await this.query(
      'SELECT type, count(*)::int AS n FROM audit.auth_events WHERE tenant = $1 GROUP BY type',
      [this.tenant.name],
    );
    return Object.fromEntries(rows.map(({ type, n }) => [type, n]));
  }

  async rows() {
    const [{ n }] = await this.query(
      'SELECT count(*)::int AS n FROM audit.calls WHERE tenant = $1',
      [this.tenant.name],
    );
    return n;
  }

  async close() {
    await this.second.stop();
    await this.database.end();
    await dispose(this.first);
    // A worker that is killed leaves requests half sent.
    await this.server.close().catch((problem) => {
      if (problem.message !== 'aborted') throw problem;
    });
  }
}
