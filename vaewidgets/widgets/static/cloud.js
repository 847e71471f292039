// One cloud q = N(mu, diag(sigma^2)) on the plane, and the hands that move it. Joined after chart.js and shared.js.
//
// What panels about one cloud have in common: the plane with the prior's circles and the cloud's ellipses, a
// slider with a box to type in, and canvases that show decoded points. The widget model's `mu` and `sigma` are
// the truth; `change` is how a hand writes them.

// What a slider reaches, and what may be typed: sigma as CloudPanel has it.
const MU_RANGE = [-5, 5], MU_DOMAIN = [-1e6, 1e6];
const SIGMA_RANGE = [0.001, 100], SIGMA_DOMAIN = [1e-6, 1e6];

const between = (value, [low, high]) => Math.min(high, Math.max(low, value));
const replaced = (array, i, value) => array.map((old, k) => (k === i ? value : old));
const htmlElement = (tag, parent, className = "", text = "") => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  if (parent) parent.append(node);
  return node;
};

// Four significant digits, without the zeros that say nothing.
const brief = (value) => String(Number(value.toPrecision(4)));
const inFull = (value, digits) => {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text;
};

// The least of 1, 1.5, 2, 3, 4, 5, 6, 8, 10, ... that is not below `value`: ends of axes that rest while a hand moves a little.
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((m) => m * power >= value * (1 - 1e-9)) * power;
}

// A pattern of slanted lines in one SVG: areas are told apart by more than their colour.
function makeHatch(svg, className) {
  const id = `vw-hatch-${++chartCount}`;
  const pattern = svgElement("pattern", svgElement("defs", svg), "", {
    id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)",
  });
  svgElement("rect", pattern, `${className} vw-hatch-ground`, { width: 6, height: 6 });
  svgElement("rect", pattern, `${className} vw-hatch-line`, { width: 2.5, height: 6 });
  return `url(#${id})`;
}

