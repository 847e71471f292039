// What each widget of ours is in the page at first: small, so that it is ready at once. It asks the kernel for
// the page's runtime, which draws it, and for what else is large. Each of those comes once, by the hash of its
// content, whatever number of widgets, notebooks and kernels ask for it.

/** @import { Model } from "./model.js" */
/** @typedef {{ runtime: string, module: string, page_id: string }} Traits */
/**
 * Something large: a promise of it, and the widgets that wait for it and may ask their kernels.
 * @typedef {{
 *   promise: Promise<any>, resolve(value: any): void, reject(error: Error): void,
 *   waiting: Set<() => void>, asking: (() => void) | null, loaded: boolean,
 * }} Asset
 */
/** @typedef {<T>(hash: string, read: (bytes: ArrayBuffer) => T | Promise<T>) => Promise<T>} Load */
/** @typedef {{ model: Model<any>, el: HTMLElement, load: Load }} Context */
/**
 * What a module of the runtime exports, or makes for each model.
 * @typedef {{
 *   initialize?(context: Omit<Context, "el">): void | (() => void),
 *   render?(context: Context): void | (() => void),
 * }} Widget
 */
/**
 * @typedef {{
 *   adapt(model: Model<any>, load: Load): Promise<Model<any>>,
 *   modules: { [name: string]: Widget | (() => Widget) },
 * }} Runtime
 */
/**
 * What is used of ipywidgets' models, which have no types here.
 * @typedef {{
 *   _handle_comm_msg(message: object): Promise<void>,
 *   comm: { on_msg(listener: (message: object) => void): void, send(data: object): void },
 * }} Part
 */

// A kernel that has not begun to answer by then is busy or gone: another widget, perhaps of another kernel, asks.
const SILENCE_MS = 20000;
// A network that is slower is taken for none.
const BYTES_PER_MS = 10;

const page = /** @type {{ vaewidgetsAssets?: Map<string, Asset>, vaewidgetsStarting?: Set<Promise<unknown>> }} */ (
  globalThis
);
/** @type {Map<string, Asset>} */
const assets = (page.vaewidgetsAssets ??= new Map());
/** @type {Set<Promise<unknown>>} */
const starting = (page.vaewidgetsStarting ??= new Set());

// Wait until every widget of the page has begun, and hears its kernel.
export const allBegun = () => Promise.allSettled(starting);

/** @type {(hash: string) => void} */
export const forget = (hash) => { assets.delete(hash); };

/** @type {(packed: DataView<ArrayBuffer>) => Promise<ArrayBuffer>} */
const inflate = (packed) =>
  new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();

/** @type {(bytes: ArrayBuffer) => Promise<any>} */
export async function importModule(bytes) {
  const url = URL.createObjectURL(new Blob([bytes], { type: "text/javascript" }));
  try {
    return (await import(url)).default;
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** @type {(hash: string) => Asset} */
function assetOf(hash) {
  const known = assets.get(hash);
  if (known) return known;
  const asset = /** @type {Asset} */ ({ waiting: new Set(), asking: null, loaded: false });
  asset.promise = new Promise((resolve, reject) => Object.assign(asset, { resolve, reject }));
  assets.set(hash, asset);
  return asset;
}

// A promise of the content with a hash, as the first to ask has `read` make it of the bytes.
/** @type {(model: Model<any>) => Load} */
const loadBy = (model) => (hash, read) => {
  const asset = assetOf(hash);
  if (asset.loaded) return asset.promise;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const ask = () => {
    asset.asking = ask;
    asset.waiting.delete(ask);
    asset.waiting.add(ask); // behind those that have not asked yet
    timer = setTimeout(pass, SILENCE_MS);
    model.send({ type: "vw_asset", hash });
  };
  const pass = () => {
    clearTimeout(timer);
    if (asset.loaded || asset.asking !== ask) return;
    asset.asking = null;
    for (const first of asset.waiting) return first();
  };
  const leave = () => {
    asset.waiting.delete(ask);
    for (const [event, listener] of listeners) model.off(event, listener);
    pass();
  };
  /** @type {(message: { type: string, hash?: string, size?: number }, buffers: DataView<ArrayBuffer>[]) => void} */
  const hear = ({ type, hash: of, size }, buffers) => {
    if (type !== "vw_asset" || of !== hash) return;
    clearTimeout(timer);
    if (size) {
      timer = setTimeout(pass, SILENCE_MS + size / BYTES_PER_MS);
      return;
    }
    if (buffers.length) {
      asset.loaded = true;
      inflate(buffers[0]).then(read).then(asset.resolve, asset.reject);
    }
    leave();
    if (!asset.loaded && !asset.waiting.size) {
      assets.delete(hash);
      asset.reject(new Error("The kernel no longer has what was asked for."));
    }
  };
  // Another widget may have had the answer.
  asset.promise.then(leave, leave);
  /** @type {[string, any][]} */
  const listeners = [["msg:custom", hear], ["destroy", leave], ["comm_live_update", leave]];
  for (const [event, listener] of listeners) model.on(event, listener);
  asset.waiting.add(ask);
  if (!asset.asking) ask();
  return asset.promise;
};

// anywidget gives a model two seconds to begin, of which a busy page may use all before this module runs. Such a
// model hears nothing of the kernel any more: its messages wait for a promise that has been broken. It is given
// the ear that it inherits, and asks for what it has missed.
/** @type {(model: Model<Traits>) => Promise<void>} */
async function listenAgain(model) {
  const part = /** @type {Part} */ (await model.widget_manager.get_model(model.get("page_id")));
  try {
    // To a model that hears it says nothing.
    await part._handle_comm_msg({ content: { data: { method: "vaewidgets_probe" } } });
  } catch {
    const inherited = Object.getPrototypeOf(Object.getPrototypeOf(part))._handle_comm_msg;
    part.comm.on_msg(inherited.bind(part));
    part.comm.send({ method: "request_state" });
  }
}

// The widget of a model: its module is in the runtime.
function loader() {
  /** @type {Promise<{ widget: Widget, model: Model<any> }>} */
  let begun;
  let gone = false;
  /** @type {void | (() => void)} */
  let end;
  /** @type {(own: Model<Traits>) => Promise<{ widget: Widget, model: Model<any> }>} */
  async function begin(own) {
    await listenAgain(own);
    const load = loadBy(own);
    /** @type {Runtime} */
    const runtime = await load(own.get("runtime"), importModule);
    const model = await runtime.adapt(own, load), made = runtime.modules[own.get("module")];
    const widget = typeof made === "function" ? made() : made;
    if (!gone) end = widget.initialize?.({ model, load });
    return { widget, model };
  }
  return {
    // Not awaited: these two seconds.
    /** @type {(context: { model: Model<Traits> }) => () => void} */
    initialize({ model }) {
      begun = begin(model);
      starting.add(begun);
      begun.catch(() => {}).finally(() => starting.delete(begun));
      return () => {
        gone = true;
        end?.();
      };
    },
    /** @type {(context: { model: Model<Traits>, el: HTMLElement }) => () => void} */
    render({ model: own, el }) {
      /** @type {void | (() => void)} */
      let close;
      let closed = false;
      begun.then(({ widget, model }) => {
        if (!closed) close = widget.render?.({ model, el, load: loadBy(own) });
      }).catch((error) => {
        el.setAttribute("role", "alert");
        el.textContent = `This could not be drawn (${error.message}). Run this cell again.`;
        throw error;
      });
      return () => {
        closed = true;
        close?.();
      };
    },
  };
}

export default loader;
