// SPDX-License-Identifier: Apache-2.0
//
// The SDK's demonstration authorization server (SDK 1.32.2) with an MCP upstream that takes its
// tokens: opaque, for an hour, without refresh tokens; an issuer that ends with a slash; and whoever
// comes is let in without a question.

import { DemoInMemoryAuthProvider } from '@modelcontextprotocol/sdk/examples/server/demoInMemoryOAuthProvider.js';
import { mcpAuthRouter } from '@modelcontextprotocol/sdk/server/auth/router.js';
import express from 'express';

import { listen, sendJson } from './http_server.mjs';
import { serveMcp } from './oauth_upstream.mjs';

export async function startSdkServer() {
  const upstream = await listen((request, response) => {
    if (request.url === '/.well-known/oauth-protected-resource/mcp')
      return sendJson(response, 200, {
        resource: `${upstream.origin}/mcp`,
        authorization_servers: [`${listener.origin}/`],
        scopes_supported: ['mcp:tools'],
      });
    if (request.url !== '/mcp') return sendJson(response, 404, {});
    return serveMcp(request, response, judge).catch(() => response.destroy());
  });
  const provider = new DemoInMemoryAuthProvider(
    (resource) => resource?.toString() === `${upstream.origin}/mcp`,
  );
  const judge = async (token) => {
    try {
      await provider.verifyAccessToken(token);
      return { subject: 'demo_user' };
    } catch {
      return {
        status: 401,
        challenge: `Bearer resource_metadata="${upstream.origin}/.well-known/oauth-protected-resource/mcp"`,
      };
    }
  };
  const app = express();
  const listener = await listen(app);
  app.use(
    mcpAuthRouter({
      provider,
      issuerUrl: new URL(listener.origin),
      scopesSupported: ['mcp:tools'],
      // Its limits are for the world.
      ...Object.fromEntries(
        ['authorizationOptions', 'tokenOptions', 'clientRegistrationOptions'].map((name) => [
          name,
          { rateLimit: false },
        ]),
      ),
    }),
  );
  return {
    issuer: `${listener.origin}/`,
    url: `${upstream.origin}/mcp`,
    close: async () => {
      await Promise.all([listener.close(), upstream.close()]);
    },
  };
}
