// Networks and their weights change together, and weights that nobody uses are let go.

import assert from "node:assert/strict";
import { test } from "node:test";

import { loadBy } from "../../vaewidgets/widgets/_core/loader.js";
import { adapt } from "../../vaewidgets/widgets/_core/weights.js";
import { asked, give, makeModel, refuse, settle } from "./models.mjs";

let count = 0;
const version = () => {
  const hash = `weights-${count++}`;
  return { hash, networks: { model: { spec: { format: 1, name: hash }, parts: [{ hash, dtype: "float32" }] } } };
};
const floats = (...values) => Buffer.from(new Float32Array(values).buffer);
const weightsOf = ({ weights } = { weights: new DataView(new ArrayBuffer()) }) => [...new Float32Array(weights.buffer, weights.byteOffset, weights.byteLength / 4)];

// A widget that has its first weights, and what its listeners heard.
async function begun(model = makeModel(), first = version()) {
  model.values.networks = first.networks;
  const promise = adapt(model, loadBy(model));
  give(model, first.hash, floats(1, 2));
  const own = await promise, heard = [];
  own.on("change:networks", () => heard.push(weightsOf(own.get("networks").model)));
  return { model, own, heard, first };
}

test("a model without networks is left as it is", async () => {
  const model = makeModel({ z: [1] });
  assert.equal(await adapt(model, () => assert.fail("nothing to load")), model);
});

test("floats of both sizes are joined in the order of their parts", async () => {
  const networks = { model: { spec: { format: 1, dtype: "float16" }, parts: [
    { hash: "half", dtype: "float16" }, { hash: "single", dtype: "float32" },
  ] }, judge: { spec: { format: 1 }, parts: [{ hash: "single", dtype: "float32" }] }, empty: { spec: {}, parts: [] } };
  const model = makeModel({ networks }), promise = adapt(model, loadBy(model));
  give(model, "single", floats(7, 8.5));
  give(model, "half", Buffer.from(new Uint16Array([0x3c00, 0xc000, 0x3555]).buffer)); // 1, -2, 0.333251953125
  const own = await promise, found = own.get("networks");
  assert.deepEqual(weightsOf(found.model), [1, -2, 0.333251953125, 7, 8.5]);
  assert.deepEqual(weightsOf(found.judge), [7, 8.5]);
  assert.deepEqual(weightsOf(found.empty), []);
  assert.deepEqual(found.model.spec, { format: 1, dtype: "float32" });
  assert.deepEqual(asked(model), ["half", "single"], "each once");
  assert.equal(own.get("other"), undefined);
  model.tell("destroy");
});

test("the description changes when its weights are there", async () => {
  const { model, own, heard, first } = await begun(), second = version();
  model.change({ networks: second.networks });
  await settle();
  assert.equal(own.get("networks").model.spec.name, first.hash);
  assert.deepEqual(weightsOf(own.get("networks").model), [1, 2]);
  assert.deepEqual(heard, []);
  give(model, second.hash, floats(3, 4));
  await settle();
  assert.equal(own.get("networks").model.spec.name, second.hash);
  assert.deepEqual(heard, [[3, 4]]);
  model.change({ networks: {} });
  await settle();
  assert.deepEqual(own.get("networks"), {});
  model.tell("destroy");
});

test("other events are the model's own", async () => {
  const { model, own, heard } = await begun(), z = [];
  const both = () => z.push("both");
  own.on("change:z change:networks", both);
  model.change({ z: [1] });
  const next = version();
  model.change({ networks: next.networks });
  give(model, next.hash, floats(5));
  await settle();
  assert.deepEqual([z, heard], [["both", "both"], [[5]]]);
  own.off("change:z change:networks", both);
  model.change({ z: [2] });
  model.change({ networks: {} });
  await settle();
  assert.equal(z.length, 2);
  model.tell("destroy");
});

