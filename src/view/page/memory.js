// What this browser remembers between visits. A browser that keeps nothing (private windows) costs only the memory.

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
    // It is full or forbidden; the page goes on without.
  }
}
