// The points of Plotly's scatter traces, painted on a canvas behind what Plotly draws. Plotly makes a node of the
// page for each point, which takes it seconds for ten thousand of them; here it keeps one of each trace, and axes,
// legend, hover, click, selection and its whole interface, none of which needs the nodes.

import { htmlElement } from "../_core/elements.js";
import { isSymbol, makeRaster } from "./rasterize.js";

/** @import { PlotlyAxis, Plot } from "./overlay.js" */
/** @import { Look } from "./rasterize.js" */
/**
 * @typedef {{
 *   colorscale?: [number, string][], cmin?: number, cmax?: number, coloraxis?: string, reversescale?: boolean,
 * }} Scale
 */
/**
 * What is used of a trace as Plotly has completed it.
 * @typedef {{
 *   type: string, uid: string, visible: boolean | string, mode: string, xaxis: string, yaxis: string, opacity: number,
 *   selectedpoints?: number[], selected?: { marker?: State }, unselected?: { marker?: State },
 *   marker: {
 *     maxdisplayed?: number, color: any, size: any, opacity: any, symbol: any,
 *     sizeref: number, sizemin: number, sizemode: string,
 *     line: { width: any, color: any } & Scale,
 *   } & Scale,
 * }} Trace
 */
/** @typedef {{ opacity?: number, color?: string, size?: number }} State */
/** @typedef {{ x: number, y: number, i: number, selected?: 1, trace: Trace }} Point */
/**
 * @typedef {Plot & {
 *   data: { type?: string, mode?: string, marker?: any }[], calcdata?: Point[][],
 *   _fullLayout: {
 *     width: number, height: number, plot_bgcolor: string, paper_bgcolor: string,
 *     _plots?: { [axes: string]: { xaxis: Axis, yaxis: Axis } },
 *     [name: string]: any,
 *   },
 * }} Figure
 */
/** @typedef {PlotlyAxis & { c2p(value: number): number }} Axis */

// What tells Plotly to leave out nodes: of each trace it keeps one. Whoever sets it has Plotly's own points.
const NONE = 1e-9;