// The plane. `change({mu, sigma})` is given what a hand moved.
function makeCloud(model, { width, label, change }) {
  const frame = htmlElement("div", null, "vw-cloud");
  const dots = htmlElement("canvas", frame, "vw-dots");
  const reach = model.get("reach");
  const whole = { x: [-reach, reach], y: [-reach, reach] };
  const chart = makeChart({
    // Ten pixels lower than wide, the area inside the margins is a square.
    width, height: width - 10, square: true, label,
    x: { title: "z1", range: whole.x }, y: { title: "z2", range: whole.y },
  });
  frame.append(chart.svg);
  const unit = [[1, 0], [0, 1]];
  const circles = [1, 2].map(() => chart.add("path", "vw-prior"));
  const masses = ["39 %", "86 %"].map((mass) => {
    const text = chart.add("text", "vw-mass", { "text-anchor": "middle" });
    text.textContent = mass;
    return text;
  });
  const ellipses = [1, 2].map((k) => chart.add("path", `vw-ellipse vw-ellipse-${k}`));

  const sigmaHandles = [0, 1].map((i) => {
    const handle = makeHandle(chart, {
      label: `sigma${i + 1}: arrow keys change it by 5 percent`,
      className: "vw-handle-sigma",
      at: () => model.get("mu").map((m, k) => (k === i ? m + model.get("sigma")[i] : m)),
      move: (u, v, dragged) => {
        const sigma = between([u, v][i] - model.get("mu")[i], dragged ? SIGMA_RANGE : SIGMA_DOMAIN);
        change({ sigma: replaced(model.get("sigma"), i, sigma) });
      },
      step: () => [0, 1].map((k) => (k === i ? 0.05 * model.get("sigma")[i] : 0)),
      text: () => `sigma${i + 1} = ${brief(model.get("sigma")[i])}`,
      brief: () => `the handle of sigma${i + 1}`,
    });
    handle.ring.setAttribute("r", 6);
    return handle;
  });
  const muHandle = makeHandle(chart, {
    label: "mu: arrow keys move it",
    at: () => model.get("mu"),
    move: (u, v) => change({ mu: [u, v] }),
    step: () => [0, 0].map(() => (chart.x.range()[1] - chart.x.range()[0]) / 140),
    text: () => `mu = ${model.get("mu").map((m) => m.toFixed(2)).join(", ")}`,
    anywhere: true,
    className: "vw-handle-mu",
  });
  // Where they overlap the hand gets sigma; mu can be taken from everywhere else.
  sigmaHandles.forEach(({ ring }) => chart.above.append(ring));
  const handles = [muHandle, ...sigmaHandles];

  function frameWhole() {
    circles.forEach((circle, k) => circle.setAttribute("d", chart.ellipse([0, 0], unit, k + 1)));
    masses.forEach((text, k) => {
      text.setAttribute("x", chart.x(0));
      text.setAttribute("y", chart.y(k + 1) - 4);
    });
    drawDots();
  }

  // The means of all images, faint: SVG would take too long for thousands.
  function drawDots() {
    const data = model.get("points");
    const ratio = window.devicePixelRatio || 1, { left, top, width: across, height: up } = chart.area;
    Object.assign(dots.style, { left: `${left}px`, top: `${top}px`, width: `${across}px`, height: `${up}px` });
    dots.width = across * ratio;
    dots.height = up * ratio;
    const points = new Float32Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));
    const pen = dots.getContext("2d");
    pen.scale(ratio, ratio);
    pen.fillStyle = "rgba(125, 125, 125, 0.4)";
    for (let i = 0; i < points.length; i += 2) {
      pen.fillRect(chart.x(points[i]) - left - 0.75, chart.y(points[i + 1]) - top - 0.75, 1.5, 1.5);
    }
  }

  // The axes about the cloud, or about the prior. Not while a hand is on the plane: it would pull the
  // ground from under it.
  let near = false, held = false;
  const letGo = () => { held = false; };
  chart.svg.addEventListener("pointerdown", () => { held = true; });
  window.addEventListener("pointerup", letGo);
  window.addEventListener("pointercancel", letGo);
  function zoom(on) {
    if (!on && !near) return;
    near = on;
    const [mu, sigma] = [model.get("mu"), model.get("sigma")];
    const half = 4 * Math.max(...sigma);
    chart.setRanges(near ? { x: [mu[0] - half, mu[0] + half], y: [mu[1] - half, mu[1] + half] } : whole);
    frameWhole();
  }

  function draw() {
    const [mu, sigma] = [model.get("mu"), model.get("sigma")];
    if (near && !held) zoom(true);
    const covariance = [[sigma[0] ** 2, 0], [0, sigma[1] ** 2]];
    ellipses.forEach((ellipse, k) => ellipse.setAttribute("d", chart.ellipse(mu, covariance, k + 1)));
    handles.forEach((handle) => handle.place());
    // A handle on top of mu would be all that a hand can take.
    sigmaHandles.forEach(({ ring }, i) => {
      const along = chart[i ? "y" : "x"];
      const apart = Math.abs(along(mu[i] + sigma[i]) - along(mu[i]));
      ring.style.pointerEvents = apart < 10 ? "none" : "";
    });
  }

  frameWhole();
  return {
    frame, chart, draw, zoom, drawDots,
    close() {
      window.removeEventListener("pointerup", letGo);
      window.removeEventListener("pointercancel", letGo);
    },
  };
}

