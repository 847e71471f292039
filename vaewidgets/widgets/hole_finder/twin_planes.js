// Two planes with one cursor. At every move both models decode here, and a classifier judges the pictures. The
// backgrounds, the lines and the draws come from the kernel.

import { makeChart, makeHandle } from "../_core/chart.js";
import { makeNetwork } from "../_core/network.js";
import { htmlElement } from "../_core/elements.js";
import { change, listen } from "../_core/model.js";
import { clamp, fixed, floatsOf, formatPoint } from "../_core/numbers.js";
import { paint, penOf, pictureCanvas, toRGBA } from "../_core/pixels.js";
import { setAttributes, svgElement } from "../_core/svg.js";

/** @import { Description } from "../_core/network.js" */
/** @import { Context } from "../_core/model.js" */
/** @typedef {{ centre: number[], unit: number, lines: number[][][][] }} Frame */
/**
 * @typedef {{
 *   name: string, title: string, spread: string, names: [string, number, number][],
 *   codes: DataView, labels: DataView,
 * }} Side
 */
/** @typedef {{ pixels: DataView, probabilities: DataView }} Read */
/**
 * @typedef {{
 *   networks: { [name: string]: { spec: Description, weights: DataView } | undefined },
 *   image_shape: number[], classes: string[], sides: Side[], frames: Frame[], reach: number, confidence_maps: DataView[],
 *   tau: number, position: number[], readings: Read[],
 *   marks: { side: number, points: DataView, confidence: DataView } | { side?: undefined },
 * }} Traits
 */

// The colour of a best class probability from 0 to 1: anchors of cividis (Nunez et al. 2018), which keeps its order
// of lightness under every colour blindness. It has a step at tau, which separates holes from pictures.
const ANCHORS = [[0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115],
  [138, 134, 120], [165, 156, 116], [195, 179, 105], [225, 204, 85], [254, 232, 56]];
/** @type {(sure: number, tau: number) => number[]} */
export const shade = (sure, tau) => {
  const share = sure < tau ? (0.5 * sure) / tau : 0.72 + (0.28 * (sure - tau)) / (1 - tau);
  const at = Math.min(share, 0.9999) * (ANCHORS.length - 1), low = Math.floor(at);
  return ANCHORS[low].map((from, c) => from + (at - low) * (ANCHORS[low + 1][c] - from));
};

// A picture of values between 0 and 1, as an address that an <image> takes.
/** @type {(values: Float32Array, columns: number, tau: number) => string} */
const shadeAll = (values, columns, tau) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [columns, values.length / columns];
  const image = new ImageData(canvas.width, canvas.height);
  values.forEach((sure, i) => image.data.set([...shade(sure, tau), 255], 4 * i));
  penOf(canvas).putImageData(image, 0, 0);
  return canvas.toDataURL();
};

// A line that is visible on every colour: light on a dark casing, or dark on a light one, by its class.
/** @type {(parent: Node, className: string) => { set(d: string): void }} */
const makeCased = (parent, className) => {
  const paths = ["vw-casing", "vw-core"].map((part) => svgElement("path", parent, `${className} ${part}`));
  return { set: (d) => paths.forEach((path) => path.setAttribute("d", d)) };
};

/** @type {(logits: Float32Array) => number[]} */
const softmax = (logits) => {
  const top = Math.max(...logits), weights = Array.from(logits, (l) => Math.exp(l - top));
  const sum = weights.reduce((a, b) => a + b);
  return weights.map((w) => w / sum);
};

/** @type {(p: number) => string} */
const percent = (p) => `${(100 * p).toFixed(1)} %`;

