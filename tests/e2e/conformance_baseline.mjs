// SPDX-License-Identifier: Apache-2.0
//
// The conformance suite through the gateway: what passes, and what does not, with the reason.
// Whatever the suite runs stands in one of the two; conformance.test.mjs holds the gateway to both.

const bothRevisions = [
  'tools-list',
  'tools-call-simple-text',
  'tools-call-image',
  'tools-call-audio',
  'tools-call-embedded-resource',
  'tools-call-mixed-content',
  'tools-call-error',
  'tools-call-with-progress',
  'server-sse-multiple-streams',
  'dns-rebinding-protection',
  'json-schema-2020-12',
];

// Every check of these passes, whatever the era of the upstream.
export const passing = {
  '2025-11-25': [
    ...bothRevisions,
    'server-initialize',
    'ping',
    'logging-set-level',
    'tools-call-with-logging',
  ],
  '2026-07-28': [
    ...bothRevisions,
    'http-header-validation',
    'input-required-result-unsupported-methods',
    'input-required-result-ignore-extra-params', // there is nothing that it could add to, so far
  ],
};

const prompts = 'prompts are not relayed yet';
const resources = 'resources are not relayed yet';
const completions = 'completions are not relayed yet';
const asking =
  'requests of an upstream to the client (sampling, elicitation, roots) are not relayed yet';
const tasks = 'the tasks extension is not offered';

// [scenario or scenario:check, reason, {revision, era: where it is so, if not everywhere; varies: it
// passes now and then}]. Of a scenario with entries for checks the other checks pass; of one that
// stands here as a whole the messages are valid, and something fails or nothing is proven.
export const baseline = [
  ['completion-complete', completions],

  ['prompts-list', prompts],
  ['prompts-get-simple', prompts],
  ['prompts-get-with-args', prompts],
  ['prompts-get-embedded-resource', prompts],
  ['prompts-get-with-image', prompts],

  ['resources-list', resources],
  ['resources-read-text', resources],
  ['resources-read-binary', resources],
  ['resources-templates-read', resources],
  ['resources-subscribe', resources],
  ['resources-unsubscribe', resources],
  ['sep-2164-resource-not-found:sep-2164-error-code', resources],
  ['sep-2164-resource-not-found:sep-2164-data-uri', resources],

  ['caching:sep-2549-prompts-list-caching-hints', prompts],
  ['caching:sep-2549-resources-list-caching-hints', resources],
  ['caching:sep-2549-resources-templates-list-caching-hints', resources],
  ['caching:sep-2549-resources-read-caching-hints', resources],

  ['server-stateless:sep-2575-server-sends-prompts-list-changed-on-subscription', prompts],

  ['tools-call-sampling', asking],
  ['tools-call-elicitation', asking],
  ['elicitation-sep1034-defaults', asking],
  ['elicitation-sep1330-enums', asking],
  ['input-required-result-basic-elicitation', asking],
  ['input-required-result-basic-sampling', asking],
  ['input-required-result-basic-list-roots', asking],
  ['input-required-result-request-state', asking],
  ['input-required-result-multiple-input-requests', asking],
  ['input-required-result-multi-round', asking],
  ['input-required-result-missing-input-response', asking],
  ['input-required-result-non-tool-request', prompts],
  ['input-required-result-result-type', asking],
  ['input-required-result-tampered-state', asking],
  ['input-required-result-capability-check', asking],
  ['input-required-result-validate-input', asking],

  [
    'server-session-lifecycle:server-session-terminated-returns-404',
    'other workers than the one that ended a session know it for a while',
    { varies: true },
  ],
  ['server-sse-polling', 'streams are not ended early: there is nothing to resume, and no verdict'],
  [
    'http-custom-header-server-validation',
    'Mcp-Param headers of clients are not compared with the arguments',
  ],
  ['tasks-lifecycle', tasks],
  ['tasks-capability-negotiation', tasks],
  ['tasks-wire-fields', tasks],
  ['tasks-request-state-removal', tasks],
  ['tasks-mrtr-input', tasks],
  ['tasks-request-headers', tasks],
  ['tasks-dispatch-and-envelope', tasks],
  ['tasks-status-notifications', 'the suite skips it'],
  ['tasks-required-task-error', tasks],
  ['tasks-mrtr-composition', tasks],
];
