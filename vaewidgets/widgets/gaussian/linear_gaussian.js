// A linear model with two latents, solved: x|z ~ N(W z, s^2 I), W = diag(2, .5) R(theta), s^2 = .5. The formulas are
// those of `models/linear_gaussian.py`; all values are in nats.
//
//   const model = solve({ theta, x });            // {weight, mean, covariance, precision, logP, unavoidable}
//   klTo(model, { mean, sigma, angle })           // KL(q || posterior) = log p(x) - ELBO
//   elboOf(model, q)                              // from its own two terms, not from the KL
//   logWeights(model, q, normals(seed, 2 * n))    // log p(x, z) / q(z) of n draws
//   estimator(weights)                            // k => {value, error, groups}: L_k, its standard error
//   shortfalls(model, q)                          // k => log p(x) - L_k, by quadrature
//   waterFilling(eigenvalues, level)              // nats per dimension

/** @typedef {ReturnType<typeof solve>} Solved */
/** @typedef {{ mean: number[], sigma: number[], angle: number }} Gaussian */
/** @typedef {{ value: number, error: number, groups: number }} Estimate */

const NOISE = 0.5, LOG_2PI = Math.log(2 * Math.PI);

/** @type {(degrees: number) => number} */
export const radians = (degrees) => (degrees * Math.PI) / 180;

// The columns are q's own axes, each as long as its sigma: z = mean + root epsilon.
/** @type {(q: Pick<Gaussian, "sigma" | "angle">) => number[][]} */
function rootOf({ sigma, angle }) {
  const [cos, sin] = [Math.cos(radians(angle)), Math.sin(radians(angle))];
  return [[sigma[0] * cos, -sigma[1] * sin], [sigma[0] * sin, sigma[1] * cos]];
}

/** @type {(q: Gaussian) => number[][]} */
export const covarianceOf = (q) => {
  const [[a, b], [c, d]] = rootOf(q);
  return [[a * a + b * b, a * c + b * d], [a * c + b * d, c * c + d * d]];
};

/** @param {{ theta: number, x: number[] }} inputs */
export function solve({ theta, x }) {
  const [cos, sin] = [Math.cos(radians(theta)), Math.sin(radians(theta))];
  const weight = [[2 * cos, -2 * sin], [0.5 * sin, 0.5 * cos]];
  const [[a, b], [c, d]] = weight;
  // The posterior's precision is M / s^2, M = W'W + s^2 I; its mean is M^-1 W'x.
  const m = [[a * a + c * c + NOISE, a * b + c * d], [a * b + c * d, b * b + d * d + NOISE]];
  const det = m[0][0] * m[1][1] - m[0][1] ** 2;
  const inverse = [[m[1][1] / det, -m[0][1] / det], [-m[0][1] / det, m[0][0] / det]];
  const back = [a * x[0] + c * x[1], b * x[0] + d * x[1]];
  const precision = m.map((row) => row.map((v) => v / NOISE));
  // W W' + s^2 I is diagonal, whatever theta is.
  const logP = -0.5 * [4, 0.25].reduce((sum, v, i) => (
    sum + LOG_2PI + Math.log(v + NOISE) + x[i] ** 2 / (v + NOISE)
  ), 0);
  return {
    x, weight, precision, logP,
    mean: inverse.map((row) => row[0] * back[0] + row[1] * back[1]),
    covariance: inverse.map((row) => row.map((v) => v * NOISE)),
    logDetPrecision: Math.log(det / NOISE ** 2),
    unavoidable: 0.5 * (Math.log(precision[0][0] * precision[1][1]) - Math.log(det / NOISE ** 2)),
  };
}

/** @type {(model: Solved) => Gaussian} */
export const bestDiagonal = (model) => ({
  mean: model.mean.slice(), sigma: [0, 1].map((i) => 1 / Math.sqrt(model.precision[i][i])), angle: 0,
});

// The posterior along its own axes, the longer one first.
/** @type {(model: Solved) => Gaussian} */
export function exactPosterior({ mean, covariance: [[a, b], [, c]] }) {
  const middle = (a + c) / 2, half = Math.hypot((a - c) / 2, b);
  return {
    mean: mean.slice(), sigma: [Math.sqrt(middle + half), Math.sqrt(middle - half)],
    angle: (Math.atan2(2 * b, a - c) * 90) / Math.PI,
  };
}

