// One record with all its data, and links to related records.

import { html, useEffect, useLayoutEffect, useRef, useState } from './vendor/preact.js';
import * as api from './api.js';
import { CopyButton } from './clipboard.js';
import { ago, fullTime, isUtc, momentOf, plain, severityOf, zoneName } from './format.js';
import { icon } from './icons.js';
import { ProblemNotice } from './notice.js';
import { writeName, filterState } from './query.js';
import { Severity } from './severity.js';

const FIELDS = ['service', 'logger', 'host', 'event_name', 'trace_id', 'span_id', 'file', 'line', 'function', 'process_id', 'thread'];
const STACK_TRACE = 'exception.stacktrace';
const LEVELS_MAX = 8; // of nested objects; deeper levels are shown as JSON

// `record` is the record as the list has it, if the list has it; `actions` are
// `{close, step, filter, around, trace, link}`.
export function Detail({ id, record: known, q, actions }) {
  const { record, problem } = useRecord(id, known);
  const root = useRef();
  useLayoutEffect(() => root.current?.focus({ preventScroll: true }), []);
  return html`
    <aside class="detail" aria-label=${`Record ${id}`} tabindex="-1" ref=${root}>
      <header class="detail-bar">
        <button type="button" class="small-button" aria-label="Previous record" title="Previous (k)"
          onClick=${() => actions.step(-1)}>${icon('up')}</button>
        <button type="button" class="small-button" aria-label="Next record" title="Next (j)"
          onClick=${() => actions.step(1)}>${icon('down')}</button>
        <span class="detail-id">record ${id}</span>
        <${CopyButton} label="Copy link" name="link" text=${actions.link} />
        <button type="button" class="small-button" aria-label="Close" title="Close (Escape)"
          onClick=${actions.close}>${icon('close')}</button>
      </header>
      ${problem && html`<${ProblemNotice} problem=${problem} />`}
      ${!problem && !record && html`<div class="detail-body"><div class="skeleton"></div></div>`}
      ${record && html`<${Body} record=${record} q=${q} actions=${actions} />`}
    </aside>
  `;
}

function useRecord(id, known) {
  const [state, setState] = useState({});
  useEffect(() => {
    if (known) return undefined;
    const abort = new AbortController();
    setState({});
    api.record(id, abort.signal).then(
      (record) => setState({ record }),
      (problem) => api.isAbort(problem) || setState({ problem }),
    );
    return () => abort.abort();
  }, [id, Boolean(known)]);
  return known ? { record: known } : state;
}

function Body({ record, q, actions }) {
  const [isJson, setJson] = useState(false);
  const moment = momentOf(record.timestamp);
  const name = severityOf(record);
  const stackTrace = record.attributes?.[STACK_TRACE];
  return html`
    <div class="detail-body">
      <div class="detail-head">
        <${Severity} name=${name} title=${record.severity || name} />
        <strong>${record.severity || name || 'no severity'}</strong>
        <time datetime=${record.timestamp} title=${record.timestamp}>${fullTime(moment, true)}
          <span class="dim"> ${isUtc() ? 'UTC' : zoneName()} · ${ago(moment)}</span></time>
      </div>
      <pre class="detail-message">${plain(record.message) || html`<span class="dim">(no message)</span>`}</pre>
      <div class="detail-actions">
        <button type="button" class="button" onClick=${() => actions.around(record)}>${icon('around')}Show context</button>
        ${record.trace_id && html`
          <button type="button" class="button" onClick=${() => actions.trace(record)}>${icon('trace')}Show trace</button>`}
        <${CopyButton} label="Copy JSON" text=${() => JSON.stringify(record, null, 2)} />
      </div>
      ${typeof stackTrace === 'string' && html`
        <section class="detail-section" aria-label="Stack trace">
          <h3>Stack trace <${CopyButton} compact label="Copy stack trace" text=${() => stackTrace} /></h3>
          <pre class="stack-trace">${stackLines(stackTrace)}</pre>
        </section>`}
      <section class="detail-section" aria-label="Fields">
        <h3>${isJson ? 'JSON' : 'Fields'}
          <button type="button" class="link" aria-pressed=${String(isJson)} onClick=${() => setJson(!isJson)}>
            ${isJson ? 'show fields' : 'show JSON'}</button></h3>
        ${isJson
          ? html`<pre class="json">${jsonPieces(record)}</pre>`
          : html`<${Fields} record=${record} q=${q} actions=${actions} />`}
      </section>
    </div>
  `;
}

