// A severity as a letter in a shape, so that it is recognizable without colours, too.

import { html } from './vendor/preact.js';

// `name` is one of SEVERITIES, or '' for none; `title` is the sender's own word.
export const Severity = ({ name, title = name }) => html`
  <span class="severity ${name.toLowerCase() || 'none'}" title=${title || 'no severity'}>
    <span aria-hidden="true">${name[0] ?? '·'}</span><span class="unseen">${title || 'no severity'}</span>
  </span>
`;
