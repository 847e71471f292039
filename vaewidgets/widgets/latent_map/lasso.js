// A lasso over the Plotly map of the same panel: drawn here, and sent once, when the stroke ends.

import { change, listen } from "../_core/model.js";
import { floatsOf } from "../_core/numbers.js";
import { overPlot } from "../_map/overlay.js";
import { svgElement } from "../_core/svg.js";

/** @import { Context } from "../_core/model.js" */
/** @import { PlotlyAxis } from "../_map/overlay.js" */
/**
 * @typedef {{
 *   armed: boolean, corners: number[][], drawn: number[][], past: { number: number, corners: number[][] }[],
 *   points: DataView, kinds: DataView, right: number, colours: string[], label: string,
 * }} Traits
 */

// The smallest distance between two corners of a stroke, in pixels.
const CORNER = 4;

/** @type {(context: Context<Traits>) => () => void} */
function render({ model, el }) {
  el.style.display = "none";
  const svg = svgElement("svg", null, "vw-lasso", { role: "img" });
  const past = svgElement("g", svg, "vw-lasso-past");
  const marks = svgElement("g", svg, "vw-lasso-marks");
  const outline = svgElement("path", svg, "vw-lasso-outline", { "fill-rule": "evenodd" });
  /** @type {number[][] | null} */
  let stroke = null;
  let last = [0, 0];

  /** @type {(axes: PlotlyAxis[], corners: number[][]) => string} */
  const toPath = ([x, y], corners) => {
    if (!corners.length) return "";
    return `M${corners.map(([u, v]) => `${x.l2p(u).toFixed(1)},${y.l2p(v).toFixed(1)}`).join("L")}Z`;
  };
  /** @type {(axes: PlotlyAxis[]) => void} */
  const drawOutline = (axes) => outline.setAttribute("d", toPath(axes, stroke ?? model.get("corners")));

  /** @type {(axes: PlotlyAxis[]) => void} */
  const drawPast = (axes) => {
    past.replaceChildren();
    for (const { number, corners } of model.get("past")) {
      svgElement("path", past, "", { d: toPath(axes, corners) });
      const [u, v] = corners.reduce((a, b) => (b[1] > a[1] ? b : a));
      const text = svgElement("text", past, "", { x: axes[0].l2p(u), y: axes[1].l2p(v) - 4, "text-anchor": "middle" });
      text.textContent = String(number);
    }
  };

  // One path for each class: a dot is a line of no length with round ends.
  /** @type {(axes: PlotlyAxis[]) => void} */
  const drawMarks = ([x, y]) => {
    marks.replaceChildren();
    const points = floatsOf(model.get("points")), kinds = model.get("kinds"), right = model.get("right");
    const colours = model.get("colours"), paths = new Map();
    for (let i = 0; i < points.length / 2; i++) {
      const kind = kinds.byteLength ? kinds.getUint8(i) : -1;
      const [u, v] = [x.l2p(points[2 * i]).toFixed(1), y.l2p(points[2 * i + 1]).toFixed(1)];
      const shape = kind === right || kind < 0 ? `M${u},${v}h0` : `M${u},${v}m-2.5,-2.5l5,5m0,-5l-5,5`;
      paths.set(kind, (paths.get(kind) ?? "") + shape);
    }
    for (const [kind, d] of paths) {
      const name = kind < 0 ? "vw-taken" : kind === right ? "vw-right" : "vw-wrong";
      svgElement("path", marks, `${name} vw-edge`, { d });
      const own = svgElement("path", marks, name, { d });
      if (kind >= 0) own.style.stroke = colours[kind % colours.length];
    }
    svg.dataset.vwMarks = String(points.length / 2);
  };

  /** @type {(axes: PlotlyAxis[]) => void} */
  const place = (axes) => {
    drawOutline(axes);
    drawPast(axes);
    drawMarks(axes);
  };
  const over = overPlot(el, { place });
  over.layer.classList.add("vw-lasso-layer");
  over.layer.append(svg);

  /** @type {(send: boolean) => void} */
  const end = (send) => {
    const drawn = stroke;
    stroke = null;
    if (send && drawn && drawn.length > 2) {
      change(model, { corners: drawn, drawn });
    }
    over.place();
  };
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !over.axes()) return;
    svg.setPointerCapture(event.pointerId);
    last = over.at(event);
    stroke = [over.locate(event)];
    marks.replaceChildren();
    // Else Plotly, below the lasso, would begin a drag too.
    event.stopPropagation();
    event.preventDefault();
  });
  svg.addEventListener("pointermove", (event) => {
    if (!stroke) return;
    const here = over.at(event);
    if (Math.hypot(here[0] - last[0], here[1] - last[1]) < CORNER) return;
    last = here;
    stroke.push(over.locate(event));
    const axes = over.axes();
    if (axes) drawOutline(axes);
  });
  svg.addEventListener("pointerup", () => end(true));
  svg.addEventListener("pointercancel", () => end(false));

  const arm = () => svg.classList.toggle("vw-armed", model.get("armed"));
  const name = () => svg.setAttribute("aria-label", model.get("label"));
  const deafen = listen(model, [
    ["change:corners change:past change:points change:kinds change:right", over.place],
    ["change:armed", arm], ["change:label", name],
  ]);
  arm();
  name();
  return () => {
    deafen();
    over.close();
  };
}

export default { render };
