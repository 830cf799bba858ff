// Exports all records of a search or of a trace to a file: links, which the browser downloads at
// its own pace.

import { html } from './vendor/preact.js';
import * as api from './api.js';
import { plural } from './format.js';
import { icon } from './icons.js';
import { Popover } from './popover.js';

export const Export = ({ parameters, what, total }) => html`
  <${Popover} className="export" label="Export" align="right" button=${icon('download')}>
    ${(close) => html`
      <div class="export-choices">
        <p>${total == null ? 'All records' : plural(total, 'record')} of this ${what}, as a file:</p>
        ${[['csv', 'CSV', 'for spreadsheets'], ['ndjson', 'NDJSON', 'one record per line, for programs']].map(([format, name, use]) => html`
          <a class="choice" download=${`logs.${format}`} href=${api.exportAddress({ ...parameters, format })} onClick=${close}>
            <b>${name}</b> <span class="dim">${use}</span></a>`)}
      </div>`}
  <//>
`;
