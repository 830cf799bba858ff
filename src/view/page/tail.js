// Live tail: the newest records. Records that arrive during a pause are counted, and kept until the
// pause ends.

import * as api from './api.js';

const RECORDS_KEPT = 5000;
const BEGIN_WITH = 100;
const RETRY_MILLIS = 2000;
const SHOW_MILLIS = 100; // records that arrive faster are displayed together

export class Tail {
  constructor(q, changed) {
    this.q = q;
    this.changed = changed;
    this.records = []; // in order of arrival
    this.waiting = []; // records that arrived during the pause
    this.arrived = 0; // during the pause, including records that are no longer kept
    this.missed = 0;
    this.isPaused = false;
    this.isConnected = false;
    this.problem = null; // an error in the query
    this.lastId = '';
    this.connect();
  }

  connect() {
    const begin = this.lastId ? { last_event_id: this.lastId } : { last: BEGIN_WITH };
    this.source = new EventSource(api.tailAddress({ q: this.q, ...begin }));
    this.source.onopen = () => this.say(true);
    this.source.addEventListener('record', (event) => this.take(event));
    this.source.addEventListener('missed', (event) => {
      this.missed += JSON.parse(event.data).count;
      this.show();
    });
    this.source.onerror = () => {
      this.say(false);
      // Otherwise the browser reconnects by itself.
      if (this.source.readyState === EventSource.CLOSED) this.refused();
    };
  }

  // The browser does not report the reason. If the query is invalid, there is no retry.
  async refused() {
    const { problem } = await api.records({ q: this.q, limit: 0 }).then(() => ({}), (problem) => ({ problem }));
    if (this.isStopped) return;
    if (problem?.position) {
      this.problem = problem;
      this.changed();
    } else {
      this.retry = setTimeout(() => this.connect(), RETRY_MILLIS);
    }
  }

  say(isConnected) {
    this.isConnected = isConnected;
    this.changed();
  }

  take(event) {
    this.lastId = event.lastEventId;
    const record = api.parse(event.data);
    const place = this.isPaused ? this.waiting : this.records;
    place.push(record);
    if (this.isPaused) this.arrived += 1;
    if (place.length > RECORDS_KEPT * 1.2) place.splice(0, place.length - RECORDS_KEPT);
    this.show();
  }

  show() {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.changed();
    }, SHOW_MILLIS);
  }

  pause(isPaused) {
    if (isPaused === this.isPaused) return;
    this.isPaused = isPaused;
    if (!isPaused) {
      this.records = this.records.concat(this.waiting).slice(-RECORDS_KEPT);
      this.waiting = [];
      this.arrived = 0;
    }
    this.changed();
  }

  // Returns the records in display order: the newest first.
  get length() {
    return this.records.length;
  }

  get isComplete() {
    return true;
  }

  row(index) {
    return this.records[this.records.length - 1 - index] ?? null;
  }

  want() {}

  indexOf(id) {
    const index = this.records.findIndex((record) => record.id === id);
    return index < 0 ? -1 : this.records.length - 1 - index;
  }

  stop() {
    this.isStopped = true;
    clearTimeout(this.retry);
    clearTimeout(this.timer);
    this.source.close();
  }
}
