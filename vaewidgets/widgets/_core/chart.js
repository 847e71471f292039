// Charts that move under the hand: one plot area with axes, as SVG in the panel's colours.
//
//   const chart = makeChart({ width, height, x: { title, range, log }, y: {...}, square, label });
//   el.append(chart.svg);
//   chart.x(v), chart.y(v)              // data to pixels; chart.x.invert(pixel) and back
//   chart.setRange("y", [0, 8]);        // axes are drawn anew; what was added is the caller's to move
//   const line = chart.add("path", "vw-curve");          // inside the plot area, clipped to it
//   line.setAttribute("d", chart.line(xs, ys));
//   outline.setAttribute("d", chart.ellipse(mean, covariance, k));   // Mahalanobis distance k
//   const handle = makeHandle(chart, { label, at: () => [u, v], move: (u, v) => {...}, step: [0.05, 0.05] });
//   handle.place();                     // after every change of what `at` returns
//
// A handle whose place is beyond the ranges is drawn at the edge, and the chart says of what.
// `log` is 2 or 10: the axis is logarithmic with ticks at its powers. With `square` a unit is as long across
// as up, and both ranges grow about their middles until that is so.

import { onArrows } from "./keys.js";
import { clamp } from "./numbers.js";
import { setAttributes, svgElement, uniqueId } from "./svg.js";

/** @import { Attributes } from "./svg.js" */
/** @typedef {{ value: number, text: string }} Tick */
/** @typedef {{ title?: string, range: number[], log?: number, ticks?: Tick[] }} Axis */
/**
 * @typedef {{
 *   width: number, height: number, x: Axis, y: Axis, square?: boolean, label?: string,
 *   margin?: { left?: number, right?: number, top?: number, bottom?: number },
 * }} ChartOptions
 */
/** @typedef {ReturnType<typeof makeChart>} Chart */
/**
 * @typedef {{
 *   label: string, at: () => number[], move: (u: number, v: number, dragged: boolean) => void,
 *   step: number[] | (() => number[]), text?: () => string, brief?: () => string,
 *   anywhere?: boolean, className?: string, radius?: number,
 * }} HandleOptions
 */
/** @typedef {ReturnType<typeof makeHandle>} Handle */

/** @type {(value: number) => string} */
const inPowers = (value) => Number(value.toPrecision(6)).toExponential().replace("e+", "e");

// Round numbers within a range, about `count` of them, and how many decimals they need.
/** @type {(range: number[], count: number) => Tick[]} */
function niceTicks([low, high], count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5].find((m) => m * power >= rough * 0.999) ?? 10) * power;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, k) => {
    const value = (first + k) * step;
    // Six digits have no room beside the axis' title.
    const long = Math.abs(value) >= 1e5 - step / 2;
    return { value, text: long ? inPowers(value) : (Math.abs(value) < step / 2 ? 0 : value).toFixed(digits) };
  });
}

/** @type {(range: number[], base: number) => Tick[]} */
function powerTicks([low, high], base) {
  /** @type {(v: number) => number} */
  const log = (v) => Math.log(v) / Math.log(base);
  const first = Math.ceil(log(low) - 1e-9), last = Math.floor(log(high) + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, k) => {
    const value = base ** (first + k);
    return { value, text: String(Number(value.toPrecision(12))) };
  });
}

/** @param {number} [log] */
function makeScale(log) {
  /** @type {((v: number) => number)[]} */
  const [forward, backward] = log ? [Math.log, Math.exp] : [(v) => v, (v) => v];
  let range = [0, 1], ends = [0, 1];
  /** @type {(v: number) => number} */
  const scale = (v) => {
    const [a, b] = range.map((end) => forward(end));
    return ends[0] + ((forward(v) - a) / (b - a)) * (ends[1] - ends[0]);
  };
  return Object.assign(scale, {
    /** @type {(pixel: number) => number} */
    invert(pixel) {
      const [a, b] = range.map((end) => forward(end));
      return backward(a + ((pixel - ends[0]) / (ends[1] - ends[0])) * (b - a));
    },
    /** @type {(newRange: number[], newEnds?: number[]) => void} */
    set(newRange, newEnds = ends) { [range, ends] = [newRange.slice(), newEnds]; },
    range: () => range.slice(),
    // Where in the range a value is drawn: one beyond it at its end.
    /** @type {(v: number) => number} */
    held: (v) => clamp(v, [Math.min(...range), Math.max(...range)]),
  });
}

