// Numbers over time, as small as a word.

import { html } from './vendor/preact.js';

// Bars, for a small number of counts.
export function Bars({ numbers, label, width = 120, height = 24 }) {
  const top = Math.max(...numbers, 1);
  const step = width / numbers.length;
  const path = numbers
    .map((number, at) => {
      if (!number) return '';
      const tall = Math.max((number / top) * height, 1.5);
      return `M${(at * step).toFixed(1)} ${height}v${-tall.toFixed(1)}h${Math.max(step - 1, 1).toFixed(1)}V${height}z`;
    })
    .join('');
  return html`
    <svg class="sparkline" width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${label}>
      <line x1="0" x2=${width} y1=${height - 0.5} y2=${height - 0.5} /><path d=${path} />
    </svg>
  `;
}

const SHORTEST = 20; // a line of fewer points would suggest more than is known

// A line, for repeated measurements; the newest is on the right.
export function Line({ numbers, label, width = 140, height = 28 }) {
  const top = Math.max(...numbers, 1e-9);
  const step = width / (Math.max(numbers.length, SHORTEST) - 1);
  const points = numbers.map((number, at) => {
    const x = width - (numbers.length - 1 - at) * step;
    return `${x.toFixed(1)} ${(height - 1.5 - (number / top) * (height - 3)).toFixed(1)}`;
  });
  const line = points.length > 1 ? `M${points.join('L')}` : '';
  const start = points[0]?.split(' ')[0];
  return html`
    <svg class="sparkline" width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label=${label}>
      ${line && html`<path d=${`${line}V${height}H${start}z`} />`}<path class="stroke" d=${line} />
    </svg>
  `;
}