// root' precision root, and the way from q's mean to the posterior's in q's own units.
/** @param {Solved} model @param {Gaussian} q */
function relative(model, q) {
  const [[a, b], [c, d]] = rootOf(q), [[p, r], [, s]] = model.precision;
  const [u, v] = model.mean.map((m, i) => m - q.mean[i]);
  const det = a * d - b * c;
  return {
    ratio: [
      [a * a * p + 2 * a * c * r + c * c * s, a * b * p + (a * d + b * c) * r + c * d * s],
      [a * b * p + (a * d + b * c) * r + c * d * s, b * b * p + 2 * b * d * r + d * d * s],
    ],
    offset: [(d * u - b * v) / det, (a * v - c * u) / det],
    logDet: 2 * Math.log(det) + model.logDetPrecision,
  };
}

/** @type {(model: Solved, q: Gaussian) => number} */
export function klTo(model, q) {
  const { ratio: [[a, b], [, c]], offset: [u, v], logDet } = relative(model, q);
  return 0.5 * (a + c - 2 - logDet + a * u * u + 2 * b * u * v + c * v * v);
}

/** @type {(model: Solved, q: Gaussian) => number} */
export function elboOf({ x, weight }, q) {
  const root = rootOf(q), [[a, b], [c, d]] = weight;
  /** @type {(u: number, v: number) => number} */
  const through = (u, v) => (a * u + b * v) ** 2 + (c * u + d * v) ** 2;
  const missed = (x[0] - a * q.mean[0] - b * q.mean[1]) ** 2 + (x[1] - c * q.mean[0] - d * q.mean[1]) ** 2;
  const error = missed + through(root[0][0], root[1][0]) + through(root[0][1], root[1][1]);
  const reconstruction = -LOG_2PI - Math.log(NOISE) - error / (2 * NOISE);
  const toPrior = 0.5 * [0, 1].reduce((sum, i) => (
    sum + q.mean[i] ** 2 + q.sigma[i] ** 2 - 1 - 2 * Math.log(q.sigma[i])
  ), 0);
  return reconstruction - toPrior;
}

/** @type {(model: Solved, q: Gaussian, epsilon: ArrayLike<number>) => Float64Array} */
export function logWeights(model, q, epsilon) {
  const { ratio: [[a, b], [, c]], offset: [u, v], logDet } = relative(model, q);
  const weights = new Float64Array(epsilon.length / 2);
  for (let i = 0; i < weights.length; i++) {
    const e = epsilon[2 * i], f = epsilon[2 * i + 1], g = e - u, h = f - v;
    weights[i] = model.logP + 0.5 * (logDet + e * e + f * f - a * g * g - 2 * b * g * h - c * h * h);
  }
  return weights;
}

/** @type {(weights: Float64Array) => (k: number) => Estimate} */
export function estimator(weights) {
  const largest = weights.reduce((most, weight) => Math.max(most, weight), -Infinity);
  const scaled = weights.map((weight) => Math.exp(weight - largest));
  // The log of the sum of a group. A group that would underflow beside the largest weight has its own scale.
  /** @type {(from: number, to: number) => number} */
  const logSum = (from, to) => {
    let sum = 0, most = -Infinity;
    for (let i = from; i < to; i++) sum += scaled[i];
    if (sum > 1e-280) return largest + Math.log(sum);
    for (let i = from; i < to; i++) most = Math.max(most, weights[i]);
    for (let i = from; i < to; i++) sum += Math.exp(weights[i] - most);
    return most + Math.log(sum);
  };
  return (k) => {
    const groups = Math.floor(weights.length / k);
    const bounds = new Float64Array(groups);
    let sum = 0, squares = 0;
    for (let g = 0; g < groups; g++) sum += bounds[g] = logSum(g * k, g * k + k) - Math.log(k);
    for (let g = 0; g < groups; g++) squares += (bounds[g] - sum / groups) ** 2;
    return { value: sum / groups, error: Math.sqrt(squares / (groups - 1) / groups), groups };
  };
}

