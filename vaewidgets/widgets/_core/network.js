// Runs a small network in the page: z to pixels, and pixels to mu and logvar.
//
// `network_spec.py` writes the description and the weights. Offsets into the weights count floats, shapes leave
// out the batch axis, and the likelihood's mean and the bound of logvar are layers like the others.
//
//   const network = makeNetwork(spec, weights)    // weights: Float32Array, or the bytes as they were sent
//   network.latentDim, network.imageShape         // d, [C, H, W]
//   network.decode(z)                             // Float32Array of C*H*W, overwritten by the next decode
//   network.decodeInto(z, out)                    // the same, into an array of the caller's
//   network.decodeMany(points)                    // N*d numbers to a new Float32Array of N*C*H*W
//   network.encode(x)                             // {mu, logvar}, logvar null of an autoencoder; or
//   network.encode === null                       // where the description has no encoder
//   network.macs                                  // multiply-adds of one decode, of products and convolutions
//   network.simd                                  // false: in plain JavaScript, as makeNetwork(spec, weights, true)
//   network.load(weights)                         // other weights of the same description, in the same memory
//   decodeMs(network)                             // milliseconds that one decode takes here
//
// `makeNetwork.source` defines the same name in a classic worker: a page opened from disk may not start a module
// worker from a Blob. So the parts are functions of the parts that they use, and of nothing else.

import { buildLayers } from "./layers.js";
import { buildKernels, makeKernel } from "./matmul.js";

/** @import { Chain, Layer } from "./layers.js" */
/** @import { Kernel } from "./matmul.js" */
/** @typedef {{ width: number, trunk: Layer[], mu: Layer[], logvar: Layer[] | null }} Encoder */
/**
 * What `network_spec.py` writes of a network.
 * @typedef {{
 *   format: number, latentDim: number, imageShape: number[], decoder: Layer[], encoder: Encoder | null,
 *   size: number, dtype?: string,
 * }} Description
 */
/** @typedef {Float32Array | ArrayBufferView} Weights */
/** @typedef {{ mu: Float32Array, logvar: Float32Array | null }} Code */
/**
 * @typedef {{
 *   latentDim: number, imageShape: number[], macs: number, simd: boolean,
 *   decode(z: ArrayLike<number>): Float32Array,
 *   decodeInto(z: ArrayLike<number>, out: Float32Array): Float32Array,
 *   decodeMany(points: ArrayLike<number>): Float32Array,
 *   encode: ((x: ArrayLike<number>) => Code) | null,
 *   load(weights: Weights): void,
 * }} Network
 */
/** @typedef {(spec: Description, weights: Weights, plain?: boolean) => Network} MakeNetwork */

// The value of a float16 from its bits.
/** @type {(bits: number) => number} */
export function halfToFloat(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}

/**
 * @param {ReturnType<typeof buildLayers>} layers @param {(plain?: boolean) => Kernel} makeKernel
 * @param {(bits: number) => number} halfToFloat
 */
