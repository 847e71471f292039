// What a BetaDial shows of its trained models: rate and distortion on one curve, KL per dimension, pictures.

import { makeChart } from "../_core/chart.js";
import { htmlElement } from "../_core/elements.js";
import { brief, roundUp } from "../_core/numbers.js";
import { fromBytes, makePicture, paint } from "../_core/pixels.js";
import { setAttributes, svgElement } from "../_core/svg.js";

/** @import { Tick } from "../_core/chart.js" */
/** @import { Model } from "../_core/model.js" */
/** @typedef {{ beta: number, rate: number, distortion: number, kl: number[], active: boolean[] }} Stop */
/**
 * @typedef {{
 *   beta: number, noise: number, linked: boolean, eigenvalues: number[], stops: Stop[], pixels: DataView,
 *   shape: number[], originals: boolean, asked: [what: string, count: number] | [], dataset: string, caption: string,
 *   domain: number[],
 * }} BetaTraits
 */

// Index of the stop nearest to beta, by the logarithm; of two the one with the smaller beta.
/** @type {(stops: Stop[], beta: number) => number} */
export function nearestStop(stops, beta) {
  const distances = stops.map((stop) => Math.abs(Math.log2(stop.beta / beta)));
  return distances.findIndex((distance) => distance < Math.min(...distances) + 1e-9);
}

// About four ticks, because a small chart has space for few numbers.
/** @type {(range: number[]) => Tick[]} */
function ticksOf([low, high]) {
  const step = roundUp((high - low) / 4), first = Math.ceil(low / step);
  const count = Math.floor(high / step) - first + 1;
  return Array.from({ length: count }, (_, i) => ({ value: (first + i) * step, text: brief((first + i) * step) }));
}

/** @param {Node} parent @param {Stop[]} stops @param {(i: number) => void} choose */
export function makeTradeOff(parent, stops, choose) {
  const rates = stops.map(({ rate }) => rate), distortions = stops.map(({ distortion }) => distortion);
  /** @type {(values: number[]) => number[]} */
  const ends = (values) => {
    const room = 0.15 * (Math.max(...values) - Math.min(...values)) + 1;
    return [Math.max(0, Math.min(...values) - room), Math.max(...values) + room];
  };
  const chart = makeChart({
    width: 222, height: 200, margin: { left: 48, right: 8 },
    label: "Distortion against rate of the trained models, in nats per image",
    x: { title: "rate: KL, nats", range: ends(rates), ticks: ticksOf(ends(rates)) },
    y: { title: "distortion, nats", range: ends(distortions), ticks: ticksOf(ends(distortions)) },
  });
  parent.appendChild(chart.svg);
  chart.add("path", "vw-curve", { d: chart.line(rates, distortions) });
  const same = chart.add("path", "vw-same-elbo");
  const points = stops.map((stop, i) => {
    const at = { cx: chart.x(stop.rate), cy: chart.y(stop.distortion) };
    const point = svgElement("circle", chart.above, "vw-stop", {
      ...at, r: 5, tabindex: 0, role: "button",
      "aria-label": `beta ${stop.beta}: rate ${stop.rate.toFixed(2)}, distortion ${stop.distortion.toFixed(2)} nats`,
    });
    point.addEventListener("click", () => choose(i));
    point.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key !== "Enter" && event.key !== " ") return;
      choose(i);
      event.preventDefault();
    });
    const text = svgElement("text", chart.above, "vw-stop-name", { x: at.cx + 8, y: at.cy - 6 });
    text.textContent = brief(stop.beta);
    return point;
  });
  return {
    /** @type {(chosen: number) => void} */
    draw(chosen) {
      points.forEach((point, i) => point.classList.toggle("vw-chosen", i === chosen));
      const { rate, distortion } = stops[chosen], [low, high] = chart.x.range();
      const along = [low, high];
      same.setAttribute("d", chart.line(along, along.map((u) => distortion + rate - u)));
    },
  };
}

/** @param {Node} parent @param {Stop[]} stops */
export function makeRates(parent, stops) {
  const count = stops[0].kl.length;
  const highest = roundUp(Math.max(0.1, ...stops.flatMap(({ kl }) => kl)));
  const every = Math.ceil(count / 10);
  const chart = makeChart({
    width: 222, height: 200, margin: { left: 40, right: 8 }, label: "KL of each latent dimension, largest first",
    x: {
      title: "dimension, by its KL", range: [0.4, count + 0.6],
      ticks: Array.from({ length: count }, (_, i) => ({ value: i + 1, text: i % every ? "" : String(i + 1) })),
    },
    y: { title: "KL, nats", range: [0, highest] },
  });
  parent.appendChild(chart.svg);
  const bars = stops[0].kl.map((_, i) => chart.add("rect", "vw-rate", {
    x: chart.x(i + 0.65), width: chart.x(1.7) - chart.x(1),
  }));
  return {
    /** @type {(stop: Stop) => void} */
    draw({ kl, active }) {
      const order = kl.map((_, i) => i).sort((i, j) => kl[j] - kl[i]);
      order.forEach((dimension, i) => {
        const top = Math.min(chart.y(kl[dimension]), chart.y(0) - 3);
        setAttributes(bars[i], { y: top, height: chart.y(0) - top });
        bars[i].classList.toggle("vw-dead", !active[dimension]);
      });
    },
  };
}

const WIDTH = 448;

// Rows of pictures, one canvas each. The page has the pixels of all stops, so that the dial needs no kernel.
/** @param {Model<BetaTraits>} model @param {HTMLElement} parent */
export function makeRows(model, parent) {
  /** @type {HTMLCanvasElement[]} */
  let canvases = [];
  /** @type {(chosen: number) => void} */
  const draw = (chosen) => {
    const [rows, height, width, channels] = model.get("shape"), data = model.get("pixels");
    if (canvases.length !== rows) {
      parent.replaceChildren();
      const decoded = ["reconstructions", "samples: the mean image", "samples: pixels drawn from it"];
      const names = model.get("originals") ? ["the images", ...decoded] : decoded;
      canvases = names.map((name) => {
        htmlElement("div", parent, "vw-note", { textContent: name });
        return makePicture(parent, WIDTH, name);
      });
    }
    const size = height * width * channels;
    if (data.byteLength < size * rows * (chosen + 1)) return;
    canvases.forEach((canvas, i) => {
      const from = data.byteOffset + (chosen * rows + i) * size;
      paint(canvas, fromBytes(new Uint8Array(data.buffer, from, size), width, height, channels));
      canvas.style.imageRendering = WIDTH % width ? "auto" : "pixelated";
    });
  };
  return { draw };
}
