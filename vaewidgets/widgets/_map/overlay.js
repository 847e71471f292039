// A layer over the Plotly map of the panel that `el` sits in, on its own compositor layer: what moves on it
// costs no redraw of the plot.
//
//   const over = overPlot(el, { place, adopted, abandoned });
//   over.layer                  // covers the plot area; what is put into it is cut at its edge
//   over.axes()                 // Plotly's [x, y], whose l2p and p2l go between axis units and pixels; or null
//   over.at(event)              // where a pointer event is, in pixels of the layer; over.locate: in axis units
//   over.held("z", [u, v])      // where a point is drawn, [left, top]: beyond the view at its edge, which is said
//
// `place(axes)` is called whenever pixels may have moved; `adopted(plot)` and `abandoned(plot)` when the plot,
// which another widget draws at its own time and may replace, comes and goes.

import { htmlElement, makeViewNote, whenInPanel } from "../_core/elements.js";
import { clamp } from "../_core/numbers.js";

/**
 * What is used of Plotly's axes and plots, which have no types.
 * @typedef {{
 *   _offset: number, _length: number, l2p(value: number): number, p2l(pixel: number): number,
 * }} PlotlyAxis
 */
/**
 * @typedef {HTMLElement & {
 *   _fullLayout?: { xaxis?: PlotlyAxis, yaxis?: PlotlyAxis, dragmode: string | false }, _dragging?: boolean,
 *   on(event: string, listener: () => void): void, removeListener?(event: string, listener: () => void): void,
 * }} Plot
 */
/**
 * @typedef {{
 *   place: (axes: PlotlyAxis[]) => void, adopted?: (plot: Plot) => void, abandoned?: (plot: Plot) => void,
 * }} OverlayOptions
 */

/** @param {HTMLElement} el @param {OverlayOptions} options */
export function overPlot(el, { place, adopted = () => {}, abandoned = () => {} }) {
  const layer = htmlElement("div", null, "vw-map-layer"), say = makeViewNote(layer);
  /** @type {Plot | null} */
  let plot = null;
  const axes = () => {
    const layout = plot?._fullLayout;
    return layout?.xaxis && layout.yaxis ? [layout.xaxis, layout.yaxis] : null;
  };
  const shownAxes = () => {
    const shown = axes();
    if (!shown) throw new Error("The map is not drawn yet.");
    return shown;
  };
  const placeAll = () => {
    const shown = axes();
    if (!shown || !plot) return;
    const [x, y] = shown;
    if (layer.parentNode !== plot) plot.append(layer);
    layer.style.left = `${x._offset}px`;
    layer.style.top = `${y._offset}px`;
    layer.style.width = `${x._length}px`;
    layer.style.height = `${y._length}px`;
    place(shown);
  };
  /** @type {(event: MouseEvent) => number[]} */
  const at = (event) => {
    const box = layer.getBoundingClientRect();
    // The page may be zoomed or scaled: screen pixels are turned into layout pixels first.
    const scale = layer.offsetWidth ? box.width / layer.offsetWidth : 1;
    return [(event.clientX - box.left) / scale, (event.clientY - box.top) / scale];
  };

  // Until the plot is there the observer looks at the panel; afterwards the plot's own events suffice.
  const events = ["plotly_afterplot", "plotly_relayout", "plotly_relayouting"];
  const abandon = () => {
    if (!plot) return;
    for (const name of events) plot.removeListener?.(name, placeAll);
    abandoned(plot);
    plot = null;
  };
  const adopt = () => {
    /** @type {Plot | null | undefined} */
    const found = el.closest(".vw-panel")?.querySelector(".js-plotly-plot");
    if (!found?._fullLayout || found === plot) return;
    abandon();
    plot = found;
    for (const name of events) found.on(name, placeAll);
    adopted(found);
    placeAll();
  };
  const watcher = new MutationObserver(adopt);
  whenInPanel(el, (panel) => {
    watcher.observe(panel, { childList: true, subtree: true });
    adopt();
  });
  return {
    layer, axes, at, place: placeAll,
    get plot() { return plot; },
    /** @type {(name: string, point: number[]) => { place: number[], outside: boolean }} */
    held(name, [u, v]) {
      const [x, y] = shownAxes(), exact = [x.l2p(u), y.l2p(v)];
      const held = [clamp(exact[0], [0, x._length]), clamp(exact[1], [0, y._length])];
      const outside = exact.some((pixel, i) => Math.abs(pixel - held[i]) > 1);
      say(outside ? `${name} lies outside this view, and is drawn at its edge.` : "");
      return { place: held, outside };
    },
    hush: () => say(""),
    /** @type {(event: MouseEvent) => number[]} */
    locate: (event) => at(event).map((pixel, i) => shownAxes()[i].p2l(pixel)),
    close() {
      watcher.disconnect();
      abandon();
      layer.remove();
    },
  };
}
