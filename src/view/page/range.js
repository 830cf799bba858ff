// The time range: back from now, or between two times.

import { html, useState } from './vendor/preact.js';
import { fullTime, isUtc, zoneName } from './format.js';
import { icon } from './icons.js';
import { Popover } from './popover.js';

const QUICK = [
  ['5m', 'Last 5 minutes'],
  ['15m', 'Last 15 minutes'],
  ['1h', 'Last hour'],
  ['6h', 'Last 6 hours'],
  ['1d', 'Last 24 hours'],
  ['7d', 'Last 7 days'],
  ['30d', 'Last 30 days'],
  ['', 'All time'],
];
const UNITS = { s: [1e3, 'second'], m: [6e4, 'minute'], h: [36e5, 'hour'], d: [864e5, 'day'], w: [6048e5, 'week'] };

// Returns the range of a place at this moment, in the form of the API. Relative times are made
// absolute, so that all requests of a search are about the same range.
export function fixed({ since, until }, now = Date.now()) {
  const moment = (text) => {
    const [, number, unit] = /^(\d+)([smhdw])$/.exec(text) ?? [];
    return unit ? new Date(now - number * UNITS[unit][0]).toISOString() : text;
  };
  return { since: moment(since), until: moment(until) };
}

// The range in words.
export function rangeName({ since, until }) {
  const quick = QUICK.find(([value]) => value === since);
  if (!until && quick) return quick[1];
  const [, number, unit] = /^(\d+)([smhdw])$/.exec(since) ?? [];
  if (!until && unit) return `Last ${number} ${UNITS[unit][1]}${number === '1' ? '' : 's'}`;
  const shown = (text) => (Number.isNaN(Date.parse(text)) ? text : fullTime(Date.parse(text)));
  if (!until) return `From ${shown(since)}`;
  if (!since) return `Until ${shown(until)}`;
  const [from, to] = [shown(since), shown(until)];
  return `${from} – ${from.slice(0, 10) === to.slice(0, 10) ? to.slice(11) : to}`;
}

export const RangePicker = ({ place, choose }) => html`
  <${Popover} className="range" label="Time range" align="right"
    button=${html`${icon('clock')}<span class="range-name">${rangeName(place)}</span>${icon('down')}`}>
    ${(close) => html`<${Choices} place=${place} choose=${(range) => { close(); choose(range); }} />`}
  <//>
`;

function Choices({ place, choose }) {
  const [problem, setProblem] = useState('');
  const now = fixed(place);
  const chooseBetween = (event) => {
    event.preventDefault();
    const [since, until] = ['since', 'until'].map((name) => read(event.target.elements[name].value));
    if (since && until && since >= until) setProblem('The start must be before the end.');
    else choose({ since, until });
  };
  const chooseLast = (event) => {
    event.preventDefault();
    const { number, unit } = event.target.elements;
    choose({ since: `${Number(number.value)}${unit.value}`, until: '' });
  };
  return html`
    <div class="range-choices">
      <ul>
        ${QUICK.map(([value, name]) => html`
          <li><button type="button" class="choice" aria-pressed=${String(value === place.since && !place.until)}
            onClick=${() => choose({ since: value, until: '' })}>${name}</button></li>`)}
      </ul>
      <div>
        <form class="range-last" onSubmit=${chooseLast}>
          <label for="range-number">Last</label>
          <input id="range-number" name="number" type="number" min="1" max="9999" required value="2" />
          <select name="unit" aria-label="Unit">
            ${Object.entries(UNITS).map(([unit, [, name]]) => html`
              <option value=${unit} selected=${unit === 'h'}>${name}s</option>`)}
          </select>
          <button class="button">Set</button>
        </form>
        <form class="range-between" onSubmit=${chooseBetween}>
          <label>From <input name="since" type="datetime-local" step="0.001" value=${write(now.since)} /></label>
          <label>To <input name="until" type="datetime-local" step="0.001" value=${write(now.until)} /></label>
          ${problem && html`<p class="form-problem" role="alert">${problem}</p>`}
          <div><span class="dim">${zoneName()}</span><button class="button primary">Apply</button></div>
        </form>
      </div>
    </div>
  `;
}

// An input for local times has no time zone; its value is in the zone that the page displays.
const read = (value) => (value ? new Date(isUtc() ? `${value}Z` : value).toISOString() : '');

function write(text) {
  const moment = Date.parse(text);
  return Number.isNaN(moment) ? '' : fullTime(moment).replace(' ', 'T');
}
