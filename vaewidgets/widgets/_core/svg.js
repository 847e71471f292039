// Elements of SVG, and what they share.

/** @typedef {{ [name: string]: string | number }} Attributes */

/** @type {(node: Element, attributes: Attributes) => void} */
export function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
}

/**
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Node | null} parent
 * @param {string} className
 * @param {Attributes} attributes
 * @returns {SVGElementTagNameMap[K]}
 */
export function svgElement(tag, parent = null, className = "", attributes = {}) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  if (className) node.setAttribute("class", className);
  setAttributes(node, attributes);
  parent?.appendChild(node);
  return node;
}

let ids = Math.floor(Math.random() * 2 ** 40);
// Every panel has a module, and a count, of its own, but the page has one space of ids.
/** @type {(kind: string) => string} */
export const uniqueId = (kind) => `vw-${kind}-${++ids}`;

// A pattern of slanted lines in one SVG: areas are told apart by more than their colour.
/** @type {(svg: SVGElement, className: string) => string} */
export function makeHatch(svg, className) {
  const id = uniqueId("hatch");
  const pattern = svgElement("pattern", svgElement("defs", svg), "", {
    id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)",
  });
  svgElement("rect", pattern, `${className} vw-hatch-ground`, { width: 6, height: 6 });
  svgElement("rect", pattern, `${className} vw-hatch-line`, { width: 2.5, height: 6 });
  return `url(#${id})`;
}
