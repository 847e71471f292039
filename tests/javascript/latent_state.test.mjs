// The latent point between sliders, cursors and the kernel: which slider moves which coordinate.

import assert from "node:assert/strict";
import { test } from "node:test";

import widget from "../../vaewidgets/widgets/_core/latent_state.js";
import { latentOf } from "../../vaewidgets/widgets/_core/shared.js";
import { makeModel } from "./models.mjs";

const later = setTimeout;
const rest = (ms = 0) => new Promise((resolve) => { later(resolve, ms); });
const SETTLED = 150;
let count = 0;

// As ipywidgets' slider: rounded to its step, within its ends; what the kernel sends holds the lock meanwhile.
function makeSlider(value, { min = -4, max = 4, step = 0.5 } = {}) {
  const model = makeModel({ value, min, max, step });
  const round = (wanted) => Math.min(Math.max(Math.round(wanted / step) * step, model.values.min), model.values.max);
  return Object.assign(model, {
    _state_lock: null,
    set(name, wanted) { model.change({ [name]: name === "value" ? round(wanted) : wanted }); },
    hand(wanted) { model.change({ value: wanted }); },
    kernel(wanted) {
      model._state_lock = { value: wanted };
      model.change({ value: wanted });
      model._state_lock = null;
    },
  });
}

async function begin({ z, dimensions, sliders = dimensions.map((i) => makeSlider(z[i])), ends = [] }) {
  const key = `key-${count++}`, walk = makeSlider(0, { min: 0, max: 1, step: 0.01 });
  const ids = sliders.map((_, k) => `slider-${key}-${k}`);
  const others = Object.fromEntries([...ids.map((id, k) => [id, sliders[k]]), [`walk-${key}`, walk]]);
  const model = makeModel({
    key, z, moved: [], dimensions, ends, serial: 3, heard: 0, networks: {}, plane: {}, page_ms: 0,
    sliders: ids.map((id) => `IPY_MODEL_${id}`), walk: `IPY_MODEL_walk-${key}`,
  }, others);
  const latent = latentOf(key), end = widget.initialize({ model });
  await rest(20);
  return { model, latent, sliders, walk, end };
}
const shown = (sliders) => sliders.map((slider) => slider.get("value"));

test("a slider moves its own coordinate, and no other", async () => {
  const { latent, sliders, end } = await begin({ z: [0, 1, 2, 3, 0.5], dimensions: [1, 3, 4] });
  sliders[1].hand(-2);
  assert.deepEqual(latent.z, [0, 1, 2, -2, 0.5]);
  sliders[0].hand(4);
  assert.deepEqual(latent.z, [0, 4, 2, -2, 0.5]);
  // Within half a step it is what the slider shows of a finer value.
  latent.z = [0, 1.1, 2, -2, 0.5];
  sliders[0].hand(1);
  assert.deepEqual(latent.z, [0, 1.1, 2, -2, 0.5]);
  sliders[2].kernel(3);
  assert.deepEqual(latent.z, [0, 1.1, 2, -2, 0.5], "the kernel sends z too");
  end();
  sliders[0].hand(-4);
  assert.deepEqual(latent.z[1], 1.1);
});

test("the last slider takes another coordinate while it stays", async () => {
  const { model, latent, sliders, end } = await begin({ z: [0, 1, 2, 3, 0.5], dimensions: [1, 2] });
  sliders[1].hand(-1);
  assert.deepEqual(latent.z, [0, 1, -1, 3, 0.5]);
  // As Coordinates.choose: the slider first, then which coordinate it is.
  sliders[1].kernel(3);
  model.change({ dimensions: [1, 3] });
  sliders[1].hand(-3);
  assert.deepEqual(latent.z, [0, 1, -1, -3, 0.5]);
  sliders[0].hand(2);
  assert.deepEqual(latent.z, [0, 2, -1, -3, 0.5]);
  end();
});

test("where the kernel or a cursor takes z the sliders follow, beyond their ends too", async () => {
  const { model, latent, sliders, end } = await begin({ z: [0, 0, 0, 0], dimensions: [3, 1] });
  model.change({ z: [1, 2, 3, 3.5] });
  assert.deepEqual(latent.z, [1, 2, 3, 3.5]);
  await rest(SETTLED);
  assert.deepEqual(shown(sliders), [3.5, 2]);
  latent.move([0, -5.2, 0, 9.3], true);
  assert.deepEqual(model.values.moved, [0, -5.2, 0, 9.3]);
  assert.deepEqual(sliders.map((slider) => [slider.get("min"), slider.get("max")]), [[-4, 9.5], [-5.5, 4]]);
  assert.deepEqual(shown(sliders), [9.5, -5]);
  assert.deepEqual(latent.z, [0, -5.2, 0, 9.3], "rounding is not taken for a hand");
  end();
});

test("a page that is loaded again takes z from the sliders", async () => {
  const sliders = [makeSlider(-2), makeSlider(1)];
  const { latent, model, end } = await begin({ z: [0, 1.1, 0, 0.5], dimensions: [3, 1], sliders });
  assert.deepEqual(latent.z, [0, 1.1, 0, -2], "1.1 is shown as 1");
  assert.equal(model.values.heard, 0);
  await rest(SETTLED);
  assert.equal(model.values.heard, 3, "the kernel is told what the page has");
  model.change({ serial: 4 });
  await rest(SETTLED);
  assert.equal(model.values.heard, 4);
  end();
});

test("t walks along the line of all coordinates", async () => {
  const { model, latent, sliders, walk, end } = await begin({ z: [0, 0, 0], dimensions: [2] });
  walk.hand(0.5);
  assert.deepEqual(latent.z, [0, 0, 0], "there are no ends yet");
  model.values.ends = [[0, 2, -4], [2, 2, 4]];
  walk.hand(0.75);
  assert.deepEqual(latent.z, [1.5, 2, 2]);
  assert.deepEqual(model.values.moved, [1.5, 2, 2]);
  assert.deepEqual(shown(sliders), [2]);
  end();
  walk.hand(0);
  assert.deepEqual(latent.z, [1.5, 2, 2]);
});

test("a widget that is closed before its sliders are found leaves nothing behind", async () => {
  const z = [0, 0], slider = makeSlider(0), walk = makeSlider(0);
  const model = makeModel({ key: "early", z, dimensions: [0], sliders: ["a"], walk: "b", networks: {}, plane: {} }, { a: slider, b: walk });
  widget.initialize({ model })();
  await rest(20);
  assert.deepEqual([model, slider, walk].map((each) => each.listening()), [0, 0, 0]);
});
