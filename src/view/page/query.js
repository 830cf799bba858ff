// The query language, as far as the page needs it: to colour a query, to complete it, and to add or
// remove a filter. Only the server decides what a query means; text that this parser does not
// understand is left as it is.

const OPERATORS = ['!=', '<=', '>=', '<', '>', ':', '='];
const NAME = /^[\p{L}_@][\p{L}\p{N}_.\-/@$]*/u;
const COLUMNS = new Set(
  `id time timestamp severity_number severity level levelname service service.name logger name host host.name message
   trace_id span_id event_name file code.file.path line code.line.number function code.function.name process_id pid
   process.pid thread thread.name`.split(/\s+/),
);

// Splits a query into tokens `{kind, start, end, text}`; kinds are `open`, `close`, `word` (OR,
// AND, NOT), `not`, `text`, `field` (with `name` and `operator`) and `value` (with `value`). An
// invalid query yields tokens up to its end, too.
export function tokens(query) {
  const found = [];
  let at = 0;
  const push = (kind, end, more) => {
    found.push({ kind, start: at, end, text: query.slice(at, end), ...more });
    at = end;
  };
  while (at < query.length) {
    const character = query[at];
    if (/\s/.test(character)) at += 1;
    else if (character === '(') push('open', at + 1);
    else if (character === ')') push('close', at + 1);
    else if (character === '-') push('not', at + 1);
    else takeTerm();
  }
  return found;

  function takeTerm() {
    const quoted = query[at] === '"';
    const nameEnd = quoted ? endOfQuote(query, at) : at + (NAME.exec(query.slice(at))?.[0].length ?? 0);
    const operator = nameEnd > at ? operatorAt(query, nameEnd) : null;
    if (operator) {
      const raw = query.slice(at, nameEnd);
      push('field', nameEnd + operator.length, { name: quoted ? unquote(raw) : raw, operator });
      if (query[at] !== '(') takeValue('value');
      return;
    }
    takeValue('text');
  }

  function takeValue(kind) {
    if (query[at] === '"') {
      const end = endOfQuote(query, at);
      push(kind, end, { value: unquote(query.slice(at, end)) });
      return;
    }
    const end = endOfWord(query, at);
    const word = query.slice(at, end);
    if (kind === 'value' && end === at) return;
    if (kind === 'text' && ['OR', 'AND', 'NOT'].includes(word)) push('word', end);
    else push(kind, Math.max(end, at + 1), { value: word });
  }
}

function endOfQuote(query, start) {
  for (let at = start + 1; at < query.length; at += 1) {
    if (query[at] === '\\' && /["\\]/.test(query[at + 1] ?? '')) at += 1;
    else if (query[at] === '"') return at + 1;
  }
  return query.length;
}

function endOfWord(query, start) {
  const length = query.slice(start).search(/[\s()"]/);
  return length < 0 ? query.length : start + length;
}

function operatorAt(query, at) {
  if (query.startsWith('::', at) || query.startsWith('://', at)) return null;
  return OPERATORS.find((operator) => query.startsWith(operator, at)) ?? null;
}

const unquote = (text) => text.replace(/^"|"$/g, '').replace(/\\(["\\])/g, '$1');
const quote = (text) => `"${text.replace(/["\\]/g, '\\$&')}"`;

// Returns the name of a field as it must be written in a query. An attribute may be named like a
// column, or begin with the prefix that distinguishes such attributes.
export function writeName(name, isAttribute = false) {
  const isTaken = COLUMNS.has(name) || name.startsWith('attributes.');
  const whole = isAttribute && isTaken ? `attributes.${name}` : name;
  return NAME.exec(whole)?.[0] === whole && /[\p{L}\p{N}_]$/u.test(whole) ? whole : quote(whole);
}

// Returns a value as it must be written after the operator of a field.
export function writeValue(value) {
  const text = String(value);
  return /^[^\s()"*<>=\\][^\s()"*]*$/.test(text) ? text : quote(text);
}

export const writeTerm = (name, value) => `${name}:${writeValue(value)}`;

const hasOr = (found) => {
  let depth = 0;
  return found.some((token) => {
    if (token.kind === 'open') depth += 1;
    if (token.kind === 'close') depth -= 1;
    return depth === 0 && token.kind === 'word' && token.text === 'OR';
  });
};

// Returns the terms `field:value` that a record must match, or must not match:
// `{name, value, negated, start, end}`.
export function filters(query) {
  const found = tokens(query);
  if (hasOr(found)) return [];
  const terms = [];
  let depth = 0;
  found.forEach((token, index) => {
    if (token.kind === 'open') depth += 1;
    if (token.kind === 'close') depth -= 1;
    const value = found[index + 1];
    if (depth > 0 || token.kind !== 'field' || value?.kind !== 'value') return;
    if (![':', '=', '!='].includes(token.operator)) return;
    const before = found[index - 1];
    const isNegation = before?.kind === 'not' || (before?.kind === 'word' && before.text === 'NOT');
    terms.push({
      name: token.name,
      value: value.value,
      negated: isNegation !== (token.operator === '!='),
      start: isNegation ? before.start : token.start,
      end: value.end,
    });
  });
  return terms;
}

// Returns whether a filter is in the query: `in`, `out` or ''.
export function filterState(query, name, value) {
  const plain = name.startsWith('"') ? unquote(name) : name;
  const term = filters(query).find((term) => term.name === plain && term.value === String(value));
  return term ? (term.negated ? 'out' : 'in') : '';
}

// Adds a filter, or removes it if it is present; the opposite filter is replaced.
export function toggleFilter(query, name, value, negated = false) {
  const plain = name.startsWith('"') ? unquote(name) : name;
  const term = filters(query).find((term) => term.name === plain && term.value === String(value));
  const rest = term ? join(query.slice(0, term.start), query.slice(term.end)) : query.trim();
  if (term && term.negated === negated) return rest;
  return addTerm(rest, (negated ? '-' : '') + writeTerm(name, value));
}

export function addTerm(query, term) {
  const text = query.trim();
  if (text === '' || text === '*') return term;
  return hasOr(tokens(text)) ? `(${text}) ${term}` : `${text} ${term}`;
}

const join = (before, after) => `${before.trimEnd()} ${after.trimStart()}`.trim();

// Returns what is being typed at `caret`: `{kind: 'field' | 'value', name, prefix, start, end}`, or
// null.
export function wordAt(query, caret) {
  const found = tokens(query);
  const index = found.findIndex((token) => token.start < caret && caret <= token.end);
  const token = found[index];
  if (!token) return { kind: 'field', prefix: '', start: caret, end: caret };
  if (token.kind === 'value' || (token.kind === 'field' && caret === token.end)) {
    const field = token.kind === 'field' ? token : found[index - 1];
    const value = token.kind === 'value' ? token : null;
    const next = value ?? (found[index + 1]?.kind === 'value' && found[index + 1].start === caret ? found[index + 1] : null);
    const start = field.end;
    return { kind: 'value', name: field.name, prefix: unquote(query.slice(start, caret)), start, end: next?.end ?? caret };
  }
  if (token.kind === 'text' && !token.text.startsWith('"')) {
    return { kind: 'field', prefix: query.slice(token.start, caret), start: token.start, end: token.end };
  }
  return token.kind === 'field' ? null : { kind: 'field', prefix: '', start: caret, end: caret };
}
