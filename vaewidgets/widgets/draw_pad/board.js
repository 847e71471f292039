// The pad, the image that the encoder is given, its reconstruction, and their numbers. All that depends on the model
// is passed in, so that the panel and the exported page share this module.
//
//   const board = makeBoard({ imageShape, frame, prior, read, codes, onReading, onEnd });
//   board.element
//   board.adopt(strokes, image, reading)
//
// `read(image)` encodes and decodes: { mu, logvar, sigma, reconstruction }; logvar and sigma are null for an
// autoencoder. It returns null where the page cannot encode: then `adopt` is given the reading. `codes()` is
// { values, labels, names }: d coordinates of each point of the map, and its class as an index of `names`, or null.
// `onReading(reading)` is called with every reading, and with null if nothing is drawn; `onEnd(strokes, image)` after
// every finished stroke.

import { drawnImage } from "./image.js";
import { makePad } from "./pad.js";
import { htmlElement } from "../_core/elements.js";
import { formatPoint } from "../_core/numbers.js";
import { countFrame, paint, penOf, pictureCanvas, toRGBA } from "../_core/pixels.js";

/** @import { Code, Network } from "../_core/network.js" */
/** @import { Stroke } from "./image.js" */
/** @typedef {Code & { sigma: Float32Array | null, reconstruction: Float32Array }} Reading */
/** @typedef {{ values: ArrayLike<number>, labels: ArrayLike<number> | null, names: string[] }} Codes */
/**
 * @typedef {{
 *   imageShape: number[], frame: number[], prior: boolean,
 *   read: (image: Float32Array) => Reading | null, codes: () => Codes,
 *   onReading: (reading: Reading | null) => void,
 *   onEnd: (strokes: Stroke[], image: Float32Array | null) => void,
 * }} BoardOptions
 */

// As in draw_pad.py, to which a test compares it.
const NEIGHBOURS = 10;

/** @type {(logvar: Float32Array | null) => Float32Array | null} */
export const spreadOf = (logvar) => logvar && logvar.map((v) => Math.exp(v / 2));

/** @type {(network: Network, image: Float32Array) => Reading | null} */
export function readDrawing(network, image) {
  if (!network.encode) return null;
  const { mu, logvar } = network.encode(image);
  return { mu, logvar, sigma: spreadOf(logvar), reconstruction: network.decode(mu) };
}

// KL(q || N(0, I)) in nats.
/** @type {(code: { mu: Float32Array, logvar: Float32Array }) => number} */
export const klOf = ({ mu, logvar }) =>
  mu.reduce((sum, m, k) => sum + 0.5 * (m * m + Math.expm1(logvar[k]) - logvar[k]), 0);

// Rows of the `count` codes nearest to mu, the nearest first.
/** @type {(values: ArrayLike<number>, mu: ArrayLike<number>, count: number) => number[]} */
function nearestRows(values, mu, count) {
  const d = mu.length;
  /** @type {{ row: number, square: number }[]} */
  const best = [];
  for (let row = 0; row < values.length / d; row++) {
    let square = 0;
    for (let k = 0; k < d; k++) square += (values[row * d + k] - mu[k]) ** 2;
    if (best.length === count && square >= best[count - 1].square) continue;
    let place = best.length;
    while (place > 0 && best[place - 1].square > square) place--;
    best.splice(place, 0, { row, square });
    if (best.length > count) best.pop();
  }
  return best.map(({ row }) => row);
}

// The most frequent label of some rows, of several the first: [label, votes].
/** @type {(labels: ArrayLike<number>, rows: number[]) => number[]} */
function voteOf(labels, rows) {
  /** @type {Map<number, number>} */
  const votes = new Map();
  for (const row of rows) votes.set(labels[row], (votes.get(labels[row]) ?? 0) + 1);
  return [...votes].sort(([a, m], [b, n]) => n - m || a - b)[0];
}

