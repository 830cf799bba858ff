// The HTTP API. Paths are relative, so that the page works behind a proxy under any prefix.

// An error, described in the server's own words (RFC 9457) or in ours.
class Problem extends Error {
  constructor({ status = 0, title, detail = '', hint = '', position = null }) {
    super(title);
    Object.assign(this, { status, title, detail, hint, position });
  }
}

const unreachable = () =>
  new Problem({
    title: 'The server does not respond',
    detail: 'The request received no response.',
    hint: 'Check that logboom is running and that this computer can reach it.',
  });

async function problemOf(response) {
  const body = await response.json().catch(() => ({}));
  return new Problem({ title: `The server returned status ${response.status}`, ...body, status: response.status });
}

export function address(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== '' && value != null);
  const query = new URLSearchParams(given).toString();
  return query ? `${path}?${query}` : path;
}

// Ids have 64 bits, which is more than a JavaScript number holds. Browsers that pass the source
// text to the reviver keep large ids exact.
const LONG_NUMBER = /\d{16}/;
const exact = (name, value, context) =>
  typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source) ? BigInt(context.source) : value;
BigInt.prototype.toJSON = function toJSON() {
  return JSON.rawJSON(String(this));
};

export const parse = (text) => JSON.parse(text, LONG_NUMBER.test(text) ? exact : undefined);

async function get(path, parameters, signal) {
  let response;
  try {
    response = await fetch(address(path, parameters), { signal });
  } catch (error) {
    throw error.name === 'AbortError' ? error : unreachable();
  }
  if (!response.ok) throw await problemOf(response);
  try {
    return parse(await response.text());
  } catch (error) {
    throw error.name === 'AbortError' ? error : unreachable(); // the request was aborted
  }
}

export const isAbort = (error) => error.name === 'AbortError';

const API = 'api/v1';

export const records = (parameters, signal) => get(`${API}/records`, parameters, signal);
export const record = (id, signal) => get(`${API}/records/${encodeURIComponent(id)}`, {}, signal);
export const context = (id, parameters, signal) =>
  get(`${API}/records/${encodeURIComponent(id)}/context`, parameters, signal);
export const trace = (id, parameters, signal) =>
  get(`${API}/traces/${encodeURIComponent(id)}`, parameters, signal);
export const histogram = (parameters, signal) => get(`${API}/histogram`, parameters, signal);
export const fields = (parameters, signal) => get(`${API}/fields`, parameters, signal);
export const values = (name, parameters, signal) =>
  get(`${API}/fields/${encodeURIComponent(name)}`, parameters, signal);
export const errors = (parameters, signal) => get(`${API}/errors`, parameters, signal);
export const status = (signal) => get(`${API}/status`, {}, signal);

export const tailAddress = (parameters) => address(`${API}/tail`, parameters);
export const exportAddress = (parameters) => address(`${API}/records`, parameters);
