// SPDX-License-Identifier: Apache-2.0
//
// A browser without a screen: keeps cookies, follows redirects, and sends forms as they stand in a
// page. For what needs many visits; what a page is like for people is tried with Chromium.

const entities = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'", '#x27': "'" };

export const unescapeHtml = (text) =>
  text.replace(/&(amp|lt|gt|quot|#39|#x27);/g, (_, name) => entities[name]);

const attribute = (tag, name) => {
  const found = new RegExp(`\\s${name}(?:="([^"]*)")?(?=[\\s>/])`, 'i').exec(tag);
  return found === null ? undefined : unescapeHtml(found[1] ?? '');
};

// The forms of a page: {method, action, fields: [[name, value]], buttons: [{name, value, text}]}.
function formsOf(html, url) {
  return [...html.matchAll(/<form\b[^>]*>([^]*?)<\/form>/gi)].map(([whole, inside]) => {
    const tag = /^<form\b[^>]*>/i.exec(whole)[0];
    const inputs = [...inside.matchAll(/<(?:input|textarea)\b[^>]*>/gi)].map(([input]) => input);
    return {
      method: (attribute(tag, 'method') ?? 'get').toUpperCase(),
      action: new URL(attribute(tag, 'action') ?? url.href, url),
      fields: inputs
        .filter((input) => attribute(input, 'name') !== undefined)
        .filter(
          (input) =>
            !['checkbox', 'radio'].includes(attribute(input, 'type')) ||
            attribute(input, 'checked') !== undefined,
        )
        .map((input) => [attribute(input, 'name'), attribute(input, 'value') ?? '']),
      buttons: [...inside.matchAll(/(<button\b[^>]*>)([^]*?)<\/button>/gi)].map(
        ([, button, text]) => ({
          name: attribute(button, 'name'),
          value: attribute(button, 'value') ?? '',
          text: unescapeHtml(text.replace(/<[^>]*>/g, '')).trim(),
        }),
      ),
    };
  });
}

export const textOf = (html) =>
  unescapeHtml(
    html
      .replace(/<head[^]*?<\/head>/i, '')
      .replace(/<[^>]*>/g, ' ')
      .replace(/\s+/g, ' '),
  ).trim();

export class Visitor {
  constructor() {
    this.jars = new Map(); // host → Map of name → value
    this.trail = []; // URLs, in order
  }

  cookies(url) {
    const jar = this.jars.get(url.host) ?? new Map();
    return [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
  }

  keep(url, response) {
    const jar = this.jars.get(url.host) ?? new Map();
    this.jars.set(url.host, jar);
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value === '' || /max-age=0/i.test(line)) jar.delete(name);
      else jar.set(name, value);
    }
  }

  // One request, no redirects: a fetch response.
  async ask(url, init = {}) {
    const cookie = this.cookies(url);
    const response = await fetch(url, {
      redirect: 'manual',
      ...init,
      headers: { accept: 'text/html', ...(cookie ? { cookie } : {}), ...init.headers },
    });
    this.trail.push(url.href);
    this.keep(url, response);
    return response;
  }

  // The page at the end of the redirects: {url, status, html, text, headers, forms}. until(url):
  // stops before it is asked for, and gives {url}.
  async open(address, init, { until } = {}) {
    let url = new URL(address);
    let request = init;
    for (let hops = 0; hops < 20; hops++) {
      if (until?.(url)) return { url };
      const response = await this.ask(url, request);
      const location = response.headers.get('location');
      if (response.status < 300 || response.status >= 400 || location === null) {
        const html = await response.text();
        const { status, headers } = response;
        return { url, status, headers, html, text: textOf(html), forms: formsOf(html, url) };
      }
      await response.arrayBuffer();
      url = new URL(location, url);
      request = undefined;
    }
    throw new Error(`no end of redirects: ${this.trail.slice(-4).join(' → ')}`);
  }

  // Sends the form that has a button of that text (a string or a pattern); fill: name → value.
  async press(page, button, fill = {}, options) {
    const matches = ({ text }) => (button instanceof RegExp ? button.test(text) : text === button);
    const form = page.forms?.find(({ buttons }) => buttons.some(matches));
    if (form === undefined) throw new Error(`no button ${button}: ${page.status} ${page.text}`);
    const pressed = form.buttons.find(matches);
    const fields = new URLSearchParams(
      form.fields.map(([name, value]) => [name, Object.hasOwn(fill, name) ? fill[name] : value]),
    );
    if (pressed.name !== undefined) fields.append(pressed.name, pressed.value);
    if (form.method === 'GET') {
      form.action.search = fields;
      return this.open(form.action, undefined, options);
    }
    return this.open(
      form.action,
      { method: 'POST', body: fields, headers: { origin: page.url.origin } },
      options,
    );
  }
}
