// The manifold grid: a plane of latent space decoded tile by tile in a worker, so that the picture under the
// hand never waits for it. `_grid.py` is its twin in the panel.

import { makeNetwork } from "../_core/network.js";
import { htmlElement } from "../_core/elements.js";
import { onArrows } from "../_core/keys.js";
import { clamp } from "../_core/numbers.js";
import { normalCdf, normalQuantile } from "../_core/normal.js";
import { countFrame, penOf, toRGBA } from "../_core/pixels.js";

/** @import { Description, Network, Weights } from "../_core/network.js" */
/** @import { Mapping } from "./plane.js" */
/**
 * What the worker is sent: a network, or points to decode.
 * @typedef {{ spec: Description, weights: Weights } | { spec?: undefined, id: number, points: Float64Array }} Asked
 */
/**
 * @typedef {{
 *   postMessage(message: object, transfer: Transferable[]): void,
 *   onmessage: ((event: MessageEvent<Asked>) => void) | null,
 * }} Scope
 */
/**
 * @typedef {{
 *   canvas: HTMLCanvasElement, ring: HTMLElement, note: HTMLElement, spec: Description, weights: Weights,
 *   reach: number, prior: boolean, onMove: (x: number, y: number) => void, onError: (message: string) => void,
 *   say: (text: string) => void,
 * }} GridOptions
 */

// Runs in the worker, which is given its text: decodes a list of points a few at a time, and drops it when another
// comes.
/** @type {(scope: Scope, makeNetwork: (spec: Description, weights: Weights) => Network) => void} */
function serveDecodes(scope, makeNetwork) {
  /** @type {Network | null} */
  let network = null;
  /** @type {{ id: number, points: Float64Array, at: number } | null} */
  let job = null;
  let busy = false;
  const { port1, port2 } = new MessageChannel();
  const step = () => {
    busy = job !== null && job.at < job.points.length;
    if (!busy || !job || !network) return;
    const end = Math.min(job.points.length, job.at + 10 * network.latentDim);
    const pixels = network.decodeMany(job.points.subarray(job.at, end));
    scope.postMessage({ id: job.id, first: job.at / network.latentDim, pixels }, [pixels.buffer]);
    job.at = end;
    // Through the queue, where a newer job may be waiting.
    port2.postMessage(null);
  };
  port1.onmessage = step;
  scope.onmessage = ({ data }) => {
    if (data.spec) network = makeNetwork(data.spec, data.weights);
    else {
      job = { ...data, at: 0 };
      if (!busy) step();
    }
  };
}

