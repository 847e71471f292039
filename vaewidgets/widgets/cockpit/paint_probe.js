// Answers the kernel when what it sent before has been drawn: two frames later, the browser has painted.
// With the answer goes how long the page worked for it, as far as it was noticeable: the browser's own count
// of tasks over 50 ms; where it keeps none, the time until it was painted.

import { change } from "../_core/model.js";

/** @import { Context } from "../_core/model.js" */
/** @typedef {{ beat: number, echo: number, busy: number }} Traits */

/** @type {(context: Context<Traits>) => () => void} */
function render({ model, el }) {
  el.style.display = "none";
  let busy = 0, closed = false;
  /** @type {PerformanceObserver | null} */
  let observer = null;
  if (PerformanceObserver.supportedEntryTypes?.includes("longtask")) {
    observer = new PerformanceObserver((list) => {
      for (const task of list.getEntries()) busy += task.duration;
    });
    observer.observe({ type: "longtask" });
  }
  const answer = () => {
    const beat = model.get("beat");
    const begun = performance.now();
    requestAnimationFrame(() => requestAnimationFrame(() => {
      // Nobody hears the last picture of a panel that was closed meanwhile.
      if (closed) return;
      change(model, { busy: (observer ? busy : performance.now() - begun) / 1000, echo: beat });
      busy = 0;
    }));
  };
  model.on("change:beat", answer);
  return () => {
    closed = true;
    model.off("change:beat", answer);
    observer?.disconnect();
  };
}

export default { render };
