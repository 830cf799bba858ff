// The records that match a search, loaded page by page with cursors when they come into view.
// However many records there are, only the pages near the view are kept: a discarded page is loaded
// again with its own cursor when it comes into view again.

import { isAbort } from './api.js';

const PAGE_RECORDS = 250;
const PAGES_KEPT = 40;

export class Pages {
  // `load(cursor, limit, signal)` returns `{records, next_cursor, partial}`; `changed` is called
  // after each change.
  constructor(load, changed) {
    this.load = load;
    this.changed = changed;
    this.abort = new AbortController();
    this.pages = []; // {cursor, previous, start, length, records or null}
    this.length = 0;
    this.next = ''; // the cursor of the next page; null at the end
    this.isPartial = false; // the last page ended because its time was over
    this.problem = null;
    this.loading = null;
    this.more();
  }

  get isComplete() {
    return this.next === null;
  }

  // Returns the record in a row, or null while it is not loaded.
  row(index) {
    const page = this.pageOf(index);
    return page?.records?.[index - page.start] ?? null;
  }

  pageOf(index) {
    let low = 0;
    let high = this.pages.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.pages[middle].start <= index) low = middle;
      else high = middle - 1;
    }
    return this.pages[low];
  }

  // Called when rows from `first` up to `last` are in view.
  want(first, last) {
    if (this.loading || this.problem) return;
    const missing = this.pages.find(
      (page) => !page.records && page.start <= last && page.start + page.length > first,
    );
    if (missing) this.again(missing);
    else if (last >= this.length - PAGE_RECORDS / 2) this.more();
    this.letGo(first, last);
  }

  more() {
    if (this.isComplete) return;
    const cursor = this.next;
    this.take(cursor, PAGE_RECORDS, (answer) => {
      if (answer.records.length > 0) {
        const { records, previous_cursor: previous } = answer;
        this.pages.push({ cursor, previous, start: this.length, length: records.length, records });
        this.length += answer.records.length;
      }
      this.next = answer.next_cursor ?? null;
      this.isPartial = answer.partial;
    });
  }

  // Retention may have deleted records since the page was loaded: their rows stay empty. A request
  // without a cursor returns the newest records, which may no longer be the first page. Therefore
  // the first page is loaded as the page before the second.
  again(page) {
    this.take(page.cursor || this.pages[1]?.previous, page.length, (answer) => {
      page.records = answer.records;
    });
  }

  retry() {
    this.problem = null;
    this.more();
    this.changed();
  }

  async take(cursor, limit, arrived) {
    this.loading = true;
    try {
      arrived(await this.load(cursor, limit, this.abort.signal));
    } catch (error) {
      if (isAbort(error)) return;
      this.problem = error;
    }
    this.loading = false;
    this.changed();
  }

  letGo(first, last) {
    const kept = this.pages.filter((page) => page.records);
    if (kept.length <= PAGES_KEPT) return;
    const middle = (first + last) / 2;
    const distance = (page) => Math.abs(page.start + page.length / 2 - middle);
    kept.sort((one, other) => distance(other) - distance(one));
    for (const page of kept.slice(0, kept.length - PAGES_KEPT)) page.records = null;
  }

  // Returns the row of a record among the loaded ones; -1 if it is not loaded.
  indexOf(id) {
    for (const { start, records } of this.pages) {
      const index = records?.findIndex((record) => record.id === id) ?? -1;
      if (index >= 0) return start + index;
    }
    return -1;
  }

  stop() {
    this.abort.abort();
  }
}
