// What each widget of ours is in the page at first: small, so that it is ready at once. It asks the kernel for
// the page's runtime, which draws it, and for what else is large. Each of those comes once, by the hash of its
// content, whatever number of widgets, notebooks and kernels ask for it.

/** @import { Model } from "./model.js" */
/** @typedef {{ runtime: string, module: string, page_id: string }} Traits */
/**
 * Something large: a promise of it, and who waits for it and may ask a kernel, with whether it has, and is not
 * answered yet.
 * @typedef {{
 *   promise: Promise<any>, resolve(value: any): void, reject(error: Error): void,
 *   waiting: Map<() => void, boolean>, asking: (() => void) | null, loaded: boolean,
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
// Each asks once, since a kernel that was busy answers all that it was asked meanwhile.
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
  const asset = /** @type {Asset} */ ({ waiting: new Map(), asking: null, loaded: false });
  asset.promise = new Promise((resolve, reject) => Object.assign(asset, { resolve, reject }));
  assets.set(hash, asset);
  return asset;
}

const ended = () => Object.assign(new Error("Its kernel has ended."), { over: true });

// A promise of the content with a hash, as the first to ask has `read` make it of the bytes. Where the widget ends
// first the error is `over`.
/** @type {(model: Model<any>) => Load} */
export const loadBy = (model) => (hash, read) => new Promise((resolve, reject) => {
  const asset = assetOf(hash);
  asset.promise.then(resolve, reject);
  if (asset.loaded) return;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {(ms: number) => void} */
  const wait = (ms) => {
    clearTimeout(timer);
    timer = setTimeout(pass, ms);
  };
  const ask = () => {
    asset.asking = ask;
    asset.waiting.set(ask, true);
    wait(SILENCE_MS);
    model.send({ type: "vw_asset", hash });
  };
  const pass = () => {
    clearTimeout(timer);
    if (asset.loaded || asset.asking !== ask) return;
    asset.asking = null;
    for (const [next, asked] of asset.waiting) if (!asked) return next();
  };
  const leave = () => {
    asset.waiting.delete(ask);
    for (const [event, listener] of listeners) model.off(event, listener);
    pass();
  };
  const end = () => {
    leave();
    reject(ended());
  };
  /** @type {(error: Error) => void} */
  const fail = (error) => {
    // The next may have more luck.
    if (assets.get(hash) === asset) assets.delete(hash);
    asset.reject(error);
  };
  /** @type {(message: { type: string, hash?: string, size?: number }, buffers: DataView<ArrayBuffer>[]) => void} */
  const hear = ({ type, hash: of, size }, buffers) => {
    if (type !== "vw_asset" || of !== hash || asset.loaded) return;
    if (size) {
      // If it does not come, the others first.
      asset.waiting.delete(ask);
      asset.waiting.set(ask, false);
      wait(SILENCE_MS + size / BYTES_PER_MS);
      return;
    }
    if (buffers.length) {
      asset.loaded = true;
      inflate(buffers[0]).then(read).then(asset.resolve, fail);
    }
    leave();
    if (!asset.loaded && !asset.waiting.size) fail(new Error("The kernel no longer has what was asked for."));
  };
  // Another widget may have had the answer.
  asset.promise.then(leave, leave);
  /** @type {[string, any][]} */
  const listeners = [["msg:custom", hear], ["destroy", end], ["comm_live_update", end]];
  for (const [event, listener] of listeners) model.on(event, listener);
  asset.waiting.set(ask, false);
  if (!asset.asking) ask();
});

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
    if (gone) throw ended();
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
        if (!error.over) throw error;
      });
      return () => {
        closed = true;
        close?.();
      };
    },
  };
}

export default loader;
