// The layers of a description: what is wrong with one, and how it runs in a kernel's memory.
//
// `buildLayers` uses nothing of its surroundings, so that its text can be given to a worker.

/** @import { Kernel } from "./matmul.js" */
/**
 * A layer, with the fields that its kind needs.
 * @typedef {{
 *   kind: string, in: number[], out: number[], weight: number, bias: number, rows: number, cols: number,
 *   kernel: number[], stride: number[], padding: number[], dilation: number[], groups?: number,
 *   shape: number[], axes: number[], channels: number, inner: number, count: number, eps: number,
 *   slope: number, beta: number, threshold: number, bound: number, alpha: number, scale: number,
 *   low: number, high: number,
 * }} Layer
 */
/** @typedef {"slope" | "beta" | "threshold" | "bound" | "alpha" | "scale" | "low" | "high"} Option */
/**
 * Changes values where they are, from `at` to `end` in f. From `s` on there is room for as many, and exp(s, n)
 * puts e^x in place of n of them.
 * @typedef {(f: Float32Array, at: number, end: number, l: Layer, s: number, exp: (s: number, n: number) => void) => void} Activation
 */
/**
 * A layer in a kernel's memory, where x and y begin: it makes y of x, or changes x where it is.
 * @typedef {{ run(x: number, y: number): void, load?(weights: Float32Array): void }} Step
 */
/**
 * The first field of a layer that is wrong, or null: n values go in, and `total` weights are there. And the
 * layer in a kernel, with the multiply-adds that it takes.
 * @typedef {{
 *   inPlace?: boolean,
 *   fault(l: Layer, n: number, total: number): string | null,
 *   macs?(l: Layer): number,
 *   make(l: Layer, kernel: Kernel, n: number): Step,
 * }} Kind
 */
/** @typedef {{ run(input: ArrayLike<number>, from?: number): number, load(weights: Float32Array): void, macs: number }} Chain */
/** @typedef {{ taps: number[], shifts: number[], places: number[], starts: number[] }} Phase */

