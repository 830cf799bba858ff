// The list of records. All rows have the same height, and only those in view are in the document,
// so the list is as fast with a hundred thousand rows as with ten.

import { html, useEffect, useLayoutEffect, useRef, useState } from './vendor/preact.js';
import { fullTime, inline, momentOf, plain, rowTime, severityOf } from './format.js';
import { Severity } from './severity.js';

const MARGIN_ROWS = 12; // above and below the view, so that scrolling does not show gaps
const SUMMARY_MAX = 400; // in characters: a row shows only as much of a message as fits

// `rows` has `length`, `row(index)` and `want(first, last)`; `selected` is the index of the row
// that keys act on, or -1; `open(index)` shows a record, `step(by)` moves to another; `atTop` is
// called with whether the first rows are in view; `footer` is displayed below the last row. The
// record `marked` is highlighted, and the row `start` is in view at first.
export function List({ rows, label, selected, open, step, atTop, footer, marked = null, start = -1 }) {
  const root = useRef();
  const [view, setView] = useState({ top: 0, height: 0, row: 24 });

  const measure = () => {
    const element = root.current;
    const row = parseFloat(getComputedStyle(element).getPropertyValue('--row-height'));
    setView({ top: element.scrollTop, height: element.clientHeight, row });
  };
  useLayoutEffect(() => {
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(root.current);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    const { row, height } = view;
    if (height > 0) root.current.scrollTop = start < 0 ? 0 : start * row - height / 2 + row / 2;
  }, [rows, view.height > 0, start]);
  useLayoutEffect(() => {
    if (selected >= 0) reveal(root.current, selected, view.row);
  }, [selected]);

  const first = Math.max(0, Math.floor(view.top / view.row) - MARGIN_ROWS);
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / view.row) + MARGIN_ROWS);
  useEffect(() => rows.want(first, last));

  const onScroll = () => {
    measure();
    atTop?.(root.current.scrollTop < view.row);
  };
  const onKeyDown = (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    step(by);
  };
  const visible = [];
  for (let index = first; index < last; index += 1) visible.push(index);
  const grid = {
    role: 'grid',
    tabindex: '0',
    'aria-label': label,
    'aria-rowcount': rows.isComplete ? rows.length : -1,
    'aria-activedescendant': selected >= first && selected < last ? `row-${selected}` : null,
    onKeyDown,
  };
  // The footer below the rows is not a row, and without rows there is no grid.
  return html`
    <div class="list" ref=${root} onScroll=${onScroll}>
      <div class="list-space" style=${{ height: `${rows.length * view.row}px` }} ...${rows.length > 0 ? grid : {}}>
        <div class="list-rows" role=${rows.length > 0 ? 'rowgroup' : null} style=${{ transform: `translateY(${first * view.row}px)` }}>
          ${visible.map((index) => html`
            <${Row} key=${index} index=${index} record=${rows.row(index)} isSelected=${index === selected}
              isMarked=${marked !== null && rows.row(index)?.id === marked} open=${open} />`)}
        </div>
      </div>
      ${footer}
    </div>
  `;
}

// Scrolls by the smallest distance that shows the whole row.
function reveal(element, index, height) {
  const top = index * height;
  if (top < element.scrollTop) element.scrollTop = top;
  const bottom = top + height - element.clientHeight;
  if (bottom > element.scrollTop) element.scrollTop = bottom;
}

function Row({ index, record, isSelected, isMarked, open }) {
  if (!record) return html`<div class="row empty" role="row" aria-rowindex=${index + 1}><span class="skeleton"></span></div>`;
  const name = severityOf(record);
  const time = rowTime(record.timestamp);
  const classes = `row ${name.toLowerCase()} ${isSelected ? 'selected' : ''} ${isMarked ? 'marked' : ''}`;
  return html`
    <div id=${`row-${index}`} class=${classes} role="row" aria-rowindex=${index + 1} aria-selected=${String(isSelected)}
      onClick=${() => window.getSelection().isCollapsed && open(index)}>
      <span class="cell severity-cell" role="gridcell"><${Severity} name=${name} title=${record.severity || name} /></span>
      <time class="cell time" role="gridcell" datetime=${record.timestamp} title=${title(record)}>
        <span class="date">${time.date}</span> ${time.time}<span class="millis">${time.millis}</span>
      </time>
      <span class="cell service" role="gridcell" title=${record.service ?? ''}>${record.service ?? record.logger ?? ''}</span>
      <span class="cell message" role="gridcell">
        <span class="text">${firstLine(record.message) || (record.event_name ?? '')}</span>${attributes(record)}
      </span>
    </div>
  `;
}

const title = (record) => fullTime(momentOf(record.timestamp), true);

// Line breaks are shown as symbols: one row is one line.
const firstLine = (text) => plain(text.slice(0, SUMMARY_MAX)).trim().replace(/\s*\n\s*/g, ' ⏎ ');

// A summary of the attributes, in a faint colour after the message. A stack trace is shown only in
// the detail view.
function attributes(record) {
  const type = record.attributes?.['exception.type'];
  const pairs = [];
  let length = 0;
  for (const [name, value] of Object.entries(record.attributes ?? {})) {
    if (name.startsWith('exception.')) continue;
    const text = inline(value).slice(0, 80);
    pairs.push(html`<span class="pair"><i>${name}</i>=${text}</span>`);
    length += name.length + text.length;
    if (length > SUMMARY_MAX / 2) break;
  }
  return html`${type && html`<span class="exception">${type}</span>`}${pairs}`;
}
