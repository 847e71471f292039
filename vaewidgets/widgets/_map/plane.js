// A picture of the plane that the kernel decodes, with a cursor that moves z.

import { htmlElement, makeViewNote } from "../_core/elements.js";
import { onArrows } from "../_core/keys.js";
import { clamp } from "../_core/numbers.js";
import { normalCdf, normalQuantile } from "../_core/normal.js";
import { showPixels } from "../_core/pixels.js";
import { latentOf, lift, project } from "../_core/shared.js";

/** @import { Context } from "../_core/model.js" */
/** @import { PictureTraits } from "../_core/pixels.js" */
/** @typedef {{ centre: number[], reach: number, byMass: boolean }} Mapping */
/** @typedef {PictureTraits & { key: string, mapping: Mapping, key_step: number }} Traits */

// As ManifoldGrid.to_place and to_plane have them: shares of width and height from the top left corner.
/** @type {(mapping: Mapping, point: number[]) => number[]} */
function toPlace({ centre, reach, byMass }, point) {
  const share = point.map((v, k) => (byMass ? normalCdf(v - centre[k]) : ((v - centre[k]) / reach + 1) / 2));
  return [share[0], 1 - share[1]];
}
/** @type {(mapping: Mapping, place: number[]) => number[]} */
function toPlane({ centre, reach, byMass }, [u, v]) {
  return [u, 1 - v].map((share, k) => {
    if (!byMass) return centre[k] + reach * (2 * share - 1);
    return centre[k] + clamp(normalQuantile(share), [-reach, reach]);
  });
}

/** @param {Context<Traits>} context */
function render({ model, el }) {
  const { frame, canvas, close } = showPixels(model, el);
  const latent = latentOf(model.get("key"));
  const ring = htmlElement("div", frame, "vw-cursor");
  const say = makeViewNote(frame);
  frame.classList.add("vw-interactive");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");

  const here = () => latent.plane && toPlace(model.get("mapping"), project(latent.plane, latent.z));
  const place = () => {
    const exact = here();
    if (!exact) return;
    const [u, v] = exact.map((share) => clamp(share));
    const outside = u !== exact[0] || v !== exact[1];
    ring.style.left = `${100 * u}%`;
    ring.style.top = `${100 * v}%`;
    ring.classList.toggle("beyond", outside);
    say(outside ? "z lies outside this picture: its ring is at the edge." : "");
  };
  /** @type {(u: number, v: number) => void} */
  const send = (u, v) => {
    if (!latent.plane) return;
    latent.move(lift(latent.plane, toPlane(model.get("mapping"), [u, v]), latent.z), true);
  };
  /** @type {(event: PointerEvent) => void} */
  const press = (event) => {
    const box = canvas.getBoundingClientRect();
    send(clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height));
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    canvas.focus();
    press(event);
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) press(event);
  });
  onArrows(canvas, (across, up) => {
    const step = model.get("key_step"), at = here();
    if (at) send(at[0] + across * step, at[1] - up * step);
  }, { far: 5 });
  latent.listeners.add(place);
  model.on("change:mapping", place);
  place();
  return () => {
    latent.listeners.delete(place);
    model.off("change:mapping", place);
    close();
  };
}

export default { render };
