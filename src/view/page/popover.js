// A button with a panel below it. The panel closes on Escape, on a click outside, and when it loses
// the focus.

import { html, useEffect, useRef, useState } from './vendor/preact.js';

// `button` is the content of the button, `children` a function that receives `close`.
export function Popover({ label, className = '', button, align = 'left', children }) {
  const [isOpen, setOpen] = useState(false);
  const root = useRef();
  const opener = useRef();

  useEffect(() => {
    if (!isOpen) return undefined;
    const onPointer = (event) => root.current.contains(event.target) || setOpen(false);
    document.addEventListener('pointerdown', onPointer);
    return () => document.removeEventListener('pointerdown', onPointer);
  }, [isOpen]);

  const close = () => {
    setOpen(false);
    opener.current?.focus();
  };
  const onKeyDown = (event) => {
    if (event.key !== 'Escape' || !isOpen) return;
    event.stopPropagation();
    close();
  };
  const onFocusOut = (event) => {
    if (event.relatedTarget && !root.current.contains(event.relatedTarget)) setOpen(false);
  };
  return html`
    <div class="popover ${className}" ref=${root} onKeyDown=${onKeyDown} onfocusout=${onFocusOut}>
      <button type="button" class="button" ref=${opener} aria-expanded=${String(isOpen)} aria-haspopup="dialog"
        aria-label=${label} title=${label} onClick=${() => setOpen(!isOpen)}>${button}</button>
      ${isOpen && html`<div class="panel ${align}" role="dialog" aria-label=${label}>${children(close)}</div>`}
    </div>
  `;
}
