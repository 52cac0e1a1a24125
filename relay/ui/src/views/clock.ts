/** Owns the passing of time for views that say how long ago something was. */

import { useEffect, useState } from "preact/hooks";

const TICK_MS = 10_000; // "20 s ago" may be ten seconds old, and nobody minds

/** This page's clock, read again every ten seconds. */
export function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  return now;
}