/** @type {(reading: Reading, codes: Codes, prior: boolean) => string[]} */
function describeReading(reading, { values, labels, names }, prior) {
  const lines = [`${prior ? "mu" : "the code z"} = ${formatPoint(reading.mu)}`];
  const { mu, logvar } = reading;
  if (reading.sigma && logvar) {
    const nats = klOf({ mu, logvar });
    lines[0] += `, sigma = ${formatPoint(reading.sigma, 3)}`;
    lines.push(`KL = ${nats.toFixed(2)} nats (${(nats / Math.LN2).toFixed(2)} bits)`);
  }
  const rows = nearestRows(values, reading.mu, NEIGHBOURS);
  if (rows.length && labels) {
    const [label, votes] = voteOf(labels, rows);
    lines.push(`Nearest on the map: image ${rows[0]}, labelled ${names[labels[rows[0]]]}. `
      + `Its ${rows.length} nearest neighbours say: ${names[label]} (${votes} of ${rows.length}).`);
  }
  return lines;
}

/** @param {BoardOptions} options */
export function makeBoard({ imageShape, frame, prior, read, codes, onReading, onEnd }) {
  const [, height, width] = imageShape;
  const element = htmlElement("div", null, "vw-board");
  /** @type {(strokes: Stroke[]) => Float32Array | null} */
  const toImage = (strokes) => drawnImage(strokes, [height, width], frame);
  const pad = makePad({
    height: height / width,
    onDraw: (strokes) => show(toImage(strokes)),
    onEnd: (strokes) => {
      const image = toImage(strokes);
      show(image);
      onEnd(strokes, image);
    },
  });
  element.append(pad.element);
  const pair = htmlElement("div", element, "vw-board-pair");
  /** @type {(text: string) => HTMLCanvasElement} */
  const picture = (text) => {
    const figure = htmlElement("figure", pair), factor = Math.max(1, Math.floor(112 / Math.max(height, width)));
    const canvas = Object.assign(pictureCanvas(figure), { width, height });
    canvas.style.width = `${factor * width}px`;
    canvas.style.height = `${factor * height}px`;
    htmlElement("figcaption", figure, "", { textContent: text });
    return canvas;
  };
  const seen = picture(`the image, ${width} x ${height}`), decoded = picture("its reconstruction");
  const state = htmlElement("div", element, "vw-state vw-board-state");
  state.setAttribute("aria-live", "polite");

  /** @type {(canvas: HTMLCanvasElement, pixels: Float32Array | null | undefined, name: string) => void} */
  function paintGrey(canvas, pixels, name) {
    if (pixels) paint(canvas, toRGBA(pixels, [1, height, width]));
    else {
      penOf(canvas).clearRect(0, 0, width, height);
      countFrame(canvas);
    }
    canvas.setAttribute("aria-label", pixels ? name : `no ${name} yet`);
  }
  /** @type {(image: Float32Array | null, given?: Reading | null) => void} */
  function show(image, given = null) {
    const reading = image ? given ?? read(image) : null;
    // A screen reader speaks it once, when the pen is lifted.
    state.setAttribute("aria-busy", String(pad.busy()));
    const lines = !image ? ["Nothing is drawn: no image, so nothing to encode."]
      : reading ? describeReading(reading, codes(), prior) : ["The kernel encodes it when the pen is lifted."];
    state.replaceChildren(...lines.map((line) => htmlElement("div", null, "", { textContent: line })));
    paintGrey(seen, image, "image of the drawing");
    paintGrey(decoded, reading?.reconstruction, "reconstruction of the drawing");
    onReading(reading);
  }

  return {
    element,
    /** @type {(strokes: Stroke[], image: Float32Array | null, reading?: Reading | null) => void} */
    adopt(strokes, image, reading = null) {
      pad.show(strokes);
      // A stroke that is not finished is shown by `onDraw`.
      if (!pad.busy()) show(image, reading);
    },
    close: () => pad.close(),
  };
}
