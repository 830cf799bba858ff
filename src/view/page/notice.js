// What stands where there is nothing to show: why, and what to do.

import { html } from './vendor/preact.js';

export const Notice = ({ title, children, role = 'status' }) => html`
  <div class="notice" role=${role}>
    <p class="notice-title">${title}</p>
    ${children}
  </div>
`;

// A problem of the API, with a way to try again.
export const ProblemNotice = ({ problem, retry }) => html`
  <${Notice} title=${sentence(problem.message)} role="alert">
    ${problem.detail && html`<p>${sentence(problem.detail)}</p>`}
    ${problem.hint && html`<p class="hint">${sentence(problem.hint)}</p>`}
    ${retry && html`<p><button type="button" class="button" onClick=${retry}>Try again</button></p>`}
  <//>
`;

// The server's texts begin in lower case, since its command line puts something before them.
export function sentence(text) {
  const first = text.split('\n')[0];
  return first.charAt(0).toUpperCase() + first.slice(1) + (/[.?!`"]$/.test(first) ? '' : '.');
}
