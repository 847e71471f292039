// GapBar in the page: q over the exact posterior, log p(x) as a bar in two parts, and the bound L_k.

import { makeChart, makeHandle } from "../_core/chart.js";
import { htmlElement } from "../_core/elements.js";
import { makeKnob } from "../_core/knob.js";
import {
  bestDiagonal, covarianceOf, elboOf, estimator, exactPosterior, klTo, logWeights, radians, shortfalls, solve,
} from "./linear_gaussian.js";
import { change as changeOf, listen } from "../_core/model.js";
import { normals } from "./counter_noise.js";
import { brief, clamp, fixed, replaced } from "../_core/numbers.js";
import { makeHatch, setAttributes, svgElement } from "../_core/svg.js";

/** @import { Chart } from "../_core/chart.js" */
/** @import { KnobOptions } from "../_core/knob.js" */
/** @import { Estimate, Gaussian, Solved } from "./linear_gaussian.js" */
/** @import { Context, Model } from "../_core/model.js" */
/**
 * @typedef {{
 *   mean: number[], sigma: number[], angle: number, full: boolean, theta: number, x: number[], k: number, seed: number,
 *   draws: number, ranges: { [name in "mean" | "sigma" | "angle" | "theta" | "x" | "k"]: number[] },
 * }} Traits
 */
/** @typedef {(values: Partial<Traits>) => void} Change */
/**
 * All that is drawn of one state of the model.
 * @typedef {{
 *   model: Solved, q: Gaussian, full: boolean, gap: number, logP: number, elbo: number, unavoidable: number,
 *   depth: number, estimate: (k: number) => Estimate, bound: (k: number) => number,
 * }} State
 */

const KS = [1, 2, 5, 10, 20, 50, 100, 200, 500];
const CURVE_KS = [1, 2, 3, 4, 5, 7, 10, 14, 20, 30, 50, 70, 100, 140, 200, 300, 500];

/** @type {(context: Context<Traits>) => () => void} */
function render({ model, el }) {
  el.classList.add("vw-gap");
  /** @type {Change} */
  const change = (values) => changeOf(model, values);
  // Two positions of a slider may round to the same k. Then the next k is taken.
  /** @type {(value: number) => void} */
  const changeK = (value) => {
    const k = model.get("k"), range = model.get("ranges").k, wanted = clamp(Math.round(value), range);
    change({ k: wanted !== k ? wanted : clamp(k + Math.sign(value - k), range) });
  };

  const top = htmlElement("div", el, "vw-gap-top");
  const plane = makeGapPlane(model, htmlElement("div", top), change);
  const side = htmlElement("div", top);
  const charts = htmlElement("div", side, "vw-gap-charts");
  const bar = makeGapBar(htmlElement("div", charts));
  const climb = makeClimb(model, htmlElement("div", charts), changeK);
  const turned = makeTurned(model, htmlElement("div", side), change);
  const knobs = makeGapKnobs(model, htmlElement("div", el, "vw-gap-knobs"), change, changeK);
  const lines = makeGapLines(htmlElement("div", el, "vw-state"));

  const drawK = () => {
    if (!solved) return;
    const k = model.get("k"), exact = solved.bound(k);
    const estimate = solved.estimate(k);
    climb.place(k, exact, estimate);
    bar.mark(k, exact);
    knobs.show();
    lines.show(solved, k, exact, estimate);
  };
  /** @type {State | undefined} */
  let solved;
  let seed = NaN, epsilon = normals(0, 0);
  const draw = () => {
    if (model.get("seed") !== seed) {
      seed = model.get("seed");
      epsilon = normals(seed, 2 * model.get("draws"));
    }
    const theta = model.get("theta"), full = model.get("full"), exact = solve({ theta, x: model.get("x") });
    const q = { mean: model.get("mean"), sigma: model.get("sigma"), angle: model.get("angle") };
    const gap = klTo(exact, q), shortfall = shortfalls(exact, q);
    solved = {
      model: exact, q, full, gap, logP: exact.logP, elbo: elboOf(exact, q),
      unavoidable: full ? 0 : exact.unavoidable, depth: depthFor(gap),
      estimate: estimator(logWeights(exact, q, epsilon)), bound: (k) => exact.logP - shortfall(k),
    };
    plane.draw(solved);
    bar.draw(solved);
    climb.draw(solved);
    turned.draw();
    drawK();
  };
  // Values of one message are drawn once.
  let due = false, closed = false;
  const soon = () => {
    if (due) return;
    due = true;
    queueMicrotask(() => {
      due = false;
      if (!closed) draw();
    });
  };
  const names = ["mean", "sigma", "angle", "full", "theta", "x", "seed"];
  const deafen = listen(model, [[names.map((name) => `change:${name}`).join(" "), soon], ["change:k", drawK]]);
  draw();
  return () => {
    closed = true;
    deafen();
  };
}

