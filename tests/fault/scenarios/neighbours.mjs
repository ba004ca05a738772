// SPDX-License-Identifier: Apache-2.0
//
// Upstreams that are dead, hang, answer 401, restart, flap and change beside two that are well:
// nobody else notices, and each comes back by itself.

import { clients } from '../../e2e/lib/clients.mjs';
import { freePort } from '../../e2e/lib/fixtures.mjs';
import { eventually, pause } from '../../e2e/lib/wait.mjs';
import { show, succeeded } from '../lib/ledgers.mjs';
import { Lane } from '../lib/lane.mjs';
import { World } from '../lib/world.mjs';

const flapMs = 3000;
// Between two restarts: to start a program takes half a second of a core, which is not ours to judge.
const restMs = 3000;
// The back-off between two attempts is at most 60 s, with jitter.
const comeBackMs = 90000;
// What the campaign judges is 1.5 s; this is when we stop waiting.
const hearDeadlineMs = 15000;

// name → how it starts, what goes wrong with it, and how that ends.
const troubles = {
  dead: {
    start: async (world) => ({ port: await freePort(), world }),
    mend: (world, upstream) => world.startUpstream('legacy', 'dead', { port: upstream.port }),
  },
  hanging: {
    start: async (world) => {
      const upstream = await world.startUpstream('legacy', 'hanging');
      process.kill(upstream.pid, 'SIGSTOP');
      return upstream;
    },
    mend: (world, upstream) => process.kill(upstream.pid, 'SIGCONT'),
  },
  locked: {
    start: (world) => world.startUpstream('modern', 'locked', { token: 'nobody has it' }),
    mend: (world, upstream) => upstream.control({ token: '' }),
  },
  flapping: {
    start: (world) => world.startUpstream('legacy', 'flapping'),
    mend: (world, upstream) => upstream.control({ mode: 'ok' }),
  },
  changing: { start: (world) => world.startUpstream('legacy', 'changing') },
  forgetful: { start: (world) => world.startUpstream('legacy', 'forgetful') },
};

// A client that lists its tools when it is told that they have changed, and only then.
class Watcher {
  static async open(client, options) {
    const watcher = new Watcher();
    watcher.handle = await client.connect(options);
    watcher.handle.client.setNotificationHandler('notifications/tools/list_changed', () =>
      watcher.list(),
    );
    if (client.era === 'modern') await watcher.handle.client.listen({ toolsListChanged: true });
    await watcher.list();
    return watcher;
  }

  // One listing at a time; a word that comes meanwhile asks for another.
  list() {
    this.listing = (this.listing ?? Promise.resolve()).then(async () => {
      const tools = await this.handle.listTools();
      this.names = new Set(tools.map((tool) => tool.name));
    });
    return this.listing;
  }
}

class Neighbourhood {
  constructor(world) {
    Object.assign(this, { world, tenant: world.tenants[0], upstreams: {}, problems: [] });
    Object.assign(this, { watchers: [], added: 0, heardMs: [] });
    this.lanes = Object.fromEntries(Object.keys(troubles).map((name) => [name, this.lane(name)]));
  }

  url(name) {
    return `http://127.0.0.1:${this.upstreams[name].port}/mcp`;
  }

  async move(names) {
    for (const name of names) {
      this.upstreams[name] = await troubles[name].start(this.world);
      await this.tenant.must(201, 'POST', '/connections', {
        name,
        url: this.url(name),
        headers: { 'X-Tenant': this.tenant.name },
        call_timeout: '2s',
      });
    }
    for (const name of ['flapping', 'changing', 'forgetful'])
      await this.world.gateway.listed(this.tenant.adminKey, name);
  }

  edit(name, change) {
    return this.tenant.must(200, 'PATCH', `/connections/${name}`, change, { ifMatch: true });
  }

  // The neighbours as connections that are there, or not, for the clients that we send.
  async show(enabled) {
    for (const name of Object.keys(this.upstreams)) await this.edit(name, { enabled });
    await eventually(
      async () => {
        const { answer } = await this.lanes.forgetful.list();
        return answer.result.tools.some(({ name }) => name === 'forgetful__echo') === enabled;
      },
      { deadline: comeBackMs, every: 100, what: `the neighbours are ${enabled ? 'on' : 'off'}` },
    );
  }

  // The one client of a neighbour.
  lane(name) {
    const { world, tenant } = this;
    return new Lane({
      ...{ name, era: 'modern', url: world.url, key: tenant.userKey, tenant: tenant.name },
      ...{ user: 'ana', address: `127.79.0.${1 + Object.keys(troubles).indexOf(name)}` },
      ...{ calls: world.calls, run: world.run },
    });
  }

  // Calls what is out of order; only what these calls see may fail.
  async bother(names) {
    while (this.bothering) {
      for (const name of names) await this.lanes[name].call(name, 'echo');
      await pause(50);
    }
  }

  async rest(ms) {
    for (let left = ms; left > 0 && this.bothering; left -= 50) await pause(50);
  }

  async flap() {
    for (let down = true; this.bothering; down = !down) {
      await this.upstreams.flapping.control({ mode: down ? 'reset' : 'ok' });
      await this.rest(flapMs);
    }
  }

  // An upstream that restarts forgets its sessions: nobody may notice.
  async restart() {
    const lane = this.lanes.forgetful;
    while (this.bothering) {
      for (let at = 0; at < 5; at++) await lane.call('forgetful', 'echo');
      const { port, stop } = this.upstreams.forgetful;
      await stop('SIGKILL');
      this.upstreams.forgetful = await this.world.startUpstream('legacy', 'forgetful', { port });
      for (let at = 0; at < 5; at++) await lane.call('forgetful', 'echo');
      await this.upstreams.forgetful.control({ forget: true });
      await this.rest(restMs);
    }
  }

