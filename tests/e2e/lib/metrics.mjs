// SPDX-License-Identifier: Apache-2.0
//
// The Prometheus text format 0.0.4, read strictly: what is not exactly right is an error.

const nameOf = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const labelOf = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"/;
const number = /^(?:[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf)|NaN)$/;
const types = ['counter', 'gauge', 'histogram'];

function parseSample(line) {
  const [name] = line.match(nameOf) ?? [];
  if (name === undefined) throw new Error(`no name: ${line}`);
  let rest = line.slice(name.length);
  const labels = {};
  if (rest[0] === '{') {
    rest = rest.slice(1);
    for (;;) {
      const found = rest.match(labelOf);
      if (found === null || Object.hasOwn(labels, found[1])) throw new Error(`labels: ${line}`);
      labels[found[1]] = found[2].replace(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c));
      rest = rest.slice(found[0].length);
      if (rest[0] === '}') break;
      if (rest[0] !== ',') throw new Error(`labels: ${line}`);
      rest = rest.slice(1);
    }
    rest = rest.slice(1);
  }
  if (rest[0] !== ' ' || !number.test(rest.slice(1))) throw new Error(`value: ${line}`);
  return { name, labels, value: Number(rest.slice(1).replace('Inf', 'Infinity')) };
}

function checkHistogram(family) {
  const series = Map.groupBy(family.samples, ({ labels: { le, ...labels } }) =>
    JSON.stringify(labels),
  );
  for (const [key, samples] of series) {
    const of = (suffix) => samples.filter((sample) => sample.name === family.name + suffix);
    const buckets = of('_bucket');
    const bounds = buckets.map(({ labels }) => Number(labels.le.replace('+Inf', 'Infinity')));
    const values = buckets.map(({ value }) => value);
    const isSorted = (list) => list.every((value, at) => at === 0 || list[at - 1] <= value);
    if (bounds.at(-1) !== Infinity || !isSorted(bounds) || !isSorted(values))
      throw new Error(`buckets of ${family.name} ${key}`);
    if (of('_count').length !== 1 || of('_sum').length !== 1)
      throw new Error(`sum and count of ${family.name} ${key}`);
    if (of('_count')[0].value !== values.at(-1))
      throw new Error(`the count of ${family.name} ${key} is not that of its last bucket`);
  }
}

// Map of name → {name, type, help, samples: [{name, labels, value}]}.
export function parseMetrics(text) {
  const families = new Map();
  const seen = new Set();
  let family;
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  for (const line of text.slice(0, -1).split('\n')) {
    if (line.startsWith('# HELP ')) {
      const [, name, help] = line.match(/^# HELP (\S+) (.+)$/) ?? [];
      if (name === undefined || families.has(name)) throw new Error(line);
      family = { name, help, samples: [] };
      families.set(name, family);
    } else if (line.startsWith('# TYPE ')) {
      const [, name, type] = line.match(/^# TYPE (\S+) (\w+)$/) ?? [];
      if (name !== family?.name || family.type !== undefined || !types.includes(type))
        throw new Error(line);
      family.type = type;
    } else {
      const sample = parseSample(line);
      const suffix = family?.type === 'histogram' ? /_(bucket|sum|count)$/ : /$/;
      if (sample.name.replace(suffix, '') !== family?.name) throw new Error(`astray: ${line}`);
      const key = `${sample.name}${JSON.stringify(Object.entries(sample.labels).toSorted())}`;
      if (seen.has(key)) throw new Error(`twice: ${line}`);
      seen.add(key);
      family.samples.push(sample);
    }
  }
  for (const one of families.values()) {
    if (one.type === undefined) throw new Error(`${one.name} has no type`);
    if (one.type === 'histogram') checkHistogram(one);
  }
  return families;
}

// From a connection of its own, so that any worker may answer.
export async function scrape(opsUrl) {
  const response = await fetch(`${opsUrl}/metrics`, { headers: { connection: 'close' } });
  if (response.status !== 200) throw new Error(`/metrics: ${response.status}`);
  const type = response.headers.get('content-type');
  if (type !== 'text/plain; version=0.0.4; charset=utf-8') throw new Error(type);
  return parseMetrics(await response.text());
}

// The value of one series, or the sum of all whose labels include those given; 0 if there is none.
export const valueOf = (families, name, labels = {}) =>
  families
    .get(name)
    .samples.filter((sample) =>
      Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
    )
    .reduce((sum, sample) => sum + sample.value, 0);
