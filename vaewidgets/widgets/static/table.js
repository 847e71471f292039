// A table that is sorted by its headers, which are buttons: a click or Enter. Missing values come last, always.

function compare(a, b) {
  if (typeof a === "string" || typeof b === "string") return String(a).localeCompare(String(b));
  return a - b;
}

// An interval on the scale from 0 to 1, the same for all cells, so that overlaps can be seen down a column.
function drawInterval({ value, low, high }) {
  const width = 80, at = (share) => 2 + share * (width - 4);
  const svg = svgElement("svg", null, "vw-interval", { width, height: 9, "aria-hidden": "true" });
  svgElement("line", svg, "vw-interval-scale", { x1: at(0), x2: at(1), y1: 4.5, y2: 4.5 });
  svgElement("line", svg, "vw-interval-range", { x1: at(low), x2: at(high), y1: 4.5, y2: 4.5 });
  svgElement("circle", svg, "vw-interval-value", { cx: at(value), cy: 4.5, r: 2 });
  return svg;
}

function makeCell(cell, first) {
  const node = document.createElement(first ? "th" : "td");
  if (first) node.scope = "row";
  const text = document.createElement("span");
  text.textContent = cell.text;
  node.append(text);
  if (cell.note) {
    const note = document.createElement("span");
    note.className = "vw-cell-note";
    note.textContent = cell.note;
    // A space, where a narrow column may break.
    node.append(" ", note);
  }
  if (cell.low !== undefined) node.append(drawInterval(cell));
  if (typeof cell.value === "number") node.classList.add("vw-numeric");
  return node;
}

function render({ model, el }) {
  const box = document.createElement("div"), table = document.createElement("table");
  box.className = "vw-table-box";
  table.className = "vw-table";
  const caption = table.createCaption(), head = table.createTHead().insertRow(), body = table.createTBody();
  box.append(table);
  el.append(box);

  const sortBy = (key) => {
    const again = model.get("sort") === key;
    model.set("descending", again && !model.get("descending"));
    model.set("sort", key);
    model.save_changes();
  };
  const drawHead = () => {
    caption.textContent = model.get("caption");
    head.replaceChildren(...model.get("columns").map(({ key, title, help }) => {
      const cell = document.createElement("th"), button = document.createElement("button");
      cell.scope = "col";
      button.type = "button";
      button.textContent = title;
      button.title = help;
      button.addEventListener("click", () => sortBy(key));
      cell.append(button);
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
        if (u === null || v === null) return (u === null) - (v === null);
        return descending ? compare(v, u) : compare(u, v);
      });
    }
    body.replaceChildren(...rows.map((cells) => {
      const row = document.createElement("tr");
      row.append(...cells.map((cell, i) => makeCell(cell, i === 0)));
      return row;
    }));
  };
  const listeners = [["change:columns change:rows change:caption", drawHead], ["change:sort change:descending", draw]];
  for (const [event, listener] of listeners) model.on(event, listener);
  drawHead();
  return () => listeners.forEach(([event, listener]) => model.off(event, listener));
}

export default { render };
