// The search view: search box, histogram, facets, list and the open record, all of one search.

import { html, useEffect, useMemo, useRef, useState } from './vendor/preact.js';
import * as api from './api.js';
import { useAnswer } from './answer.js';
import { Banner } from './banner.js';
import { Detail } from './detail.js';
import { Empty } from './empty.js';
import { Export } from './export.js';
import { Facets } from './facets.js';
import { Histogram, bucketsWanted } from './histogram.js';
import { useKeys } from './keyboard.js';
import { List } from './list.js';
import { ProblemNotice } from './notice.js';
import { Pages } from './pages.js';
import { toggleFilter, writeTerm } from './query.js';
import { RangePicker, fixed } from './range.js';
import { SavedSearches, remember } from './saved.js';
import { SearchBox } from './search.js';
import { Tail } from './tail.js';
import { ELSEWHERE, absolute, go } from './url.js';

const NEIGHBOURS = 100; // before and after a record
const FIELDS_SECONDS = 10; // if the search takes longer, what was counted by then is enough

export function Explore({ place }) {
  const [round, setRound] = useState(0); // counts repetitions of the same search
  // In windows where the facets have no space of their own.
  const [showsFacets, setShowsFacets] = useState(false);
  const [began, range] = useMemo(
    () => [Date.now(), fixed(place)],
    [place.q, place.since, place.until, place.live, round],
  );
  const parameters = { q: place.q, ...range };
  const key = JSON.stringify([parameters, round]);
  const mode = place.trace ? 'trace' : place.around ? 'around' : place.live ? 'live' : 'search';

  const rows = useRows(mode, place, parameters, key);
  const isSearch = mode === 'search';
  const hasFacets = isSearch || mode === 'live';
  const histogram = useAnswer(
    (signal) => api.histogram({ ...parameters, buckets: bucketsWanted() }, signal),
    isSearch ? key : null,
  );
  const fields = useAnswer((signal) => api.fields({ ...parameters, values: 10, seconds: FIELDS_SECONDS }, signal), hasFacets ? key : null);
  const [selected, select, latest] = useSelection(rows, place);

  const search = (changes) => go({ ...ELSEWHERE, ...changes });
  const searchFor = (q) => {
    remember(q);
    if (q === place.q && !place.around && !place.trace) setRound(round + 1);
    else search({ q });
  };
  const filter = (name, value, negated) => search({ q: toggleFilter(place.q, name, value, negated) });
  const open = (index) => {
    const record = rows.row(index);
    if (!record) return;
    if (mode === 'live') rows.pause(true); // the records being read must not move away
    select(index);
    go({ record: String(record.id) }, { replace: place.record !== '' });
  };
  const close = () => {
    go({ record: '' });
    document.querySelector('.list-space')?.focus({ preventScroll: true });
  };
  const step = (by) => {
    const index = Math.min(Math.max(latest() + by, 0), rows.length - 1);
    if (rows.length === 0) return;
    if (place.record) open(index);
    else select(index);
  };
  const live = (isOn) => search({ live: isOn ? '1' : '' });
  const actions = {
    close,
    step,
    filter,
    around: (record) => go({ around: String(record.id), scope: 'service', trace: '', live: '', record: kept(record) }),
    trace: (record) => go({ trace: record.trace_id, around: '', live: '', record: kept(record) }),
    // A link shows what is visible now, whenever it is opened.
    link: () => absolute({ ...place, live: '', ...range, until: range.until || new Date(began).toISOString() }),
  };
  useKeys({
    j: () => step(1),
    k: () => step(-1),
    Enter: () => open(latest()),
    Escape: () => (place.record ? close() : showsFacets && setShowsFacets(false)),
    t: () => live(mode !== 'live'),
    p: () => mode === 'live' && rows.pause(!rows.isPaused),
    r: () => setRound(round + 1),
    f: () => setShowsFacets(!showsFacets),
    a: () => place.record && actions.around({ id: place.record }),
  });

  const known = place.record ? rows.row(selected) : null;
  const problem = rows.problem ?? (histogram.isStale ? null : histogram.problem);
  return html`
    <div class="explore ${place.record ? 'with-detail' : ''} ${showsFacets ? 'with-facets' : ''}">
      <div class="search-bar">
        <${SearchBox} q=${place.q} search=${searchFor} fields=${fields.answer?.fields ?? []} range=${range}
          problem=${problem?.position ? problem : null} />
        <div class="search-tools">
          <${RangePicker} place=${place} choose=${(chosen) => search({ ...chosen, live: '' })} />
          <button type="button" class="button live-button" aria-pressed=${String(mode === 'live')} title="Follow new records (t)"
            onClick=${() => live(mode !== 'live')}><span class="live-dot"></span>Live</button>
          <${SavedSearches} place=${place} choose=${search} />
          <${Export} parameters=${mode === 'trace' ? { q: writeTerm('trace_id', place.trace) } : parameters}
            what=${mode === 'trace' ? 'trace' : 'search'} total=${isSearch ? histogram.answer?.total : null} />
        </div>
      </div>
      ${isSearch && !histogram.problem && html`
        <${Histogram} data=${histogram.answer} isStale=${histogram.isStale} choose=${search} />`}
      <${Banner} mode=${mode} place=${place} rows=${rows} counts=${histogram} live=${live} filter=${filter}
        again=${() => setRound(round + 1)} facets=${() => setShowsFacets(!showsFacets)} />
      <div class="columns">
        ${hasFacets && html`<${Facets} answer=${fields.answer} problem=${fields.problem} isStale=${fields.isStale} q=${place.q} filter=${filter}
          parameters=${parameters} close=${() => setShowsFacets(false)} />`}
        <main class="results" id="results">
          <${List} rows=${rows} label="Records" selected=${selected} open=${open} marked=${Number(place.around) || null}
            start=${place.around ? rows.indexOf(Number(place.around)) : -1} step=${step}
            atTop=${(isAtTop) => mode === 'live' && !isAtTop && rows.pause(true)}
            footer=${html`<${Footer} mode=${mode} place=${place} rows=${rows} change=${search} again=${() => setRound(round + 1)} />`} />
        </main>
        ${place.record && html`
          <${Detail} key=${place.record} id=${place.record} q=${place.q} actions=${actions}
            record=${known && String(known.id) === place.record ? known : null} />`}
      </div>
    </div>
  `;
}

