// SPDX-License-Identifier: Apache-2.0
//
// node diff_node.mjs PROGRAM [N=20000] [SEED=1]
//
// Compares span_cli or envelope_cli (PROGRAM) with Node on N generated and mutated texts: the same
// verdict, and the same values where it is "accept". Prints the first differences and exits 1 if
// there are any.
import { spawnSync } from 'node:child_process';
import { basename } from 'node:path';
import { envelopes } from './diff_envelope.mjs';

const MAX_DEPTH = 64; // SPAN_MAX_DEPTH
const SHOWN = 10;

const [program, countText = '20000', seedText = '1'] = process.argv.slice(2);
const count = Number(countText);
const seed = Number(seedText);
if (!program || !Number.isInteger(count) || count < 1 || !Number.isInteger(seed)) {
  console.error('usage: node diff_node.mjs PROGRAM [N=20000] [SEED=1]');
  process.exit(2);
}

// --- what Node says -----------------------------------------------------------------------------

const refusal = Symbol('refused');

// JSON.parse decides about the grammar. It takes duplicate names, lone surrogates and any depth,
// so those are looked for in the text, which the grammar has made easy to read by then.
function reference(bytes) {
  let text;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    JSON.parse(text);
  } catch {
    return 'reject';
  }
  try {
    return 'accept ' + canonical(text);
  } catch (problem) {
    if (problem === refusal) return 'reject';
    throw problem;
  }
}

function stringValue(token) {
  const value = JSON.parse(token);
  if (!value.isWellFormed()) throw refusal;
  return value;
}

const hex = (value) => '"' + Buffer.from(value, 'utf8').toString('hex');

function canonical(text) {
  const tokens = /"(?:[^"\\]|\\.)*"|[-+.0-9eE]+|true|false|null|[[\]{}:,]/gy;
  const space = /[ \t\r\n]*/y;
  const open = []; // a Set of names for an object, null for an array
  let expectName = false;
  let out = '';
  for (let at = 0; ; ) {
    space.lastIndex = at;
    space.exec(text);
    if (space.lastIndex === text.length) return out;
    tokens.lastIndex = space.lastIndex;
    const [token] = tokens.exec(text);
    at = tokens.lastIndex;
    switch (token[0]) {
      case '{':
      case '[':
        if (open.push(token === '{' ? new Set() : null) > MAX_DEPTH) throw refusal;
        expectName = token === '{';
        out += token;
        break;
      case '}':
      case ']':
        open.pop();
        out += token + ' ';
        break;
      case ',':
        expectName = open.at(-1) !== null;
        break;
      case ':':
        expectName = false;
        break;
      case '"': {
        const value = stringValue(token);
        if (expectName) {
          if (open.at(-1).has(value)) throw refusal;
          open.at(-1).add(value);
        }
        out += hex(value) + ' ';
        break;
      }
      case 't':
      case 'f':
      case 'n':
        out += token[0] + ' ';
        break;
      default:
        out += '#' + token + ' ';
    }
  }
}

// --- texts --------------------------------------------------------------------------------------

// mulberry32: small, and the same everywhere for one seed.
let state = seed >>> 0;
function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = state;
  t = Math.imul(t ^ (t >>> 15), t | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];
const chance = (p) => random() < p;

const SPACES = ['', '', '', '', ' ', '\n', '\t', '\r\n  '];
const NUMBERS = [
  '0', '-0', '1', '-1', '12345678901234567890', '1e400', '-1E-400', '0.1', '1.0', '-0.0e+00',
  '9223372036854775807', '123456789012345678901234567890.5e-7',
];
const CHARACTERS = [
  'a', 'b', 'id', 'method', 'text', ' ', '/', '\u007f', '\u00e9', '\u20ac', '\u2028', '\ufeff',
  '\uffff', '\u{1f600}', '\u{10ffff}', '\\"', '\\\\', '\\/', '\\b', '\\f', '\\n', '\\r', '\\t',
  '\\u0000', '\\u0061', '\\u0062', '\\u00e9', '\\u20AC', '\\ud83d\\ude00', '\\uDBFF\\uDFFF',
  'abcdefgh', 'abcdefghijklmnopqrstuvwxyz', '{"a":[1,2]}'.replaceAll('"', '\\"'),
];
// What breaks texts, mostly: halves of surrogate pairs, bad UTF-8, stray punctuation.
const PIECES = [
  ...['{', '}', '[', ']', ',', ':', '"', '\\', '\\u', '\\ud800', '\\udc00', '\\u12', '0', '-',
    '.', 'e', '+', 'null', 'true', 'false', 'NaN', ' ', '\n', '\0', '\x0b', '\x1f', '\x7f',
    '//', '"a":1,', '"\\u0061":1,', ',"a":2', '\ufeff', '[[[[[[[['].map((s) => Buffer.from(s)),
  ...[[0x80], [0xc0, 0x80], [0xc1, 0xbf], [0xc3], [0xe0, 0x80, 0x80], [0xe2, 0x82],
    [0xed, 0xa0, 0x80], [0xed, 0x9f, 0xbf], [0xef, 0xbf, 0xbf], [0xf0, 0x8f, 0xbf, 0xbf],
    [0xf4, 0x8f, 0xbf, 0xbf], [0xf4, 0x90, 0x80, 0x80], [0xf5], [0xff]].map((b) => Buffer.from(b)),
];

