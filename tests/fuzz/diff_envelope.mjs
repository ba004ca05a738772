// SPDX-License-Identifier: Apache-2.0
//
// What Node makes of JSON-RPC messages, and texts that are nearly some: the part of diff_node.mjs
// that is about gateway/core/envelope.h.

const MAX_METHOD_BYTES = 256;
const MEMBERS = ['jsonrpc', 'id', 'method', 'params', 'result', 'error'];
const GUARDED = ['_meta', 'name', 'arguments', 'uri', 'taskId'];

const hex = (text) => (text === undefined ? '-' : Buffer.from(text, 'utf8').toString('hex'));
const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);

// The members of an object as they are written: name to text. The grammar is known to be right.
function slices(text) {
  const tokens = /"(?:[^"\\]|\\.)*"|[-+.0-9a-zA-Z]+|[[\]{}:,]/g;
  const members = new Map();
  let depth = 0;
  let name;
  let start = -1;
  let end = -1;
  for (const match of text.matchAll(tokens)) {
    const token = match[0];
    const closes = token === '}' || token === ']';
    if (depth === 1 && (token === ',' || token === '}')) {
      if (name !== undefined) members.set(name, text.slice(start, end));
      name = undefined;
      start = -1;
    } else if (depth === 1 && name === undefined) {
      name = JSON.parse(token);
    } else if (depth === 1 && start < 0 && token !== ':') {
      start = match.index;
    }
    if (closes) depth--;
    if (token === '{' || token === '[') depth++;
    end = match.index + token.length;
  }
  return members;
}

const isInteger = (text) => /^-?\d+$/.test(text ?? '');
const isId = (text) => text !== undefined && (text.startsWith('"') || isInteger(text));

function fitsInt64(text) {
  return isInteger(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);
}

function paramsAreGood(params, text) {
  if (text === undefined) return true;
  if (!isObject(params)) return false;
  for (const key of Object.keys(params))
    for (const name of GUARDED)
      if (key !== name && new RegExp(`^${name}$`, 'iu').test(key)) return false;
  return !('_meta' in params) || isObject(params._meta);
}

function methodIsGood(method) {
  return (
    typeof method === 'string' && method !== '' && !method.includes('\0') &&
    Buffer.byteLength(method) <= MAX_METHOD_BYTES
  );
}

function errorIsGood(error, text) {
  return isObject(error) && typeof error.message === 'string' && fitsInt64(slices(text).get('code'));
}

function verdict(text) {
  const message = JSON.parse(text);
  if (Array.isArray(message)) return 'accept batch - - - - - -';
  if (!isObject(message)) return 'reject message -';
  const raw = slices(text);
  const id = isId(raw.get('id')) ? raw.get('id') : undefined;
  const refused = `reject message ${hex(id)}`;
  if ([...raw.keys()].some((name) => !MEMBERS.includes(name))) return refused;
  if (raw.has('id') && id === undefined) return refused;
  if (message.jsonrpc !== '2.0') return refused;
  if (raw.has('method')) {
    if (!methodIsGood(message.method) || raw.has('result') || raw.has('error')) return refused;
    if (!paramsAreGood(message.params, raw.get('params'))) return refused;
    const meta = raw.has('params') ? slices(raw.get('params')).get('_meta') : undefined;
    return `accept ${id === undefined ? 'notification' : 'request'} ${hex(message.method)} ${hex(id)} ` +
      `${hex(raw.get('params'))} ${hex(meta)} - -`;
  }
  if (raw.has('result') === raw.has('error') || raw.has('params') || id === undefined) return refused;
  if (raw.has('error') && !errorIsGood(message.error, raw.get('error'))) return refused;
  return `accept response - ${hex(id)} - - ${hex(raw.get('result'))} ${hex(raw.get('error'))}`;
}

// kit: what the two comparisons share.
export function envelopes({ accepts, below, pick, chance, makeString, makeValue, mutate }) {
  const escaped = (name) =>
    chance(0.9) ? name : `\\u${name.charCodeAt(0).toString(16).padStart(4, '0')}${name.slice(1)}`;
  const member = (name, value) => `"${escaped(name)}"${pick(['', '', ' '])}:${pick(['', ' '])}${value}`;
  const shuffled = (list) => list.map((value) => [below(1 << 30), value]).sort((a, b) => a[0] - b[0])
    .map(([, value]) => value);
  const ids = ['0', '1', '-1', '"x"', '""', '12345678901234567890', 'null', '1.5', '1e3', '-0', 'true'];
  const methods = ['"tools/call"', '"ping"', '"tools\\/list"', '""', '"a\\u0000b"', '7', 'null',
    `"${'m'.repeat(256)}"`, `"${'m'.repeat(257)}"`, `"${'\u00e9'.repeat(128)}"`];
  const errors = ['{"code":-32601,"message":"no"}', '{"message":"","code":0,"data":[1]}',
    '{"code":1.0,"message":""}', '{"code":9223372036854775808,"message":""}', '{"code":1}', 'null'];
  const paramNames = [...GUARDED, 'Name', 'NAME', 'ARGUMENTS', 'argument\u017f', 'tas\u212aId', '_Meta',
    'n\u0430me', 'Uri', 'cursor', 'level', 'na me'];

  function params() {
    if (chance(0.15)) return makeValue(3);
    const list = shuffled(paramNames).slice(0, below(4)).map((name) =>
      member(name, name === '_meta' && chance(0.8) ? '{"progressToken":1 }' : makeValue(4)));
    return `{${list.join(',')}}`;
  }
  const usual = (list) => (chance(0.8) ? list[0] : pick(list));
  const shapes = [
    () => [member('id', usual(ids)), member('method', usual(methods)), member('params', params())],
    () => [member('id', usual(ids)), member('method', usual(methods))],
    () => [member('method', usual(methods)), member('params', params())],
    () => [member('id', usual(ids)), member('result', makeValue(3))],
    () => [member('id', usual(ids)), member('error', usual(errors))],
  ];

  function makeText() {
    const list = pick(shapes)();
    list.push(member('jsonrpc', usual(['"2.0"', '"2\\u002e0"', '2.0', '"1.0"'])));
    if (chance(0.1)) list.splice(below(list.length), 1);
    if (chance(0.1)) list.push(member(pick([...MEMBERS, 'Method', 'extra']), makeValue(4)));
    let text = `{${shuffled(list).join(pick([',', ', ', ',\n']))}}`;
    if (chance(0.03)) text = `[${text}]`;
    if (chance(0.03)) text = makeString();
    let bytes = Buffer.from(pick(['', '', ' ']) + text + pick(['', '', '\n']));
    while (chance(0.2)) bytes = mutate(bytes);
    return bytes;
  }
  function reference(bytes) {
    return accepts(bytes) ? verdict(bytes.toString('utf8')) : 'reject parse -';
  }
  return { makeText, reference };
}
