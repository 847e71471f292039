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

  // Hovering: what the decoder paints at the pointer, decoded here. The point keeps what z has outside
  // the plane, as the cursor itself does.
  const lens = document.createElement("canvas");
  lens.className = "vw-lens";
  lens.dataset.vw = "picture";
  lens.dataset.vwFrame = "0";
  lens.hidden = true;
  layer.append(lens);
  let network = null;
  const equip = () => {
    network = model.get("weights").byteLength ? makeNetwork(model.get("spec"), model.get("weights")) : null;
  };
  const peek = (event) => {
    const axis = axes();
    const box = layer.getBoundingClientRect();
    const [u, v] = [event.clientX - box.left, event.clientY - box.top];
    lens.hidden = !(model.get("hover") && network && axis && u >= 0 && v >= 0 && u < box.width && v < box.height);
    if (lens.hidden) return;
    const scale = layer.offsetWidth ? box.width / layer.offsetWidth : 1;
    const here = [axis[0].p2l(u / scale), axis[1].p2l(v / scale)];
    const { basis, origin } = model.get("plane");
    const z = model.get("z").slice();
    // z + (here - project(z)) basis, as Plane.lift has it.
    const step = basis.map((row, k) => here[k] - row.reduce((sum, b, i) => sum + b * (z[i] - origin[i]), 0));
    z.forEach((value, i) => (z[i] = value + step[0] * basis[0][i] + step[1] * basis[1][i]));
    const [channels, height, width] = network.imageShape;
    const pixels = network.decode(z);
    lens.width = width;
    lens.height = height;
    const image = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = 255 * pixels[i + (channels === 3 ? c * width * height : 0)];
      image.data[4 * i + 3] = 255;
    }
    lens.getContext("2d").putImageData(image, 0, 0);
    // Beside the pointer, on the side where there is room.
    const [x, y] = [u / scale, v / scale];
    lens.style.transform = `translate(${x > layer.offsetWidth / 2 ? x - 100 : x + 16}px, ${
      y > layer.offsetHeight / 2 ? y - 100 : y + 16}px)`;
    lens.dataset.vwFrame = String(Number(lens.dataset.vwFrame) + 1);
  };
  const leave = () => { lens.hidden = true; };

  // The plot is drawn by another widget, at its own time, and may be replaced: adopt it when it
  // appears. Until then the observer looks at the panel; afterwards the plot's own events suffice.
  const events = ["plotly_afterplot", "plotly_relayout", "plotly_relayouting"];
  const release = () => {
    if (plot && plot.removeListener) events.forEach((name) => plot.removeListener(name, place));
    if (plot) {
      plot.removeEventListener("pointermove", peek);
      plot.removeEventListener("pointerleave", leave);
    }
    plot = null;
  };
  const adopt = () => {
    const panel = el.closest(".vw-panel");
    const found = panel && panel.querySelector(".js-plotly-plot");
    if (!found || !found._fullLayout || found === plot) return;
    release();
    plot = found;
    events.forEach((name) => plot.on(name, place));
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

  const listeners = [["change:position", place], ["change:weights", equip], ["change:hover", leave]];
  for (const [event, listener] of listeners) model.on(event, listener);
  equip();
  return () => {
    listeners.forEach(([event, listener]) => model.off(event, listener));
    watcher.disconnect();
    release();
    layer.remove();
  };
}

export default { render };
