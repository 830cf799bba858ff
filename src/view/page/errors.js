// The errors page: the errors in the range, grouped by service, kind and place in the code.

import { html, useMemo, useState } from './vendor/preact.js';
import * as api from './api.js';
import { useAnswer } from './answer.js';
import { ago, count, fullTime, momentOf, plain, plural } from './format.js';
import { icon } from './icons.js';
import { useKeys } from './keyboard.js';
import { Notice, ProblemNotice } from './notice.js';
import { addTerm, writeTerm } from './query.js';
import { RangePicker, fixed, rangeName } from './range.js';
import { SearchBox } from './search.js';
import { Bars } from './sparkline.js';
import { ELSEWHERE, go } from './url.js';

const GROUPS_MAX = 100;
const FIELDS_SECONDS = 2; // for completion, which uses what is known by then

export function Errors({ place }) {
  const [round, setRound] = useState(0);
  const range = useMemo(() => fixed(place), [place.q, place.since, place.until, round]);
  const parameters = { q: place.q, ...range };
  const { answer, problem, isStale } = useAnswer(
    (signal) => api.errors({ ...parameters, limit: GROUPS_MAX }, signal),
    JSON.stringify([parameters, round]),
  );
  const fields = useAnswer((signal) => api.fields({ ...parameters, values: 1, seconds: FIELDS_SECONDS }, signal), JSON.stringify(parameters));
  const again = () => setRound(round + 1);
  useKeys({ r: again });
  return html`
    <div class="report">
      <div class="search-bar">
        <${SearchBox} q=${place.q} search=${(q) => (q === place.q ? again() : go({ q }))} fields=${fields.answer?.fields ?? []} range=${range}
          problem=${problem?.position ? problem : null} />
        <div class="search-tools"><${RangePicker} place=${place} choose=${(changes) => go(changes)} /></div>
      </div>
      <main class="report-body ${isStale ? 'stale' : ''}" id="results" tabindex="-1">
        <h1>Errors</h1>
        ${problem && html`<${ProblemNotice} problem=${problem} retry=${problem.position ? null : again} />`}
        ${!answer && !problem && html`<div class="skeleton"></div><div class="skeleton"></div>`}
        ${answer && answer.errors.length === 0 && html`
          <${Notice} title="No errors.">
            <p>No record with an exception, or of severity ERROR or worse, is in “${rangeName(place)}”${place.q ? ' for this query' : ''}.</p>
          <//>`}
        ${answer && answer.errors.length > 0 && html`<${Groups} answer=${answer} place=${place} />`}
      </main>
    </div>
  `;
}

function Groups({ answer, place }) {
  const total = answer.errors.reduce((sum, group) => sum + group.count, 0);
  return html`
    <p class="dim">${plural(answer.errors.length, 'group')}, ${plural(total, 'record')}, most frequent
      first.${answer.partial ? ' Not all records were searched in time: choose a shorter range.' : ''}</p>
    <ul class="groups">
      ${answer.errors.map((group) => html`<${Group} key=${group.last_id} group=${group} place=${place} />`)}
    </ul>
  `;
}

// Finds the records of a group by what they have in common.
function Group({ group, place }) {
  const terms = [
    group.service ? writeTerm('service', group.service) : '-service:*',
    group.type ? writeTerm('exception.type', group.type) : 'level>=error -exception.type:*',
    group.file && writeTerm('file', group.file),
    group.line && writeTerm('line', group.line),
  ].filter(Boolean);
  const show = (record = '') => go({ ...ELSEWHERE, view: 'search', live: '', q: terms.reduce(addTerm, place.q), record });
  const where = [group.function, group.file && `${group.file}${group.line ? `:${group.line}` : ''}`].filter(Boolean);
  const shape = `${plural(group.count, 'record')} over the time range`;
  return html`
    <li class="group">
      <div class="group-count"><b>${count(group.count)}</b><${Bars} numbers=${group.sparkline} label=${shape} /></div>
      <div class="group-text">
        <button type="button" class="group-title" onClick=${() => show()}>
          <span class="exception">${group.type || group.severity}</span> <span>${plain(group.message).split('\n')[0] || '(no message)'}</span>
        </button>
        <p class="dim">${[group.service, group.logger].filter(Boolean).join(' · ')}
          ${where.length > 0 && html`<code>${where.join(' in ')}</code>`}</p>
      </div>
      <div class="group-times">
        <${Moment} label="last" timestamp=${group.last_seen} />
        <${Moment} label="first" timestamp=${group.first_seen} />
      </div>
      <button type="button" class="small-button" aria-label="Open the newest record" title="Open the newest record"
        onClick=${() => show(String(group.last_id))}>${icon('right')}</button>
    </li>
  `;
}

const Moment = ({ label, timestamp }) => html`
  <div><span class="dim">${label}</span> <time datetime=${timestamp} title=${fullTime(momentOf(timestamp))}>${ago(momentOf(timestamp))}</time></div>
`;