// Readers look for the lines of a stack trace that name files; Python indents the code below them.
const stackLines = (text) =>
  text.split('\n').map((line) => {
    const kind = /^\s+(File |at )/.test(line) ? 'place' : /^\s/.test(line) ? 'code' : 'said';
    return html`<span class=${`stack-${kind}`}>${line}${'\n'}</span>`;
  });

function Fields({ record, q, actions }) {
  const columns = FIELDS.filter((name) => record[name] !== undefined).map((name) => [name, name, record[name]]);
  const attributes = Object.entries(record.attributes ?? {})
    .filter(([name]) => name !== STACK_TRACE)
    .flatMap(([name, value]) => leaves(name, value))
    .map(([name, value]) => [name, writeName(name, true), value]);
  const row = ([name, written, value]) => html`
    <${FieldRow} key=${written} name=${name} written=${written} value=${value} q=${q} filter=${actions.filter} />`;
  return html`
    <table class="fields">
      <tbody>${columns.map(row)}</tbody>
      ${attributes.length > 0 && html`
        <tbody><tr><th class="fields-title" colspan="3" scope="colgroup">Attributes</th></tr>${attributes.map(row)}</tbody>`}
    </table>
  `;
}

// Returns the members of an object with the dotted path that a query uses for each. If names
// contain dots themselves, no member has such a path.
function leaves(path, value, levels = LEVELS_MAX) {
  const isObject = value !== null && typeof value === 'object' && !Array.isArray(value);
  const names = isObject ? Object.keys(value) : [];
  const isDotted = names.some((name) => name.includes('.')) || (levels === LEVELS_MAX && path.includes('.'));
  if (names.length === 0 || isDotted || levels === 0) return [[path, value]];
  return names.flatMap((name) => leaves(`${path}.${name}`, value[name], levels - 1));
}

function FieldRow({ name, written, value, q, filter }) {
  const isWhole = value !== null && typeof value === 'object';
  const state = isWhole ? '' : filterState(q, written, value);
  const button = (negated, label, sign) => html`
    <button type="button" class="small-button" aria-label=${label} title=${label}
      aria-pressed=${String(state === (negated ? 'out' : 'in'))} onClick=${() => filter(written, value, negated)}>${icon(sign)}</button>`;
  return html`
    <tr>
      <th scope="row">${name}</th>
      <td class="value">${isWhole ? html`<pre class="json">${jsonPieces(value)}</pre>` : String(value)}</td>
      <td class="row-actions">
        ${!isWhole && value !== null && button(false, `Show only ${name} ${value}`, 'plus')}
        ${!isWhole && value !== null && button(true, `Exclude ${name} ${value}`, 'minus')}
        <${CopyButton} compact label=${`Copy ${name}`} text=${() => (isWhole ? JSON.stringify(value) : String(value))} />
      </td>
    </tr>
  `;
}

const JSON_TOKENS = /("(?:\\.|[^"\\])*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/g;

// JSON with coloured names and values. The output consists of text nodes: nothing in it is ever
// parsed as HTML.
function jsonPieces(value) {
  const text = JSON.stringify(value, null, 2);
  const pieces = [];
  let at = 0;
  for (const match of text.matchAll(JSON_TOKENS)) {
    pieces.push(text.slice(at, match.index));
    const kind = match[2] ? 'json-name' : match[1] ? 'json-text' : 'json-number';
    pieces.push(html`<span class=${kind}>${match[1] ?? match[3]}</span>${match[2] ?? ''}`);
    at = match.index + match[0].length;
  }
  pieces.push(text.slice(at));
  return pieces;
}
