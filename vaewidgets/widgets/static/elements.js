// Elements of the page, made in one place.

export function htmlElement(tag, parent = null, className = "", properties = {}) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  Object.assign(node, properties);
  parent?.append(node);
  return node;
}

// The word at the edge of a view on what the view cannot show; "" takes it away.
export function makeViewNote(parent) {
  const note = htmlElement("div", parent, "vw-view-note");
  return (text) => { note.textContent = text; };
}
