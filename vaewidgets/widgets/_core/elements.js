// Elements of the page, made in one place.

/**
 * What an element is given; numbers become text where it has text.
 * @template E
 * @typedef {{ [P in keyof E]?: E[P] extends string ? string | number : E[P] }} Properties
 */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Node | null} parent
 * @param {string} className
 * @param {Properties<HTMLElementTagNameMap[K]>} properties
 * @returns {HTMLElementTagNameMap[K]}
 */
export function htmlElement(tag, parent = null, className = "", properties = {}) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  Object.assign(node, properties);
  parent?.appendChild(node);
  return node;
}

// The word at the edge of a view on what the view cannot show; "" takes it away.
/** @type {(parent: Node) => (text: string) => void} */
export function makeViewNote(parent) {
  const note = htmlElement("div", parent, "vw-view-note");
  return (text) => { note.textContent = text; };
}

// Once an element is in the page, call back with the panel around it.
/** @type {(el: HTMLElement, found: (panel: HTMLElement) => void) => void} */
export function whenInPanel(el, found) {
  requestAnimationFrame(() => {
    /** @type {HTMLElement | null} */
    const panel = el.closest(".vw-panel");
    if (panel) found(panel);
    else requestAnimationFrame(() => el.isConnected && whenInPanel(el, found));
  });
}
