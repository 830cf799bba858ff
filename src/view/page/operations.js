// The operations page: whether records are received, stored and forwarded, and whether anything was
// lost.

import { html } from './vendor/preact.js';
import { bytes, count, duration, plural, short } from './format.js';
import { icon } from './icons.js';
import { ProblemNotice } from './notice.js';
import { Line } from './sparkline.js';
import { rateNow, rates } from './status.js';
import { go } from './url.js';

export function Operations({ samples, problem }) {
  const status = samples.at(-1)?.status;
  return html`
    <main class="report report-body ${problem ? 'stale' : ''}" id="results" tabindex="-1">
      <h1>Operations</h1>
      ${problem && html`<${ProblemNotice} problem=${problem} />`}
      ${!status && !problem && html`<div class="skeleton"></div><div class="skeleton"></div>`}
      ${status && html`
        <${State} status=${status} />
        <${Figures} samples=${samples} status=${status} />
        <${Sources} samples=${samples} status=${status} />
        <${Stores} samples=${samples} status=${status} />`}
    </main>
  `;
}

const sum = (list, read) => list.reduce((total, one) => total + read(one), 0);
const counted = (reasons) => sum(Object.values(reasons), (number) => number);
const accepted = (status) => sum(status.sources, (source) => source.accepted);
const lost = (status) => sum(status.sources, (source) => counted(source.shed)) + status.spool.lost_records;

function State({ status }) {
  const isLossless = lost(status) === 0;
  return html`
    <section class="state ${status.ready ? 'well' : 'ill'}" role="status">
      ${icon(status.ready ? 'check' : 'close')}
      <div>
        <strong>${status.ready ? 'The server is healthy.' : 'The server reports problems.'}</strong>
        ${status.problems.map((text) => html`<p>${text}</p>`)}
        <p class="dim">${isLossless
          ? 'No records were shed or lost since the start.'
          : `${count(lost(status))} records were shed or lost since the start.`}
          ${' '}Version ${status.version}, up for ${duration(status.uptime_seconds)}.</p>
      </div>
    </section>
  `;
}

function Figures({ samples, status }) {
  const lag = (of) => Math.max(0, ...of.stores.map((store) => store.lag_records));
  const { spool } = status;
  const share = spool.bytes_max > 0 ? spool.bytes / spool.bytes_max : 0;
  return html`
    <section class="figures" aria-label="Figures">
      <${Figure} title="Accepted" value=${rate(samples, accepted)} note=${`${count(accepted(status))} since the start`}
        numbers=${rates(samples, accepted)} />
      <${Figure} title="Store lag" value=${`${short(lag(status))} records`} note="slowest store"
        numbers=${samples.map((sample) => lag(sample.status))} />
      <${Figure} title="Spool" value=${bytes(spool.bytes)} note=${`${percent(share)} of ${bytes(spool.bytes_max)}`}
        numbers=${samples.map((sample) => sample.status.spool.bytes)} level=${share} />
      <${Figure} title="Memory" value=${bytes(status.memory_bytes)} note="resident"
        numbers=${samples.map((sample) => sample.status.memory_bytes)} />
    </section>
  `;
}

const percent = (share) => `${share > 0 && share < 0.01 ? 'below 1' : Math.round(share * 100)} %`;

// A rate in words; unknown after the first sample.
function rate(samples, read) {
  const now = rateNow(samples, read);
  if (now === null) return '…';
  return `${now < 10 && now > 0 ? now.toFixed(1) : short(Math.round(now))}/s`;
}

const Figure = ({ title, value, note, numbers, level }) => html`
  <div class="figure">
    <h2>${title}</h2>
    <div class="figure-value">${value}</div>
    <${Line} numbers=${numbers} label=${`${title} over the last minutes`} width=${240} />
    ${level !== undefined && html`
      <div class="level" aria-hidden="true"><span style=${{ transform: `scaleX(${Math.min(level, 1)})` }}></span></div>`}
    <p class="dim">${note}</p>
  </div>
`;

// Formats `{full: 3}` as `3 (full)`, and several reasons one after the other.
const reasons = (given) => Object.entries(given).map(([reason, number]) => `${count(number)} ${reason.replaceAll('_', ' ')}`);