test("of loads that overtake each other the newest counts", async () => {
  const { model, own, heard } = await begun(), [a, b, c] = [version(), version(), version()];
  for (const { networks } of [a, b, c]) model.change({ networks });
  give(model, c.hash, floats(3));
  await settle();
  assert.deepEqual(heard, [[3]]);
  give(model, a.hash, floats(1));
  give(model, b.hash, floats(2));
  await settle();
  assert.deepEqual(heard, [[3]]);
  assert.deepEqual(weightsOf(own.get("networks").model), [3]);
  model.tell("destroy");
});

test("weights that the kernel no longer has are none of a fault once newer ones are told", async () => {
  const { model, own, heard } = await begun(), [a, b] = [version(), version()];
  for (const { networks } of [a, b]) model.change({ networks });
  refuse(model, a.hash);
  await settle();
  give(model, b.hash, floats(2));
  await settle();
  assert.deepEqual(heard, [[2]]);
  assert.deepEqual(weightsOf(own.get("networks").model), [2]);
  model.tell("destroy");
});

test("also the first ones", async () => {
  const [a, b] = [version(), version()], model = makeModel({ networks: a.networks });
  const promise = adapt(model, loadBy(model));
  model.change({ networks: b.networks });
  refuse(model, a.hash);
  const own = await promise;
  let heard = 0;
  own.on("change:networks", () => heard++);
  assert.deepEqual(own.get("networks"), {});
  give(model, b.hash, floats(2));
  await settle();
  assert.deepEqual([heard, weightsOf(own.get("networks").model)], [1, [2]]);
  model.tell("destroy");
});

test("first weights that nobody has are an error", async () => {
  const first = version(), model = makeModel({ networks: first.networks });
  const promise = adapt(model, loadBy(model));
  refuse(model, first.hash);
  await assert.rejects(promise, /no longer has/);
});

test("a widget that ends while weights are on their way is no error", async () => {
  const { model } = await begun();
  model.change(version());
  for (const event of ["comm_live_update", "destroy"]) model.tell(event);
  await settle(); // an unhandled rejection would end this process
});

test("content is let go when nobody uses it any more", async () => {
  const shared = version(), one = await begun(makeModel(), shared);
  // A second widget has it at once.
  const two = makeModel({ networks: shared.networks });
  const own = await adapt(two, loadBy(two));
  assert.deepEqual([asked(two), weightsOf(own.get("networks").model)], [[], [1, 2]]);
  const isKept = async () => {
    const probe = makeModel();
    const state = { found: false };
    loadBy(probe)(shared.hash, () => 1).then(() => { state.found = true; }, () => {});
    await settle();
    if (!state.found) refuse(probe, shared.hash);
    return state.found;
  };
  const next = version();
  one.model.change({ networks: next.networks });
  await settle();
  assert.ok(await isKept());
  give(one.model, next.hash, floats(3));
  await settle();
  assert.ok(await isKept(), "the second widget has it");
  two.tell("destroy");
  assert.ok(!await isKept());
  // What is trained: a hundred versions, and the last one is all that is kept.
  const versions = Array.from({ length: 100 }, version);
  for (const { networks, hash } of versions) {
    one.model.change({ networks });
    give(one.model, hash, floats(4));
  }
  await settle();
  const kept = [...globalThis.vaewidgetsAssets.keys()].filter((hash) => versions.some((each) => each.hash === hash));
  assert.deepEqual(kept, [versions.at(-1).hash]);
  one.model.tell("destroy");
  assert.ok(!globalThis.vaewidgetsAssets.has(versions.at(-1).hash));
});

test("the same weights again are kept all the while", async () => {
  const { model, own, heard, first } = await begun();
  model.change({ networks: { ...first.networks } });
  await settle();
  assert.deepEqual(heard, [[1, 2]]);
  assert.deepEqual(asked(model), [first.hash]);
  assert.deepEqual(weightsOf(own.get("networks").model), [1, 2]);
  model.tell("destroy");
});
