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
//
// `makeNetwork.source` defines the same name in a classic worker: a page opened from disk may not start a module
// worker from a Blob. So `build` uses nothing of its surroundings but `halfToFloat`.

/**
 * A layer, with the fields that its kind needs.
 * @typedef {{
 *   kind: string, in: number[], out: number[], weight: number, bias: number,
 *   kernel: number[], stride: number[], padding: number[], dilation: number[],
 *   slope: number, beta: number, threshold: number, bound: number,
 * }} Layer
 */
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
 *   latentDim: number, imageShape: number[],
 *   decode(z: ArrayLike<number>): Float32Array,
 *   decodeInto(z: ArrayLike<number>, out: Float32Array): Float32Array,
 *   decodeMany(points: ArrayLike<number>): Float32Array,
 *   encode: ((x: ArrayLike<number>) => Code) | null,
 * }} Network
 */
/** @typedef {Float32Array | Float64Array} Values */
/** @typedef {(input: ArrayLike<number>, from?: number) => Values} Run */

// The value of a float16 from its bits.
/** @type {(bits: number) => number} */
export function halfToFloat(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}

export const makeNetwork = (function build() {
  const FORMAT = 1;

  /** @type {(shape: number[]) => number} */
  const product = (shape) => shape.reduce((a, b) => a * b, 1);

  // y[to + r * rowStep + p * pointStep] = bias[r] + sum over i of w[r, i] * x[p, i], with sums in double.
  // Four rows share each load of x, and four sums at a time hide the latency of one.
  /**
   * @param {Values} w @param {number} at @param {number} biasAt @param {number} rows @param {number} cols
   * @param {Values} x @param {number} points
   * @param {Values} y @param {number} to @param {number} rowStep @param {number} pointStep
   */
  function affine(w, at, biasAt, rows, cols, x, points, y, to, rowStep, pointStep) {
    /** @type {(r: number) => number} */
    const bias = (r) => (biasAt < 0 ? 0 : w[biasAt + r]);
    let r = 0;
    for (; r + 3 < rows; r += 4) {
      const a = at + r * cols, b = a + cols, c = b + cols, d = c + cols;
      const biasA = bias(r), biasB = bias(r + 1), biasC = bias(r + 2), biasD = bias(r + 3);
      for (let p = 0; p < points; p++) {
        const from = p * cols;
        let s = biasA, t = biasB, u = biasC, v = biasD;
        for (let i = 0; i < cols; i++) {
          const value = x[from + i];
          s += w[a + i] * value;
          t += w[b + i] * value;
          u += w[c + i] * value;
          v += w[d + i] * value;
        }
        const o = to + r * rowStep + p * pointStep;
        y[o] = s;
        y[o + rowStep] = t;
        y[o + 2 * rowStep] = u;
        y[o + 3 * rowStep] = v;
      }
    }
    for (; r < rows; r++) {
      const a = at + r * cols;
      for (let p = 0; p < points; p++) {
        const from = p * cols;
        let s = bias(r), t = 0, u = 0, v = 0, i = 0;
        for (; i + 3 < cols; i += 4) {
          s += w[a + i] * x[from + i];
          t += w[a + i + 1] * x[from + i + 1];
          u += w[a + i + 2] * x[from + i + 2];
          v += w[a + i + 3] * x[from + i + 3];
        }
        for (; i < cols; i++) s += w[a + i] * x[from + i];
        y[to + r * rowStep + p * pointStep] = s + t + u + v;
      }
    }
  }

  // Layers that read x and write y.
  /** @type {{ [kind: string]: (l: Layer, w: Values, x: Values, y: Values, scratch: Values) => void }} */
  const STEPS = {
    linear(l, w, x, y) {
      affine(w, l.weight, l.bias, l.out[0], l.in[0], x, 1, y, 0, 1, 0);
    },

    constant(l, w, x, y) {
      for (let i = 0; i < l.out[0]; i++) y[i] = w[l.weight + i];
    },

    // One row of the image at a time: its patches are gathered, then it is a matrix product.
    conv2d(l, w, x, y, scratch) {
      const [channels, height, width] = l.in, [rows, outHeight, outWidth] = l.out;
      const [kh, kw] = l.kernel, [sy, sx] = l.stride, [py, px] = l.padding, [dy, dx] = l.dilation;
      const cols = channels * kh * kw;
      for (let oy = 0; oy < outHeight; oy++) {
        let k = 0;
        for (let c = 0; c < channels; c++) {
          for (let ky = 0; ky < kh; ky++) {
            const iy = oy * sy - py + ky * dy, inside = iy >= 0 && iy < height;
            const from = (c * height + iy) * width;
            for (let kx = 0; kx < kw; kx++, k++) {
              for (let ox = 0, ix = kx * dx - px; ox < outWidth; ox++, ix += sx) {
                scratch[ox * cols + k] = inside && ix >= 0 && ix < width ? x[from + ix] : 0;
              }
            }
          }
        }
        affine(w, l.weight, l.bias, rows, cols, scratch, outWidth, y, oy * outWidth, outHeight * outWidth, 1);
      }
    },

    // Each pixel's channels times the weights, (O * kh * kw) x C, give what it adds to its neighbourhood.
    conv_transpose2d(l, w, x, y, scratch) {
      const [channels, height, width] = l.in, [outChannels, outHeight, outWidth] = l.out;
      const [kh, kw] = l.kernel, [sy, sx] = l.stride, [py, px] = l.padding, [dy, dx] = l.dilation;
      const area = outHeight * outWidth, rows = outChannels * kh * kw, products = channels * width;
      for (let o = 0; o < outChannels; o++) {
        y.fill(l.bias < 0 ? 0 : w[l.bias + o], o * area, (o + 1) * area);
      }
      for (let iy = 0; iy < height; iy++) {
        for (let c = 0; c < channels; c++) {
          for (let ix = 0; ix < width; ix++) scratch[ix * channels + c] = x[(c * height + iy) * width + ix];
        }
        affine(w, l.weight, -1, rows, channels, scratch, width, scratch, products, width, 1);
        let from = products;
        for (let o = 0; o < outChannels; o++) {
          for (let ky = 0; ky < kh; ky++) {
            const oy = iy * sy - py + ky * dy, inside = oy >= 0 && oy < outHeight;
            const to = o * area + oy * outWidth;
            for (let kx = 0; kx < kw; kx++, from += width) {
              if (!inside) continue;
              for (let ix = 0, ox = kx * dx - px; ix < width; ix++, ox += sx) {
                if (ox >= 0 && ox < outWidth) y[to + ox] += scratch[from + ix];
              }
            }
          }
        }
      }
    },

    upsample_nearest(l, w, x, y) {
      const [channels, height, width] = l.in, [, outHeight, outWidth] = l.out;
      const fy = outHeight / height, fx = outWidth / width;
      for (let row = 0, o = 0; row < channels * outHeight; row++) {
        const from = Math.floor(row / fy) * width;
        for (let ix = 0; ix < width; ix++) {
          for (let k = 0; k < fx; k++) y[o++] = x[from + ix];
        }
      }
    },
  };

  // Abramowitz & Stegun 1964, 7.1.26: off by at most 1.5e-7.
  /** @type {(x: number) => number} */
  function erf(x) {
    const a = Math.abs(x), t = 1 / (1 + 0.3275911 * a);
    const p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    const y = 1 - p * Math.exp(-a * a);
    return x < 0 ? -y : y;
  }

  // Layers that change the first n values of x where they are. Each has its own loop: a function called for
  // every value would box every value.
  /** @type {{ [kind: string]: (x: Values, n: number, l: Layer) => void }} */
  const MAPS = {
    reshape() {},
    relu(x, n) {
      for (let i = 0; i < n; i++) if (x[i] < 0) x[i] = 0;
    },
    leaky_relu(x, n, l) {
      for (let i = 0; i < n; i++) if (x[i] < 0) x[i] *= l.slope;
    },
    silu(x, n) {
      for (let i = 0; i < n; i++) x[i] /= 1 + Math.exp(-x[i]);
    },
    gelu(x, n) {
      for (let i = 0; i < n; i++) x[i] *= 0.5 * (1 + erf(x[i] * Math.SQRT1_2));
    },
    gelu_tanh(x, n) {
      const scale = Math.sqrt(2 / Math.PI);
      for (let i = 0; i < n; i++) x[i] *= 0.5 * (1 + Math.tanh(scale * (x[i] + 0.044715 * x[i] ** 3)));
    },
    tanh(x, n) {
      for (let i = 0; i < n; i++) x[i] = Math.tanh(x[i]);
    },
    softplus(x, n, l) {
      for (let i = 0; i < n; i++) {
        const t = l.beta * x[i];
        if (t <= l.threshold) x[i] = Math.log1p(Math.exp(t)) / l.beta;
      }
    },
    sigmoid(x, n) {
      for (let i = 0; i < n; i++) x[i] = 1 / (1 + Math.exp(-x[i]));
    },
    bound(x, n, l) {
      for (let i = 0; i < n; i++) x[i] = l.bound * Math.tanh(x[i] / l.bound);
    },
    continuous_bernoulli_mean(x, n) {
      for (let i = 0; i < n; i++) {
        const l = x[i];
        // Both terms of the exact form are infinite at 0.
        x[i] = Math.abs(l) < 0.3 ? 0.5 + l / 12 - l ** 3 / 720 + l ** 5 / 30240 : -1 / Math.expm1(-l) - 1 / l;
      }
    },
  };

  /** @type {(l: Layer) => number} */
  function scratchOf(l) {
    if (l.kind === "conv2d") return product(l.kernel) * l.in[0] * l.out[2];
    if (l.kind === "conv_transpose2d") return l.in[2] * (l.in[0] + product(l.kernel) * l.out[0]);
    return 0;
  }

  // The layers as one function of an array, with buffers made once. The array it returns may be longer than
  // the result, and the next call writes over it.
  /** @type {(layers: Layer[], weights: Values, inputSize: number) => Run} */
  function chain(layers, weights, inputSize) {
    let widest = inputSize, scratchSize = 0;
    for (const layer of layers) {
      if (layer.out) widest = Math.max(widest, product(layer.out));
      scratchSize = Math.max(scratchSize, scratchOf(layer));
    }
    const scratch = new Float64Array(scratchSize);
    let x = new Float64Array(widest), y = new Float64Array(widest);
    const sizes = layers.map((layer) => (layer.out ? product(layer.out) : 0));
    return (input, from = 0) => {
      let n = inputSize;
      for (let i = 0; i < n; i++) x[i] = input[from + i];
      for (let i = 0; i < layers.length; i++) {
        const layer = layers[i];
        if (sizes[i]) n = sizes[i];
        if (Object.hasOwn(MAPS, layer.kind)) {
          MAPS[layer.kind](x, n, layer);
        } else {
          STEPS[layer.kind](layer, weights, x, y, scratch);
          const next = y;
          y = x;
          x = next;
        }
      }
      return x;
    };
  }

  // More values than any picture has, and few enough for any machine; multiplications that take seconds.
  const MOST_VALUES = 2 ** 26, MOST_WORK = 2 ** 34;
  /** @type {{ [kind: string]: ("slope" | "beta" | "threshold" | "bound")[] }} */
  const OPTIONS = { leaky_relu: ["slope"], softplus: ["beta", "threshold"], bound: ["bound"] };
  /** @type {["kernel" | "stride" | "padding" | "dilation", number][]} */
  const PAIRS = [["kernel", 1], ["stride", 1], ["padding", 0], ["dilation", 1]];

  /** @type {(what: string) => never} */
  const fail = (what) => {
    throw new Error(`The description cannot be run: ${what}. Make it again from the model.`);
  };
  /** @type {(value: unknown) => string} */
  const said = (value) =>
    typeof value === "string" ? `"${value.slice(0, 60)}"` : typeof value === "number" ? `${value}` : typeof value;
  /** @type {(value: unknown) => boolean} */
  const isCount = (value) => typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= MOST_VALUES;
  /** @type {(value: unknown, axes: number) => boolean} */
  const isShape = (value, axes) =>
    Array.isArray(value) && value.length === axes && value.every(isCount) && product(value) <= MOST_VALUES;
  /** @type {(value: unknown, least: number) => boolean} */
  const isPair = (value, least) =>
    Array.isArray(value) && value.length === 2 && value.every((v) => v === least || (isCount(v) && v < 2 ** 16));

  // The field of a layer that is wrong, or null: n values go in, and `total` weights are there.
  /** @type {(l: Layer, n: number, total: number) => string | null} */
  function faultOf(l, n, total) {
    /** @type {(at: number, count: number) => boolean} */
    const stored = (at, count) => Number.isInteger(at) && at >= 0 && at + count <= total;
    if (l.kind === "reshape") return isShape(l.out, l.out?.length) && product(l.out) === n ? null : "out";
    if (Object.hasOwn(MAPS, l.kind)) {
      return l.out !== undefined ? "out" : (OPTIONS[l.kind] ?? []).find((name) => !Number.isFinite(l[name])) ?? null;
    }
    const axes = l.kind === "linear" || l.kind === "constant" ? 1 : 3;
    if (!isShape(l.out, axes)) return "out";
    if (l.kind === "constant") return stored(l.weight, l.out[0]) ? null : "weight";
    if (!isShape(l.in, axes) || product(l.in) !== n) return "in";
    if (l.kind === "upsample_nearest") {
      return l.out[0] === l.in[0] && l.out.every((size, k) => size % l.in[k] === 0) ? null : "out";
    }
    let area = 1;
    if (axes === 3) {
      const wrong = PAIRS.find(([name, least]) => !isPair(l[name], least));
      if (wrong) return wrong[0];
      area = product(l.kernel);
      if (scratchOf(l) > MOST_VALUES || product(l.out) * l.in[0] * area > MOST_WORK) return "out";
    }
    if (!stored(l.weight, l.in[0] * l.out[0] * area)) return "weight";
    return l.bias === -1 || stored(l.bias, l.out[0]) ? null : "bias";
  }

  // Follow n values through the layers, and refuse what does not fit before any memory is taken for it.
  /** @param {string} name @param {Layer[]} layers @param {number} n @param {number} total @param {number} wanted */
  function checkChain(name, layers, n, total, wanted) {
    if (!Array.isArray(layers)) fail(`its ${name} is no list of layers`);
    layers.forEach((layer, i) => {
      const kind = layer?.kind;
      if (typeof kind !== "string" || !(Object.hasOwn(STEPS, kind) || Object.hasOwn(MAPS, kind))) {
        throw new Error(`The description has a layer of kind ${said(kind)}, which this page cannot run.`);
      }
      const fault = faultOf(layer, n, total);
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

  /** @type {(spec: Description, data: Weights) => Network} */
  function makeNetwork(spec, data) {
    const weights = toFloats(data, spec?.dtype);
    if (weights.length !== spec.size) {
      throw new Error(`The description is of ${said(spec.size)} weights; ${weights.length} came.`);
    }
    checkSpec(spec);
    const { latentDim, imageShape, encoder } = spec;
    const pixels = product(imageShape);
    const decoder = chain(spec.decoder, weights, latentDim);
    const image = new Float32Array(pixels);

    /** @type {(points: ArrayLike<number>, from: number, out: Float32Array, to: number) => Float32Array} */
    const decodeTo = (points, from, out, to) => {
      const y = decoder(points, from);
      for (let i = 0; i < pixels; i++) out[to + i] = y[i];
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
    if (encoder) {
      const trunk = chain(encoder.trunk, weights, pixels);
      const mu = chain(encoder.mu, weights, encoder.width);
      const logvar = encoder.logvar && chain(encoder.logvar, weights, encoder.width);
      /** @type {(run: Run, h: Values) => Float32Array} */
      const head = (run, h) => Float32Array.from(run(h).subarray(0, latentDim));
      encode = (x) => {
        check("x", x, pixels);
        const h = trunk(x);
        return { mu: head(mu, h), logvar: logvar ? head(logvar, h) : null };
      };
    }
    return { latentDim, imageShape, decode: (z) => decodeInto(z, image), decodeInto, decodeMany, encode };
  }

  makeNetwork.source = `${halfToFloat}\nconst makeNetwork = (${build})();\n`;
  return makeNetwork;
})();
