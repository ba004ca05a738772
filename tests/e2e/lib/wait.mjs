// SPDX-License-Identifier: Apache-2.0
//
// Conditions that are waited for. Nothing here sleeps for a fixed time and hopes.

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Runs fn until it returns something other than undefined or false without throwing, and gives
// that. Past the deadline it throws with the last failure.
export async function eventually(fn, { deadline = 5000, every = 20, what = fn.toString() } = {}) {
  const end = Date.now() + deadline;
  let last;
  do {
    try {
      const value = await fn();
      if (value !== undefined && value !== false) return value;
      last = undefined;
    } catch (problem) {
      last = problem;
    }
    await pause(every);
  } while (Date.now() < end);
  const failure = new Error(
    `not within ${deadline} ms: ${what}${last ? `\nlast: ${last.message}` : ''}`,
  );
  failure.cause = last;
  throw failure;
}

// A promise with its handles outside, for "this happens while that runs".
export function signal() {
  const handle = {};
  handle.promise = new Promise((resolve, reject) => Object.assign(handle, { resolve, reject }));
  return handle;
}

export async function within(promise, deadline, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${deadline} ms: ${what}`)), deadline);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