/** @param {ChartOptions} options */
export function makeChart({ width, height, x, y, square = false, label = "", margin = {} }) {
  const { left, right, top, bottom } = { left: 46, right: 12, top: 10, bottom: 38, ...margin };
  const inner = { width: width - left - right, height: height - top - bottom };
  const svg = svgElement("svg", null, "vw-chart", {
    width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label,
  });
  const axes = svgElement("g", svg, "vw-axes");
  const id = uniqueId("chart");
  svgElement("rect", svgElement("clipPath", svg, "", { id }), "", {
    x: left, y: top, width: inner.width, height: inner.height,
  });
  const plot = svgElement("g", svg, "vw-plot", { "clip-path": `url(#${id})` });
  // Handles lie above the plot and are not cut at its edge.
  const above = svgElement("g", svg, "vw-above");
  /** @type {Map<Element, SVGTextElement>} */
  const beyond = new Map();
  const scales = { x: makeScale(x.log), y: makeScale(y.log) };

  /** @type {(ranges: { x: number[], y: number[] }) => void} */
  function setRanges(ranges) {
    if (square) {
      const { x: [left, right], y: [low, high] } = ranges;
      const unit = Math.min(inner.width / (right - left), inner.height / (high - low));
      /** @type {(range: number[], pixels: number) => number[]} */
      const grown = ([low, high], pixels) => {
        const middle = (low + high) / 2;
        return [middle - pixels / unit / 2, middle + pixels / unit / 2];
      };
      ranges = { x: grown(ranges.x, inner.width), y: grown(ranges.y, inner.height) };
    }
    scales.x.set(ranges.x, [left, left + inner.width]);
    scales.y.set(ranges.y, [top + inner.height, top]);
    drawAxes();
  }

  function drawAxes() {
    axes.replaceChildren();
    /** @type {(axis: "x" | "y", options: Axis, count: number) => Tick[]} */
    const ticks = (axis, options, count) => options.ticks
      ?? (options.log ? powerTicks(scales[axis].range(), options.log) : niceTicks(scales[axis].range(), count));
    const edge = top + inner.height;
    for (const { value, text } of ticks("x", x, inner.width / 70)) {
      const at = scales.x(value);
      const zero = value === 0 && !x.log ? " vw-zero" : "";
      svgElement("line", axes, `vw-gridline${zero}`, { x1: at, x2: at, y1: top, y2: edge });
      svgElement("text", axes, "vw-tick", { x: at, y: edge + 15, "text-anchor": "middle" }).textContent = text;
    }
    for (const { value, text } of ticks("y", y, inner.height / 50)) {
      const at = scales.y(value);
      const zero = value === 0 && !y.log ? " vw-zero" : "";
      svgElement("line", axes, `vw-gridline${zero}`, { x1: left, x2: left + inner.width, y1: at, y2: at });
      svgElement("text", axes, "vw-tick", { x: left - 6, y: at + 4, "text-anchor": "end" }).textContent = text;
    }
    svgElement("text", axes, "vw-axis-title", {
      x: left + inner.width / 2, y: height - 5, "text-anchor": "middle",
    }).textContent = x.title ?? "";
    svgElement("text", axes, "vw-axis-title", {
      x: 0, y: 0, "text-anchor": "middle", transform: `translate(12 ${top + inner.height / 2}) rotate(-90)`,
    }).textContent = y.title ?? "";
  }

  setRanges({ x: x.range, y: y.range });

  /** @type {(points: number[][]) => string} */
  const path = (points) => `M${points.map(([u, v]) => `${u.toFixed(2)},${v.toFixed(2)}`).join("L")}`;
  return {
    svg, plot, above, x: scales.x, y: scales.y, area: { left, top, ...inner },
    /** @type {(axis: "x" | "y", range: number[]) => void} */
    setRange(axis, range) {
      const ranges = { x: scales.x.range(), y: scales.y.range() };
      setRanges({ ...ranges, [axis]: range });
    },
    setRanges,
    // One line for each handle that is drawn at the edge; "" takes its line away.
    /** @type {(handle: Element, text: string) => void} */
    sayBeyond(handle, text) {
      const own = beyond.get(handle) ?? svgElement("text", svg, "vw-beyond", { x: left + 14 });
      beyond.set(handle, own);
      own.textContent = text;
      [...beyond.values()].filter((line) => line.textContent)
        .forEach((line, k) => setAttributes(line, { y: top + 14 * (k + 1) }));
    },
    /**
     * @template {keyof SVGElementTagNameMap} K
     * @param {K} tag @param {string} [className] @param {Attributes} [attributes]
     */
    add: (tag, className, attributes) => svgElement(tag, plot, className, attributes),
    /** @type {(xs: ArrayLike<number>, ys: ArrayLike<number>) => string} */
    line: (xs, ys) => path(Array.from(xs, (v, i) => [scales.x(v), scales.y(ys[i])])),
    /** @type {(mean: number[], covariance: number[][], k: number) => string} */
    ellipse([u, v], [[a, b], [, c]], k) {
      // The axes of the ellipse are the eigenvectors of its 2 x 2 covariance, at this angle.
      const angle = Math.atan2(2 * b, a - c) / 2, [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      const half = Math.hypot((a - c) / 2, b), middle = (a + c) / 2;
      const long = k * Math.sqrt(Math.max(0, middle + half)), short = k * Math.sqrt(Math.max(0, middle - half));
      const points = Array.from({ length: 97 }, (_, i) => {
        const [p, q] = [long * Math.cos((i * Math.PI) / 48), short * Math.sin((i * Math.PI) / 48)];
        return [scales.x(u + p * cos - q * sin), scales.y(v + p * sin + q * cos)];
      });
      return `${path(points)}Z`;
    },
    // Where a pointer event is, in data units. The page may be zoomed: screen pixels are not layout pixels.
    /** @type {(event: MouseEvent) => number[]} */
    locate(event) {
      const box = svg.getBoundingClientRect();
      const [u, v] = [(event.clientX - box.left) * (width / box.width), (event.clientY - box.top) * (height / box.height)];
      return [scales.x.invert(u), scales.y.invert(v)];
    },
  };
}

// A ring that a hand drags and arrow keys move (ten steps with Shift). `step` is [across, up], or a function
// that says it where steps depend on the place. With `anywhere` a press in the plot area takes it there.
// `text` is what a screen reader says of where it is, `brief` what stands at the edge. `move(u, v, dragged)`: a
// drag ends at the edge of the plot, which keys may leave.
/** @param {Chart} chart @param {HandleOptions} options */
export function makeHandle(chart, {
  label, at, move, step, text, brief = text, anywhere = false, className = "", radius = 8,
}) {
  const ring = svgElement("circle", chart.above, `vw-handle ${className}`, {
    r: radius, tabindex: 0, role: "slider", "aria-label": label,
  });
  const place = () => {
    const [u, v] = at(), [a, b] = held([u, v]);
    setAttributes(ring, { cx: chart.x(a), cy: chart.y(b) });
    const outside = Math.abs(chart.x(u) - chart.x(a)) > 1 || Math.abs(chart.y(v) - chart.y(b)) > 1;
    const said = text ? text() : `${u.toFixed(2)}, ${v.toFixed(2)}`;
    ring.classList.toggle("beyond", outside);
    ring.setAttribute("aria-valuetext", outside ? `${said}, beyond the edge` : said);
    chart.sayBeyond(ring, outside ? `${brief ? brief() : said} lies beyond the edge` : "");
  };
  /** @type {(point: number[]) => number[]} */
  const held = ([u, v]) => [chart.x.held(u), chart.y.held(v)];
  let offset = [0, 0];
  /** @type {(event: PointerEvent) => void} */
  const drag = (event) => {
    const [u, v] = chart.locate(event);
    const [a, b] = held([chart.x.invert(chart.x(u) - offset[0]), chart.y.invert(chart.y(v) - offset[1])]);
    move(a, b, true);
  };
  /** @type {(event: PointerEvent, target: SVGElement, onRing: boolean) => void} */
  const press = (event, target, onRing) => {
    if (event.button !== 0) return;
    const [u, v] = chart.locate(event), [a, b] = held(at());
    // Held where it was taken, it does not jump to the pointer.
    offset = onRing ? [chart.x(u) - chart.x(a), chart.y(v) - chart.y(b)] : [0, 0];
    target.setPointerCapture(event.pointerId);
    ring.focus({ preventScroll: true });
    event.preventDefault();
    if (!onRing) drag(event);
  };
  /** @type {(target: SVGElement, onRing: boolean) => void} */
  const listen = (target, onRing) => {
    target.addEventListener("pointerdown", (event) => press(event, target, onRing));
    target.addEventListener("pointermove", (event) => {
      if (target.hasPointerCapture(event.pointerId)) drag(event);
    });
  };
  listen(ring, true);
  if (anywhere) {
    const { left, top, width, height } = chart.area;
    const ground = svgElement("rect", null, "vw-ground", { x: left, y: top, width, height });
    chart.svg.insertBefore(ground, chart.above);
    listen(ground, false);
  }
  onArrows(ring, (across, up) => {
    const [u, v] = at(), [du, dv] = typeof step === "function" ? step() : step;
    move(u + across * du, v + up * dv, false);
  });
  place();
  return { ring, place };
}