// How far below log p(x) the axes go. It stays while q moves a little.
/** @type {(gap: number) => number} */
const depthFor = (gap) => 2 ** Math.ceil(Math.log2(Math.max(1, 1.25 * gap)));
/** @type {(chart: Chart, logP: number, depth: number) => void} */
function setDepth(chart, logP, depth) {
  const range = [logP - depth, logP + 0.12 * depth];
  // Drawing the axes takes longer than all the rest.
  if (chart.y.range().join() !== range.join()) chart.setRange("y", range);
}
/** @type {(value: number, digits?: number) => string} */
const nats = (value, digits = 4) => fixed(value, digits);

// --- the plane: q, and the posterior under it

/** @param {Model<Traits>} model @param {HTMLElement} parent @param {Change} change */
function makeGapPlane(model, parent, change) {
  const ranges = model.get("ranges");
  const chart = makeChart({
    width: 384, height: 374, square: true,
    label: "The plane: ellipses of 1 and 2 sigma of q, over those of the exact posterior",
    x: { title: "z1", range: ranges.mean }, y: { title: "z2", range: ranges.mean },
  });
  parent.appendChild(chart.svg);
  const unit = [[1, 0], [0, 1]];
  ["39 %", "86 %"].forEach((mass, k) => {
    chart.add("path", "vw-prior", { d: chart.ellipse([0, 0], unit, k + 1) });
    const text = chart.add("text", "vw-mass", { "text-anchor": "middle", x: chart.x(0), y: chart.y(k + 1) - 4 });
    text.textContent = mass;
  });
  const exact = [2, 1].map((k) => chart.add("path", `vw-exact vw-ellipse-${k}`));
  const cloud = [1, 2].map((k) => chart.add("path", `vw-ellipse vw-ellipse-${k}`));

  /** @type {(i: number) => number[]} */
  const axis = (i) => {
    const turn = radians(model.get("angle")) + (i * Math.PI) / 2;
    return [Math.cos(turn), Math.sin(turn)];
  };
  const sigmaHandles = [0, 1].map((i) => {
    return makeHandle(chart, {
      label: `sigma${i + 1} of q: arrow keys stretch it, and turn it where it may turn`,
      className: "vw-handle-sigma",
      at: () => axis(i).map((c, j) => model.get("mean")[j] + c * model.get("sigma")[i]),
      move: (u, v) => {
        const way = [u - model.get("mean")[0], v - model.get("mean")[1]], [a, b] = axis(i);
        const along = model.get("full") ? Math.hypot(...way) : a * way[0] + b * way[1];
        change({ sigma: replaced(model.get("sigma"), i, clamp(along, ranges.sigma)) });
        if (model.get("full") && along > 1e-9) {
          const angle = Math.atan2(way[1], way[0]) / radians(1) - 90 * i;
          change({ angle: angle < -180 ? angle + 360 : angle });
        }
      },
      step: [0.02, 0.02],
      text: () => `sigma${i + 1} = ${brief(model.get("sigma")[i])}`,
      brief: () => `the handle of sigma${i + 1}`,
      radius: 6,
    });
  });
  const meanHandle = makeHandle(chart, {
    label: "mean of q: arrow keys move it",
    at: () => model.get("mean"),
    move: (u, v) => change({ mean: [u, v].map((value) => clamp(value, ranges.mean)) }),
    step: [0.05, 0.05],
    anywhere: true,
    className: "vw-handle-mu",
  });
  sigmaHandles.forEach(({ ring }) => chart.above.append(ring));

  const legend = htmlElement("div", parent, "vw-legend vw-note");
  for (const [name, text] of [["vw-exact", "exact posterior p(z|x)"], ["vw-ellipse", "q"], ["vw-prior", "prior, 39 % and 86 %"]]) {
    const item = htmlElement("span", legend);
    const swatch = svgElement("svg", item, "vw-swatch", { width: 22, height: 14, "aria-hidden": "true" });
    svgElement("ellipse", swatch, name, { cx: 11, cy: 7, rx: 9.5, ry: 5.5 });
    item.append(` ${text}`);
  }
  htmlElement("span", legend, "", { textContent: "solid 1 sigma, dashed 2 sigma" });
  return {
    /** @type {(state: State) => void} */
    draw({ model: { mean, covariance }, q }) {
      exact.forEach((path, k) => path.setAttribute("d", chart.ellipse(mean, covariance, 2 - k)));
      cloud.forEach((path, k) => path.setAttribute("d", chart.ellipse(q.mean, covarianceOf(q), k + 1)));
      [meanHandle, ...sigmaHandles].forEach((handle) => handle.place());
      // A handle on top of the mean would hide it from the pointer.
      sigmaHandles.forEach(({ ring }, i) => {
        ring.style.pointerEvents = q.sigma[i] * (chart.x(1) - chart.x(0)) < 10 ? "none" : "";
      });
    },
  };
}

