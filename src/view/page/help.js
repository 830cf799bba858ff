// The keyboard shortcuts and a summary of the query language.

import { html, useLayoutEffect, useRef } from './vendor/preact.js';
import { icon } from './icons.js';

const KEYS = [
  ['/', 'write a query'],
  ['j', 'next record'],
  ['k', 'previous record'],
  ['Enter', 'open the record; search'],
  ['Escape', 'close what is open'],
  ['t', 'live tail on and off'],
  ['p', 'pause the live tail, and go on'],
  ['a', 'what happened around the open record'],
  ['r', 'search again'],
  ['f', 'filters on a small screen'],
  ['1 2 3', 'search, errors, operations'],
  ['?', 'this help'],
];

const QUERIES = [
  ['refused', 'the word, in the message'],
  ['"connection refused"', 'the phrase as it stands'],
  ['conn*', 'words that start so'],
  ['service:billing', 'a field’s value; attributes, too'],
  ['-logger:health', 'not'],
  ['level>=warn', 'warnings and worse'],
  ['user_id>1000', 'numbers compared'],
  ['trace_id:*', 'where there is one'],
  ['a OR b', 'either; side by side means both'],
];

export function Help({ close }) {
  const dialog = useRef();
  useLayoutEffect(() => dialog.current.showModal(), []);
  const table = (rows, cell) => html`
    <table><tbody>${rows.map(([key, words]) => html`<tr><th scope="row">${cell(key)}</th><td>${words}</td></tr>`)}</tbody></table>`;
  // A click whose target is the dialog itself is outside its content.
  return html`
    <dialog class="help" ref=${dialog} aria-label="Help" onClose=${close} onClick=${(event) => event.target === dialog.current && close()}>
      <div class="help-body">
        <header><h2>Help</h2>
          <button type="button" class="small-button" aria-label="Close" onClick=${close}>${icon('close')}</button></header>
        <section><h3>Shortcuts</h3>${table(KEYS, (key) => key.split(' ').map((one) => html`<kbd>${one}</kbd> `))}</section>
        <section><h3>Queries</h3>${table(QUERIES, (query) => html`<code>${query}</code>`)}</section>
      </div>
    </dialog>
  `;
}