// One bar for each class and one for "none of these"; the dashed line is tau.
/** @param {string[]} classes */
function makeBars(classes) {
  const names = [...classes, "none"], row = 13;
  // Long names take space from the bars. The longest are cut; a tooltip shows them whole.
  const longest = Math.min(16, Math.max(...names.map((name) => name.length)));
  const left = Math.max(36, 12 + 6 * longest), length = 186 - left;
  const svg = svgElement("svg", null, "vw-bars", { width: 250, height: row * names.length + 2, role: "img" });
  const rows = names.map((name, i) => {
    const y = row * i + 1;
    const group = svgElement("g", svg, i === classes.length ? "vw-reject" : "");
    const text = svgElement("text", group, "", { x: left - 5, y: y + 10, "text-anchor": "end" });
    text.textContent = name.length > 16 ? `${name.slice(0, 15)}\u2026` : name;
    svgElement("title", group, "").textContent = name;
    svgElement("rect", group, "vw-rail", { x: left, y: y + 1, width: length, height: row - 3 });
    const bar = svgElement("rect", group, "vw-bar", { x: left, y: y + 1, width: 0, height: row - 3 });
    const value = svgElement("text", group, "vw-value", { x: left + length + 6, y: y + 10 });
    return { group, bar, value };
  });
  const line = svgElement("line", svg, "vw-tau", { y1: 0, y2: row * classes.length });
  return {
    svg,
    /** @type {(probabilities: number[], best: number, tau: number) => void} */
    show(probabilities, best, tau) {
      rows.forEach(({ group, bar, value }, i) => {
        setAttributes(bar, { width: length * probabilities[i] });
        group.classList.toggle("vw-best", i === best);
        value.textContent = i === best || i === classes.length ? percent(probabilities[i]) : "";
      });
      setAttributes(line, { x1: left + length * tau, x2: left + length * tau });
      svg.setAttribute("aria-label", `class probabilities: ${probabilities.map((p, i) => `${names[i]} ${percent(p)}`).join(", ")}`);
    },
  };
}

