// The KL of N(mu, sigma^2) to N(0, 1), per axis and in nats, as in `kl_lab.py`.

import { normalCdf } from "../_core/normal.js";

// The KL is offset + shape. expm1 keeps the shape accurate, and never negative, near sigma = 1.
/** @type {(mu: number, sigma: number) => { offset: number, shape: number, kl: number }} */
export function klParts(mu, sigma) {
  const logvar = 2 * Math.log(sigma);
  const offset = (mu * mu) / 2, shape = (Math.expm1(logvar) - logvar) / 2;
  return { offset, shape, kl: offset + shape };
}

// With z = mu + sigma e, ln(q/p) is the quadratic a e^2 + b e + c.
/** @type {(mu: number, sigma: number) => number[]} */
function klQuadratic(mu, sigma) {
  const logvar = 2 * Math.log(sigma);
  return [Math.expm1(logvar) / 2, mu * sigma, (mu * mu - logvar) / 2];
}

// The values of e at which q = p, in order; 0, 1 or 2 of them.
/** @type {(mu: number, sigma: number) => number[]} */
export function klRoots(mu, sigma) {
  const [a, b, c] = klQuadratic(mu, sigma);
  const square = b * b - 4 * a * c;
  if (square < 0) return [];
  // The larger of the two sums: no digits cancel.
  const sum = -(b + (b < 0 ? -1 : 1) * Math.sqrt(square)) / 2;
  const roots = [];
  if (sum !== 0) roots.push(c / sum);
  if (a !== 0) roots.push(sum / a);
  return roots.filter(Number.isFinite).sort((u, v) => u - v);
}

// q ln(q/p) at z = mu + sigma e, in nats per unit of z.
/** @type {(mu: number, sigma: number, e: number) => number} */
export function klIntegrand(mu, sigma, e) {
  const [a, b, c] = klQuadratic(mu, sigma);
  return ((Math.exp((-e * e) / 2) / Math.sqrt(2 * Math.PI)) * ((a * e + b) * e + c)) / sigma;
}

// The area of q ln(q/p) above zero and that below, which is negative; their sum is the KL.
/** @type {(mu: number, sigma: number) => number[]} */
export function klAreas(mu, sigma) {
  const [a, b, c] = klQuadratic(mu, sigma);
  /** @type {(e: number) => number} */
  const upTo = (e) => {
    const density = Math.exp((-e * e) / 2) / Math.sqrt(2 * Math.PI);
    return (a + c) * normalCdf(e) - (a * e + b) * density;
  };
  let [positive, negative, before] = [0, 0, 0];
  for (const value of [...klRoots(mu, sigma).map(upTo), a + c]) {
    if (value > before) positive += value - before;
    else negative += value - before;
    before = value;
  }
  return [positive, negative];
}