const MARKS = Buffer.from('{}[]:,"=;');

function makeString() {
  let body = '';
  for (let n = below(4); n > 0; n--) body += pick(CHARACTERS);
  return '"' + body + '"';
}

function makeValue(depth) {
  const kind = below(depth > 6 ? 4 : 8);
  if (kind === 0) return pick(['null', 'true', 'false']);
  if (kind === 1) return chance(0.5) ? pick(NUMBERS) : String(below(100000) / pick([1, 10, 7]));
  if (kind < 4) return makeString();
  const items = [];
  for (let n = below(5); n > 0; n--) {
    const value = pick(SPACES) + makeValue(depth + 1) + pick(SPACES);
    items.push(kind < 6 ? value : pick(SPACES) + makeString() + pick(SPACES) + ':' + value);
  }
  const inside = items.length > 0 ? items.join(',') : pick(SPACES);
  return kind < 6 ? '[' + inside + ']' : '{' + inside + '}';
}

function makeNested() {
  const depth = MAX_DEPTH - 2 + below(5);
  const closers = [];
  let text = '';
  for (let i = 0; i < depth; i++) {
    const object = chance(0.5);
    text += object ? '{"a":' : '[';
    closers.unshift(object ? '}' : ']');
  }
  return text + '0' + closers.join('');
}

function mutate(bytes) {
  const at = below(bytes.length + 1);
  const end = Math.min(bytes.length, at + below(4));
  switch (below(6)) {
    case 0: // insert
      return Buffer.concat([bytes.subarray(0, at), pick(PIECES), bytes.subarray(at)]);
    case 1: // replace
      return Buffer.concat([bytes.subarray(0, at), pick(PIECES), bytes.subarray(end)]);
    case 2: // delete
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)]);
    case 3: // cut off
      return bytes.subarray(0, at);
    case 4: { // another punctuation mark
      const marks = [...bytes.keys()].filter((i) => MARKS.includes(bytes[i]));
      const copy = Buffer.from(bytes);
      if (marks.length > 0) copy[pick(marks)] = pick(MARKS);
      return copy;
    }
    default: {
      const copy = Buffer.from(bytes);
      if (at < copy.length) copy[at] = below(256);
      return copy;
    }
  }
}

function makeText() {
  const text = chance(0.02) ? makeNested() : makeValue(0);
  let bytes = Buffer.from(pick(SPACES) + text + pick(SPACES));
  while (chance(0.4)) bytes = mutate(bytes);
  return bytes;
}

// --- comparison ---------------------------------------------------------------------------------

const accepts = (bytes) => reference(bytes) !== 'reject';
const comparisons = {
  span_cli: { makeText, reference },
  envelope_cli: envelopes({ accepts, below, pick, chance, makeString, makeValue, mutate }),
};
const comparison = comparisons[basename(program)];
if (!comparison) {
  console.error(`nothing is known to compare ${program} with`);
  process.exit(2);
}
const texts = Array.from({ length: count }, comparison.makeText);
const input = texts.flatMap((text) => {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(text.length);
  return [head, text];
});
const run = spawnSync(program, { input: Buffer.concat(input), maxBuffer: 2 ** 30 });
if (run.status !== 0) {
  console.error(`${program}: ${run.error ?? `status ${run.status}, signal ${run.signal}`}`);
  console.error(String(run.stderr));
  process.exit(1);
}
const lines = run.stdout.toString('latin1').split('\n').slice(0, -1);
let accepted = 0;
let differences = Math.abs(lines.length - count);
texts.forEach((text, i) => {
  const expected = comparison.reference(text);
  if (expected.startsWith('accept')) accepted++;
  if (lines[i] === expected) return;
  if (++differences <= SHOWN)
    console.log(`${JSON.stringify(text.toString('latin1'))}\n  node ${expected}\n  ours ${lines[i]}`);
});
console.log(
  `${count} texts (seed ${seed}): ${accepted} accepted, ${count - accepted} refused, ` +
    `${differences} differences`,
);
process.exit(differences === 0 ? 0 : 1);
