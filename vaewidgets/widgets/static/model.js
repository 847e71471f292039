// A widget's model, as anywidget hands it to a module.

// Hear of pairs of events and listeners; returns what ends that.
export function listen(model, listeners) {
  for (const [events, listener] of listeners) model.on(events, listener);
  return () => listeners.forEach(([events, listener]) => model.off(events, listener));
}

// Set traits and tell the kernel of them at once.
export function change(model, values) {
  model.set(values);
  model.save_changes();
}
