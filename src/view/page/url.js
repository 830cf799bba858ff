// The state of the page is its address: what is seen can be reloaded, shared, and gone back to.

import { useLayoutEffect, useState } from './vendor/preact.js';

// Every member with the value that is left out of the address.
const DEFAULTS = {
  view: 'search', // or `errors`, `operations`
  q: '',
  since: '1h', // as the query language writes times; empty for no bound
  until: '',
  live: '', // `1` while following
  record: '', // the id of the record that is open
  around: '', // the id of the record whose neighbours are shown
  scope: 'service', // of the neighbours; or `all`
  trace: '', // the trace that is shown
};

// What leaves the neighbours of a record, or a trace, for a search.
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

// Changes some members. `replace` leaves no step to go back to: for what is not a place of its own.
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
