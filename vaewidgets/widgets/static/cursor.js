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
    const [u, v] = model.get("position");
    ring.style.transform = `translate(${x.l2p(u)}px, ${y.l2p(v)}px)`;
  };

  const send = (u, v) => {
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
  ring.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    ring.setPointerCapture(event.pointerId);
    ring.focus();
    event.preventDefault();
    event.stopPropagation();
  });
  ring.addEventListener("pointermove", (event) => {
    if (ring.hasPointerCapture(event.pointerId)) drag(event);
  });
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  ring.addEventListener("keydown", (event) => {
    const arrow = arrows[event.key];
    if (!arrow) return;
    const step = model.get("key_step") * (event.shiftKey ? 10 : 1);
    const [u, v] = model.get("position");
    send(u + arrow[0] * step, v + arrow[1] * step);
    event.preventDefault();
    event.stopPropagation();
  });

  // The plot is drawn by another widget, at its own time, and may be replaced: adopt it when it
  // appears. Until then the observer looks at the panel; afterwards the plot's own events suffice.
  const events = ["plotly_afterplot", "plotly_relayout", "plotly_relayouting"];
  const release = () => {
    if (plot && plot.removeListener) events.forEach((name) => plot.removeListener(name, place));
    plot = null;
  };
  const adopt = () => {
    const panel = el.closest(".vw-panel");
    const found = panel && panel.querySelector(".js-plotly-plot");
    if (!found || !found._fullLayout || found === plot) return;
    release();
    plot = found;
    events.forEach((name) => plot.on(name, place));
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

  model.on("change:position", place);
  return () => {
    model.off("change:position", place);
    watcher.disconnect();
    release();
    layer.remove();
  };
}

export default { render };
