// The manifold grid of a panel: decoded in a worker, and drawn anew when the plane it shows has moved.

import { htmlElement, makeViewNote } from "./elements.js";
import { makeGrid } from "./page_grid.js";
import { pictureCanvas, toRGBA } from "./pixels.js";
import { latentOf, lift, project } from "./shared.js";

function render({ model, el }) {
  const latent = latentOf(model.get("key"));
  const frame = htmlElement("div", el, "vw-picture vw-interactive"), canvas = pictureCanvas(frame);
  const ring = htmlElement("div", frame, "vw-cursor vw-grid-cursor"), say = makeViewNote(frame);
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");

  let grid = null, network = null, drawn = "", pending = null;
  const draw = () => {
    pending = null;
    const { plane, z } = latent;
    grid.draw((x, y) => lift(plane, [x, y], z), model.get("mapping"));
  };
  const follow = () => {
    const { plane, z } = latent;
    if (!latent.network || !plane) return;
    if (network !== latent.network) {
      if (grid) grid.setWeights(latent.weights);
      else {
        grid = makeGrid({
          canvas, ring, note: htmlElement("div"), source: latent.source, spec: latent.spec, weights: latent.weights,
          reach: model.get("mapping").reach, prior: model.get("prior"),
          toImage: (pixels) => toRGBA(pixels, latent.spec.imageShape),
          onMove: (x, y) => latent.move(lift(latent.plane, [x, y], latent.z), true),
          onError: say, say,
        });
        canvas.style.width = `${model.get("display_width")}px`;
      }
      network = latent.network;
      drawn = "";
    }
    grid.setCursor(...project(plane, z));
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
    if (grid) grid.close();
  };
}

export default { render };
