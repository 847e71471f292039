// Decodes in a worker, so that a picture that takes longer than a frame does not hold up the page.
//
//   const network = makeWorkerNetwork(spec, weights)
//   await network.decode(z)      // a Float32Array of its own; null if a newer z came before this one's turn
//   network.ms                   // milliseconds that the last decode took, without the way there and back
//   network.where                // "worker", or "page": where workers are forbidden it decodes there
//   network.load(weights)        // other weights of the same description
//   network.close()

import { makeNetwork } from "./network.js";

/** @import { Description, MakeNetwork, Network, Weights } from "./network.js" */
/** @typedef {{ spec?: Description, weights?: Weights, z?: Float64Array }} Asked */
/** @typedef {{ image?: Float32Array, ms: number, error?: string }} Answer */
/**
 * @typedef {{
 *   postMessage(message: Answer, transfer?: Transferable[]): void,
 *   onmessage: ((event: { data: Asked }) => void) | null,
 * }} Scope
 */
/** @typedef {{ z: Float64Array, resolve(image: Float32Array | null): void, reject(error: Error): void }} Job */
/**
 * @typedef {{
 *   readonly where: "worker" | "page", readonly ms: number,
 *   decode(z: ArrayLike<number>): Promise<Float32Array | null>,
 *   load(weights: Weights): void,
 *   close(): void,
 * }} WorkerNetwork
 */

// Runs in the worker, which is given its text. What went wrong before a decode is the answer to that.
/** @type {(scope: Scope, makeNetwork: MakeNetwork) => void} */
function serve(scope, makeNetwork) {
  /** @type {Network} */
  let network;
  /** @type {unknown} */
  let fault = null;
  scope.onmessage = ({ data: { spec, weights, z } }) => {
    try {
      if (z) {
        if (fault) throw fault;
        const begin = performance.now(), image = network.decode(z).slice();
        scope.postMessage({ image, ms: performance.now() - begin }, [image.buffer]);
      } else if (weights) {
        fault = null;
        if (spec) network = makeNetwork(spec, weights);
        else network.load(weights);
      }
    } catch (error) {
      if (z) scope.postMessage({ error: error instanceof Error ? error.message : String(error), ms: NaN });
      else fault = error;
    }
  };
}

/** @type {(spec: Description, weights: Weights) => WorkerNetwork} */
export function makeWorkerNetwork(spec, weights) {
  const decoder = { ...spec, encoder: null };
  let ms = NaN, closed = false;
  // One is under way and the newest waits: those between are dropped.
  /** @type {Job | null} */
  let running = null;
  /** @type {Job | null} */
  let waiting = null;
  /** @type {Worker | null} */
  let worker = null;
  /** @type {Scope | null} */
  let page = null;

  /** @type {(asked: Asked) => void} */
  const send = (asked) => {
    if (worker) worker.postMessage(asked);
    // Not at once: events that are waiting may bring a newer z.
    else setTimeout(() => page?.onmessage?.({ data: asked }));
  };
  const next = () => {
    if (running || !waiting) return;
    running = waiting;
    waiting = null;
    send({ z: running.z });
  };
  /** @type {(answer: Answer) => void} */
  const finish = ({ image, ms: took, error }) => {
    const job = running;
    running = null;
    ms = took;
    if (image) job?.resolve(image);
    else job?.reject(new Error(error));
    next();
  };
  const stayHere = () => {
    if (closed || page) return;
    worker?.terminate();
    worker = null;
    page = { postMessage: finish, onmessage: null };
    serve(page, makeNetwork);
    send({ spec: decoder, weights });
    if (running) send({ z: running.z });
  };

  try {
    const text = [makeNetwork.source, `(${serve})(self, makeNetwork);`];
    const url = URL.createObjectURL(new Blob(text, { type: "text/javascript" }));
    worker = new Worker(url);
    worker.onmessage = ({ data }) => {
      URL.revokeObjectURL(url);
      finish(data);
    };
    // A page's policy makes itself felt here, or when the worker is made.
    worker.onerror = stayHere;
    worker.postMessage({ spec: decoder, weights });
  } catch {
    stayHere();
  }

  return {
    get where() { return page ? "page" : "worker"; },
    get ms() { return ms; },
    decode(z) {
      waiting?.resolve(null);
      return new Promise((resolve, reject) => {
        if (closed) {
          resolve(null);
          return;
        }
        waiting = { z: Float64Array.from(z), resolve, reject };
        next();
      });
    },
    load(changed) {
      weights = changed;
      send({ weights });
    },
    close() {
      closed = true;
      worker?.terminate();
      page = null;
      for (const job of [running, waiting]) job?.resolve(null);
      running = waiting = null;
    },
  };
}
