// A slider and a box to type in, for one number.

import { htmlElement } from "./elements.js";
import { onArrows } from "./keys.js";
import { brief, clamp } from "./numbers.js";
import { makeRefusal } from "./refusal.js";

/**
 * @typedef {{
 *   label: string, range: number[], domain?: number[], step: number, log?: boolean, whole?: boolean,
 *   get: () => number, set: (value: number) => string | void,
 * }} KnobOptions
 */

// With `log` the slider moves its logarithm. What is typed must lie in `domain`, and the slider's ends give way to
// what it shows. What `set` returns is said beside them.
/** @param {Node} parent @param {KnobOptions} options */
export function makeKnob(parent, { label, range, domain = range, step, log = false, whole = false, get, set }) {
  const row = htmlElement("div", parent, "vw-knob");
  htmlElement("span", row, "vw-knob-name", { textContent: label });
  /** @type {((v: number) => number)[]} */
  const [to, from] = log ? [Math.log10, (v) => 10 ** v] : [(v) => v, (v) => v];
  const ends = range.map((end) => to(end));
  const slider = htmlElement("input", row, "", { type: "range", min: ends[0], max: ends[1], step });
  const box = htmlElement("input", row, "", { type: "number", step: "any" });
  slider.setAttribute("aria-label", label);
  box.setAttribute("aria-label", `${label}, typed`);
  const refusal = makeRefusal(row);
  // What is said holds for the value that it was said of.
  /** @type {number | null} */
  let of = null;
  /** @type {(text: string) => void} */
  const say = (text) => {
    refusal.say(text);
    of = get();
  };
  /** @type {(value: number) => void} */
  const turn = (value) => say(set(value) || "");
  // The ends as they are given: a step of a logarithm would miss them by a rounding.
  /** @type {(at: number) => void} */
  const turnTo = (at) => turn(at <= ends[0] && at <= Number(slider.min) ? range[0]
    : at >= ends[1] && at >= Number(slider.max) ? range[1] : from(at));
  slider.addEventListener("input", () => turnTo(Number(slider.value)));
  onArrows(slider, (across, up) => {
    turnTo(clamp(to(get()) + (across + up) * step, [Number(slider.min), Number(slider.max)]));
  }, { native: true });
  row.addEventListener("keydown", (event) => event.stopPropagation());
  // By whole steps, or a value between them would shift all others.
  /** @type {(by: number) => number} */
  const beyond = (by) => step * Math.max(0, Math.ceil(by / step - 1e-9));
  const show = () => {
    const at = to(get());
    if (refusal.said() && get() !== of) refusal.say("");
    slider.min = String(ends[0] - beyond(ends[0] - at));
    slider.max = String(ends[1] + beyond(at - ends[1]));
    slider.value = String(at);
    slider.setAttribute("aria-valuetext", brief(get()));
    box.value = brief(get());
  };
  box.addEventListener("change", () => {
    const value = box.value === "" ? NaN : Number(box.value);
    const wrong = Number.isNaN(value) ? "that is not a number"
      : value < domain[0] || value > domain[1] ? `${value} is outside ${brief(domain[0])} to ${brief(domain[1])}`
      : whole && !Number.isInteger(value) ? `${value} is not a whole number` : "";
    // What it shows already is rounded: hearing that must not round the value.
    if (!wrong && box.value !== brief(get())) turn(value);
    else say(wrong && `${wrong}: ${label} stays ${brief(get())}`);
    show();
  });
  return { row, show };
}
