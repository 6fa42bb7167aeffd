// The layers of an image, lowest at the bottom; on top of them the layer that a container writes to.
// Lines and counts come with the model; a layer's files are fetched when it is selected, a folder's when it is opened.

const BAR = 96;

function render({ model, el: host }) {
  let chosen = null; // 'writable' or the number of a layer, 1 is the lowest
  let open = new Set();
  let listings = new Map(); // 'layer path' -> {entries, more} | {error} | null while it is on its way

  const data = () => model.get('data');
  const lines = () => data().lines;
  const layers = () => lines().filter((line) => line.layer);
  const tells = () => data().told === 'all';

  const ask = (layer, path) => {
    const key = `${layer} ${path}`;
    if (listings.get(key) || !tells()) return;
    listings.set(key, null);
    model.send({ kind: 'files', layer, path });
  };
  const choose = (layer) => {
    chosen = layer;
    open = new Set();
    ask(chosen, '/');
    view.redraw();
  };
  const answered = (content) => {
    if (content.kind !== 'files') return;
    listings.set(`${content.layer} ${content.path}`, content);
    view.redraw();
  };
  // What a container writes changes; what an image holds does not. The old answer stays until the new one is here.
  const refreshed = () => {
    for (const key of [...listings.keys()].filter((name) => name.startsWith('writable '))) {
      if (chosen === 'writable') model.send({ kind: 'files', layer: 'writable', path: key.slice('writable '.length) });
      else listings.delete(key);
    }
  };

  const draw = (words) => {
    if (chosen === null) {
      chosen = data().writable ? 'writable' : layers().at(-1)?.layer.number ?? null;
      if (chosen !== null) ask(chosen, '/');
    }
    const foot = [el('span', null, words('total', { size: size(data().image.size), n: layers().length }))];
    const wasted = layers().reduce((sum, line) => sum + (line.layer.hidden || 0), 0);
    if (wasted) {
      const percent = ((100 * wasted) / Math.max(1, data().image.size)).toFixed(1);
      foot.push(el('span', null, bar(18, 12, 18, 18, 'var(--cw-image)'), words('wasted', { size: size(wasted), percent })));
    }
    if (!tells()) foot.push(el('span', null, words('no files')));
    return {
      title: words('title'),
      chips: [chip('image', data().image.name, short(data().image.id)), data().container && chip('container', data().container.name, short(data().container.id))],
      body: [el('div.ly-scroll', null, stack(words)), chosen !== null && tells() && el('div.ly-detail', null, files(words), facts(words))],
      foot,
    };
  };

  const counts = (layer) => el('span.ly-counts', null, [['+', layer.added], ['~', layer.changed], ['−', layer.deleted]]
    .map(([sign, value]) => el(value ? 'span' : 'span.m', null, value == null ? '' : sign + number(value))));
  const measure = (layer, colour) => {
    const largest = Math.max(1, ...layers().map((line) => line.layer.size), data().writable?.size || 0);
    const scaled = (bytes, least) => (bytes ? Math.max(least, (bytes / largest) * BAR) : 0);
    const filled = scaled(layer.size, 2);
    return el('span.ly-bar', null, bar(BAR, 12, filled, Math.min(filled, scaled(layer.hidden, 3)), colour), el('span', null, size(layer.size)));
  };
  const item = (kind, layer, label, ...row) => el(`div.${kind}`, {
    role: 'treeitem', 'aria-selected': String(layer === chosen), 'aria-label': label, tabindex: layer === chosen ? 0 : -1,
    'data-key': `layer ${layer}`, onclick: () => choose(layer),
  }, el('div.ly-row', null, ...row));
  const slab = (words, line) => item('ly-slab', line.layer.number,
    words('row', { ...line.layer, step: String(line.step), instruction: line.instruction, size: size(line.layer.size) }),
    muted(String(line.step)), code(line.instruction), measure(line.layer, 'var(--cw-image)'), counts(line.layer),
    el('span.ly-from', null, line.from || words('this image')));
  const setting = (words, line) => el('div.ly-meta', { role: 'none' }, el('div.ly-row', null,
    muted(String(line.step)), code(line.instruction), el('span.ly-note', null, words('settings'))));
  const writable = (words) => {
    const { name } = data().container;
    return item('ly-write', 'writable', words('row writable', { name, ...data().writable, size: size(data().writable.size) }),
      el('span.n-container', null, icon('container')), el('span', null, el('span.b', null, words('writable', { name })), muted(words('with the container'))),
      measure(data().writable, 'var(--cw-container)'), counts(data().writable), el('span.ly-from.m', null, words('not in the image')));
  };
  const stack = (words) => el('div.ly-stack', { role: 'tree', 'aria-label': words('layers, top first'), onkeydown: walk },
    el('div.ly-row.ly-cols', { role: 'none' }, el('span', null, words('step')), el('span', null, words('instruction')),
      el('span', null, words('size')), el('span.num', null, words('counts')), el('span', null, words('from'))),
    data().writable && writable(words),
    [...lines()].reverse().map((line) => (line.layer ? slab(words, line) : setting(words, line))),
    el('div.ly-base', { role: 'none' }));
  const walk = (event) => {
    const items = [...event.currentTarget.querySelectorAll('[role=treeitem]')];
    if (event.key === 'Enter' || event.key === 'ArrowRight') host.querySelector('.tr-tree [tabindex="0"]')?.focus();
    else if (rove(event, items)) document.activeElement.click();
  };

  const lineOf = (number) => layers().find((line) => line.layer.number === number);
  const stepOf = (number) => String(lineOf(number)?.step ?? number);
  const files = (words) => {
    const root = listings.get(`${chosen} /`);
    const layer = chosen === 'writable' ? data().writable : lineOf(chosen).layer;
    const total = layer.added + layer.changed + layer.deleted;
    const title = chosen === 'writable' ? words('files writable', { name: data().container.name }) : words('files', { step: String(lineOf(chosen).step) });
    const tree = el('div.tr-tree', { role: 'tree', 'aria-label': title, onkeydown: step }, rows(words, '/', 0));
    tree.querySelector('[role=treeitem]')?.setAttribute('tabindex', '0');
    let body = tree;
    if (root == null) body = el('div.cw-note', null, words('loading'));
    else if (root.error) body = el('div.cw-note', { role: 'alert' }, icon('failed'), ` ${words('files failed')}: ${root.error} `,
      el('button.cw-btn', { onclick: () => { listings.delete(`${chosen} /`); ask(chosen, '/'); view.redraw(); } }, words('again')));
    else if (!root.entries.length) body = el('div.cw-note', null, words('nothing'));
    return el('div.cw-panel', null, el('h4', null, title, muted(words('paths', { n: total }))), body);
  };
  const rows = (words, folder, depth) => {
    const listing = listings.get(`${chosen} ${folder}`);
    if (!listing || listing.error) return [el('div.cw-note', null, listing ? listing.error : words('loading'))];
    const list = listing.entries.map((entry) => {
      const path = `${folder === '/' ? '' : folder}/${entry.name}`;
      const folded = entry.kind === 'directory' && entry.mark !== 'D' && entry.count > 0;
      const isOpen = open.has(path);
      const row = el('div.tr-row', { role: 'treeitem', tabindex: -1, 'data-key': `file ${path}`, 'data-mark': entry.mark, 'aria-level': depth + 1,
        'aria-expanded': folded ? String(isOpen) : null, title: path, onclick: (event) => event.currentTarget.hasAttribute('aria-expanded') && toggle(path) },
      entry.mark ? el(`span.cw-mark.${entry.mark}`, null, entry.mark) : el('span'),
      el('span.tr-name', { style: `padding-left:${depth * 16}px` }, folded && icon(isOpen ? 'down' : 'right'),
        el(entry.mark === 'D' ? 'span.code.gone' : 'span.code', null, entry.name + (entry.kind === 'directory' ? '/' : ''))),
      el('span.num', null, entry.mark === 'D' ? '' : size(entry.size)), el('span.tr-hint', null, hint(words, entry, folded)));
      return [row, folded && isOpen && rows(words, path, depth + 1)];
    });
    if (listing.more) list.push(el('div.cw-note', null, words('more', { n: listing.more })));
    return list;
  };
  const hint = (words, entry, folded) => {
    if (entry.mark === 'D') return words('whiteout');
    if (entry.hidden_by) return [bar(20, 12, 20, 20, 'var(--cw-image)'), words('hidden by', { step: stepOf(entry.hidden_by) })];
    if (entry.hides_in) return words('hides', { size: size(entry.hides), step: stepOf(entry.hides_in) });
    return folded ? words('count', { n: entry.count }) : '';
  };
  const toggle = (path) => {
    if (open.has(path)) open.delete(path); else { open.add(path); ask(chosen, path); }
    view.redraw();
  };
  const step = (event) => {
    const items = [...event.currentTarget.querySelectorAll('[role=treeitem]')];
    const at = document.activeElement;
    const expanded = at.getAttribute('aria-expanded');
    const mark = event.key.toUpperCase();
    if (event.key === 'Escape') host.querySelector('.ly-stack [tabindex="0"]')?.focus();
    else if (event.key === 'Enter' || (event.key === 'ArrowRight' && expanded === 'false') || (event.key === 'ArrowLeft' && expanded === 'true')) at.click();
    else if ('ACD'.includes(mark)) {
      const from = items.indexOf(at) + 1;
      [...items.slice(from), ...items.slice(0, from)].find((node) => node.dataset.mark === mark)?.focus();
    } else if (!rove(event, items)) return;
    event.preventDefault();
    event.stopPropagation();
  };

  const facts = (words) => {
    const hidden = (layer) => (layer.hidden ? words('hidden of', { hidden: size(layer.hidden), size: size(layer.size) }) : words('none hidden'));
    let pairs;
    if (chosen === 'writable') pairs = [['state', data().container.state], ['on disk', data().writable.directory]];
    else {
      const { layer, created, from } = lineOf(chosen);
      pairs = [['made', (created || '').slice(0, 19).replace('T', ' ')], ['comes from', from || words('this image')],
        ['diff id', layer.diff_id.slice(0, 19) + '…'], ['on disk', layer.directory], ['hidden', hidden(layer)]];
    }
    return el('div.cw-panel', null, el('h4', null, words('facts')),
      el('dl.kv', null, pairs.filter(([, value]) => value).map(([name, value]) => [el('dt', null, words(name)), el('dd.code', null, value)])));
  };

  model.on('msg:custom', answered);
  model.on('change:data', refreshed); // before the kit redraws
  const view = mount({ model, el: host, table: WORDS, draw });
  return () => {
    model.off('msg:custom', answered);
    model.off('change:data', refreshed);
    view.close();
  };
}

export default { render };
