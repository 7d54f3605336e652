/** Reports that are no more than a page can show. */

import type { Progress } from "../types";

/** Milliseconds between two reports. */
const INTERVAL = 100;

/** Leaves out reports that come too fast; the first and the last of each file and phase always come. */
export function throttled(report: (progress: Progress) => void): (progress: Progress) => void {
  let last = { what: "", at: 0 };
  return (progress) => {
    const what = `${progress.phase} ${progress.file}`;
    const now = performance.now();
    const done = progress.total > 0 && progress.loaded >= progress.total;
    if (done || what !== last.what || now - last.at >= INTERVAL) {
      last = { what, at: now };
      report(progress);
    }
  };
}
