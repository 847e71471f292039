// Numbers as all panels limit and write them.

/** @type {(value: number, range?: number[]) => number} */
export const clamp = (value, [low, high] = [0, 1]) => Math.min(high, Math.max(low, value));

// With this many decimals, and never a negative zero.
/** @type {(value: number, digits?: number) => string} */
export function fixed(value, digits = 2) {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text;
}

// A point as (0.50, -1.20); of more than ten numbers the first three. As format_point in panel.py.
/** @type {(point: ArrayLike<number>, digits?: number) => string} */
export const formatPoint = (point, digits = 2) => {
  const many = point.length > 10, shown = Array.from(many ? Array.from(point).slice(0, 3) : point, (v) => fixed(v, digits));
  return `(${[...shown, ...(many ? [`... ${point.length} numbers`] : [])].join(", ")})`;
};

// Four significant digits, without the zeros that say nothing.
/** @type {(value: number) => string} */
export const brief = (value) => String(Number(value.toPrecision(4)));

// The least of 1, 1.5, 2, 3, 4, 5, 6, 8, 10, ... that is not below `value`: ends of axes that rest while a hand
// moves a little.
/** @type {(value: number) => number} */
export function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 1.5, 2, 3, 4, 5, 6, 8].find((m) => m * power >= value * (1 - 1e-9)) ?? 10) * power;
}

/** @type {<T>(array: T[], i: number, value: T) => T[]} */
export const replaced = (array, i, value) => array.map((old, k) => (k === i ? value : old));

// What the kernel sent as float32: it may start anywhere in its message, a typed array must not.
/** @type {(view: ArrayBufferView) => Float32Array} */
export const floatsOf = ({ buffer, byteOffset, byteLength }) =>
  new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
