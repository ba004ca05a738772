// SPDX-License-Identifier: Apache-2.0
//
// An authorization server that does what a test tells it, and the MCP upstream that it protects, on
// one port. Strict unless told otherwise: PKCE, exact redirect URIs, codes and refresh tokens that
// work once; one that comes twice ends all that stems from it.
//
//   const server = await startAuthorizationServer({ trailingSlash: true });
//   server.url                       of the upstream
//   server.counts                    {authorize, register, code, refresh, client_credentials, revoke,
//                                    userinfo, calls, refused, replays}
//   server.requests                  [{kind, fields, headers}], newest last
//   server.fault('refresh', {...})   what happens to the next request of that kind
//   server.expire()                  no access token is good any more
//   server.endGrants()               no refresh token either
//
// Kinds: resource_metadata, server_metadata, register, authorize, code, refresh,
// client_credentials, revoke, userinfo, call.
//
// A fault, of one request unless it says {times}:
//   until: a promise     the answer waits for it (holdBefore: before anything is done)
//   drop: 'before'       the connection ends and nothing was done
//   drop: 'after'        it was done, and the connection ends without an answer
//   status, body, headers   this instead, and nothing is done
//   change: (reply) =>   another reply {status, json, headers} for what was done

import crypto from 'node:crypto';

import { listen, readBody, sendJson } from './http_server.mjs';
import { serveMcp } from './oauth_upstream.mjs';

const usual = {
  // Whoever is sent to authorize is this one, and agrees: false is a page that has to be answered.
  consent: true,
  subject: 'upstream-ana',
  lifetime: 3600, // of an access token in seconds; null: not said, and endless
  refreshTokens: true,
  // Google: a refresh token only with these parameters on authorize.
  offlineWith: undefined, // e.g. { access_type: 'offline', prompt: 'consent' }
  // Entra: AADSTS901002, 'resource' is not supported.
  refusesResource: false,
  // Of requests that are not right: GitHub answers 200.
  errorStatus: 400,
  // How the two halves of Basic are read: 'encoded' (RFC 6749 2.3.1) or 'raw'.
  basic: 'encoded',
  clients: {}, // id → secret, registered before
  registration: true,
  clientIdMetadata: false,
  tokenBytes: 0, // pads access tokens
  trailingSlash: false, // of the issuer
  keepsRefreshToken: false, // a refresh gives no new one
  iss: true, // RFC 9207
  scopes: undefined, // scopes_supported
  callScope: undefined, // what tools/call wants beside
  userinfo: false,
  metadata: true, // false: endpoints have to be typed in
  authMethods: ['client_secret_basic', 'client_secret_post', 'none'],
};

const random = () => crypto.randomBytes(24).toString('base64url');
const s256 = (text) => crypto.createHash('sha256').update(text).digest('base64url');

class Refusal extends Error {
  constructor(error, description = error) {
    super(description);
    this.error = error;
  }
}

class AuthorizationServer {
  constructor(settings) {
    this.settings = { ...usual, ...settings };
    this.clients = new Map(
      Object.entries(this.settings.clients).map(([id, secret]) => [id, { secret }]),
    );
    this.codes = new Map(); // code → {fields, grant}
    this.grants = new Map(); // id → {subject, scope, client, alive}
    this.access = new Map(); // token → {grant, until}
    this.refresh = new Map(); // token → {grant, used}
    this.pages = new Map(); // consent pages → fields
    this.faults = [];
    this.requests = [];
    this.counts = {};
    for (const kind of ['authorize', 'register', 'code', 'refresh', 'client_credentials'])
      this.counts[kind] = 0;
    Object.assign(this.counts, { revoke: 0, userinfo: 0, calls: 0, refused: 0, replays: 0 });
  }

  get issuer() {
    return this.origin + (this.settings.trailingSlash ? '/' : '');
  }
  get url() {
    return `${this.origin}/mcp`;
  }

  fault(kind, what) {
    this.faults.push({ kind, times: 1, ...what });
  }

  // Of one kind, newest last.
  asked(kind) {
    return this.requests.filter((request) => request.kind === kind);
  }

  expire() {
    this.access.clear();
  }

  endGrants() {
    for (const grant of this.grants.values()) grant.alive = false;
  }

  takeFault(kind) {
    const fault = this.faults.find((one) => one.kind === kind && one.times > 0);
    if (fault !== undefined) fault.times--;
    return fault ?? {};
  }

  // --- documents ---

