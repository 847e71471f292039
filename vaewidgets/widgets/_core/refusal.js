// A word beside a control on what it was asked for and did not do. It lies over the panel, since what comes and goes
// must not move anything from under a hand; the next press or key takes it away, once it could be read.
//
//   const refusal = makeRefusal(parent);
//   refusal.say("-3 is outside 0 to 1", control);   // below `control`, or where the style has it; "" takes it away

import { htmlElement } from "./elements.js";

const READ_MS = 1000;

/** @param {HTMLElement} parent */
export function makeRefusal(parent) {
  const bubble = htmlElement("div", parent, "vw-refused");
  bubble.setAttribute("role", "alert");
  let saidAt = 0;
  const events = ["pointerdown", "keydown"];
  const clear = () => {
    if (performance.now() - saidAt < READ_MS) return;
    bubble.textContent = "";
    events.forEach((name) => window.removeEventListener(name, clear, true));
  };
  return {
    said: () => bubble.textContent !== "",
    /** @type {(text: string, control?: Element | null) => void} */
    say(text, control = null) {
      bubble.textContent = text;
      saidAt = text ? performance.now() : -Infinity;
      if (!text) return clear();
      events.forEach((name) => window.addEventListener(name, clear, true));
      if (!control) return;
      const at = control.getBoundingClientRect(), box = parent.getBoundingClientRect();
      bubble.style.left = `${at.left - box.left}px`;
      bubble.style.top = `${at.bottom - box.top + 2}px`;
    },
    remove() {
      saidAt = -Infinity;
      clear();
      bubble.remove();
    },
  };
}
