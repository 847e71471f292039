// A widget over Plotly's own, which is joined to it. Plotly's view draws a figure once, as the model was when the
// view came, and then follows edits alone. Two kinds of figure would stay as they were made, or
// empty: one whose edits came before its view (shown in a later cell, or a second time), since the model does
// not take the edits in; and one whose model is sent its whole state again (after a reload, or because
// anywidget had stopped listening to it). This draws such a figure anew.

import { listen } from "./model.js";

/** @import { Context, Listener, Model } from "./model.js" */
/** @typedef {{ [edits: string]: object | null }} Traits */
/**
 * What Plotly uses of a model, and what its module exports.
 * @typedef {{
 *   get(name: string): object | null, set(name: string, value: object | null): void, save_changes(): void,
 *   on(event: string, listener: Listener): void,
 * }} PlotlyModel
 */
/**
 * @typedef {{
 *   initialize(context: { model: PlotlyModel }): void,
 *   render(context: { model: PlotlyModel, el: HTMLElement }): () => void,
 * }} Plotly
 */

const EDITS = [
  "addTraces", "deleteTraces", "moveTraces", "restyle", "relayout", "update", "removeLayoutProps", "removeTraceProps",
].map((name) => `_py2js_${name}`);
// How long a view waits for the kernel's word on what has been edited before it shows the figure as it was made.
const PATIENCE_MS = 1500;

// Draw with a copy of Plotly's model and view of its own; return what takes it away, listeners included.
/** @type {(widget: Plotly, model: Model<Traits>, el: HTMLElement) => () => void} */
function drawFigure({ initialize, render }, model, el) {
  /** @type {[string, Listener][]} */
  const heard = [];
  /** @type {PlotlyModel} */
  const own = {
    get: (name) => model.get(name),
    set: (name, value) => model.set({ [name]: value }),
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
    const purge = render({ model: own, el: place });
    return () => {
      remove();
      purge();
    };
  } catch (error) {
    remove();
    place.setAttribute("role", "alert");
    place.textContent = `This figure could not be drawn (${error instanceof Error ? error.message : error}). Run this cell again.`;
    return () => {};
  }
}

/** @type {(plotlyWidget: () => Plotly) => () => object} */
const figureOf = (plotlyWidget) => () => {
  let edited = false;
  return {
    /** @type {(context: Context<Traits>) => void} */
    initialize({ model }) {
      for (const name of EDITS) model.on(`change:${name}`, () => { edited ||= model.get(name) !== null; });
      model.on("change:_widget_data", () => { edited = false; });
    },
    /** @type {(context: Context<Traits>) => () => void} */
    render({ model, el }) {
      /** @type {(() => void) | null} */
      let remove = null;
      /** @type {ReturnType<typeof setTimeout> | undefined} */
      let waiting;
      const draw = () => {
        clearTimeout(waiting);
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
      if (edited) {
        waiting = setTimeout(draw, PATIENCE_MS);
        model.send({ type: "vw_state" });
      } else draw();
      return () => {
        clearTimeout(waiting);
        deafen();
        remove?.();
      };
    },
  };
};

export default figureOf;
