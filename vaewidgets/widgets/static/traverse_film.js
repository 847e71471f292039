// What the parts of a traversal decode with, and strips of pictures that keep up with the hand.

// The decoder in the page, or what the kernel decoded in its place.
//   engine.decode(z, label)      pixels, overwritten by the next call; null where the kernel decodes
//   engine.sent(name, k)         pixels of the k-th picture that the kernel sent under that name
//   engine.judge(pixels)         best probability among the real classes; null where the kernel asks the judge
function makeEngine(model) {
  const shape = model.get("shape");
  const size = shape[0] * shape[1] * shape[2];
  const floats = ({ buffer, byteOffset, byteLength }) => new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
  let network = null, weights, labelAt, labelValues, width, told;
  const given = model.get("judge_weights");
  const judge = given.byteLength ? makeNetwork(model.get("judge_spec"), given) : null;
  const equip = () => {
    network = null;
    if (!model.get("weights").byteLength) return;
    weights = floats(model.get("weights"));
    labelAt = model.get("label_at");
    labelValues = floats(model.get("label_values"));
    width = labelValues.length / Math.max(1, model.get("classes").length);
    told = 0;
    network = makeNetwork(model.get("spec"), weights);
  };
  equip();
  return {
    shape,
    equip,
    decode(z, label) {
      if (!network) return null;
      if (label >= 0 && label !== told) {
        weights.set(labelValues.subarray(label * width, (label + 1) * width), labelAt);
        told = label;
      }
      return network.decode(z);
    },
    judge(pixels) {
      if (!judge || !pixels) return null;
      const logits = judge.decode(pixels), highest = Math.max(...logits);
      const weights = Array.from(logits, (l) => Math.exp(l - highest));
      // The last one is "none of these".
      return Math.max(...weights.slice(0, -1)) / weights.reduce((sum, w) => sum + w, 0);
    },
    sent(name, k) {
      const bytes = model.get("tiles")[name];
      if (!bytes || bytes.byteLength < (k + 1) * size) return null;
      return Float32Array.from(new Uint8Array(bytes.buffer, bytes.byteOffset + k * size, size), (v) => v / 255);
    },
  };
}

// A canvas of `count` pictures side by side, each `width` screen pixels wide.
function makeStrip(shape, count, width, label) {
  const [, rows, columns] = shape;
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: count * columns, height: rows });
  canvas.style.width = `${count * width}px`;
  canvas.style.height = `${(width * rows) / columns}px`;
  canvas.style.imageRendering = width >= columns ? "pixelated" : "auto";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  Object.assign(canvas.dataset, { vw: "picture", vwFrame: "0" });
  return canvas;
}

// Pictures that are decoded some at every frame of the display, in a circle: while the hand moves on, none is
// left behind for good. `draw(k)` draws the k-th, `done` what belongs to all. `element` tells that work goes on.
function makeFilm(count, draw, element, done = () => {}) {
  let next = 0, left = 0, frame = 0;
  const work = () => {
    const until = performance.now() + 10;
    do {
      draw(next);
      next = (next + 1) % count;
      left--;
    } while (left > 0 && performance.now() < until);
    done();
    element.dataset.vwFrame = String(Number(element.dataset.vwFrame) + 1);
    element.setAttribute("aria-busy", String(left > 0));
    frame = left > 0 ? requestAnimationFrame(work) : 0;
  };
  return {
    redraw() {
      left = count;
      element.setAttribute("aria-busy", "true");
      frame ||= requestAnimationFrame(work);
    },
    stop: () => cancelAnimationFrame(frame),
  };
}

const put = (canvas, k, pixels, shape) => {
  if (pixels) canvas.getContext("2d").putImageData(toRGBA(pixels, shape), k * shape[2], 0);
};

const create = (tag, className, parent, properties = {}) => {
  const node = document.createElement(tag);
  node.className = className;
  Object.assign(node, properties);
  if (parent) parent.append(node);
  return node;
};

// Arrow keys of a native slider: `move(steps)`, ten times as far with Shift.
const onArrows = (range, move) => range.addEventListener("keydown", (event) => {
  const arrow = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
  if (!arrow) return;
  move(arrow * (event.shiftKey ? 10 : 1));
  event.preventDefault();
  event.stopPropagation();
});

const tell = (model, changes) => {
  model.set(changes);
  model.save_changes();
};
