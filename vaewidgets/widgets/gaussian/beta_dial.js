// BetaDial in the page: water over the variances of a linear model, and the same dial over trained models.

import { makeChart, makeHandle } from "../_core/chart.js";
import { htmlElement } from "../_core/elements.js";
import { makeKnob } from "../_core/knob.js";
import { waterFilling } from "./linear_gaussian.js";
import { change as changeOf, listen } from "../_core/model.js";
import { brief, clamp, fixed } from "../_core/numbers.js";
import { setAttributes, svgElement } from "../_core/svg.js";
import { makeRates, makeRows, makeTradeOff, nearestStop } from "./beta_stops.js";

/** @import { KnobOptions } from "../_core/knob.js" */
/** @import { Context, Model } from "../_core/model.js" */
/** @import { BetaTraits } from "./beta_stops.js" */
/** @typedef {(values: Partial<BetaTraits>) => void} Change */
/** @typedef {"beta" | "noise"} Knob */

// What the slider of the noise and the axis of the variances range over.
const NOISES = [1 / 16, 2], AXIS = [2 ** -6, 2 ** 4];
const VARIANCES = ["1/64", "1/32", "1/16", "1/8", "1/4", "1/2", "1", "2", "4", "8", "16"];

/** @type {(context: Context<BetaTraits>) => () => void} */
function render({ model, el }) {
  el.classList.add("vw-beta");
  const stops = model.get("stops");
  const betas = [Math.min(0.25, stops[0].beta), Math.max(8, stops[stops.length - 1].beta)];
  /** @type {Change} */
  const change = (values) => changeOf(model, values);
  // Where the product is to stay, the other knob moves too, as far as it can. Returns a message if it cannot.
  /** @type {(name: Knob, other: Knob, called: string, range: number[]) => (value: number) => string} */
  const turn = (name, other, called, range) => (value) => {
    const wanted = snapped(value);
    if (!model.get("linked")) {
      change({ [name]: wanted });
      return "";
    }
    const product = model.get("beta") * model.get("noise");
    const given = clamp(snapped(product / wanted), range), kept = clamp(snapped(product / given), model.get("domain"));
    change({ [name]: kept, [other]: given });
    return Math.abs(kept / wanted - 1) < 1e-6 ? "" : `${called} can go no further: beta \u00b7 s\u00b2 is kept`;
  };
  const turnBeta = turn("beta", "noise", "s\u00b2", NOISES), turnNoise = turn("noise", "beta", "beta", betas);

  const knobs = makeDialKnobs(model, htmlElement("div", el, "vw-beta-knobs"), change, [
    { label: "beta", range: betas, get: () => model.get("beta"), set: turnBeta },
    { label: "s\u00b2", range: NOISES, get: () => model.get("noise"), set: turnNoise },
  ]);
  const columns = htmlElement("div", el, "vw-beta-columns");
  const water = makeWater(model, htmlElement("div", columns, "vw-beta-left"), change, betas);
  const right = htmlElement("div", columns, "vw-beta-right");
  const heading = htmlElement("div", right, "vw-title");
  const rows = makeRows(model, htmlElement("div", right, "vw-beta-rows"));
  const caption = htmlElement("div", right, "vw-note");
  const buttons = htmlElement("div", right, "vw-buttons");
  for (const what of ["images", "samples"]) {
    const button = htmlElement("button", buttons, "vw-button", { type: "button", textContent: `other ${what}` });
    button.addEventListener("click", () => change({ asked: [what, (model.get("asked")[1] ?? 0) + 1] }));
  }
  const charts = htmlElement("div", right, "vw-beta-charts");
  const tradeOff = makeTradeOff(charts, stops, (i) => change({ beta: stops[i].beta }));
  const rates = makeRates(charts, stops);
  const measured = htmlElement("div", right, "vw-state");
  /** @type {{ [name: string]: HTMLElement }} */
  const numbers = {};
  /** @type {(parent: HTMLElement, ...parts: (string | [name: string])[]) => void} */
  const say = (parent, ...parts) => {
    for (const part of parts) {
      if (typeof part === "string") parent.append(part);
      else (numbers[part[0]] = htmlElement("b", parent)).dataset.vwNumber = part[0];
    }
  };
  say(
    measured, "rate ", ["rate"], " + distortion ", ["distortion"], " = ", ["minus ELBO"], " nats, so the ELBO is ", ["ELBO"],
    " nats: the same along the dotted line. ", ["active"], " of ", ["dimensions"], " dimensions are active (filled bars).",
  );

  let shown = -1;
  const drawTrained = () => {
    const beta = model.get("beta"), chosen = nearestStop(stops, beta), stop = stops[chosen];
    rows.draw(chosen);
    if (chosen !== shown) {
      shown = chosen;
      tradeOff.draw(chosen);
      rates.draw(stop);
      const values = {
        rate: fixed(stop.rate, 2), distortion: fixed(stop.distortion, 2), "minus ELBO": fixed(stop.rate + stop.distortion, 2),
        ELBO: fixed(-stop.rate - stop.distortion, 2), active: stop.active.filter(Boolean).length, dimensions: stop.kl.length,
      };
      for (const [name, value] of Object.entries(values)) numbers[name].textContent = String(value);
    }
    const exact = Math.abs(Math.log2(stop.beta / beta)) < 1e-6;
    heading.textContent = `Trained on ${model.get("dataset")} with beta = ${brief(stop.beta)}${exact ? "" : ", the nearest that was trained"}`;
    caption.textContent = model.get("originals")
      ? `Reconstructions of ${model.get("caption")}.`
      : `Reconstructions of ${model.get("caption")}, whose pictures are not on this machine: decoded from their mu.`;
  };
  const draw = () => {
    knobs.show();
    water.draw();
    drawTrained();
  };
  draw();
  return listen(model, [
    ["change:beta change:noise", draw], ["change:linked", knobs.show], ["change:pixels change:caption", drawTrained],
  ]);
}

