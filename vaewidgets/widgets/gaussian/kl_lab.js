// KLLab in the page: a Gaussian that is dragged, its KL to the prior, and the integrand of the KL along an axis.

import { makeChart } from "../_core/chart.js";
import { makeCloud, makeCloudKnobs, makePictures } from "./gaussian_view.js";
import { htmlElement } from "../_core/elements.js";
import { klAreas, klIntegrand, klParts, klRoots } from "./kl.js";
import { change as changeOf, listen } from "../_core/model.js";
import { brief, fixed, roundUp } from "../_core/numbers.js";
import { makePicture } from "../_core/pixels.js";
import { makeHatch, setAttributes, svgElement, uniqueId } from "../_core/svg.js";

/** @import { CloudTraits } from "./gaussian_view.js" */
/** @import { Context, Model } from "../_core/model.js" */
/** @typedef {CloudTraits & { axis: string }} Traits */

const BITS = 1 / Math.LN2;
// Standard deviations of q to each side of its mean that the integrand is drawn for.
const SPREAD = 6;

/** @type {(context: Context<Traits>) => () => void} */
function render({ model, el }) {
  el.classList.add("vw-kl");
  /** @type {(values: Partial<Traits>) => void} */
  const change = (values) => changeOf(model, values);

  const top = htmlElement("div", el, "vw-kl-top");
  const cloud = makeCloud(model, {
    width: 396, change,
    label: "The plane: the cloud's ellipses of 1 and 2 sigma, against circles of 39 and 86 percent of the prior",
  });
  top.append(cloud.frame);
  const side = htmlElement("div", top, "vw-kl-side");
  const knobs = makeCloudKnobs(model, htmlElement("div", side), change);
  const costs = makeCosts(side);

  const bottom = htmlElement("div", el, "vw-kl-bottom");
  const integrand = makeIntegrand(model, htmlElement("div", bottom, "vw-kl-integrand"), change);
  const { cross, canvases } = makeCross(bottom);
  const zoomed = htmlElement("label", cross, "vw-check");
  const near = htmlElement("input", zoomed, "", { type: "checkbox" });
  near.addEventListener("change", () => {
    cloud.zoom(near.checked);
    cloud.draw();
  });
  zoomed.append(" zoom the plane to the cloud");
  const pictures = makePictures(model, canvases);
  const state = htmlElement("div", el, "vw-state");

  const draw = () => {
    const [mu, sigma] = [model.get("mu"), model.get("sigma")];
    cloud.draw();
    knobs.show();
    const total = costs.draw(mu, sigma);
    integrand.draw();
    pictures.show(crossPoints(mu, sigma));
    state.textContent = `mu = (${mu.map(brief).join(", ")}), sigma = (${sigma.map(brief).join(", ")}): `
      + `this cloud pays ${fixed(total, 4)} nats = ${fixed(total * BITS, 4)} bits.`;
  };
  const setWeights = () => {
    pictures.setWeights();
    draw();
  };
  const deafen = listen(model, [
    ["change:mu change:sigma change:pixels", draw], ["change:networks", setWeights], ["change:axis", integrand.draw],
  ]);
  draw();
  return () => {
    cloud.close();
    deafen();
  };
}

