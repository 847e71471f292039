// mu and its 1- and 2-sigma ellipses on a map, as elements of a layer above it, so that a move redraws nothing.
//
//   const cloud = makeEllipses(layer);
//   cloud.place([x, y], [a, b]);    // pixels of the layer: the centre, and one sigma along each axis
//   cloud.hide();
//
// The middle of an ellipse's line is at k sigma, so that its box is a line's width larger.

import { htmlElement } from "../_core/elements.js";

const CLOUD_LINE = 2;

/** @param {Node} layer */
export function makeEllipses(layer) {
  /** @type {(className: string) => HTMLElement} */
  const part = (className) => htmlElement("div", layer, className, { hidden: true });
  const ellipses = [2, 1].map((k) => ({ k, node: part(`vw-drawn vw-drawn-${k}`) }));
  const dot = part("vw-drawn-dot");
  return {
    /** @type {(centre: number[], spread: number[] | null) => void} */
    place([x, y], spread) {
      dot.hidden = false;
      dot.style.transform = `translate(${x}px, ${y}px)`;
      for (const { k, node } of ellipses) {
        node.hidden = !spread;
        if (!spread) continue;
        const [a, b] = spread.map((sigma) => k * sigma + CLOUD_LINE / 2);
        node.style.width = `${2 * a}px`;
        node.style.height = `${2 * b}px`;
        node.style.transform = `translate(${x - a}px, ${y - b}px)`;
      }
    },
    hide() { for (const node of [dot, ...ellipses.map(({ node }) => node)]) node.hidden = true; },
  };
}
