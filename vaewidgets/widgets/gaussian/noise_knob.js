// NoiseKnob in the page: the noise as an arrow from mu to z, and two estimators of a gradient.

import { makeChart, makeHandle } from "../_core/chart.js";
import { makeCloud, makeCloudKnobs, makePictures } from "./gaussian_view.js";
import { htmlElement } from "../_core/elements.js";
import { exactGradient, pathwiseGradient, scoreGradient, summary } from "./gradients.js";
import { makeKnob } from "../_core/knob.js";
import { change as changeOf, listen } from "../_core/model.js";
import { normals } from "./counter_noise.js";
import { clamp, fixed, formatPoint, replaced, roundUp } from "../_core/numbers.js";
import { makePicture } from "../_core/pixels.js";
import { setAttributes } from "../_core/svg.js";

/** @import { Chart } from "../_core/chart.js" */
/** @import { CloudTraits } from "./gaussian_view.js" */
/** @import { Context, Model } from "../_core/model.js" */
/**
 * @typedef {CloudTraits & {
 *   epsilon: number[], frozen: boolean, redraws: number, most_draws: number, phi: number, draws: number, seed: number,
 *   phi_range: number[],
 * }} Traits
 */
/** @typedef {(values: Partial<Traits>) => void} Save */

const EPSILON_RANGE = [-3, 3];
const BINS = 60;
// How far the histograms go to each side of the exact gradient, in standard deviations of the wider one: both
// have their long tail on the right.
const TAILS = [1.2, 2.8];

/** @type {(context: Context<Traits>) => () => void} */
function render({ model, el }) {
  el.classList.add("vw-noise");
  /** @type {Save} */
  const save = (values) => changeOf(model, values);
  const fresh = () => {
    const redraws = (model.get("redraws") % model.get("most_draws")) + 1;
    return { redraws, epsilon: [...normals(2 * model.get("seed"), 2 * redraws).subarray(-2)] };
  };
  // If epsilon is not frozen, every move of q draws a new one.
  /** @type {Save} */
  const change = (values) => save(model.get("frozen") ? values : { ...values, ...fresh() });

  const top = htmlElement("div", el, "vw-noise-top");
  const cloud = makeCloud(model, {
    width: 396, change, label: "The plane: the cloud's ellipses, and an arrow from mu to z",
  });
  top.append(cloud.frame);
  const arrow = makeArrow(model, cloud, save);
  const side = htmlElement("div", top, "vw-noise-side");
  const knobs = makeCloudKnobs(model, side, change);
  const noises = [0, 1].map((i) => makeKnob(side, {
    label: `epsilon${i + 1}`, range: EPSILON_RANGE, domain: [-1e6, 1e6], step: 0.01,
    get: () => model.get("epsilon")[i],
    set: (value) => save({ epsilon: replaced(model.get("epsilon"), i, value) }),
  }));
  const row = htmlElement("div", side, "vw-buttons");
  const redraw = makeButton(row, "draw a new epsilon", () => save(fresh()));
  redraw.title = "From the seeded stream that knob.redraw() draws from too";
  const label = htmlElement("label", row, "vw-check");
  const frozen = htmlElement("input", label, "", { type: "checkbox" });
  frozen.addEventListener("change", () => save({ frozen: frozen.checked }));
  label.append(" epsilon is frozen");
  const seen = htmlElement("div", side, "vw-noise-seen");
  const canvas = makePicture(seen, 112, "");
  const equations = htmlElement("div", seen, "vw-noise-equations");
  htmlElement("div", equations, "vw-title", { textContent: "z = mu + sigma \u00b7 epsilon" });
  const lines = [0, 1].map(() => htmlElement("div", equations, "vw-state"));
  const state = htmlElement("div", equations, "vw-note");
  const pictures = makePictures(model, [canvas]);

  const gradients = makeGradients(model, htmlElement("div", el), save);

  const draw = () => {
    const mu = model.get("mu"), sigma = model.get("sigma"), epsilon = model.get("epsilon");
    const z = pointOf(model);
    cloud.draw();
    arrow.draw();
    knobs.show();
    noises.forEach((knob) => knob.show());
    frozen.checked = model.get("frozen");
    pictures.show([z]);
    canvas.setAttribute("aria-label", `decoded picture of z = ${formatPoint(z)}`);
    lines.forEach((line, i) => {
      line.textContent = `z${i + 1} = ${fixed(mu[i], 3)} + ${fixed(sigma[i], 3)} \u00b7 (${fixed(epsilon[i], 3)})`
        + ` = ${fixed(z[i], 3)}`;
    });
    state.textContent = model.get("frozen")
      ? "Epsilon is frozen: z slides as mu and sigma move."
      : "Every move of mu or sigma draws a new epsilon: z jumps.";
    if (epsilon.some((value) => EPSILON_RANGE.includes(value))) {
      state.textContent += ` A drag takes epsilon no further than ${EPSILON_RANGE[1]}; in its box any number may be typed.`;
    }
  };
  const setWeights = () => {
    pictures.setWeights();
    draw();
  };
  const deafen = listen(model, [
    ["change:mu change:sigma change:epsilon change:frozen change:pixels", draw], ["change:networks", setWeights],
    ["change:phi change:draws change:seed", gradients.draw],
  ]);
  draw();
  gradients.draw();
  return () => {
    cloud.close();
    deafen();
  };
}

