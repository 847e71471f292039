// Both estimators of the gradient of E f(z), draw by draw, and their exact values: those of `noise_knob.py`.

// f(z) = z^2 + sin z with z = mu + sigma e, mu = phi^3, sigma = e^phi: one draw of d/dphi E f(z) by each estimator.
/** @type {(phi: number, e: number) => number} */
export function pathwiseGradient(phi, e) {
  const sigma = Math.exp(phi), z = phi ** 3 + sigma * e;
  return (2 * z + Math.cos(z)) * (3 * phi * phi + sigma * e);
}
/** @type {(phi: number, e: number) => number} */
export function scoreGradient(phi, e) {
  const sigma = Math.exp(phi), z = phi ** 3 + sigma * e;
  return (z * z + Math.sin(z)) * ((3 * phi * phi * e) / sigma + e * e - 1);
}

// A polynomial in e is the list of its coefficients, the constant first.
/** @type {(...factors: number[][]) => number[]} */
function multiply(...factors) {
  return factors.reduce((product, factor) => {
    const out = new Array(product.length + factor.length - 1).fill(0);
    product.forEach((p, i) => factor.forEach((f, j) => { out[i + j] += p * f; }));
    return out;
  });
}

// E[P(e) cos(k z - shift)] for z = mu + sigma e, with shift = pi/2 the sine: E[e^n exp(i k z)] is
// i^n He_n(t) exp(i k mu - t^2 / 2), with t = k sigma and the Hermite polynomials of probability.
/** @type {(polynomial: number[], mu: number, sigma: number, k: number, shift?: number) => number} */
function expectation(polynomial, mu, sigma, k, shift = 0) {
  const t = k * sigma;
  let sum = 0, before = 0, hermite = 1;
  polynomial.forEach((coefficient, n) => {
    sum += coefficient * hermite * Math.cos(k * mu - shift + (n * Math.PI) / 2);
    [before, hermite] = [hermite, t * hermite - n * before];
  });
  return sum * Math.exp((-t * t) / 2);
}

// The gradient of E f(z), and the exact standard deviation of one draw by each estimator.
/** @param {number} phi */
export function exactGradient(phi) {
  const mu = phi ** 3, sigma = Math.exp(phi), slope = 3 * phi * phi, sine = Math.PI / 2;
  const damped = Math.exp((-sigma * sigma) / 2);
  const value = mu * mu + sigma * sigma + damped * Math.sin(mu);
  const gradient = 2 * mu * slope + 2 * sigma * sigma
    + damped * (Math.cos(mu) * slope - sigma * sigma * Math.sin(mu));
  const z = [mu, sigma], z2 = multiply(z, z), moving = multiply([slope, sigma], [slope, sigma]);
  const pathwise = expectation(multiply(moving, z2), mu, sigma, 0) * 4
    + expectation(multiply(moving, z), mu, sigma, 1) * 4
    + (expectation(moving, mu, sigma, 0) + expectation(moving, mu, sigma, 2)) / 2;
  const score = [-1, slope / sigma, 1], weight = multiply(score, score);
  const scored = expectation(multiply(weight, z2, z2), mu, sigma, 0)
    + expectation(multiply(weight, z2), mu, sigma, 1, sine) * 2
    + (expectation(weight, mu, sigma, 0) - expectation(weight, mu, sigma, 2)) / 2;
  const [a, b] = [pathwise, scored].map((square) => square - gradient * gradient);
  return { value, gradient, pathwiseSd: Math.sqrt(a), scoreSd: Math.sqrt(b), ratio: b / a };
}

// Mean, standard deviation and standard error of the mean; null where there are too few draws.
/** @type {(draws: ArrayLike<number>) => { [what in "mean" | "sd" | "error"]: number | null }} */
export function summary(draws) {
  const n = draws.length;
  if (!n) return { mean: null, sd: null, error: null };
  let mean = 0, squares = 0;
  for (let i = 0; i < n; i++) mean += draws[i];
  mean /= n;
  for (let i = 0; i < n; i++) squares += (draws[i] - mean) ** 2;
  if (n === 1) return { mean, sd: null, error: null };
  const sd = Math.sqrt(squares / (n - 1));
  return { mean, sd, error: sd / Math.sqrt(n) };
}