// The formula of `shortfall` in models/linear_gaussian.py. There the sum over q is computed for every u; here log w is
// first put into narrow bins (each value distributed by cubic interpolation), which all u share. The slow part does
// not depend on k.
const BIN = 1 / 8, LOWEST = -37, HIGHEST = 4;
const POINTS = 161;
/** @type {(i: number) => number} */
const pointAt = (i) => (i - 80) / 10;
const SHARE = Float64Array.from({ length: POINTS }, (_, i) => Math.exp(-(pointAt(i) ** 2) / 2));
const WHOLE = SHARE.reduce((sum, value) => sum + value, 0) ** 2;
const HIT = Float64Array.from({ length: (HIGHEST - LOWEST) / BIN }, (_, i) => (
  -Math.expm1(-Math.exp(LOWEST + i * BIN))
));

/** @type {(model: Solved, q: Gaussian) => (k: number) => number} */
export function shortfalls(model, q) {
  const { ratio: [[a, b], [, c]], offset: [u, v], logDet } = relative(model, q);
  // Along the axes of the ratio, log w is a sum over the two axes.
  const angle = Math.atan2(2 * b, a - c) / 2, [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const middle = (a + c) / 2, half = Math.hypot((a - c) / 2, b);
  const axes = [[middle + half, cos * u + sin * v], [logDetRest(middle + half, logDet), cos * v - sin * u]];
  const [first, second] = axes.map(([stretch, offset]) => Float64Array.from({ length: POINTS }, (_, i) => (
    0.5 * (Math.log(stretch) - stretch * (pointAt(i) - offset) ** 2 + pointAt(i) ** 2)
  )));
  const lowest = Math.min(...first) + Math.min(...second), base = Math.floor(lowest / BIN) - 2;
  const bins = new Float64Array(Math.ceil((Math.max(...first) + Math.max(...second)) / BIN) - base + 4);
  for (let i = 0; i < POINTS; i++) {
    for (let j = 0; j < POINTS; j++) {
      const mass = (SHARE[i] * SHARE[j]) / WHOLE;
      if (mass < 1e-16) continue;
      const place = (first[i] + second[j]) / BIN - base, n = Math.floor(place), f = place - n;
      bins[n - 1] -= (mass * f * (f - 1) * (f - 2)) / 6;
      bins[n] += (mass * (f + 1) * (f - 1) * (f - 2)) / 2;
      bins[n + 1] -= (mass * (f + 1) * f * (f - 2)) / 2;
      bins[n + 2] += (mass * (f + 1) * f * (f - 1)) / 6;
    }
  }
  // Weights so large, compared with u, that one of them is a hit for certain.
  const above = new Float64Array(bins.length + 1);
  for (let n = bins.length - 1; n >= 0; n--) above[n] = above[n + 1] + bins[n];

  const STEP = 4;
  /** @type {number[]} */
  const logs = [];
  /** @type {number[]} */
  const ones = [];
  for (let j = -40 / BIN; ; j += STEP) {
    const start = LOWEST / BIN - j - base, end = start + HIT.length;
    let hit = above[Math.min(bins.length, Math.max(0, end))];
    for (let n = Math.max(0, start); n < Math.min(bins.length, end); n++) hit += bins[n] * HIT[n - start];
    logs.push(Math.log1p(-Math.min(1, hit)));
    ones.push(Math.exp(-Math.exp(j * BIN)));
    // The probability that two weights miss is then below 1e-14; k = 1 has a closed form.
    if (j > 0 && hit > 1 - 1e-7) break;
  }
  const exact = klTo(model, q);
  return (k) => {
    if (k === 1) return exact;
    let sum = 0;
    for (let i = 0; i < logs.length; i++) sum += ones[i] - Math.exp(k * logs[i]);
    return Math.log(k) - sum * STEP * BIN;
  };
}

// The smaller stretch is computed from the product of both, because their difference would lose digits.
/** @type {(larger: number, logDet: number) => number} */
const logDetRest = (larger, logDet) => Math.exp(logDet) / larger;

// Of the linear beta-VAE: nats per dimension with the water at `level`.
/** @type {(eigenvalues: number[], level: number) => number[]} */
export const waterFilling = (eigenvalues, level) => eigenvalues.map((v) => 0.5 * Math.log(Math.max(1, v / level)));
