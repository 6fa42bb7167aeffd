// Eight kinds of namespaces as columns, the host and the containers as rows. A namespace that several rows share is one
// block over those rows. Below: the processes, each with its number on the host and its number inside, and the user ids.

const KINDS = ['user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup', 'time'];
const SHOWN = 200; // rows of processes; more would be a scroll, not a picture

function render({ model, el: host }) {
  let chosen = null; // 'kind first-row' of a block
  const data = () => model.get('data');
  const keyOf = (block) => `${block.kind} ${block.row}`;
  const nameOf = (row, words) => (row.noun === 'host' ? words('host') : row.name);
  const text = (content, words) => (content.word ? words(content.word, content) : content.text);

  const draw = (words) => {
    const containers = data().rows.filter((row) => row.noun === 'container');
    chosen ??= data().blocks.filter((block) => block.kind === 'pid' && block.shape !== 'host').map(keyOf)[0] ?? null;
    return {
      title: words('title'),
      chips: containers.map((row) => chip('container', row.name, short(row.id))),
      body: [
        containers.length === 0 && el('p', null, words('empty'), ' ', code('%container run -d --name web busybox sleep 1000')),
        el('div.ns-scroll', null, grid(words)), legend(words),
        el('div.ns-low', null, processes(words), el('div', null, el('h4', null, words('ids head')), idMaps().map((map) => userIds(words, map)))),
      ],
      foot: [el('span', null, words('source'))],
    };
  };

  const grid = (words) => el('div.ns-grid', { role: 'grid', 'aria-label': words('grid'), 'aria-rowcount': data().rows.length + 1, onkeydown: walk },
    el('div.ns-rows', { role: 'row' }, el('span', { role: 'columnheader' }),
      KINDS.map((kind) => el('div.ns-col', { role: 'columnheader' }, el('span.code', null, kind), muted(words(kind))))),
    data().rows.map((row, i) => el('div.ns-rows', { role: 'row' },
      el('div.ns-rowh', { role: 'rowheader', style: `grid-area: ${i + 2} / 1` },
        el('span.nm', null, el(`span.n-${row.noun}`, null, icon(row.noun)), el('span.b', null, nameOf(row, words))),
        el('span.m.code', null, row.noun === 'host' ? row.name : row.state === 'running' ? short(row.id).slice(0, 8) : row.state)),
      data().blocks.filter((block) => block.row === i).map((block) => cell(words, block)))));
  const cell = (words, block) => {
    const first = data().blocks.find((other) => other.kind === 'pid' && other.shape !== 'host') ?? data().blocks[0];
    return el(`div.ns-cell.${block.shape}`, {
      role: 'gridcell', 'aria-label': label(words, block), 'aria-rowspan': block.span, 'aria-selected': String(keyOf(block) === chosen),
      tabindex: keyOf(block) === (chosen ?? keyOf(first)) ? 0 : -1, 'data-key': keyOf(block), 'data-row': block.row, 'data-span': block.span,
      'data-column': KINDS.indexOf(block.kind), style: `grid-area: ${block.row + 2} / ${KINDS.indexOf(block.kind) + 2} / span ${block.span}`,
      onclick: () => { chosen = keyOf(block); view.redraw(); },
    },
    block.shape === 'share' && el('span.ns-tag', null, icon('link'), words('shared')),
    block.shape === 'open' && el('span.ns-tag', null, words('not own')),
    block.shape === 'none' ? el('span', null, words('not running'))
      : [el('span', null, block.shape === 'open' ? words("the host's") : text(block.content, words)), el('span.code', null, String(block.inode || ''))]);
  };
  const label = (words, block) => {
    const names = block.containers.join(words('comma'));
    const shape = { own: 'cell own', host: 'cell host', share: 'cell shared', open: 'cell open', none: 'cell none' }[block.shape];
    return words(shape, { kind: block.kind, content: block.content ? text(block.content, words) : '', name: names, names });
  };
  // Arrows go to the block that covers the next row or column.
  const walk = (event) => {
    const cells = [...event.currentTarget.querySelectorAll('[role=gridcell]')];
    const at = document.activeElement;
    if (!cells.includes(at)) return;
    const { row, column, span } = at.dataset;
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [Number(span), 0] }[event.key];
    if (event.key === 'Enter' || event.key === ' ') at.click();
    else if (move) {
      const [r, c] = [Number(row) + move[0], Number(column) + move[1]];
      const next = cells.find((node) => Number(node.dataset.column) === c && Number(node.dataset.row) <= r && r < Number(node.dataset.row) + Number(node.dataset.span));
      cells.forEach((node) => { node.tabIndex = node === (next || at) ? 0 : -1; });
      next?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const legend = (words) => el('div.cw-legend', null, ['own', 'share', 'host', 'open']
    .filter((shape) => data().blocks.some((block) => block.shape === shape))
    .map((shape) => el('span', null, el(`i.ns-key.${shape}`), shape === 'share' && icon('link'), words(`legend ${shape}`))));

  const marked = () => data().blocks.find((block) => keyOf(block) === chosen);
  const processes = (words) => {
    const own = data().rows.filter((row) => row.noun === 'container' && row.namespaces.pid);
    const groups = [...new Set(own.map((row) => row.namespaces.pid.inode))].map((inode) => ({
      inode, names: own.filter((row) => row.namespaces.pid.inode === inode).map((row) => row.name) }));
    const hostRows = data().processes.filter((process) => process.of === null);
    const outside = data().rows[0].namespaces.pid?.inode;
    return el('div', null, el('h4', null, words('processes head')), el('div.pt-host', { role: 'table', 'aria-label': words('processes head') },
      el('div.pt-row.m', { role: 'row' }, el('span', { role: 'columnheader' }, words('command')), el('span.num', { role: 'columnheader' }, words('outer')),
        el('span.num', { role: 'columnheader' }, words('inner')), el('span', { role: 'columnheader' }, words('of'))),
      hostRows.map((process) => line(words, process)),
      groups.map(({ inode, names }) => el(`div.pt-box${names.length > 1 ? '.share' : ''}`, { role: 'rowgroup' },
        inode !== outside && el('div.pt-cap', null, el('span.b.code', null, `pid:[${inode}]`), names.length > 1 && muted(words('one pid namespace'))),
        shown(data().processes.filter((process) => names.includes(process.of)), words)))));
  };
  const shown = (list, words) => [...list.slice(0, SHOWN).map((process) => line(words, process)),
    list.length > SHOWN && el('div.cw-note', null, words('hidden processes', { n: list.length - SHOWN }))];
  const line = (words, process) => {
    const block = marked();
    const inBlock = block && (process.of === null ? block.row === 0 : block.containers.includes(process.of));
    return el(`div.pt-row${inBlock ? '.sel' : ''}`, { role: 'row' },
      el('span.pt-name', { role: 'cell', style: `padding-left:${process.depth * 14}px`, title: process.command },
        process.depth > 0 && muted('└'), el(`span.n-${process.of === null ? 'host' : 'container'}`, null, icon(process.of === null ? 'host' : 'container')), code(process.command)),
      el('span.num', { role: 'cell' }, String(process.pid)), el('span.num.b', { role: 'cell' }, process.inner == null ? '—' : String(process.inner)),
      el('span.pt-of', { role: 'cell', title: process.of ?? '' }, process.of ?? words('host')));
  };

  // Containers whose ids are mapped alike share one paragraph.
  const idMaps = () => {
    const alike = new Map();
    for (const map of data().uid_maps) {
      const key = JSON.stringify(map.ranges);
      if (!alike.has(key)) alike.set(key, { ...map, names: [] });
      alike.get(key).names.push(map.container);
    }
    return [...alike.values()];
  };
  const userIds = (words, map) => {
    const [inside, outside] = map.ranges[0];
    const sentence = map.identity ? words('ids identity') : words('ids mapped', { inside: String(inside), outside: String(outside) });
    return el('div.id-map', null, !map.identity && bands(words, map.ranges.slice(0, 4)), el('p', null, el('span.b', null, map.names.join(words('comma'))), ': ', sentence),
      el('pre', null, muted(map.path), '\n', map.ranges.map((range) => range.map((value) => String(value).padStart(11)).join('')).join('\n')));
  };
  // Each range of ids is a band from the inside scale to the outside scale; heights are not to scale, numbers are.
  const bands = (words, ranges) => {
    const colour = 'var(--cw-container)';
    const write = (x, y, content, anchor, cls) => el(`text.${cls}`, { x, y, 'text-anchor': anchor }, content);
    return el('svg', { width: '100%', viewBox: `0 0 280 ${40 + ranges.length * 44}`, role: 'img', 'aria-label': words('ids head') },
      write(0, 12, words('inside'), 'start', 'm'), write(280, 12, words('outside'), 'end', 'm'),
      ranges.map(([inside, outside, count], i) => {
        const y = 24 + i * 44;
        const last = (first) => String(first + count - 1);
        return [el('polygon', { points: `90,${y} 190,${y + 8} 190,${y + 40} 90,${y + 32}`, fill: colour, 'fill-opacity': 0.28, stroke: colour }),
          write(84, y + 11, String(inside), 'end', 'c'), count > 1 && write(84, y + 32, last(inside), 'end', 'c'),
          write(196, y + 19, String(outside), 'start', 'c'), count > 1 && write(196, y + 40, last(outside), 'start', 'c')];
      }));
  };

  const view = mount({ model, el: host, table: WORDS, draw });
  return () => view.close();
}

export default { render };
