// Formats times, numbers and severities, in one place so that every part of the page formats them
// alike.

import { load, store } from './memory.js';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

// The six ranges of severity numbers in OpenTelemetry, and 0 for records without a severity.
export const SEVERITIES = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];

// The range of a record's severity. It determines the colour and the letter, whatever the sender
// calls the severity.
export function severityOf(record) {
  const number = record.severity_number || 0;
  return number < 1 || number > 24 ? '' : SEVERITIES[Math.floor((number - 1) / 4)];
}

let zone = load('zone', 'local');

export const isUtc = () => zone === 'utc';

export function setUtc(utc) {
  zone = utc ? 'utc' : 'local';
  store('zone', zone);
}

const two = (number) => String(number).padStart(2, '0');

// Returns how far the displayed clock is ahead of UTC at a moment, in milliseconds.
export const zoneShift = (moment) => (isUtc() ? 0 : -new Date(moment).getTimezoneOffset() * MINUTE);

// Returns the parts of a moment (milliseconds since the epoch) in the displayed time zone.
function parts(moment) {
  const shifted = new Date(moment + zoneShift(moment));
  const [date, rest] = shifted.toISOString().split('T');
  return { date, time: rest.slice(0, 8), millis: rest.slice(8, 12) };
}

// Browsers keep only milliseconds; digits of a timestamp beyond milliseconds are cut off, never
// rounded.
export const momentOf = (timestamp) => Date.parse(timestamp.replace(/(\.\d{3})\d+/, '$1'));

// `{date: '11-22', time: '10:06:12', millis: '.123'}`: the time of a row, whose parts have
// different weights.
export function rowTime(timestamp) {
  const moment = momentOf(timestamp);
  if (Number.isNaN(moment)) return { date: '', time: timestamp, millis: '' };
  const { date, time, millis } = parts(moment);
  return { date: date.slice(-5), time, millis };
}

// `2026-11-22 10:06:12.123`, or without the fraction of a second.
export function fullTime(moment, withMillis = false) {
  const { date, time, millis } = parts(moment);
  return `${date} ${time}${withMillis ? millis : ''}`;
}

// As short as a range allows: what its moments have in common is omitted.
export function rangeTime(moment, spanMillis) {
  const { date, time, millis } = parts(moment);
  if (spanMillis > 5 * DAY) return date.slice(5);
  if (spanMillis > DAY) return `${date.slice(5)} ${time.slice(0, 5)}`;
  if (spanMillis > 10 * MINUTE) return time.slice(0, 5);
  return spanMillis > 5000 ? time : time + millis;
}

// The name of the time zone, for titles.
export const zoneName = () => (isUtc() ? 'UTC' : Intl.DateTimeFormat().resolvedOptions().timeZone);

export function ago(moment, now = Date.now()) {
  const seconds = Math.round((now - moment) / 1000);
  if (seconds < 0) return 'in the future';
  if (seconds < 5) return 'just now';
  return `${duration(seconds)} ago`;
}

// The largest two units: `3 h 12 min`.
export function duration(seconds) {
  const units = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first < 0) return `${seconds} s`;
  const [name, size] = units[first];
  const whole = `${Math.floor(seconds / size)} ${name}`;
  const next = units[first + 1];
  const rest = next && Math.floor((seconds % size) / next[1]);
  return rest ? `${whole} ${rest} ${next[0]}` : whole;
}

const grouped = new Intl.NumberFormat('en');
export const count = (number) => grouped.format(number);

// `1.2k`, `3.4M`: for narrow spaces.
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
export const short = (number) => compact.format(number);

export function bytes(number) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (number >= 1024 && unit < units.length - 1) {
    number /= 1024;
    unit += 1;
  }
  return `${number >= 100 || unit === 0 ? Math.round(number) : number.toFixed(1)} ${units[unit]}`;
}

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

// Programs that assume a terminal write colours (ECMA-48, “control sequences”), which only disturb
// readers here.
const CONTROL_SEQUENCE = /\x1b\[[0-?]*[ -/]*[@-~]/g;
export const plain = (text) => text.replace(CONTROL_SEQUENCE, '');

// The value of an attribute in one line.
export const inline = (value) => (typeof value === 'string' ? value : JSON.stringify(value));
