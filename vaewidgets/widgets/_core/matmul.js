// Matrix products in float32: WebAssembly with SIMD, or the same in plain JavaScript where a browser lacks it or
// the page's policy forbids it.
//
//   const kernel = makeKernel()                   // makeKernel(true): plain JavaScript
//   const a = kernel.reserve(m * k)               // where m * k floats are, that nobody else has
//   kernel.f32.set(values, a)                     // f32 is all memory; each reserve may put another in its place
//   kernel.multiply(c, a, b, m, n, k)             // C = A B: m x n = m x k times k x n, rows one after the other
//   kernel.multiplyTN(c, a, b, m, n, k)           // C = A'B: A is k x m
//   kernel.multiplyNT(c, a, b, m, n, k)           // C = A B': B is n x k
//   kernel.close()                                // nothing of it is used from here on
//
// `buildKernels` uses nothing of its surroundings, so that its text can be given to a worker.

/**
 * Addresses and steps of `gemm`, `gemv` and `exp` are in bytes, counts in values; tests/javascript/kernel.wat says more.
 * @typedef {{
 *   gemm(
 *     a: number, aRow: number, aCol: number, b: number, rows: number, cols: number, c: number, cRow: number,
 *     outs: number, bias: number, m: number, n: number, k: number, work: number,
 *   ): void,
 *   gemv(a: number, x: number, y: number, bias: number, m: number, k: number): void,
 *   exp(p: number, n: number): void,
 * }} Loops
 */
/** @typedef {(c: number, a: number, b: number, m: number, n: number, k: number) => void} Product */
/**
 * @typedef {Loops & {
 *   simd: boolean, f32: Float32Array, i32: Int32Array, work: number,
 *   reserve(count: number): number,
 *   want(k: number): void,
 *   table(offsets: number[]): number,
 *   multiply: Product, multiplyTN: Product, multiplyNT: Product,
 *   close(): void,
 * }} Kernel
 */