// A slider and a box to type in, for one number. With `log` the slider moves its logarithm. What is typed must lie
// in `domain`, and the slider's ends give way to what it shows. What `set` returns is said beside them.
function makeKnob(parent, { label, range, domain = range, step, log = false, whole = false, get, set }) {
  const row = htmlElement("div", parent, "vw-knob");
  htmlElement("span", row, "vw-knob-name", label);
  const [to, from] = log ? [Math.log10, (v) => 10 ** v] : [(v) => v, (v) => v];
  const slider = htmlElement("input", row);
  const ends = range.map(to);
  Object.assign(slider, { type: "range", min: ends[0], max: ends[1], step });
  const box = htmlElement("input", row);
  Object.assign(box, { type: "number", step: "any" });
  slider.setAttribute("aria-label", label);
  box.setAttribute("aria-label", `${label}, typed`);
  const refusal = makeRefusal(row);
  // What is said holds for the value that it was said of.
  let of = null;
  const say = (text) => {
    refusal.say(text);
    of = get();
  };
  const turn = (value) => say(set(value) ?? "");
  // The ends as they are given: a step of a logarithm would miss them by a rounding.
  const turnTo = (at) => turn(at <= ends[0] && at <= Number(slider.min) ? range[0]
    : at >= ends[1] && at >= Number(slider.max) ? range[1] : from(at));
  slider.addEventListener("input", () => turnTo(Number(slider.value)));
  slider.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    event.stopPropagation();
    if (!way || !event.shiftKey) return;
    turnTo(between(to(get()) + way * 10 * step, [Number(slider.min), Number(slider.max)]));
    event.preventDefault();
  });
  box.addEventListener("keydown", (event) => event.stopPropagation());
  // By whole steps, or a value between them would shift all others.
  const beyond = (by) => step * Math.max(0, Math.ceil(by / step - 1e-9));
  const show = () => {
    const at = to(get());
    if (refusal.said() && get() !== of) refusal.say("");
    slider.min = ends[0] - beyond(ends[0] - at);
    slider.max = ends[1] + beyond(at - ends[1]);
    slider.value = at;
    slider.setAttribute("aria-valuetext", brief(get()));
    box.value = brief(get());
  };
  box.addEventListener("change", () => {
    const value = box.value === "" ? NaN : Number(box.value);
    const wrong = Number.isNaN(value) ? "that is not a number"
      : value < domain[0] || value > domain[1] ? `${value} is outside ${brief(domain[0])} to ${brief(domain[1])}`
      : whole && !Number.isInteger(value) ? `${value} is not a whole number` : "";
    // What it shows already is rounded: hearing that must not round the value.
    if (!wrong && box.value !== brief(get())) turn(value);
    else say(wrong && `${wrong}: ${label} stays ${brief(get())}`);
    show();
  });
  return { row, show };
}

// The four knobs of a cloud.
function makeCloudKnobs(model, parent, change) {
  const knobs = [];
  for (const [name, range, domain, log] of [["mu", MU_RANGE, MU_DOMAIN, false], ["sigma", SIGMA_RANGE, SIGMA_DOMAIN, true]]) {
    for (const i of [0, 1]) {
      knobs.push(makeKnob(parent, {
        label: `${name}${i + 1}`, range, domain, step: 0.01, log,
        get: () => model.get(name)[i],
        set: (value) => change({ [name]: replaced(model.get(name), i, value) }),
      }));
    }
  }
  return { show: () => knobs.forEach((knob) => knob.show()) };
}

// Canvases of decoded points: the page decodes, or shows what the kernel decoded.
function makePictures(model, canvases) {
  let network = null;
  const equip = () => {
    const weights = model.get("weights");
    network = weights.byteLength ? makeNetwork(model.get("spec"), weights) : null;
  };
  equip();
  return {
    equip,
    show(points) {
      if (network) {
        points.forEach((z, k) => paint(canvases[k], toRGBA(network.decode(z), network.imageShape)));
        return;
      }
      const [height, width, channels] = model.get("shape"), data = model.get("pixels");
      const size = height * width * channels;
      if (!size || data.byteLength !== size * canvases.length) return;
      canvases.forEach((canvas, k) => {
        const bytes = new Uint8Array(data.buffer, data.byteOffset + k * size, size);
        paint(canvas, fromBytes(bytes, width, height, channels));
      });
    },
  };
}

function makePicture(parent, width, label) {
  const frame = htmlElement("div", parent, "vw-picture");
  const canvas = htmlElement("canvas", frame);
  canvas.dataset.vw = "picture";
  canvas.dataset.vwFrame = "0";
  canvas.style.width = `${width}px`;
  canvas.style.imageRendering = "pixelated";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  return canvas;
}
