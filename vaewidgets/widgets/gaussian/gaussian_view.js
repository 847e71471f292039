// One Gaussian q = N(mu, diag(sigma^2)) on the plane, and the controls that move it.
//
// The common part of panels about one Gaussian: the plane with the prior's circles and the ellipses of q, sliders with
// a box to type in, and canvases that show decoded points. The widget model's `mu` and `sigma` are the source of truth;
// `change` writes them.

import { makeChart, makeHandle } from "../_core/chart.js";
import { makeNetwork } from "../_core/network.js";
import { htmlElement } from "../_core/elements.js";
import { makeKnob } from "../_core/knob.js";
import { brief, clamp, floatsOf, replaced } from "../_core/numbers.js";
import { fromBytes, paint, penOf, toRGBA } from "../_core/pixels.js";
import { setAttributes } from "../_core/svg.js";

/** @import { Network } from "../_core/network.js" */
/** @import { Loaded } from "../_core/weights.js" */
/** @import { Model } from "../_core/model.js" */
/**
 * @typedef {{
 *   mu: number[], sigma: number[], pixels: DataView, shape: number[], points: DataView, reach: number,
 *   networks: { model?: Loaded },
 * }} CloudTraits
 */
/** @typedef {(values: { mu?: number[], sigma?: number[] }) => void} Change */
/** @typedef {{ width: number, label: string, change: Change }} CloudOptions */

// What the sliders range over, and what may be typed. A test compares SIGMA_DOMAIN with what Python accepts.
const MU_RANGE = [-5, 5], MU_DOMAIN = [-1e6, 1e6];
const SIGMA_RANGE = [0.001, 100], SIGMA_DOMAIN = [1e-6, 1e6];

// The plane. A drag calls `change({mu, sigma})`.
/** @param {Model<CloudTraits>} model @param {CloudOptions} options */
export function makeCloud(model, { width, label, change }) {
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
    return makeHandle(chart, {
      label: `sigma${i + 1}: arrow keys change it by 5 percent`,
      className: "vw-handle-sigma",
      at: () => model.get("mu").map((m, k) => (k === i ? m + model.get("sigma")[i] : m)),
      move: (u, v, dragged) => {
        const sigma = clamp([u, v][i] - model.get("mu")[i], dragged ? SIGMA_RANGE : SIGMA_DOMAIN);
        change({ sigma: replaced(model.get("sigma"), i, sigma) });
      },
      step: () => [0, 1].map((k) => (k === i ? 0.05 * model.get("sigma")[i] : 0)),
      text: () => `sigma${i + 1} = ${brief(model.get("sigma")[i])}`,
      brief: () => `the handle of sigma${i + 1}`,
      radius: 6,
    });
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
  // Where they overlap, sigma is dragged; mu can be dragged from everywhere else.
  sigmaHandles.forEach(({ ring }) => chart.above.append(ring));
  const handles = [muHandle, ...sigmaHandles];

  function frameWhole() {
    circles.forEach((circle, k) => circle.setAttribute("d", chart.ellipse([0, 0], unit, k + 1)));
    masses.forEach((text, k) => {
      setAttributes(text, { x: chart.x(0), y: chart.y(k + 1) - 4 });
    });
    drawDots();
  }

  // The means of all images, faint. On a canvas, because SVG would take too long for thousands.
  function drawDots() {
    const ratio = window.devicePixelRatio || 1, { left, top, width: across, height: up } = chart.area;
    Object.assign(dots.style, { left: `${left}px`, top: `${top}px`, width: `${across}px`, height: `${up}px` });
    dots.width = across * ratio;
    dots.height = up * ratio;
    const points = floatsOf(model.get("points")), pen = penOf(dots);
    pen.scale(ratio, ratio);
    pen.fillStyle = "rgba(125, 125, 125, 0.4)";
    for (let i = 0; i < points.length; i += 2) {
      pen.fillRect(chart.x(points[i]) - left - 0.75, chart.y(points[i + 1]) - top - 0.75, 1.5, 1.5);
    }
  }

  // The axes about q, or about the prior. They do not move during a drag, which would then go elsewhere.
  let near = false, held = false;
  const letGo = () => { held = false; };
  chart.svg.addEventListener("pointerdown", () => { held = true; });
  window.addEventListener("pointerup", letGo);
  window.addEventListener("pointercancel", letGo);
  /** @type {(on: boolean) => void} */
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
    // A handle on top of mu would hide it from the pointer.
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

// The four knobs of a cloud.
/** @type {(model: Model<CloudTraits>, parent: Node, change: Change) => { show(): void }} */
export function makeCloudKnobs(model, parent, change) {
  /** @type {ReturnType<typeof makeKnob>[]} */
  const knobs = [];
  for (const name of /** @type {const} */ (["mu", "sigma"])) {
    const log = name === "sigma", [range, domain] = log ? [SIGMA_RANGE, SIGMA_DOMAIN] : [MU_RANGE, MU_DOMAIN];
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
/** @param {Model<CloudTraits>} model @param {HTMLCanvasElement[]} canvases */
export function makePictures(model, canvases) {
  /** @type {Network | null} */
  let network = null;
  const setWeights = () => {
    const described = model.get("networks").model;
    network = described ? makeNetwork(described.spec, described.weights) : null;
  };
  setWeights();
  return {
    setWeights,
    /** @type {(points: number[][]) => void} */
    show(points) {
      if (network) {
        for (const [k, z] of points.entries()) paint(canvases[k], toRGBA(network.decode(z), network.imageShape));
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