/** @param {{ side: Side, classes: string[], onMove: (u: number, v: number) => void }} options */
function makeSide({ side, classes, onMove }) {
  const box = htmlElement("div", null, "vw-side");
  /** @type {(className: string, textContent?: string) => HTMLElement} */
  const line = (className, textContent = "") => htmlElement("div", box, className, { textContent });
  line("vw-title", side.title);
  line("vw-note", side.spread);

  const chart = makeChart({
    width: 400, height: 384, square: true, label: `latent plane of the ${side.name}`,
    x: { title: "z1", range: [-1, 1] }, y: { title: "z2", range: [-1, 1] },
  });
  const background = chart.add("image", "vw-sure", { preserveAspectRatio: "none" });
  const lines = ["vw-half", "vw-most"].map((name) => makeCased(chart.plot, name));
  const circles = makeCased(chart.plot, "vw-prior");
  const masses = ["39 %", "86 %"].map((text) => {
    const node = chart.add("text", "vw-mass", { "text-anchor": "middle" });
    node.textContent = text;
    return node;
  });
  const names = side.names.map(([text]) => {
    const node = chart.add("text", "vw-name", { "text-anchor": "middle" });
    node.textContent = text;
    if (text.length > 3) node.style.fontSize = "12px";
    return node;
  });
  const marks = { digit: makeCased(chart.plot, "vw-digit"), hole: makeCased(chart.plot, "vw-hole") };
  const thread = makeCased(chart.plot, "vw-thread");

  box.append(chart.svg);
  const where = line("vw-state"), reading = line("vw-reading"), canvas = pictureCanvas(reading);
  const bars = makeBars(classes);
  reading.append(bars.svg);
  const verdict = line("vw-state vw-verdict"), near = line("vw-note");

  const codes = floatsOf(side.codes), labels = new Uint8Array(side.labels.buffer, side.labels.byteOffset, side.labels.byteLength);
  let at = [0, 0], step = [1, 1], heard = "";
  const handle = makeHandle(chart, {
    label: `cursor on the plane of the ${side.name}`, at: () => at, move: onMove, step: () => step, anywhere: true,
    text: () => heard, brief: () => where.textContent,
  });

  /** @type {(centre: number[], r: number) => string} */
  const circle = ([u, v], r) => chart.ellipse([u, v], [[1, 0], [0, 1]], r);
  /** @type {(loop: number[][]) => string} */
  const closed = (loop) => `${chart.line(loop.map((p) => p[0]), loop.map((p) => p[1]))}Z`;

  const nearest = () => {
    let row = 0, best = Infinity;
    for (let i = 0; i < codes.length; i += 2) {
      const d = (codes[i] - at[0]) ** 2 + (codes[i + 1] - at[1]) ** 2;
      if (d < best) [best, row] = [d, i / 2];
    }
    return { row, distance: Math.sqrt(best), point: [codes[2 * row], codes[2 * row + 1]] };
  };

  return {
    box, chart,
    // A frame, and the best class probability in each of its cells.
    /** @type {(frame: Frame, reach: number, values: Float32Array, tau: number) => void} */
    frame({ centre, unit, lines: loops }, reach, values, tau) {
      const half = reach * unit, range = (/** @type {number} */ c) => [c - half, c + half];
      chart.setRanges({ x: range(centre[0]), y: range(centre[1]) });
      step = [0.05 * unit, 0.05 * unit];
      const { left, top, width, height } = chart.area;
      setAttributes(background, { x: left, y: top, width, height });
      this.shade(values, tau);
      lines.forEach((cased, k) => cased.set(loops[k].map(closed).join("")));
      circles.set([1, 2].map((r) => circle([0, 0], r)).join(""));
      const tall = chart.y(0) - chart.y(1) > 30;
      masses.forEach((node, k) => {
        // Circles of a few pixels have no space for names. Then only the outer one has a name, beside it.
        setAttributes(node, { x: chart.x(0), y: chart.y(k + 1) + (tall ? 4 : -5) });
        node.textContent = tall ? ["39 %", "86 %"][k] : ["", "N(0, I)"][k];
      });
      names.forEach((node, k) => {
        setAttributes(node, { x: chart.x(side.names[k][1]), y: chart.y(side.names[k][2]) + 6 });
      });
    },
    /** @type {(values: Float32Array, tau: number) => void} */
    shade(values, tau) {
      background.setAttribute("href", shadeAll(values, Math.sqrt(values.length), tau));
    },
    /** @type {(points: ArrayLike<number>, confidence: ArrayLike<number>, tau: number) => void} */
    mark(points, confidence, tau) {
      /** @type {{ [kind in "digit" | "hole"]: string[] }} */
      const parts = { digit: [], hole: [] };
      for (let i = 0; i < confidence.length; i++) {
        const [x, y] = [chart.x(points[2 * i]), chart.y(points[2 * i + 1])].map((v) => v.toFixed(1));
        if (confidence[i] < tau) parts.hole.push(`M${x},${y}m-3,-3l6,6m0,-6l-6,6`);
        else parts.digit.push(`M${x},${y}h0`);
      }
      marks.digit.set(parts.digit.join(""));
      marks.hole.set(parts.hole.join(""));
    },
    /** @type {(point: number[]) => void} */
    go(point) {
      at = point;
      const { row, distance, point: code } = nearest();
      thread.set(chart.line([at[0], code[0]], [at[1], code[1]]));
      const label = labels.length ? `labelled ${classes[labels[row]]}, ` : "";
      near.textContent = `nearest code: image ${row}, ${label}${fixed(distance)} away`;
      where.textContent = `${side.name}: z = ${formatPoint(at)}`;
      heard = where.textContent;
      handle.place();
    },
    /** @type {(pixels: Float32Array, shape: number[], probabilities: number[], tau: number) => void} */
    show(pixels, shape, probabilities, tau) {
      const real = probabilities.slice(0, classes.length), sure = Math.max(...real), best = real.indexOf(sure);
      paint(canvas, toRGBA(pixels, shape));
      const scale = 140 / Math.max(canvas.width, canvas.height);
      canvas.style.width = `${scale * canvas.width}px`;
      canvas.style.height = `${scale * canvas.height}px`;
      bars.show(probabilities, best, tau);
      const hole = sure < tau;
      // A digit takes an article; for other names that is unknown.
      const called = /^\d+$/.test(classes[best]) ? `a ${classes[best]}` : classes[best];
      verdict.textContent = `${hole ? "\u2715 a hole: at best " : "\u25cf "}${called}, ${percent(sure)}`;
      verdict.classList.toggle("vw-is-hole", hole);
      canvas.setAttribute("aria-label", `decoded picture at ${where.textContent}`);
      heard = `${where.textContent}; ${verdict.textContent}`;
      handle.place();
    },
  };
}

