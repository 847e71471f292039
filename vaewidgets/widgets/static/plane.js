// A picture of the plane that the kernel decodes, with a cursor that moves z.

const clamp = (x) => Math.min(1, Math.max(0, x));

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
  const { frame, canvas, close } = showPixels(model, el);
  const latent = latentOf(model.get("key"));
  const ring = document.createElement("div");
  ring.className = "vw-cursor";
  const note = document.createElement("div");
  note.className = "vw-view-note";
  frame.append(ring, note);
  frame.classList.add("vw-interactive");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");

  const here = () => toPlace(model.get("mapping"), project(latent.plane, latent.z));
  const place = () => {
    if (!latent.plane) return;
    const [u, v] = here(), outside = clamp(u) !== u || clamp(v) !== v;
    ring.style.left = `${100 * clamp(u)}%`;
    ring.style.top = `${100 * clamp(v)}%`;
    ring.classList.toggle("beyond", outside);
    note.textContent = outside ? "z lies outside this picture: its ring is at the edge." : "";
  };
  const send = (u, v) => {
    const point = toPlane(model.get("mapping"), [u, v]);
    latent.move(lift(latent.plane, point, latent.z), true);
  };
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
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const arrow = arrows[event.key];
    if (!arrow) return;
    const step = model.get("key_step") * (event.shiftKey ? 5 : 1);
    const [u, v] = here();
    send(u + arrow[0] * step, v + arrow[1] * step);
    event.preventDefault();
    event.stopPropagation();
  });
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
