// How long decodes take in the page, in WebAssembly and in plain JavaScript: tests/test_javascript.py names the file.
// Prints one line of JSON for each network.

import { decodeMs, makeNetwork } from "../../vaewidgets/widgets/_core/network.js";
import { bytes, expected } from "./expected.mjs";

for (const { name, spec, weights } of expected.networks) {
  const begin = performance.now(), fast = makeNetwork(spec, bytes(weights)), made = performance.now() - begin;
  const wasm = decodeMs(fast, 1500), plain = decodeMs(makeNetwork(spec, bytes(weights), true), 1500);
  console.log(JSON.stringify({ name, macs: fast.macs, made, wasm, plain }));
}
