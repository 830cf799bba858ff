// The search box: the coloured query with its errors underlined, and completion of fields and
// values.

import { html, useEffect, useLayoutEffect, useRef, useState } from './vendor/preact.js';
import * as api from './api.js';
import { icon } from './icons.js';
import { sentence } from './notice.js';
import { tokens, wordAt, writeName, writeValue } from './query.js';
import { SEVERITIES, short } from './format.js';

const COMPLETE_AFTER_MILLIS = 120;
const CHECK_AFTER_MILLIS = 350;
const SUGGESTIONS_MAX = 10;
const COMPLETE_SECONDS = 2; // a user who is typing does not wait longer
const SEVERITY_NAMES = new Set(['severity', 'level', 'levelname']);

// `search(q)` is called with the query to search, `fields` are those of the previous response,
// `range` limits the offered values, `problem` is the error that the server reported for the query
// `q`.
export function SearchBox({ q, search, fields, range, problem }) {
  const [text, setText] = useState(q);
  const [found, setFound] = useState(null); // the error that the server reported for `text`
  const input = useRef();
  const completion = useCompletion(text, input, fields, range);

  // Layout effects, because later effects would undo what was typed in the meantime.
  useLayoutEffect(() => setText(q), [q]);
  useLayoutEffect(() => setFound(problem && { text: q, problem }), [problem, q]);
  useCheck(text, q, setFound);

  const isWriting = completion.items.length > 0; // the text still to be typed may fix the error
  const wrong = found?.text === text && !isWriting ? found.problem : null;
  const edit = (next, caret) => {
    setText(next);
    completion.look(next, caret);
  };
  const accept = (item) => {
    const { start, end } = completion.word;
    const next = text.slice(0, start) + item.insert + text.slice(end);
    const caret = start + item.insert.length;
    // The caret can be set only when the text is present.
    input.current.value = next;
    input.current.setSelectionRange(caret, caret);
    edit(next, caret);
  };
  const submit = (event) => {
    event?.preventDefault();
    completion.close();
    search(text.trim());
  };
  const onKeyDown = (event) => {
    if (completion.onKeyDown(event, accept)) return;
    if (event.key === 'Enter' && !event.isComposing) submit(event);
    if (event.key === 'Escape') input.current.blur();
  };

  return html`
    <form class="search-box" role="search" onSubmit=${submit}>
      <div class="search-field ${wrong ? 'wrong' : ''}">
        ${icon('search')}
        <div class="search-text">
          <div class="search-colours" aria-hidden="true">${colours(text, wrong)}<br /></div>
          <textarea id="query" ref=${input} rows="1" value=${text} placeholder='level>=warn service:billing "timed out"'
            aria-label="Query" role="combobox" aria-autocomplete="list" aria-controls="suggestions"
            aria-expanded=${String(completion.items.length > 0)}
            aria-activedescendant=${completion.at >= 0 ? `suggestion-${completion.at}` : null}
            aria-invalid=${String(Boolean(wrong))} aria-describedby=${wrong ? 'query-problem' : null}
            spellcheck=${false} autocomplete="off" autocapitalize="off" enterkeyhint="search" maxlength="4096"
            onInput=${(event) => edit(event.target.value.replace(/\n/g, ' '), event.target.selectionStart)}
            onKeyDown=${onKeyDown} onBlur=${completion.close}></textarea>
        </div>
        ${text && html`
          <button type="button" class="small-button" aria-label="Clear query" title="Clear query"
            onClick=${() => { setText(''); search(''); input.current.focus(); }}>${icon('close')}</button>`}
      </div>
      <${Suggestions} completion=${completion} accept=${accept} />
      ${wrong && html`
        <p class="query-problem" id="query-problem" role="alert">
          <strong>${sentence(wrong.detail)}</strong>${' '}${wrong.hint && sentence(wrong.hint)}
        </p>`}
    </form>
  `;
}

const Suggestions = ({ completion, accept }) => html`
  <ul class="suggestions" id="suggestions" role="listbox" aria-label="Suggestions" hidden=${completion.items.length === 0}>
    ${completion.items.map((item, index) => html`
      <li key=${item.insert} id=${`suggestion-${index}`} role="option" aria-selected=${String(index === completion.at)}
        onPointerDown=${(event) => { event.preventDefault(); accept(item); }}>
        <code>${item.label}</code><span>${item.note}</span>
      </li>`)}
  </ul>
`;

// Sends a text that differs from the searched query to the server for validation, once the user
// stops typing.
function useCheck(text, q, setFound) {
  useEffect(() => {
    if (text.trim() === '' || text === q) return undefined;
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      try {
        await api.records({ q: text, limit: 0 }, abort.signal);
        setFound(null);
      } catch (problem) {
        if (problem.position) setFound({ text, problem });
      }
    }, CHECK_AFTER_MILLIS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [text, q]);
}