// --- the bar

/** @param {Node} parent */
function makeGapBar(parent) {
  const [LEFT, RIGHT] = [0.06, 0.44];
  const chart = makeChart({
    width: 178, height: 252, margin: { left: 52, right: 4, bottom: 30 },
    label: "The bar log p(x), split into the ELBO and the gap",
    x: { range: [0, 1], ticks: [] }, y: { title: "nats", range: [-1, 0] },
  });
  parent.appendChild(chart.svg);
  const hatch = makeHatch(chart.svg, "vw-missed");
  const parts = ["vw-reached", "vw-missed", "vw-unavoidable"].map((name) => {
    const part = chart.add("rect", `vw-bar ${name}`, { x: chart.x(LEFT), width: chart.x(RIGHT) - chart.x(LEFT) });
    if (name === "vw-missed") part.setAttribute("fill", hatch);
    return part;
  });
  const mark = chart.add("path", "vw-bound-mark");
  const texts = ["log p(x)", "gap", "ELBO"].map((name) => {
    const text = svgElement("text", chart.above, "vw-gap-label");
    const [head, number] = [0, 15].map((dy) => svgElement("tspan", text, dy ? "vw-number" : "", { x: chart.x(RIGHT) + 7, dy }));
    head.textContent = name;
    return { text, number };
  });
  return {
    /** @type {(state: State) => void} */
    draw({ logP, elbo, gap, unavoidable, depth }) {
      setDepth(chart, logP, depth);
      const bottom = chart.y(logP - depth), reached = Math.min(bottom, chart.y(elbo));
      const best = chart.y(logP - unavoidable), height = chart.y(logP);
      [[reached, bottom], [Math.min(best, reached), reached], [height, best]].forEach(([from, to], i) => {
        setAttributes(parts[i], { y: from, height: Math.max(0, to - from) });
      });
      const middle = Math.max(height + 28, (height + reached) / 2 - 4);
      [height - 4, middle, Math.max(middle + 34, (reached + bottom) / 2)].forEach((y, i) => {
        setAttributes(texts[i].text, { y: Math.min(y, bottom - 18 * (2 - i) - 18) });
        texts[i].number.textContent = nats([logP, gap, elbo][i], 3);
      });
    },
    /** @type {(k: number, bound: number) => void} */
    mark(k, bound) {
      const y = chart.y(bound);
      mark.setAttribute("d", k === 1 ? "" : `M${chart.x(LEFT) - 3},${y}H${chart.x(RIGHT) + 3}`);
    },
  };
}

// --- L_k against k

