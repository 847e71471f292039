// Pixels, codes and numbers that come as bytes, against what Python makes of the same.

import assert from "node:assert/strict";
import { test } from "node:test";

import { halfToFloat } from "../../vaewidgets/widgets/_core/network.js";
import { fixed, floatsOf, roundUp } from "../../vaewidgets/widgets/_core/numbers.js";
import { fromBytes, toRGBA } from "../../vaewidgets/widgets/_core/pixels.js";
import { bytes, expected, floats } from "./expected.mjs";

// The browser's, as far as it is used.
globalThis.ImageData = class {
  constructor(width, height) {
    Object.assign(this, { width, height, data: new Uint8ClampedArray(4 * width * height) });
  }
};

test("what a decoder gives becomes the colours that Python shows", () => {
  for (const { shape, pixels, rgba } of expected.images) {
    assert.deepEqual([...toRGBA(floats(pixels), shape).data], [...bytes(rgba)], `${shape}`);
  }
});

test("the kernel's pixels stay as they are", () => {
  for (const { shape: [channels, height, width], shown, rgba } of expected.images) {
    assert.deepEqual([...fromBytes(bytes(shown), width, height, channels).data], [...bytes(rgba)]);
  }
});

test("floats are read from any place of a message", () => {
  const { values, halves } = expected.bytes, whole = new Uint8Array(bytes(values).length + 3);
  whole.set(bytes(values), 3);
  assert.deepEqual(floatsOf(new DataView(whole.buffer, 3)), floats(values));
  halves.bits.forEach((bits, i) => assert.equal(halfToFloat(bits), halves.values[i]));
});

test("numbers are written as Python writes them", () => {
  for (const { value, digits, text } of expected.texts) assert.equal(fixed(value, digits), text);
});

test("ends of axes are round and not below", () => {
  for (const value of expected.ends) {
    const end = roundUp(value);
    assert.ok(end >= value * (1 - 1e-9) && end <= 1.5 * value, `${value}: ${end}`);
  }
});