// Where an open record covers the list, opening another list closes the record; detail.css uses the
// same width.
const kept = (record) => (matchMedia('(max-width: 1000px)').matches ? '' : String(record.id));

// The rows of the list; a change of the rows redraws the page.
function useRows(mode, place, parameters, key) {
  const [, redraw] = useState(0);
  const source = { search: key, live: place.q, around: place.around + place.scope, trace: place.trace }[mode];
  const rows = useMemo(() => {
    const changed = () => redraw((times) => times + 1);
    if (mode === 'live') return new Tail(place.q, changed);
    const loads = {
      search: (cursor, limit, signal) => api.records({ ...parameters, cursor, limit }, signal),
      around: (cursor, limit, signal) =>
        api.context(place.around, { before: NEIGHBOURS, after: NEIGHBOURS, scope: place.scope }, signal),
      trace: (cursor, limit, signal) => api.trace(place.trace, { cursor, limit }, signal),
    };
    return new Pages(loads[mode], changed);
  }, [mode, source]);
  useEffect(() => () => rows.stop(), [rows]);
  return rows;
}

// The row that keys act on: that of the open record, as soon as its row is known. `latest()`
// returns the current row, because keys may be pressed faster than the page is redrawn.
function useSelection(rows, place) {
  const [, redraw] = useState(0);
  const current = useRef({ rows, index: -1 });
  const latest = () => (current.current.rows === rows ? current.current.index : -1);
  const select = (index) => {
    current.current = { rows, index };
    redraw((times) => times + 1);
  };
  const index = latest();
  const wanted = Number(place.record || place.around);
  const isThere = index >= 0 && (!place.record || rows.row(index)?.id === wanted);
  useEffect(() => {
    if (!wanted || isThere) return;
    const found = rows.indexOf(wanted);
    if (found >= 0) select(found);
  }, [rows, rows.length, wanted, isThere]);
  return [index, select, latest];
}

function Footer({ mode, place, rows, change, again }) {
  if (mode === 'live' && !rows.problem) {
    return rows.length === 0 && html`<p class="list-end">No matching record has arrived yet. New records appear here immediately.</p>`;
  }
  if (rows.problem) return html`<${ProblemNotice} problem=${rows.problem} retry=${rows.problem.position ? null : () => rows.retry()} />`;
  if (!rows.isComplete) {
    const words = rows.isPartial ? 'The search takes long; still searching …' : 'Loading …';
    return html`<p class="list-end loading" role="status">${words}</p>`;
  }
  if (rows.length > 0) return html`<p class="list-end">${mode === 'search' ? 'End of results' : ''}</p>`;
  if (mode === 'trace') return html`<p class="list-end">No record of this trace is stored.</p>`;
  return html`<${Empty} place=${place} change=${change} again=${again} />`;
}
