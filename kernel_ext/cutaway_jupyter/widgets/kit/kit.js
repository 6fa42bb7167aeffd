// What every view shares. A view's module is this file, then its own, as one ES module: see view.py.
// Names, paths and logs come from users, so nodes are built with el() and text nodes, never from HTML.

const SVG_NAMESPACE = 'http://www.w3.org/2000/svg';
const SVG_TAGS = new Set(['svg', 'g', 'path', 'rect', 'line', 'circle', 'text', 'polygon', 'defs', 'pattern']);

/** el('div.one.two', {attributes, onclick}, child, 'text', [children]) makes a node; false and null children are left out. */
function el(spec, attributes, ...children) {
  const [tag, ...classes] = spec.split('.');
  const node = SVG_TAGS.has(tag) ? document.createElementNS(SVG_NAMESPACE, tag) : document.createElement(tag);
  if (classes.length) node.setAttribute('class', classes.join(' '));
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === false || value == null) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return node;
}

const code = (text) => el('code', null, text);
const muted = (...content) => el('span.m', null, ...content);

/** Icons of 14 x 14, drawn here so that no font decides how they look. */
const path = (d, more) => el('path', { d, ...more });
const ICONS = {
  image: () => [2, 5.7, 9.4].map((y) => el('rect', { x: 1.5, y, width: 11, height: 2.6 })),
  container: () => [path('M9 2H4a2.5 2.5 0 0 0-2.5 2.5v5A2.5 2.5 0 0 0 4 12h5'),
    path('M9 2h1a2.5 2.5 0 0 1 2.5 2.5v5A2.5 2.5 0 0 1 10 12H9', { 'stroke-dasharray': '1.6 1.6' })],
  host: () => [path('M1 9h12M3 9V2.5h8V9M2.5 12l2-3M6 12l2-3M9.5 12l2-3')],
  running: () => [el('circle', { cx: 7, cy: 7, r: 4.5, fill: 'currentColor' })],
  paused: () => [path('M4.5 3v8M9.5 3v8', { 'stroke-width': 2.6 })],
  created: () => [el('circle', { cx: 7, cy: 7, r: 4.5 })],
  exited: () => [el('rect', { x: 3, y: 3, width: 8, height: 8 })],
  failed: () => [path('M3 3l8 8M11 3l-8 8', { 'stroke-width': 2.2 })],
  warn: () => [path('M7 2L13 12H1z'), path('M7 5.5v3M7 10v.6')],
  link: () => [path('M6 4.5H4a2.5 2.5 0 0 0 0 5h2M8 4.5h2a2.5 2.5 0 0 1 0 5H8M5 7h4')],
  down: () => [path('M3 5l4 4 4-4')],
  right: () => [path('M5 3l4 4-4 4')],
};

/** An icon. Without a label it is decoration beside a word, and hidden from screen readers. */
function icon(name, label = '') {
  const drawing = el('svg', { width: 14, height: 14, viewBox: '0 0 14 14', fill: 'none', stroke: 'currentColor', 'stroke-width': 1.4 }, (ICONS[name] || ICONS.created)());
  return el('span.cw-ic', label ? { role: 'img', 'aria-label': label } : { 'aria-hidden': 'true' }, drawing);
}

/** The name of an image, a container or the host, in its colour and shape. */
function chip(noun, name, id = '') {
  return el(`span.cw-chip.n-${noun}`, null, icon(noun), el('span.nm', null, name), id && el('span.id', null, id));
}

const short = (id) => (id || '').replace(/^sha256:/, '').slice(0, 12);
const number = (value) => value.toLocaleString('en');

/** Bytes as Docker prints them for images: powers of 1000. */
function size(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(1)} MB`;
  return bytes >= 1e3 ? `${Math.round(bytes / 1e3)} kB` : `${bytes} B`;
}

let hatches = 0;
/** A bar; its last `hidden` part is hatched: stored, but out of sight. */
function bar(width, height, filled, hidden, colour) {
  const id = `cw-hatch-${hatches += 1}`;
  const pattern = el('defs', null, el('pattern', { id, width: 4, height: 4, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
    el('line', { x1: 0, y1: 0, x2: 0, y2: 4, stroke: 'var(--cw-bg)', 'stroke-width': 1.8 })));
  return el('svg', { width, height, viewBox: `0 0 ${width} ${height}`, 'aria-hidden': 'true' }, hidden > 0 && pattern,
    el('line', { x1: 0, x2: 0, y1: 0, y2: height, stroke: colour }),
    el('rect', { x: 0, y: 2, width: filled, height: height - 4, fill: colour }),
    hidden > 0 && el('rect', { x: filled - hidden, y: 2, width: hidden, height: height - 4, fill: `url(#${id})` }));
}

/** words('key', {n: 3}) in the model's language. 'one thing|{n} things' chooses by n. */
function translator(table, language) {
  const words = { ...table.en, ...(table[language] || {}) };
  return (key, values = {}) => {
    let text = words[key] ?? key;
    if (text.includes('|')) text = text.split('|')[values.n === 1 ? 0 : 1];
    return text.replace(/\{(\w+)\}/g, (whole, name) => {
      const value = values[name] ?? whole;
      return typeof value === 'number' ? number(value) : value;
    });
  };
}