// Bars of offset and shape for each axis, and a table with their numbers.
/** @param {Node} parent */
function makeCosts(parent) {
  const chart = makeChart({
    width: 432, height: 124, margin: { left: 34, right: 22, top: 4 }, label: "What each axis costs, in nats: offset and shape",
    x: { title: "nats", range: [0, 1] },
    y: { range: [0.5, 2.5], ticks: [{ value: 2, text: "z1" }, { value: 1, text: "z2" }] },
  });
  parent.appendChild(chart.svg);
  const fill = makeHatch(chart.svg, "vw-shape");
  const bars = [0, 1].map(() => ["vw-offset", "vw-shape"].map((name) => {
    const bar = chart.add("rect", `vw-bar ${name}`, { height: 26 });
    if (name === "vw-shape") bar.setAttribute("fill", fill);
    return bar;
  }));
  const table = htmlElement("table", parent, "vw-numbers");
  const head = htmlElement("tr", table);
  htmlElement("th", head, "", { textContent: "axis" });
  for (const [name, text] of [["vw-offset", "offset, mu\u00b2/2"], ["vw-shape", "shape"]]) {
    const cell = htmlElement("th", head);
    const swatch = svgElement("svg", cell, "vw-swatch", { width: 14, height: 14, "aria-hidden": "true" });
    const square = svgElement("rect", swatch, `vw-bar ${name}`, { width: 14, height: 14 });
    if (name === "vw-shape") square.setAttribute("fill", makeHatch(swatch, name));
    cell.append(` ${text}`);
  }
  for (const text of ["KL in nats", "in bits"]) htmlElement("th", head, "", { textContent: text });
  const rows = ["z1", "z2", "both"].map((name) => {
    const row = htmlElement("tr", table);
    htmlElement("th", row, "", { textContent: name });
    return ["offset", "shape", "nats", "bits"].map((column) => {
      const cell = htmlElement("td", row);
      cell.dataset.vwNumber = `${column} ${name}`;
      return cell;
    });
  });
  htmlElement("div", parent, "vw-note", {
    textContent: "shape = (sigma\u00b2 \u2212 1 \u2212 ln sigma\u00b2)/2. All but the last column in nats.",
  });

  let end = 1;
  return {
    /** @type {(mu: number[], sigma: number[]) => number} */
    draw(mu, sigma) {
      const parts = mu.map((m, i) => klParts(m, sigma[i]));
      const both = { offset: 0, shape: 0, kl: 0 };
      for (const { offset, shape, kl } of parts) {
        both.offset += offset;
        both.shape += shape;
        both.kl += kl;
      }
      [...parts, both].forEach(({ offset, shape, kl }, i) => {
        [offset, shape, kl, kl * BITS].forEach((value, k) => { rows[i][k].textContent = fixed(value, 4); });
      });
      const wanted = roundUp(Math.max(1, ...parts.map(({ kl }) => kl)));
      if (wanted !== end) {
        end = wanted;
        chart.setRange("x", [0, end]);
      }
      parts.forEach(({ offset, kl }, i) => {
        [[0, offset], [offset, kl]].forEach(([from, to], k) => {
          setAttributes(bars[i][k], {
            x: chart.x(from), width: Math.max(0, chart.x(to) - chart.x(from)), y: chart.y(2 - i) - 13,
          });
        });
      });
      return both.kl;
    },
  };
}

