// Unit tests of the page modules that require no browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';

const page = '../../src/view/page';
const { addTerm, filterState, toggleFilter, tokens, wordAt, writeName, writeTerm } = await import(`${page}/query.js`);
const { Pages } = await import(`${page}/pages.js`);
const { bytes, duration, momentOf, plain, severityOf } = await import(`${page}/format.js`);

const kinds = (query) => tokens(query).map(({ kind, text }) => [kind, text]);

test('query is split into the same tokens as on the server', () => {
  assert.deepEqual(kinds('service:billing level>=warn -"a b" (x OR y)'), [
    ['field', 'service:'], ['value', 'billing'], ['field', 'level>='], ['value', 'warn'], ['not', '-'], ['text', '"a b"'],
    ['open', '('], ['text', 'x'], ['word', 'OR'], ['text', 'y'], ['close', ')'],
  ]);
  assert.deepEqual(kinds('std::io http://x'), [['text', 'std::io'], ['text', 'http://x']]);
  assert.deepEqual(kinds('"odd name":"a\\"b"'), [['field', '"odd name":'], ['value', '"a\\"b"']]);
});

test('tokens cover every query without overlap, even invalid ones', () => {
  const pieces = ['(', ')', '"', '-', ':', ' ', 'a', 'OR', '>=', '\\', 'é', '𝄞', '*'];
  for (let number = 0; number < 5000; number += 1) {
    let query = '';
    for (let rest = number * 7919; rest > 0; rest = Math.floor(rest / pieces.length)) query += pieces[rest % pieces.length];
    let end = 0;
    for (const token of tokens(query)) {
      assert.ok(token.start >= end && token.end > token.start, query);
      assert.equal(query.slice(end, token.start).trim(), '', query);
      end = token.end;
    }
    assert.equal(query.slice(end).trim(), '', query);
  }
});

test('filter is added, replaced by its opposite, and removed', () => {
  const once = toggleFilter('refused', 'service', 'billing');
  assert.equal(once, 'refused service:billing');
  assert.equal(filterState(once, 'service', 'billing'), 'in');
  const without = toggleFilter(once, 'service', 'billing', true);
  assert.equal(without, 'refused -service:billing');
  assert.equal(filterState(without, 'service', 'billing'), 'out');
  assert.equal(toggleFilter(without, 'service', 'billing', true), 'refused');
  assert.equal(filterState('service!=billing', 'service', 'billing'), 'out');
});

test('filter applies to the whole query with OR', () => {
  assert.equal(addTerm('a OR b', 'service:x'), '(a OR b) service:x');
  assert.equal(filterState('service:x OR b', 'service', 'x'), '');
});

test('names and values are quoted where required', () => {
  assert.equal(writeTerm('function', '<module>'), 'function:"<module>"');
  assert.equal(writeTerm('path', 'C:\\a "b"'), 'path:"C:\\\\a \\"b\\""');
  assert.equal(writeTerm('version', 'v1.2'), 'version:v1.2');
  assert.equal(writeTerm('mark', '*'), 'mark:"*"');
  assert.equal(writeName('odd name'), '"odd name"');
  assert.equal(writeName('line', true), 'attributes.line');
  assert.equal(writeName('attributes.x', true), 'attributes.attributes.x');
  assert.equal(writeName('attributes.x'), 'attributes.x'); // as the API names it
  assert.equal(writeName('http.status_code', true), 'http.status_code');
});

test('word at the caret is found for completion', () => {
  assert.equal(wordAt('level>=warn ser', 15).prefix, 'ser');
  assert.deepEqual(wordAt('service:', 8), { kind: 'value', name: 'service', prefix: '', start: 8, end: 8 });
  assert.deepEqual(wordAt('x service:bil y', 13), { kind: 'value', name: 'service', prefix: 'bil', start: 10, end: 13 });
  assert.equal(wordAt('"in quotes', 10).prefix, '');
});

// A fake API with `total` records, newest first, that stores the cursor of each request.
function api(total) {
  const asked = [];
  const load = async (cursor, limit) => {
    asked.push(cursor);
    const isBackward = cursor.startsWith('-');
    const from = isBackward ? Math.min(-Number(cursor) + limit, store.total) : cursor === '' ? store.total : Number(cursor) - 1;
    const end = isBackward ? -Number(cursor) : Math.max(from - limit, 0);
    const records = Array.from({ length: from - end }, (_, index) => ({ id: from - index }));
    const last = records.at(-1)?.id ?? 1;
    return { records, next_cursor: last > 1 ? String(last) : null, previous_cursor: `-${from}`, partial: false };
  };
  const store = { total, asked, load };
  return store;
}

const settled = () => new Promise((done) => setImmediate(done));

test('100,000 records load page by page, at most 41 pages kept', async () => {
  const store = api(100_000);
  const { asked } = store;
  const pages = new Pages(store.load, () => {});
  await settled();
  while (!pages.isComplete) {
    pages.want(pages.length - 50, pages.length);
    await settled();
  }
  assert.equal(pages.length, 100_000);
  const kept = () => pages.pages.filter((page) => page.records).length;
  assert.ok(kept() <= 41, `${kept()} pages are kept`);
  assert.equal(pages.row(99_999).id, 1);
  assert.equal(pages.row(0), null);

  const before = asked.length;
  store.total += 100; // records that arrive later are not part of the list
  pages.want(0, 50);
  await settled();
  assert.deepEqual([0, 249, 250].map((row) => pages.row(row)?.id), [100_000, 99_751, undefined]);
  assert.deepEqual(asked.slice(before), ['-99750']);
});

test('failed page is loaded again only on retry', async () => {
  let asked = 0;
  const pages = new Pages(async () => {
    asked += 1;
    if (asked === 1) throw new Error('no answer');
    return { records: [{ id: 1 }], next_cursor: null, partial: false };
  }, () => {});
  await settled();
  pages.want(0, 10);
  await settled();
  assert.equal(asked, 1);
  pages.retry();
  await settled();
  assert.equal(pages.row(0).id, 1);
  assert.equal(pages.problem, null);
});

test('numbers, times and texts are formatted for display', () => {
  assert.equal(bytes(4 * 1024 ** 3), '4.0 GiB');
  assert.equal(duration(3 * 3600 + 12 * 60 + 5), '3 h 12 min');
  assert.equal(duration(0), '0 s');
  assert.equal(momentOf('2026-11-21T22:36:15.114999999Z'), Date.UTC(2026, 10, 21, 22, 36, 15, 114));
  assert.equal(severityOf({ severity_number: 16 }), 'WARN');
  assert.equal(severityOf({}), '');
  assert.equal(plain('\x1b[33mWARN\x1b[0m \x1b[1;31mrate [limit]\x1b[m'), 'WARN rate [limit]');
  assert.equal(plain('a lone \x1b stays'), 'a lone \x1b stays');
});
