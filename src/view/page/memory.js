// What this browser stores between visits. If a browser stores nothing (private windows), the only
// loss is that nothing is remembered.

const PREFIX = 'logboom.';

export function load(name, otherwise) {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? otherwise : JSON.parse(text);
  } catch {
    return otherwise;
  }
}

export function store(name, value) {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // The storage is full or forbidden; the page works without it.
  }
}
