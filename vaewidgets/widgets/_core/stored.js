// What a saved notebook shows where a panel was whose kernel has ended. ipywidgets would say "model not found".
// It looks first into the states that the notebook itself may carry: there each panel leaves a sentence, under
// the id that its cell's output asks for.

/**
 * What is used of JupyterLab's notebook and widget manager, which have no types here.
 * @typedef {{ get(name: string): (string | Held)[] | undefined }} Held
 */
/** @typedef {{ state?: { [name: string]: string | string[] | null }, [field: string]: unknown }} Stored */
/** @typedef {{ data: { [type: string]: { model_id: string } | undefined } }} Output */
/**
 * @typedef {{
 *   cells: Iterable<{ outputs?: { length: number, get(i: number): Output } }>,
 *   getMetadata(name: string): { [type: string]: { state?: { [id: string]: Stored } } | undefined } | undefined,
 *   setMetadata?(name: string, value: object): void,
 * }} Notebook
 */
/**
 * @typedef {{
 *   context?: { model?: Notebook },
 *   has_model(id: string): boolean, get_model(id: string): Promise<Held>,
 * }} Manager
 */

const ENDED = "The kernel of this panel has ended: run this cell again, after the cells above it.";
const VIEW = "application/vnd.jupyter.widget-view+json", STATE = "application/vnd.jupyter.widget-state+json";

/** @type {() => Stored} */
const sentence = () => ({
  model_name: "HTMLModel", model_module: "@jupyter-widgets/controls", model_module_version: "2.0.0",
  state: { _dom_classes: ["vw-ended"], value: `<div role="note">${ENDED}</div>`, layout: null, style: null },
});
/** @type {(stored: Stored) => boolean} */
const isSentence = (stored) => stored.state?._dom_classes?.[0] === "vw-ended";

/** @type {(model: Held) => boolean} */
function holdsPanel(model) {
  return model.get("_dom_classes")?.includes("vw-panel")
    || (model.get("children") ?? []).some((child) => typeof child !== "string" && holdsPanel(child));
}

// Models of the outputs that stand in the notebook, by id; of those whose kernel is gone there is none.
/** @type {(notebook: Notebook, manager: Manager) => Promise<Map<string, Held | null>>} */
async function outputModels(notebook, manager) {
  /** @type {Map<string, Held | null>} */
  const models = new Map();
  for (const { outputs } of notebook.cells) {
    for (let i = 0; outputs && i < outputs.length; i++) {
      const id = outputs.get(i).data[VIEW]?.model_id;
      if (id) models.set(id, manager.has_model(id) ? await manager.get_model(id) : null);
    }
  }
  return models;
}

/** @type {(manager: Manager) => Promise<void>} */
export async function leaveSentences(manager) {
  const notebook = manager.context?.model;
  if (!notebook?.setMetadata) return; // no JupyterLab, and no notebook of it
  const models = await outputModels(notebook, manager);
  const stored = notebook.getMetadata("widgets")?.[STATE]?.state ?? {};
  /** @type {{ [id: string]: Stored }} */
  const state = {};
  // What the user has JupyterLab store of its own accord stays.
  for (const [id, kept] of Object.entries(stored)) {
    if (models.has(id) || !isSentence(kept)) state[id] = kept;
  }
  for (const [id, model] of models) {
    if (model && holdsPanel(model)) state[id] ??= sentence();
  }
  if (Object.keys(state).sort().join() === Object.keys(stored).sort().join()) return;
  notebook.setMetadata("widgets", { [STATE]: { version_major: 2, version_minor: 0, state } });
}