export function buildKernels() {
  // Made by tests/javascript/wat.mjs of kernel.wat; kernel.test.mjs compares.
  const WASM =
    "AGFzbQEAAAABSQhgB39/f39/f38AYAd/f39/f39/AGAGf39/f39/AGAEf39/fwBgDn9/f39/f39/f39/f39/AGABewF9YAZ/f39/f38AYAJ/"
    + "fwACEwEEcGFnZQZtZW1vcnkCAQGAgAEDCQgAAQIDBAUGBwcVAwRnZW1tAAQEZ2VtdgAGA2V4cAAHCrsPCI8BAgF/AX8gBSAGQQJ0aiEHIARB"
    + "DEYEQANAIAAgASAFKAIAav0ABAD9CwQAIABBIGohACAFQQRqIQUgBSAHSQ0ACwUDQCABIAUoAgBqIQggACAIIARqIAggA2ogCCACaiAI/VwC"
    + "AP1WAgAB/VYCAAL9VgIAA/0LBAAgAEEgaiEAIAVBBGohBSAFIAdJDQALCwv3Ag8BfwF/AX8BfwF7AXsBewF7AXsBewF7AXsBewF7AXsgACAB"
    + "aiEHIAcgAWohCCAIIAFqIQkgAyAEQQV0aiEKIAUEQCAF/QkCACIOIQ8gBf0JAgQiECERIAX9CQIIIhIhEyAF/QkCDCIUIRULA0AgA/0ABAAh"
    + "CyAD/QAEECEMIAD9CQIAIQ0gDiANIAv95gH95AEhDiAPIA0gDP3mAf3kASEPIAf9CQIAIQ0gECANIAv95gH95AEhECARIA0gDP3mAf3kASER"
    + "IAj9CQIAIQ0gEiANIAv95gH95AEhEiATIA0gDP3mAf3kASETIAn9CQIAIQ0gFCANIAv95gH95AEhFCAVIA0gDP3mAf3kASEVIAAgAmohACAH"
    + "IAJqIQcgCCACaiEIIAkgAmohCSADQSBqIgMgCkkNAAsgBiAO/QsEACAGIA/9CwQQIAYgEP0LBCAgBiAR/QsEMCAGIBL9CwRAIAYgE/0LBFAg"
    + "BiAU/QsEYCAGIBX9CwRwC3UEAX8BewF7AXsgAiADQQV0aiEGIAQEQCAE/QkCACIIIQkLA0AgAP0JAgAhByAIIAcgAv0ABAD95gH95AEhCCAJ"
    + "IAcgAv0ABBD95gH95AEhCSAAIAFqIQAgAkEgaiICIAZJDQALIAUgCP0LBAAgBSAJ/QsEEAtmACADQQhGIAIoAhwgAigCAGtBHEZxBEAgACAC"
    + "KAIAaiEAIAAgAf0ABAD9CwQAIAAgAf0ABBD9CwQQBQNAIAAgAigCAGogASoCADgCACACQQRqIQIgAUEEaiEBIANBAWsiAw0ACwsLzgIIAX8B"
    + "fwF/AX8BfwF/AX8BfyANQYABaiEUA0AgBSgCACESIBQgAyASaiAFKAIEIBJrIAUoAgggEmsgBSgCDCASayAEIAwQACAFKAIQIRIgFEEQaiAD"
    + "IBJqIAUoAhQgEmsgBSgCGCASayAFKAIcIBJrIAQgDBAAQQggCyAOayALIA5rQQhLGyEQQQAhDwNAIApBBE8EQCAPQQRqIApLBEAgCkEEayEP"
    + "CyAAIA8gAWxqIAEgAiAUIAwgCSAPQQJ0akEAIAkbIA0QAUEEIRUFIAAgDyABbGogAiAUIAwgCSAPQQJ0akEAIAkbIA0QAkEBIRULIAYgDyAH"
    + "bGohEyAPIBVqIQ8gDSERA0AgEyARIAggEBADIBMgB2ohEyARQSBqIREgFUEBayIVDQALIA8gCkkNAAsgBUEgaiEFIAhBIGohCCAOQQhqIg4g"
    + "C0kNAAsLGQAgAP0fACAA/R8BkiAA/R8CIAD9HwOSkgu6BBABfwF/AX8BfwF/AX8BfwF7AXsBewF7AXsBfQF9AX0BfSAFQQJ0IQYgASAGaiEM"
    + "IAEgBkFwcWohCwNA/QwAAAAAAAAAAAAAAAAAAAAAIQ79DAAAAAAAAAAAAAAAAAAAAAAhD/0MAAAAAAAAAAAAAAAAAAAAACEQ/QwAAAAAAAAA"
    + "AAAAAAAAAAAAIREgACAGaiAAIARBAUsbIQcgByAGaiAAIARBAksbIQggCCAGaiAAIARBA0sbIQkgASEKAkAgCiALTw0AA0AgCv0ABAAhDSAO"
    + "IA0gAP0ABAD95gH95AEhDiAPIA0gB/0ABAD95gH95AEhDyAQIA0gCP0ABAD95gH95AEhECARIA0gCf0ABAD95gH95AEhESAAQRBqIQAgB0EQ"
    + "aiEHIAhBEGohCCAJQRBqIQkgCkEQaiIKIAtJDQALCyAOEAUhEiAPEAUhEyAQEAUhFCAREAUhFQJAIAogDE8NAANAIBIgCioCACAAKgIAlJIh"
    + "EiATIAoqAgAgByoCAJSSIRMgFCAKKgIAIAgqAgCUkiEUIBUgCioCACAJKgIAlJIhFSAAQQRqIQAgB0EEaiEHIAhBBGohCCAJQQRqIQkgCkEE"
    + "aiIKIAxJDQALCwJAIAIgEiADKgIAkjgCACAEQQJJDQAgAiATIAMqAgSSOAIEIARBA0kNACACIBQgAyoCCJI4AgggBEEESQ0AIAIgFSADKgIM"
    + "kjgCDAsgCSEAIAJBEGohAiADQRBqIQMgBEEEayIEQQBKDQALC6sCBQF/AXsBewF7AXsgACABQQJ0aiECA0AgAP0ABABD9qiuwv0T/esBQ6Rw"
    + "sUL9E/3qASEDIANDO6q4P/0T/eYBQwAAQEv9E/3kASEEIARDAABAS/0T/eUBIQUgAyAFQwCAMT/9E/3mAf3lASAFQ4OAXrn9E/3mAf3lASED"
    + "Q2dpUDn9EyEGIAYgA/3mAUPOQ7c6/RP95AEhBiAGIAP95gFDCIkIPP0T/eQBIQYgBiAD/eYBQ8GpKj39E/3kASEGIAYgA/3mAUOqqio+/RP9"
    + "5AEhBiAGIAP95gFDAAAAP/0T/eQBIQYgBiAD/eYBIAP95gEgA/3kAUMAAIA//RP95AEhBiAAIAYgBEEX/asBQYCAgPwD/RH9rgH95gH9CwQA"
    + "IABBEGoiACACSQ0ACws=";
  const PAGE = 65536, MOST_BYTES = 2 ** 30;
  // Floats before the first that is reserved: 0 stands for "no bias". And after the last: whole vectors are read.
  const FIRST = 16, SLACK = 64;

  /** @type {WebAssembly.Module | null | undefined} */
  let compiled;
  /** @type {() => WebAssembly.Module | null} */
  function compile() {
    if (compiled === undefined) {
      try {
        compiled = new WebAssembly.Module(Uint8Array.from(atob(WASM), (c) => c.charCodeAt(0)));
      } catch {
        // No WebAssembly, no SIMD, or a policy without 'wasm-unsafe-eval'.
        compiled = null;
      }
    }
    return compiled;
  }

  // The same as kernel.wat, with sums in double. `memory` returns what the kernel has at present.
  /** @type {(memory: () => { f32: Float32Array, i32: Int32Array }) => Loops} */
  function plainLoops(memory) {
    let column = new Float64Array(64);
    // Four rows share each load of x, and four sums at a time hide the latency of one.
    /**
     * @param {Float32Array} f @param {number} a @param {number} aRow @param {number} aCol
     * @param {Float64Array} x @param {number} m @param {number} k @param {number} bias @param {number} y @param {number} yRow
     */
    function columnOf(f, a, aRow, aCol, x, m, k, bias, y, yRow) {
      for (let r = 0; r < m; r += 4) {
        const rows = Math.min(4, m - r), p = a + r * aRow;
        const q = rows > 1 ? p + aRow : p, u = rows > 2 ? q + aRow : p, v = rows > 3 ? u + aRow : p;
        let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (let i = 0, at = 0; i < k; i++, at += aCol) {
          const value = x[i];
          s0 += f[p + at] * value;
          s1 += f[q + at] * value;
          s2 += f[u + at] * value;
          s3 += f[v + at] * value;
        }
        const from = bias + r, to = y + r * yRow;
        f[to] = bias ? s0 + f[from] : s0;
        if (rows > 1) f[to + yRow] = bias ? s1 + f[from + 1] : s1;
        if (rows > 2) f[to + 2 * yRow] = bias ? s2 + f[from + 2] : s2;
        if (rows > 3) f[to + 3 * yRow] = bias ? s3 + f[from + 3] : s3;
      }
    }
    /** @type {(k: number) => Float64Array} */
    const columnFor = (k) => (column.length < k ? (column = new Float64Array(k)) : column);
    return {
      gemm(a, aRow, aCol, b, rows, cols, c, cRow, outs, bias, m, n, k) {
        const { f32, i32 } = memory(), x = columnFor(k);
        for (let j = 0; j < n; j++) {
          const from = b + i32[(cols >> 2) + j];
          for (let i = 0; i < k; i++) x[i] = f32[(from + i32[(rows >> 2) + i]) >> 2];
          columnOf(f32, a >> 2, aRow >> 2, aCol >> 2, x, m, k, bias >> 2, (c + i32[(outs >> 2) + j]) >> 2, cRow >> 2);
        }
      },
      gemv(a, x, y, bias, m, k) {
        const { f32 } = memory(), values = columnFor(k);
        for (let i = 0; i < k; i++) values[i] = f32[(x >> 2) + i];
        columnOf(f32, a >> 2, k, 1, values, m, k, bias >> 2, y >> 2, 1);
      },
      exp(p, n) {
        const { f32 } = memory();
        for (let i = p >> 2, end = i + n; i < end; i++) f32[i] = Math.exp(f32[i]);
      },
    };
  }

  /** @type {(plain?: boolean) => Kernel} */
  function makeKernel(plain = false) {
    let bytes = PAGE, top = FIRST, longest = 0;
    /** @type {ArrayBuffer} */
    let buffer;
    /** @type {WebAssembly.Memory | null} */
    let memory = null;
    /** @type {Loops | null} */
    let loops = null;
    const module = plain ? null : compile();
    if (module) {
      try {
        memory = new WebAssembly.Memory({ initial: 1, maximum: MOST_BYTES / PAGE });
        loops = /** @type {any} */ (new WebAssembly.Instance(module, { page: { memory } }).exports);
      } catch {
        // A page may have only so many memories.
        memory = null;
      }
    }
    buffer = memory ? memory.buffer : new ArrayBuffer(bytes);

    /** @type {Map<number, { at: number, length: number }>} */
    const steps = new Map();
    // A table of 0, step, 2 step, ... with at least so many entries.
    /** @type {(step: number, length: number) => number} */
    function stepsOf(step, length) {
      let table = steps.get(step);
      if (!table || table.length < length) {
        // With room, so that sizes that grow by one do not leave a table behind for each.
        length = Math.max(length, table ? 2 * table.length : 0);
        table = { at: kernel.table(Array.from({ length }, (_, i) => i * step)), length };
        steps.set(step, table);
      }
      return table.at;
    }
    // A's element (i, l) is aRow and aCol steps on, B's (l, j) bRow and bCol.
    /**
     * @param {number} c @param {number} a @param {number} b @param {number} m @param {number} n @param {number} k
     * @param {number} aRow @param {number} aCol @param {number} bRow @param {number} bCol
     */
    function product(c, a, b, m, n, k, aRow, aCol, bRow, bCol) {
      if (!(m && n)) return;
      if (!k) {
        kernel.f32.fill(0, c, c + m * n);
        return;
      }
      const rows = stepsOf(4 * bRow, k), cols = stepsOf(4 * bCol, n), outs = stepsOf(4, n);
      kernel.want(k);
      kernel.gemm(4 * a, 4 * aRow, 4 * aCol, 4 * b, rows, cols, 4 * c, 4 * n, outs, 0, m, n, k, kernel.work);
    }

    const view = () => ({ f32: new Float32Array(buffer), i32: new Int32Array(buffer) });
    /** @type {Kernel} */
    const kernel = {
      .../** @type {Loops} */ (loops ?? plainLoops(() => kernel)),
      simd: loops !== null,
      ...view(),
      work: 0,

      reserve(count) {
        const at = top, needed = 4 * (at + count + SLACK);
        if (!(needed <= MOST_BYTES)) throw new RangeError(`${needed} bytes are more than a page should take.`);
        top += Math.ceil(count / 16) * 16;
        if (needed > bytes) {
          // In steps that grow with it, as growing costs more than memory that is never touched.
          bytes = Math.min(MOST_BYTES, Math.ceil(Math.max(needed, 1.5 * bytes) / PAGE) * PAGE);
          if (memory) {
            memory.grow((bytes - memory.buffer.byteLength) / PAGE);
            buffer = memory.buffer;
          } else {
            const larger = new ArrayBuffer(bytes);
            new Float32Array(larger).set(kernel.f32);
            buffer = larger;
          }
          Object.assign(kernel, view());
        }
        return at;
      },

      // Have room to work with products that are k long.
      want(k) {
        if (k <= longest || !kernel.simd) return;
        longest = k;
        kernel.work = 4 * kernel.reserve(32 + 8 * k);
      },

      // Store offsets, and return where, in bytes; more follow, up to a multiple of eight.
      table(offsets) {
        const n = offsets.length, at = kernel.reserve(Math.ceil(n / 8) * 8);
        for (let i = 0; i < Math.ceil(n / 8) * 8; i++) {
          kernel.i32[at + i] = i < n ? offsets[i] : offsets[n - 1] + 4 * (i - n + 1);
        }
        return 4 * at;
      },

      multiply: (c, a, b, m, n, k) => product(c, a, b, m, n, k, k, 1, n, 1),
      multiplyTN: (c, a, b, m, n, k) => product(c, a, b, m, n, k, 1, m, n, 1),
      multiplyNT: (c, a, b, m, n, k) => product(c, a, b, m, n, k, k, 1, 1, k),
      close() {
        memory = null;
        buffer = new ArrayBuffer(0);
        Object.assign(kernel, view());
      },
    };
    return kernel;
  }

  return makeKernel;
}

export const makeKernel = buildKernels();
