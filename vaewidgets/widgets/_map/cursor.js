// The cursor of a latent map: laid over the Plotly plot of the same panel, on its own compositor
// layer, so that moving it costs no redraw of the plot.

import { htmlElement } from "../_core/elements.js";
import { onArrows } from "../_core/keys.js";
import { change, listen } from "../_core/model.js";
import { overPlot } from "./overlay.js";
import { paint, pictureCanvas, toRGBA } from "../_core/pixels.js";
import { latentOf, lift, project } from "../_core/shared.js";

/** @import { Context } from "../_core/model.js" */
/**
 * @typedef {{
 *   position: number[], moved: number[], key: string, key_step: number, label: string, hover: boolean,
 * }} Traits
 */

/** @param {Context<Traits>} context */
function render({ model, el }) {
  el.style.display = "none";
  const ring = htmlElement("div", null, "vw-cursor vw-map-cursor");
  ring.tabIndex = 0;
  ring.setAttribute("role", "application");
  ring.setAttribute("aria-label", model.get("label"));

  const key = model.get("key");
  const latent = key ? latentOf(key) : null;
  const position = () => (latent?.plane ? project(latent.plane, latent.z) : model.get("position"));

  const place = () => {
    const { place: [left, top], outside } = over.held(latent ? "z" : "the cursor", position());
    ring.style.transform = `translate(${left}px, ${top}px)`;
    ring.classList.toggle("beyond", outside);
  };

  /** @type {(u: number, v: number) => void} */
  const send = (u, v) => {
    if (!latent) change(model, { position: [u, v], moved: [u, v] });
    else if (latent.plane) latent.move(lift(latent.plane, [u, v], latent.z), true);
  };
  /** @type {(event: PointerEvent) => void} */
  const drag = (event) => {
    if (!over.axes()) return;
    const [u, v] = over.locate(event);
    send(u, v);
  };
  // A press anywhere on the plane takes the cursor there, and it follows until the release. With one of
  // Plotly's own tools chosen (pan, zoom) the press is that tool's. Nothing is captured or prevented:
  // Plotly must see the same press to know a click on a point.
  /** @type {(event: MouseEvent) => boolean} */
  const inside = (event) => {
    const box = over.layer.getBoundingClientRect();
    return event.clientX >= box.left && event.clientX < box.right && event.clientY >= box.top
      && event.clientY < box.bottom;
  };
  /** @type {(event?: PointerEvent) => void} */
  const release = (event) => {
    if (event && event.pointerId !== held) return;
    held = null;
    // Else Plotly, whose own dragging is off, would take the release for a click where the press was.
    if (!still && over.plot) over.plot._dragging = false;
    window.removeEventListener("pointermove", follow);
    window.removeEventListener("pointerup", release);
    window.removeEventListener("pointercancel", release);
  };
  /** @type {number | null} */
  let held = null;
  let from = [0, 0];
  let still = true;
  /** @type {(event: PointerEvent) => void} */
  const follow = (event) => {
    if (event.pointerId !== held) return;
    // A click shakes a little; on a point it means the point, not the pixel beside it.
    still &&= Math.hypot(event.clientX - from[0], event.clientY - from[1]) < 4;
    if (!still) drag(event);
  };
  /** @type {(event: PointerEvent) => void} */
  const press = (event) => {
    const onRing = event.target === ring;
    const onTool = event.target instanceof Element && event.target.closest(".modebar, .vw-lasso");
    const ours = onRing || (over.plot?._fullLayout?.dragmode === false && inside(event) && !onTool);
    if (event.button !== 0 || held !== null || !ours) return;
    held = event.pointerId;
    from = [event.clientX, event.clientY];
    still = true;
    window.addEventListener("pointermove", follow);
    window.addEventListener("pointerup", release);
    window.addEventListener("pointercancel", release);
    if (onRing) event.preventDefault();
    else drag(event);
    ring.focus({ preventScroll: true });
  };
  onArrows(ring, (across, up) => {
    const step = model.get("key_step"), [u, v] = position();
    send(u + across * step, v + up * step);
  });

  // Hovering: what the decoder paints at the pointer, decoded here. The point keeps what z has outside
  // the plane, as the cursor itself does.
  const lens = pictureCanvas(null, "vw-lens");
  lens.hidden = true;
  /** @type {(event: PointerEvent) => void} */
  const peek = (event) => {
    const network = latent?.network, plane = latent?.plane;
    lens.hidden = !(model.get("hover") && over.axes() && inside(event));
    if (lens.hidden || !network || !plane) {
      lens.hidden = true;
      return;
    }
    const here = lift(plane, over.locate(event), latent.z);
    latent.decode(here, (pixels) => paint(lens, toRGBA(pixels, network.imageShape)));
    // Beside the pointer, on the side where there is room.
    const [x, y] = over.at(event), { offsetWidth, offsetHeight } = over.layer;
    lens.style.transform = `translate(${x > offsetWidth / 2 ? x - 100 : x + 16}px, ${
      y > offsetHeight / 2 ? y - 100 : y + 16}px)`;
  };
  const leave = () => { lens.hidden = true; };

  const over = overPlot(el, {
    place,
    adopted(plot) {
      plot.addEventListener("pointerdown", press, true);
      plot.addEventListener("pointermove", peek);
      plot.addEventListener("pointerleave", leave);
    },
    abandoned(plot) {
      plot.removeEventListener("pointerdown", press, true);
      plot.removeEventListener("pointermove", peek);
      plot.removeEventListener("pointerleave", leave);
    },
  });
  over.layer.append(ring, lens);

  const deafen = listen(model, [["change:position", over.place], ["change:hover", leave]]);
  if (latent) latent.listeners.add(over.place);
  return () => {
    if (latent) latent.listeners.delete(over.place);
    deafen();
    release();
    over.close();
  };
}

export default { render };
