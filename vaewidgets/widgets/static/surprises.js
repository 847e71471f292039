// The images around the chosen one, and the histogram of all. A hand moves the rank here; the kernel sends pictures.

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "vw-surprises";
  el.append(root);
  const nats = () => {
    const { buffer, byteOffset, byteLength } = model.get("nats");
    return new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
  };
  const move = (rank) => {
    model.set("rank", Math.min(Math.max(rank, 0), nats().length - 1));
    model.save_changes();
  };
  const parts = [makeAround(model, root, nats, move), makeHistogram(model, root, nats, move)];
  const listeners = parts.flat();
  for (const [events, listener] of listeners) {
    model.on(events, listener);
    listener();
  }
  return () => listeners.forEach(([events, listener]) => model.off(events, listener));
}

// The strip: a press chooses, and so do the arrow keys, twelve at once with Shift.
function makeAround(model, root, nats, move) {
  const title = document.createElement("div"), list = document.createElement("div");
  title.className = "vw-title";
  list.className = "vw-around";
  list.tabIndex = 0;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-orientation", "horizontal");
  list.setAttribute("aria-label", "images by surprise, the most surprising first");
  root.append(title, list);
  const id = `vw-surprise-${Math.floor(Math.random() * 2 ** 40)}`;

  const draw = () => {
    const [rows, columns, channels] = model.get("size"), names = model.get("names"), start = model.get("start");
    const bytes = model.get("thumbs"), size = rows * columns * channels, room = model.get("room"), all = nats();
    if (bytes.byteLength !== names.length * size) return;
    list.replaceChildren(...names.map((name, k) => {
      const item = document.createElement("div"), canvas = document.createElement("canvas");
      item.className = "vw-surprise";
      item.id = `${id}-${k}`;
      item.style.width = `${room}px`;
      item.setAttribute("role", "option");
      canvas.dataset.vwFrame = "0";
      const pixels = new Uint8Array(bytes.buffer, bytes.byteOffset + k * size, size);
      paint(canvas, fromBytes(pixels, columns, rows, channels));
      canvas.style.width = `${room * Math.min(1, columns / rows)}px`;
      canvas.style.imageRendering = "pixelated";
      const text = [name, all[start + k].toFixed(1)].map((words, line) => {
        const each = document.createElement("div");
        each.textContent = words;
        if (line) each.className = "vw-worth";
        return each;
      });
      text[0].title = name;
      item.setAttribute("aria-label", `rank ${start + k}, ${name}, ${text[1].textContent} nats`);
      item.append(canvas, ...text);
      item.addEventListener("click", () => move(start + k));
      return item;
    }));
    title.textContent = `Ranks ${start} to ${start + names.length - 1}, with their nats: click one, or walk with the arrow keys`;
    mark();
  };
  const mark = () => {
    const chosen = model.get("rank") - model.get("start");
    [...list.children].forEach((item, k) => item.setAttribute("aria-selected", String(k === chosen)));
    list.setAttribute("aria-activedescendant", `${id}-${chosen}`);
  };
  list.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    const end = { Home: 0, End: Infinity }[event.key];
    if (step === undefined && end === undefined) return;
    move(end ?? model.get("rank") + step * (event.shiftKey ? 12 : 1));
    event.preventDefault();
    event.stopPropagation();
  });
  return [["change:thumbs change:names change:start change:nats", draw], ["change:rank", mark]];
}

// All images: a press or a drag goes to the image whose nats are nearest.
function makeHistogram(model, root, nats, move) {
  const title = document.createElement("div"), frame = document.createElement("div");
  title.className = "vw-title";
  frame.className = "vw-histogram";
  root.append(title, frame);
  let chart, line, text;

  const draw = () => {
    const edges = model.get("edges"), counts = model.get("counts"), all = nats();
    if (!counts.length) return;
    chart = makeChart({
      width: 800, height: 190, x: { title: model.get("axis"), range: [edges[0], edges.at(-1)] },
      y: { title: "images", range: [0, Math.max(3, 1.05 * Math.max(...counts))] }, label: "histogram of all images",
    });
    counts.forEach((count, k) => {
      // A single image among thousands must be seen.
      const height = count ? Math.max(2, chart.y(0) - chart.y(count)) : 0, x = chart.x(edges[k]);
      const width = Math.max(1, chart.x(edges[k + 1]) - x - 1);
      chart.add("rect", "vw-share", { x, width, y: chart.y(0) - height, height });
    });
    title.textContent = `All ${all.length.toLocaleString("en")} images: press where you want to go`;
    const { left, top, width, height } = chart.area;
    const ground = svgElement("rect", null, "vw-ground", { x: left, y: top, width, height });
    chart.svg.insertBefore(ground, chart.plot);
    line = svgElement("line", chart.above, "vw-mark", { y1: top, y2: top + height });
    text = svgElement("text", chart.above, "vw-mark-text", { y: top + 12 });
    const drag = (event) => move(nearest(all, chart.locate(event)[0]));
    ground.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      ground.setPointerCapture(event.pointerId);
      event.preventDefault();
      drag(event);
    });
    ground.addEventListener("pointermove", (event) => {
      if (ground.hasPointerCapture(event.pointerId)) drag(event);
    });
    frame.replaceChildren(chart.svg);
    mark();
  };
  const mark = () => {
    const value = nats()[model.get("rank")];
    if (!chart || value === undefined) return;
    const at = chart.x(value), right = at > chart.area.left + chart.area.width / 2;
    line.setAttribute("x1", at);
    line.setAttribute("x2", at);
    text.setAttribute("x", at + (right ? -7 : 7));
    text.setAttribute("text-anchor", right ? "end" : "start");
    text.textContent = `rank ${model.get("rank")}: ${value.toFixed(2)} nats`;
  };
  return [["change:nats change:counts change:edges change:axis", draw], ["change:rank", mark]];
}

// The rank, in falling values, of the one nearest to `value`.
function nearest(falling, value) {
  let low = 0, high = falling.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (falling[middle] > value) low = middle + 1;
    else high = middle;
  }
  return low > 0 && falling[low - 1] - value < value - falling[low] ? low - 1 : low;
}

export default { render };
