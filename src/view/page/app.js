// The page: what every view contains, and which view is shown.

import { html, render, useEffect, useState } from './vendor/preact.js';
import { Errors } from './errors.js';
import { Explore } from './explore.js';
import { isUtc, setUtc, zoneName } from './format.js';
import { Help } from './help.js';
import { icon } from './icons.js';
import { useKeys } from './keyboard.js';
import { Operations } from './operations.js';
import { useStatus } from './status.js';
import { THEMES, apply, setTheme, theme } from './theme.js';
import { ELSEWHERE, format, go, usePlace } from './url.js';

const STATUS_SECONDS = 15; // for the status light in the corner
const OPERATIONS_SECONDS = 2;

const VIEWS = [
  ['search', 'Search'],
  ['errors', 'Errors'],
  ['operations', 'Operations'],
];

// The query and its range are kept when the view changes; what is open is not.
const changesFor = (view) => ({ ...ELSEWHERE, view, live: '' });

function App() {
  const place = usePlace();
  const [showsHelp, setShowsHelp] = useState(false);
  const [, redraw] = useState(0);
  const status = useStatus(1000 * (place.view === 'operations' ? OPERATIONS_SECONDS : STATUS_SECONDS));
  useTitle(place);
  useKeys({
    '/': () => document.getElementById('query')?.focus(),
    '?': () => setShowsHelp(true),
    ...Object.fromEntries(VIEWS.map(([view], index) => [String(index + 1), () => go(changesFor(view))])),
  });
  const change = (action) => {
    action();
    redraw((times) => times + 1);
  };
  return html`
    <a class="skip" href="#results">Skip to results</a>
    <header class="top">
      <a class="brand" href=${format({})} onClick=${(event) => follow(event, { ...changesFor('search'), q: '', since: '1h', until: '' })}>
        <img src="assets/icon.svg" alt="" width="22" height="22" /><span>logboom</span>
      </a>
      <nav aria-label="Views">
        ${VIEWS.map(([view, name]) => html`
          <a href=${format({ ...place, ...changesFor(view) })} aria-current=${place.view === view ? 'page' : null}
            onClick=${(event) => follow(event, changesFor(view))}>${name}</a>`)}
      </nav>
      <div class="top-tools">
        <${Light} status=${status} />
        <button type="button" class="top-button zone" title=${`Times are shown in ${zoneName()}`} aria-pressed=${String(isUtc())}
          aria-label="Times in UTC" onClick=${() => change(() => setUtc(!isUtc()))}>${isUtc() ? 'UTC' : 'Local'}</button>
        <${ThemeButton} change=${change} />
        <button type="button" class="top-button" aria-label="Help" title="Help (?)" onClick=${() => setShowsHelp(true)}>?</button>
      </div>
    </header>
    ${view(place, status)}
    ${showsHelp && html`<${Help} close=${() => setShowsHelp(false)} />`}
  `;
}

function view(place, status) {
  if (place.view === 'errors') return html`<${Errors} place=${place} />`;
  if (place.view === 'operations') return html`<${Operations} ...${status} />`;
  return html`<${Explore} place=${place} />`;
}

// Links are real links: with Ctrl or the middle button they open in another tab.
function follow(event, changes) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  go(changes);
}

function useTitle({ view, q }) {
  useEffect(() => {
    const name = view === 'search' ? q : VIEWS.find(([other]) => other === view)?.[1];
    document.title = name ? `${name} – logboom` : 'logboom';
  }, [view, q]);
}

// Shows at a glance whether the server is healthy, and links to the details.
function Light({ status }) {
  const now = status.samples.at(-1)?.status;
  const state = status.problem ? 'ill' : !now ? '' : now.ready ? 'well' : 'ill';
  const words = status.problem ? 'no response' : !now ? '' : now.ready ? 'healthy' : 'unhealthy';
  return html`
    <a class="light ${state}" href=${format({ view: 'operations' })} title=${now?.problems.join('; ') || 'Operations'}
      onClick=${(event) => follow(event, changesFor('operations'))}><span class="light-dot"></span>${words}</a>
  `;
}

function ThemeButton({ change }) {
  const now = theme();
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  const sign = { system: 'half', light: 'sun', dark: 'moon' }[now];
  return html`
    <button type="button" class="top-button" aria-label=${`Colours: ${now}. Change to ${next}`} title=${`Colours: ${now}`}
      onClick=${() => change(() => setTheme(next))}>${icon(sign)}</button>
  `;
}

apply();
render(html`<${App} />`, document.getElementById('app'));
