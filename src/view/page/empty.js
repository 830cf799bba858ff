// The message when a search finds nothing: that the database is empty and how to begin, or where
// the records are.

import { html, useEffect, useState } from './vendor/preact.js';
import * as api from './api.js';
import { useAnswer } from './answer.js';
import { CopyButton } from './clipboard.js';
import { ago, fullTime, momentOf } from './format.js';
import { Notice } from './notice.js';
import { rangeName } from './range.js';

const LOOK_AGAIN_MILLIS = 2000;

// `change(changes)` searches elsewhere, `again()` repeats the search.
export function Empty({ place, change, again }) {
  const [look, setLook] = useState(0);
  const { answer } = useAnswer((signal) => api.records({ limit: 1 }, signal), String(look));
  const newest = answer?.records[0];
  const isEmpty = answer && !newest;
  useEffect(() => {
    if (!isEmpty) return undefined;
    const timer = setTimeout(() => setLook(look + 1), LOOK_AGAIN_MILLIS);
    return () => clearTimeout(timer);
  }, [isEmpty, look]);
  useEffect(() => {
    if (newest && look > 0) again();
  }, [Boolean(newest)]);

  if (!answer) return null;
  if (isEmpty) return html`<${FirstSteps} />`;
  const isBounded = place.since !== '' || place.until !== '';
  return html`
    <${Notice} title="No matching records.">
      <p>${place.q ? 'No record matches this query' : 'There are no records'}${isBounded ? ` in “${rangeName(place)}”` : ''}.
        The newest stored record is from ${fullTime(momentOf(newest.timestamp))} (${ago(momentOf(newest.timestamp))}).</p>
      <p class="notice-actions">
        ${isBounded && html`<button type="button" class="button" onClick=${() => change({ since: '', until: '' })}>Search all time</button>`}
        ${place.q && html`<button type="button" class="button" onClick=${() => change({ q: '' })}>Clear query</button>`}
      </p>
      ${place.q && html`<p class="hint">A word matches only whole words; <code>fail*</code> also matches <code>failed</code>. Values of
        fields are compared exactly, including case.</p>`}
    <//>
  `;
}

function FirstSteps() {
  const { answer } = useAnswer((signal) => api.status(signal), 'status');
  const python = address(answer?.sources ?? [], 'python') ?? [location.hostname, '9020'];
  const records = new URL('api/v1/records', document.baseURI).href;
  const curl = `curl ${records} \\\n    -d '{"level": "info", "service": "first", "message": "hello, logboom"}'`;
  const program = `import logging, logging.handlers

handler = logging.handlers.SocketHandler("${python[0]}", ${python[1]})
logging.basicConfig(level=logging.INFO, handlers=[handler])
logging.getLogger("first").info("hello, logboom")`;
  return html`
    <${Notice} title="No records yet. Send the first one:">
      <${Example} title="From a shell" code=${curl} />
      <${Example} title="From Python, with the standard library only" code=${program} />
      <p class="hint">This page shows the record as soon as it is stored.</p>
    <//>
  `;
}

const Example = ({ title, code }) => html`
  <figure class="example">
    <figcaption>${title} <${CopyButton} compact label="Copy" text=${() => code} /></figcaption>
    <pre>${code}</pre>
  </figure>
`;

// Returns where a listener is reached from here, as `[host, port]`. A listener on all addresses is
// reached at the host of this page.
function address(sources, protocol) {
  const source = sources.find(({ source }) => source.startsWith(`${protocol} `) && !source.includes('/'));
  const [, host, port] = /^\S+ (.*):(\d+)$/.exec(source?.source ?? '') ?? [];
  if (!port) return null;
  return [['0.0.0.0', '[::]'].includes(host) ? location.hostname : host, port];
}
