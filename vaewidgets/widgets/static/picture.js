// A canvas that shows the kernel's pixels, and a cursor that can be dragged over it.

const clamp = (x) => Math.min(1, Math.max(0, x));

// Bytes in rows of pixels, channels last, as the kernel sends them.
function fromBytes(bytes, width, height, channels) {
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = bytes[i * channels + (channels === 3 ? c : 0)];
    image.data[4 * i + 3] = 255;
  }
  return image;
}

// As ManifoldGrid.to_place and to_plane have them: shares of width and height from the top left corner.
function toPlace({ centre, reach, byMass }, point) {
  const share = point.map((v, k) => (byMass ? normalCdf(v - centre[k]) : ((v - centre[k]) / reach + 1) / 2));
  return [share[0], 1 - share[1]];
}
function toPlane({ centre, reach, byMass }, [u, v]) {
  return [u, 1 - v].map((share, k) => {
    if (!byMass) return centre[k] + reach * (2 * share - 1);
    return centre[k] + Math.min(reach, Math.max(-reach, normalQuantile(share)));
  });
}

function render({ model, el }) {
  const frame = document.createElement("div");
  frame.className = "vw-picture";
  const canvas = document.createElement("canvas");
  canvas.dataset.vw = "picture";
  canvas.dataset.vwFrame = "0";
  canvas.setAttribute("role", "img");
  frame.append(canvas);
  el.append(frame);

  const draw = () => {
    const width = model.get("columns");
    const height = model.get("rows");
    const data = model.get("pixels");
    const channels = model.get("channels");
    if (!width || !height || data.byteLength !== width * height * channels) return;
    paint(canvas, fromBytes(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), width, height, channels));
    size();
  };
  const latent = model.get("key") ? latentOf(model.get("key")) : null;
  const mapped = () => latent && latent.plane && model.get("interactive");
  const live = () => latent && latent.network && !model.get("interactive");
  const decode = () => {
    if (!live()) return;
    paint(canvas, toRGBA(latent.network.decode(latent.z), latent.network.imageShape));
    canvas.setAttribute("aria-label", `decoded picture of z = (${latent.z.map((v) => v.toFixed(2)).join(", ")})`);
    size();
  };
  const size = () => {
    const shown = model.get("display_width");
    canvas.style.width = `${shown}px`;
    canvas.style.height = `${(shown * canvas.height) / canvas.width}px`;
    canvas.style.imageRendering = shown >= canvas.width ? "pixelated" : "auto";
  };
  const name = () => canvas.setAttribute("aria-label", model.get("label"));

  const ring = document.createElement("div");
  ring.className = "vw-cursor";
  const place = () => {
    const cursor = mapped() ? toPlace(model.get("mapping"), project(latent.plane, latent.z)) : model.get("cursor");
    ring.hidden = cursor.length !== 2;
    if (ring.hidden) return;
    ring.style.left = `${100 * clamp(cursor[0])}%`;
    ring.style.top = `${100 * clamp(cursor[1])}%`;
  };

  // The cursor follows the hand at once; the kernel hears of it through the ordinary sync.
  const send = (u, v) => {
    const to = [clamp(u), clamp(v)];
    if (mapped()) {
      latent.move(lift(latent.plane, toPlane(model.get("mapping"), to), latent.z), true);
      return;
    }
    model.set("cursor", to);
    model.set("pointer", to);
    model.save_changes();
  };
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    send((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (model.get("interactive")) {
    frame.append(ring);
    frame.classList.add("vw-interactive");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      canvas.focus();
      point(event);
      event.preventDefault();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) point(event);
    });
    canvas.addEventListener("keydown", (event) => {
      const arrow = arrows[event.key];
      if (!arrow) return;
      const step = model.get("key_step") * (event.shiftKey ? 5 : 1);
      const [u, v] = mapped() ? toPlace(model.get("mapping"), project(latent.plane, latent.z)) : model.get("cursor");
      send(u + arrow[0] * step, v + arrow[1] * step);
      event.preventDefault();
      event.stopPropagation();
    });
  }

  const listeners = [["change:serial", draw], ["change:display_width", size], ["change:label", name],
                     ["change:cursor", place], ["change:mapping", place]];
  for (const [event, listener] of listeners) model.on(event, listener);
  const follow = () => (model.get("interactive") ? place() : decode());
  if (latent) latent.listeners.add(follow);
  draw();
  name();
  place();
  decode();
  return () => {
    if (latent) latent.listeners.delete(follow);
    listeners.forEach(([event, listener]) => model.off(event, listener));
  };
}

export default { render };
