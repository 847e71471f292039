// The decoder that runs in the page, against torch.

import assert from "node:assert/strict";
import { test } from "node:test";

import { decodeMs, makeNetwork } from "../../vaewidgets/widgets/_core/network.js";
import { assertClose, bytes, expected, floats } from "./expected.mjs";

const { models, maps, small, halves } = expected.decoder;
const KERNELS = [["wasm", false], ["plain", true]];
const networkOf = ({ spec, weights }, plain = false) => makeNetwork(spec, bytes(weights), plain);

// Of a million pixels: a message for each would take longer than all else.
function assertPixels(actual, wanted, tolerance) {
  assert.equal(actual.length, wanted.length);
  let worst = 0;
  for (let i = 0; i < wanted.length; i++) {
    const off = Math.abs(actual[i] - wanted[i]);
    if (!(off <= worst)) worst = off;
  }
  assert.ok(worst <= tolerance, `${worst} off, not ${tolerance}`);
}

for (const [kernel, plain] of KERNELS) {
  for (const model of models) {
    test(`${kernel}: ${model.name}`, () => {
      const network = networkOf(model, plain), images = floats(model.images);
      assert.equal(network.simd, !plain);
      const scale = images.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
      // Twice: nothing of a decode may be left for the next.
      for (let i = 0; i < (images.length > 1e6 ? 1 : 2); i++) {
        assertPixels(network.decodeMany(floats(model.z)), images, 1e-4 * scale);
      }
      if (!model.x) {
        assert.equal(network.encode, null);
        return;
      }
      const x = floats(model.x), size = network.imageShape.reduce((a, b) => a * b), d = network.latentDim;
      const codes = Array.from({ length: x.length / size }, (_, i) => network.encode(x.subarray(i * size, (i + 1) * size)));
      const tolerance = { rtol: 1e-4, atol: 2e-5 };
      for (const name of ["mu", "logvar"]) {
        const wanted = model[name] && floats(model[name]);
        codes.forEach((code, i) => {
          if (wanted) assertClose(code[name], wanted.subarray(i * d, (i + 1) * d), tolerance, name);
          else assert.equal(code[name], null);
        });
      }
    });
  }

  for (const { layer, x, y } of maps) {
    test(`${kernel}: activation ${JSON.stringify(layer)}`, () => {
      // One value at a time, and all together.
      for (const n of [1, x.length]) {
        const spec = { format: 1, latentDim: n, imageShape: [1, 1, n], decoder: [layer], encoder: null, size: 0 };
        const found = makeNetwork(spec, new Float32Array(0), plain).decodeMany(x);
        found.forEach((value, i) => assertClose(value, y[i], { atol: 1e-6 * Math.max(1, Math.abs(y[i])) }, `of ${x[i]}`));
      }
    });
  }
}

test("other weights of the same description", () => {
  const network = networkOf(small), doubled = floats(small.weights).map((value) => 2 * value);
  const before = network.decode([1, 2]).slice();
  network.load(doubled);
  const after = network.decode([1, 2]).slice();
  assert.deepEqual(after, makeNetwork(small.spec, doubled).decode([1, 2]));
  assert.notDeepEqual(after, before);
  assert.throws(() => network.load(new Float32Array(3)), /of \d+ weights; 3 came/);
});

test("what a decode costs", () => {
  const network = networkOf(small);
  const { decoder } = small.spec, linear = decoder.filter(({ kind }) => kind === "linear");
  assert.equal(network.macs, linear.reduce((sum, layer) => sum + layer.in[0] * layer.out[0], 0));
  const begin = performance.now(), cost = decodeMs(network, 20);
  assert.ok(performance.now() - begin < 1000);
  assert.ok(cost > 0 && cost < 20);
});

test("the text for a worker makes the same network", () => {
  const other = new Function(`${makeNetwork.source} return makeNetwork;`)();
  assert.deepEqual(other(small.spec, bytes(small.weights)).decode([1, 2]), networkOf(small).decode([1, 2]));
});

test("many networks one after the other", () => {
  let last;
  for (let i = 0; i < 3000; i++) last = networkOf(small);
  assert.deepEqual(last.decode([1, 2]), networkOf(small).decode([1, 2]));
});

test("decode writes over its result, the others do not", () => {
  const network = networkOf(small);
  const a = network.decode([1, 2]), first = a.slice(), b = network.decode([-1, 0.5]);
  assert.equal(a, b);
  assert.ok(b instanceof Float32Array);
  assert.notDeepEqual(first, b);
  assert.deepEqual(network.decodeInto([1, 2], new Float32Array(16)), first);
  assert.deepEqual(network.decodeMany([1, 2, -1, 0.5]), Float32Array.from([...first, ...b]));
  assert.equal(network.decodeMany([]).length, 0);
});

test("every half is read exactly, from any place of a message", () => {
  const bits = bytes(halves.bits), values = floats(halves.values), n = values.length;
  const whole = new Uint8Array(bits.length + 3);
  whole.set(bits, 3);
  const spec = {
    format: 1, latentDim: 1, imageShape: [1, 1, n], encoder: null, dtype: "float16", size: n,
    decoder: [{ kind: "constant", out: [n], weight: 0 }],
  };
  assert.deepEqual(makeNetwork(spec, new DataView(whole.buffer, 3)).decode([0]), values);
});

for (const [change, message] of [
  [{ decoder: [{ kind: "attention" }] }, 'layer of kind "attention", which this page cannot run'],
  [{ decoder: [{ kind: "constructor" }] }, 'layer of kind "constructor"'],
  [{ format: 2 }, "has format 2; this page reads 1"],
  [{ size: 3 }, `of 3 weights; ${small.spec.size} came`],
]) {
  test(`a description is refused: ${message}`, () => {
    const spec = { ...small.spec, ...change };
    assert.throws(() => makeNetwork(spec, bytes(small.weights)), (error) => error.message.includes(message));
  });
}

for (const [call, message] of [
  [(network) => network.decode([1, 2, 3]), "z has 3 values and should have 2"],
  [(network) => network.decodeMany([1, 2, 3]), "points has 3 values, no multiple of 2"],
  [(network) => network.decodeInto([1, 2], new Float32Array(3)), "out has 3 values and should have 16"],
  [(network) => network.encode([1, 2, 3]), "x has 3 values and should have 16"],
]) {
  test(`an array of another length is refused: ${message}`, () => {
    assert.throws(() => call(networkOf(small)), (error) => error.message.includes(message));
  });
}
