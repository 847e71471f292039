// The section where one draws, in the page without a kernel: the pad of the panel, over the map of this page.

import { makeBoard, readDrawing } from "../draw_pad/board.js";
import { makeEllipses } from "../draw_pad/cloud.js";

/** @import { Network } from "../_core/network.js" */
/** @import { Codes, Reading } from "../draw_pad/board.js" */
/** @import { PageMap } from "./page_map.js" */
/**
 * @typedef {{
 *   section: HTMLElement, network: Network, frame: number[], prior: boolean, codes: Codes, map: PageMap,
 *   axes: { across: number, up: number }, onGo: (to: number[]) => void,
 * }} DrawingOptions
 */

/** @param {DrawingOptions} options */
export function makeDrawing({ section, network, frame, prior, codes, map, axes, onGo }) {
  /** @type {(name: string) => HTMLElement} */
  const byClass = (name) => {
    /** @type {HTMLElement | null} */
    const found = section.querySelector(`.${name}`);
    if (!found) throw new Error(`The part "${name}" of this page is missing.`);
    return found;
  };
  const [zoom, go] = [byClass("draw-zoom"), byClass("draw-go")];
  /** @type {Reading | null} */
  let reading = null;
  /** @type {Float32Array | null} */
  let image = null;
  const cloud = makeEllipses(map.layer);

  /** @type {(point: ArrayLike<number>) => number[]} */
  const onPlane = (point) => [point[axes.across], axes.up < 0 ? 0 : point[axes.up]];
  function place() {
    if (!reading) return cloud.hide();
    const [u, v] = onPlane(reading.mu), [x, y] = map.place(u, v);
    if (!reading.sigma) return cloud.place([x, y], null);
    const [a, b] = onPlane(reading.sigma), [right, above] = map.place(u + a, v + b);
    cloud.place([x, y], [right - x, y - above]);
  }
  const board = makeBoard({
    imageShape: network.imageShape, frame, prior, codes: () => codes,
    read: (drawn) => readDrawing(network, drawn),
    onReading(now) {
      reading = now;
      // A button that is disabled takes the keyboard's focus away with it.
      for (const button of [zoom, go]) button.setAttribute("aria-disabled", String(!reading));
      place();
    },
    onEnd: (strokes, drawn) => { image = drawn; },
  });
  byClass("draw-board").append(board.element);
  section.hidden = false;
  zoom.addEventListener("click", () => {
    if (!reading) return;
    const { sigma } = reading, [u, v] = onPlane(reading.mu);
    map.setView(u, v, sigma ? 6 * Math.max(...onPlane(sigma)) : 0);
  });
  go.addEventListener("click", () => { if (reading) onGo(Array.from(reading.mu)); });
  map.follow(place);
  board.adopt([], null);
  return {
    get image() { return image && image.slice(); },
    get reading() { return reading; },
  };
}
