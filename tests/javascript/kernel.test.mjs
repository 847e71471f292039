// The matrix products of the page: their bytes against their source, their results against sums in double.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { buildKernels, makeKernel } from "../../vaewidgets/widgets/_core/matmul.js";
import { assemble } from "./wat.mjs";

const KERNELS = [["wasm", false], ["plain", true]];

test("the bytes in matmul.js are those of kernel.wat", () => {
  const bytes = assemble(readFileSync(new URL("kernel.wat", import.meta.url), "utf-8"));
  const text = readFileSync(new URL("../../vaewidgets/widgets/_core/matmul.js", import.meta.url), "utf-8");
  const stored = [...text.split("const WASM =")[1].split(";")[0].matchAll(/"([^"]*)"/g)].map((match) => match[1]).join("");
  assert.equal(stored, Buffer.from(bytes).toString("base64"));
  assert.ok(bytes.length < 2500);
});

function numbers(count, seed) {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    values[i] = seed / 2 ** 31 - 1;
  }
  return values;
}

for (const [name, plain] of KERNELS) {
  test(`${name}: products of all shapes`, () => {
    const kernel = makeKernel(plain);
    assert.equal(kernel.simd, !plain);
    const sizes = [1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 16, 31];
    for (const m of sizes) {
      for (const n of sizes) {
        for (const k of [1, 2, 3, 4, 5, 8, 33]) {
          const a = kernel.reserve(m * k), b = kernel.reserve(n * k), c = kernel.reserve(m * n + 1);
          const A = numbers(m * k, m + 31 * n), B = numbers(n * k, k + 7);
          const of = {
            multiply: [(i, l) => A[i * k + l], (l, j) => B[l * n + j]],
            multiplyTN: [(i, l) => A[l * m + i], (l, j) => B[l * n + j]],
            multiplyNT: [(i, l) => A[i * k + l], (l, j) => B[j * k + l]],
          };
          for (const [product, [left, right]] of Object.entries(of)) {
            kernel.f32.set(A, a);
            kernel.f32.set(B, b);
            kernel.f32.fill(7, c, c + m * n + 1);
            kernel[product](c, a, b, m, n, k);
            for (let i = 0; i < m; i++) {
              for (let j = 0; j < n; j++) {
                let sum = 0;
                for (let l = 0; l < k; l++) sum += left(i, l) * right(l, j);
                const off = Math.abs(kernel.f32[c + i * n + j] - sum);
                assert.ok(off < 1e-5, `${product} ${m} ${n} ${k}, [${i}, ${j}]: ${off} off`);
              }
            }
            assert.equal(kernel.f32[c + m * n], 7, "written beyond the end");
          }
        }
      }
    }
  });

  test(`${name}: a product that is 0 long, and one of nothing`, () => {
    const kernel = makeKernel(plain), c = kernel.reserve(6);
    kernel.f32.fill(7, c, c + 6);
    kernel.multiply(c, 0, 0, 0, 3, 5);
    kernel.multiply(c, 0, 0, 2, 2, 0);
    assert.deepEqual([...kernel.f32.subarray(c, c + 6)], [0, 0, 0, 0, 7, 7]);
  });

  test(`${name}: e^x`, () => {
    const kernel = makeKernel(plain), n = 4001, p = kernel.reserve(n);
    for (let i = 0; i < n; i++) kernel.f32[p + i] = (i - 2000) / 23;
    const x = kernel.f32.slice(p, p + n);
    kernel.exp(4 * p, n);
    x.forEach((value, i) => assert.ok(Math.abs(kernel.f32[p + i] / Math.exp(value) - 1) < 3e-7, `of ${value}`));
    kernel.f32.set([-200, -1e30, 200, 0], p);
    kernel.exp(4 * p, 4);
    const [low, lowest, high, one] = kernel.f32.subarray(p, p + 4);
    assert.ok(low < 2e-38 && lowest < 2e-38 && high === Infinity && one === 1);
  });

  test(`${name}: memory grows, keeps what it holds, and ends`, () => {
    const kernel = makeKernel(plain), a = kernel.reserve(4);
    kernel.f32.set([1, 2, 3, 4], a);
    const b = kernel.reserve(2 ** 20), c = kernel.reserve(1);
    assert.ok(b >= a + 4 && c >= b + 2 ** 20);
    assert.deepEqual([...kernel.f32.subarray(a, a + 4)], [1, 2, 3, 4]);
    assert.throws(() => kernel.reserve(2 ** 28), RangeError);
    assert.throws(() => kernel.reserve(NaN), RangeError);
    kernel.close();
    assert.equal(kernel.f32.length, 0);
  });
}

test("a page that forbids or lacks WebAssembly is asked once", () => {
  const { WebAssembly } = globalThis;
  let asked = 0;
  try {
    globalThis.WebAssembly = { Module: class { constructor() { asked++; throw new WebAssembly.CompileError("policy"); } } };
    const make = buildKernels();
    assert.deepEqual([make().simd, make().simd, asked], [false, false, 1]);
    delete globalThis.WebAssembly;
    assert.equal(buildKernels()().simd, false);
  } finally {
    globalThis.WebAssembly = WebAssembly;
  }
});

test("a page that has no memory left for WebAssembly has plain JavaScript", () => {
  const { Memory } = WebAssembly;
  try {
    WebAssembly.Memory = class { constructor() { throw new RangeError("could not allocate memory"); } };
    assert.equal(buildKernels()().simd, false);
  } finally {
    WebAssembly.Memory = Memory;
  }
});
