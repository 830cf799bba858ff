// A response of the API as a part of the page: the previous response stays until the next one
// arrives.

import { useEffect, useState } from './vendor/preact.js';
import { isAbort } from './api.js';

// `load(signal)` is called again when `key` changes, and not at all while `key` is null.
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
