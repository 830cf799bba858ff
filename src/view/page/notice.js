// A notice in place of missing content: the reason, and what to do.

import { html } from './vendor/preact.js';

export const Notice = ({ title, children, role = 'status' }) => html`
  <div class="notice" role=${role}>
    <p class="notice-title">${title}</p>
    ${children}
  </div>
`;

// An error from the API, with a button to retry.
export const ProblemNotice = ({ problem, retry }) => html`
  <${Notice} title=${sentence(problem.message)} role="alert">
    ${problem.detail && html`<p>${sentence(problem.detail)}</p>`}
    ${problem.hint && html`<p class="hint">${sentence(problem.hint)}</p>`}
    ${retry && html`<p><button type="button" class="button" onClick=${retry}>Try again</button></p>`}
  <//>
`;

// Texts of the server begin in lower case, because its command line puts a prefix before them.
export function sentence(text) {
  const first = text.split('\n')[0];
  return first.charAt(0).toUpperCase() + first.slice(1) + (/[.?!`"]$/.test(first) ? '' : '.');
}
