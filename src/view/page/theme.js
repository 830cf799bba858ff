// Light, dark, or the setting of the system.

import { load, store } from './memory.js';

export const THEMES = ['system', 'light', 'dark'];

export const theme = () => load('theme', 'system');

export function setTheme(name) {
  store('theme', name);
  apply();
}

// The stylesheet does the rest.
export function apply() {
  const name = theme();
  if (name === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}
