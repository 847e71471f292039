// A canvas that shows the kernel's pixels, and a cursor that can be dragged over it.

function toRGBA(bytes, pixels, channels) {
  const rgba = new Uint8ClampedArray(4 * pixels);
  for (let i = 0; i < pixels; i++) {
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = bytes[i * channels + (channels === 3 ? c : 0)];
    rgba[4 * i + 3] = 255;
  }
  return rgba;
}

const clamp = (x) => Math.min(1, Math.max(0, x));

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
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const image = new ImageData(toRGBA(bytes, width * height, channels), width, height);
    canvas.getContext("2d").putImageData(image, 0, 0);
    canvas.dataset.vwFrame = String(Number(canvas.dataset.vwFrame) + 1);
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
    const cursor = model.get("cursor");
    ring.hidden = cursor.length !== 2;
    if (ring.hidden) return;
    ring.style.left = `${100 * clamp(cursor[0])}%`;
    ring.style.top = `${100 * clamp(cursor[1])}%`;
  };

  // The cursor follows the hand at once; the kernel hears of it through the ordinary sync.
  const send = (u, v) => {
    const to = [clamp(u), clamp(v)];
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
      const [u, v] = model.get("cursor");
      send(u + arrow[0] * step, v + arrow[1] * step);
      event.preventDefault();
      event.stopPropagation();
    });
  }

  const listeners = [["change:serial", draw], ["change:display_width", size], ["change:label", name],
                     ["change:cursor", place]];
  for (const [event, listener] of listeners) model.on(event, listener);
  draw();
  name();
  place();
  return () => listeners.forEach(([event, listener]) => model.off(event, listener));
}

export default { render };
