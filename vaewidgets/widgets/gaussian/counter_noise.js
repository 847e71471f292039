// Noise that Python draws alike: a hash of a counter. See `counter_noise.py`.
//
//   normals(seed, count)      // Float64Array; a longer one begins like a shorter one

/** @type {(x: number) => number} */
function hash32(x) {
  x = (x + 0x9e3779b9) | 0;
  x = Math.imul(x ^ (x >>> 17), 0xed5ad4bb);
  x = Math.imul(x ^ (x >>> 11), 0xac4c1b51);
  x = Math.imul(x ^ (x >>> 15), 0x31848bab);
  return (x ^ (x >>> 14)) >>> 0;
}

/** @type {(seed: number, count: number) => Float64Array} */
function uniforms(seed, count) {
  const start = hash32(seed);
  return Float64Array.from({ length: count }, (_, i) => (hash32(hash32(i) ^ start) + 0.5) / 2 ** 32);
}

/** @type {(seed: number, count: number) => Float64Array} */
export function normals(seed, count) {
  const u = uniforms(seed, count + (count % 2));
  for (let i = 0; i < u.length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(u[i])), angle = 2 * Math.PI * u[i + 1];
    u[i] = radius * Math.cos(angle);
    u[i + 1] = radius * Math.sin(angle);
  }
  return u.subarray(0, count);
}
