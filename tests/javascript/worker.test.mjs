// Decoding in a worker: tests/browser/test_decoder.py has a real one, this a stand-in that keeps its messages.

import assert from "node:assert/strict";
import { resolveObjectURL } from "node:buffer";
import { test } from "node:test";

import { makeWorkerNetwork } from "../../vaewidgets/widgets/_core/decode_worker.js";
import { makeNetwork } from "../../vaewidgets/widgets/_core/network.js";
import { bytes, expected } from "./expected.mjs";

const { spec, weights: text } = expected.worker;
const weights = bytes(text), here = makeNetwork(spec, weights);
const wanted = (...z) => here.decode(z).slice();

// What a worker does with its text and its messages, each in its turn.
class Stand {
  constructor(url) {
    Stand.last = this;
    this.seen = [];
    this.self = { postMessage: (data) => setTimeout(() => this.onmessage?.({ data: structuredClone(data) })) };
    this.queue = resolveObjectURL(url).text().then((code) => new Function("self", code)(this.self));
  }
  postMessage(data) {
    const copy = structuredClone(data);
    this.seen.push(copy);
    this.queue = this.queue.then(() => this.ended || this.self.onmessage({ data: copy }));
  }
  terminate() { this.ended = true; }
}

// A page whose policy forbids workers says so at once, or by an event.
class Refused { constructor() { throw new DOMException("policy", "SecurityError"); } }
class Failing {
  constructor() { setTimeout(() => this.onerror({ message: "" })); }
  postMessage() {}
  terminate() {}
}

for (const [name, kind, where] of [["worker", Stand, "worker"], ["refused", Refused, "page"], ["failing", Failing, "page"]]) {
  const start = (...given) => {
    globalThis.Worker = kind;
    return makeWorkerNetwork(...given);
  };

  test(`${name}: the newest is decoded, and what is stale is not`, async () => {
    const network = start(spec, weights);
    const answers = await Promise.all([[1, 2], [3, 4], [5, 6], [-1, 0.5]].map((z) => network.decode(z)));
    assert.deepEqual(answers, [wanted(1, 2), null, null, wanted(-1, 0.5)]);
    assert.equal(network.where, where);
    assert.ok(network.ms >= 0);
    if (kind === Stand) assert.deepEqual(Stand.last.seen.map(({ z }) => z && [...z]), [undefined, [1, 2], [-1, 0.5]]);
    // Each answer is its own.
    assert.deepEqual(await network.decode([1, 2]), answers[0]);
    network.close();
    assert.equal(await network.decode([1, 2]), null);
  });

  test(`${name}: other weights`, async () => {
    const network = start(spec, weights);
    await network.decode([0, 0]);
    const changed = new Float32Array(weights.slice().buffer).map((value) => 2 * value);
    network.load(changed);
    assert.deepEqual(await network.decode([1, 2]), makeNetwork(spec, changed).decode([1, 2]));
    network.load(changed.subarray(1));
    await assert.rejects(network.decode([1, 2]), /of \d+ weights; \d+ came/);
    network.load(changed);
    assert.deepEqual(await network.decode([1, 2]), makeNetwork(spec, changed).decode([1, 2]));
    network.close();
  });

  test(`${name}: what cannot be decoded is refused`, async () => {
    const network = start(spec, weights);
    await assert.rejects(network.decode([1, 2, 3]), /z has 3 values and should have 2/);
    assert.deepEqual(await network.decode([1, 2]), wanted(1, 2));
    const wrong = start({ ...spec, format: 2 }, weights);
    await assert.rejects(wrong.decode([1, 2]), /has format 2/);
    await assert.rejects(wrong.decode([1, 2]), /has format 2/);
    network.close();
    wrong.close();
  });

  test(`${name}: closed while it decodes`, async () => {
    const network = start(spec, weights), answers = [network.decode([1, 2]), network.decode([3, 4])];
    network.close();
    assert.deepEqual(await Promise.all(answers), [null, null]);
  });
}
