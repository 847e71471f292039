// A widget over Plotly's own, whose module the page has once. Plotly's view draws a figure once, as the model was
// when the view came, and then follows edits alone. Two kinds of figure would stay as they were made, or
// empty: one whose edits came before its view (shown in a later cell, or a second time), since the model does
// not take the edits in; and one whose model is sent its whole state again (after a reload, or because
// anywidget had stopped listening to it). This draws such a figure anew.

import { importModule } from "./loader.js";
import { listen } from "./model.js";
import { hideFromKernel, paintPoints } from "../_map/points.js";

/** @import { Load } from "./loader.js" */
/** @import { Listener, Model } from "./model.js" */
/** @typedef {{ plotly: string, edits: number[], _last_trace_edit_id: number, _last_layout_edit_id: number }} Traits */
/**
 * What Plotly uses of a model, and what its module exports.
 * @typedef {{
 *   get(name: string): any, set(name: string, value: any): void, save_changes(): void,
 *   on(event: string, listener: Listener): void,
 * }} PlotlyModel
 */
/**
 * @typedef {{
 *   initialize(context: { model: PlotlyModel }): void,
 *   render(context: { model: PlotlyModel, el: HTMLElement }): () => void,
 * }} Plotly
 */

// How long a view waits for the kernel's word on what has been edited before it shows the figure as it was made.
const PATIENCE_MS = 1500;

// Draw with a copy of Plotly's model and view of its own; return what takes it away, listeners included.
/** @type {(widget: Plotly, model: Model<any>, el: HTMLElement) => () => void} */
function drawFigure({ initialize, render }, model, el) {
  /** @type {[string, Listener][]} */
  const heard = [];
  /** @type {PlotlyModel} */
  const own = {
    get: (name) => model.get(name),
    set(name, value) {
      if (name === "_js2py_traceDeltas") hideFromKernel(value?.trace_deltas ?? []);
      model.set({ [name]: value });
    },
    save_changes: () => model.save_changes(),
    on: (event, listener) => {
      heard.push([event, listener]);
      model.on(event, listener);
    },
  };
  const place = document.createElement("div");
  el.replaceChildren(place);
  const remove = () => heard.forEach(([event, listener]) => model.off(event, listener));
  try {
    initialize({ model: own });
    const points = paintPoints(place), purge = render({ model: own, el: place });
    points.begin();
    return () => {
      remove();
      points.close();
      purge();
    };
  } catch (error) {
    remove();
    place.setAttribute("role", "alert");
    place.textContent = `This figure could not be drawn (${error instanceof Error ? error.message : error}). Run this cell again.`;
    return () => {};
  }
}

/** @type {(context: { model: Model<Traits>, el: HTMLElement, load: Load }) => () => void} */
function render({ model, el, load }) {
  let closed = false;
  /** @type {(() => Plotly) | null} */
  let plotlyWidget = null;
  /** @type {(() => void) | null} */
  let remove = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let waiting;
  const draw = () => {
    clearTimeout(waiting);
    if (!plotlyWidget) return;
    remove?.();
    remove = drawFigure(plotlyWidget(), model, el);
  };
  const drawSoon = () => {
    clearTimeout(waiting);
    // Data and layout change one after the other.
    waiting = setTimeout(draw, 0);
  };
  /** @type {Listener} */
  const answered = ({ type }) => { if (type === "vw_state" && remove === null) drawSoon(); };
  const deafen = listen(model, [
    ["change:_widget_data", drawSoon], ["change:_widget_layout", drawSoon], ["msg:custom", answered],
  ]);
  load(model.get("plotly"), importModule).then((made) => {
    if (closed) return;
    plotlyWidget = made;
    const [traces, layout] = model.get("edits");
    if (traces === model.get("_last_trace_edit_id") && layout === model.get("_last_layout_edit_id")) draw();
    else {
      waiting = setTimeout(draw, PATIENCE_MS);
      model.send({ type: "vw_state" });
    }
  }, (error) => { el.textContent = `Plotly could not be loaded (${error.message}). Run this cell again.`; });
  return () => {
    closed = true;
    clearTimeout(waiting);
    deafen();
    remove?.();
  };
}

export default { render };
