// The manifold grid of a panel: decoded in a worker, and drawn anew when the plane it shows has moved.

import { htmlElement, makeViewNote } from "../_core/elements.js";
import { makeGrid } from "./tiles.js";
import { pictureCanvas } from "../_core/pixels.js";
import { latentOf, lift, project } from "../_core/shared.js";

/** @import { Network } from "../_core/network.js" */
/** @import { Context } from "../_core/model.js" */
/** @import { Mapping } from "./plane.js" */
/** @typedef {{ key: string, mapping: Mapping, prior: boolean, display_width: number }} Traits */

/** @param {Context<Traits>} context */
function render({ model, el }) {
  const latent = latentOf(model.get("key"));
  const frame = htmlElement("div", el, "vw-picture vw-interactive"), canvas = pictureCanvas(frame);
  const ring = htmlElement("div", frame, "vw-cursor vw-grid-cursor"), say = makeViewNote(frame);
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");

  /** @type {ReturnType<typeof makeGrid> | null} */
  let grid = null;
  /** @type {Network | null} */
  let network = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let pending;
  let drawn = "";
  const draw = () => {
    pending = undefined;
    const { plane, z } = latent;
    if (plane) grid?.draw((x, y) => lift(plane, [x, y], z), model.get("mapping"));
  };
  const follow = () => {
    const { plane, z, spec, weights } = latent;
    if (!latent.network || !plane || !spec || !weights) return;
    if (!grid) {
      grid = makeGrid({
        canvas, ring, note: htmlElement("div"), spec, weights, reach: model.get("mapping").reach,
        prior: model.get("prior"), onError: say, say,
        onMove: (x, y) => { if (latent.plane) latent.move(lift(latent.plane, [x, y], latent.z), true); },
      });
      canvas.style.width = `${model.get("display_width")}px`;
    } else if (network !== latent.network) grid.setWeights(weights);
    if (network !== latent.network) drawn = "";
    network = latent.network;
    const [x, y] = project(plane, z);
    grid.setCursor(x, y);
    // What the plane goes through: z without its place on the plane. A hand that moves on the plane leaves it.
    const through = lift(plane, [0, 0], z).map((value) => value.toFixed(9));
    const wanted = JSON.stringify([through, plane, model.get("mapping")]);
    if (wanted === drawn) return;
    drawn = wanted;
    // Not at every move: each new drawing gives up the one before, and none would come to its end.
    pending ??= setTimeout(draw, 120);
  };
  latent.listeners.add(follow);
  model.on("change:mapping", follow);
  follow();
  return () => {
    latent.listeners.delete(follow);
    model.off("change:mapping", follow);
    clearTimeout(pending);
    grid?.close();
  };
}

export default { render };
