// What is large reaches a page once, from whichever widget's kernel has it.

import assert from "node:assert/strict";
import { test } from "node:test";

import loader, { allBegun, forget, loadBy } from "../../vaewidgets/widgets/_core/loader.js";
import { announce, asked, give, makeModel, refuse, settle } from "./models.mjs";

const PATIENCE = 20000;
let count = 0;
// A hash that no other test has, and widgets that load it as text.
function scene(widgets) {
  const hash = `hash-${count++}`, reads = [];
  const read = (bytes) => {
    reads.push(Buffer.from(bytes).toString());
    return { text: reads.at(-1) };
  };
  const models = Array.from({ length: widgets }, () => makeModel());
  const join = (model) => {
    const promise = loadBy(model)(hash, read), state = { promise, value: undefined, error: undefined };
    promise.then((value) => { state.value = value; }, (error) => { state.error = error; });
    return state;
  };
  return { hash, reads, models, join, states: models.map(join) };
}
const counts = (models) => models.map((model) => asked(model).length);

test("content is asked for once, and made once, for all widgets", async () => {
  const { hash, models, states, reads, join } = scene(3);
  assert.deepEqual(counts(models), [1, 0, 0]);
  assert.deepEqual(models[0].sent, [{ type: "vw_asset", hash }]);
  announce(models[0], hash, 7);
  await settle();
  assert.equal(states[0].value, undefined);
  give(models[0], hash, "content");
  const late = makeModel(), before = join(late);
  await settle();
  const after = join(late);
  await settle();
  for (const { value } of [...states, before, after]) assert.deepEqual(value, { text: "content" });
  assert.equal(new Set([...states, before, after].map(({ value }) => value)).size, 1, "the same object");
  assert.deepEqual(reads, ["content"]);
  assert.deepEqual(counts([...models, late]), [1, 0, 0, 0]);
  assert.deepEqual(models.map((model) => model.listening()), [0, 0, 0]);
});

test("two views of one widget make it once", async () => {
  const { hash, models: [model], states, reads, join } = scene(1);
  const second = join(model);
  give(model, hash, "content");
  await settle();
  assert.equal(states[0].value, second.value);
  assert.deepEqual(reads, ["content"]);
  assert.deepEqual(counts([model]), [1]);
});

for (const event of ["destroy", "comm_live_update"]) {
  test(`when a widget that asks has ended (${event}) the next one asks`, async () => {
    const { hash, models, states, reads } = scene(3);
    models[1].tell(event);
    models[0].tell(event);
    await settle();
    assert.ok(states[0].error.over && states[1].error.over);
    assert.deepEqual(counts(models), [1, 0, 1]);
    give(models[0], hash, "from one that is gone"); // it no longer listens
    give(models[2], hash, "content");
    await settle();
    assert.deepEqual(reads, ["content"]);
    assert.equal(states[2].value.text, "content");
    assert.deepEqual(models.map((model) => model.listening()), [0, 0, 0]);
  });
}

test("when all have ended the next to come asks, and none of them is woken", async () => {
  const { hash, models, states, join } = scene(2);
  announce(models[0], hash, 5);
  for (const model of models) model.tell("comm_live_update");
  const next = makeModel(), state = join(next);
  assert.deepEqual(counts([...models, next]), [1, 1, 1]);
  give(next, hash, "content");
  await settle();
  assert.equal(state.value.text, "content");
  for (const { value, error } of states) assert.ok(value === undefined && error.over);
});

test("a kernel that no longer has it passes on to the next, and the last one is refused", async () => {
  const { hash, models, states, join } = scene(3);
  refuse(models[0], hash);
  assert.deepEqual(counts(models), [1, 1, 0]);
  refuse(models[1], hash);
  await settle();
  assert.deepEqual(counts(models), [1, 1, 1]);
  assert.ok(states.every(({ value, error }) => value === undefined && error === undefined), "the third may have it");
  refuse(models[2], hash);
  await settle();
  for (const { error } of states) assert.match(error.message, /no longer has/);
  const late = makeModel(), again = join(late);
  assert.deepEqual(counts([late]), [1], "asked for anew");
  give(late, hash, "content");
  await settle();
  assert.equal(again.value.text, "content");
});

test("a kernel that was refused shares what another one has", async () => {
  const { hash, models, states } = scene(2);
  refuse(models[0], hash);
  give(models[1], hash, "content");
  await settle();
  assert.ok(states.every(({ value }) => value.text === "content"));
});

test("silence passes on, once to each, and a late answer counts", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { hash, models, states, reads } = scene(3);
  context.mock.timers.tick(PATIENCE - 1);
  assert.deepEqual(counts(models), [1, 0, 0]);
  context.mock.timers.tick(1);
  assert.deepEqual(counts(models), [1, 1, 0]);
  context.mock.timers.tick(PATIENCE);
  assert.deepEqual(counts(models), [1, 1, 1]);
  // A kernel that was busy for an hour answers every question of that hour.
  for (let k = 0; k < 180; k++) context.mock.timers.tick(PATIENCE);
  assert.deepEqual(counts(models), [1, 1, 1]);
  give(models[1], hash, "content");
  for (const model of [models[0], models[2]]) give(model, hash, "content");
  await settle();
  assert.deepEqual(reads, ["content"]);
  assert.ok(states.every(({ value }) => value.text === "content"));
});

