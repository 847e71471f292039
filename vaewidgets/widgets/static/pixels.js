// A canvas that shows the kernel's pixels.

function fromBytes(bytes, width, height, channels) {
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = bytes[i * channels + (channels === 3 ? c : 0)];
    image.data[4 * i + 3] = 255;
  }
  return image;
}

function showPixels(model, el) {
  const frame = document.createElement("div");
  frame.className = "vw-picture";
  const canvas = document.createElement("canvas");
  canvas.dataset.vw = "picture";
  canvas.dataset.vwFrame = "0";
  canvas.setAttribute("role", "img");
  frame.append(canvas);
  el.append(frame);

  const size = () => {
    const shown = model.get("display_width");
    canvas.style.width = `${shown}px`;
    canvas.style.height = `${(shown * canvas.height) / canvas.width}px`;
    canvas.style.imageRendering = shown >= canvas.width ? "pixelated" : "auto";
  };
  const draw = () => {
    const [width, height, channels, data] = ["columns", "rows", "channels", "pixels"].map((name) => model.get(name));
    if (!width || !height || data.byteLength !== width * height * channels) return;
    paint(canvas, fromBytes(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), width, height, channels));
    size();
  };
  const name = () => canvas.setAttribute("aria-label", model.get("label"));
  const listeners = [["change:serial", draw], ["change:display_width", size], ["change:label", name]];
  for (const [event, listener] of listeners) model.on(event, listener);
  draw();
  name();
  return { frame, canvas, size, close: () => listeners.forEach(([event, listener]) => model.off(event, listener)) };
}
