// Two ways from A to B: along the line, and along the great circle that keeps the length. As
// vaewidgets.holes.interpolate has them.

import { makeChart } from "./chart.js";
import { htmlElement } from "./elements.js";
import { onArrows } from "./keys.js";
import { change } from "./model.js";
import { clamp } from "./numbers.js";
import { countFrame } from "./pixels.js";
import { setAttributes, svgElement } from "./svg.js";
import { makeFilm, makeStrip, put } from "./traverse_film.js";

const PATHS = [["line", "straight line"], ["great-circle", "great circle"]];

export function interpolate(a, b, t, kind) {
  const dot = (u, v) => u.reduce((sum, value, i) => sum + value * v[i], 0);
  const lengths = Math.sqrt(dot(a, a) * dot(b, b)), cosine = dot(a, b) / lengths;
  // Where there is no one such circle - a zero, one direction, opposite ones - it is the line.
  const straight = kind === "line" || lengths <= 1e-12 || Math.abs(cosine) >= 1 - 1e-6;
  const angle = Math.acos(cosine), sine = Math.sin(angle);
  const [from, to] = straight ? [1 - t, t] : [Math.sin((1 - t) * angle) / sine, Math.sin(t * angle) / sine];
  return a.map((value, i) => from * value + to * b[i]);
}

const norm = (z) => Math.hypot(...z);

