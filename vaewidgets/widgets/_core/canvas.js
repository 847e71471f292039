// A picture: the kernel's pixels, or, with the key of a latent point, what the page decodes of it.

import { formatPoint } from "./numbers.js";
import { paint, showPixels, toRGBA } from "./pixels.js";
import { latentOf } from "./shared.js";

/** @import { Context } from "./model.js" */
/** @import { PictureTraits } from "./pixels.js" */
/** @typedef {PictureTraits & { key: string }} Traits */

/** @param {Context<Traits>} context */
function render({ model, el }) {
  const { canvas, size, close } = showPixels(model, el);
  let leave = () => {};
  const join = () => {
    leave();
    const key = model.get("key");
    if (!key) return;
    const latent = latentOf(key);
    const decode = () => {
      const { network, z } = latent;
      if (!network) return;
      latent.decode(z, (pixels) => {
        paint(canvas, toRGBA(pixels, network.imageShape));
        canvas.setAttribute("aria-label", `decoded picture of z = ${formatPoint(z)}`);
        size();
      });
    };
    latent.listeners.add(decode);
    leave = () => { latent.listeners.delete(decode); };
    decode();
  };
  model.on("change:key", join);
  join();
  return () => {
    model.off("change:key", join);
    leave();
    close();
  };
}

export default { render };
