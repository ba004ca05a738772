// SPDX-License-Identifier: Apache-2.0
//
// JSON without loss: values as the text they were written in, so that 12345678901234567890,
// 1e400, key order and escapes can be compared byte for byte.

const space = /[ \t\r\n]/;

function skipSpace(text, at) {
  while (at < text.length && space.test(text[at])) at++;
  return at;
}

function skipString(text, at) {
  for (at++; text[at] !== '"'; at++) {
    if (at >= text.length) throw new SyntaxError('unterminated string');
    if (text[at] === '\\') at++;
  }
  return at + 1;
}

// The end of the value that starts at `at`. The text is valid JSON.
function skipValue(text, at) {
  let depth = 0;
  do {
    at = skipSpace(text, at);
    const c = text[at];
    if (c === undefined) throw new SyntaxError('unexpected end');
    if (c === '"') at = skipString(text, at);
    else if (c === '{' || c === '[') (depth++, at++);
    else if (c === '}' || c === ']') (depth--, at++);
    else if (c === ',' || c === ':') at++;
    else while (at < text.length && !/[\s,:{}[\]"]/.test(text[at])) at++;
  } while (depth > 0);
  return at;
}

// [[key, raw], …] of an object's text; [] of anything else.
export function members(text) {
  const found = [];
  let at = skipSpace(text, 0);
  if (text[at] !== '{') return found;
  at = skipSpace(text, at + 1);
  while (text[at] === '"') {
    const keyEnd = skipString(text, at);
    const key = JSON.parse(text.slice(at, keyEnd));
    at = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const end = skipValue(text, at);
    found.push([key, text.slice(at, end)]);
    at = skipSpace(text, end);
    if (text[at] === ',') at = skipSpace(text, at + 1);
  }
  return found;
}

// The raw elements of an array's text; [] of anything else.
export function elements(text) {
  const found = [];
  let at = skipSpace(text, 0);
  if (text[at] !== '[') return found;
  at = skipSpace(text, at + 1);
  while (at < text.length && text[at] !== ']') {
    const end = skipValue(text, at);
    found.push(text.slice(at, end));
    at = skipSpace(text, end);
    if (text[at] === ',') at = skipSpace(text, at + 1);
  }
  return found;
}

// raw(text, 'result', 'content', 0): the text of a nested value, or undefined.
export function raw(text, ...path) {
  let value = text;
  for (const step of path) {
    if (value === undefined) return undefined;
    value =
      typeof step === 'number'
        ? elements(value)[step]
        : members(value).find(([key]) => key === step)?.[1];
  }
  return value;
}

// A number as its text, for arguments of clients that stringify.
export const number = (text) => JSON.rawJSON(text);