function makeLegend() {
  const box = htmlElement("div", null, "vw-legend");
  const scale = svgElement("svg", box, "vw-scale", { width: 250, height: 42, role: "img" });
  const ramp = svgElement("image", scale, "", { x: 10, y: 15, width: 220, height: 12, preserveAspectRatio: "none" });
  svgElement("text", scale, "", { x: 10, y: 10 }).textContent = "best class probability";
  for (const share of [0, 1]) {
    svgElement("text", scale, "", { x: 10 + 220 * share, y: 40, "text-anchor": "middle" }).textContent = String(share);
  }
  const tick = svgElement("path", scale, "vw-curve"), tag = svgElement("text", scale, "", { y: 40, "text-anchor": "middle" });
  const key = htmlElement("div", box, "vw-key");
  /** @type {(text: string, draw: (sample: SVGElement) => void) => void} */
  const entry = (text, draw) => {
    const item = htmlElement("span", key), sample = svgElement("svg", item, "vw-sample", { width: 26, height: 14 });
    svgElement("rect", sample, "vw-swatch", { width: 26, height: 14 });
    draw(sample);
    item.append(text);
  };
  /** @type {(name: string, d: string) => (sample: SVGElement) => void} */
  const stroke = (name, d) => (sample) => makeCased(sample, name).set(d);
  entry("a draw: a picture", stroke("vw-digit", "M13,7h0"));
  entry("a draw: a hole", stroke("vw-hole", "M10,4l6,6m0,-6l-6,6"));
  entry("half of the codes are inside", stroke("vw-half", "M2,7h22"));
  entry("90 % of them", stroke("vw-most", "M2,7h22"));
  entry("39 % and 86 % of N(0, I)", stroke("vw-prior", "M2,7h22"));
  return {
    box,
    /** @type {(tau: number) => void} */
    show(tau) {
      ramp.setAttribute("href", shadeAll(Float32Array.from({ length: 220 }, (_, i) => (i + 0.5) / 220), 220, tau));
      const x = 10 + 220 * tau;
      tick.setAttribute("d", `M${x},12v18`);
      // Near an end the number would overlap that of the end.
      setAttributes(tag, { x: clamp(x, [46, 196]) });
      tag.textContent = `tau ${tau.toFixed(2)}`;
      scale.setAttribute("aria-label", `colours: best class probability from 0 to 1, with a step at tau ${tau.toFixed(2)}`);
    },
  };
}

/** @type {(context: Context<Traits>) => () => void} */
function render({ model, el }) {
  const root = htmlElement("div", el, "vw-holes");
  const shape = model.get("image_shape"), classes = model.get("classes"), parts = model.get("networks");
  const [first, second, judge] = ["first", "second", "judge"].map((name) => {
    const part = parts[name];
    return part && makeNetwork(part.spec, part.weights);
  });
  const networks = [first, second];
  // torch compares its float32 probabilities with a float32 tau.
  const tau = () => Math.fround(model.get("tau"));
  let z = model.get("position").slice();

  const places = () => model.get("frames").map(({ centre, unit }) => z.map((v, i) => centre[i] + unit * v));
  const sides = model.get("sides").map((side, k) => makeSide({
    side, classes,
    onMove: (u, v) => {
      const { centre, unit } = model.get("frames")[k];
      z = [u, v].map((v, i) => (v - centre[i]) / unit);
      go();
      change(model, { position: z.slice() });
    },
  }));
  htmlElement("div", root, "vw-sides").append(...sides.map((side) => side.box));
  const legend = makeLegend();
  root.append(legend.box);

  const read = () => {
    const readings = model.get("readings");
    sides.forEach((side, k) => {
      const network = networks[k];
      if (judge && network) {
        const pixels = network.decode(places()[k]);
        side.show(pixels, shape, softmax(judge.decode(pixels)), tau());
      } else if (readings[k]) {
        side.show(floatsOf(readings[k].pixels), shape, [...floatsOf(readings[k].probabilities)], tau());
      }
    });
  };
  const go = () => {
    places().forEach((place, k) => sides[k].go(place));
    if (judge) read();
  };
  const mark = () => {
    const marks = model.get("marks");
    sides.forEach((one, k) => {
      if (k === marks.side) one.mark(floatsOf(marks.points), floatsOf(marks.confidence), tau());
      else one.mark([], [], tau());
    });
  };
  const frame = () => {
    const maps = model.get("confidence_maps");
    model.get("frames").forEach((one, k) => sides[k].frame(one, model.get("reach"), floatsOf(maps[k]), tau()));
    mark();
    go();
  };
  const setTau = () => {
    sides.forEach((side, k) => side.shade(floatsOf(model.get("confidence_maps")[k]), tau()));
    legend.show(tau());
    mark();
    read();
  };
  const follow = () => {
    const position = model.get("position");
    if (position.every((v, i) => v === z[i])) return;
    z = position.slice();
    go();
  };
  legend.show(tau());
  frame();
  read();
  return listen(model, [
    ["change:confidence_maps", frame], ["change:tau", setTau], ["change:marks", mark], ["change:position", follow],
    ["change:readings", read],
  ]);
}

export default { render };