/** @type {CanvasRenderingContext2D | null} */
let probe = null;
/** @type {Map<string, number[]>} */
const colours = new Map();
// [r, g, b, a] from 0 to 1 of any colour of CSS.
/** @type {(css: string) => number[]} */
function colourOf(css) {
  const known = colours.get(css);
  if (known) return known;
  probe ??= htmlElement("canvas", null, "", { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  if (!probe) return [0, 0, 0, 1];
  probe.clearRect(0, 0, 1, 1);
  probe.fillStyle = css;
  probe.fillRect(0, 0, 1, 1);
  const colour = Array.from(probe.getImageData(0, 0, 1, 1).data, (value) => value / 255);
  colours.set(css, colour);
  return colour;
}

/** @type {(trace: { type?: string, mode?: string, marker?: any }) => boolean} */
function isPaintable({ type = "scatter", mode = "", marker = {} }) {
  if (type !== "scatter" || !/^(?:text\+)?markers(?:\+text)?$/.test(mode) || marker.gradient?.type || marker.angle) return false;
  const symbols = marker.symbol ?? "circle";
  return Array.isArray(symbols) || ArrayBuffer.isView(symbols)
    ? Array.from(/** @type {ArrayLike<unknown>} */ (symbols)).every(isSymbol) : isSymbol(symbols);
}

// Traces that would hide what lies behind them.
const SURFACES = ["heatmap", "contour", "image", "histogram2d", "histogram2dcontour"];

// Not enumerable: pictures and copies that are made of the figure know nothing of it.
/** @type {(traces: Figure["data"]) => void} */
function leaveOut(traces) {
  const open = !traces.some(({ type = "scatter" }) => SURFACES.includes(type));
  for (const trace of traces) {
    const asked = trace.marker?.maxdisplayed;
    if (asked !== undefined && asked !== NONE) continue;
    if (open && isPaintable(trace)) {
      trace.marker ??= {};
      const value = { value: NONE, enumerable: false, configurable: true, writable: true };
      Object.defineProperty(trace.marker, "maxdisplayed", value);
    } else if (asked === NONE) delete trace.marker.maxdisplayed;
  }
}

/** @type {<T>(value: T | ArrayLike<T>, i: number) => T} */
const at = (value, i) => (
  Array.isArray(value) || ArrayBuffer.isView(value) ? /** @type {any} */ (value)[i] : /** @type {any} */ (value)
);

// As Plotly's: the radius of a marker, of sizes that are numbers or an array.
/** @type {(marker: Trace["marker"], i: number) => number} */
function radiusOf({ size, sizeref = 1, sizemin = 0, sizemode }, i) {
  if (typeof size === "number") return size / 2;
  const half = at(size, i) / 2 / (sizeref || 1), radius = sizemode === "area" ? Math.sqrt(half) : half;
  return radius > 0 ? Math.max(radius, sizemin) : 0;
}

/** @type {(value: number, scale: Scale) => number[]} */
function scaled(value, { colorscale = [], cmin = 0, cmax = 1, reversescale }) {
  const share = Math.min(Math.max((value - cmin) / (cmax - cmin || 1), 0), 1), t = reversescale ? 1 - share : share;
  const above = Math.max(colorscale.findIndex(([place]) => place >= t), 1);
  const [[from, low], [to, high]] = [colorscale[above - 1], colorscale[above]];
  const weight = (t - from) / (to - from || 1), a = colourOf(low), b = colourOf(high);
  return a.map((part, k) => part + weight * (b[k] - part));
}

/** @type {(colour: number | string, scale: Scale) => number[]} */
const paintOf = (colour, scale) => (typeof colour === "number" ? scaled(colour, scale) : colourOf(colour));

// How each point of a trace looks.
/** @type {(trace: Trace, layout: Figure["_fullLayout"], ratio: number) => (point: Point) => Look} */
function looksOf(trace, layout, ratio) {
  const { marker, selectedpoints } = trace;
  const [scale, strokes] = [marker, marker.line].map((part) => (part.coloraxis ? layout[part.coloraxis] : part));
  /** @type {(point: Point, selection: boolean) => Look} */
  const look = ({ i, selected }, selection) => {
    const state = selection ? (selected ? trace.selected : trace.unselected)?.marker ?? {} : {};
    const colour = state.color ?? at(marker.color, i), alpha = at(marker.opacity, i) ?? 1;
    const opacity = trace.opacity * (state.opacity ?? (selection && !selected ? 0.2 * alpha : alpha));
    const [r, g, b, a] = paintOf(colour, scale);
    // A template may have brought a symbol that is not among ours.
    const asked = at(marker.symbol, i), symbol = isSymbol(asked) ? asked : "circle", stroke = at(marker.line.color, i);
    const line = at(marker.line.width, i) || (symbol.endsWith("-open") ? 1 : 0); // as Plotly's open symbols
    return {
      symbol, line: line * ratio,
      radius: Math.round(8 * ratio * (state.size === undefined ? radiusOf(marker, i) : state.size / 2)) / 8,
      fill: [r, g, b, a * opacity],
      stroke: line ? paintOf(stroke, strokes).map((part, k) => (k === 3 ? part * opacity : part)) : [],
    };
  };
  const single = [marker.color, marker.size, marker.opacity, marker.symbol, marker.line.width, marker.line.color]
    .every((value) => typeof value !== "object");
  if (!single) return (point) => look(point, selectedpoints !== undefined);
  // All alike, or of two kinds.
  const point = /** @type {Point} */ ({ i: 0 });
  const [plain, chosen] = [look(point, selectedpoints !== undefined), look({ ...point, selected: 1 }, true)];
  return ({ selected }) => (selectedpoints !== undefined && selected ? chosen : plain);
}

// What lies below the points: Plotly's ground and grid, drawn with Plotly's own paths.
/** @type {(context: CanvasRenderingContext2D, plot: Figure, ratio: number) => void} */
function paintGround(context, plot, ratio) {
  context.save();
  context.globalCompositeOperation = "destination-over";
  // What comes first lies highest.
  const lines = plot.querySelectorAll(".zerolinelayer path, .gridlayer path, .minor-gridlayer path");
  for (const line of /** @type {Iterable<SVGPathElement>} */ (lines)) {
    const [x = 0, y = 0] = (line.getAttribute("transform") ?? "").match(/-?[\d.]+(?:e-?\d+)?/g)?.map(Number) ?? [];
    const { stroke, strokeOpacity, strokeWidth, strokeDasharray } = line.style;
    context.setTransform(ratio, 0, 0, ratio, x * ratio, y * ratio);
    context.strokeStyle = stroke;
    context.globalAlpha = strokeOpacity === "" ? 1 : Number(strokeOpacity);
    context.lineWidth = parseFloat(strokeWidth) || 1;
    context.setLineDash((strokeDasharray.match(/[\d.]+/g) ?? []).map(Number));
    context.stroke(new Path2D(line.getAttribute("d") ?? ""));
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.globalAlpha = 1;
  context.fillStyle = plot._fullLayout.plot_bgcolor;
  for (const { xaxis, yaxis } of plotsOf(plot)) {
    context.fillRect(xaxis._offset, yaxis._offset, xaxis._length, yaxis._length);
  }
  context.restore();
}

/** @type {(plot: Figure) => { xaxis: Axis, yaxis: Axis }[]} */
const plotsOf = (plot) => Object.values(plot._fullLayout._plots ?? {});

// Paint the points of a figure from now on; to be called before Plotly first draws into `plot`.
/** @param {HTMLElement} element */
export function paintPoints(element) {
  const plot = /** @type {Figure} */ (element);
  const canvas = htmlElement("canvas", null, "vw-points"), context = canvas.getContext("2d");
  /** @type {Figure["data"] | undefined} */
  let data;
  // Plotly sets it before it looks at the traces, and deletes it before it draws anew: so not on the element itself.
  Object.setPrototypeOf(plot, Object.create(Object.getPrototypeOf(plot), {
    data: {
      get: () => data,
      set(traces) {
        data = traces;
        leaveOut(traces ?? []);
      },
    },
  }));

  const paint = () => {
    const layout = plot._fullLayout, container = plot.querySelector(".svg-container");
    if (!layout || !container || !context || !plot.calcdata) return;
    if (canvas.parentNode !== container) container.prepend(canvas);
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(layout.width * ratio), height = Math.round(layout.height * ratio);
    const raster = makeRaster(width, height);
    let painted = false;
    for (const points of plot.calcdata) {
      const { trace } = points[0], axes = layout._plots?.[trace.xaxis + trace.yaxis];
      if (trace.visible !== true || trace.marker?.maxdisplayed !== NONE || !axes) continue;
      const { xaxis, yaxis } = axes, look = looksOf(trace, layout, ratio);
      const left = xaxis._offset, top = yaxis._offset;
      const clip = [left, top, left + xaxis._length, top + yaxis._length].map((edge) => Math.round(edge * ratio));
      painted = true;
      plot.querySelector(`.scatterlayer .trace.scatter${trace.uid}`)?.classList.add("vw-on-canvas");
      for (const point of points) {
        const x = (left + xaxis.c2p(point.x)) * ratio, y = (top + yaxis.c2p(point.y)) * ratio;
        if (Number.isFinite(x + y)) raster.point(x, y, look(point), clip);
      }
    }
    Object.assign(canvas, { width, height });
    canvas.style.width = `${layout.width}px`;
    canvas.style.height = `${layout.height}px`;
    context.putImageData(new ImageData(raster.pixels(), width, height), 0, 0);
    canvas.style.background = layout.paper_bgcolor;
    canvas.hidden = !painted;
    if (painted) paintGround(context, plot, ratio);
    plot.classList.toggle("vw-painted", painted);
    canvas.dataset.vwPaints = String(Number(canvas.dataset.vwPaints ?? 0) + 1);
  };
  let waiting = 0;
  const paintSoon = () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(paint);
  };
  const before = () => leaveOut(plot.data ?? []);
  return {
    // Once Plotly has begun to draw, and takes listeners.
    begin() {
      plot.on("plotly_beforeplot", before);
      plot.on("plotly_afterplot", paint);
      for (const name of ["plotly_relayouting", "plotly_restyle", "plotly_selected", "plotly_deselect", "plotly_selecting"]) {
        plot.on(name, paintSoon);
      }
      paintSoon();
    },
    close() { cancelAnimationFrame(waiting); },
  };
}

// What Plotly tells the kernel of a trace, without what was put into it here.
/** @type {(deltas: { marker?: { maxdisplayed?: number } }[]) => void} */
export function hideFromKernel(deltas) {
  for (const { marker } of deltas) if (marker?.maxdisplayed === NONE) delete marker.maxdisplayed;
}