  // Clients of both eras that hear of changes, and list their tools when they do.
  async watch() {
    const key = await this.world.newUser(this.tenant, 'watcher');
    for (const client of clients.slice(0, 2))
      this.watchers.push(await Watcher.open(client, { url: this.world.url, key }));
    await this.addTool();
  }

  // Gives how long it took until every watcher knew of it.
  async addTool() {
    // In place of the last one: a list that grew would move the others' tools to its next page.
    const tool = `tool_${this.added++}`;
    const began = performance.now();
    await this.upstreams.changing.control({ added: [tool] });
    await eventually(
      () => this.watchers.every((watcher) => watcher.names.has(`changing__${tool}`)),
      { deadline: hearDeadlineMs, what: `every client has heard of ${tool}` },
    ).catch((problem) => this.problems.push(problem.message));
    return Math.round(performance.now() - began);
  }

  async change() {
    while (this.bothering) {
      this.heardMs.push(await this.addTool());
      await pause(500);
    }
  }

  begin() {
    this.bothering = true;
    this.running = [
      this.bother(['dead', 'hanging', 'locked', 'flapping']),
      this.flap(),
      this.restart(),
      this.change(),
    ];
  }

  async end() {
    this.bothering = false;
    await Promise.all(this.running);
  }

  // Each comes back by itself once its trouble is over; gives how many seconds each took.
  async recover(patient) {
    const began = Date.now();
    const took = {};
    for (const [name, { mend }] of Object.entries(troubles)) {
      const mended = await mend?.(this.world, this.upstreams[name]);
      if (mended?.stop) this.upstreams[name] = mended;
    }
    const headers = { 'X-Tenant': this.tenant.name, 'X-Mended': 'yes' };
    if (!patient) await this.edit('locked', { headers });
    const comeBack = async (name) => {
      await this.world.gateway.listed(this.tenant.adminKey, name, { deadline: comeBackMs });
      // Listed before it fell out of order, it may still be kept from calls until the next probe.
      let call;
      await eventually(async () => succeeded((call = await this.lanes[name].call(name, 'echo'))), {
        ...{ deadline: comeBackMs, every: 100, what: `a call of ${name} succeeds` },
      }).catch((problem) => {
        throw new Error(`${problem.message}; the last one: ${show(call)}`);
      });
      took[name] = (Date.now() - began) / 1000;
    };
    await Promise.all(
      Object.keys(troubles).map((name) =>
        comeBack(name).catch((problem) => this.problems.push(`${name}: ${problem.message}`)),
      ),
    );
    return took;
  }

  async stop() {
    for (const lane of Object.values(this.lanes)) lane.close();
    await Promise.allSettled(this.watchers.map((watcher) => watcher.handle.close()));
    await Promise.allSettled(Object.values(this.upstreams).map((one) => one.stop?.('SIGKILL')));
  }
}

const p99 = (calls) => {
  const sorted = calls.map((call) => call.ms).toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length * 0.99)];
};

// Calls of the load that ran within a phase, the tools whose time is the gateway's alone.
const steady = (world, lanes, [from, to]) =>
  world.calls.filter(
    (call) =>
      lanes.has(call.lane) &&
      call.startedAt >= from &&
      call.endedAt <= to &&
      (call.method === 'tools/list' || call.tool?.endsWith('echo')),
  );

async function phase(seconds) {
  const from = Date.now();
  await pause(seconds * 1000);
  return [from, Date.now()];
}

// seconds: of trouble in all, in rounds that alternate with as long a time without. Not patient:
// what was refused for its credential, and would be tried again after a minute, is edited.
export async function neighbours({ seconds = 60, rounds = 3, patient = true, seed = 1 } = {}) {
  const world = await World.build({ seed, legacy: 4, modern: 4, sdk: 2 });
  const street = new Neighbourhood(world);
  const lanes = new Set(world.lanes.map((lane) => lane.name));
  const times = { alone: [], troubled: [] };
  try {
    await street.move(Object.keys(troubles));
    await world.startLoad({ thinkMs: 20 });
    for (let at = 0; at < rounds; at++) {
      await street.show(false);
      times.alone.push(await phase(seconds / rounds));
      await street.show(true);
      if (at === 0) await street.watch();
      street.begin();
      times.troubled.push(await phase(seconds / rounds));
      await street.end();
    }
    const cameBack = await street.recover(patient);
    await world.progress(2);
    await world.stopLoad();
    const [alone, troubled] = [times.alone, times.troubled].map((phases) =>
      phases.flatMap((one) => steady(world, lanes, one)),
    );
    const allowed = (call) => ['dead', 'hanging', 'locked', 'flapping'].includes(call.lane);
    const problems = [...street.problems, ...(await world.settle(allowed))];
    return {
      problems,
      numbers: {
        ...world.counts,
        samples_alone: alone.length,
        samples_troubled: troubled.length,
        p99_alone_ms: Number(p99(alone).toFixed(1)),
        p99_troubled_ms: Number(p99(troubled).toFixed(1)),
        p99_ratio: Number((p99(troubled) / p99(alone)).toFixed(2)),
        changes: street.heardMs.length,
        heard_ms_max: Math.max(...street.heardMs),
        came_back_s: JSON.stringify(cameBack),
      },
      limits: [
        ['p99_ratio', 2],
        ['heard_ms_max', 1500],
      ],
    };
  } finally {
    street.bothering = false;
    await Promise.allSettled(street.running ?? []);
    await street.stop();
    await world.close();
  }
}
