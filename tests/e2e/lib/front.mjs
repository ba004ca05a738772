// SPDX-License-Identifier: Apache-2.0
//
// A front before several gateways that gives each request to the next one, as a load balancer may.
// Bytes pass as they are, but for one header: `Connection: close` makes each request come on a
// connection of its own. A gateway sees the client's own address.

import net from 'node:net';

const maxHeadBytes = 65536;

// The head with `Connection: close`; anything that is no HTTP/1.1 head stays what it is.
function closing(head) {
  const text = head.toString('latin1');
  if (!/^[^\r\n]+ HTTP\/1\.1\r\n/.test(text)) return head;
  const without = text.replace(/\r\nconnection:[^\r\n]*(?=\r\n|$)/gi, '');
  return Buffer.from(without.replace('\r\n', '\r\nConnection: close\r\n'), 'latin1');
}

// A stream of a legacy client: it stays until somebody ends it.
const isStream = (head) => head.toString('latin1', 0, 4) === 'GET ';

// Gives {url, targets, busy(target), stop()}. targets (base URLs) may be changed while it runs; one
// that does not accept a connection is passed over. busy: how many requests a target has, streams
// aside.
export async function startFront(targets, { port = 0 } = {}) {
  const front = { targets: [...targets] };
  const open = new Set();
  const busy = new Map();
  let turn = 0;

  const keep = (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    socket.on('error', () => socket.destroy());
    return socket;
  };

  function count(server, target) {
    busy.set(target, front.busy(target) + 1);
    server.on('close', () => busy.set(target, busy.get(target) - 1));
  }

  function connect(client, tries, done) {
    const name = front.targets[turn++ % front.targets.length];
    const target = new URL(name);
    const address = client.remoteAddress;
    const server = net.connect({
      host: target.hostname,
      port: Number(target.port),
      localAddress: net.isIPv4(address ?? '') ? address : undefined,
      allowHalfOpen: true,
    });
    server.setNoDelay(true);
    const refused = () => {
      if (tries > 1 && !client.destroyed) connect(client, tries - 1, done);
      else client.destroy();
    };
    server.once('error', refused);
    server.once('connect', () => {
      server.off('error', refused);
      done(keep(server), name);
    });
  }

  function pass(client, head) {
    client.pause();
    connect(client, front.targets.length, (server, target) => {
      if (client.destroyed) return server.destroy();
      if (!isStream(head)) count(server, target);
      client.on('close', () => server.destroy());
      // What was written reaches the client before the end does: destroy only after a reset.
      server.on('close', (broken) => (broken ? client.resetAndDestroy() : client.end()));
      server.write(head);
      server.pipe(client);
      client.pipe(server);
    });
  }

  const listener = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    let pending = Buffer.alloc(0);
    keep(client);
    const read = (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      const end = pending.indexOf('\r\n\r\n');
      if (end < 0 && pending.length < maxHeadBytes) return;
      stop();
      const head = end < 0 ? pending : closing(pending.subarray(0, end));
      pass(client, end < 0 ? head : Buffer.concat([head, pending.subarray(end)]));
    };
    // No whole request, and none will come.
    const ended = () => client.end();
    const stop = () => (client.off('data', read), client.off('end', ended));
    client.on('data', read);
    client.on('end', ended);
  });
  await new Promise((resolve, reject) => {
    listener.on('error', reject);
    listener.listen(port, '127.0.0.1', 4096, resolve);
  });
  front.url = `http://127.0.0.1:${listener.address().port}`;
  front.busy = (target) => busy.get(target) ?? 0;
  front.stop = () => {
    listener.close();
    for (const socket of open) socket.destroy();
  };
  return front;
}
