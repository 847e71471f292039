// What ipywidgets' controls lack: names for assistive technology, arrow keys that stay with the control
// instead of moving JupyterLab's cell selection, and a word when the kernel is gone. And what anywidget's
// models lack on a slow machine.

const GONE = "The kernel was restarted or has ended, and this panel with it: run this cell again.";

// anywidget gives a model two seconds to begin. One that needs longer begins all the same, but hears nothing
// of the kernel any more: its messages wait for a promise that has been broken. Such a model is given the
// ear that it inherits, and asks for what it has missed.
function reviveAll(model) {
  return Promise.all(model.get("parts").map((id) => model.widget_manager.get_model(id).then(revive)));
}

async function revive(part) {
  try {
    // To a model that hears it says nothing.
    await part._handle_comm_msg({ content: { data: { method: "vaewidgets_probe" } } });
  } catch {
    const inherited = Object.getPrototypeOf(Object.getPrototypeOf(part))._handle_comm_msg;
    part.comm.on_msg(inherited.bind(part));
    part.comm.send({ method: "request_state" });
  }
}

const put = (node, name, text) => {
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
};

// What the eye reads: the readout, or the box beside. noUiSlider would say the logarithm, the index, two decimals.
function spoken(slider, handle) {
  const readout = slider.querySelector(".widget-readout");
  if (readout?.textContent && getComputedStyle(readout).display !== "none") return readout.textContent;
  const range = handle.closest(".noUi-target")?.noUiSlider;
  const box = slider.closest(".widget-hbox")?.querySelector(".vw-number input");
  if (!range || !box) return handle.getAttribute("aria-valuetext") ?? "";
  // While a hand is on the slider the box is a moment behind.
  const value = range.get(true), step = range.options.step || 0;
  return Math.abs(Number(box.value) - value) <= step ? box.value : String(Number(value.toFixed(4)));
}

function show(model, el, hearing) {
  el.classList.add("vw-gone");
  hearing.then(() => { el.dataset.vwHears = "true"; });
  el.setAttribute("role", "alert");
  let panel = null;
  // ipywidgets takes note of it in the class, and shows it by a glyph alone, in front of every control.
  const tell = () => {
    el.textContent = panel.classList.contains("jupyter-widgets-disconnected") ? GONE : "";
  };
  const dress = () => {
    for (const slider of panel.querySelectorAll(".widget-slider")) {
      const label = slider.querySelector(".widget-label");
      const handle = slider.querySelector(".noUi-handle");
      if (!handle) continue;
      if (label) put(handle, "aria-label", label.textContent);
      put(handle, "aria-valuetext", spoken(slider, handle));
    }
    // A box beside a slider has no description of its own.
    for (const box of panel.querySelectorAll(".vw-number input")) {
      const label = box.closest(".widget-hbox")?.querySelector(".widget-slider .widget-label");
      if (label) put(box, "aria-label", `${label.textContent}, typed`);
    }
    // A figure is called what stands above it.
    for (const figure of panel.querySelectorAll(".js-plotly-plot:not([role])")) {
      const heading = figure.closest(".widget-vbox")?.querySelector(".vw-title");
      if (!heading) continue;
      figure.setAttribute("role", "figure");
      figure.setAttribute("aria-label", heading.textContent);
    }
    for (const bar of panel.querySelectorAll(".widget-hprogress:not([role])")) {
      bar.setAttribute("role", "img");
      bar.setAttribute("aria-label", bar.title);
    }
  };
  const watcher = new MutationObserver(dress), listener = new MutationObserver(tell);
  const watch = () => {
    panel = el.closest(".vw-panel");
    if (!panel) return requestAnimationFrame(() => el.isConnected && watch());
    panel.dataset.lmSuppressShortcuts = "true";
    watcher.observe(panel, { childList: true, subtree: true, attributeFilter: ["aria-valuetext"] });
    panel.addEventListener("focusin", dress);
    listener.observe(panel, { attributeFilter: ["class"] });
    dress();
    tell();
    leaveSentences(model.widget_manager);
  };
  requestAnimationFrame(watch);
  return () => {
    panel?.removeEventListener("focusin", dress);
    watcher.disconnect();
    listener.disconnect();
  };
}

export default () => {
  let hearing = null;
  return {
    initialize({ model }) { hearing = reviveAll(model); },
    render({ model, el }) { return show(model, el, hearing); },
  };
};
