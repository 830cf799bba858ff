// The line above the list: what the list shows, how many records there are, and the way back.

import { html } from './vendor/preact.js';
import { count, duration, momentOf, plural } from './format.js';
import { Legend } from './histogram.js';
import { icon } from './icons.js';
import { ELSEWHERE, go } from './url.js';

// `counts` is the response of the histogram, which contains the total.
export function Banner({ mode, place, rows, counts, live, filter, again, facets }) {
  const back = html`<button type="button" class="button" onClick=${() => go(ELSEWHERE)}>${icon('back')}Back to search</button>`;
  return html`
    <div class="banner ${mode}">
      ${(mode === 'search' || mode === 'live') && html`
        <button type="button" class="button facets-button" onClick=${facets}>${icon('filter')}Filters</button>`}
      ${mode === 'search' && html`
        <p role="status">${countOf(counts)}<span class="dim order"> · newest first</span></p>
        <button type="button" class="small-button" aria-label="Search again" title="Search again (r)" onClick=${again}>${icon('refresh')}</button>
        ${counts.answer && html`<${Legend} data=${counts.answer} filter=${(name, value) => filter(name, value, false)} />`}`}
      ${mode === 'live' && html`<${LiveState} tail=${rows} stop=${() => live(false)} />`}
      ${mode === 'around' && html`
        ${back}<p role="status">Around record ${place.around}<span class="dim">, oldest first</span></p>
        <button type="button" class="link" onClick=${() => go({ scope: place.scope === 'all' ? 'service' : 'all' })}>
          ${place.scope === 'all' ? 'same service only' : 'all services'}</button>`}
      ${mode === 'trace' && html`
        ${back}<p role="status">Trace <code>${place.trace}</code>
        ${rows.length > 0 && html`<span class="dim"> · ${traceSummary(rows)}</span>`}</p>`}
    </div>
  `;
}

function countOf({ answer, problem, isStale }) {
  if (isStale) return 'Searching …';
  return problem ? 'Not counted' : plural(answer.total, 'record');
}

function traceSummary(rows) {
  const [first, last] = [rows.row(0), rows.row(rows.length - 1)];
  const records = plural(rows.length, 'record');
  if (!first || !last || !rows.isComplete) return records;
  const seconds = (momentOf(last.timestamp) - momentOf(first.timestamp)) / 1000;
  return `${records} in ${seconds < 10 ? `${seconds.toFixed(3)} s` : duration(Math.round(seconds))}`;
}

function LiveState({ tail, stop }) {
  const words = !tail.isConnected ? 'Connecting …' : tail.isPaused ? 'Paused' : 'Following new records';
  const resume = () => {
    tail.pause(false);
    document.querySelector('.list').scrollTop = 0;
  };
  return html`
    <p role="status"><span class="live-dot ${tail.isConnected && !tail.isPaused ? 'on' : ''}"></span> ${words}
      ${tail.isPaused && tail.arrived > 0 && html`<b class="waiting"> · ${count(tail.arrived)} new</b>`}
      ${tail.missed > 0 && html`<span class="dim"> · ${count(tail.missed)} arrived too fast to be shown</span>`}</p>
    <button type="button" class="button" onClick=${() => (tail.isPaused ? resume() : tail.pause(true))}>
      ${icon(tail.isPaused ? 'play' : 'pause')}${tail.isPaused ? 'Resume' : 'Pause'}</button>
    <button type="button" class="button stop" onClick=${stop}>Stop</button>
  `;
}
