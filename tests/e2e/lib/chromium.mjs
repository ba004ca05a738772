// SPDX-License-Identifier: Apache-2.0
//
// Debian's Chromium, without a screen, and what must hold of every page that it shows.

import { AxeBuilder } from '@axe-core/playwright';
import { chromium } from 'playwright-core';

const rules = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

// Said of every last page that no script has opened: it tries to close itself all the same, for
// whether it may cannot be found out.
const harmless = /Scripts may close only the windows that were opened by them/;

export function startChromium() {
  return chromium.launch({
    executablePath: process.env.TOLLGATE_E2E_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  });
}

const originOf = (url) => (URL.canParse(url) ? new URL(url).origin : url);

// A browser profile of its own. troubles: what no page of ours may do: errors and warnings on the
// console (what a Content-Security-Policy stops is one), failures of scripts, requests that leave the
// origin. ours: the origins of which the pages are ours. expected: patterns of what a test brings
// about.
export async function newProfile(browser, { ours = [], expected = [], ...options } = {}) {
  const context = await browser.newContext({ locale: 'en-GB', ...options });
  context.setDefaultTimeout(30000);
  context.troubles = [];
  const note = (url, text) => {
    if (
      ours.includes(originOf(url)) &&
      ![...expected, harmless].some((pattern) => pattern.test(text))
    )
      context.troubles.push(`${text} (${url})`);
  };
  context.on('page', (page) => {
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type()))
        note(message.location().url || page.url(), `${message.type()}: ${message.text()}`);
    });
    page.on('pageerror', (problem) => note(page.url(), `script: ${problem.message}`));
    page.on('request', (request) => {
      const from = request.isNavigationRequest() ? undefined : request.frame().url();
      if (from !== undefined && originOf(request.url()) !== originOf(from))
        note(from, `request: ${request.url()}`);
    });
  });
  // Other people's pages want fonts of the world.
  await context.route(
    (url) => !['127.0.0.1', 'localhost'].includes(url.hostname),
    (route) => route.abort(),
  );
  return context;
}

// What axe finds wrong with a page: ['scheme rule: element: why']. The other colour scheme changes
// nothing but colours.
export async function inaccessible(page) {
  const axe = () => new AxeBuilder({ page }).setLegacyMode(true);
  const found = [];
  for (const [colorScheme, builder] of [
    ['light', axe().withTags(rules)],
    ['dark', axe().withRules(['color-contrast', 'link-in-text-block'])],
  ]) {
    await page.emulateMedia({ colorScheme });
    for (const { id, nodes } of (await builder.analyze()).violations)
      for (const node of nodes)
        found.push(`${colorScheme} ${id}: ${node.html}: ${node.failureSummary}`);
  }
  return found;
}

// Pixels that a page is too wide for a window of that width (WCAG 1.4.10).
export async function overflowAt(page, width) {
  const before = page.viewportSize();
  await page.setViewportSize({ width, height: 800 });
  const pixels = await page.evaluate(
    () => document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth,
  );
  await page.setViewportSize(before);
  return pixels;
}

// Presses Tab until the element of that role and name has the focus, and shows it.
export async function tabTo(page, role, name) {
  const wanted = page.getByRole(role, { name });
  for (let presses = 0; presses < 30; presses++) {
    await page.keyboard.press('Tab');
    if (await wanted.evaluate((element) => element === document.activeElement)) {
      const shown = await wanted.evaluate((element) => {
        const { outlineStyle, outlineWidth } = getComputedStyle(element);
        return outlineStyle !== 'none' && outlineWidth !== '0px';
      });
      if (!shown) throw new Error(`${role} "${name}" does not show that it has the focus`);
      return wanted;
    }
  }
  throw new Error(`${role} "${name}" cannot be reached by Tab`);
}