test("whoever comes while all are silent asks", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { hash, models, states, join } = scene(1);
  context.mock.timers.tick(PATIENCE);
  const other = makeModel(), state = join(other);
  assert.deepEqual(counts([...models, other]), [1, 1]);
  refuse(other, hash);
  await settle();
  assert.equal(state.error, undefined, "the first may still answer");
  give(models[0], hash, "content");
  await settle();
  assert.equal(state.value.text, "content");
  assert.equal(states[0].value.text, "content");
});

test("an announced size is waited for, as long as it may take", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { hash, models } = scene(2);
  context.mock.timers.tick(PATIENCE - 1);
  announce(models[0], hash, 1_000_000);
  context.mock.timers.tick(PATIENCE + 100_000 - 1);
  assert.deepEqual(counts(models), [1, 0]);
  context.mock.timers.tick(1);
  assert.deepEqual(counts(models), [1, 1]);
  // What was announced and did not come may be asked for again.
  context.mock.timers.tick(PATIENCE);
  assert.deepEqual(counts(models), [2, 1]);
});

test("no timer outlives the answer", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { hash, models } = scene(3);
  announce(models[0], hash, 100);
  give(models[0], hash, "content");
  await settle();
  context.mock.timers.tick(100 * PATIENCE);
  assert.deepEqual(counts(models), [1, 0, 0]);
});

test("two contents at once do not mix", async () => {
  const [model, ...others] = [makeModel(), makeModel()], load = loadBy(model);
  const text = (bytes) => Buffer.from(bytes).toString();
  const [a, b] = [load("mix-a", text), load("mix-b", text)], c = loadBy(others[0])("mix-b", text);
  assert.deepEqual(asked(model), ["mix-a", "mix-b"]);
  give(model, "mix-b", "B");
  model.tell("msg:custom", { type: "another", hash: "mix-a" }, []);
  give(model, "mix-a", "A");
  assert.deepEqual(await Promise.all([a, b, c]), ["A", "B", "B"]);
  forget("mix-a");
  const again = load("mix-a", text);
  assert.deepEqual(asked(model), ["mix-a", "mix-b", "mix-a"]);
  give(model, "mix-a", "A");
  assert.equal(await again, "A");
});

test("damaged content is an error, and is not kept", async () => {
  for (const damage of [(data) => data.slice(0, -9), (data) => data.fill(7, 9, 20), () => new Uint8Array()]) {
    const { hash, models, states, join } = scene(2);
    const real = [];
    give({ tell: (_, __, [view]) => real.push(view) }, hash, Buffer.from("content ".repeat(40)));
    const bytes = damage(new Uint8Array(real[0].buffer, real[0].byteOffset, real[0].byteLength).slice());
    models[0].tell("msg:custom", { type: "vw_asset", hash }, [new DataView(bytes.buffer)]);
    await settle();
    assert.ok(states.every(({ error }) => error instanceof Error));
    const next = makeModel(), state = join(next);
    give(next, hash, "content");
    await settle();
    assert.equal(state.value?.text, "content", "a cell that is run again has another try");
  }
});

test("content that cannot be made into what it should be is an error, and is not kept", async () => {
  const model = makeModel(), load = loadBy(model);
  const wrong = load("unreadable", () => { throw new Error("no module"); });
  give(model, "unreadable", "content");
  await assert.rejects(wrong, /no module/);
  const right = load("unreadable", () => 1);
  give(model, "unreadable", "content");
  assert.equal(await right, 1);
});

// A model of ipywidgets beside the one that anywidget makes of it: `hears` whether anywidget still listens.
function makePart(hears) {
  class Inherited {
    async _handle_comm_msg() { this.heard = true; }
  }
  class Own extends Inherited {
    async _handle_comm_msg() { if (!hears) throw new Error("[anywidget] Failed to initialize model"); }
  }
  const part = new Own();
  part.comm = { sent: [], send(data) { this.sent.push(data); }, on_msg(listener) { this.listener = listener; } };
  return part;
}

test("a widget that anywidget has given up hears again, and others are left alone", async () => {
  for (const hears of [true, false]) {
    const part = makePart(hears), model = makeModel({ page_id: "id", runtime: `run-${hears}` }, { id: part });
    const end = loader().initialize({ model });
    await settle();
    assert.deepEqual(part.comm.sent, hears ? [] : [{ method: "request_state" }]);
    await part.comm.listener?.({});
    assert.equal(part.heard, hears ? undefined : true);
    assert.deepEqual(asked(model), [`run-${hears}`]);
    end();
    model.tell("destroy");
    await settle();
  }
});

test("a widget that ends before it has begun keeps nobody waiting", async () => {
  const part = makePart(true), traits = { page_id: "id", runtime: "early" };
  const early = makeModel(traits, { id: part }), late = makeModel(traits, { id: part });
  loader().initialize({ model: early })(); // closed before its model was found
  const end = loader().initialize({ model: late });
  await settle();
  assert.deepEqual(counts([early, late]), [0, 1]);
  const begun = allBegun();
  late.tell("destroy");
  end();
  await begun;
});