// Steps of a 32nd of an octave. A slider counts in logarithms and rounds, but a dimension drowns exactly at its level.
const OCTAVE = 32;
/** @type {(value: number) => number} */
function snapped(value) {
  const near = 2 ** (Math.round(OCTAVE * Math.log2(value)) / OCTAVE);
  return Math.abs(near / value - 1) < 1e-6 ? near : value;
}

/**
 * @param {Model<BetaTraits>} model @param {HTMLElement} parent @param {Change} change
 * @param {Pick<KnobOptions, "label" | "range" | "get" | "set">[]} options
 */
function makeDialKnobs(model, parent, change, options) {
  const knobs = options.map(({ range, ...rest }) => makeKnob(parent, {
    // A little less than the step, or rounding may leave the last one out.
    ...rest, range, domain: model.get("domain"), log: true, step: (Math.log10(2) / OCTAVE) * (1 - 1e-9),
  }));
  const check = htmlElement("label", parent, "vw-check");
  const box = htmlElement("input", check, "", { type: "checkbox" });
  check.append(" keep beta \u00b7 s\u00b2");
  box.addEventListener("change", () => change({ linked: box.checked }));
  return {
    show() {
      knobs.forEach((knob) => knob.show());
      box.checked = model.get("linked");
    },
  };
}

/**
 * @param {Model<BetaTraits>} model @param {HTMLElement} parent @param {Change} change @param {number[]} betas
 */
