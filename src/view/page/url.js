// The state of the page is in its address, so that a view can be reloaded, shared, and returned to.

import { useLayoutEffect, useState } from './vendor/preact.js';

// All members of the state with their default values, which are omitted from the address.
const DEFAULTS = {
  view: 'search', // or `errors`, `operations`
  q: '',
  since: '1h', // in the syntax of the query language; empty for no bound
  until: '',
  live: '', // `1` while following
  record: '', // the id of the record that is open
  around: '', // the id of the record whose surrounding records are shown
  scope: 'service', // of the surrounding records; or `all`
  trace: '', // the trace that is shown
};

// The changes that lead from the surrounding records of a record, or from a trace, to a search.
export const ELSEWHERE = { around: '', scope: 'service', trace: '', record: '' };

export function parse(search) {
  const parameters = new URLSearchParams(search);
  const known = Object.keys(DEFAULTS).map((name) => [name, parameters.get(name) ?? DEFAULTS[name]]);
  return Object.fromEntries(known);
}

export function format(state) {
  const parameters = new URLSearchParams();
  for (const [name, otherwise] of Object.entries(DEFAULTS)) {
    if ((state[name] ?? otherwise) !== otherwise) parameters.set(name, state[name]);
  }
  const text = parameters.toString();
  return text ? `?${text}` : location.pathname;
}

export const absolute = (state) => new URL(format(state), location.href).href;

const listeners = new Set();
let state = parse(location.search);

function tell() {
  for (const listener of listeners) listener(state);
}

addEventListener('popstate', () => {
  state = parse(location.search);
  tell();
});

// Changes some members. `replace` adds no entry to the history: for changes that are not a place of
// their own.
export function go(changes, { replace = false } = {}) {
  const next = { ...state, ...changes };
  const address = format(next);
  const isSame = address === format(state);
  state = next;
  if (!isSame) history[replace ? 'replaceState' : 'pushState'](null, '', address);
  tell();
}

export function usePlace() {
  const [place, setPlace] = useState(state);
  useLayoutEffect(() => {
    listeners.add(setPlace);
    setPlace(state);
    return () => listeners.delete(setPlace);
  }, []);
  return place;
}
