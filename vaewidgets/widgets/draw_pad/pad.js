// The pad: a canvas to draw on with mouse, touch, pen or keyboard, and its tools.
//
//   const pad = makePad({ height, label, onDraw, onEnd });
//   pad.element                     // canvas, tools and hint
//   pad.show(strokes), pad.busy()   // busy: a stroke is being drawn
//
// `height` is that of the pad in its widths. During a stroke `onDraw(strokes)` is called at most once a frame, with this
// stroke as the last one; `onEnd(strokes)` is called after every stroke, undo and clear.

import { inkPieces } from "./image.js";
import { htmlElement } from "../_core/elements.js";
import { onArrows } from "../_core/keys.js";
import { clamp } from "../_core/numbers.js";
import { penOf } from "../_core/pixels.js";

/** @import { Stroke } from "./image.js" */

const PAD_WIDTH = 224;
const PAD_HINT = "Keyboard: arrows move the pen (Shift: farther), Space puts it down and lifts it, Backspace undoes, "
  + "Escape or Delete clears.";

/**
 * @param {{
 *   height: number, onDraw: (strokes: Stroke[]) => void, onEnd: (strokes: Stroke[]) => void,
 * }} options
 */
export function makePad({ height, onDraw, onEnd }) {
  const element = htmlElement("div", null, "vw-pad"), row = htmlElement("div", element, "vw-pad-row");
  const canvas = htmlElement("canvas", row, "vw-pad-ink", { tabIndex: 0 });
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", `Pad to draw a digit on, with mouse, finger or pen. ${PAD_HINT}`);
  const width = Math.min(PAD_WIDTH, Math.round(PAD_WIDTH / height)), sharp = window.devicePixelRatio || 1;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${width * height}px`;
  canvas.width = Math.round(width * sharp);
  canvas.height = Math.round(width * height * sharp);

  const tools = htmlElement("div", row, "vw-pad-tools");
  /** @type {(text: string) => HTMLButtonElement} */
  const button = (text) => htmlElement("button", tools, "", { type: "button", textContent: text });
  const [undoButton, clearButton] = [button("undo"), button("clear")];
  const penLabel = htmlElement("label", tools, "", { textContent: "pen" });
  const pen = htmlElement("input", penLabel, "", { type: "range", min: 0.03, max: 0.18, step: 0.01, value: 0.09 });
  // JupyterLab would take arrow keys and Enter.
  tools.addEventListener("keydown", (event) => event.stopPropagation());
  const place = htmlElement("p", tools, "vw-pad-place");
  place.setAttribute("role", "status");
  htmlElement("p", element, "vw-pad-hint", { textContent: PAD_HINT });

  /** @type {Stroke[]} */
  let done = [];
  /** @type {Stroke | null} */
  let live = null;
  /** @type {number | null} */
  let held = null;
  let waiting = 0;
  // Place of the pen of the keyboard. It is visible from the first arrow key to the next press of a pointer.
  let at = [0.5, height / 2], seen = false;
  const strokes = () => (live ? [...done, live] : done);

  function draw() {
    const c = penOf(canvas), style = getComputedStyle(canvas);
    c.setTransform(canvas.width, 0, 0, canvas.width, 0, 0);
    c.clearRect(0, 0, 1, height);
    c.lineCap = "round";
    c.strokeStyle = style.color;
    for (const [x, y, u, v, radius] of inkPieces(strokes(), height)) {
      c.lineWidth = 2 * radius;
      c.beginPath();
      c.moveTo(x, y);
      c.lineTo(u, v);
      c.stroke();
    }
    if (!seen) return;
    c.strokeStyle = style.getPropertyValue("--vw-pen");
    c.fillStyle = c.strokeStyle;
    c.lineWidth = 0.012;
    c.beginPath();
    c.arc(at[0], at[1], Math.max(0.025, pen.valueAsNumber / 2), 0, 2 * Math.PI);
    c.stroke();
    if (live) c.fill();
  }
  const soon = () => {
    waiting ||= requestAnimationFrame(() => {
      waiting = 0;
      draw();
      if (live) onDraw(strokes());
    });
  };
  const tell = () => {
    draw();
    onEnd(done);
  };

  // Four decimals are a fortieth of a screen pixel.
  /** @type {(point: number[]) => number[]} */
  const rounded = (point) => point.map((v) => Math.round(v * 1e4) / 1e4);
  /** @type {(point: number[]) => void} */
  const begin = (point) => {
    live = { width: pen.valueAsNumber, points: [rounded(point)] };
    soon();
  };
  /** @type {(point: number[]) => void} */
  const extend = (point) => {
    if (!live) return;
    const next = rounded(point), last = live.points[live.points.length - 1];
    if (next[0] !== last[0] || next[1] !== last[1]) live.points.push(next);
    soon();
  };
  const end = () => {
    if (!live) return;
    done = [...done, live];
    live = null;
    tell();
  };
  const undo = () => {
    if (live) live = null;
    else done = done.slice(0, -1);
    tell();
  };
  const clear = () => {
    done = [];
    live = null;
    tell();
  };

  /** @type {(event: PointerEvent) => number[]} */
  const locate = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, ((event.clientY - box.top) / box.height) * height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || held !== null) return;
    end();
    seen = false;
    say();
    held = event.pointerId;
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    event.preventDefault();
    begin(locate(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== held || !live) return;
    // A fast pointer moves several times between two frames.
    const all = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const each of all.length ? all : [event]) extend(locate(each));
  });
  /** @type {(event: PointerEvent) => void} */
  const release = (event) => {
    if (event.pointerId !== held) return;
    held = null;
    end();
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);

  function say() {
    /** @type {(value: number) => string} */
    const percent = (value) => `${Math.round(100 * value)} %`;
    place.textContent = seen
      ? `pen is ${live ? "down" : "up"}: ${percent(at[0])} across, ${percent(at[1] / height)} from the top` : "";
  }
  /** @type {(act: () => void) => void} */
  const byKeys = (act) => {
    if (held !== null) return;
    seen = true;
    act();
    say();
    draw();
  };
  /** @type {(act: () => void) => (event: KeyboardEvent) => void} */
  const once = (act) => (event) => { if (!event.repeat) byKeys(act); };
  onArrows(canvas, (across, up) => byKeys(() => {
    at = [clamp(at[0] + 0.02 * across), clamp(at[1] - 0.02 * up, [0, height])];
    if (live) extend(at);
  }), {
    far: 5,
    others: {
      " ": once(() => (live ? end() : begin(at))), Backspace: once(undo), Escape: once(clear), Delete: once(clear),
    },
  });
  canvas.addEventListener("blur", () => {
    if (held !== null) return;
    end();
    seen = false;
    say();
    draw();
  });
  undoButton.addEventListener("click", undo);
  clearButton.addEventListener("click", clear);

  return {
    element,
    busy: () => live !== null,
    /** @type {(strokes: Stroke[]) => void} */
    show(strokes) { done = strokes; soon(); },
    close() { cancelAnimationFrame(waiting); },
  };
}
