// A table with buttons as headers, which sort it. Missing values always come last.

import { htmlElement } from "../_core/elements.js";
import { change, listen } from "../_core/model.js";
import { svgElement } from "../_core/svg.js";

/** @import { Context } from "../_core/model.js" */
/** @typedef {{ text: string, value: string | number | null, note?: string, low?: number, high?: number }} Cell */
/**
 * @typedef {{
 *   caption: string, columns: { key: string, title: string, help: string }[], rows: Cell[][],
 *   sort: string, descending: boolean,
 * }} Traits
 */

/** @type {(a: string | number, b: string | number) => number} */
function compare(a, b) {
  if (typeof a === "string" || typeof b === "string") return String(a).localeCompare(String(b));
  return a - b;
}

// An interval on the scale from 0 to 1, the same for all cells, so that overlaps can be seen down a column.
/** @type {(interval: { value: number, low: number, high: number }) => SVGElement} */
function drawInterval({ value, low, high }) {
  const width = 80;
  /** @type {(share: number) => number} */
  const at = (share) => 2 + share * (width - 4);
  const svg = svgElement("svg", null, "vw-interval", { width, height: 9, "aria-hidden": "true" });
  svgElement("line", svg, "vw-interval-scale", { x1: at(0), x2: at(1), y1: 4.5, y2: 4.5 });
  svgElement("line", svg, "vw-interval-range", { x1: at(low), x2: at(high), y1: 4.5, y2: 4.5 });
  svgElement("circle", svg, "vw-interval-value", { cx: at(value), cy: 4.5, r: 2 });
  return svg;
}

/** @type {(cell: Cell, first: boolean) => HTMLTableCellElement} */
function makeCell(cell, first) {
  const node = first ? htmlElement("th", null, "", { scope: "row" }) : htmlElement("td");
  htmlElement("span", node, "", { textContent: cell.text });
  if (cell.note) {
    // A space, where a narrow column may break.
    node.append(" ");
    htmlElement("span", node, "vw-cell-note", { textContent: cell.note });
  }
  const { value, low, high } = cell;
  if (typeof value !== "number") return node;
  if (low !== undefined && high !== undefined) node.append(drawInterval({ value, low, high }));
  node.classList.add("vw-numeric");
  return node;
}

/** @type {(context: Context<Traits>) => () => void} */
function render({ model, el }) {
  const table = htmlElement("table", htmlElement("div", el, "vw-table-box"), "vw-table");
  const caption = table.createCaption(), head = table.createTHead().insertRow(), body = table.createTBody();

  /** @type {(key: string) => void} */
  const sortBy = (key) => {
    const again = model.get("sort") === key;
    change(model, { descending: again && !model.get("descending"), sort: key });
  };
  const drawHead = () => {
    caption.textContent = model.get("caption");
    head.replaceChildren(...model.get("columns").map(({ key, title, help }) => {
      const cell = htmlElement("th", null, "", { scope: "col" });
      const button = htmlElement("button", cell, "", { type: "button", textContent: title, title: help });
      button.addEventListener("click", () => sortBy(key));
      return cell;
    }));
    draw();
  };
  const draw = () => {
    const sort = model.get("sort"), descending = model.get("descending"), columns = model.get("columns");
    const column = columns.findIndex(({ key }) => key === sort);
    columns.forEach((_, i) => {
      const order = i !== column ? "none" : descending ? "descending" : "ascending";
      head.cells[i].setAttribute("aria-sort", order);
    });
    const rows = [...model.get("rows")];
    if (column >= 0) {
      rows.sort((a, b) => {
        const [u, v] = [a[column].value, b[column].value];
        if (u === null || v === null) return Number(u === null) - Number(v === null);
        return descending ? compare(v, u) : compare(u, v);
      });
    }
    body.replaceChildren(...rows.map((cells) => {
      const row = htmlElement("tr");
      row.append(...cells.map((cell, i) => makeCell(cell, i === 0)));
      return row;
    }));
  };
  drawHead();
  return listen(model, [
    ["change:columns change:rows change:caption", drawHead], ["change:sort change:descending", draw],
  ]);
}

export default { render };
