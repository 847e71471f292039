// The map of encoded images on one canvas. The cursor is an element above it, on a layer of its own, so that
// moving it redraws nothing. `say` hears what it cannot show, or "".

import { htmlElement } from "../_core/elements.js";
import { onArrows } from "../_core/keys.js";
import { clamp, fixed } from "../_core/numbers.js";
import { penOf } from "../_core/pixels.js";
import { makeRaster } from "../_map/rasterize.js";

/** @import { Class } from "./page_data.js" */
/** @typedef {{ x: number, y: number, reach: number }} View */
/**
 * @typedef {{
 *   canvas: HTMLCanvasElement, plot: HTMLElement, ring: HTMLElement, codes: Float32Array, sigmas: Float32Array | null,
 *   labels: Uint16Array | null, classes: Class[], latentDim: number, prior: boolean, low: number[], high: number[],
 *   onMove: (u: number, v: number) => void, onSelect: (row: number) => void, say: (text: string) => void,
 * }} MapOptions
 */
/** @typedef {ReturnType<typeof makeMap>} PageMap */

/** @param {MapOptions} options */
export function makeMap({
  canvas, plot, ring, codes, sigmas, labels, classes, latentDim, prior, low, high, onMove, onSelect, say,
}) {
  const MARGIN = { left: 46, right: 10, top: 10, bottom: 42 };
  const count = codes.length / latentDim;
  const shown = classes.map(() => true);
  const view = { x: 0, y: 0, reach: 1 };
  let across = 0, up = latentDim > 1 ? 1 : -1, side = 1, size = 1, here = [0, 0], waiting = false;
  /** @type {number | null} */
  let selected = null;
  let follow = () => {};

  /** @type {(row: number) => number} */
  const x = (row) => codes[row * latentDim + across];
  /** @type {(row: number) => number} */
  const y = (row) => (up < 0 ? 0 : codes[row * latentDim + up]);
  /** @type {(row: number) => number} */
  const classOf = (row) => (labels ? labels[row] : 0);
  /** @type {(row: number, k: number) => number} */
  const sigma = (row, k) => (k < 0 || !sigmas ? 0 : sigmas[row * latentDim + k]);
  /** @type {(u: number) => number} */
  const left = (u) => MARGIN.left + ((u - view.x + view.reach) * side) / (2 * view.reach);
  /** @type {(v: number) => number} */
  const top = (v) => MARGIN.top + ((view.y + view.reach - v) * side) / (2 * view.reach);

  function home() {
    /** @type {(k: number) => number[]} */
    const span = (k) => (k < 0 ? [0, 0] : [low[k], high[k]]);
    const [[a, b], [c, d]] = [span(across), span(up)];
    return { x: (a + b) / 2, y: (c + d) / 2, reach: Math.max(b - a, d - c) / 2 };
  }

  /** @type {(to: View) => void} */
  function setView(to) {
    // Closer than this, doubles would run out; farther, nothing is to be seen.
    const reach = clamp(to.reach, [1e-4 * home().reach, 20 * home().reach]);
    Object.assign(view, to, { reach });
    place();
    redraw();
    if (to.reach !== reach) say(`The map zooms no ${to.reach < reach ? "closer" : "farther out"} than this.`);
  }

  /** @type {(factor: number, at: number[]) => void} */
  function zoom(factor, [u, v]) {
    setView({ x: u + (view.x - u) * factor, y: v + (view.y - v) * factor, reach: view.reach * factor });
  }

  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }

  // A cursor out of sight has its ring at the edge.
  function place() {
    const exact = [left(here[0]) - MARGIN.left, top(here[1]) - MARGIN.top];
    const [u, v] = exact.map((at) => clamp(at, [0, side])), beyond = exact.some((at) => at < -1 || at > side + 1);
    ring.style.transform = `translate(${u}px, ${v}px)`;
    ring.classList.toggle("beyond", beyond);
    say(beyond ? "z lies outside this view: its ring is at the edge." : "");
    follow();
  }

  function resize() {
    size = canvas.getBoundingClientRect().width || 300;
    side = Math.max(50, size - MARGIN.left - MARGIN.right);
    const height = side + MARGIN.top + MARGIN.bottom, scale = window.devicePixelRatio || 1;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(size * scale);
    canvas.height = Math.round(height * scale);
    for (const [edge, width] of Object.entries(MARGIN)) plot.style.setProperty(edge, `${width}px`);
    place();
    draw();
  }

  /** @type {(name: string) => string} */
  const css = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();

  function draw() {
    const c = penOf(canvas), scale = window.devicePixelRatio || 1;
    const ink = css("--vw-ink"), quiet = css("--vw-quiet"), paper = css("--vw-paper"), accent = css("--vw-accent");
    const font = getComputedStyle(document.body).fontFamily;
    c.setTransform(scale, 0, 0, scale, 0, 0);
    c.clearRect(0, 0, canvas.width, canvas.height);
    drawAxes(c, ink, quiet, font);
    c.save();
    c.beginPath();
    c.rect(MARGIN.left, MARGIN.top, side, side);
    c.clip();
    drawPoints(c, scale);
    if (prior && up >= 0) {
      c.font = `12px ${font}`;
      ["39 %", "86 %"].forEach((mass, k) => {
        ellipse(c, [0, 0], [k + 1, k + 1], { colour: quiet, paper, width: 1.5 });
        halo(c, mass, left(0), top(k + 1) + 12, quiet, paper);
      });
    }
    // Digits may be large; words would hide the points.
    c.font = `bold ${classes.some(({ name }) => name.length > 3) ? 12 : 17}px ${font}`;
    classes.forEach(({ name }, k) => {
      const at = shown[k] && labels && median(k);
      if (at) halo(c, name.length > 24 ? `${name.slice(0, 23)}\u2026` : name, left(at[0]), top(at[1]), ink, paper);
    });
    if (selected !== null && sigmas) {
      const centre = [x(selected), y(selected)], [a, b] = [sigma(selected, across), sigma(selected, up)];
      ellipse(c, centre, [a, b], { colour: accent, paper, width: 2 });
      ellipse(c, centre, [2 * a, 2 * b], { colour: accent, paper, width: 2, dash: [6, 4] });
    }
    if (selected !== null) {
      c.beginPath();
      c.arc(left(x(selected)), top(y(selected)), 4, 0, 2 * Math.PI);
      c.fillStyle = accent;
      c.fill();
    }
    c.restore();
  }

  // As the panel's map has them.
  const layer = htmlElement("canvas");
  /** @type {(c: CanvasRenderingContext2D, scale: number) => void} */
  function drawPoints(c, scale) {
    const { width, height } = canvas, raster = makeRaster(width, height), radius = (count > 2000 ? 2 : 3.5) * scale;
    const clip = [MARGIN.left, MARGIN.top, MARGIN.left + side, MARGIN.top + side].map((edge) => Math.round(edge * scale));
    classes.forEach(({ colour }, k) => {
      const rgb = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255);
      const look = { symbol: "circle", radius, fill: [...rgb, 0.8], line: 0, stroke: [] };
      if (shown[k]) for (const row of rows[k]) raster.point(left(x(row)) * scale, top(y(row)) * scale, look, clip);
    });
    Object.assign(layer, { width, height });
    penOf(layer).putImageData(new ImageData(raster.pixels(), width, height), 0, 0);
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.drawImage(layer, 0, 0);
    c.setTransform(scale, 0, 0, scale, 0, 0);
  }

  /** @type {number[][]} */
  const rows = classes.map(() => []);
  for (let row = 0; row < count; row++) rows[classOf(row)].push(row);

  /** @type {Map<string, number[] | null>} */
  const medians = new Map();
  /** @type {(k: number) => number[] | null} */
  function median(k) {
    const key = `${k} ${across} ${up}`;
    const known = medians.get(key);
    if (known !== undefined) return known;
    /** @type {(values: number[]) => number} */
    const middle = (values) => {
      const sorted = Float64Array.from(values).sort(), n = sorted.length;
      return (sorted[(n - 1) >> 1] + sorted[n >> 1]) / 2;
    };
    const found = rows[k].length ? [middle(rows[k].map(x)), middle(rows[k].map(y))] : null;
    medians.set(key, found);
    return found;
  }

  /**
   * @type {(
   *   c: CanvasRenderingContext2D, text: string, u: number, v: number, colour: string, paper: string,
   * ) => void}
   */
  function halo(c, text, u, v, colour, paper) {
    c.textAlign = "center";
    c.textBaseline = "middle";
    c.lineJoin = "round";
    c.lineWidth = 4;
    c.strokeStyle = paper;
    c.strokeText(text, u, v);
    c.fillStyle = colour;
    c.fillText(text, u, v);
  }

  // Drawn twice: a thin line over thousands of coloured points needs an edge of its own.
  /**
   * @param {CanvasRenderingContext2D} c @param {number[]} centre @param {number[]} sigmas
   * @param {{ colour: string, paper: string, width: number, dash?: number[] }} style
   */
  function ellipse(c, [u, v], [a, b], { colour, paper, width, dash = [] }) {
    const unit = side / (2 * view.reach);
    c.beginPath();
    c.ellipse(left(u), top(v), a * unit, b * unit, 0, 0, 2 * Math.PI);
    c.setLineDash(dash);
    c.strokeStyle = paper;
    c.lineWidth = width + 2;
    c.stroke();
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.stroke();
    c.setLineDash([]);
  }

  /** @type {(c: CanvasRenderingContext2D, ink: string, quiet: string, font: string) => void} */
  function drawAxes(c, ink, quiet, font) {
    const rough = (2 * view.reach) / Math.max(3, side / 70), power = 10 ** Math.floor(Math.log10(rough));
    const step = ([1, 2, 5].find((m) => m * power >= rough) ?? 10) * power;
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    /** @type {(middle: number) => number[]} */
    const ticks = (middle) => {
      const first = Math.ceil((middle - view.reach) / step), last = Math.floor((middle + view.reach) / step);
      return Array.from({ length: last - first + 1 }, (_, k) => (first + k) * step);
    };
    const bottom = MARGIN.top + side, right = MARGIN.left + side;
    c.font = `12px ${font}`;
    c.fillStyle = quiet;
    c.lineWidth = 1;
    /** @type {(value: number, a: number, b: number, d: number, e: number) => void} */
    const line = (value, a, b, d, e) => {
      c.strokeStyle = Math.abs(value) < step / 2 ? quiet : css("--vw-faint");
      c.beginPath();
      c.moveTo(a, b);
      c.lineTo(d, e);
      c.stroke();
    };
    c.textAlign = "center";
    c.textBaseline = "top";
    for (const t of ticks(view.x)) {
      line(t, left(t), MARGIN.top, left(t), bottom);
      c.fillText(fixed(t, digits), left(t), bottom + 5);
    }
    c.textAlign = "right";
    c.textBaseline = "middle";
    if (up >= 0) {
      for (const t of ticks(view.y)) {
        line(t, MARGIN.left, top(t), right, top(t));
        c.fillText(fixed(t, digits), MARGIN.left - 6, top(t));
      }
    }
    c.fillStyle = ink;
    c.font = `13px ${font}`;
    c.textAlign = "center";
    c.fillText(`z${across + 1}`, MARGIN.left + side / 2, bottom + 31);
    if (up >= 0) {
      c.save();
      c.translate(10, MARGIN.top + side / 2);
      c.rotate(-Math.PI / 2);
      c.fillText(`z${up + 1}`, 0, 0);
      c.restore();
    }
  }

  // The row of the nearest point in sight within `radius` screen pixels of a place on the plane, or null.
  /** @type {(u: number, v: number, radius: number) => number | null} */
  function nearest(u, v, radius) {
    let best = null, least = radius * radius * ((2 * view.reach) / side) ** 2;
    for (let k = 0; k < classes.length; k++) {
      if (!shown[k]) continue;
      for (const row of rows[k]) {
        const distance = (x(row) - u) ** 2 + (y(row) - v) ** 2;
        if (distance <= least) [best, least] = [row, distance];
      }
    }
    return best;
  }

  /** @param {MouseEvent} event */
  function planeAt(event) {
    const box = canvas.getBoundingClientRect();
    const u = event.clientX - box.left - MARGIN.left, v = event.clientY - box.top - MARGIN.top;
    const inside = u >= 0 && v >= 0 && u <= side && v <= side, unit = (2 * view.reach) / side;
    return {
      inside,
      u: view.x - view.reach + clamp(u, [0, side]) * unit,
      v: up < 0 ? 0 : view.y + view.reach - clamp(v, [0, side]) * unit,
    };
  }

  /** @type {{ x: number, y: number, dragged: boolean } | null} */
  let press = null;
  canvas.addEventListener("pointerdown", (event) => {
    const at = planeAt(event);
    if (event.button !== 0 || !event.isPrimary || !at.inside) return;
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    event.preventDefault();
    press = { x: event.clientX, y: event.clientY, dragged: false };
    onMove(at.u, at.v);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!press || !canvas.hasPointerCapture(event.pointerId)) return;
    // A hand that clicks trembles.
    press.dragged ||= Math.hypot(event.clientX - press.x, event.clientY - press.y) > 4;
    const at = planeAt(event);
    if (press.dragged) onMove(at.u, at.v);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!press || !event.isPrimary) return;
    const click = !press.dragged, at = planeAt(event);
    press = null;
    const row = click ? nearest(at.u, at.v, event.pointerType === "touch" ? 18 : 8) : null;
    if (row !== null) onSelect(row);
  });
  canvas.addEventListener("pointercancel", () => { press = null; });
  canvas.addEventListener("wheel", (event) => {
    const at = planeAt(event);
    if (!at.inside) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 30 : 1;
    zoom(Math.exp(clamp(event.deltaY * lines, [-150, 150]) * 0.002), [at.u, at.v]);
  }, { passive: false });
  const choose = () => {
    const row = nearest(here[0], here[1], Infinity);
    if (row !== null) onSelect(row);
  };
  const closer = () => zoom(0.8, here);
  onArrows(canvas, (right, above) => {
    const step = view.reach / 70;
    onMove(here[0] + right * step, up < 0 ? 0 : here[1] + above * step);
  }, {
    others: {
      Enter: choose, "+": closer, "=": closer, "-": () => zoom(1.25, here), 0: () => setView(home()),
    },
  });
  new ResizeObserver(() => {
    if (Math.abs(canvas.getBoundingClientRect().width - size) > 0.5) resize();
  }).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  return {
    // Where a point of the plane is, in pixels from the canvas's corner.
    /** @type {(u: number, v: number) => number[]} */
    pixel: (u, v) => [left(u), top(v)],
    /** @type {(point: number[]) => void} */
    setCursor(point) { here = point; place(); },
    /** @type {(row: number) => void} */
    select(row) { selected = row; redraw(); },
    /** @type {(i: number, j: number) => void} */
    setAxes(i, j) { [across, up] = [i, j]; setView(home()); },
    /** @type {(k: number, on: boolean) => void} */
    show(k, on) { shown[k] = on; redraw(); },
    /** @type {(factor: number) => void} */
    zoom: (factor) => zoom(factor, here),
    reset: () => setView(home()),
    zoomToCloud() {
      if (selected === null) return;
      const widest = Math.max(sigma(selected, across), sigma(selected, up));
      setView({ x: x(selected), y: y(selected), reach: 6 * widest });
    },
    // For what is laid over the plot: the layer, where it has a point of the plane, and word of every change.
    layer: plot,
    /** @type {(u: number, v: number) => number[]} */
    place: (u, v) => [left(u) - MARGIN.left, top(v) - MARGIN.top],
    /** @type {(listener: () => void) => void} */
    follow(listener) { follow = listener; },
    // Without a reach as close as ten times nearer than the whole map.
    /** @type {(u: number, v: number, reach: number) => void} */
    setView: (u, v, reach) => setView({ x: u, y: v, reach: reach || home().reach / 10 }),
    start() { Object.assign(view, home()); resize(); },
  };
}
