// The formulas of the panels, against those of Python.

import assert from "node:assert/strict";
import { test } from "node:test";

import { klOf } from "../../vaewidgets/widgets/draw_pad/board.js";
import {
  exactGradient, pathwiseGradient, scoreGradient, summary,
} from "../../vaewidgets/widgets/gaussian/gradients.js";
import { shade } from "../../vaewidgets/widgets/hole_finder/twin_planes.js";
import { klAreas, klParts } from "../../vaewidgets/widgets/gaussian/kl.js";
import {
  bestDiagonal, elboOf, estimator, exactPosterior, klTo, logWeights, shortfalls, solve, waterFilling,
} from "../../vaewidgets/widgets/gaussian/linear_gaussian.js";
import { normals } from "../../vaewidgets/widgets/gaussian/counter_noise.js";
import { countBins } from "../../vaewidgets/widgets/gaussian/noise_knob.js";
import { gammaShare, normalCdf, normalQuantile } from "../../vaewidgets/widgets/_core/normal.js";
import { lift, project } from "../../vaewidgets/widgets/_core/shared.js";
import { nearest } from "../../vaewidgets/widgets/surprises/surprises.js";
import { interpolate } from "../../vaewidgets/widgets/traverse/traverse_paths.js";
import { assertClose, expected } from "./expected.mjs";

test("the normal distribution", () => {
  const { x, p, cdf, quantile, gamma } = expected.normal;
  assertClose(x.map(normalCdf), cdf, { rtol: 1e-12, atol: 1e-14 }, "cdf");
  assertClose(p.map(normalQuantile), quantile, { rtol: 1e-11, atol: 1e-13 }, "quantile");
  for (const { d, x: xs, shares } of gamma) {
    assertClose(xs.map((v) => gammaShare(d, v)), shares, { rtol: 1e-10 }, `gamma of ${d}`);
  }
});

test("noise from a counter", () => {
  for (const { seed, values } of expected.noise) {
    assertClose(normals(seed, values.length), values, { rtol: 1e-12, atol: 1e-13 }, `seed ${seed}`);
  }
});

test("the KL of one axis and its two areas", () => {
  for (const { mu, sigma, offset, shape, areas } of expected.kl) {
    const parts = klParts(mu, sigma), what = `N(${mu}, ${sigma}^2)`;
    assertClose([parts.offset, parts.shape, parts.kl], [offset, shape, offset + shape], { rtol: 1e-12, atol: 1e-14 }, what);
    // Both areas are differences of numbers as large as the KL.
    assertClose(klAreas(mu, sigma), areas, { rtol: 1e-11, atol: 1e-13 * (1 + offset + shape) }, what);
  }
});

test("the KL of a code", () => {
  for (const { mu, logvar, kl } of expected.codes) assertClose(klOf({ mu, logvar }), kl, { rtol: 1e-12 });
});

test("gradients by two estimators", () => {
  for (const { phi, epsilon, pathwise, score, exact } of expected.gradients) {
    assertClose(pathwiseGradient(phi, epsilon), pathwise, { rtol: 1e-11, atol: 1e-12 }, "pathwise");
    assertClose(scoreGradient(phi, epsilon), score, { rtol: 1e-11, atol: 1e-12 }, "score");
    assertClose(Object.values(exactGradient(phi)), exact, { rtol: 1e-10 }, "exact");
  }
});

test("mean, deviation and histogram of draws", () => {
  const { draws, mean, sd, error, range, bins, beyond } = expected.histogram;
  const found = summary(draws), counted = countBins(draws, range);
  assertClose([found.mean, found.sd, found.error], [mean, sd, error], { rtol: 1e-12 });
  assert.deepEqual([...counted.bins], bins);
  assert.equal(counted.beyond, beyond);
});

test("the linear model, its posterior and its bounds", () => {
  const { cases, ks, variances } = expected.linear;
  cases.forEach(({ inputs, closed, estimate, bounds, water, best, posterior }, i) => {
    const model = solve(inputs), found = estimator(logWeights(model, inputs, normals(i, 2000)))(100);
    const tolerance = { rtol: 1e-9, atol: 1e-9 }, what = `case ${i}`;
    assertClose([model.logP, model.unavoidable, klTo(model, inputs), elboOf(model, inputs)], closed, tolerance, what);
    assertClose([found.value, found.error], estimate, tolerance, what);
    assertClose(waterFilling(variances, Math.exp(inputs.mean[0])), water, { rtol: 1e-6, atol: 1e-12 }, what);
    assertClose(klTo(model, bestDiagonal(model)), best, tolerance, what);
    assertClose(klTo(model, exactPosterior(model)), posterior, tolerance, what);
    const shortfall = shortfalls(model, inputs);
    bounds.forEach((missing, k) => assertClose(shortfall(ks[k]), missing, { rtol: 3e-4, atol: 2e-5 }, what));
  });
});

test("the plane and the points on it", () => {
  for (const { basis, origin, z, point, onPlane, lifted } of expected.planes) {
    assertClose(project({ basis, origin }, z), onPlane, { rtol: 1e-9, atol: 1e-12 }, "project");
    assertClose(lift({ basis, origin }, point, z), lifted, { rtol: 1e-9, atol: 1e-12 }, "lift");
  }
});

test("the way from A to B", () => {
  for (const { a, b, t, kind, z } of expected.paths) {
    assertClose(interpolate(a, b, t, kind), z, { rtol: 1e-9, atol: 1e-12 }, kind);
  }
});

test("colours of how sure a judge is", () => {
  for (const { sure, tau, colour } of expected.colours) assertClose(shade(sure, tau), colour, { atol: 1 }, `${sure}`);
});

test("the rank nearest to a value", () => {
  const { falling, cases } = expected.ranks;
  for (const { value, rank } of cases) assert.equal(nearest(falling, value), rank, `${value}`);
});
