// A picture: the kernel's pixels, or, with the key of a latent point, what the page decodes of it.

function render({ model, el }) {
  const { canvas, size, close } = showPixels(model, el);
  const key = model.get("key");
  if (!key) return close;
  const latent = latentOf(key);
  const decode = () => {
    if (!latent.network) return;
    paint(canvas, toRGBA(latent.network.decode(latent.z), latent.network.imageShape));
    canvas.setAttribute("aria-label", `decoded picture of z = (${latent.z.map((v) => v.toFixed(2)).join(", ")})`);
    size();
  };
  latent.listeners.add(decode);
  decode();
  return () => {
    latent.listeners.delete(decode);
    close();
  };
}

export default { render };