export function buildLayers() {
  // More values than any picture has, and few enough for any machine; multiplications that take seconds.
  const MOST_VALUES = 2 ** 26, MOST_WORK = 2 ** 34;
  // So many values at a time stay in the processor's cache from one loop over them to the next.
  const CHUNK = 1024;

  /** @type {(shape: number[]) => number} */
  const product = (shape) => shape.reduce((a, b) => a * b, 1);
  /** @type {(value: unknown) => boolean} */
  const isCount = (value) => typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= MOST_VALUES;
  /** @type {(value: unknown, axes: number) => boolean} */
  const isShape = (value, axes) =>
    Array.isArray(value) && value.length === axes && value.every(isCount) && product(value) <= MOST_VALUES;
  /** @type {(value: unknown, least: number) => boolean} */
  const isPair = (value, least) =>
    Array.isArray(value) && value.length === 2 && value.every((v) => v === least || (isCount(v) && v < 2 ** 16));
  /** @type {(at: number, count: number, total: number) => boolean} */
  const isStored = (at, count, total) => Number.isInteger(at) && at >= 0 && at + count <= total;

  // -- activations ------------------------------------------------------------------------------------------

  // log(1 + u) of 0 <= u <= 1, as 2 artanh(u / (2 + u)): off by at most 1e-9.
  /** @type {(u: number) => number} */
  function log1p(u) {
    const w = u / (2 + u), v = w * w;
    return 2 * w * (1 + v * (1 / 3 + v * (1 / 5 + v * (1 / 7 + v * (1 / 9 + v * (1 / 11 + v * (1 / 13 + v / 15)))))));
  }

  // Each has its own loop: a function called for every value would box every value.
  /** @type {{ [kind: string]: Activation }} */
  const MAPS = {
    relu(f, at, end) {
      for (let i = at; i < end; i++) if (f[i] < 0) f[i] = 0;
    },
    leaky_relu(f, at, end, l) {
      for (let i = at; i < end; i++) if (f[i] < 0) f[i] *= l.slope;
    },
    silu(f, at, end, l, s, exp) {
      for (let i = at, j = s; i < end; i++, j++) f[j] = -f[i];
      exp(s, end - at);
      for (let i = at, j = s; i < end; i++, j++) f[i] /= 1 + f[j];
    },
    sigmoid(f, at, end, l, s, exp) {
      for (let i = at, j = s; i < end; i++, j++) f[j] = -f[i];
      exp(s, end - at);
      for (let i = at, j = s; i < end; i++, j++) f[i] = 1 / (1 + f[j]);
    },
    // With erf of Abramowitz & Stegun 1964, 7.1.26: off by at most 1.5e-7.
    gelu(f, at, end, l, s, exp) {
      for (let i = at, j = s; i < end; i++, j++) f[j] = -0.5 * f[i] * f[i];
      exp(s, end - at);
      for (let i = at, j = s; i < end; i++, j++) {
        const x = f[i], t = 1 / (1 + 0.3275911 * Math.SQRT1_2 * Math.abs(x));
        const p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
        const tail = 0.5 * p * f[j];
        f[i] = x * (x < 0 ? tail : 1 - tail);
      }
    },
    gelu_tanh(f, at, end, l, s, exp) {
      const scale = -2 * Math.sqrt(2 / Math.PI);
      for (let i = at, j = s; i < end; i++, j++) f[j] = scale * (f[i] + 0.044715 * f[i] * f[i] * f[i]);
      exp(s, end - at);
      for (let i = at, j = s; i < end; i++, j++) f[i] /= 1 + f[j];
    },
    tanh(f, at, end, l, s, exp) {
      for (let i = at, j = s; i < end; i++, j++) f[j] = -2 * Math.abs(f[i]);
      exp(s, end - at);
      for (let i = at, j = s; i < end; i++, j++) {
        const x = f[i], v = x * x;
        // Near 0 the quotient has lost its digits.
        if (v < 0.01) f[i] = x * (1 - v * (1 / 3 - v * (2 / 15 - (v * 17) / 315)));
        else f[i] = x < 0 ? (f[j] - 1) / (f[j] + 1) : (1 - f[j]) / (1 + f[j]);
      }
    },
    softplus(f, at, end, l, s, exp) {
      for (let i = at, j = s; i < end; i++, j++) f[j] = -Math.abs(l.beta * f[i]);
      exp(s, end - at);
      for (let i = at, j = s; i < end; i++, j++) {
        const t = l.beta * f[i];
        if (t <= l.threshold) f[i] = (Math.max(t, 0) + log1p(f[j])) / l.beta;
      }
    },
    log_sigmoid(f, at, end, l, s, exp) {
      for (let i = at, j = s; i < end; i++, j++) f[j] = -Math.abs(f[i]);
      exp(s, end - at);
      for (let i = at, j = s; i < end; i++, j++) f[i] = Math.min(f[i], 0) - log1p(f[j]);
    },
    // ELU, and SELU and CELU by their options.
    elu(f, at, end, l, s, exp) {
      for (let i = at, j = s; i < end; i++, j++) f[j] = Math.min(l.beta * f[i], 0);
      exp(s, end - at);
      for (let i = at, j = s; i < end; i++, j++) {
        const x = l.beta * f[i];
        if (x >= 0) f[i] *= l.scale;
        // As in tanh.
        else f[i] = l.scale * l.alpha * (x > -0.1 ? x * (1 + (x / 2) * (1 + (x / 3) * (1 + (x / 4) * (1 + x / 5)))) : f[j] - 1);
      }
    },
    // tanh(log(1 + e)) as a quotient; beyond 20 it is 1.
    mish(f, at, end, l, s, exp) {
      for (let i = at, j = s; i < end; i++, j++) f[j] = Math.min(f[i], 20);
      exp(s, end - at);
      for (let i = at, j = s; i < end; i++, j++) {
        const p = f[j] * (f[j] + 2);
        f[i] *= p / (p + 2);
      }
    },
    hardsigmoid(f, at, end) {
      for (let i = at; i < end; i++) f[i] = Math.min(Math.max(f[i] / 6 + 0.5, 0), 1);
    },
    hardswish(f, at, end) {
      for (let i = at; i < end; i++) f[i] *= Math.min(Math.max(f[i] / 6 + 0.5, 0), 1);
    },
    clip(f, at, end, l) {
      for (let i = at; i < end; i++) f[i] = Math.min(Math.max(f[i], l.low), l.high);
    },
    softsign(f, at, end) {
      for (let i = at; i < end; i++) f[i] /= 1 + Math.abs(f[i]);
    },
    bound(f, at, end, l) {
      for (let i = at; i < end; i++) f[i] = l.bound * Math.tanh(f[i] / l.bound);
    },
    continuous_bernoulli_mean(f, at, end) {
      for (let i = at; i < end; i++) {
        const l = f[i];
        // Both terms of the exact form are infinite at 0.
        f[i] = Math.abs(l) < 0.3 ? 0.5 + l / 12 - l ** 3 / 720 + l ** 5 / 30240 : -1 / Math.expm1(-l) - 1 / l;
      }
    },
  };
  /** @type {{ [kind: string]: Option[] }} */
  const OPTIONS = {
    leaky_relu: ["slope"], softplus: ["beta", "threshold"], bound: ["bound"], elu: ["alpha", "beta", "scale"],
    clip: ["low", "high"],
  };

  /** @type {(kind: string, map: Activation) => Kind} */
  const kindOf = (kind, map) => ({
    inPlace: true,
    fault: (l) => (l.out !== undefined ? "out" : OPTIONS[kind]?.find((name) => !Number.isFinite(l[name])) ?? null),
    make(l, kernel, n) {
      const s = kernel.reserve(CHUNK);
      /** @type {(s: number, n: number) => void} */
      const exp = (at, count) => kernel.exp(4 * at, count);
      return {
        run(x) {
          for (let at = x; at < x + n; at += CHUNK) map(kernel.f32, at, Math.min(at + CHUNK, x + n), l, s, exp);
        },
      };
    },
  });

  // -- convolutions -----------------------------------------------------------------------------------------

  /** @type {["kernel" | "stride" | "padding" | "dilation", number][]} */
  const PAIRS = [["kernel", 1], ["stride", 1], ["padding", 0], ["dilation", 1]];

  // One axis of a convolution, as sums over taps at a fixed shift from where each of its outputs starts in the padded
  // input. A transposed one with stride s has s such phases: output o takes the taps k for which (o + padding - k
  // dilation) / s is whole, and that is the pixel which tap k takes.
  /** @type {(l: Layer, axis: number) => { before: number, padded: number, phases: Phase[] }} */
  function axisOf(l, axis) {
    const size = l.in[axis + 1], out = l.out[axis + 1], stride = l.stride[axis], padding = l.padding[axis];
    const taps = Array.from({ length: l.kernel[axis] }, (_, k) => k), dilation = l.dilation[axis];
    /** @type {Map<number, Phase>} */
    const phases = new Map();
    let before = 0;
    if (l.kind === "conv2d") {
      const places = Array.from({ length: out }, (_, o) => o);
      phases.set(0, { taps, shifts: taps.map((k) => k * dilation), places, starts: places.map((o) => o * stride) });
      before = padding;
    } else {
      for (let o = 0; o < out; o++) {
        const rest = (o + padding) % stride, start = (o + padding - rest) / stride;
        let phase = phases.get(rest);
        if (!phase) {
          const mine = taps.filter((k) => (rest - k * dilation) % stride === 0);
          phase = { taps: mine, shifts: mine.map((k) => (rest - k * dilation) / stride), places: [], starts: [] };
          phases.set(rest, phase);
        }
        phase.places.push(o);
        phase.starts.push(start);
      }
      for (const { shifts, starts } of phases.values()) for (const shift of shifts) before = Math.max(before, -shift - starts[0]);
      for (const phase of phases.values()) phase.starts = phase.starts.map((start) => start + before);
    }
    let padded = before + size;
    for (const { shifts, starts } of phases.values()) {
      for (const shift of shifts) padded = Math.max(padded, starts[starts.length - 1] + shift + 1);
    }
    return { before, padded, phases: [...phases.values()] };
  }

  /** @type {Kind} */
  const CONVOLUTION = {
    fault(l, n, total) {
      if (!isShape(l.out, 3)) return "out";
      if (!isShape(l.in, 3) || product(l.in) !== n) return "in";
      const wrong = PAIRS.find(([name, least]) => !isPair(l[name], least)), groups = l.groups ?? 1;
      if (wrong) return wrong[0];
      if (!isCount(groups) || l.in[0] % groups || l.out[0] % groups) return "groups";
      const length = (l.in[0] / groups) * product(l.kernel);
      if (8 * length > MOST_VALUES || product(l.out) * length > MOST_WORK) return "out";
      if (!isStored(l.weight, l.out[0] * length, total)) return "weight";
      if (l.bias !== -1 && !isStored(l.bias, l.out[0], total)) return "bias";
      return l.in[0] * axisOf(l, 0).padded * axisOf(l, 1).padded > MOST_VALUES ? "padding" : null;
    },
    macs: (l) => product(l.kind === "conv2d" ? l.out : l.in) * product(l.kernel) *
      (l.kind === "conv2d" ? l.in[0] : l.out[0]) / (l.groups ?? 1),

    // One matrix product for each phase, weights times the pixels that its outputs take, which are looked up in a
    // padded copy of the input.
    make(l, kernel) {
      const [channels, height, width] = l.in, [outChannels, outHeight, outWidth] = l.out, [kh, kw] = l.kernel;
      const groups = l.groups ?? 1, taken = channels / groups, made = outChannels / groups;
      const vertical = axisOf(l, 0), horizontal = axisOf(l, 1), wide = horizontal.padded;
      const plane = vertical.padded * wide, area = outHeight * outWidth, whole = plane === height * width;
      const copy = whole ? 0 : kernel.reserve(channels * plane), bias = kernel.reserve(outChannels);
      if (!whole) kernel.f32.fill(0, copy, copy + channels * plane);
      const parts = vertical.phases.flatMap((down) => horizontal.phases.map((across) => {
        /** @type {number[][]} */
        const [wanted, rows, cols, outs] = [[], [], [], []];
        for (let c = 0; c < taken; c++) {
          down.taps.forEach((ky, i) => across.taps.forEach((kx, j) => {
            wanted.push(l.kind === "conv2d" ? (c * kh + ky) * kw + kx : (ky * kw + kx) * taken + c);
            rows.push(4 * (c * plane + down.shifts[i] * wide + across.shifts[j]));
          }));
        }
        down.places.forEach((oy, i) => across.places.forEach((ox, j) => {
          cols.push(4 * (down.starts[i] * wide + across.starts[j]));
          outs.push(4 * (oy * outWidth + ox));
        }));
        const k = wanted.length;
        kernel.want(k);
        const tables = k ? { rows: kernel.table(rows), cols: kernel.table(cols), outs: kernel.table(outs) } : null;
        return { wanted, k, n: outs.length, places: outs, at: kernel.reserve(outChannels * k), tables };
      }));
      return {
        load(weights) {
          const f = kernel.f32, length = taken * kh * kw;
          for (let o = 0; o < outChannels; o++) f[bias + o] = l.bias < 0 ? 0 : weights[l.bias + o];
          for (const { wanted, k, at } of parts) {
            for (let o = 0; o < outChannels; o++) {
              for (let i = 0; i < k; i++) f[at + o * k + i] = weights[l.weight + o * length + wanted[i]];
            }
          }
        },
        run(x, y) {
          const f = kernel.f32, from = whole ? x : copy;
          if (!whole) {
            for (let c = 0, i = x; c < channels; c++) {
              for (let iy = 0; iy < height; iy++) {
                let to = copy + c * plane + (iy + vertical.before) * wide + horizontal.before;
                for (const end = i + width; i < end; i++, to++) f[to] = f[i];
              }
            }
          }
          for (const { k, n, places, at, tables } of parts) {
            if (!tables) {
              for (let o = 0; o < outChannels; o++) for (const place of places) f[y + o * area + place / 4] = f[bias + o];
              continue;
            }
            for (let g = 0; g < groups; g++) {
              const first = g * made;
              kernel.gemm(
                4 * (at + first * k), 4 * k, 4, 4 * (from + g * taken * plane), tables.rows, tables.cols,
                4 * (y + first * area), 4 * area, tables.outs, 4 * (bias + first), made, n, k, kernel.work,
              );
            }
          }
        },
      };
    },
  };

  // -- other layers -----------------------------------------------------------------------------------------

  // The entries of each row of a matrix that are not 0: row r has those from first[r] to first[r + 1].
  /** @type {(weights: Float32Array, at: number, rows: number, cols: number) => { first: number[], index: number[], value: number[] }} */
  function sparse(weights, at, rows, cols) {
    /** @type {number[][]} */
    const [first, index, value] = [[0], [], []];
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < cols; c++) {
        const w = weights[at + r * cols + c];
        if (w === 0) continue;
        index.push(c);
        value.push(w);
      }
      first.push(index.length);
    }
    return { first, index, value };
  }

  // Of layers with a weight for each channel, or a pair of them; a channel is so many values, one after the other.
  /** @type {(l: Layer, n: number, total: number) => string | null} */
  function channelFault(l, n, total) {
    if (l.out !== undefined) return "out";
    if (!isCount(l.channels) || !isStored(l.weight, l.channels, total)) return "weight";
    return isCount(l.inner) && n % (l.channels * l.inner) === 0 ? null : "inner";
  }

  /** @type {{ [kind: string]: Kind }} */
  const KINDS = {
    linear: {
      fault(l, n, total) {
        if (!isShape(l.out, 1)) return "out";
        if (!isShape(l.in, 1) || l.in[0] !== n) return "in";
        if (!isStored(l.weight, l.in[0] * l.out[0], total)) return "weight";
        return l.bias === -1 || isStored(l.bias, l.out[0], total) ? null : "bias";
      },
      macs: (l) => l.in[0] * l.out[0],
      make(l, kernel) {
        const [n] = l.in, [m] = l.out, weight = kernel.reserve(m * n), bias = kernel.reserve(m);
        return {
          load(weights) {
            kernel.f32.set(weights.subarray(l.weight, l.weight + m * n), weight);
            if (l.bias < 0) kernel.f32.fill(0, bias, bias + m);
            else kernel.f32.set(weights.subarray(l.bias, l.bias + m), bias);
          },
          run: (x, y) => kernel.gemv(4 * weight, 4 * x, 4 * y, 4 * bias, m, n),
        };
      },
    },

    constant: {
      fault: (l, n, total) => (!isShape(l.out, 1) ? "out" : isStored(l.weight, l.out[0], total) ? null : "weight"),
      make(l, kernel) {
        /** @type {Float32Array} */
        let values;
        return {
          load(weights) { values = weights.slice(l.weight, l.weight + l.out[0]); },
          run: (x, y) => kernel.f32.set(values, y),
        };
      },
    },

    conv2d: CONVOLUTION,
    conv_transpose2d: CONVOLUTION,

    // Each channel, a matrix X, becomes R X C': padding, pooling by the mean, resizing.
    separable: {
      fault(l, n, total) {
        if (!isShape(l.out, 3)) return "out";
        if (!isShape(l.in, 3) || product(l.in) !== n || l.in[0] !== l.out[0]) return "in";
        if (product(l.out) * (l.in[1] + l.in[2]) > MOST_WORK) return "out";
        if (!isStored(l.rows, l.out[1] * l.in[1], total)) return "rows";
        return isStored(l.cols, l.out[2] * l.in[2], total) ? null : "cols";
      },
      make(l, kernel) {
        const [channels, height, width] = l.in, [, outHeight, outWidth] = l.out, line = new Float64Array(width);
        /** @type {ReturnType<typeof sparse>} */
        let rows;
        /** @type {ReturnType<typeof sparse>} */
        let cols;
        return {
          load(weights) {
            rows = sparse(weights, l.rows, outHeight, height);
            cols = sparse(weights, l.cols, outWidth, width);
          },
          run(x, y) {
            const f = kernel.f32;
            for (let c = 0; c < channels; c++, x += height * width) {
              for (let oy = 0; oy < outHeight; oy++) {
                line.fill(0);
                for (let t = rows.first[oy]; t < rows.first[oy + 1]; t++) {
                  const from = x + rows.index[t] * width, value = rows.value[t];
                  for (let ix = 0; ix < width; ix++) line[ix] += value * f[from + ix];
                }
                for (let ox = 0; ox < outWidth; ox++) {
                  let sum = 0;
                  for (let t = cols.first[ox]; t < cols.first[ox + 1]; t++) sum += cols.value[t] * line[cols.index[t]];
                  f[y++] = sum;
                }
              }
            }
          },
        };
      },
    },

    max_pool2d: {
      fault(l, n) {
        if (!isShape(l.out, 3)) return "out";
        if (!isShape(l.in, 3) || product(l.in) !== n || l.in[0] !== l.out[0]) return "in";
        const wrong = PAIRS.find(([name, least]) => !isPair(l[name], least));
        return wrong ? wrong[0] : product(l.out) * product(l.kernel) > MOST_WORK ? "out" : null;
      },
      make(l, kernel) {
        const [channels, height, width] = l.in, [, outHeight, outWidth] = l.out, [kh, kw] = l.kernel;
        const [sy, sx] = l.stride, [py, px] = l.padding, [dy, dx] = l.dilation;
        return {
          run(x, y) {
            const f = kernel.f32;
            for (let c = 0; c < channels; c++, x += height * width) {
              for (let oy = 0; oy < outHeight; oy++) {
                for (let ox = 0; ox < outWidth; ox++) {
                  let most = -Infinity;
                  for (let ky = 0, iy = oy * sy - py; ky < kh; ky++, iy += dy) {
                    if (iy < 0 || iy >= height) continue;
                    for (let kx = 0, ix = ox * sx - px; kx < kw; kx++, ix += dx) {
                      if (ix >= 0 && ix < width) most = Math.max(most, f[x + iy * width + ix]);
                    }
                  }
                  // A window beside the picture, which no torch makes, has nothing to show.
                  f[y++] = most === -Infinity ? 0 : most;
                }
              }
            }
          },
        };
      },
    },

    // The same values as an array of this shape with its axes in another order.
    permute: {
      fault(l, n) {
        if (!isShape(l.out, l.out?.length) || product(l.out) !== n) return "out";
        if (!isShape(l.shape, l.shape?.length) || product(l.shape) !== n) return "shape";
        const sorted = Array.isArray(l.axes) ? l.axes.slice().sort((a, b) => a - b) : [];
        return sorted.length === l.shape.length && sorted.every((axis, i) => axis === i) ? null : "axes";
      },
      make(l, kernel, n) {
        const strides = l.shape.map((_, axis) => product(l.shape.slice(axis + 1)));
        const from = new Int32Array(n);
        for (let i = 0; i < n; i++) {
          let rest = i;
          for (let k = l.axes.length - 1; k >= 0; k--) {
            const size = l.shape[l.axes[k]];
            from[i] += (rest % size) * strides[l.axes[k]];
            rest = Math.floor(rest / size);
          }
        }
        return {
          run(x, y) {
            const f = kernel.f32;
            for (let i = 0; i < n; i++) f[y + i] = f[x + from[i]];
          },
        };
      },
    },

    // So many parts, one after the other, each to mean 0 and variance 1.
    normalize: {
      inPlace: true,
      fault: (l, n) =>
        (l.out !== undefined ? "out" : !isCount(l.count) || n % l.count ? "count" : l.eps > 0 && l.eps < Infinity ? null : "eps"),
      make(l, kernel, n) {
        const size = n / l.count;
        return {
          run(x) {
            const f = kernel.f32;
            for (let k = 0; k < l.count; k++, x += size) {
              let mean = 0, variance = 0;
              for (let i = x; i < x + size; i++) mean += f[i];
              mean /= size;
              for (let i = x; i < x + size; i++) variance += (f[i] - mean) ** 2;
              const scale = 1 / Math.sqrt(variance / size + l.eps);
              for (let i = x; i < x + size; i++) f[i] = (f[i] - mean) * scale;
            }
          },
        };
      },
    },

    affine: {
      inPlace: true,
      fault: (l, n, total) => channelFault(l, n, total) ?? (isStored(l.bias, l.channels, total) ? null : "bias"),
      make(l, kernel, n) {
        const { channels, inner } = l;
        /** @type {Float32Array} */
        let scales;
        /** @type {Float32Array} */
        let shifts;
        return {
          load(weights) {
            scales = weights.slice(l.weight, l.weight + channels);
            shifts = weights.slice(l.bias, l.bias + channels);
          },
          run(x) {
            const f = kernel.f32;
            for (let c = 0, i = x; i < x + n; c = (c + 1) % channels) {
              const scale = scales[c], shift = shifts[c];
              for (const end = i + inner; i < end; i++) f[i] = scale * f[i] + shift;
            }
          },
        };
      },
    },

    prelu: {
      inPlace: true,
      fault: channelFault,
      make(l, kernel, n) {
        const { channels, inner } = l;
        /** @type {Float32Array} */
        let slopes;
        return {
          load(weights) { slopes = weights.slice(l.weight, l.weight + channels); },
          run(x) {
            const f = kernel.f32;
            for (let c = 0, i = x; i < x + n; c = (c + 1) % channels) {
              const slope = slopes[c];
              for (const end = i + inner; i < end; i++) if (f[i] < 0) f[i] *= slope;
            }
          },
        };
      },
    },

    reshape: {
      inPlace: true,
      fault: (l, n) => (isShape(l.out, l.out?.length) && product(l.out) === n ? null : "out"),
      make: () => ({ run() {} }),
    },
  };
  for (const [kind, map] of Object.entries(MAPS)) KINDS[kind] = kindOf(kind, map);

  // -- chains -----------------------------------------------------------------------------------------------

  // The layers in a kernel, with buffers made once: `run` returns where the result is, which the next run may
  // write over.
  /** @type {(layers: Layer[], kernel: Kernel, inputSize: number) => Chain} */
  function makeChain(layers, kernel, inputSize) {
    const widest = layers.reduce((most, layer) => Math.max(most, layer.out ? product(layer.out) : 0), inputSize);
    const start = kernel.reserve(widest), other = kernel.reserve(widest);
    let n = inputSize, macs = 0;
    const steps = layers.map((layer) => {
      const { inPlace, make, macs: cost } = KINDS[layer.kind], step = make(layer, kernel, n);
      if (layer.out) n = product(layer.out);
      macs += cost ? cost(layer) : 0;
      return { step, inPlace };
    });
    return {
      macs,
      load(weights) {
        for (const { step } of steps) step.load?.(weights);
      },
      run(input, from = 0) {
        let x = start, y = other;
        const f = kernel.f32;
        for (let i = 0; i < inputSize; i++) f[x + i] = input[from + i];
        for (const { step, inPlace } of steps) {
          step.run(x, y);
          if (inPlace) continue;
          const next = y;
          y = x;
          x = next;
        }
        return x;
      },
    };
  }

  return { KINDS, isCount, isShape, makeChain, product };
}
