// SPDX-License-Identifier: Apache-2.0
//
// oidc-provider with an MCP upstream that takes its JWTs. Whoever comes signs in on its development
// pages under any name, and consents there.

import crypto from 'node:crypto';

import { createRemoteJWKSet, jwtVerify } from 'jose';
import Provider from 'oidc-provider';

import { listen, sendJson } from './http_server.mjs';
import { serveMcp } from './oauth_upstream.mjs';

const scope = 'notes:read';

const configuration = (resource) => ({
  clients: [],
  scopes: ['openid', 'offline_access', scope],
  claims: { openid: ['sub'], profile: ['preferred_username', 'name'] },
  findAccount: (context, id) => ({
    accountId: id,
    claims: () => ({ sub: id, preferred_username: id, name: id }),
  }),
  cookies: { keys: [crypto.randomBytes(24).toString('hex')] },
  jwks: {
    keys: [
      crypto
        .generateKeyPairSync('rsa', { modulusLength: 2048 })
        .privateKey.export({ format: 'jwk' }),
    ],
  },
  clientBasedCORS: () => false,
  ttl: {
    AccessToken: 600,
    AuthorizationCode: 60,
    Grant: 3600,
    IdToken: 600,
    Interaction: 600,
    RefreshToken: 3600,
    Session: 3600,
  },
  issueRefreshToken: (context, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
  pkce: { required: () => true },
  features: {
    devInteractions: { enabled: true },
    registration: { enabled: true },
    revocation: { enabled: true },
    userinfo: { enabled: false },
    rpInitiatedLogout: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: (context, indicator) => {
        if (indicator !== resource) throw new Error('invalid_target');
        return { scope, audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: 600 };
      },
    },
  },
});

// Its warnings are about keys and pages for production, which this is not.
function quietly(make) {
  const kept = [console.info, console.warn];
  [console.info, console.warn] = [() => {}, () => {}];
  try {
    return make();
  } finally {
    [console.info, console.warn] = kept;
  }
}

async function startUpstream(issuerOf) {
  const upstream = await listen((request, response) => {
    if (request.url === '/.well-known/oauth-protected-resource/mcp')
      return sendJson(response, 200, {
        resource: upstream.url,
        authorization_servers: [issuerOf()],
        scopes_supported: [scope],
      });
    if (request.url !== '/mcp') return sendJson(response, 404, {});
    return serveMcp(request, response, upstream.judge).catch(() => response.destroy());
  });
  upstream.url = `${upstream.origin}/mcp`;
  return upstream;
}

// {issuer, url, subjects, close()}; subjects: who called a tool, in order.
export async function startOidcProvider() {
  const server = {};
  const upstream = await startUpstream(() => server.issuer);
  let handler;
  const listener = await listen((request, response) => handler(request, response));
  server.issuer = listener.origin;
  const provider = quietly(() => new Provider(server.issuer, configuration(upstream.url)));
  provider.on('server_error', (context, problem) => (server.problem = problem));
  handler = provider.callback();
  const keys = createRemoteJWKSet(new URL(`${server.issuer}/jwks`));
  const metadata = `resource_metadata="${upstream.origin}/.well-known/oauth-protected-resource/mcp"`;
  server.subjects = [];
  upstream.judge = async (token, { method }) => {
    try {
      const { payload } = await jwtVerify(token ?? '', keys, {
        issuer: server.issuer,
        audience: upstream.url,
        typ: 'at+jwt',
      });
      if (method === 'tools/call') server.subjects.push(payload.sub);
      return { subject: payload.sub };
    } catch {
      return { status: 401, challenge: `Bearer ${metadata}` };
    }
  };
  server.url = upstream.url;
  server.provider = provider;
  server.close = async () => {
    await Promise.all([listener.close(), upstream.close()]);
    if (server.problem) throw server.problem;
  };
  return server;
}
