// The fields of the matching records, with their most frequent values: a click searches for a
// value, or excludes it.

import { html, useState } from './vendor/preact.js';
import * as api from './api.js';
import { count, short } from './format.js';
import { icon } from './icons.js';
import { filterState, writeName } from './query.js';
import { load, store } from './memory.js';

const OPEN_AT_FIRST = ['severity', 'service', 'logger', 'host'];
// Different for each record, or redundant.
const HIDDEN = new Set(['id', 'time', 'timestamp', 'message', 'severity_number']);
const VALUES_MORE = 50;

// `answer` is the response of the API, `filter(name, value, negated)` changes the query,
// `parameters` are those of the search.
export function Facets({ answer, problem, isStale, q, filter, parameters, close }) {
  const [search, setSearch] = useState('');
  const wanted = search.toLowerCase();
  const fields = sorted(answer?.fields ?? []).filter((field) => field.name.toLowerCase().includes(wanted));
  return html`
    <aside class="facets ${isStale ? 'stale' : ''}" aria-label="Filters">
      <div class="facets-head">
        <input type="search" placeholder="Find a field" aria-label="Find a field" value=${search}
          onInput=${(event) => setSearch(event.target.value)} />
        <button type="button" class="small-button facets-close" aria-label="Close filters" onClick=${close}>${icon('close')}</button>
      </div>
      ${!answer && !problem && html`<div class="skeleton"></div><div class="skeleton"></div><div class="skeleton"></div>`}
      ${problem && html`<p class="dim">The fields could not be counted.</p>`}
      ${answer && fields.length === 0 && html`<p class="dim">${search ? 'No matching field.' : 'No fields to filter by.'}</p>`}
      ${fields.map((field) => html`
        <${Facet} key=${field.kind + field.name} field=${field} q=${q} filter=${filter} parameters=${parameters} />`)}
      ${answer?.partial && html`
        <p class="facets-note">Counted in the newest ${count(answer.scanned)} records.</p>`}
    </aside>
  `;
}

// Well-known fields first, then attributes by name.
function sorted(fields) {
  const rank = (field) => {
    const known = OPEN_AT_FIRST.indexOf(field.name);
    if (field.kind === 'field') return known < 0 ? OPEN_AT_FIRST.length : known;
    return OPEN_AT_FIRST.length + 1;
  };
  // Nested members of an object have their own facets.
  const shown = fields.filter((field) => (field.kind === 'attribute' ? field.type !== 'object' : !HIDDEN.has(field.name)));
  return shown.sort((one, other) => rank(one) - rank(other) || one.name.localeCompare(other.name));
}

const opened = load('facets', {});

function Facet({ field, q, filter, parameters }) {
  const written = writeName(field.name);
  const [isOpen, setOpen] = useState(opened[written] ?? (field.kind === 'field' && OPEN_AT_FIRST.includes(field.name)));
  // Values beyond the first, and the response that they belong to.
  const [more, setMore] = useState(null);
  const values = more?.of === field ? more.values : field.values;
  const isShort = values === field.values && (field.distinct > values.length || field.distinct_capped);

  const toggle = () => {
    opened[written] = !isOpen;
    store('facets', opened);
    setOpen(!isOpen);
  };
  const loadMore = async () => {
    const answer = await api.values(field.name, { ...parameters, limit: VALUES_MORE }).catch(() => null);
    if (answer) setMore({ of: field, values: answer.values });
  };
  return html`
    <section class="facet">
      <h3><button type="button" aria-expanded=${String(isOpen)} onClick=${toggle}>
        ${icon(isOpen ? 'down' : 'right')}<span class="facet-name" title=${field.name}>${field.name}</span>
        <span class="facet-count" title="distinct values">${short(field.distinct)}${field.distinct_capped ? '+' : ''}</span>
      </button></h3>
      ${isOpen && html`
        <ul>
          ${values.map(({ value, count: number }) => html`
            <${Value} key=${value} name=${field.name} written=${written} value=${value} number=${number} total=${field.count}
              q=${q} filter=${filter} />`)}
        </ul>
        ${values.length === 0 && html`<p class="dim">Lists are not counted.</p>`}
        ${isShort && html`<button type="button" class="link" onClick=${loadMore}>more values</button>`}`}
    </section>
  `;
}

function Value({ name, written, value, number, total, q, filter }) {
  const state = filterState(q, written, value);
  const share = { transform: `scaleX(${total > 0 ? Math.min(number / total, 1) : 0})` };
  return html`
    <li class="facet-value ${state}">
      <span class="share" style=${share}></span>
      <button type="button" class="facet-pick" aria-pressed=${String(state === 'in')} title=${`Show only ${name} ${value}`}
        onClick=${() => filter(written, value, false)}>
        <span class="facet-text">${value === '' ? '(empty)' : String(value)}</span>
        <span class="number">${short(number)}</span>
      </button>
      <button type="button" class="facet-without" aria-label=${`Exclude ${name} ${value}`} title=${`Exclude ${name} ${value}`}
        aria-pressed=${String(state === 'out')} onClick=${() => filter(written, value, true)}>${icon('minus')}</button>
    </li>
  `;
}