function Sources({ samples, status }) {
  const read = (name, member) => (of) => of.sources.find((source) => source.source === name)?.[member] ?? 0;
  return html`
    <section class="table-section">
      <h2>Sources</h2>
      <div class="scroll"><table class="table">
        <thead><tr><th scope="col">Listener</th><th scope="col">Now</th><th scope="col" class="wide">Last minutes</th><th scope="col">Received</th><th scope="col">Accepted</th>
          <th scope="col">Rejected</th><th scope="col">Shed</th><th scope="col">Connections</th></tr></thead>
        <tbody>
          ${status.sources.map((source) => html`
            <tr key=${source.source}>
              <th scope="row">${source.source}</th>
              <td class="number">${rate(samples, read(source.source, 'accepted'))}</td>
              <td class="wide"><${Line} numbers=${rates(samples, read(source.source, 'accepted'))}
                label=${`Records of ${source.source} over the last minutes`} /></td>
              <td class="number">${count(source.received)}</td>
              <td class="number">${count(source.accepted)}</td>
              <td class="number"><${Bad} total=${counted(source.rejected)} given=${reasons(source.rejected)} /></td>
              <td class="number"><${Bad} total=${counted(source.shed)} given=${reasons(source.shed)} /></td>
              <td class="number">${count(source.connections)}<small class="dim">${count(source.connections_total)} total</small></td>
            </tr>`)}
        </tbody>
      </table></div>
      ${sum(status.sources, (source) => counted(source.rejected)) > 0 && html`
        <p class="dim">Rejected inputs of clients that cannot be answered are stored as dead letters:${' '}
          <button type="button" class="link" onClick=${() => go({ view: 'search', q: 'event_name:logboom.dead_letter', since: '', until: '' })}>
            show dead letters</button>${sum(status.sources, (source) => counted(source.dead_letters_suppressed ?? {})) > 0
            && `. ${count(sum(status.sources, (source) => counted(source.dead_letters_suppressed ?? {})))} of them were only counted, because there were too many.`}</p>`}
    </section>
  `;
}

// A number that should be zero.
const Bad = ({ total, given }) => html`
  <span class=${total > 0 ? 'bad' : 'dim'}>${count(total)}</span>
  ${given.map((text) => html`<small class="dim">${text}</small>`)}
`;

function Stores({ samples, status }) {
  const read = (name) => (of) => of.stores.find((store) => store.name === name)?.stored ?? 0;
  return html`
    <section class="table-section">
      <h2>Stores</h2>
      <div class="scroll"><table class="table">
        <thead><tr><th scope="col">Store</th><th scope="col">Now</th><th scope="col" class="wide">Last minutes</th><th scope="col">Lag</th><th scope="col">Stored</th>
          <th scope="col">Refused</th><th scope="col">Missing</th><th scope="col">Failed attempts</th></tr></thead>
        <tbody>
          ${status.stores.map((store) => html`
            <tr key=${store.name}>
              <th scope="row">${store.name}<small class="dim">${store.kind}</small></th>
              <td class="number">${rate(samples, read(store.name))}</td>
              <td class="wide"><${Line} numbers=${rates(samples, read(store.name))}
                label=${`Records stored in ${store.name} over the last minutes`} /></td>
              <td class="number">${count(store.lag_records)}</td>
              <td class="number">${count(store.stored)}</td>
              <td class="number"><${Bad} total=${store.dead_letters} given=${[]} /></td>
              <td class="number"><${Bad} total=${store.missing} given=${[]} /></td>
              <td class="number"><${Bad} total=${store.failures} given=${[]} /></td>
            </tr>
            ${store.last_error && html`<tr class="last-error"><td colspan="8">${store.last_error}</td></tr>`}`)}
        </tbody>
      </table></div>
      <p class="dim">The spool holds ids ${count(status.spool.oldest_id)} to ${count(status.spool.durable_id)}
        ${' '}in ${plural(status.spool.segments, 'segment')}, after ${count(status.spool.commits)} commits.
        ${status.spool.quarantined_bytes > 0 && html`<span class="bad"> ${bytes(status.spool.quarantined_bytes)} were damaged and quarantined.</span>`}</p>
    </section>
  `;
}
