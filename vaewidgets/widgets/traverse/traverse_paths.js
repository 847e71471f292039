// Two paths from A to B: the straight line, and the great circle, which keeps the length. They are those of
// vaewidgets.holes.interpolate.

import { makeChart } from "../_core/chart.js";
import { htmlElement } from "../_core/elements.js";
import { onArrows } from "../_core/keys.js";
import { change } from "../_core/model.js";
import { clamp } from "../_core/numbers.js";
import { countFrame } from "../_core/pixels.js";
import { setAttributes, svgElement } from "../_core/svg.js";
import { makeFilm, makeStrip, put } from "./traverse_film.js";

/** @import { Listener, Model } from "../_core/model.js" */
/** @import { Engine, TraverseTraits } from "./traverse_film.js" */
/** @typedef {"line" | "great-circle"} Kind */
/**
 * A part of the panel: its listeners, and a function that ends its work.
 * @typedef {(
 *   model: Model<TraverseTraits>, engine: Engine, parent: Node,
 * ) => { listeners: [string, Listener][], stop: () => void }} MakePart
 */

/** @type {(a: number[], b: number[], t: number, kind: Kind) => number[]} */
export function interpolate(a, b, t, kind) {
  /** @type {(u: number[], v: number[]) => number} */
  const dot = (u, v) => u.reduce((sum, value, i) => sum + value * v[i], 0);
  const lengths = Math.sqrt(dot(a, a) * dot(b, b)), cosine = dot(a, b) / lengths;
  // Where the great circle is not unique - an end at zero, equal or opposite directions - it is the line.
  const straight = kind === "line" || lengths <= 1e-12 || Math.abs(cosine) >= 1 - 1e-6;
  const angle = Math.acos(cosine), sine = Math.sin(angle);
  const [from, to] = straight ? [1 - t, t] : [Math.sin((1 - t) * angle) / sine, Math.sin(t * angle) / sine];
  return a.map((value, i) => from * value + to * b[i]);
}

/** @type {(z: number[]) => number} */
const norm = (z) => Math.hypot(...z);