function build({ KINDS, isCount, isShape, makeChain, product }, makeKernel, halfToFloat) {
  const FORMAT = 1;

  /** @type {(what: string) => never} */
  const fail = (what) => {
    throw new Error(`The description cannot be run: ${what}. Make it again from the model.`);
  };
  /** @type {(value: unknown) => string} */
  const said = (value) =>
    typeof value === "string" ? `"${value.slice(0, 60)}"` : typeof value === "number" ? `${value}` : typeof value;
  // Follow n values through the layers, and refuse what does not fit before any memory is taken for it.
  /** @param {string} name @param {Layer[]} layers @param {number} n @param {number} total @param {number} wanted */
  function checkChain(name, layers, n, total, wanted) {
    if (!Array.isArray(layers)) fail(`its ${name} is no list of layers`);
    layers.forEach((layer, i) => {
      const kind = layer?.kind;
      if (typeof kind !== "string" || !Object.hasOwn(KINDS, kind)) {
        throw new Error(`The description has a layer of kind ${said(kind)}, which this page cannot run.`);
      }
      const fault = KINDS[kind].fault(layer, n, total);
      if (fault) fail(`layer ${i} of its ${name}, a ${kind}, has a wrong "${fault}"`);
      if (layer.out) n = product(layer.out);
    });
    if (n !== wanted) fail(`its ${name} gives ${n} values where ${wanted} are needed`);
  }

  /** @type {(spec: Description) => void} */
  function checkSpec(spec) {
    if (spec?.format !== FORMAT) {
      throw new Error(`The description has format ${said(spec?.format)}; this page reads ${FORMAT}.`);
    }
    const { latentDim, imageShape, encoder, size } = spec;
    if (!isCount(latentDim)) fail("its latentDim is no number of values");
    if (!isShape(imageShape, 3)) fail("its imageShape is no shape of an image");
    const pixels = product(imageShape);
    checkChain("decoder", spec.decoder, latentDim, size, pixels);
    if (encoder === null) return;
    if (!isCount(encoder?.width)) fail("its encoder has a wrong width");
    checkChain("encoder", encoder.trunk, pixels, size, encoder.width);
    checkChain("mu", encoder.mu, encoder.width, size, latentDim);
    if (encoder.logvar !== null) checkChain("logvar", encoder.logvar, encoder.width, size, latentDim);
  }

  /** @type {(weights: Weights, dtype: string | undefined) => Float32Array} */
  function toFloats(weights, dtype) {
    if (weights instanceof Float32Array) return weights;
    const { buffer, byteOffset, byteLength } = weights;
    // What arrives in a message may start anywhere; a typed array must start at a multiple of its item.
    const bytes = buffer.slice(byteOffset, byteOffset + byteLength);
    if (dtype !== "float32" && dtype !== "float16") fail("its dtype is neither float32 nor float16");
    const item = dtype === "float32" ? 4 : 2;
    if (byteLength % item) fail(`its ${byteLength} bytes of weights are no multiple of ${item}`);
    if (dtype === "float32") return new Float32Array(bytes);
    return Float32Array.from(new Uint16Array(bytes), halfToFloat);
  }

  /** @type {(name: string, array: ArrayLike<number>, size: number) => void} */
  function check(name, array, size) {
    if (array.length !== size) throw new Error(`${name} has ${array.length} values and should have ${size}.`);
  }

  /** @type {MakeNetwork} */
  function makeNetwork(spec, data, plain = false) {
    /** @type {(data: Weights) => Float32Array} */
    const read = (data) => {
      const weights = toFloats(data, spec?.dtype);
      if (weights.length === spec.size) return weights;
      throw new Error(`The description is of ${said(spec.size)} weights; ${weights.length} came.`);
    };
    const weights = read(data);
    checkSpec(spec);
    const { latentDim, imageShape, encoder } = spec;
    const pixels = product(imageShape), kernel = makeKernel(plain);
    /** @type {Chain[]} */
    const chains = [];
    /** @type {(layers: Layer[], n: number) => Chain} */
    const add = (layers, n) => {
      try {
        const chain = makeChain(layers, kernel, n);
        chains.push(chain);
        return chain;
      } catch (error) {
        if (error instanceof RangeError) fail("it takes more memory than the page has");
        throw error;
      }
    };
    const decoder = add(spec.decoder, latentDim);
    const trunk = encoder && add(encoder.trunk, pixels);
    const mu = encoder && add(encoder.mu, encoder.width);
    const logvar = encoder?.logvar ? add(encoder.logvar, encoder.width) : null;
    chains.forEach((chain) => chain.load(weights));
    const image = new Float32Array(pixels);

    /** @type {(points: ArrayLike<number>, from: number, out: Float32Array, to: number) => Float32Array} */
    const decodeTo = (points, from, out, to) => {
      const y = decoder.run(points, from);
      out.set(kernel.f32.subarray(y, y + pixels), to);
      return out;
    };
    /** @type {Network["decodeInto"]} */
    const decodeInto = (z, out) => {
      check("z", z, latentDim);
      check("out", out, pixels);
      return decodeTo(z, 0, out, 0);
    };
    /** @type {Network["decodeMany"]} */
    const decodeMany = (points) => {
      const count = points.length / latentDim;
      if (!Number.isInteger(count)) {
        throw new Error(`points has ${points.length} values, no multiple of ${latentDim}.`);
      }
      const out = new Float32Array(count * pixels);
      for (let k = 0; k < count; k++) decodeTo(points, k * latentDim, out, k * pixels);
      return out;
    };

    /** @type {Network["encode"]} */
    let encode = null;
    if (trunk && mu) {
      /** @type {(chain: Chain, at: number) => Float32Array} */
      const head = (chain, at) => {
        const y = chain.run(kernel.f32, at);
        return kernel.f32.slice(y, y + latentDim);
      };
      encode = (x) => {
        check("x", x, pixels);
        const h = trunk.run(x);
        return { mu: head(mu, h), logvar: logvar && head(logvar, h) };
      };
    }
    return {
      latentDim, imageShape, macs: decoder.macs, simd: kernel.simd, decode: (z) => decodeInto(z, image), decodeInto,
      decodeMany, encode,
      load: (data) => {
        const weights = read(data);
        chains.forEach((chain) => chain.load(weights));
      },
    };
  }

  return makeNetwork;
}

const { source, make } = (() => {
  const parts = `(${buildLayers})(), (${buildKernels})(), ${halfToFloat}`;
  return { source: `const makeNetwork = (${build})(${parts});\n`, make: build(buildLayers(), makeKernel, halfToFloat) };
})();
/** @type {MakeNetwork & { source: string }} */
export const makeNetwork = Object.assign(make, { source });

// The first decodes are slower than all that follow, as the browser has yet to compile them well. So it decodes zeros
// for a while (budget: milliseconds), and says how long the fastest took.
/** @type {(network: Network, budget?: number) => number} */
export function decodeMs(network, budget = 60) {
  const z = new Float32Array(network.latentDim), begin = performance.now();
  let best = Infinity, now = begin;
  // A clock that is coarse, against fingerprinting, shows nothing of a single one that is fast.
  for (let count = 1; now < begin + budget; count = Math.min(2 * count, 64)) {
    for (let i = 0; i < count; i++) network.decode(z);
    const last = now;
    now = performance.now();
    if (now > last) best = Math.min(best, (now - last) / count);
  }
  return best;
}
