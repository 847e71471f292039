// The explorer without a kernel: wires sliders, map and grid to one z. `html_page.py` joins this file to all that
// it imports, and puts model and codes into the page.

import { klOf, spreadOf } from "../draw_pad/board.js";
import { htmlElement } from "../_core/elements.js";
import { fixed, formatPoint } from "../_core/numbers.js";
import { readPage } from "./page_data.js";
import { makeDrawing } from "./page_draw_pad.js";
import { makeGrid } from "../_map/tiles.js";
import { makeMap } from "./page_map.js";
import { gammaShare } from "../_core/normal.js";
import { paint, toRGBA } from "../_core/pixels.js";

/** @type {(id: string) => HTMLElement} */
function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The part "${id}" of this page is missing.`);
  return found;
}

/** @type {(id: string) => HTMLCanvasElement} */
function canvasOf(id) {
  const found = byId(id);
  if (found instanceof HTMLCanvasElement) return found;
  throw new Error(`The part "${id}" of this page is not what it was.`);
}

// Nothing fails silently: the file's own notice stays until all stands, and what fails later comes in its place.
const notice = byId("alert"), main = byId("main");
let running = false;
/** @type {(text: string) => void} */
function alarm(text) {
  const reason = text.replace(/^Uncaught (\w*Error: )?/, "");
  notice.textContent = running ? reason
    : `This page cannot run. ${reason} Copy or download the file again, or ask whoever made it.`;
  notice.hidden = false;
  main.hidden = !running;
}
window.addEventListener("error", (event) => alarm(event.message));
window.addEventListener("unhandledrejection", (event) => alarm(String(event.reason?.message ?? event.reason)));
if (notice.contains(main)) throw new Error("The frame of this page was changed after it was made.");
main.hidden = false;

const page = readPage(byId("data").textContent ?? "", byId("weights").textContent ?? "", main.dataset.crc32);
const { network, codes, logvars, labels, count, prior, classes, ranges, reach, low, high, frame } = page;
const { latentDim, imageShape } = network, [channels, height, width] = imageShape, sigmas = spreadOf(logvars);
const axes = { across: 0, up: latentDim > 1 ? 1 : -1 };
let z = page.z.slice();
/** @type {number | null} */
let selected = null;

// -- pictures ---------------------------------------------------------------------------------------

// As large as a square of `side` has room: whole screen pixels, or smaller where not even one fits. As Picture.fit.
/** @type {(canvas: HTMLCanvasElement, side: number) => void} */
function prepare(canvas, side) {
  canvas.width = width;
  canvas.height = height;
  const room = side / Math.max(width, height), factor = room >= 1 ? Math.floor(room) : room;
  canvas.style.width = `${width * factor}px`;
  canvas.style.height = `${height * factor}px`;
}
/** @type {(canvas: HTMLCanvasElement, pixels: Float32Array, label: string) => void} */
function show(canvas, pixels, label) {
  paint(canvas, toRGBA(pixels, imageShape));
  canvas.setAttribute("aria-label", label);
}
const picture = canvasOf("picture"), reconstruction = canvasOf("reconstruction");
prepare(picture, 256);
prepare(reconstruction, 128);

// -- text -------------------------------------------------------------------------------------------

/** @type {(pixels: Float32Array) => string} */
function describeZ(pixels) {
  const broken = pixels.every(Number.isFinite) ? "" : " So far out the decoder's numbers overflow: this is no picture.";
  if (!prior) return `z = ${formatPoint(z)}${broken}`;
  const distance = Math.hypot(...z);
  const nearer = (100 * gammaShare(latentDim, distance ** 2 / 2)).toFixed(1);
  return `z = ${formatPoint(z)}, ${fixed(distance, 2)} from the origin; ${nearer} % of the prior lies nearer.${broken}`;
}
/** @type {(row: number) => string} */
function describeRow(row) {
  const mu = codes.subarray(row * latentDim, (row + 1) * latentDim);
  let text = `Image ${row}${labels ? `, labelled ${classes[labels[row]].name}` : ""}`;
  text += `: ${prior ? "mu" : "z"} = ${formatPoint(mu)}`;
  if (logvars && sigmas) {
    const [logvar, sigma] = [logvars, sigmas].map((all) => all.subarray(row * latentDim, (row + 1) * latentDim));
    text += `, sigma = ${formatPoint(sigma, 3)}, KL = ${klOf({ mu, logvar }).toFixed(2)} nats`;
  }
  return `${text}. This file holds no images: the picture is its reconstruction.`;
}

// -- one z, and everything that shows it --------------------------------------------------------------

const plane = () => [z[axes.across], axes.up < 0 ? 0 : z[axes.up]];
/** @type {(x: number, y: number) => number[]} */
function onto(x, y) {
  const point = z.slice();
  point[axes.across] = x;
  if (axes.up >= 0) point[axes.up] = y;
  return point;
}

/** @type {(to: ArrayLike<number>, typing?: HTMLInputElement | null) => void} */
function go(to, typing = null) {
  const beside = z.some((v, k) => v !== to[k] && k !== axes.across && k !== axes.up);
  z = Array.from(to);
  render(typing);
  if (beside) grid.draw(onto);
}
/** @type {(typing?: HTMLInputElement | null, refused?: string) => void} */
function render(typing = null, refused = "") {
  const pixels = network.decode(z);
  show(picture, pixels, `decoded picture of z = ${formatPoint(z)}`);
  byId("state").textContent = describeZ(pixels);
  /** @type {string[]} */
  const beyond = [];
  controls.forEach(({ slider, box }, k) => {
    // What a slider cannot show stays as it is: its handle lies at the end.
    slider.value = String(z[k]);
    if (z[k] < Number(slider.min) || z[k] > Number(slider.max)) beyond.push(`z${k + 1}`);
    slider.setAttribute("aria-valuetext", fixed(z[k], 2));
    if (box !== typing) box.value = String(Number(z[k].toFixed(4)));
  });
  const verb = beyond.length > 1 ? "lie beyond the ends of their sliders" : "lies beyond the end of its slider";
  byId("slider-note").textContent = refused || (beyond.length ? `${beyond.join(", ")} ${verb}.` : "");
  placeCursors();
}
function placeCursors() {
  const [x, y] = plane();
  map.setCursor([x, y]);
  grid.setCursor(x, y);
}
// A point of the map that is chosen brings the sliders' ends with it.
/** @type {(point: ArrayLike<number>) => void} */
function widen(point) {
  controls.forEach(({ slider }, k) => {
    if (point[k] > Number(slider.max)) slider.max = String(Math.ceil(point[k] * 2) / 2);
    if (point[k] < Number(slider.min)) slider.min = String(Math.floor(point[k] * 2) / 2);
  });
}
/** @type {(row: number) => void} */
function select(row) {
  selected = row;
  const mu = codes.slice(row * latentDim, (row + 1) * latentDim);
  map.select(row);
  byId("details").textContent = describeRow(row);
  byId("chosen").hidden = false;
  byId("cloud").hidden = !logvars;
  show(reconstruction, network.decode(mu), `reconstruction of image ${row}`);
  widen(mu);
  go(mu);
}

const controls = ranges.map(([min, max, step], k) => {
  const row = htmlElement("div", byId("sliders"), "slider"), id = `slider-${k + 1}`;
  htmlElement("label", row, "", { textContent: `z${k + 1}`, htmlFor: id });
  const slider = htmlElement("input", row, "", { type: "range", id, min, max, step });
  const box = htmlElement("input", row, "", { type: "number", step: 10 * step });
  box.setAttribute("aria-label", `z${k + 1} as a number`);
  /** @type {(value: number, typing?: HTMLInputElement) => void} */
  const move = (value, typing) => go(z.map((v, i) => (i === k ? value : v)), typing);
  slider.addEventListener("input", () => move(slider.valueAsNumber));
  // Empty, or a minus sign, may be on its way to a number; when it stays so, it is refused.
  box.addEventListener("input", () => {
    if (Number.isFinite(box.valueAsNumber)) move(box.valueAsNumber, box);
  });
  box.addEventListener("change", () => {
    const refused = !Number.isFinite(box.valueAsNumber);
    render(null, refused ? `What was typed is no number: z${k + 1} stays ${Number(z[k].toFixed(4))}.` : "");
  });
  return { slider, box };
});

const map = makeMap({
  canvas: canvasOf("map"), plot: byId("map-plot"), ring: byId("map-ring"), codes, labels, classes, latentDim, prior, low, high,
  sigmas,
  onMove: (x, y) => go(onto(x, y)), onSelect: select, say: (text) => { byId("map-note").textContent = text; },
});
const grid = makeGrid({
  canvas: canvasOf("grid"), ring: byId("grid-ring"), note: byId("grid-note"), spec: page.spec, weights: page.weights,
  reach, prior, onMove: (x, y) => go(onto(x, y)), onError: alarm,
  say: (text) => { byId("grid-edge").textContent = text; },
});

// -- the map's and the grid's own controls --------------------------------------------------------------

byId("map-title").textContent = count
  ? `The map: ${prior ? "mu" : "the code z"} of ${count.toLocaleString("en")} encoded images`
  : "The map: no encoded images to show";
byId("map").setAttribute("aria-label",
  "The latent map. Arrow keys move z, Enter chooses the nearest point, plus and minus zoom, 0 resets the view.");
byId("zoom-in").addEventListener("click", () => map.zoom(0.7));
byId("zoom-out").addEventListener("click", () => map.zoom(1 / 0.7));
byId("reset").addEventListener("click", () => map.reset());
byId("cloud").addEventListener("click", () => map.zoomToCloud());

(labels ? classes : []).forEach(({ name, colour }, k) => {
  const key = htmlElement("button", byId("legend"), "key", { type: "button" });
  key.setAttribute("aria-pressed", "true");
  htmlElement("span", key, "dot").style.background = colour;
  htmlElement("span", key, "", { textContent: name });
  key.addEventListener("click", () => {
    const on = key.getAttribute("aria-pressed") !== "true";
    key.setAttribute("aria-pressed", String(on));
    map.show(k, on);
  });
});

function drawGrid() {
  /** @type {(k: number) => number[]} */
  const ends = (k) => (k < 0 ? [0, 0] : [low[k], high[k]]);
  const [[a, b], [c, d]] = [ends(axes.across), ends(axes.up)];
  grid.draw(onto, prior
    ? { byMass: byId("spacing").querySelector("[value=mass]:checked") !== null, centre: [0, 0], reach }
    : { byMass: false, centre: [(a + b) / 2, (c + d) / 2], reach: Math.max(b - a, d - c) / 2 });
  placeCursors();
}
byId("spacing").hidden = !prior;
byId("spacing").addEventListener("change", drawGrid);

if (latentDim > 2) {
  const names = /** @type {const} */ (["across", "up"]);
  const choices = names.map((name) => {
    const choice = htmlElement("select", byId(`${name}-axis`), "", { id: name });
    ranges.forEach((_, k) => choice.add(new Option(`z${k + 1}`, String(k))));
    byId(`${name}-axis`).hidden = false;
    return choice;
  });
  const showAxes = () => choices.forEach((choice, i) => { choice.value = String(axes[names[i]]); });
  choices.forEach((choice, i) => choice.addEventListener("change", () => {
    const name = names[i], other = names[1 - i], to = Number(choice.value);
    // The same coordinate twice is no plane: the two change places.
    if (to === axes[other]) axes[other] = axes[name];
    axes[name] = to;
    showAxes();
    map.setAxes(axes.across, axes.up);
    drawGrid();
  }));
  showAxes();
}

const drawing = network.encode && channels === 1
  ? makeDrawing({
    section: byId("draw"), network, frame, prior, map, axes, onGo: (to) => go(to),
    codes: { values: codes, labels, names: classes.map(({ name }) => name) },
  })
  : null;

map.start();
render();
drawGrid();
running = true;
if (getComputedStyle(document.body).getPropertyValue("--vw-ink")) notice.hidden = true;
else alarm("The style of this page was changed after it was made, and is left out: all works, and looks odd.");

// For those who open the page's console, and for the tests.
/** @type {(to: ArrayLike<number>) => number[]} */
const checked = (to) => {
  const point = Array.from(to);
  if (point.length === latentDim && point.every(Number.isFinite)) return point;
  throw new Error(`z must be ${latentDim} finite numbers; got ${JSON.stringify(to)}.`);
};
Object.assign(window, { vaewidgets: Object.freeze({
  get z() { return z.slice(); },
  get selected() { return selected; },
  go: (/** @type {ArrayLike<number>} */ to) => go(checked(to)),
  /** @type {(row: number) => void} */
  select(row) {
    if (!Number.isInteger(row) || row < 0 || row >= count) throw new Error(`There are ${count} points; got ${row}.`);
    select(row);
  },
  decode: (/** @type {ArrayLike<number>} */ point) => network.decode(point).slice(),
  encode: network.encode,
  mapPixel: map.pixel,
  drawing,
}) });
