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