/** @param {Model<Traits>} model @param {Node} parent @param {(k: number) => void} changeK */
function makeClimb(model, parent, changeK) {
  const range = model.get("ranges").k;
  const chart = makeChart({
    width: 266, height: 252, margin: { left: 44, right: 14 }, label: "The importance-weighted bound L_k over k",
    x: { title: "k, samples in the bound L_k", range, log: 10, ticks: [1, 2, 5, 10, 20, 50, 100, 500].map((value) => ({ value, text: String(value) })) },
    y: { range: [-1, 0] },
  });
  parent.appendChild(chart.svg);
  const height = chart.add("path", "vw-log-p"), curve = chart.add("path", "vw-curve");
  const whiskers = KS.map(() => chart.add("path", "vw-whisker"));
  const dots = KS.map(() => chart.add("circle", "vw-estimate", { r: 3 }));
  const own = chart.add("path", "vw-whisker vw-own");
  let bound = 0;
  const handle = makeHandle(chart, {
    label: "k: arrow keys change it",
    at: () => [model.get("k"), bound],
    move: (u) => changeK(u),
    step: [1, 0],
    text: () => `k = ${model.get("k")}`,
    anywhere: true,
  });
  /** @type {(k: number, estimate: Estimate) => string} */
  const whisker = (k, { value, error }) => (
    `M${chart.x(k) - 3},${chart.y(value - 2 * error)}h6m-3,0V${chart.y(value + 2 * error)}m-3,0h6`
  );
  return {
    /** @type {(state: State) => void} */
    draw({ logP, depth, bound: boundAt, estimate: estimateAt }) {
      setDepth(chart, logP, depth);
      height.setAttribute("d", `M${chart.x(1)},${chart.y(logP)}H${chart.x(range[1])}`);
      curve.setAttribute("d", chart.line(CURVE_KS, CURVE_KS.map(boundAt)));
      KS.forEach((k, i) => {
        const estimate = estimateAt(k);
        whiskers[i].setAttribute("d", whisker(k, estimate));
        setAttributes(dots[i], { cx: chart.x(k), cy: chart.y(estimate.value) });
      });
    },
    /** @type {(k: number, exact: number, estimate: Estimate) => void} */
    place(k, exact, estimate) {
      bound = exact;
      own.setAttribute("d", whisker(k, estimate));
      handle.place();
    },
  };
}

// --- the gap of the best diagonal q, for every angle of the model

/** @param {Model<Traits>} model @param {Node} parent @param {Change} change */
function makeTurned(model, parent, change) {
  const chart = makeChart({
    width: 444, height: 128, margin: { left: 52, right: 14, top: 8 },
    label: "The gap of the best diagonal q, for every theta",
    x: { title: "theta, degrees: how far the model is turned", range: model.get("ranges").theta, ticks: [0, 15, 30, 45, 60, 75, 90].map((value) => ({ value, text: String(value) })) },
    y: { title: "nats", range: [0, 0.4], ticks: [0, 0.2, 0.4].map((value) => ({ value, text: value.toFixed(1) })) },
  });
  parent.appendChild(chart.svg);
  htmlElement("div", parent, "vw-note vw-gap-note", {
    textContent: "Above, the thick line across the bar is L_k. Here: the gap that is left to the best diagonal q. "
      + "log p(x) is the same for every theta.",
  });
  /** @type {(theta: number) => number} */
  const at = (theta) => solve({ theta, x: [0, 0] }).unavoidable;
  const thetas = Array.from({ length: 91 }, (_, i) => i);
  chart.add("path", "vw-curve", { d: chart.line(thetas, thetas.map(at)) });
  const handle = makeHandle(chart, {
    label: "theta: arrow keys turn the model",
    at: () => [model.get("theta"), at(model.get("theta"))],
    move: (u) => change({ theta: clamp(Math.round(u), model.get("ranges").theta) }),
    step: [1, 0],
    text: () => `theta = ${brief(model.get("theta"))} degrees`,
    anywhere: true,
  });
  return { draw: () => handle.place() };
}

// --- knobs, buttons and words

/**
 * @param {Model<Traits>} model @param {Node} parent @param {Change} change @param {(k: number) => void} changeK
 */
