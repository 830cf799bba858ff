// The number of records over time, stacked by severity with the worst at the bottom, where changes
// are easiest to see. Dragging over the histogram, or the arrow keys with Shift and Enter, selects
// a range.

import { html, useLayoutEffect, useMemo, useRef, useState } from './vendor/preact.js';
import { SEVERITIES, count, fullTime, plural, rangeTime, short, zoneShift } from './format.js';
import { Severity } from './severity.js';

const HEIGHT = 84;
const AXIS = 18;
const GAP = 1; // between bars
const DRAG_PIXELS = 4; // a shorter movement is a click
const NARROW = 600;
const TICK_PIXELS = 90;
const MINUTE = 60e3;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const ROUND_MILLIS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1e3, 2e3, 5e3, 10e3, 15e3, 30e3],
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE),
  ...[1, 2, 3, 6, 12].map((hours) => hours * HOUR),
  ...[1, 2, 7, 14, 30, 90, 365, 3650].map((days) => days * DAY),
];

const STACK = [...SEVERITIES].reverse().concat('');

// The number of buckets that fit the width of the window.
export const bucketsWanted = () => (innerWidth < NARROW ? 50 : 120);

// `data` is the response of the API, or null while it is being loaded; `choose({since, until})` is
// called with the range.
export function Histogram({ data, isStale, choose }) {
  const [width, root] = useWidth();
  return html`
    <section class="histogram ${isStale ? 'stale' : ''}" ref=${root} aria-label="Histogram">
      ${data && width > 0
        ? html`<${Chart} data=${data} width=${width} choose=${choose} />`
        : html`<div class="skeleton histogram-skeleton"></div>`}
    </section>
  `;
}

function Chart({ data, width, choose }) {
  const [range, setRange] = useState(null); // in buckets: {from, to}
  useLayoutEffect(() => setRange(null), [data]);
  const chart = useMemo(() => layout(data, width), [data, width]);
  const take = ({ from, to }) => choose({ since: chart.iso(from), until: chart.iso(to + 1) });
  const drag = useDrag(chart, range, setRange, take);
  const onKeyDown = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) setRange(moved(range, step, event.shiftKey, chart.buckets));
    else if (event.key === 'Enter' && range) take(ordered(range));
    else if (event.key === 'Escape' && range) setRange(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const marked = range && ordered(range);
  return html`
    <svg width=${width} height=${HEIGHT + AXIS} tabindex="0" role="group" onKeyDown=${onKeyDown} ...${drag}
      aria-label=${`${plural(data.total, 'record')} over time. Arrow keys move, Shift and arrow keys select a range, Enter searches in it.`}>
      ${chart.top > 0 && html`
        <line class="grid" x1="0" x2=${width} y1="0.5" y2="0.5" />
        <text class="scale" x=${width} y="11" text-anchor="end">${short(chart.top)}</text>`}
      ${marked && html`<rect class="marked" x=${chart.x(marked.from)} y="0" height=${HEIGHT}
        width=${chart.x(marked.to + 1) - chart.x(marked.from)} />`}
      ${chart.paths.map(({ name, path }) => html`<path key=${name} class="bar ${name.toLowerCase() || 'none'}" d=${path} />`)}
      <line class="axis" x1="0" x2=${width} y1=${HEIGHT + 0.5} y2=${HEIGHT + 0.5} />
      ${chart.ticks.map(({ x, label, anchor }) => html`
        <text class="tick" x=${x} y=${HEIGHT + 14} text-anchor=${anchor}>${label}</text>`)}
    </svg>
    ${marked && html`<${Tip} chart=${chart} range=${marked} />`}
  `;
}

// The width follows that of the window.
function useWidth() {
  const root = useRef();
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const measure = () => root.current && setWidth(Math.floor(root.current.clientWidth));
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(root.current);
    return () => observer.disconnect();
  }, []);
  return [width, root];
}

function layout(data, width) {
  const first = Date.parse(data.since);
  const step = data.step_seconds * 1000;
  const series = data.other ? [...data.series, { value: '', ...data.other }] : data.series;
  const buckets = Math.max(1, Math.round((Date.parse(data.until) - first) / step), ...series.map((one) => one.counts.length));
  const countsOf = (name) => series.find((one) => one.value === name)?.counts ?? [];
  const stack = STACK.map((name) => ({ name, counts: countsOf(name) })).filter(({ counts }) => counts.length);
  const totals = Array.from({ length: buckets }, (_, at) => sum(stack.map(({ counts }) => counts[at] ?? 0)));
  const top = niceTop(Math.max(...totals));
  const x = (bucket) => (bucket / buckets) * width;
  const iso = (bucket) => new Date(first + bucket * step).toISOString();
  const chart = { first, step, buckets, stack, totals, top, width, x, iso };
  return { ...chart, paths: bars(chart), ticks: ticks(chart) };
}

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

// Returns the next larger number that is easy to read.
function niceTop(number) {
  if (number <= 0) return 0;
  const scale = 10 ** Math.floor(Math.log10(number));
  return [1, 2, 3, 4, 5, 8, 10].map((step) => step * scale).find((top) => top >= number);
}

