// Keyboard shortcuts. They do not apply while the user is typing, and leave key combinations with
// Ctrl, Alt and Meta to the browser and the system. A key may be pressed at any moment, so the
// shortcuts apply as soon as the elements that they act on are in the document, and not only after
// these were painted.

import { useLayoutEffect } from './vendor/preact.js';

const WRITES = 'input, textarea, select';
const PRESSES = 'button, a, summary';

// `keys` maps a key to its action.
export function useKeys(keys) {
  useLayoutEffect(() => {
    const onKeyDown = (event) => {
      const action = keys[event.key];
      if (!action || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (event.target.closest(WRITES) || document.querySelector('dialog[open]')) return;
      if ([' ', 'Enter'].includes(event.key) && event.target.closest(PRESSES)) return;
      event.preventDefault();
      action();
    };
    document.addEventListener('keydown', onKeyDown);
    return () => document.removeEventListener('keydown', onKeyDown);
  });
}
