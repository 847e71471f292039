// What ipywidgets' controls lack: names for assistive technology, arrow keys that stay with the control
// instead of moving JupyterLab's cell selection, and a word when the kernel is gone.

import { whenInPanel } from "./elements.js";
import { allBegun } from "./loader.js";
import { makeRefusal } from "./refusal.js";
import { leaveSentences } from "./stored.js";

/** @import { Context } from "./model.js" */
/** @import { Manager } from "./stored.js" */
/**
 * @typedef {Element & { noUiSlider?: {
 *   get(raw: true): number, options: { step?: number, range: { min: number, max: number } },
 * } }} SliderElement
 */
/** @typedef {NonNullable<SliderElement["noUiSlider"]>} Slider */
/** @typedef {(text: string, control: Element) => void} Say */

const GONE = "The kernel was restarted or has ended, and this panel with it: run this cell again.";

/** @type {(node: Element, name: string, text: string | null) => void} */
const put = (node, name, text) => {
  if (node.getAttribute(name) !== text) node.setAttribute(name, text ?? "");
};

// What the eye reads: the readout, or the box beside. noUiSlider would say the logarithm, the index, two decimals.
/** @type {(slider: Element, handle: Element) => string} */
function spoken(slider, handle) {
  const readout = slider.querySelector(".widget-readout");
  if (readout?.textContent && getComputedStyle(readout).display !== "none") return readout.textContent;
  const range = sliderAt(handle.closest(".noUi-target"));
  /** @type {HTMLInputElement | null | undefined} */
  const box = slider.closest(".widget-hbox")?.querySelector(".vw-number input");
  if (!range || !box) return handle.getAttribute("aria-valuetext") ?? "";
  // While a hand is on the slider the box is a moment behind.
  const value = range.get(true), step = range.options.step || 0;
  return Math.abs(Number(box.value) - value) <= step ? box.value : String(Number(value.toFixed(4)));
}

/** @type {(element: SliderElement | null | undefined) => Slider | undefined} */
const sliderAt = (element) => element?.noUiSlider;

// ipywidgets takes what is typed beyond a control's range to its end, and half a number for a whole, without a
// word. Here it is refused, and `say(text, control)` says why: an empty text makes the control show the value
// that it has.
/** @type {(panel: HTMLElement, say: Say) => () => void} */
function guard(panel, say) {
  /** @type {string | null} */
  let before = "";
  /** @type {(control: Element, typed: string, range: number[], whole: boolean) => boolean} */
  const check = (control, typed, [low, high], whole) => {
    const label = control.getAttribute("aria-label")
      ?? control.closest(".widget-inline-hbox")?.querySelector(".widget-label")?.textContent;
    const value = typed.trim() === "" ? NaN : Number(typed);
    const wrong = !Number.isFinite(value) ? "is not a number"
      : value < low || value > high ? `is outside ${low} to ${high}`
      : whole && !Number.isInteger(value) ? "is not a whole number" : "";
    say(wrong && `${label || "value"}: ${typed.trim() || "what was typed"} ${wrong}. It stays as it was.`, control);
    return !wrong;
  };
  /** @type {(event: Event) => void} */
  const box = ({ target }) => {
    if (!(target instanceof HTMLInputElement) || !target.matches(".widget-text input[type=number]")) return;
    const ends = [target.min === "" ? -Infinity : Number(target.min), target.max === "" ? Infinity : Number(target.max)];
    if (!check(target, target.value, ends, target.step === "1")) target.value = "";
  };
  /** @type {(event: Event) => void} */
  const readout = (event) => {
    const { target } = event;
    if (event instanceof KeyboardEvent && event.key !== "Enter") return;
    if (!(target instanceof Element)) return;
    if (!target.matches(".widget-slider .widget-readout[contenteditable=true]")) return;
    const slider = sliderAt(target.parentElement?.querySelector(".noUi-target"));
    const typed = target.textContent ?? "";
    // Left as it was it must not round the value to what it shows.
    const same = typed === before;
    if (!slider || same || !check(target, typed, ends(slider, Number(before)), slider.options.step === 1)) {
      target.textContent = "";
    }
    // Once the view has shown the value that it has now.
    setTimeout(() => { before = target.textContent; });
  };
  /** @type {(event: Event) => void} */
  const begin = ({ target }) => { if (target instanceof Element) before = target.textContent; };
  /** @type {[string, (event: Event) => void][]} */
  const listeners = [["change", box], ["keydown", readout], ["blur", readout], ["focusin", begin]];
  for (const [name, listener] of listeners) panel.addEventListener(name, listener, true);
  return () => listeners.forEach(([name, listener]) => panel.removeEventListener(name, listener, true));
}

// A logarithmic slider counts in exponents, its readout shows powers of ten.
/** @type {(slider: Slider, shown: number) => number[]} */
function ends(slider, shown) {
  const { min, max } = slider.options.range, at = Number(slider.get(true));
  const log = Math.abs(Math.log10(shown) - at) < 0.01 && Math.abs(shown - at) > 0.01;
  return [min, max].map((end) => (log ? Number((10 ** end).toPrecision(6)) : end));
}

// Give the controls of a panel their names.
/** @type {(panel: HTMLElement) => void} */
function nameControls(panel) {
  for (const slider of panel.querySelectorAll(".widget-slider")) {
    const label = slider.querySelector(".widget-label");
    const handle = slider.querySelector(".noUi-handle");
    if (!handle) continue;
    if (label) put(handle, "aria-label", label.textContent);
    put(handle, "aria-valuetext", spoken(slider, handle));
  }
  // A box beside a slider has no description of its own.
  for (const box of panel.querySelectorAll(".vw-number input")) {
    const label = box.closest(".widget-hbox")?.querySelector(".widget-slider .widget-label");
    if (label) put(box, "aria-label", `${label.textContent}, typed`);
  }
  // A figure is called what stands above it.
  for (const figure of panel.querySelectorAll(".js-plotly-plot:not([role])")) {
    const heading = figure.closest(".widget-vbox")?.querySelector(".vw-title");
    if (!heading) continue;
    figure.setAttribute("role", "figure");
    put(figure, "aria-label", heading.textContent);
  }
  for (const bar of panel.querySelectorAll(".widget-hprogress")) {
    put(bar, "role", "img");
    put(bar, "aria-label", bar.getAttribute("title") || "progress");
  }
}

/** @type {(context: Context<object>) => () => void} */
function render({ model, el }) {
  el.classList.add("vw-gone");
  allBegun().then(() => { el.dataset.vwHears = "true"; });
  el.setAttribute("role", "alert");
  let close = () => {};
  whenInPanel(el, (panel) => {
    const dress = () => nameControls(panel);
    // ipywidgets takes note of it in the class, and shows it by a glyph alone, in front of every control.
    const tell = () => {
      el.textContent = panel.classList.contains("jupyter-widgets-disconnected") ? GONE : "";
    };
    const watcher = new MutationObserver(dress), listener = new MutationObserver(tell);
    const refusal = makeRefusal(panel), unguard = guard(panel, refusal.say);
    panel.dataset.lmSuppressShortcuts = "true";
    watcher.observe(panel, { childList: true, subtree: true, attributeFilter: ["aria-valuetext", "title"] });
    listener.observe(panel, { attributeFilter: ["class"] });
    panel.addEventListener("focusin", dress);
    dress();
    tell();
    leaveSentences(/** @type {Manager} */ (model.widget_manager));
    close = () => {
      panel.removeEventListener("focusin", dress);
      unguard();
      refusal.remove();
      watcher.disconnect();
      listener.disconnect();
    };
  });
  return () => close();
}

export default { render };
