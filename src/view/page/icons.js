// The few icons, in the colour of the text beside them. They repeat what a label says, and are
// hidden from screen readers.

import { html } from './vendor/preact.js';

const PATHS = {
  search: 'M7 12.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11zM11 11l3.5 3.5',
  clock: 'M8 14.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM8 4.5V8l2.5 1.5',
  close: 'M3.5 3.5l9 9M12.5 3.5l-9 9',
  down: 'M4 6l4 4 4-4',
  right: 'M6 4l4 4-4 4',
  up: 'M4 10l4-4 4 4',
  plus: 'M8 3v10M3 8h10',
  minus: 'M3 8h10',
  copy: 'M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z',
  link: 'M6.5 9.5l3-3M7 4.5l1.5-1.5a3 3 0 0 1 4.5 4.5L11.5 9M9 11.5L7.5 13A3 3 0 0 1 3 8.5L4.5 7',
  download: 'M8 2v8M4.5 7L8 10.5 11.5 7M2.5 13.5h11',
  filter: 'M2 3.5h12M4.5 8h7M6.5 12.5h3',
  star: 'M8 1.8l1.9 4 4.400.5-3.300 3 .9 4.300L8 11.400l-3.9 2.200.9-4.300-3.300-3 4.400-.5z',
  pause: 'M5.5 3v10M10.5 3v10',
  play: 'M4.5 2.5l8 5.5-8 5.5z',
  around: 'M2 4h12M2 12h12M5 8h6',
  trace: 'M3 3.5h6M5 8h6M8 12.5h5',
  sun: 'M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1',
  moon: 'M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7z',
  half: 'M8 14.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM8 1.5v13M10 2v12M12 3.5v9',
  refresh: 'M13.5 8a5.5 5.5 0 1 1-1.700-4M13.5 1.5V5H10',
  back: 'M7 3L2.5 8 7 13M2.5 8h11',
  check: 'M3 8.5l3.5 3.5L13 4.5',
};

export const icon = (name) => html`
  <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d=${PATHS[name]} /></svg>
`;