  resourceMetadata() {
    const { scopes } = this.settings;
    return {
      resource: this.url,
      authorization_servers: [this.issuer],
      ...(scopes ? { scopes_supported: scopes } : {}),
    };
  }

  serverMetadata() {
    const { registration, clientIdMetadata, iss, userinfo, scopes, authMethods } = this.settings;
    return {
      issuer: this.issuer,
      authorization_endpoint: `${this.origin}/authorize`,
      token_endpoint: `${this.origin}/token`,
      revocation_endpoint: `${this.origin}/revoke`,
      ...(registration ? { registration_endpoint: `${this.origin}/register` } : {}),
      ...(clientIdMetadata ? { client_id_metadata_document_supported: true } : {}),
      ...(userinfo ? { userinfo_endpoint: `${this.origin}/userinfo` } : {}),
      ...(iss ? { authorization_response_iss_parameter_supported: true } : {}),
      ...(scopes ? { scopes_supported: scopes } : {}),
      response_types_supported: ['code'],
      code_challenge_methods_supported: ['S256'],
      token_endpoint_auth_methods_supported: authMethods,
    };
  }

  register({ json }) {
    this.counts.register++;
    const id = random();
    const method = json.token_endpoint_auth_method ?? 'client_secret_basic';
    const secret = method === 'none' ? undefined : random();
    this.clients.set(id, { secret, redirectUris: json.redirect_uris });
    return {
      status: 201,
      json: {
        ...json,
        client_id: id,
        token_endpoint_auth_method: method,
        ...(secret ? { client_secret: secret, client_secret_expires_at: 0 } : {}),
      },
    };
  }

  // --- authorize ---

  checkAuthorize(fields) {
    if (fields.response_type !== 'code') throw new Refusal('unsupported_response_type');
    if (fields.code_challenge_method !== 'S256' || fields.code_challenge?.length !== 43)
      throw new Refusal('invalid_request', 'PKCE with S256 is required');
    if (this.settings.refusesResource && fields.resource !== undefined)
      throw new Refusal('invalid_target', "AADSTS901002: The 'resource' parameter is not supported.");
    if (!this.settings.refusesResource && fields.resource !== this.url)
      throw new Refusal('invalid_target');
  }

