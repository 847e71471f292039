// The decoder that runs in the page, against torch.

import assert from "node:assert/strict";
import { test } from "node:test";

import { makeNetwork } from "../../vaewidgets/widgets/_core/network.js";
import { assertClose, bytes, expected, floats } from "./expected.mjs";

const { models, maps, small, halves } = expected.decoder;
const networkOf = ({ spec, weights }) => makeNetwork(spec, bytes(weights));

for (const model of models) {
  test(model.name, () => {
    const network = networkOf(model), images = floats(model.images);
    const scale = images.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    assertClose(network.decodeMany(floats(model.z)), images, { atol: 1e-4 * scale }, "image");
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
  test(`activation ${JSON.stringify(layer)}`, () => {
    const spec = { format: 1, latentDim: 1, imageShape: [1, 1, 1], decoder: [layer], encoder: null, size: 0 };
    const found = makeNetwork(spec, new Float32Array(0)).decodeMany(x);
    found.forEach((value, i) => assertClose(value, y[i], { atol: 1e-6 * Math.max(1, Math.abs(y[i])) }, `of ${x[i]}`));
  });
}

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
