// An answer of the API as a part of the page: the one before stays until the next is there.

import { useEffect, useState } from './vendor/preact.js';
import { isAbort } from './api.js';

// `load(signal)` is asked anew when `key` changes; not at all while `key` is null.
export function useAnswer(load, key) {
  const [state, setState] = useState({ answer: null, problem: null, key: null });
  useEffect(() => {
    if (key === null) return undefined;
    const abort = new AbortController();
    load(abort.signal).then(
      (answer) => setState({ answer, problem: null, key }),
      (problem) => isAbort(problem) || setState({ answer: null, problem, key }),
    );
    return () => abort.abort();
  }, [key]);
  return { ...state, isStale: state.key !== key };
}
