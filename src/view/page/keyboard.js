// Shortcuts. They are for who is not writing, and leave alone what the browser and the system do with Ctrl, Alt and Meta. A key
// may come at any moment: so they hold as soon as what they act on is in the document, and not only once it was painted.

import { useLayoutEffect } from './vendor/preact.js';

const WRITES = 'input, textarea, select';
const PRESSES = 'button, a, summary';

// `keys` maps a key to what it does.
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
