// Canvases that show pictures.

import { htmlElement } from "./elements.js";
import { listen } from "./model.js";

/** @import { Model } from "./model.js" */
/**
 * @typedef {{
 *   pixels: DataView, rows: number, columns: number, channels: number, display_width: number, label: string,
 * }} PictureTraits
 */

// A canvas whose frames are counted: tests wait for them.
/** @type {(parent?: Node | null, className?: string) => HTMLCanvasElement} */
export function pictureCanvas(parent = null, className = "") {
  const canvas = htmlElement("canvas", parent, className);
  Object.assign(canvas.dataset, { vw: "picture", vwFrame: "0" });
  canvas.setAttribute("role", "img");
  return canvas;
}
/** @type {(node: HTMLElement | SVGElement) => void} */
export const countFrame = (node) => { node.dataset.vwFrame = String(Number(node.dataset.vwFrame) + 1); };

/** @type {(canvas: HTMLCanvasElement) => CanvasRenderingContext2D} */
export function penOf(canvas) {
  const pen = canvas.getContext("2d");
  if (!pen) throw new Error("This browser gives no canvas to draw on.");
  return pen;
}

// What a decoder gives, of 1 or 3 channels between 0 and 1: a clamped array rounds and clamps as torch's round and
// clamp do.
/** @type {(pixels: ArrayLike<number>, shape: number[]) => ImageData} */
export function toRGBA(pixels, [channels, height, width]) {
  const image = new ImageData(width, height), size = width * height;
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = 255 * pixels[channels === 3 ? c * size + i : i];
    image.data[4 * i + 3] = 255;
  }
  return image;
}

// The kernel's pixels, channels last.
/** @type {(bytes: Uint8Array, width: number, height: number, channels: number) => ImageData} */
export function fromBytes(bytes, width, height, channels) {
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = bytes[i * channels + (channels === 3 ? c : 0)];
    image.data[4 * i + 3] = 255;
  }
  return image;
}

/** @type {(canvas: HTMLCanvasElement, image: ImageData) => void} */
export function paint(canvas, image) {
  if (canvas.width !== image.width) canvas.width = image.width;
  if (canvas.height !== image.height) canvas.height = image.height;
  penOf(canvas).putImageData(image, 0, 0);
  countFrame(canvas);
}

// A canvas of its own width, for pictures of few pixels.
/** @type {(parent: Node, width: number, label: string) => HTMLCanvasElement} */
export function makePicture(parent, width, label) {
  const canvas = pictureCanvas(htmlElement("div", parent, "vw-picture"));
  canvas.style.width = `${width}px`;
  canvas.style.imageRendering = "pixelated";
  canvas.setAttribute("aria-label", label);
  return canvas;
}

// The picture of a widget: the pixels that the kernel sent last.
/** @param {Model<PictureTraits>} model @param {HTMLElement} el */
export function showPixels(model, el) {
  const frame = htmlElement("div", el, "vw-picture"), canvas = pictureCanvas(frame);
  const size = () => {
    const shown = model.get("display_width");
    canvas.style.width = `${shown}px`;
    canvas.style.height = `${(shown * canvas.height) / canvas.width}px`;
    canvas.style.imageRendering = shown >= canvas.width ? "pixelated" : "auto";
  };
  const draw = () => {
    const width = model.get("columns"), height = model.get("rows"), channels = model.get("channels");
    const { buffer, byteOffset, byteLength } = model.get("pixels");
    if (!width || !height || byteLength !== width * height * channels) return;
    paint(canvas, fromBytes(new Uint8Array(buffer, byteOffset, byteLength), width, height, channels));
    size();
  };
  const name = () => canvas.setAttribute("aria-label", model.get("label"));
  const close = listen(model, [["change:serial", draw], ["change:display_width", size], ["change:label", name]]);
  draw();
  name();
  return { frame, canvas, size, close };
}
