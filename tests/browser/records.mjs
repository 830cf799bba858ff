// Records of the tests and screenshots: the services of a shop over the last hour, and many similar
// records before that.

export const TRACE = 'b7ad6b7169203331b7ad6b7169203331';
export const HTML = '<img src=x onerror="alert(1)"><script>alert(2)</script><b>bold</b>';

const STACK_TRACE = `Traceback (most recent call last):
  File "/srv/billing/app/payments.py", line 88, in charge
    card = order["card"]
           ~~~~~^^^^^^^^
  File "/srv/billing/app/orders.py", line 31, in __getitem__
    return self.fields[name]
           ~~~~~~~~~~~^^^^^^
KeyError: 'card'`;

const MINUTE = 60_000;

const CALM = [
  ['web', 'app.views', 'info', 'GET /cart 200 in 12 ms', { 'http.status_code': 200, 'http.route': '/cart' }],
  ['web', 'app.views', 'info', 'GET /products/771 200 in 48 ms', { 'http.status_code': 200, 'http.route': '/products' }],
  ['web', 'app.views', 'info', 'POST /checkout 303 in 181 ms', { 'http.status_code': 303, 'http.route': '/checkout' }],
  ['auth', 'app.sessions', 'debug', 'token refreshed', { user_id: 4711 }],
  ['billing', 'app.payments', 'info', 'paid 1250 cents by card', { user_id: 42, cents: 1250 }],
  ['worker', 'app.jobs', 'info', 'job thumbnails finished in 3.2 s', { job: 'thumbnails', seconds: 3.2 }],
  ['web', 'app.views', 'info', 'GET /products/12 200 in 31 ms', { 'http.status_code': 200, 'http.route': '/products' }],
  ['auth', 'app.sessions', 'info', 'password checked', { user_id: 4712 }],
  ['worker', 'app.jobs', 'debug', 'queue depth is 12', { depth: 12 }],
];

const LOUD = [
  ['worker', 'app.jobs', 'warn', 'retrying in 5 s: connection refused', { attempt: 2, retry: { seconds: 5, of: 3 } }],
  ['web', 'app.views', 'warn', 'GET /search 200 in 2210 ms', { 'http.status_code': 200, 'http.route': '/search', slow: true }],
  ['auth', 'app.sessions', 'error', 'too many attempts from 10.0.0.7', { user_id: 99 }],
  [
    'billing', 'app.payments', 'error', 'payment failed',
    { user_id: 42, 'exception.type': 'KeyError', 'exception.message': "'card'", 'exception.stacktrace': STACK_TRACE },
    { file: '/srv/billing/app/payments.py', line: 88, function: 'charge' },
  ],
  ['worker', 'app.jobs', 'fatal', 'cannot reach the database', { 'exception.type': 'TimeoutError' }],
];

// Returns `count` records of the 50 minutes up to `now` in a fixed pattern, the newest last.
export function shop(count = 600, now = Date.now()) {
  const step = (50 * MINUTE) / count;
  return Array.from({ length: count }, (_, index) => {
    // A period with many errors is in the middle.
    const isLoud = index % 19 === 0 || (index > count * 0.55 && index < count * 0.65 && index % 3 === 0);
    const [service, logger, level, message, attributes, place] = isLoud
      ? LOUD[Math.floor(index / 3) % LOUD.length]
      : CALM[(index * 7 + Math.floor(index / 11)) % CALM.length];
    const trace = index % 10 === 7 ? { trace_id: `4bf92f3577b34da6a3ce929d0e0e${String(index).padStart(4, '0')}` } : {};
    const host = `vm-${(index % 3) + 1}`;
    const time = new Date(now - (count - index) * step).toISOString();
    return { time, level, service, logger, host, message, ...trace, ...place, attributes };
  });
}

// Returns the records of one request through three services.
export const request = (now = Date.now()) =>
  ['web', 'billing', 'auth'].map((service, index) => ({
    time: new Date(now - 5 * MINUTE + index * 20).toISOString(),
    level: 'info',
    service,
    logger: 'app.request',
    message: `step ${index + 1} of the request`,
    trace_id: TRACE,
    span_id: `b7ad6b716920333${index}`,
  }));

export const hostile = (now = Date.now()) => ({
  time: new Date(now - 6 * MINUTE).toISOString(),
  level: 'info',
  service: HTML,
  logger: HTML,
  message: HTML,
  attributes: { [HTML]: HTML, 'exception.type': HTML, 'exception.stacktrace': HTML, nested: { [HTML]: [HTML] } },
});

// Returns `count` records from three to two hours ago.
export const crowd = (count, now = Date.now()) =>
  Array.from({ length: count }, (_, index) => ({
    time: new Date(now - 180 * MINUTE + (index * 60 * MINUTE) / count).toISOString(),
    level: 'info',
    service: 'crowd',
    message: `number ${index + 1}`,
  }));
