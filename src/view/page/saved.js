// Searches that this browser stores: recent ones automatically, others by name.

import { html, useState } from './vendor/preact.js';
import { icon } from './icons.js';
import { load, store } from './memory.js';
import { Popover } from './popover.js';
import { rangeName } from './range.js';

const RECENT_MAX = 20;
const SAVED_MAX = 100;

export function remember(q) {
  if (!q) return;
  const others = load('recent', []).filter((other) => other !== q);
  store('recent', [q, ...others].slice(0, RECENT_MAX));
}

export const SavedSearches = ({ place, choose }) => html`
  <${Popover} className="saved" label="Saved and recent searches" align="right" button=${icon('star')}>
    ${(close) => html`<${Choices} place=${place} choose=${(changes) => { close(); choose(changes); }} />`}
  <//>
`;

function Choices({ place, choose }) {
  const [saved, setSaved] = useState(load('saved', []));
  const change = (next) => {
    store('saved', next);
    setSaved(next);
  };
  const save = (event) => {
    event.preventDefault();
    const name = event.target.elements.name.value.trim();
    const { q, since, until } = place;
    change([{ name, q, since, until }, ...saved.filter((other) => other.name !== name)].slice(0, SAVED_MAX));
    event.target.reset();
  };
  const recent = load('recent', []);
  return html`
    <div class="saved-choices">
      <form onSubmit=${save}>
        <input name="name" required maxlength="80" placeholder="Name this search" aria-label="Name of this search" />
        <button class="button">Save</button>
      </form>
      <h3>Saved</h3>
      ${saved.length === 0 && html`<p class="dim">None yet. Saving stores the query and its time range under a name.</p>`}
      <ul>
        ${saved.map((search) => html`
          <li key=${search.name}>
            <button type="button" class="choice" onClick=${() => choose({ q: search.q, since: search.since, until: search.until })}>
              <span>${search.name}</span><code>${search.q || 'all records'}</code><small>${rangeName(search)}</small>
            </button>
            <button type="button" class="small-button" aria-label=${`Delete ${search.name}`} title="Delete"
              onClick=${() => change(saved.filter((other) => other !== search))}>${icon('close')}</button>
          </li>`)}
      </ul>
      <h3>Recent</h3>
      ${recent.length === 0 && html`<p class="dim">None yet. Queries appear here after a search.</p>`}
      <ul>
        ${recent.map((q) => html`
          <li key=${q}><button type="button" class="choice" onClick=${() => choose({ q })}><code>${q}</code></button></li>`)}
      </ul>
    </div>
  `;
}