/** @type {MakePart} */
export function makePaths(model, engine, parent) {
  const { points, film, tau, kinds } = model.get("sizes"), d = model.get("z").length;
  const paths = /** @type {[kind: Kind, name: string][]} */ (Object.entries(kinds));
  const width = 56, margin = { left: 50, right: 12 }, share = 0.5 / (film - 1);
  const across = { width: film * width + margin.left + margin.right };
  const judged = model.get("judged"), prior = model.get("prior");
  const shares = Array.from({ length: points }, (_, k) => k / (points - 1));

  const root = htmlElement("div", parent, "vw-paths");
  htmlElement("div", root, "vw-title", { textContent: "From A to B, two ways" });
  const buttons = htmlElement("div", root, "vw-row");
  /** @type {(text: string, title: string, press: () => void) => HTMLButtonElement} */
  const button = (text, title, press) => htmlElement("button", buttons, "vw-button", { textContent: text, title, onclick: press });
  button("A is here", "Begin both paths at the present z", () => change(model, { a: model.get("z").slice() }));
  button("B is here", "End both paths at the present z", () => change(model, { b: model.get("z").slice() }));
  if (prior) {
    button("two draws from the prior", "Draw both ends from N(0, I)", () => change(model, { draws: model.get("draws") + 1 }));
  }
  const ends = htmlElement("span", buttons, "vw-note");

  // t is a native slider, as long as the strips.
  const slide = htmlElement("label", root, "vw-t");
  htmlElement("span", slide, "", { textContent: "t" });
  const range = htmlElement("input", slide, "", { type: "range", min: 0, max: 1, step: 1 / (points - 1) });
  range.style.width = `${film * width - width + 16}px`;
  const readout = htmlElement("span", slide, "vw-number");

  // The judge's best class probability along a path, as a chart; a few points are computed in each frame.
  /** @param {Node} place @param {Kind} kind @param {string} name */
  const judge = (place, kind, name) => {
    const chart = makeChart({
      width: across.width, height: 92, margin: { ...margin, bottom: 20, top: 8 },
      x: { range: [-share, 1 + share] },
      y: { title: "judge", range: [0, 1.04], ticks: [0, 0.5, 1].map((value) => ({ value, text: String(value) })) },
      label: `${name}: how sure the judge is`,
    });
    place.appendChild(chart.svg);
    const { left, top, width: long, height: tall } = chart.area, threshold = chart.y(tau);
    chart.add("line", "vw-threshold", { x1: left, x2: left + long, y1: threshold, y2: threshold });
    const curve = chart.add("path", "vw-curve"), dots = chart.add("g", "vw-hole-marks");
    const sure = new Float64Array(points);
    const drawn = () => {
      curve.setAttribute("d", chart.line(shares, sure));
      dots.replaceChildren();
      sure.forEach((value, k) => {
        if (value < tau) svgElement("circle", dots, "", { cx: chart.x(shares[k]), cy: chart.y(value), r: 3 });
      });
      say();
    };
    chart.svg.dataset.vwFrame = "0";
    const film = makeFilm(points, (k) => {
      const z = interpolate(model.get("a"), model.get("b"), shares[k], kind);
      const found = engine.judge(engine.decode(z, model.get("label"))) ?? model.get("confidence")[kind]?.[k];
      if (found !== undefined) sure[k] = found;
    }, chart.svg, drawn);
    return { chart, sure, film, mark: chart.add("line", "vw-mark", { y1: top, y2: top + tall }) };
  };

  const ways = paths.map(([kind, name], way) => {
    const row = htmlElement("div", root, "vw-way");
    const left = htmlElement("div", row), right = htmlElement("div", row, "vw-way-at");
    htmlElement("div", left, "vw-note", { textContent: `${name}, from A to B` }).style.marginLeft = `${margin.left}px`;
    const strip = makeStrip(left, engine.shape, film, width, `${name}: ${film} pictures from A to B`);
    strip.style.marginLeft = `${margin.left}px`;
    const caption = htmlElement("div", right, "vw-note");
    const at = makeStrip(right, engine.shape, 1, 112, `${name}: the picture at t`);
    const step = (points - 1) / (film - 1);
    const pictures = makeFilm(film, (k) => {
      const z = interpolate(model.get("a"), model.get("b"), shares[k * step], kind);
      put(strip, k, engine.decode(z, model.get("label")) ?? engine.sent(kind, k), engine.shape);
    }, strip);
    return { kind, name, way, at, caption, pictures, here: NaN, judging: judged ? judge(left, kind, name) : null };
  });

  const norms = makeChart({
    width: across.width, height: 150, margin: { ...margin, top: 8 },
    x: { title: "t", range: [-share, 1 + share] }, y: { title: "norm of z", range: [0, 1] },
    label: "norm of z along both paths",
  });
  const bottom = htmlElement("div", root, "vw-way");
  bottom.append(norms.svg);
  const legend = htmlElement("div", bottom, "vw-legend");
  // The mean over pairs of draws from the prior: E|z|^2 = d ((1 - t)^2 + t^2) on the line, d on the circle.
  /** @type {[name: string, text: string, lengths: () => number[]][]} */
  const lines = paths.map(([kind, name]) => [kind, name, () => {
    const [a, b] = [model.get("a"), model.get("b")];
    return shares.map((t) => norm(interpolate(a, b, t, kind)));
  }]);
  if (prior) {
    const [middle, whole] = [Math.sqrt(d / 2).toFixed(2), Math.sqrt(d).toFixed(2)];
    lines.push(
      ["draws-line", `line between draws from the prior: at its middle sqrt(d/2) = ${middle}`,
        () => shares.map((t) => Math.sqrt(d * ((1 - t) ** 2 + t ** 2)))],
      ["draws-circle", `circle between them: sqrt(d) = ${whole}`, () => shares.map(() => Math.sqrt(d))],
    );
  }
  const curves = lines.map(([name, text]) => {
    const entry = htmlElement("div", legend, "vw-note"), sample = svgElement("svg", entry, "", { width: 34, height: 8 });
    svgElement("line", sample, `vw-curve vw-norm-${name}`, { x1: 0, x2: 34, y1: 4, y2: 4 });
    htmlElement("span", entry, "", { textContent: text });
    return norms.add("path", `vw-curve vw-norm-${name}`);
  });
  const normMark = norms.add("line", "vw-mark", { y1: norms.area.top, y2: norms.area.top + norms.area.height });
  const state = htmlElement("div", root, "vw-state");
  state.setAttribute("aria-live", "polite");

  const drawNorms = () => {
    const lengths = lines.map(([, , along]) => along());
    norms.setRange("y", [0, 1.08 * Math.max(...lengths.flat())]);
    lengths.forEach((values, i) => curves[i].setAttribute("d", norms.line(shares, values)));
  };

  const drawAt = () => {
    const t = model.get("t"), [a, b] = [model.get("a"), model.get("b")];
    range.value = String(t);
    readout.textContent = t.toFixed(3);
    for (const path of ways) {
      const { kind, way, at, judging } = path;
      const pixels = engine.decode(interpolate(a, b, t, kind), model.get("label"));
      put(at, 0, pixels ?? engine.sent("at", way), engine.shape);
      path.here = engine.judge(pixels) ?? NaN;
      countFrame(at);
      if (judging) setAttributes(judging.mark, { x1: judging.chart.x(t), x2: judging.chart.x(t) });
    }
    setAttributes(normMark, { x1: norms.x(t), x2: norms.x(t) });
    say();
  };

  function say() {
    const t = model.get("t");
    const holes = [];
    for (const { kind, name, caption, judging, here } of ways) {
      const length = norm(interpolate(model.get("a"), model.get("b"), t, kind)).toFixed(2);
      caption.textContent = `norm ${length}`;
      if (!judging) continue;
      // Where the kernel asks the judge, the value at the nearest point stands for that at t.
      const sure = Number.isNaN(here) ? judging.sure[Math.round(t * (points - 1))] : here;
      caption.textContent += `, judge ${sure.toFixed(2)}`;
      holes.push(`${name}: ${judging.sure.filter((value) => value < tau).length} of ${points}`);
    }
    state.textContent = judged ? `Holes (judge under ${tau}) on the ${holes.join("; on the ")} points.` : "";
  }

  const drawAll = () => {
    for (const { pictures, judging } of ways) {
      pictures.redraw();
      judging?.film.redraw();
    }
    drawNorms();
    drawAt();
  };
  const nameEnds = () => { ends.textContent = model.get("ends"); };

  range.addEventListener("input", () => change(model, { t: Number(range.value) }));
  onArrows(range, (across, up) => change(model, { t: clamp(model.get("t") + (across + up) / (points - 1)) }));
  drawAll();
  nameEnds();
  return {
    listeners: [
      ["change:a change:b change:label change:networks", drawAll],
      ["change:t", drawAt],
      ["change:ends", nameEnds],
      ["change:confidence", () => ways.forEach(({ judging }) => judging?.film.redraw())],
      ["change:tiles", () => { ways.forEach(({ pictures }) => pictures.redraw()); drawAt(); }],
    ],
    stop: () => ways.forEach(({ pictures, judging }) => {
      pictures.stop();
      judging?.film.stop();
    }),
  };
}
