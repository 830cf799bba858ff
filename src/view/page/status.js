// The status of the server, polled repeatedly: current values, and rates computed from differences.

import { useEffect, useState } from './vendor/preact.js';
import * as api from './api.js';

const SAMPLES_MAX = 90;
// The current rate covers the last few samples, because the rate between only two would jump.
const RATE_OVER_SAMPLES = 5;

// `{samples: [{at, status}], problem}`, the newest sample last.
export function useStatus(intervalMillis) {
  const [state, setState] = useState({ samples: [], problem: null });
  useEffect(() => {
    const abort = new AbortController();
    let timer;
    const look = async () => {
      try {
        const status = await api.status(abort.signal);
        setState(({ samples }) => ({ samples: following(samples, status), problem: null }));
      } catch (problem) {
        if (api.isAbort(problem)) return;
        setState(({ samples }) => ({ samples, problem }));
      }
      timer = setTimeout(look, intervalMillis);
    };
    look();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [intervalMillis]);
  return state;
}

// A restarted server counts from zero, so earlier samples are discarded.
function following(samples, status) {
  const before = samples.at(-1)?.status;
  const isSame = before && before.uptime_seconds <= status.uptime_seconds;
  return [...(isSame ? samples : []), { at: performance.now(), status }].slice(-SAMPLES_MAX);
}

// Returns the growth per second between each two samples; `read(status)` returns the number.
export function rates(samples, read) {
  return samples.slice(1).map((sample, index) => {
    const before = samples[index];
    const seconds = (sample.at - before.at) / 1000;
    return Math.max(0, read(sample.status) - read(before.status)) / seconds;
  });
}

// Returns the current growth per second; null while it is unknown.
export function rateNow(samples, read) {
  const recent = samples.slice(-RATE_OVER_SAMPLES);
  if (recent.length < 2) return null;
  const [first, last] = [recent[0], recent.at(-1)];
  return (Math.max(0, read(last.status) - read(first.status)) / (last.at - first.at)) * 1000;
}
