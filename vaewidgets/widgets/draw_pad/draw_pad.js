// The pad as a part of a panel. It encodes and decodes in the page where the page can, and draws mu and its ellipses
// over the panel's map.

import { makeNetwork } from "../_core/network.js";
import { makeBoard, readDrawing, spreadOf } from "./board.js";
import { makeEllipses } from "./cloud.js";
import { change, listen } from "../_core/model.js";
import { floatsOf } from "../_core/numbers.js";
import { overPlot } from "../_map/overlay.js";

/** @import { Network } from "../_core/network.js" */
/** @import { Loaded } from "../_core/weights.js" */
/** @import { Codes, Reading } from "./board.js" */
/** @import { Stroke } from "./image.js" */
/** @import { Context } from "../_core/model.js" */
/** @typedef {{ mu: number[], logvar: number[] | null, reconstruction: DataView } | { mu?: undefined }} Answer */
/**
 * @typedef {{
 *   shape: number[], frame: number[], prior: boolean, codes: DataView, labels: DataView, names: string[],
 *   strokes: Stroke[], pixels: DataView, answer: Answer | null, networks: { model?: Loaded },
 * }} Traits
 */

/** @type {(context: Context<Traits>) => () => void} */
function render({ model, el }) {
  // `answer` comes from the kernel where the page cannot encode; null if it belongs to an earlier drawing.
  let answer = model.get("answer");
  /** @type {Network | null} */
  let network = null;
  /** @type {Reading | null} */
  let reading = null;
  /** @type {Codes} */
  let codes = { values: [], labels: null, names: [] };
  const setWeights = () => {
    const described = model.get("networks").model;
    network = described ? makeNetwork(described.spec, described.weights) : null;
  };
  const chart = () => {
    const labels = model.get("labels");
    codes = {
      values: floatsOf(model.get("codes")), names: model.get("names"),
      labels: labels.byteLength ? new Int32Array(floatsOf(labels).buffer) : null,
    };
  };
  setWeights();
  chart();
  const board = makeBoard({
    imageShape: [1, ...model.get("shape")], frame: model.get("frame"), prior: model.get("prior"),
    read: (image) => network && readDrawing(network, image),
    codes: () => codes,
    onReading: (now) => { reading = now; over.place(); },
    onEnd(strokes, image) {
      answer = null;
      change(model, { strokes, pixels: new DataView(image ? image.buffer : new ArrayBuffer(0)) });
    },
  });
  const over = overPlot(el, {
    place([x, y]) {
      over.hush();
      if (!reading) return cloud.hide();
      const [u, v] = [reading.mu[0], reading.mu[1] ?? 0], { sigma } = reading;
      cloud.place(over.held("mu", [u, v]).place, sigma && [
        x.l2p(u + sigma[0]) - x.l2p(u), y.l2p(v) - y.l2p(v + (sigma[1] ?? 0)),
      ]);
    },
  });
  const cloud = makeEllipses(over.layer);
  el.append(board.element);

  /** @type {() => Reading | null} */
  const given = () => {
    if (network || !answer || !answer.mu) return null;
    const mu = Float32Array.from(answer.mu), logvar = answer.logvar && Float32Array.from(answer.logvar);
    return { mu, logvar, sigma: spreadOf(logvar), reconstruction: floatsOf(answer.reconstruction) };
  };
  const adopt = () => {
    const pixels = model.get("pixels");
    board.adopt(model.get("strokes"), pixels.byteLength ? floatsOf(pixels) : null, given());
  };
  /** @type {(update: () => void) => () => void} */
  const after = (update) => () => {
    update();
    adopt();
  };
  const deafen = listen(model, [
    ["change:networks", after(setWeights)], ["change:codes", after(chart)], ["change:strokes", adopt],
    ["change:pixels", adopt], ["change:answer", after(() => { answer = model.get("answer"); })],
  ]);
  adopt();
  return () => {
    deafen();
    over.close();
    board.close();
  };
}

export default { render };
