// A widget's model, as anywidget hands it to a module.

/** @typedef {(message: { type: string }) => void} Listener */

/**
 * A model whose traits are those of T.
 * @template {object} T
 * @typedef {{
 *   get<K extends keyof T>(name: K): T[K],
 *   set(values: Partial<T>): void,
 *   save_changes(): void,
 *   on(events: string, listener: Listener): void,
 *   off(events: string, listener: Listener): void,
 *   send(content: object): void,
 *   widget_manager: { get_model(id: string): Promise<object> },
 * }} Model
 */

/**
 * What `initialize` and `render` are called with.
 * @template {object} T
 * @typedef {{ model: Model<T>, el: HTMLElement }} Context
 */

// Hear of pairs of events and listeners; returns what ends that.
/** @type {(model: Pick<Model<object>, "on" | "off">, listeners: [string, Listener][]) => () => void} */
export function listen(model, listeners) {
  for (const [events, listener] of listeners) model.on(events, listener);
  return () => listeners.forEach(([events, listener]) => model.off(events, listener));
}

// Set traits and tell the kernel of them at once.
/** @template {object} T @param {Model<T>} model @param {Partial<NoInfer<T>>} values */
export function change(model, values) {
  model.set(values);
  model.save_changes();
}