// `say` hears what the ring cannot show, or "".
/** @param {GridOptions} options */
export function makeGrid({ canvas, ring, note, spec, weights, reach, prior, onMove, onError, say }) {
  const [, height, width] = spec.imageShape;
  const tiles = Math.min(30, Math.max(5, Math.floor(900 / Math.max(height, width))));
  canvas.width = tiles * width;
  canvas.height = tiles * height;
  // Fine pixels are drawn smaller than one of the screen's: there averaging is the honest picture.
  canvas.style.imageRendering = canvas.width > 420 ? "auto" : "pixelated";
  const context = penOf(canvas);
  context.imageSmoothingEnabled = false;
  const one = htmlElement("canvas", null, "", { width, height });

  // Each is [tile, how many tiles square it stands for]: the middles of 3 x 3 blocks, then the rest.
  const BLOCK = 3;
  /** @type {number[][]} */
  const order = [];
  for (let row = 0; row < tiles; row += BLOCK) {
    for (let column = 0; column < tiles; column += BLOCK) {
      order.push([Math.min(row + 1, tiles - 1), Math.min(column + 1, tiles - 1), row, column, BLOCK]);
    }
  }
  const coarse = order.length, known = new Set(order.map(([row, column]) => row * tiles + column));
  for (let row = 0; row < tiles; row++) {
    for (let column = 0; column < tiles; column++) {
      if (!known.has(row * tiles + column)) order.push([row, column, row, column, 1]);
    }
  }

  /** @type {Worker | null} */
  let worker = null;
  let job = 0, cursor = [0, 0];
  const settings = { byMass: prior, centre: [0, 0], reach };
  /** @type {ImageData[]} */
  const middles = [];

  // A place is (u, v): shares of the picture's width and height from its top left corner.
  const edge = normalCdf(reach);
  /** @type {(share: number, k: number) => number} */
  function coordinate(share, k) {
    if (!settings.byMass) return settings.centre[k] + settings.reach * (2 * share - 1);
    if (share <= 1 - edge) return -reach;
    return share >= edge ? reach : normalQuantile(share);
  }
  /** @type {(place: number[]) => number[]} */
  const toPlane = ([u, v]) => [coordinate(u, 0), coordinate(1 - v, 1)];
  /** @type {(point: number[]) => number[]} */
  function toPlace(point) {
    const [u, v] = point.map((value, k) =>
      settings.byMass ? normalCdf(value) : ((value - settings.centre[k]) / settings.reach + 1) / 2);
    return [u, 1 - v];
  }

  // Each middle that was painted gives way to the same pixels at their own size when the rest has come.
  /** @type {(answer: { id: number, first: number, pixels: Float32Array }) => void} */
  function paint({ id, first, pixels }) {
    if (id !== job) return;
    const area = spec.imageShape[0] * height * width;
    for (let k = 0; k * area < pixels.length; k++) {
      const [row, column, top, left, extent] = order[first + k];
      const image = toRGBA(pixels.subarray(k * area, (k + 1) * area), spec.imageShape);
      if (extent === 1) context.putImageData(image, column * width, row * height);
      else {
        penOf(one).putImageData(image, 0, 0);
        context.drawImage(one, left * width, top * height, extent * width, extent * height);
        middles[first + k] = image;
      }
      if (first + k === coarse) {
        order.slice(0, coarse).forEach(([r, c], n) => context.putImageData(middles[n], c * width, r * height));
      }
    }
    const done = first + pixels.length / area;
    canvas.dataset.vwTiles = String(done);
    countFrame(canvas);
    canvas.setAttribute("aria-busy", String(done < order.length));
  }

  /** @type {() => Worker} */
  function start() {
    const text = [makeNetwork.source, `(${serveDecodes})(self, makeNetwork);`];
    const worker = new Worker(URL.createObjectURL(new Blob(text, { type: "text/javascript" })));
    worker.onmessage = ({ data }) => paint(data);
    worker.onerror = (event) => onError(`the grid's worker failed: ${event.message || "it could not start"}`);
    worker.postMessage({ spec: { ...spec, encoder: null }, weights });
    return worker;
  }

  // A cursor beyond the picture has its ring at the edge.
  function place() {
    const box = canvas.getBoundingClientRect(), [u, v] = toPlace(cursor).map((share) => clamp(share));
    ring.style.transform = `translate(${u * box.width}px, ${v * box.height}px)`;
    const beyond = cursor.some((value, k) => Math.abs(value - settings.centre[k]) > settings.reach * (1 + 1e-9));
    ring.classList.toggle("beyond", beyond);
    say(beyond ? "z lies outside this picture: its ring is at the edge." : "");
  }

  function describe() {
    const n = tiles, total = n * n;
    if (settings.byMass) {
      note.textContent = `${n} x ${n} tiles, each 1/${total} of the prior's mass in this plane; together 100 %.`;
    } else if (prior) {
      const mass = ((2 * normalCdf(reach) - 1) ** 2 * 100).toFixed(1);
      note.textContent = `${n} x ${n} tiles in even steps over \u00b1${reach}: ${mass} % of the prior's mass.`;
    } else {
      const [[x, y], r] = [settings.centre, settings.reach];
      /** @type {(middle: number) => string} */
      const ends = (middle) => `${(middle - r).toFixed(1)} to ${(middle + r).toFixed(1)}`;
      note.textContent = `${n} x ${n} tiles in even steps over most codes: ${ends(x)} across, ${ends(y)} up. `
        + "An autoencoder has no prior to say what is likely.";
    }
  }

  /** @type {(event: PointerEvent) => void} */
  const drag = (event) => {
    const box = canvas.getBoundingClientRect();
    const shares = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    const [x, y] = toPlane(shares.map((share) => clamp(share)));
    onMove(x, y);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    event.preventDefault();
    drag(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) drag(event);
  });
  onArrows(canvas, (across, up) => {
    // Along one axis: the other coordinate stays as it is, wherever it lies.
    const k = across ? 0 : 1, place = toPlace(cursor).map((share) => clamp(share));
    place[k] = clamp(place[k] + (k ? -up : across) / tiles);
    const to = cursor.slice();
    to[k] = toPlane(place)[k];
    if ((to[k] - cursor[k]) * (k ? up : across) > 0) onMove(to[0], to[1]);
    else say("The picture ends here.");
  }, { far: 5 });
  const resized = new ResizeObserver(place);
  resized.observe(canvas);

  return {
    tiles,
    // Other weights of the same shapes, for the next draw.
    /** @type {(changed: Weights) => void} */
    setWeights(changed) {
      weights = changed;
      worker?.postMessage({ spec: { ...spec, encoder: null }, weights });
    },
    close() {
      resized.disconnect();
      worker?.terminate();
    },
    /** @type {(x: number, y: number) => void} */
    setCursor(x, y) { cursor = [x, y]; place(); },
    // Decodes anew; lift(x, y) gives the z of a point of the plane.
    /** @type {(lift: (x: number, y: number) => number[], changes?: Partial<Mapping>) => void} */
    draw(lift, changes = {}) {
      Object.assign(settings, changes);
      describe();
      canvas.setAttribute("aria-label", `${tiles} by ${tiles} decoded pictures of the plane; arrow keys move z`);
      canvas.dataset.vwTiles = "0";
      canvas.setAttribute("aria-busy", "true");
      const shares = Array.from({ length: tiles }, (_, k) => (k + 0.5) / tiles);
      const across = shares.map((share) => coordinate(share, 0)), up = shares.map((share) => coordinate(1 - share, 1));
      const points = order.map(([row, column]) => lift(across[column], up[row]));
      worker ??= start();
      job += 1;
      worker.postMessage({ id: job, points: Float64Array.from(points.flat()) });
    },
  };
}
