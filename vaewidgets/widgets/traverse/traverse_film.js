// The decoder of a traversal, and strips of pictures that are decoded as fast as a drag allows.

import { makeNetwork } from "../_core/network.js";
import { floatsOf } from "../_core/numbers.js";
import { countFrame, penOf, pictureCanvas, toRGBA } from "../_core/pixels.js";

/** @import { Network } from "../_core/network.js" */
/** @import { Model } from "../_core/model.js" */
/** @import { Loaded } from "../_core/weights.js" */
/**
 * @typedef {{
 *   index: number, text: string, share: number, dead: boolean, centre: number, spread: number,
 * }} Dimension
 */
/**
 * @typedef {{
 *   z: number[], label: number, dimension: number, a: number[], b: number[], t: number, draws: number,
 *   dimensions: Dimension[], shape: number[], classes: string[], prior: boolean, ends: string,
 *   sizes: {
 *     strip: number, reach: number, points: number, film: number, tau: number, kinds: { [kind: string]: string },
 *   },
 *   networks: { model?: Loaded, judge?: Loaded }, label_at: number, label_values: DataView, judged: boolean,
 *   tiles: { [name: string]: DataView }, confidence: { [kind: string]: number[] },
 * }} TraverseTraits
 */
/** @typedef {ReturnType<typeof makeEngine>} Engine */

// The decoder in the page, or the pictures that the kernel decoded.
//   engine.decode(z, label)      pixels, overwritten by the next call; null where the kernel decodes
//   engine.sent(name, k)         pixels of the k-th picture that the kernel sent under that name
//   engine.judge(pixels)         best probability among the real classes; null where the kernel asks the judge
/** @param {Model<TraverseTraits>} model */
export function makeEngine(model) {
  const shape = model.get("shape");
  const size = shape[0] * shape[1] * shape[2];
  /** @type {Network | null} */
  let network = null;
  /** @type {Float32Array} */
  let weights = new Float32Array(), labelValues = weights;
  let labelAt = 0, width = 0, told = 0;
  const given = model.get("networks").judge;
  const judge = given ? makeNetwork(given.spec, given.weights) : null;
  const setWeights = () => {
    network = null;
    const described = model.get("networks").model;
    if (!described) return;
    // A copy, into which the values of a label are written.
    weights = floatsOf(described.weights);
    labelAt = model.get("label_at");
    labelValues = floatsOf(model.get("label_values"));
    width = labelValues.length / Math.max(1, model.get("classes").length);
    told = 0;
    network = makeNetwork(described.spec, weights);
  };
  setWeights();
  return {
    shape,
    setWeights,
    /** @type {(z: number[], label: number) => Float32Array | null} */
    decode(z, label) {
      if (!network) return null;
      if (label >= 0 && label !== told) {
        weights.set(labelValues.subarray(label * width, (label + 1) * width), labelAt);
        network.load(weights);
        told = label;
      }
      return network.decode(z);
    },
    /** @type {(pixels: Float32Array | null) => number | null} */
    judge(pixels) {
      if (!judge || !pixels) return null;
      const logits = judge.decode(pixels), highest = Math.max(...logits);
      const weights = Array.from(logits, (l) => Math.exp(l - highest));
      // The last one is "none of these".
      return Math.max(...weights.slice(0, -1)) / weights.reduce((sum, w) => sum + w, 0);
    },
    /** @type {(name: string, k: number) => Float32Array | null} */
    sent(name, k) {
      const bytes = model.get("tiles")[name];
      if (!bytes || bytes.byteLength < (k + 1) * size) return null;
      return Float32Array.from(new Uint8Array(bytes.buffer, bytes.byteOffset + k * size, size), (v) => v / 255);
    },
  };
}

// A canvas of `count` pictures side by side, each `width` screen pixels wide.
/**
 * @type {(
 *   parent: Node, shape: number[], count: number, width: number, label: string,
 * ) => HTMLCanvasElement}
 */
export function makeStrip(parent, shape, count, width, label) {
  const [, rows, columns] = shape;
  const canvas = pictureCanvas(parent);
  Object.assign(canvas, { width: count * columns, height: rows });
  canvas.style.width = `${count * width}px`;
  canvas.style.height = `${(width * rows) / columns}px`;
  canvas.style.imageRendering = width >= columns ? "pixelated" : "auto";
  canvas.setAttribute("aria-label", label);
  return canvas;
}

// Pictures of which a few are decoded in every frame of the display, cyclically, so that a long drag leaves none out.
// `draw(k)` draws the k-th, `done` what belongs to all. `element` is marked while pictures are missing.
/**
 * @param {number} count @param {(k: number) => void} draw @param {HTMLElement | SVGElement} element
 * @param {() => void} [done]
 */
export function makeFilm(count, draw, element, done = () => {}) {
  let next = 0, left = 0, frame = 0;
  const work = () => {
    const until = performance.now() + 10;
    do {
      draw(next);
      next = (next + 1) % count;
      left--;
    } while (left > 0 && performance.now() < until);
    done();
    countFrame(element);
    element.setAttribute("aria-busy", String(left > 0));
    frame = left > 0 ? requestAnimationFrame(work) : 0;
  };
  return {
    redraw() {
      left = count;
      element.setAttribute("aria-busy", "true");
      frame ||= requestAnimationFrame(work);
    },
    stop: () => cancelAnimationFrame(frame),
  };
}

/** @type {(canvas: HTMLCanvasElement, k: number, pixels: Float32Array | null, shape: number[]) => void} */
export function put(canvas, k, pixels, shape) {
  if (pixels) penOf(canvas).putImageData(toRGBA(pixels, shape), k * shape[2], 0);
}
