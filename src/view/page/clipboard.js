// Copies text, even if the page was loaded over plain HTTP from another machine: browsers do not
// let such pages use the clipboard, but let them copy the selection.

import { html, useEffect, useState } from './vendor/preact.js';
import { icon } from './icons.js';

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'unseen';
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  if (!done) throw new Error('the browser rejected the copy command');
}

// `text` returns what is copied when the button is pressed.
export function CopyButton({ label, name = 'copy', text, compact = false }) {
  const [said, say] = useState('');
  useEffect(() => {
    if (!said) return undefined;
    const timer = setTimeout(() => say(''), 1500);
    return () => clearTimeout(timer);
  }, [said]);
  const onClick = () => copy(text()).then(() => say('Copied'), () => say('Copy failed'));
  return html`
    <button type="button" class=${compact ? 'small-button' : 'button'} title=${label}
      aria-label=${compact ? label : null} onClick=${onClick}>
      ${icon(said === 'Copied' ? 'check' : name)}
      ${!compact && html`<span>${said || label}</span>`}
      <span class="unseen" role="status">${said}</span>
    </button>
  `;
}
