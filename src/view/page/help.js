// The keyboard shortcuts and a summary of the query language.

import { html, useLayoutEffect, useRef } from './vendor/preact.js';
import { icon } from './icons.js';

const KEYS = [
  ['/', 'edit the query'],
  ['j', 'next record'],
  ['k', 'previous record'],
  ['Enter', 'open the record; in the query: search'],
  ['Escape', 'close the open record or menu'],
  ['t', 'switch the live tail on or off'],
  ['p', 'pause or resume the live tail'],
  ['a', 'show the records around the open record'],
  ['r', 'search again'],
  ['f', 'show the filters, on a small screen'],
  ['1 2 3', 'search, errors, operations'],
  ['?', 'this help'],
];

const QUERIES = [
  ['refused', 'the word in the message'],
  ['"connection refused"', 'the exact phrase'],
  ['conn*', 'words that start with conn'],
  ['service:billing', 'value of a field or attribute'],
  ['-logger:health', 'excludes matching records'],
  ['level>=warn', 'severity WARN or higher'],
  ['user_id>1000', 'numeric comparison'],
  ['trace_id:*', 'records with a trace id'],
  ['a OR b', 'either term; a b requires both'],
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
