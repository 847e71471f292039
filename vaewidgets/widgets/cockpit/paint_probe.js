// Answers a ping of the kernel when all that was sent before it has been drawn: after two frames.
// The answer says how long the page worked: the browser's own sum of tasks over 50 ms, or, in a browser that has
// none, the time until it was painted.

import { change } from "../_core/model.js";

/** @import { Context } from "../_core/model.js" */
/** @typedef {{ ping: number, pong: number, busy: number }} Traits */

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
    const ping = model.get("ping");
    const begun = performance.now();
    requestAnimationFrame(() => requestAnimationFrame(() => {
      // A panel that was closed meanwhile has no comm to answer on.
      if (closed) return;
      change(model, { busy: (observer ? busy : performance.now() - begun) / 1000, pong: ping });
      busy = 0;
    }));
  };
  model.on("change:ping", answer);
  return () => {
    closed = true;
    model.off("change:ping", answer);
    observer?.disconnect();
  };
}

export default { render };
