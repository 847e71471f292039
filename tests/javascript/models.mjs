// Stand-ins for what anywidget and ipywidgets hand to a module.

import { deflateSync } from "node:zlib";

// A model that keeps what it is told to send, and can be told what a kernel would say.
export function makeModel(traits = {}, others = {}) {
  const listeners = new Map(), values = { ...traits };
  const names = (events) => events.split(" ");
  return {
    sent: [], saved: 0, values,
    get: (name) => values[name],
    set(changes) { Object.assign(values, changes); },
    save_changes() { this.saved++; },
    send(content) { this.sent.push(content); },
    on(events, listener) {
      for (const event of names(events)) listeners.set(event, [...(listeners.get(event) ?? []), listener]);
    },
    off(events, listener) {
      for (const event of names(events)) {
        listeners.set(event, (listeners.get(event) ?? []).filter((each) => each !== listener));
      }
    },
    tell(event, ...message) { for (const listener of listeners.get(event) ?? []) listener(...message); },
    // As the kernel changes traits.
    change(changes) {
      Object.assign(values, changes);
      for (const name of Object.keys(changes)) this.tell(`change:${name}`, { type: `change:${name}` });
    },
    listening: () => [...listeners.values()].flat().length,
    widget_manager: { get_model: (id) => Promise.resolve(others[id]) },
  };
}

// What a kernel answers, in the two messages of PageModule._give, or in one where it has nothing.
export const announce = (model, hash, size) => model.tell("msg:custom", { type: "vw_asset", hash, size }, []);
export const refuse = (model, hash) => model.tell("msg:custom", { type: "vw_asset", hash }, []);
export function give(model, hash, content) {
  const packed = deflateSync(content);
  model.tell("msg:custom", { type: "vw_asset", hash }, [new DataView(packed.buffer, packed.byteOffset, packed.length)]);
}
export const asked = (model) => model.sent.filter(({ type }) => type === "vw_asset").map(({ hash }) => hash);

// Whatever is under way, streams included, has come to rest; also where the timers are mocked.
const later = setTimeout, packed = deflateSync("");
export async function settle() {
  for (let k = 0; k < 4; k++) {
    await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
    await new Promise((resolve) => { later(resolve, 10); });
  }
}
