// SPDX-License-Identifier: Apache-2.0
// Tells the page that opened this window how connecting ended, and closes it. Every page works
// without this.
const { attempt, state, error } = document.querySelector("main").dataset;
if (attempt && (state === "connected" || state === "failed")) {
  new BroadcastChannel(`connect:${attempt}`).postMessage({ attempt, state, error: error ?? null });
  // Browsers close only windows that a script has opened.
  if (state === "connected") window.close();
}
