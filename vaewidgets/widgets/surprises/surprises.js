// The images around the chosen one, and the histogram of all. The page moves the rank; the kernel sends pictures.

import { makeChart } from "../_core/chart.js";
import { htmlElement } from "../_core/elements.js";
import { onArrows } from "../_core/keys.js";
import { change, listen } from "../_core/model.js";
import { clamp, floatsOf } from "../_core/numbers.js";
import { fromBytes, paint } from "../_core/pixels.js";
import { setAttributes, svgElement, uniqueId } from "../_core/svg.js";

/** @import { Chart } from "../_core/chart.js" */
/** @import { Context, Model } from "../_core/model.js" */
/**
 * @typedef {{
 *   rank: number, nats: DataView, edges: number[], counts: number[], start: number, thumbs: DataView,
 *   size: number[], names: string[], room: number, far: number, axis: string,
 * }} Traits
 */
/**
 * @typedef {(
 *   model: Model<Traits>, root: Node, nats: () => Float32Array, move: (rank: number) => void,
 * ) => [string, () => void][]} Part
 */

/** @type {(context: Context<Traits>) => () => void} */
function render({ model, el }) {
  const root = htmlElement("div", el, "vw-surprises");
  const nats = () => floatsOf(model.get("nats"));
  /** @type {(rank: number) => void} */
  const move = (rank) => change(model, { rank: clamp(rank, [0, nats().length - 1]) });
  const listeners = [...makeAround(model, root, nats, move), ...makeRankHistogram(model, root, nats, move)];
  for (const [, listener] of listeners) listener();
  return listen(model, listeners);
}

// The strip: a click chooses an image, and so do the arrow keys, a strip farther with Shift.
/** @type {Part} */
function makeAround(model, root, nats, move) {
  const title = htmlElement("div", root, "vw-title"), list = htmlElement("div", root, "vw-around", { tabIndex: 0 });
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-orientation", "horizontal");
  list.setAttribute("aria-label", "images by surprise, the most surprising first");
  const id = uniqueId("surprise");

  const draw = () => {
    const [rows, columns, channels] = model.get("size"), names = model.get("names"), start = model.get("start");
    const bytes = model.get("thumbs"), size = rows * columns * channels, room = model.get("room"), all = nats();
    if (bytes.byteLength !== names.length * size) return;
    list.replaceChildren(...names.map((name, k) => {
      const item = htmlElement("div", null, "vw-surprise", { id: `${id}-${k}` }), canvas = htmlElement("canvas", item);
      item.style.width = `${room}px`;
      item.setAttribute("role", "option");
      canvas.dataset.vwFrame = "0";
      const pixels = new Uint8Array(bytes.buffer, bytes.byteOffset + k * size, size);
      paint(canvas, fromBytes(pixels, columns, rows, channels));
      canvas.style.width = `${room * Math.min(1, columns / rows)}px`;
      canvas.style.imageRendering = "pixelated";
      const worth = all[start + k].toFixed(1);
      htmlElement("div", item, "", { textContent: name, title: name });
      htmlElement("div", item, "vw-worth", { textContent: worth });
      item.setAttribute("aria-label", `rank ${start + k}, ${name}, ${worth} nats`);
      item.addEventListener("click", () => move(start + k));
      return item;
    }));
    title.textContent = `Ranks ${start} to ${start + names.length - 1}, with their nats: click one, or walk with the arrow keys`;
    mark();
  };
  const mark = () => {
    const chosen = model.get("rank") - model.get("start");
    [...list.children].forEach((item, k) => item.setAttribute("aria-selected", String(k === chosen)));
    list.setAttribute("aria-activedescendant", `${id}-${chosen}`);
  };
  onArrows(list, (across, up) => move(model.get("rank") + across - up), {
    far: model.get("far"), others: { Home: () => move(0), End: () => move(Infinity) },
  });
  return [["change:thumbs change:names change:start change:nats", draw], ["change:rank", mark]];
}

// All images: a click or a drag chooses the image whose nats are nearest.
/** @type {Part} */
function makeRankHistogram(model, root, nats, move) {
  const title = htmlElement("div", root, "vw-title"), frame = htmlElement("div", root, "vw-histogram");
  /** @type {{ chart: Chart, line: SVGLineElement, text: SVGTextElement } | undefined} */
  let drawn;

  const draw = () => {
    const edges = model.get("edges"), counts = model.get("counts"), all = nats();
    if (!counts.length) return;
    const chart = makeChart({
      width: 800, height: 190, x: { title: model.get("axis"), range: [edges[0], edges[edges.length - 1]] },
      y: { title: "images", range: [0, Math.max(3, 1.05 * Math.max(...counts))] }, label: "histogram of all images",
    });
    counts.forEach((count, k) => {
      // A single image among thousands must be visible.
      const height = count ? Math.max(2, chart.y(0) - chart.y(count)) : 0, x = chart.x(edges[k]);
      const width = Math.max(1, chart.x(edges[k + 1]) - x - 1);
      chart.add("rect", "vw-share", { x, width, y: chart.y(0) - height, height });
    });
    title.textContent = `All ${all.length.toLocaleString("en")} images: press where you want to go`;
    const { left, top, width, height } = chart.area;
    const ground = svgElement("rect", null, "vw-ground", { x: left, y: top, width, height });
    chart.svg.insertBefore(ground, chart.plot);
    const line = svgElement("line", chart.above, "vw-mark", { y1: top, y2: top + height });
    const text = svgElement("text", chart.above, "vw-mark-text", { y: top + 12 });
    /** @type {(event: PointerEvent) => void} */
    const drag = (event) => move(nearest(all, chart.locate(event)[0]));
    ground.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      ground.setPointerCapture(event.pointerId);
      event.preventDefault();
      drag(event);
    });
    ground.addEventListener("pointermove", (event) => {
      if (ground.hasPointerCapture(event.pointerId)) drag(event);
    });
    frame.replaceChildren(chart.svg);
    drawn = { chart, line, text };
    mark();
  };
  const mark = () => {
    const value = nats()[model.get("rank")];
    if (!drawn || value === undefined) return;
    const { chart, line, text } = drawn;
    const at = chart.x(value), right = at > chart.area.left + chart.area.width / 2;
    setAttributes(line, { x1: at, x2: at });
    setAttributes(text, { x: at + (right ? -7 : 7), "text-anchor": right ? "end" : "start" });
    text.textContent = `rank ${model.get("rank")}: ${value.toFixed(2)} nats`;
  };
  return [["change:nats change:counts change:edges change:axis", draw], ["change:rank", mark]];
}

// The rank, in falling values, of the one nearest to `value`.
/** @type {(falling: ArrayLike<number>, value: number) => number} */
export function nearest(falling, value) {
  let low = 0, high = falling.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (falling[middle] > value) low = middle + 1;
    else high = middle;
  }
  return low > 0 && falling[low - 1] - value < value - falling[low] ? low - 1 : low;
}

export default { render };
