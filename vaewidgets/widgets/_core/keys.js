// Arrow keys of all that a hand can also drag.

/** @typedef {{ [key: string]: ((event: KeyboardEvent) => void) | undefined }} Others */

/** @type {{ [key: string]: [across: number, up: number] }} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

// An arrow calls `move(across, up)` with the steps that it goes, `far` of them with Shift; a key of `others` calls
// what stands there. What is taken stays with the node: the page does not scroll, JupyterLab changes no cell. A
// `native` slider goes single steps by itself.
/**
 * @param {Pick<HTMLElement, "addEventListener">} node
 * @param {(across: number, up: number) => void} move
 * @param {{ far?: number, native?: boolean, others?: Others }} options
 */
export function onArrows(node, move, { far = 10, native = false, others = {} } = {}) {
  node.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key], act = others[event.key];
    if ((!arrow && !act) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (native && !event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    const steps = event.shiftKey ? far : 1;
    if (act) act(event);
    else move(arrow[0] * steps, arrow[1] * steps);
  });
}
