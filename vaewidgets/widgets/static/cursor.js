// The cursor of a latent map: laid over the Plotly plot of the same panel, on its own compositor
// layer, so that moving it costs no redraw of the plot.

function render({ model, el }) {
  el.style.display = "none";
  const layer = document.createElement("div");
  layer.className = "vw-map-layer";
  const ring = document.createElement("div");
  ring.className = "vw-cursor vw-map-cursor";
  ring.tabIndex = 0;
  ring.setAttribute("role", "application");
  ring.setAttribute("aria-label", model.get("label"));
  layer.append(ring);

  const key = model.get("key");
  const latent = key ? latentOf(key) : null;
  const position = () => (latent && latent.plane ? project(latent.plane, latent.z) : model.get("position"));

  let plot = null;
  const axes = () => {
    const layout = plot && plot._fullLayout;
    return layout && layout.xaxis && layout.yaxis ? [layout.xaxis, layout.yaxis] : null;
  };

  const place = () => {
    const axis = axes();
    if (!axis) return;
    const [x, y] = axis;
    if (layer.parentNode !== plot) plot.append(layer);
    layer.style.left = `${x._offset}px`;
    layer.style.top = `${y._offset}px`;
    layer.style.width = `${x._length}px`;
    layer.style.height = `${y._length}px`;
    const [u, v] = position();
    ring.style.transform = `translate(${x.l2p(u)}px, ${y.l2p(v)}px)`;
  };

  const send = (u, v) => {
    if (latent) return latent.move(lift(latent.plane, [u, v], latent.z), true);
    model.set("position", [u, v]);
    model.set("moved", [u, v]);
    model.save_changes();
  };
  const drag = (event) => {
    const axis = axes();
    if (!axis) return;
    const box = layer.getBoundingClientRect();
    // The page may be zoomed or scaled: screen pixels are turned into layout pixels first.
    const scale = layer.offsetWidth ? box.width / layer.offsetWidth : 1;
    const [x, y] = axis;
    send(x.p2l((event.clientX - box.left) / scale), y.p2l((event.clientY - box.top) / scale));
  };
  // A press anywhere on the plane takes the cursor there, and it follows until the release. With one of
  // Plotly's own tools chosen (pan, zoom) the press is that tool's. Nothing is captured or prevented:
  // Plotly must see the same press to know a click on a point.
  const inside = (event) => {
    const box = layer.getBoundingClientRect();
    return event.clientX >= box.left && event.clientX < box.right && event.clientY >= box.top
      && event.clientY < box.bottom;
  };
  const release = (event) => {
    if (event && event.pointerId !== held) return;
    held = null;
    // Else Plotly, whose own dragging is off, would take the release for a click where the press was.
    if (!still && plot) plot._dragging = false;
    window.removeEventListener("pointermove", follow);
    window.removeEventListener("pointerup", release);
    window.removeEventListener("pointercancel", release);
  };
  let held = null;
  let from = [0, 0];
  let still = true;
  const follow = (event) => {
    if (event.pointerId !== held) return;
    // A click shakes a little; on a point it means the point, not the pixel beside it.
    still &&= Math.hypot(event.clientX - from[0], event.clientY - from[1]) < 4;
    if (!still) drag(event);
  };
  const press = (event) => {
    const onRing = event.target === ring;
    const ours = onRing || (plot._fullLayout.dragmode === false && inside(event) && !event.target.closest(".modebar"));
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
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  ring.addEventListener("keydown", (event) => {
    const arrow = arrows[event.key];
    if (!arrow) return;
    const step = model.get("key_step") * (event.shiftKey ? 10 : 1);
    const [u, v] = position();
    send(u + arrow[0] * step, v + arrow[1] * step);
    event.preventDefault();
    event.stopPropagation();
  });

  // Hovering: what the decoder paints at the pointer, decoded here. The point keeps what z has outside
  // the plane, as the cursor itself does.
  const lens = document.createElement("canvas");
  lens.className = "vw-lens";
  lens.dataset.vw = "picture";
  lens.dataset.vwFrame = "0";
  lens.hidden = true;
  layer.append(lens);
  const peek = (event) => {
    const axis = axes();
    const box = layer.getBoundingClientRect();
    const [u, v] = [event.clientX - box.left, event.clientY - box.top];
    const network = latent && latent.network;
    lens.hidden = !(model.get("hover") && network && axis && u >= 0 && v >= 0 && u < box.width && v < box.height);
    if (lens.hidden) return;
    const scale = layer.offsetWidth ? box.width / layer.offsetWidth : 1;
    const here = [axis[0].p2l(u / scale), axis[1].p2l(v / scale)];
    paint(lens, toRGBA(network.decode(lift(latent.plane, here, latent.z)), network.imageShape));
    // Beside the pointer, on the side where there is room.
    const [x, y] = [u / scale, v / scale];
    lens.style.transform = `translate(${x > layer.offsetWidth / 2 ? x - 100 : x + 16}px, ${
      y > layer.offsetHeight / 2 ? y - 100 : y + 16}px)`;
  };
  const leave = () => { lens.hidden = true; };

  // The plot is drawn by another widget, at its own time, and may be replaced: adopt it when it
  // appears. Until then the observer looks at the panel; afterwards the plot's own events suffice.
  const events = ["plotly_afterplot", "plotly_relayout", "plotly_relayouting"];
  const abandon = () => {
    if (plot && plot.removeListener) events.forEach((name) => plot.removeListener(name, place));
    if (plot) {
      plot.removeEventListener("pointerdown", press, true);
      plot.removeEventListener("pointermove", peek);
      plot.removeEventListener("pointerleave", leave);
    }
    plot = null;
  };
  const adopt = () => {
    const panel = el.closest(".vw-panel");
    const found = panel && panel.querySelector(".js-plotly-plot");
    if (!found || !found._fullLayout || found === plot) return;
    abandon();
    plot = found;
    events.forEach((name) => plot.on(name, place));
    plot.addEventListener("pointerdown", press, true);
    plot.addEventListener("pointermove", peek);
    plot.addEventListener("pointerleave", leave);
    place();
  };
  let panel = null;
  const watcher = new MutationObserver(adopt);
  const watch = () => {
    panel = el.closest(".vw-panel");
    if (!panel) return requestAnimationFrame(() => el.isConnected && watch());
    watcher.observe(panel, { childList: true, subtree: true });
    adopt();
  };
  requestAnimationFrame(watch);

  const listeners = [["change:position", place], ["change:hover", leave]];
  for (const [event, listener] of listeners) model.on(event, listener);
  if (latent) latent.listeners.add(place);
  return () => {
    if (latent) latent.listeners.delete(place);
    listeners.forEach(([event, listener]) => model.off(event, listener));
    watcher.disconnect();
    release();
    abandon();
    layer.remove();
  };
}

export default { render };