  knows(clientId) {
    return (
      this.clients.has(clientId) ||
      (this.settings.clientIdMetadata && /^https?:\/\//.test(clientId ?? ''))
    );
  }

  back(fields, answer) {
    const url = new URL(fields.redirect_uri);
    for (const [name, value] of Object.entries({
      ...answer,
      state: fields.state,
      iss: this.settings.iss ? this.issuer : undefined,
    }))
      if (value !== undefined) url.searchParams.set(name, value);
    return { status: 302, headers: { location: url.href } };
  }

  authorize({ fields }) {
    this.counts.authorize++;
    const uris = this.clients.get(fields.client_id)?.redirectUris;
    if (!this.knows(fields.client_id) || (uris && !uris.includes(fields.redirect_uri)))
      return { status: 400, html: '<!doctype html><title>Refused</title><h1>Unknown client</h1>' };
    try {
      this.checkAuthorize(fields);
    } catch (refusal) {
      return this.back(fields, { error: refusal.error, error_description: refusal.message });
    }
    if (this.settings.consent) return this.allow(fields);
    const page = random();
    this.pages.set(page, fields);
    return { status: 200, html: consentPage(page) };
  }

  decide({ fields }) {
    const asked = this.pages.get(fields.page);
    this.pages.delete(fields.page);
    if (asked === undefined) return { status: 400, html: '<h1>Too late</h1>' };
    return fields.decision === 'allow'
      ? this.allow(asked)
      : this.back(asked, { error: 'access_denied', error_description: 'No, thanks.' });
  }

  allow(fields) {
    const code = random();
    this.codes.set(code, { fields });
    return this.back(fields, { code });
  }

  // --- tokens ---

  // The id of the client that sent this.
  authenticate(fields, headers) {
    let [id, secret] = [fields.client_id, fields.client_secret];
    const basic = /^Basic (.*)$/.exec(headers.authorization ?? '')?.[1];
    if (basic !== undefined) {
      const pair = /^([^:]*):(.*)$/.exec(Buffer.from(basic, 'base64').toString()) ?? [];
      const decode = (text) => decodeURIComponent(text.replaceAll('+', ' '));
      [id, secret] =
        this.settings.basic === 'raw' ? pair.slice(1) : pair.slice(1).map((half) => decode(half));
    }
    const client = this.clients.get(id);
    if (client === undefined ? !this.knows(id) : client.secret !== secret)
      throw new Refusal('invalid_client');
    return id;
  }

  tokens(id, { withRefresh, first }) {
    const { lifetime, tokenBytes } = this.settings;
    const grant = this.grants.get(id);
    const access = `${random()}${'x'.repeat(tokenBytes)}`;
    this.access.set(access, {
      grant,
      until: lifetime === null ? Infinity : Date.now() + lifetime * 1000,
    });
    const reply = { access_token: access, token_type: 'bearer' };
    if (lifetime !== null) reply.expires_in = lifetime;
    if (grant.scope !== undefined) reply.scope = grant.scope;
    if (withRefresh && (first || !this.settings.keepsRefreshToken)) {
      reply.refresh_token = random();
      this.refresh.set(reply.refresh_token, { id, used: false });
    }
    return { status: 200, json: reply };
  }

  byCode(fields, client) {
    this.counts.code++;
    const code = this.codes.get(fields.code);
    if (code === undefined) throw new Refusal('invalid_grant', 'unknown code');
    const asked = code.fields;
    if (code.grant !== undefined) {
      this.grants.get(code.grant).alive = false;
      throw new Refusal('invalid_grant', 'the code was used');
    }
    if (asked.client_id !== client || asked.redirect_uri !== fields.redirect_uri)
      throw new Refusal('invalid_grant', 'another client or address');
    if (s256(fields.code_verifier ?? '') !== asked.code_challenge)
      throw new Refusal('invalid_grant', 'PKCE');
    code.grant = random();
    const { offlineWith, refreshTokens, subject } = this.settings;
    const offline = Object.entries(offlineWith ?? {}).every(([name, value]) => asked[name] === value);
    const refreshes = refreshTokens && offline;
    this.grants.set(code.grant, { subject, scope: asked.scope, client, refreshes, alive: true });
    return this.tokens(code.grant, { withRefresh: refreshes, first: true });
  }

  byRefresh(fields, client) {
    this.counts.refresh++;
    const token = this.refresh.get(fields.refresh_token);
    const grant = this.grants.get(token?.id);
    if (grant === undefined || grant.client !== client || !grant.alive)
      throw new Refusal('invalid_grant', 'unknown or revoked');
    if (token.used) {
      grant.alive = false;
      this.counts.replays++;
      for (const [text, one] of this.access) if (one.grant === grant) this.access.delete(text);
      throw new Refusal('invalid_grant', 'the refresh token was used before');
    }
    token.used = !this.settings.keepsRefreshToken;
    return this.tokens(token.id, { withRefresh: true });
  }

  byItself(fields, client) {
    this.counts.client_credentials++;
    const id = random();
    this.grants.set(id, { subject: client, scope: fields.scope, client, alive: true });
    return this.tokens(id, { withRefresh: false });
  }

  token({ kind, fields, headers }) {
    try {
      const client = this.authenticate(fields, headers);
      if (this.settings.refusesResource && fields.resource !== undefined)
        throw new Refusal(
          'invalid_target',
          "AADSTS901002: The 'resource' parameter is not supported.",
        );
      if (!this.settings.refusesResource && fields.resource !== this.url)
        throw new Refusal('invalid_target');
      switch (kind) {
        case 'code':
          return this.byCode(fields, client);
        case 'refresh':
          return this.byRefresh(fields, client);
        case 'client_credentials':
          return this.byItself(fields, client);
        default:
          throw new Refusal('unsupported_grant_type');
      }
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      return {
        status: this.settings.errorStatus,
        json: { error: refusal.error, error_description: refusal.message },
      };
    }
  }

  revoke({ fields }) {
    this.counts.revoke++;
    const id = this.refresh.get(fields.token)?.id;
    const grant = this.grants.get(id) ?? this.access.get(fields.token)?.grant;
    if (grant !== undefined) {
      grant.alive = false;
      for (const [text, one] of this.access) if (one.grant === grant) this.access.delete(text);
    }
    return { status: 200, json: {} };
  }

  // --- the resource ---

  challenge(error, scope) {
    const { metadata } = this.settings;
    const parts = [
      ...(error ? [`error="${error}"`] : []),
      ...(metadata
        ? [`resource_metadata="${this.origin}/.well-known/oauth-protected-resource/mcp"`]
        : []),
      ...(scope ? [`scope="${scope}"`] : []),
    ];
    return `Bearer ${parts.join(', ')}`.trim();
  }

  judge(token, { method }) {
    const found = this.access.get(token);
    if (found === undefined || found.until <= Date.now()) {
      this.counts.refused++;
      return {
        status: 401,
        challenge: this.challenge(token && 'invalid_token', this.settings.scopes?.join(' ')),
      };
    }
    const { callScope } = this.settings;
    if (method === 'tools/call' && callScope) {
      const granted = (found.grant.scope ?? '').split(' ');
      if (!granted.includes(callScope))
        return { status: 403, challenge: this.challenge('insufficient_scope', callScope) };
    }
    if (method === 'tools/call') this.counts.calls++;
    return { subject: found.grant.subject };
  }

  userinfo({ headers }) {
    this.counts.userinfo++;
    const found = this.access.get(headers.authorization?.replace(/^Bearer /, ''));
    return found === undefined
      ? { status: 401, json: {} }
      : { status: 200, json: { sub: found.grant.subject, preferred_username: found.grant.subject } };
  }
}

function consentPage(page) {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Consent</title>
<h1>Allow access?</h1><form method="post" action="/decide">
<input type="hidden" name="page" value="${page}">
<button name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button></form></html>`;
}

const tokenKinds = { authorization_code: 'code', refresh_token: 'refresh' };

// What is asked for: {kind, act(server, request)}.
function routeOf(server, method, path, fields) {
  const { metadata } = server.settings;
  const named = {
    'GET /.well-known/oauth-protected-resource/mcp': metadata && {
      kind: 'resource_metadata',
      act: () => ({ status: 200, json: server.resourceMetadata() }),
    },
    'GET /.well-known/oauth-authorization-server': metadata && {
      kind: 'server_metadata',
      act: () => ({ status: 200, json: server.serverMetadata() }),
    },
    'POST /register': server.settings.registration && {
      kind: 'register',
      act: (request) => server.register(request),
    },
    'GET /authorize': { kind: 'authorize', act: (request) => server.authorize(request) },
    'POST /decide': { kind: 'decide', act: (request) => server.decide(request) },
    'POST /token': {
      kind: tokenKinds[fields.grant_type] ?? fields.grant_type,
      act: (request) => server.token(request),
    },
    'POST /revoke': { kind: 'revoke', act: (request) => server.revoke(request) },
    'GET /userinfo': { kind: 'userinfo', act: (request) => server.userinfo(request) },
  };
  return named[`${method} ${path}`] || undefined;
}

function sendReply(response, { status, json, html, body, headers = {} }) {
  if (json !== undefined) return sendJson(response, status, json, headers);
  response.writeHead(status, {
    ...(html === undefined ? {} : { 'content-type': 'text/html; charset=utf-8' }),
    ...headers,
  });
  return response.end(html ?? body ?? '');
}

async function carryOut(server, kind, act, { socket, response }) {
  const fault = server.takeFault(kind);
  if (fault.holdBefore) await fault.holdBefore;
  if (fault.drop === 'before') return socket.destroy();
  if (fault.status !== undefined) return sendReply(response, fault);
  let reply = await act();
  if (fault.until) await fault.until;
  if (fault.change) reply = fault.change(reply);
  if (fault.drop === 'after') return socket.destroy();
  return sendReply(response, reply);
}

async function serve(server, request, response) {
  const url = new URL(request.url, server.origin);
  if (url.pathname === '/mcp') {
    const fault = server.takeFault('call');
    if (fault.until) await fault.until;
    if (fault.status !== undefined) return sendReply(response, fault);
    return serveMcp(request, response, (token, message) => server.judge(token, message));
  }
  const text = request.method === 'POST' ? await readBody(request) : '';
  const isJson = request.headers['content-type']?.startsWith('application/json');
  const json = isJson ? JSON.parse(text) : undefined;
  const fields = Object.fromEntries(isJson ? [] : text ? new URLSearchParams(text) : url.searchParams);
  const route = routeOf(server, request.method, url.pathname, fields);
  if (route === undefined) return sendJson(response, 404, { error: 'not_found' });
  const entry = { kind: route.kind, fields, json, headers: request.headers };
  server.requests.push(entry);
  const { socket } = request;
  return carryOut(server, route.kind, () => route.act(entry), { socket, response });
}

export async function startAuthorizationServer(settings = {}) {
  const server = new AuthorizationServer(settings);
  const handle = (request, response) =>
    serve(server, request, response).catch((problem) => {
      server.problem = problem;
      response.destroy();
    });
  const listener = await listen(handle);
  server.origin = listener.origin;
  server.close = async () => {
    await listener.close();
    if (server.problem) throw server.problem;
  };
  return server;
}