// q ln(q/p) along one axis. The areas above and below zero have different shades.
/** @param {Model<Traits>} model @param {HTMLElement} parent @param {(values: Partial<Traits>) => void} change */
function makeIntegrand(model, parent, change) {
  const group = uniqueId("axis");
  const choice = htmlElement("div", parent, "vw-choice");
  choice.setAttribute("role", "radiogroup");
  choice.setAttribute("aria-label", "Axis of the integrand");
  htmlElement("span", choice, "vw-title", { textContent: "Where it is paid: q ln(q/p) along " });
  const radios = ["z1", "z2"].map((name) => {
    const label = htmlElement("label", choice, "vw-check");
    const radio = htmlElement("input", label, "", { type: "radio", name: group, value: name });
    radio.addEventListener("change", () => change({ axis: name }));
    label.append(` ${name}`);
    return radio;
  });
  const across = { title: "z1", range: [-4, 4] }, up = { title: "nats per unit", range: [-1, 1] };
  const chart = makeChart({ width: 560, height: 226, margin: { left: 58 }, label: "The integrand q ln(q/p)", x: across, y: up });
  parent.appendChild(chart.svg);
  const areas = ["vw-positive", "vw-negative"].map((name) => chart.add("path", `vw-area ${name}`));
  areas[1].setAttribute("fill", makeHatch(chart.svg, "vw-negative"));
  const curve = chart.add("path", "vw-curve");
  const legend = htmlElement("div", parent, "vw-legend");
  const numbers = ["vw-positive", "vw-negative"].map((name, k) => {
    const item = htmlElement("span", legend);
    const swatch = svgElement("svg", item, "vw-swatch", { width: 14, height: 14, "aria-hidden": "true" });
    const square = svgElement("rect", swatch, `vw-area ${name}`, { width: 14, height: 14 });
    if (k) square.setAttribute("fill", makeHatch(swatch, name));
    item.append(k ? " where q < p: " : " where q > p: ");
    const number = htmlElement("b", item);
    number.dataset.vwNumber = k ? "negative area" : "positive area";
    item.append(" nats");
    return number;
  });
  const sum = htmlElement("span", legend);
  sum.append("sum: ");
  const total = htmlElement("b", sum);
  total.dataset.vwNumber = "sum of areas";
  const unit = sum.appendChild(document.createTextNode(""));

  const draw = () => {
    const name = model.get("axis"), i = name === "z1" ? 0 : 1;
    const mu = model.get("mu")[i], sigma = model.get("sigma")[i];
    radios.forEach((radio) => { radio.checked = radio.value === name; });
    const inside = klRoots(mu, sigma).filter((e) => Math.abs(e) < SPREAD);
    const steps = Array.from({ length: 241 }, (_, k) => SPREAD * (k / 120 - 1));
    const es = [...steps, ...inside].sort((a, b) => a - b);
    const zs = es.map((e) => mu + sigma * e), ys = es.map((e) => klIntegrand(mu, sigma, e));
    across.title = name;
    up.title = `nats per unit of ${name}`;
    const high = roundUp(Math.max(0.05, ...ys)), low = -roundUp(Math.max(0.05 * high, ...ys.map((y) => -y)));
    chart.setRanges({ x: integrandRange(mu, sigma), y: [low, high] });
    curve.setAttribute("d", chart.line(zs, ys));
    [Math.max, Math.min].forEach((part, k) => {
      const closed = chart.line([zs[0], ...zs, zs[zs.length - 1]], [0, ...ys.map((y) => part(y, 0)), 0]);
      areas[k].setAttribute("d", `${closed}Z`);
    });
    const [positive, negative] = klAreas(mu, sigma);
    numbers[0].textContent = fixed(positive, 4);
    numbers[1].textContent = fixed(negative, 4);
    total.textContent = fixed(positive + negative, 4);
    unit.data = ` nats, the KL of ${name}`;
  };
  return { draw };
}

// The axis is about the prior if q is visible there, else about q. Its ends double, so that they stay in a short drag.
/** @type {(mu: number, sigma: number) => number[]} */
function integrandRange(mu, sigma) {
  /** @type {(needed: number) => number} */
  const half = (needed) => 4 * 2 ** Math.ceil(Math.log2(needed / 4));
  if (sigma >= 0.1) {
    const end = half(Math.max(4, Math.abs(mu) + 3.5 * sigma));
    return [-end, end];
  }
  const end = half(6 * sigma), middle = Math.round(mu / (end / 4)) * (end / 4);
  return [middle - end, middle + end];
}

// mu, and one sigma to the left, right, top and bottom of it.
/** @type {(mu: number[], sigma: number[]) => number[][]} */
const crossPoints = ([u, v], [s, t]) => [[u, v], [u - s, v], [u + s, v], [u, v + t], [u, v - t]];

/** @param {Node} parent */
function makeCross(parent) {
  const cross = htmlElement("div", parent, "vw-kl-cross");
  htmlElement("div", cross, "vw-title", { textContent: "Decoded at mu and 1 sigma away" });
  const grid = htmlElement("div", cross, "vw-kl-pictures");
  const names = ["mu", "mu1 \u2212 sigma1", "mu1 + sigma1", "mu2 + sigma2", "mu2 \u2212 sigma2"];
  const canvases = names.map((name, k) => {
    const cell = htmlElement("div", grid, `vw-kl-${["middle", "left", "right", "over", "under"][k]}`);
    const canvas = makePicture(cell, 64, `decoded picture at ${name}`);
    htmlElement("div", cell, "vw-note", { textContent: name });
    return canvas;
  });
  return { cross, canvases };
}

export default { render };
