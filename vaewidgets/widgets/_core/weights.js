// The weights of a widget's network, which reach the page once for all widgets that use them.

import { forget } from "./loader.js";
import { halfToFloat } from "./network.js";

/** @import { Load } from "./loader.js" */
/** @import { Listener, Model } from "./model.js" */
/** @import { Description } from "./network.js" */
/** @typedef {{ hash: string, dtype: "float16" | "float32" }} Part */
/** @typedef {{ spec: Description, parts: Part[] }} Told */
/** @typedef {{ spec: Description, weights: DataView }} Loaded */

// How many widgets use each part: weights that are trained come anew with every step.
/** @type {Map<string, number>} */
const users = new Map();
/** @type {(hash: string, change: number) => void} */
function count(hash, change) {
  const now = (users.get(hash) ?? 0) + change;
  users.set(hash, now);
  if (now) return;
  users.delete(hash);
  forget(hash);
}

/** @type {(bytes: ArrayBuffer, dtype: Part["dtype"]) => Float32Array} */
const floatsOf = (bytes, dtype) =>
  dtype === "float32" ? new Float32Array(bytes) : Float32Array.from(new Uint16Array(bytes), halfToFloat);

/** @type {(arrays: Float32Array[]) => DataView} */
function join(arrays) {
  const all = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let start = 0;
  for (const array of arrays) {
    all.set(array, start);
    start += array.length;
  }
  return new DataView(all.buffer);
}

// Whether a list of events has that of the networks, and the others.
/** @type {(events: string) => [boolean, string]} */
function split(events) {
  const names = events.split(" "), others = names.filter((name) => name !== "change:networks");
  return [others.length < names.length, others.join(" ")];
}

// A model whose `networks` have their weights; they change once the new weights are there.
/** @type {(model: Model<any>, load: Load) => Promise<Model<any>>} */
export async function adapt(model, load) {
  if (!model.get("networks")) return model;
  /** @type {Set<Listener>} */
  const listeners = new Set();
  /** @type {{ [name: string]: Loaded }} */
  let networks = {};
  /** @type {Part[]} */
  let held = [];
  let latest = 0;
  const follow = async () => {
    const turn = ++latest, told = Object.entries(/** @type {{ [name: string]: Told }} */ (model.get("networks")));
    const parts = told.flatMap(([, network]) => network.parts), before = held;
    for (const { hash } of parts) count(hash, 1);
    held = parts;
    try {
      const found = await Promise.all(told.map(async ([name, network]) => {
        const arrays = network.parts.map(({ hash, dtype }) => load(hash, (bytes) => floatsOf(bytes, dtype)));
        const weights = join(await Promise.all(arrays));
        return /** @type {[string, Loaded]} */ ([name, { spec: { ...network.spec, dtype: "float32" }, weights }]);
      }));
      if (turn === latest) networks = Object.fromEntries(found);
    } catch (error) {
      // Where the kernel no longer has weights, newer ones are under way.
      if (turn === latest) throw error;
    } finally {
      for (const { hash } of before) count(hash, -1);
    }
    if (turn === latest) for (const listener of listeners) listener({ type: "" });
  };
  model.on("change:networks", () => follow().catch((error) => { if (!error.over) throw error; }));
  model.on("destroy", () => { for (const { hash } of held.splice(0)) count(hash, -1); });
  await follow();
  return {
    ...model,
    get: (name) => (name === "networks" ? networks : model.get(name)),
    on(events, listener) {
      const [own, others] = split(events);
      if (own) listeners.add(listener);
      if (others) model.on(others, listener);
    },
    off(events, listener) {
      const [own, others] = split(events);
      if (own) listeners.delete(listener);
      if (others) model.off(others, listener);
    },
  };
}
