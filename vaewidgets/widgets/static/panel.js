// What ipywidgets' controls lack: names for assistive technology, and arrow keys that stay with the
// control instead of moving JupyterLab's cell selection.

function render({ el }) {
  el.style.display = "none";
  let panel = null;
  const dress = () => {
    for (const slider of panel.querySelectorAll(".widget-slider")) {
      const label = slider.querySelector(".widget-label");
      const handle = slider.querySelector(".noUi-handle");
      if (label && handle && handle.getAttribute("aria-label") !== label.textContent) {
        handle.setAttribute("aria-label", label.textContent);
      }
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
  const watcher = new MutationObserver(dress);
  const watch = () => {
    panel = el.closest(".vw-panel");
    if (!panel) return requestAnimationFrame(() => el.isConnected && watch());
    panel.dataset.lmSuppressShortcuts = "true";
    watcher.observe(panel, { childList: true, subtree: true });
    dress();
  };
  requestAnimationFrame(watch);
  return () => watcher.disconnect();
}

export default { render };
