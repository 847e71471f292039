// One image: the ladder of bounds up to log p(x), and its true posterior under the encoder's ellipse.

import { makeChart } from "../_core/chart.js";
import { htmlElement } from "../_core/elements.js";
import { countFrame, penOf } from "../_core/pixels.js";
import { svgElement } from "../_core/svg.js";

/** @import { Axis } from "../_core/chart.js" */
/** @import { Context } from "../_core/model.js" */
/** @typedef {{ name: string, value: number, error: number }} Bound */
/**
 * @typedef {{
 *   rungs: Bound[], centre: number[], reach: number, mu: number[], sigma: number[], side: number,
 * }} Seen
 */
/** @typedef {{ density: DataView, seen: Seen | { rungs?: undefined } }} Traits */

/** @type {(context: Context<Traits>) => () => void} */
function render({ model, el }) {
  const box = htmlElement("div", el, "vw-ladder");

  /** @type {Axis} */
  const rungAxis = { title: "", range: [-0.5, 3.5], ticks: [] };
  const ladder = makeChart({
    width: 400, height: 320, x: rungAxis, y: { title: "nats", range: [0, 1] }, margin: { left: 62 },
    label: "Bounds on log p(x), with 2 standard errors",
  });
  const plane = makeChart({
    width: 380, height: 320, square: true, margin: { left: 62 },
    x: { title: "z1", range: [-1, 1] }, y: { title: "z2", range: [-1, 1] },
    label: "The true posterior on the plane, and the encoder's ellipses",
  });
  box.append(ladder.svg, plane.svg);
  ladder.svg.dataset.vwFrame = "0";

  /** @type {(rungs: Bound[]) => void} */
  const drawLadder = (rungs) => {
    rungAxis.ticks = rungs.map(({ name }, i) => ({ value: i, text: name }));
    const ends = rungs.flatMap(({ value, error }) => [value - 2 * error, value + 2 * error]);
    const [low, high] = [Math.min(...ends), Math.max(...ends)];
    const margin = 0.12 * (high - low) || 1;
    ladder.setRanges({ x: [-0.5, rungs.length - 0.5], y: [low - margin, high + margin] });
    ladder.plot.replaceChildren();
    const exact = rungs.find(({ error }) => error === 0);
    /** @type {(className: string, value: number) => SVGElement} */
    const across = (className, value) =>
      ladder.add("path", className, { d: ladder.line([-0.5, rungs.length - 0.5], [value, value]) });
    if (exact) across("vw-curve vw-exact", exact.value);
    rungs.forEach(({ name, value, error }, i) => {
      const x = ladder.x(i), [top, bottom] = [ladder.y(value + 2 * error), ladder.y(value - 2 * error)];
      const text = `${name} ${value.toFixed(2)}${error ? ` plus or minus ${(2 * error).toFixed(2)}` : ""} nats`;
      const group = ladder.add("g", "vw-rung", { role: "img", "aria-label": text });
      if (error) svgElement("path", group, "", { d: `M${x - 7},${top}h14m-7,0V${bottom}m-7,0h14` });
      svgElement("circle", group, "", { cx: x, cy: ladder.y(value), r: 4.5 });
    });
  };

  /** @type {(seen: Seen) => void} */
  const drawPlane = ({ centre, reach, mu, sigma, side }) => {
    plane.plot.replaceChildren();
    const bytes = model.get("density");
    plane.svg.style.display = side ? "" : "none";
    if (!side) return;
    plane.setRanges({
      x: [centre[0] - reach, centre[0] + reach], y: [centre[1] - reach, centre[1] + reach],
    });
    const canvas = htmlElement("canvas", null, "", { width: side, height: side });
    const image = new ImageData(side, side);
    for (let i = 0; i < side * side; i++) image.data.set([63, 144, 218, bytes.getUint8(i)], 4 * i);
    penOf(canvas).putImageData(image, 0, 0);
    // A point stands for the square about it: the picture is half a step larger than the grid on every side.
    const half = reach * (1 + 1 / (side - 1));
    const [left, top] = [plane.x(centre[0] - half), plane.y(centre[1] + half)];
    plane.add("image", "vw-density", {
      href: canvas.toDataURL(), x: left, y: top, preserveAspectRatio: "none",
      width: plane.x(centre[0] + half) - left, height: plane.y(centre[1] - half) - top,
    });
    const covariance = [[sigma[0] ** 2, 0], [0, sigma[1] ** 2]];
    ["none", "6 4"].forEach((dash, k) => {
      plane.add("path", "vw-encoder", { d: plane.ellipse(mu, covariance, k + 1), "stroke-dasharray": dash });
    });
    plane.add("circle", "vw-encoder-mean", { cx: plane.x(mu[0]), cy: plane.y(mu[1]), r: 3.5 });
  };

  const draw = () => {
    const seen = model.get("seen");
    box.hidden = !seen.rungs;
    if (!seen.rungs) return;
    drawLadder(seen.rungs);
    drawPlane(seen);
    countFrame(ladder.svg);
  };
  model.on("change:seen", draw);
  draw();
  return () => model.off("change:seen", draw);
}

export default { render };