// One path per severity, so that some hundred bars are drawn fast.
function bars({ stack, buckets, top, x }) {
  const floor = new Array(buckets).fill(HEIGHT);
  return stack.map(({ name, counts }) => {
    let path = '';
    counts.forEach((number, at) => {
      if (!number) return;
      // A bar that is not empty is visible, however small.
      const height = Math.max((number / top) * (HEIGHT - 2), 1.5);
      const left = x(at) + GAP / 2;
      const width = Math.max(x(at + 1) - x(at) - GAP, 1);
      path += `M${left.toFixed(1)} ${floor[at].toFixed(1)}v${-height.toFixed(1)}h${width.toFixed(1)}v${height.toFixed(1)}z`;
      floor[at] -= height;
    });
    return { name, path };
  });
}

// Labels at round times of the displayed clock, with enough distance to be read easily.
function ticks({ first, step, buckets, width, x }) {
  const span = step * buckets;
  const every = ROUND_MILLIS.find((size) => (size / span) * width >= TICK_PIXELS) ?? ROUND_MILLIS.at(-1);
  const shift = zoneShift(first);
  const found = [];
  for (let at = Math.ceil((first + shift) / every) * every - shift; at < first + span; at += every) {
    const place = x((at - first) / step);
    if (place > 18 && place < width - 18) found.push({ x: place, label: rangeTime(at, span), anchor: 'middle' });
  }
  return found;
}

const ordered = ({ from, to }) => ({ from: Math.min(from, to), to: Math.max(from, to) });

function moved(range, step, isExtended, buckets) {
  if (!range) return { from: step > 0 ? 0 : buckets - 1, to: step > 0 ? 0 : buckets - 1 };
  const to = Math.min(Math.max(range.to + step, 0), buckets - 1);
  return { from: isExtended ? range.from : to, to };
}

function useDrag(chart, range, setRange, take) {
  const start = useRef(null);
  const bucketAt = (event) => {
    const { left } = event.currentTarget.getBoundingClientRect();
    const bucket = Math.floor(((event.clientX - left) / chart.width) * chart.buckets);
    return Math.min(Math.max(bucket, 0), chart.buckets - 1);
  };
  return {
    onPointerDown: (event) => {
      if (event.button !== 0) return;
      event.currentTarget.setPointerCapture(event.pointerId);
      start.current = { x: event.clientX, bucket: bucketAt(event), isDragged: false };
    },
    onPointerMove: (event) => {
      const bucket = bucketAt(event);
      if (!start.current) return setRange({ from: bucket, to: bucket });
      start.current.isDragged ||= Math.abs(event.clientX - start.current.x) >= DRAG_PIXELS;
      setRange({ from: start.current.bucket, to: bucket });
    },
    onPointerUp: (event) => {
      if (!start.current) return;
      const from = start.current.bucket;
      start.current = null;
      // A click zooms into one bar, unless the bar is empty.
      if (bucketAt(event) !== from || chart.totals[from] > 0) take(ordered({ from, to: bucketAt(event) }));
    },
    onPointerCancel: () => {
      start.current = null;
      setRange(null);
    },
    onPointerLeave: () => start.current || setRange(null),
    onBlur: () => range && setRange(null),
  };
}

// The counts in the selected buckets.
function Tip({ chart, range }) {
  const parts = chart.stack
    .map(({ name, counts }) => ({ name, number: sum(counts.slice(range.from, range.to + 1)) }))
    .filter(({ number }) => number > 0);
  const [from, to] = [chart.first + range.from * chart.step, chart.first + (range.to + 1) * chart.step];
  const withMillis = chart.step < 1000;
  const middle = (chart.x(range.from) + chart.x(range.to + 1)) / 2;
  const style = { left: `${Math.min(Math.max(middle, 110), Math.max(chart.width - 110, 110))}px` };
  return html`
    <div class="tip" style=${style} role="status">
      <div class="tip-time">${fullTime(from, withMillis)} – ${fullTime(to, withMillis).slice(11)}</div>
      ${parts.length === 0 && html`<div class="dim">no records</div>`}
      ${parts.map(({ name, number }) => html`
        <div class="tip-row"><${Severity} name=${name} />${name || 'none'}<b>${count(number)}</b></div>`)}
    </div>
  `;
}

// The severities that occur, and how often; a click searches for one.
export function Legend({ data, filter }) {
  const present = STACK.map((name) => data.series.find((one) => one.value === name)).filter((one) => one?.total > 0);
  return html`
    <div class="legend">
      ${present.map(({ value, total }) => html`
        <button type="button" class="legend-item" key=${value} disabled=${!value}
          title=${`Show only ${value || 'records without a severity'}`} onClick=${() => filter('severity', value)}>
          <${Severity} name=${value} /><span>${value || 'none'}</span><b>${short(total)}</b>
        </button>`)}
      ${data.partial && html`<span class="dim">not all records were counted in time</span>`}
    </div>
  `;
}