// Splits the text of the query into pieces: each kind has its class, and errors are underlined.
function colours(text, wrong) {
  const marks = wrong?.position ? span(text, wrong.position) : { start: -1, end: -1 };
  const pieces = [];
  const push = (start, end, kind) => {
    for (const [from, to, isWrong] of cut(start, end, marks)) {
      pieces.push(html`<span class="${kind} ${isWrong ? 'mark' : ''}">${text.slice(from, to)}</span>`);
    }
  };
  let at = 0;
  for (const token of tokens(text)) {
    push(at, token.start, '');
    push(token.start, token.end, `token-${token.kind}`);
    at = token.end;
  }
  push(at, text.length, '');
  if (marks.start >= text.length) pieces.push(html`<span class="mark"> </span>`);
  return pieces;
}

// The server counts characters, the browser counts UTF-16 units.
function span(text, { start, end }) {
  const characters = [...text];
  const units = (count) => characters.slice(0, count).join('').length;
  return { start: units(start), end: Math.max(units(end), units(start) + 1) };
}

function cut(start, end, marks) {
  const from = Math.min(Math.max(marks.start, start), end);
  const to = Math.max(Math.min(marks.end, end), from);
  return [[start, from, false], [from, to, true], [to, end, false]].filter(([one, other]) => other > one);
}

function useCompletion(text, input, fields, range) {
  const [state, setState] = useState({ items: [], at: -1, word: null });
  const work = useRef({});

  const close = () => {
    clearTimeout(work.current.timer);
    work.current.abort?.abort();
    setState({ items: [], at: -1, word: null });
  };

  const look = (query, caret, isAsked = false) => {
    clearTimeout(work.current.timer);
    work.current.abort?.abort();
    const word = wordAt(query, caret);
    if (!word || (word.kind === 'field' && word.prefix === '' && !isAsked)) return close();
    if (word.kind === 'field') return setState({ items: fieldItems(fields, word.prefix), at: -1, word });
    // Of the items already shown, those that still match stay until the response arrives.
    const isSame = state.word?.kind === 'value' && state.word.start === word.start;
    setState({ items: isSame ? state.items.filter((item) => startsWith(item.label, word.prefix)) : [], at: -1, word });
    const abort = new AbortController();
    work.current.abort = abort;
    work.current.timer = setTimeout(async () => {
      const items = await valueItems(word, range, abort.signal).catch(() => []);
      if (abort.signal.aborted) return;
      // An item that was selected in the meantime stays selected.
      setState((shown) => ({ items, at: items.findIndex((item) => item.insert === shown.items[shown.at]?.insert), word }));
    }, COMPLETE_AFTER_MILLIS);
  };

  const move = (step) => {
    const length = state.items.length;
    setState({ ...state, at: (state.at + step + length + (state.at < 0 && step < 0 ? 1 : 0)) % length });
  };

  // Returns true if the key was handled by the suggestions.
  const onKeyDown = (event, accept) => {
    const isOpen = state.items.length > 0;
    if (event.key === 'ArrowDown' && !isOpen) look(text, input.current.selectionStart, true);
    else if (event.key === 'ArrowDown') move(1);
    else if (event.key === 'ArrowUp' && isOpen) move(-1);
    else if (event.key === 'Escape' && isOpen) close();
    else if (event.key === 'Tab' && isOpen && !event.shiftKey) accept(state.items[Math.max(state.at, 0)]);
    else if (event.key === 'Enter' && state.at >= 0) accept(state.items[state.at]);
    else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  };

  return { ...state, look, close, onKeyDown };
}

const startsWith = (text, prefix) => text.toLowerCase().startsWith(prefix.toLowerCase());

function fieldItems(fields, prefix) {
  const matching = fields.filter((field) => startsWith(field.name, prefix));
  return matching.slice(0, SUGGESTIONS_MAX).map((field) => {
    const insert = `${writeName(field.name)}:`;
    return { label: insert, insert, note: `${short(field.distinct)}${field.distinct_capped ? '+' : ''} values` };
  });
}

async function valueItems({ name, prefix }, range, signal) {
  if (SEVERITY_NAMES.has(name)) {
    const matching = SEVERITIES.filter((severity) => startsWith(severity, prefix));
    return matching.map((severity) => ({ label: severity, insert: `${severity} `, note: '' }));
  }
  const answer = await api.values(name, { ...range, prefix, limit: SUGGESTIONS_MAX, seconds: COMPLETE_SECONDS }, signal);
  return answer.values.map(({ value, count }) => ({
    label: String(value),
    insert: `${writeValue(value)} `,
    note: short(count),
  }));
}