function makeWater(model, parent, change, betas) {
  htmlElement("div", parent, "vw-title", { textContent: "The best linear model, solved" });
  const eigenvalues = model.get("eigenvalues"), count = eigenvalues.length;
  const chart = makeChart({
    width: 384, height: 344, margin: { right: 14 },
    label: "Variances of the data, and the water level beta s squared",
    x: { title: "dimension", range: [0.4, count + 0.6], ticks: eigenvalues.map((_, i) => ({ value: i + 1, text: String(i + 1) })) },
    y: { title: "variance (each doubling is half a bit)", range: AXIS, log: 2, ticks: VARIANCES.map((text, i) => ({ value: 2 ** (i - 6), text })) },
  });
  parent.append(chart.svg);
  const bottom = chart.y(AXIS[0]);
  const place = { width: chart.x(1.7) - chart.x(1) };
  const bars = eigenvalues.map((value, i) => ["vw-told", "vw-drowned"].map((name) => (
    chart.add("rect", `vw-bar ${name}`, { ...place, x: chart.x(i + 0.65) })
  )));
  const sea = chart.add("rect", "vw-water", { x: chart.area.left, width: chart.area.width });
  const surface = chart.add("path", "vw-surface");
  const texts = eigenvalues.map((_, i) => svgElement("text", chart.above, "vw-bits", { x: chart.x(i + 1), "text-anchor": "middle" }));
  const name = svgElement("text", chart.above, "vw-level-name", { x: chart.area.left + chart.area.width - 14, "text-anchor": "end" });
  const level = () => model.get("beta") * model.get("noise");
  const handle = makeHandle(chart, {
    label: "the water level: arrow keys move beta",
    at: () => [count + 0.45, level()],
    move: (_, v, dragged) => change({ beta: clamp(v / model.get("noise"), dragged ? betas : model.get("domain")) }),
    step: () => [0, level() * (2 ** (1 / OCTAVE) - 1)],
    text: () => `beta times s squared = ${brief(level())}`,
  });

  const table = htmlElement("table", parent, "vw-numbers vw-beta-numbers");
  /** @type {{ [label: string]: { digits: number | null, cells: HTMLElement[] } }} */
  const cells = {};
  for (const label of ["variance", "bits", "error left"]) {
    const digits = label === "variance" ? null : 3;
    const row = htmlElement("tr", table);
    htmlElement("th", row, "", { textContent: label });
    cells[label] = { digits, cells: [...eigenvalues.map((_, i) => `${i + 1}`), "all"].map((key) => {
      const cell = htmlElement("td", row);
      cell.dataset.vwNumber = `${label} ${key}`;
      return cell;
    }) };
  }
  /** @type {(label: string, values: number[]) => void} */
  const fill = (label, values) => {
    const { digits, cells: row } = cells[label];
    [...values, values.reduce((sum, value) => sum + value, 0)].forEach((value, i) => {
      row[i].textContent = digits === null ? brief(value) : fixed(value, digits);
    });
  };
  fill("variance", eigenvalues);
  const state = htmlElement("div", parent, "vw-state");
  return {
    draw() {
      const height = level(), bits = waterFilling(eigenvalues, height).map((nats) => nats / Math.LN2);
      const water = chart.y(clamp(height, AXIS));
      eigenvalues.forEach((value, i) => {
        const top = chart.y(value), line = Math.max(top, water);
        [[top, line], [line, bottom]].forEach(([from, to], part) => {
          setAttributes(bars[i][part], { y: from, height: Math.max(0, to - from) });
        });
        setAttributes(texts[i], { y: bits[i] > 0 ? top - 6 : top + 16 });
        texts[i].textContent = `${fixed(bits[i], bits[i] > 0 ? 2 : 0)} bit`;
        texts[i].classList.toggle("vw-under", !(bits[i] > 0));
      });
      setAttributes(sea, { y: water, height: Math.max(0, bottom - water) });
      surface.setAttribute("d", `M${chart.area.left},${water}h${chart.area.width}`);
      setAttributes(name, { y: water < chart.area.top + 22 ? water + 16 : water - 6 });
      name.textContent = clamp(height, AXIS) === height ? `beta \u00b7 s\u00b2 = ${brief(height)}` : "";
      handle.place();
      fill("bits", bits);
      fill("error left", eigenvalues.map((value) => Math.min(value, height)));
      const above = bits.filter((value) => value > 0).length;
      state.textContent = `beta = ${brief(model.get("beta"))}, s\u00b2 = ${brief(model.get("noise"))}: the water stands at `
        + `${brief(height)}. ${above} of ${count} dimensions are above it and tell ${fixed(bits.reduce((a, b) => a + b, 0), 3)} bits.`;
    },
  };
}

export default { render };