function makeGapKnobs(model, parent, change, changeK) {
  const ranges = model.get("ranges");
  const columns = ["the model, x and k", "q", "turning q"].map((name) => {
    const column = htmlElement("div", parent);
    htmlElement("div", column, "vw-title", { textContent: name });
    return column;
  });
  // A little less than the step, or rounding may leave the last one out.
  /** @type {(range: number[], count: number) => number} */
  const log = ([low, high], count) => ((Math.log10(high) - Math.log10(low)) / count) * (1 - 1e-9);
  /** @type {ReturnType<typeof makeKnob>[]} */
  const knobs = [];
  /** @type {(column: Node, options: KnobOptions) => ReturnType<typeof makeKnob>} */
  const knob = (column, options) => {
    const made = makeKnob(column, options);
    knobs.push(made);
    return made;
  };
  /**
   * @type {(
   *   column: Node, label: string, name: "x" | "mean" | "sigma", step: number, isLog?: boolean,
   * ) => void}
   */
  const pair = (column, label, name, step, isLog) => [0, 1].forEach((i) => knob(column, {
    label: `${label}${i + 1}`, range: ranges[name], step, log: isLog,
    get: () => model.get(name)[i], set: (value) => change({ [name]: replaced(model.get(name), i, value) }),
  }));
  knob(columns[0], {
    label: "theta, \u00b0", range: ranges.theta, step: 1,
    get: () => model.get("theta"), set: (value) => change({ theta: value }),
  });
  pair(columns[0], "x", "x", 0.05);
  knob(columns[0], {
    label: "k", range: ranges.k, step: log(ranges.k, 270), log: true, whole: true,
    get: () => model.get("k"), set: changeK,
  });
  pair(columns[1], "mu", "mean", 0.05);
  pair(columns[1], "sigma", "sigma", log(ranges.sigma, 160), true);

  const check = htmlElement("label", columns[2], "vw-check vw-knob");
  const box = htmlElement("input", check, "", { type: "checkbox" });
  check.append(" q may turn (full covariance)");
  box.addEventListener("change", () => change(box.checked ? { full: true } : { full: false, angle: 0 }));
  const angle = knob(columns[2], {
    label: "angle, \u00b0", range: ranges.angle, step: 1,
    get: () => model.get("angle"), set: (value) => change({ angle: value }),
  });
  const buttons = htmlElement("div", columns[2], "vw-buttons");
  const exact = () => solve({ theta: model.get("theta"), x: model.get("x") });
  for (const [name, press] of Object.entries({
    "best diagonal q": () => change(bestDiagonal(exact())),
    "exact posterior": () => change({ full: true, ...exactPosterior(exact()) }),
    "other draws": () => change({ seed: (model.get("seed") + 1) % 2 ** 31 }),
  })) {
    const button = htmlElement("button", buttons, "vw-button", { type: "button", textContent: name });
    button.addEventListener("click", press);
  }
  return {
    show() {
      knobs.forEach((made) => made.show());
      const full = model.get("full");
      box.checked = full;
      angle.row.querySelectorAll("input").forEach((input) => { input.disabled = !full; });
    },
  };
}

/** @param {Node} parent */
function makeGapLines(parent) {
  /** @type {{ [name: string]: HTMLElement }} */
  const numbers = {};
  // Text, and in lists the names of numbers.
  /** @type {(...parts: (string | [name: string])[]) => HTMLElement} */
  const line = (...parts) => {
    const row = htmlElement("div", parent);
    for (const part of parts) {
      if (typeof part === "string") row.append(part);
      else (numbers[part[0]] = htmlElement("b", row)).dataset.vwNumber = part[0];
    }
    return row;
  };
  line("log p(x) = ", ["log p"], " = ELBO ", ["ELBO"], " + gap ", ["gap"], " nats.");
  const diagonal = line("The best diagonal q would leave a gap of ", ["unavoidable"], " nats.");
  const reason = htmlElement("span", diagonal);
  line(
    "L_", ["k"], " = ", ["bound"], " nats by quadrature; estimated ", ["estimate"], " \u00b1 ", ["error"],
    " (standard error) from ", ["groups"], " groups of ", ["k again"], " draws. The chart's bars show two standard errors.",
  );
  return {
    /** @type {(state: State, k: number, exact: number, estimate: Estimate) => void} */
    show({ logP, elbo, gap, full, model }, k, exact, estimate) {
      const values = {
        "log p": nats(logP), ELBO: nats(elbo), gap: nats(gap), unavoidable: nats(model.unavoidable),
        k, bound: nats(exact, 3), estimate: nats(estimate.value, 3), error: nats(estimate.error, 3),
        groups: estimate.groups.toLocaleString("en"), "k again": k,
      };
      for (const [name, value] of Object.entries(values)) numbers[name].textContent = String(value);
      reason.textContent = full ? " A q that may turn can leave none." : "";
    },
  };
}

export default { render };
