// What Python expects of the page's mathematics: tests/test_javascript.py writes it and names the file.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export const expected = JSON.parse(readFileSync(process.env.VAEWIDGETS_EXPECTED, "utf-8"));

export const bytes = (text) => Uint8Array.from(Buffer.from(text, "base64"));
export const floats = (text) => new Float32Array(bytes(text).buffer);

// Numbers, one or a list (of lists) of them, as numpy.allclose compares them.
export function assertClose(actual, wanted, { rtol = 0, atol = 0 }, what = "") {
  if (typeof wanted === "number") {
    const off = Math.abs(actual - wanted);
    assert.ok(off <= atol + rtol * Math.abs(wanted), `${what}: ${actual}, not ${wanted}: ${off} off`);
    return;
  }
  assert.equal(actual.length, wanted.length, what);
  for (let i = 0; i < wanted.length; i++) assertClose(actual[i], wanted[i], { rtol, atol }, `${what}[${i}]`);
}
