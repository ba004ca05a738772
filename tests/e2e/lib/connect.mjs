// SPDX-License-Identifier: Apache-2.0
//
// Connecting an account as a user does it: from a link, through the pages of the gateway and those
// of the authorization server, back to "connected".

import { callModern } from './oauth.mjs';
import { Visitor } from './visitor.mjs';
import { eventually } from './wait.mjs';

// A new attempt: {attempt, url}.
export const requestLink = async (gateway, key, name) =>
  (await gateway.must(201, 'POST', `/connections/${name}/connect`, undefined, { key })).json;

export const attemptOf = async (gateway, key, id) =>
  (await gateway.must(200, 'GET', `/connect/attempts/${id}`, undefined, { key })).json;

export const oauthStatus = async (gateway, key, name) =>
  (await gateway.must(200, 'GET', `/connections/${name}/status`, undefined, { key })).json.oauth;

// Opens a page of the gateway; whoever is not signed in is asked for a key first.
export async function openSignedIn(visitor, url, key) {
  const page = await visitor.open(url);
  return page.forms?.some(({ fields }) => fields.some(([name]) => name === 'key'))
    ? visitor.press(page, /^sign in/i, { key })
    : page;
}

// Agrees on the gateway's page and goes where that leads, to the last page. options as those of
// visitor.open.
export const agree = (visitor, page, options) => visitor.press(page, /^continue/i, {}, options);

// All of it: {attempt, visitor, page}; attempt as the API has it at the end. Where the authorization
// server asks something, atServer(visitor, page) answers and gives the page after.
export async function connectAccount(gateway, { key, name, visitor = new Visitor(), atServer }) {
  const link = await requestLink(gateway, key, name);
  return followLink(gateway, { key, link: link.url, visitor, atServer });
}

export async function followLink(gateway, { key, link, visitor = new Visitor(), atServer }) {
  let page = await openSignedIn(visitor, link, key);
  page = page.forms?.some(({ buttons }) => buttons.some(({ text }) => /^continue/i.test(text)))
    ? await agree(visitor, page)
    : page;
  if (atServer) page = await atServer(visitor, page);
  const id = new URL(link).pathname.split('/').at(-1);
  return { attempt: await attemptOf(gateway, key, id), visitor, page };
}

// A call through the gateway, at the endpoint of one connection: {status, json, text}; text is that
// of the result.
export async function callThrough(gateway, { key, name, tool = 'whoami', args = {} }) {
  const reply = await callModern(
    gateway.mcp({ connection: name }),
    'tools/call',
    { name: tool, arguments: args },
    { authorization: `Bearer ${key}` },
  );
  // An answer that was streamed.
  const json =
    reply.json ?? JSON.parse(/^data: ?(\{.*)$/m.exec(reply.text)?.[1] ?? 'null') ?? undefined;
  return { ...reply, json, text: json?.result?.content?.[0]?.text ?? reply.text };
}

// The link in an answer that wants an account to be connected, or undefined.
export const linkIn = ({ text }) => /https?:\/\/[^\s"]+\/connect\/[0-9a-f-]{36}/.exec(text)?.[0];

export const becomes = (gateway, key, name, state, options) =>
  eventually(
    async () => {
      const status = await oauthStatus(gateway, key, name);
      if (status.state !== state) throw new Error(JSON.stringify(status));
      return status;
    },
    { what: `${name} is ${state}`, ...options },
  );