export function makePaths(model, engine, parent) {
  const { points, film, tau } = model.get("sizes"), d = model.get("z").length;
  const width = 56, margin = { left: 50, right: 12 }, share = 0.5 / (film - 1);
  const across = { width: film * width + margin.left + margin.right };
  const judged = model.get("judged"), prior = model.get("prior");
  const shares = Array.from({ length: points }, (_, k) => k / (points - 1));

  const root = htmlElement("div", parent, "vw-paths");
  htmlElement("div", root, "vw-title", { textContent: "From A to B, two ways" });
  const buttons = htmlElement("div", root, "vw-row");
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

  const ways = PATHS.map(([kind, name], way) => {
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
    let chart = null, mark = null, sure = null, judging = null;
    if (judged) {
      chart = makeChart({
        width: across.width, height: 92, margin: { ...margin, bottom: 20, top: 8 },
        x: { range: [-share, 1 + share] },
        y: { title: "judge", range: [0, 1.04], ticks: [0, 0.5, 1].map((value) => ({ value, text: String(value) })) },
        label: `${name}: how sure the judge is`,
      });
      left.append(chart.svg);
      const threshold = chart.y(tau);
      chart.add("line", "vw-threshold", {
        x1: chart.area.left, x2: chart.area.left + chart.area.width, y1: threshold, y2: threshold,
      });
      const curve = chart.add("path", "vw-curve"), dots = chart.add("g", "vw-holes");
      const drawn = () => {
        curve.setAttribute("d", chart.line(shares, sure));
        dots.replaceChildren();
        sure.forEach((value, k) => {
          if (value < tau) svgElement("circle", dots, "", { cx: chart.x(shares[k]), cy: chart.y(value), r: 3 });
        });
        say();
      };
      sure = new Float64Array(points);
      chart.svg.dataset.vwFrame = "0";
      judging = makeFilm(points, (k) => {
        const z = interpolate(model.get("a"), model.get("b"), shares[k], kind);
        const found = engine.judge(engine.decode(z, model.get("label"))) ?? model.get("confidence")[kind]?.[k];
        if (found !== undefined) sure[k] = found;
      }, chart.svg, drawn);
      mark = chart.add("line", "vw-mark", { y1: chart.area.top, y2: chart.area.top + chart.area.height });
    }
    return { kind, name, way, here: null, at, caption, pictures, chart, mark, sure, judging };
  });

  const norms = makeChart({
    width: across.width, height: 150, margin: { ...margin, top: 8 },
    x: { title: "t", range: [-share, 1 + share] }, y: { title: "norm of z", range: [0, 1] },
    label: "norm of z along both paths",
  });
  const bottom = htmlElement("div", root, "vw-way");
  bottom.append(norms.svg);
  const legend = htmlElement("div", bottom, "vw-legend");
  const means = {
    line: "straight line", "great-circle": "great circle",
    "draws-line": `line between draws from the prior: at its middle sqrt(d/2) = ${Math.sqrt(d / 2).toFixed(2)}`,
    "draws-circle": `circle between them: sqrt(d) = ${Math.sqrt(d).toFixed(2)}`,
  };
  const curves = {};
  for (const name of ["line", "great-circle", ...(prior ? ["draws-line", "draws-circle"] : [])]) {
    curves[name] = norms.add("path", `vw-curve vw-norm-${name}`);
    const entry = htmlElement("div", legend, "vw-note"), sample = svgElement("svg", entry, "", { width: 34, height: 8 });
    svgElement("line", sample, `vw-curve vw-norm-${name}`, { x1: 0, x2: 34, y1: 4, y2: 4 });
    htmlElement("span", entry, "", { textContent: means[name] });
  }
  const normMark = norms.add("line", "vw-mark", { y1: norms.area.top, y2: norms.area.top + norms.area.height });
  const state = htmlElement("div", root, "vw-state");
  state.setAttribute("aria-live", "polite");

  // What pairs of draws from the prior do on average: E|z|^2 = d ((1 - t)^2 + t^2) on the line, d on the circle.
  const expected = {
    "draws-line": (t) => Math.sqrt(d * ((1 - t) ** 2 + t ** 2)),
    "draws-circle": () => Math.sqrt(d),
  };

  const drawNorms = () => {
    const [a, b] = [model.get("a"), model.get("b")];
    const lengths = Object.fromEntries(Object.keys(curves).map((name) => [
      name, shares.map(expected[name] ?? ((t) => norm(interpolate(a, b, t, name)))),
    ]));
    norms.setRange("y", [0, 1.08 * Math.max(...Object.values(lengths).flat())]);
    for (const [name, values] of Object.entries(lengths)) curves[name].setAttribute("d", norms.line(shares, values));
  };

  const drawAt = () => {
    const t = model.get("t"), [a, b] = [model.get("a"), model.get("b")];
    range.value = t;
    readout.textContent = t.toFixed(3);
    for (const path of ways) {
      const { kind, way, at, chart, mark } = path;
      const pixels = engine.decode(interpolate(a, b, t, kind), model.get("label"));
      put(at, 0, pixels ?? engine.sent("at", way), engine.shape);
      path.here = engine.judge(pixels);
      countFrame(at);
      if (chart) setAttributes(mark, { x1: chart.x(t), x2: chart.x(t) });
    }
    setAttributes(normMark, { x1: norms.x(t), x2: norms.x(t) });
    say();
  };

  function say() {
    const t = model.get("t");
    for (const { kind, caption, sure, here } of ways) {
      const length = norm(interpolate(model.get("a"), model.get("b"), t, kind)).toFixed(2);
      // Where the kernel asks the judge, it is that of the nearest point it was asked about.
      const judge = sure && (here ?? sure[Math.round(t * (points - 1))]);
      caption.textContent = `norm ${length}${judge === null ? "" : `, judge ${judge.toFixed(2)}`}`;
    }
    const holes = ways.filter(({ sure }) => sure).map(
      ({ name, sure }) => `${name}: ${sure.filter((value) => value < tau).length} of ${points}`,
    );
    state.textContent = judged ? `Holes (judge under ${tau}) on the ${holes.join("; on the ")} points.` : "";
  }

  const drawAll = () => {
    for (const { pictures, judging } of ways) {
      pictures.redraw();
      judging?.redraw();
    }
    drawNorms();
    drawAt();
  };
  const name = () => { ends.textContent = model.get("ends"); };

  range.addEventListener("input", () => change(model, { t: Number(range.value) }));
  onArrows(range, (across, up) => change(model, { t: clamp(model.get("t") + (across + up) / (points - 1)) }));
  drawAll();
  name();
  return {
    listeners: [
      ["change:a change:b change:label change:weights", drawAll],
      ["change:t", drawAt],
      ["change:ends", name],
      ["change:confidence", () => ways.forEach(({ judging }) => judging?.redraw())],
      ["change:tiles", () => { ways.forEach(({ pictures }) => pictures.redraw()); drawAt(); }],
    ],
    stop: () => ways.forEach(({ pictures, judging }) => {
      pictures.stop();
      judging?.stop();
    }),
  };
}
