// The latent point of a panel, as the page holds it: sliders and cursors move it, pictures follow.

import { makeWorkerNetwork } from "./decode_worker.js";
import { decodeMs, makeNetwork } from "./network.js";
import { change, listen } from "./model.js";
import { forgetLatent, latentOf } from "./shared.js";

/** @import { WorkerNetwork } from "./decode_worker.js" */
/** @import { Loaded } from "./weights.js" */
/** @import { Context, Model } from "./model.js" */
/** @import { Latent, Plane } from "./shared.js" */
/**
 * @typedef {{
 *   key: string, z: number[], moved: number[], sliders: string[], dimensions: number[], walk: string, ends: number[][],
 *   serial: number, heard: number, networks: { model?: Loaded }, plane: Plane, page_ms: number,
 * }} Traits
 */
/**
 * What is used of ipywidgets' sliders.
 * @typedef {{
 *   get(name: string): number, set(name: string, value: number): void, save_changes(): void,
 *   on(event: string, listener: () => void): void, off(event: string, listener: () => void): void,
 *   _state_lock: object | null,
 * }} SliderModel
 */

// While a slider waits for the echo of what it said, it leaves out what the kernel says. So some time after
// the kernel has moved z, a slider that did not follow is taken there.
const SETTLE_MS = 100;
// What fits between two frames, and multiply-adds of a decoder that surely does, or surely does not.
const FRAME_MS = 16, QUICK = 2e6, HEAVY = 3e8;

/** @type {(context: Context<Traits>) => () => void} */
function initialize({ model }) {
  const key = model.get("key");
  const latent = latentOf(key);
  // Not awaited: anywidget gives a model two seconds to begin, and a busy page may need more to find another.
  let closed = false;
  let detach = () => {};
  attach(model, latent).then((undo) => {
    detach = undo;
    if (closed) detach();
  });
  return () => {
    closed = true;
    detach();
    forgetLatent(key);
  };
}

/** @type {(model: Model<Traits>, latent: Latent) => Promise<() => void>} */
async function attach(model, latent) {
  const setWeights = () => {
    const { spec, weights } = model.get("networks").model ?? {};
    latent.worker?.close();
    Object.assign(latent, { spec, weights, worker: null, network: null });
    if (spec && weights) {
      const network = latent.network = makeNetwork(spec, weights), first = slow === undefined;
      slow ??= network.macs > HEAVY || (network.macs >= QUICK && decodeMs(network) > FRAME_MS);
      if (slow) latent.worker = makeWorkerNetwork(spec, weights);
      if (latent.worker && first) tellCost(latent.worker, network.latentDim);
    }
    latent.move(latent.z);
  };
  // Whether a picture takes longer than a frame. Found out once: the layers stay.
  /** @type {boolean | undefined} */
  let slow;
  // How long it takes, which the kernel weighs against its own.
  /** @type {(worker: WorkerNetwork, latentDim: number) => Promise<void>} */
  const tellCost = async (worker, latentDim) => {
    // The first one is slower than all that follow.
    for (let k = 0; k < 3; k++) await worker.decode(new Float32Array(latentDim));
    if (Number.isFinite(worker.ms)) change(model, { page_ms: worker.ms });
    latent.move(latent.z);
  };
  const turn = () => {
    const plane = model.get("plane");
    // The kernel sends it a little after the model.
    latent.plane = plane.basis ? plane : null;
    latent.move(latent.z);
  };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let settling;
  const follow = () => {
    latent.move(model.get("z").slice());
    clearTimeout(settling);
    settling = setTimeout(slide, SETTLE_MS);
  };

  /** @type {(id: string) => Promise<SliderModel>} */
  const find = async (id) => (
    /** @type {SliderModel} */ (await model.widget_manager.get_model(id.replace("IPY_MODEL_", "")))
  );
  /** @type {SliderModel[]} */
  const sliders = await Promise.all(model.get("sliders").map(find));
  /** @type {(k: number) => number} */
  const coordinate = (k) => model.get("dimensions")[k];
  /** @type {(slider: SliderModel, k: number) => boolean} */
  const close = (slider, k) => Math.abs(slider.get("value") - latent.z[coordinate(k)]) <= slider.get("step") / 2;
  const handlers = sliders.map((slider, k) => () => {
    // Values that the kernel sends come with z too. And a slider rounds what it is given to its step.
    if (slider._state_lock || close(slider, k)) return;
    const z = latent.z.slice();
    z[coordinate(k)] = slider.get("value");
    latent.move(z);
  });
  const slide = () => {
    sliders.forEach((slider, k) => {
      if (close(slider, k)) return;
      const value = latent.z[coordinate(k)];
      // As the kernel will: a slider clips what lies beyond its range, and would send that back.
      if (value > slider.get("max")) slider.set("max", Math.ceil(2 * value) / 2);
      if (value < slider.get("min")) slider.set("min", Math.floor(2 * value) / 2);
      slider.set("value", value);
      // Sent too: else the kernel's echo of an earlier value would count as the newest, and undo this one.
      slider.save_changes();
    });
  };
  latent.tell = (z) => {
    slide();
    change(model, { moved: z });
  };
  latent.z = model.get("z").slice();
  // A page that was reloaded finds the sliders where the hand left them, and z where Python last put it.
  sliders.forEach((slider, k) => {
    if (!close(slider, k)) latent.z[coordinate(k)] = slider.get("value");
    slider.on("change:value", handlers[k]);
  });
  // t walks from A to B, in the page too.
  const walk = await find(model.get("walk"));
  const step = () => {
    const [a, b] = model.get("ends");
    if (walk._state_lock || !b) return;
    const t = walk.get("value");
    latent.move(a.map((from, i) => (1 - t) * from + t * b[i]), true);
  };
  walk.on("change:value", step);
  // By now the sliders have what the kernel gave with this number, and have answered or are about to.
  const hear = () => setTimeout(() => change(model, { heard: model.get("serial") }), SETTLE_MS);
  const deafen = listen(model, [
    ["change:networks", setWeights], ["change:plane", turn], ["change:z", follow], ["change:serial", hear],
  ]);
  setWeights();
  turn();
  hear();
  return () => {
    clearTimeout(settling);
    latent.worker?.close();
    sliders.forEach((slider, i) => slider.off("change:value", handlers[i]));
    walk.off("change:value", step);
    deafen();
  };
}

/** @type {(context: Context<Traits>) => void} */
function render({ el }) {
  el.style.display = "none";
}

export default { initialize, render };