/** Arrow keys over a list of nodes of which one is in the tab order. Returns true when the key was used. */
function rove(event, nodes, keys = { ArrowDown: 1, ArrowUp: -1 }) {
  const at = nodes.indexOf(document.activeElement);
  let to = { Home: 0, End: nodes.length - 1 }[event.key];
  if (to === undefined && event.key in keys) to = Math.min(nodes.length - 1, Math.max(0, at + keys[event.key]));
  if (to === undefined || at < 0) return false;
  nodes.forEach((node, i) => { node.tabIndex = i === to ? 0 : -1; });
  nodes[to]?.focus();
  event.preventDefault();
  return true;
}

/** Makes an old node look like a fresh one and keeps it, so that focus, selection and scroll stay. Another data-key is another thing. */
function patch(old, fresh) {
  const key = (node) => node.getAttribute?.('data-key');
  if (old.nodeName !== fresh.nodeName || key(old) !== key(fresh)) { old.replaceWith(fresh); return; }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const [before, after] = [[...old.childNodes], [...fresh.childNodes]];
  after.forEach((node, i) => (i < before.length ? patch(before[i], node) : old.append(node)));
  before.slice(after.length).forEach((node) => node.remove());
}

const LEASE_RENEWAL = 20_000; // the kernel samples for a minute after it was last asked to
const STALE_AFTER = 3_500; // three samples and a little

/**
 * Mounts a view: draws it, draws it again when its data change, keeps the focus where it was, asks the kernel to
 * sample only while the view can be seen, and says in the head whether what is shown is live.
 * draw(words) returns {title, chips, body, foot}; what carries data-key gets its focus back.
 */
function mount({ model, el: host, table, draw }) {
  const view = crypto.randomUUID ? crypto.randomUUID() : String(Math.random());
  const live = el('span.cw-live', { role: 'status' });
  let visible = false;
  let heard = Date.now();
  let gone = false;
  host.setAttribute('data-lm-suppress-shortcuts', 'true');

  const parts = { head: el('div.cw-title'), body: el('div.cw-body'), foot: el('footer.cw-foot') };
  const section = el('section.cw', null, el('header.cw-head', null, parts.head, live), parts.body, parts.foot);
  host.replaceChildren(section);

  const words = (key, values) => translator(table, model.get('language'))(key, values);
  const redraw = () => {
    const key = host.contains(document.activeElement) ? document.activeElement.getAttribute('data-key') : null;
    const { title, chips, body, foot } = draw(words);
    section.setAttribute('aria-label', title);
    patch(parts.head, el('div.cw-title', null, el('h3', null, title), chips));
    patch(parts.body, el('div.cw-body', null, body));
    patch(parts.foot, el('footer.cw-foot', null, foot));
    if (key && !host.contains(document.activeElement)) [...host.querySelectorAll('[data-key]')].find((node) => node.getAttribute('data-key') === key)?.focus();
    mark();
  };
  const mark = () => {
    const age = Math.round((Date.now() - heard) / 1000);
    const trouble = model.get('trouble');
    let [glyph, text] = ['running', words('live')];
    if (gone) [glyph, text] = ['exited', words('kernel gone')];
    else if (trouble) [glyph, text] = [trouble === 'removed' ? 'exited' : 'warn', words(trouble)];
    else if (visible && Date.now() - heard > STALE_AFTER) [glyph, text] = ['warn', words('stale', { age })];
    if (live.getAttribute('data-text') === text) return;
    live.setAttribute('data-text', text);
    live.replaceChildren(icon(glyph), text);
  };
  const watch = (on) => { if (!gone) model.send({ kind: 'watch', view, on }); };
  const see = (on) => {
    if (on === visible) return;
    visible = on;
    heard = Date.now();
    watch(on);
    mark();
  };

  const observer = new IntersectionObserver((entries) => see(entries.at(-1).isIntersecting && !document.hidden));
  const turned = () => see(!document.hidden && host.getBoundingClientRect().height > 0);
  const message = (content) => { if (content.kind === 'tick') { heard = Date.now(); mark(); } };
  const lost = () => { gone = model.comm_live === false; mark(); };
  const clock = setInterval(mark, 1000);
  const lease = setInterval(() => { if (visible) watch(true); }, LEASE_RENEWAL);

  model.on('msg:custom', message);
  model.on('change:data', redraw);
  model.on('change:trouble', mark);
  model.on('comm_live_update', lost);
  document.addEventListener('visibilitychange', turned);
  redraw();
  observer.observe(host);

  const close = () => {
    see(false);
    observer.disconnect();
    clearInterval(clock);
    clearInterval(lease);
    document.removeEventListener('visibilitychange', turned);
    model.off('msg:custom', message);
    model.off('change:data', redraw);
    model.off('change:trouble', mark);
    model.off('comm_live_update', lost);
  };
  return { redraw, close };
}
