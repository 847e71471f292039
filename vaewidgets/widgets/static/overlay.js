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

import { htmlElement, makeViewNote } from "./elements.js";
import { clamp } from "./numbers.js";

export function overPlot(el, { place, adopted = () => {}, abandoned = () => {} }) {
  const layer = htmlElement("div", null, "vw-map-layer"), say = makeViewNote(layer);
  const over = { layer, plot: null };
  over.axes = () => {
    const layout = over.plot?._fullLayout;
    return layout?.xaxis && layout.yaxis ? [layout.xaxis, layout.yaxis] : null;
  };
  over.place = () => {
    const axes = over.axes();
    if (!axes) return;
    const [x, y] = axes;
    if (layer.parentNode !== over.plot) over.plot.append(layer);
    layer.style.left = `${x._offset}px`;
    layer.style.top = `${y._offset}px`;
    layer.style.width = `${x._length}px`;
    layer.style.height = `${y._length}px`;
    place(axes);
  };
  over.at = (event) => {
    const box = layer.getBoundingClientRect();
    // The page may be zoomed or scaled: screen pixels are turned into layout pixels first.
    const scale = layer.offsetWidth ? box.width / layer.offsetWidth : 1;
    return [(event.clientX - box.left) / scale, (event.clientY - box.top) / scale];
  };
  over.held = (name, [u, v]) => {
    const [x, y] = over.axes(), exact = [x.l2p(u), y.l2p(v)];
    const place = exact.map((pixel, i) => clamp(pixel, [0, i ? y._length : x._length]));
    const outside = exact.some((pixel, i) => Math.abs(pixel - place[i]) > 1);
    say(outside ? `${name} lies outside this view, and is drawn at its edge.` : "");
    return { place, outside };
  };
  over.hush = () => say("");
  over.locate = (event) => over.at(event).map((pixel, i) => over.axes()[i].p2l(pixel));

  // Until the plot is there the observer looks at the panel; afterwards the plot's own events suffice.
  const events = ["plotly_afterplot", "plotly_relayout", "plotly_relayouting"];
  const abandon = () => {
    const { plot } = over;
    if (!plot) return;
    if (plot.removeListener) events.forEach((name) => plot.removeListener(name, over.place));
    abandoned(plot);
    over.plot = null;
  };
  const adopt = () => {
    const panel = el.closest(".vw-panel");
    const found = panel && panel.querySelector(".js-plotly-plot");
    if (!found || !found._fullLayout || found === over.plot) return;
    abandon();
    over.plot = found;
    events.forEach((name) => found.on(name, over.place));
    adopted(found);
    over.place();
  };
  const watcher = new MutationObserver(adopt);
  const watch = () => {
    const panel = el.closest(".vw-panel");
    if (!panel) return requestAnimationFrame(() => el.isConnected && watch());
    watcher.observe(panel, { childList: true, subtree: true });
    adopt();
  };
  requestAnimationFrame(watch);
  over.close = () => {
    watcher.disconnect();
    abandon();
    layer.remove();
  };
  return over;
}
