// The normal distribution, to the precision of a double.

// P(d / 2, x): the share of a chi-square's mass, of d degrees of freedom, below 2 x.
/** @type {(d: number, x: number) => number} */
export function gammaShare(d, x) {
  if (x <= 0) return 0;
  // Far out the series would overflow before e^-x brings it back.
  if (x > 600 + d) return 1;
  const a = d / 2;
  let logGamma = d % 2 ? Math.log(Math.PI) / 2 : 0;
  for (let k = d % 2 ? 0.5 : 1; k <= a; k++) logGamma += Math.log(k);
  // logGamma is now ln of Gamma(a + 1); the series is that of Abramowitz & Stegun 1964, 6.5.29.
  let term = 1, sum = 1;
  for (let n = 1; term > 1e-17 * sum; n++) {
    term *= x / (a + n);
    sum += term;
  }
  return Math.min(1, sum * Math.exp(a * Math.log(x) - x - logGamma));
}

/** @type {(x: number) => number} */
export function normalCdf(x) {
  return 0.5 * (1 + Math.sign(x) * gammaShare(1, (x * x) / 2));
}

// Newton from 0 goes to its end without overshoot: the distribution function is concave on that side.
/** @type {(p: number) => number} */
export function normalQuantile(p) {
  const sign = p < 0.5 ? -1 : 1, target = p < 0.5 ? 1 - p : p;
  let x = 0;
  for (let i = 0; i < 40; i++) {
    const step = ((target - normalCdf(x)) * Math.sqrt(2 * Math.PI)) / Math.exp((-x * x) / 2);
    x += step;
    if (Math.abs(step) < 1e-13) break;
  }
  return sign * x;
}