/** @type {(parent: Node, text: string, press: () => void) => HTMLButtonElement} */
function makeButton(parent, text, press) {
  const made = htmlElement("button", parent, "vw-button", { type: "button", textContent: text });
  made.addEventListener("click", press);
  return made;
}

/** @type {(model: Model<Traits>) => number[]} */
const pointOf = (model) => model.get("mu").map((m, i) => m + model.get("sigma")[i] * model.get("epsilon")[i]);

// The arrow from mu to z, and a handle at its tip that moves the noise.
/** @param {Model<Traits>} model @param {{ chart: Chart }} cloud @param {Save} save */
function makeArrow(model, { chart }, save) {
  const shaft = chart.add("line", "vw-arrow");
  const tip = chart.add("path", "vw-arrow-tip");
  const handle = makeHandle(chart, {
    label: "z: arrow keys change epsilon",
    at: () => pointOf(model),
    move: (u, v, dragged) => {
      const [mu, sigma] = [model.get("mu"), model.get("sigma")];
      const epsilon = [u, v].map((value, i) => (value - mu[i]) / sigma[i]);
      // With a small sigma a short drag would make epsilon thousands. So a drag is clamped, and `state` says so.
      save({ epsilon: dragged ? epsilon.map((value) => clamp(value, EPSILON_RANGE)) : epsilon });
    },
    step: () => model.get("sigma").map((s) => 0.05 * s),
    text: () => `z = ${pointOf(model).map((v) => v.toFixed(2)).join(", ")}`,
    className: "vw-handle-z",
    radius: 5,
  });
  return {
    draw() {
      const [from, to] = [model.get("mu"), pointOf(model)].map(([u, v]) => [chart.x(u), chart.y(v)]);
      const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
      const [cos, sin] = length ? [(to[0] - from[0]) / length, (to[1] - from[1]) / length] : [1, 0];
      setAttributes(shaft, { x1: from[0], y1: from[1], x2: to[0], y2: to[1] });
      const size = Math.min(14, length);
      /** @type {(side: number) => number[]} */
      const barb = (side) => [to[0] - size * cos - side * size * 0.45 * sin, to[1] - size * sin + side * size * 0.45 * cos];
      tip.setAttribute("d", `M${barb(1)}L${to}L${barb(-1)}Z`);
      handle.place();
      // On top of mu it would hide mu from the pointer.
      handle.ring.style.pointerEvents = length < 10 ? "none" : "";
    },
  };
}

