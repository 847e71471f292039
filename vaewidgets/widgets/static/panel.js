// What ipywidgets' controls lack: names for assistive technology, arrow keys that stay with the control
// instead of moving JupyterLab's cell selection, and a word when the kernel is gone. And what anywidget's
// models lack on a slow machine.

import { makeRefusal } from "./refusal.js";
import { leaveSentences } from "./stored.js";

const GONE = "The kernel was restarted or has ended, and this panel with it: run this cell again.";

// anywidget gives a model two seconds to begin. One that needs longer begins all the same, but hears nothing
// of the kernel any more: its messages wait for a promise that has been broken. Such a model is given the
// ear that it inherits, and asks for what it has missed.
function reviveAll(model) {
  return Promise.all(model.get("parts").map((id) => model.widget_manager.get_model(id).then(revive)));
}

async function revive(part) {
  try {
    // To a model that hears it says nothing.
    await part._handle_comm_msg({ content: { data: { method: "vaewidgets_probe" } } });
  } catch {
    const inherited = Object.getPrototypeOf(Object.getPrototypeOf(part))._handle_comm_msg;
    part.comm.on_msg(inherited.bind(part));
    part.comm.send({ method: "request_state" });
  }
}

const put = (node, name, text) => {
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
};

// What the eye reads: the readout, or the box beside. noUiSlider would say the logarithm, the index, two decimals.
function spoken(slider, handle) {
  const readout = slider.querySelector(".widget-readout");
  if (readout?.textContent && getComputedStyle(readout).display !== "none") return readout.textContent;
  const range = handle.closest(".noUi-target")?.noUiSlider;
  const box = slider.closest(".widget-hbox")?.querySelector(".vw-number input");
  if (!range || !box) return handle.getAttribute("aria-valuetext") ?? "";
  // While a hand is on the slider the box is a moment behind.
  const value = range.get(true), step = range.options.step || 0;
  return Math.abs(Number(box.value) - value) <= step ? box.value : String(Number(value.toFixed(4)));
}

// ipywidgets takes what is typed beyond a control's range to its end, and half a number for a whole, without a
// word. Here it is refused, and `say(text, control)` says why: an empty text makes the control show the value
// that it has.
function guard(panel, say) {
  let before = "";
  const check = (control, typed, range, whole) => {
    const label = control.getAttribute("aria-label")
      ?? control.closest(".widget-inline-hbox")?.querySelector(".widget-label")?.textContent;
    const value = typed.trim() === "" ? NaN : Number(typed), [low, high] = range;
    const wrong = !Number.isFinite(value) ? "is not a number"
      : value < low || value > high ? `is outside ${low} to ${high}`
      : whole && !Number.isInteger(value) ? "is not a whole number" : "";
    say(wrong && `${label || "value"}: ${typed.trim() || "what was typed"} ${wrong}. It stays as it was.`, control);
    return !wrong;
  };
  const box = ({ target }) => {
    if (!target.matches(".widget-text input[type=number]")) return;
    const ends = [target.min === "" ? -Infinity : Number(target.min), target.max === "" ? Infinity : Number(target.max)];
    if (!check(target, target.value, ends, target.step === "1")) target.value = "";
  };
  const readout = (event) => {
    const { target, type, key } = event;
    if (type === "keydown" && key !== "Enter") return;
    if (!target.matches?.(".widget-slider .widget-readout[contenteditable=true]")) return;
    const slider = target.parentElement.querySelector(".noUi-target")?.noUiSlider;
    const typed = target.textContent;
    // Left as it was it must not round the value to what it shows.
    const same = typed === before;
    if (!slider || same || !check(target, typed, ends(slider, Number(before)), slider.options.step === 1)) {
      target.textContent = "";
    }
    // Once the view has shown the value that it has now.
    setTimeout(() => { before = target.textContent; });
  };
  const begin = ({ target }) => { before = target.textContent; };
  const listeners = [["change", box], ["keydown", readout], ["blur", readout], ["focusin", begin]];
  for (const [name, listener] of listeners) panel.addEventListener(name, listener, true);
  return () => listeners.forEach(([name, listener]) => panel.removeEventListener(name, listener, true));
}

// A logarithmic slider counts in exponents, its readout shows powers of ten.
function ends(slider, shown) {
  const { min, max } = slider.options.range, at = Number(slider.get(true));
  const log = Math.abs(Math.log10(shown) - at) < 0.01 && Math.abs(shown - at) > 0.01;
  return [min, max].map((end) => (log ? Number((10 ** end).toPrecision(6)) : end));
}

function show(model, el, hearing) {
  el.classList.add("vw-gone");
  hearing.then(() => { el.dataset.vwHears = "true"; });
  el.setAttribute("role", "alert");
  let panel = null, refusal = null, unguard = () => {};
  // ipywidgets takes note of it in the class, and shows it by a glyph alone, in front of every control.
  const tell = () => {
    el.textContent = panel.classList.contains("jupyter-widgets-disconnected") ? GONE : "";
  };
  const dress = () => {
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
      figure.setAttribute("aria-label", heading.textContent);
    }
    for (const bar of panel.querySelectorAll(".widget-hprogress")) {
      put(bar, "role", "img");
      put(bar, "aria-label", bar.title || "progress");
    }
  };
  const watcher = new MutationObserver(dress), listener = new MutationObserver(tell);
  const watch = () => {
    panel = el.closest(".vw-panel");
    if (!panel) return requestAnimationFrame(() => el.isConnected && watch());
    panel.dataset.lmSuppressShortcuts = "true";
    watcher.observe(panel, { childList: true, subtree: true, attributeFilter: ["aria-valuetext", "title"] });
    panel.addEventListener("focusin", dress);
    refusal = makeRefusal(panel);
    unguard = guard(panel, refusal.say);
    listener.observe(panel, { attributeFilter: ["class"] });
    dress();
    tell();
    leaveSentences(model.widget_manager);
  };
  requestAnimationFrame(watch);
  return () => {
    panel?.removeEventListener("focusin", dress);
    unguard();
    refusal?.remove();
    watcher.disconnect();
    listener.disconnect();
  };
}

function dressed() {
  let hearing = null;
  return {
    initialize({ model }) { hearing = reviveAll(model); },
    render({ model, el }) { return show(model, el, hearing); },
  };
}

export default dressed;