// The histograms of both estimators, of the same draws of noise, and the table of their numbers.
/** @param {Model<Traits>} model @param {HTMLElement} parent @param {Save} save */
function makeGradients(model, parent, save) {
  htmlElement("div", parent, "vw-title", {
    textContent: "Two ways to the gradient d/dphi of E f(z):  f(z) = z\u00b2 + sin z,  z = mu + sigma \u00b7 epsilon,  "
      + "mu = phi\u00b3,  sigma = e^phi",
  });
  const row = htmlElement("div", parent, "vw-buttons");
  const phi = makeKnob(row, {
    label: "phi", range: model.get("phi_range"), step: 0.01, get: () => model.get("phi"), set: (value) => save({ phi: value }),
  });
  const most = model.get("most_draws");
  for (const count of [1, 100, 10_000]) {
    makeButton(row, `+${count.toLocaleString("en")}`, () => save({ draws: Math.min(most, model.get("draws") + count) }))
      .setAttribute("aria-label", `${count} more draws`);
  }
  makeButton(row, "clear", () => save({ draws: 0 }));
  const pair = htmlElement("div", parent, "vw-noise-pair");
  const histograms = [
    ["pathwise: f'(z) dz/dphi", "vw-pathwise"], ["score function: f(z) d/dphi ln q(z)", "vw-score"],
  ].map(([title, name]) => makeDrawHistogram(pair, title, name));
  const table = htmlElement("table", parent, "vw-numbers");
  const head = htmlElement("tr", table);
  for (const text of ["estimator", "draws", "mean \u00b1 standard error", "exact mean", "sd of a draw", "exact sd", "beyond the axis"]) {
    htmlElement("th", head, "", { textContent: text });
  }
  const cells = ["pathwise", "score"].map((name, k) => {
    const line = htmlElement("tr", table);
    htmlElement("th", line, "", { textContent: ["pathwise", "score function"][k] });
    return ["draws", "mean", "exact", "sd", "exact sd", "beyond"].map((column) => {
      const cell = htmlElement("td", line);
      cell.dataset.vwNumber = `${name} ${column}`;
      return cell;
    });
  });
  const ratio = htmlElement("div", parent, "vw-state");

  /** @type {Float64Array} */
  let noise = new Float64Array(0);
  let seed = NaN;
  const draw = () => {
    const at = model.get("phi"), count = model.get("draws");
    if (noise.length < count || seed !== model.get("seed")) {
      seed = model.get("seed");
      noise = normals(2 * seed + 1, count);
    }
    const used = noise.subarray(0, count);
    const draws = [pathwiseGradient, scoreGradient].map((gradient) => used.map((e) => gradient(at, e)));
    const exact = exactGradient(at);
    phi.show();
    const range = [exact.gradient - TAILS[0] * exact.scoreSd, exact.gradient + TAILS[1] * exact.scoreSd];
    const counts = draws.map((values) => countBins(values, range));
    const high = roundUp(Math.max(4, ...counts.flatMap(({ bins }) => [...bins])));
    const says = draws.map(summary);
    histograms.forEach((histogram, k) => histogram.draw(counts[k].bins, range, high, exact.gradient, says[k].mean));
    /** @type {(value: number | null) => string} */
    const shown = (value) => (value === null ? "\u2013" : fixed(value, 4));
    cells.forEach((row, k) => {
      const { mean, sd, error } = says[k];
      const texts = [
        count.toLocaleString("en"), `${shown(mean)} \u00b1 ${shown(error)}`, fixed(exact.gradient, 6), shown(sd),
        fixed(k ? exact.scoreSd : exact.pathwiseSd, 4), counts[k].beyond.toLocaleString("en"),
      ];
      row.forEach((cell, column) => { cell.textContent = texts[column]; });
    });
    const [pathwise, score] = says;
    const seen = pathwise.sd && score.sd ? `${fixed((score.sd / pathwise.sd) ** 2, 4)} in these draws, ` : "";
    ratio.textContent = `Variance of the score function over that of the pathwise gradient: ${seen}`
      + `${fixed(exact.ratio, 6)} exactly.`
      + (count >= most ? ` ${most.toLocaleString("en")} draws are as many as it keeps.` : "");
  };
  return { draw };
}

/** @type {(values: Iterable<number>, range: number[]) => { bins: Int32Array, beyond: number }} */
export function countBins(values, [low, high]) {
  const bins = new Int32Array(BINS);
  let beyond = 0;
  for (const value of values) {
    const bin = Math.floor(((value - low) / (high - low)) * BINS);
    if (bin >= 0 && bin < BINS) bins[bin]++;
    else beyond++;
  }
  return { bins, beyond };
}

/** @param {Node} parent @param {string} title @param {string} name */
function makeDrawHistogram(parent, title, name) {
  const box = htmlElement("div", parent);
  htmlElement("div", box, "vw-note", { textContent: title });
  const chart = makeChart({
    width: 414, height: 176, margin: { left: 58 }, label: `Histogram of the ${title}`,
    x: { title: "gradient of one draw", range: [0, 1] }, y: { title: "draws", range: [0, 1] },
  });
  box.append(chart.svg);
  const bars = chart.add("path", `vw-bins ${name}`);
  const exactLine = chart.add("line", "vw-exact"), meanLine = chart.add("line", "vw-mean");
  const words = [exactLine, meanLine].map(() => chart.add("text", "vw-mass"));
  return {
    /** @type {(bins: Int32Array, range: number[], top: number, exact: number, mean: number | null) => void} */
    draw(bins, [low, high], top, exact, mean) {
      chart.setRanges({ x: [low, high], y: [0, top] });
      const width = (high - low) / BINS;
      bars.setAttribute("d", Array.from(bins, (count, i) => {
        const [left, right] = [chart.x(low + i * width), chart.x(low + (i + 1) * width)];
        return count ? `M${left},${chart.y(0)}V${chart.y(count)}H${right}V${chart.y(0)}Z` : "";
      }).join(""));
      /** @type {(line: SVGElement, word: SVGElement, value: number | null, text: string, side: number) => void} */
      const stand = (line, word, value, text, side) => {
        for (const node of [line, word]) node.style.display = value === null ? "none" : "";
        if (value === null) return;
        const at = chart.x(clamp(value, [low, high]));
        setAttributes(line, { x1: at, x2: at, y1: chart.y(0), y2: chart.y(top) });
        setAttributes(word, { x: at + 5 * side, y: chart.y(top) + 14, "text-anchor": side > 0 ? "start" : "end" });
        word.textContent = text;
      };
      stand(exactLine, words[0], exact, "exact", 1);
      stand(meanLine, words[1], mean, "mean", -1);
    },
  };
}

export default { render };
