// Points painted into pixels, against the geometry of Plotly's symbols and the rules of alpha compositing.

import assert from "node:assert/strict";
import { test } from "node:test";

import { isSymbol, makeRaster } from "../../vaewidgets/widgets/_map/rasterize.js";
import { assertClose } from "./expected.mjs";

const SIDE = 120, ALL = [0, 0, SIDE, SIDE], BLACK = [0, 0, 0, 1];

// Areas for radius 1, by hand from the paths in Plotly's src/components/drawing/symbol_defs.js.
const AREAS = {
  circle: Math.PI,
  square: 4,
  diamond: 2 * 1.3 ** 2,
  cross: 2 * 2.4 * 0.8 - 0.8 ** 2,
  x: 2 * 2.4 * 0.8 - 0.8 ** 2,
  "triangle-up": 1.5 * 2 / Math.sqrt(3),
  "triangle-down": 1.5 * 2 / Math.sqrt(3),
  "triangle-left": 1.5 * 2 / Math.sqrt(3),
  "triangle-right": 1.5 * 2 / Math.sqrt(3),
};
// Lengths of their edges.
const EDGES = { circle: 2 * Math.PI, square: 8, diamond: 4 * 1.3 * Math.SQRT2, cross: 9.6, x: 9.6 };

const look = (symbol, radius, more = {}) => ({ symbol, radius, fill: BLACK, line: 0, stroke: [], ...more });

function paint(points, clip = ALL) {
  const raster = makeRaster(SIDE, SIDE);
  for (const [x, y, how] of points) raster.point(x, y, how, clip);
  return raster.pixels();
}
const alphas = (pixels) => Float64Array.from({ length: SIDE ** 2 }, (_, i) => pixels[4 * i + 3] / 255);
const sum = (values) => values.reduce((total, value) => total + value, 0);
const pixel = (pixels, x, y) => [...pixels.slice(4 * (y * SIDE + x), 4 * (y * SIDE + x) + 4)];

// Mean area over places within a pixel.
function areaOf(how) {
  let total = 0;
  for (let k = 0; k < 16; k++) {
    total += sum(alphas(paint([[60 + (k % 4) / 4 + 0.1, 60 + Math.floor(k / 4) / 4 + 0.1, how]])));
  }
  return total / 16;
}

for (const [symbol, unit] of Object.entries(AREAS)) {
  test(`a ${symbol} covers its area`, () => {
    for (const radius of [1, 2, 2.5, 3.5, 7, 20]) {
      assertClose(areaOf(look(symbol, radius)), unit * radius ** 2, { rtol: 0.03 }, `radius ${radius}`);
    }
  });
}

test("small points cover their area too", () => {
  assertClose(areaOf(look("circle", 0.5)), Math.PI / 4, { rtol: 0.06 });
  for (const radius of [0, -1, NaN]) assert.equal(sum(paint([[60, 60, look("circle", radius)]])), 0);
});

test("an edge covers its length times its width, half of it within", () => {
  for (const [symbol, length] of Object.entries(EDGES)) {
    for (const line of [1, 2]) {
      // Where edges meet they overlap or leave a corner: of the order of the width squared.
      const wanted = length * 12 * line, found = areaOf(look(`${symbol}-open`, 12, { line }));
      assertClose(found, wanted, { rtol: 0.03, atol: 4 * line ** 2 }, `${symbol}, ${line}`);
    }
  }
  const pixels = paint([[60, 60, look("circle-open", 20, { line: 2 })]]);
  assert.equal(pixel(pixels, 60, 60)[3], 0, "nothing in the middle of an open one");
  const filled = paint([[60.125, 60.125, look("square", 9.875, { fill: [1, 0, 0, 1], line: 4, stroke: [0, 0, 1, 1] })]]);
  assert.deepEqual(pixel(filled, 60, 60), [255, 0, 0, 255]);
  // From 50.25 outwards and inwards by 2.
  for (const x of [49, 50, 51]) assert.deepEqual(pixel(filled, x, 60), [0, 0, 255, 255], `column ${x}`);
  assertClose(pixel(filled, 48, 60), [0, 0, 255, 0.75 * 255], { atol: 1 });
  assertClose(pixel(filled, 52, 60), [0.75 * 255, 0, 0.25 * 255, 255], { atol: 1 });
  assert.equal(pixel(filled, 47, 60)[3], 0);
});

test("a square lies where it should, to the pixel", () => {
  const covered = alphas(paint([[60.125, 40.125, look("square", 3)]]));
  // Its edges are at 57.125 and 63.125, and 37.125 and 43.125.
  assertClose(covered[40 * SIDE + 57], 0.875, { atol: 0.01 });
  assertClose(covered[40 * SIDE + 63], 0.125, { atol: 0.01 });
  assertClose(covered[37 * SIDE + 60], 0.875, { atol: 0.01 });
  assert.equal(covered[40 * SIDE + 58], 1);
  assert.equal(covered[40 * SIDE + 56] + covered[40 * SIDE + 64], 0);
});

test("shapes are symmetric, and turned as their names say", () => {
  const at = (symbol) => alphas(paint([[60.125 + 0.375, 60.125 + 0.375, look(symbol, 9)]]));
  const mirrored = (values, map) => Float64Array.from(values, (_, i) => {
    const [x, y] = map(i % SIDE, Math.floor(i / SIDE));
    return x < 0 || y < 0 || x >= SIDE || y >= SIDE ? 0 : values[y * SIDE + x];
  });
  // Phases lie at odd eighths of a pixel: about the middle of the mask, not of the pixel.
  const near = (a, b, what) => assert.ok(sum(a.map((value, i) => Math.abs(value - b[i]))) < 0.15 * sum(a), what);
  for (const symbol of ["circle", "square", "diamond", "cross", "x"]) {
    const values = at(symbol);
    near(values, mirrored(values, (x, y) => [120 - x, y]), `${symbol}, left and right`);
    near(values, mirrored(values, (x, y) => [x, 120 - y]), `${symbol}, top and bottom`);
    near(values, mirrored(values, (x, y) => [y, x]), `${symbol}, corners`);
  }
  const up = at("triangle-up");
  near(up, mirrored(up, (x, y) => [120 - x, y]), "triangle-up");
  near(mirrored(up, (x, y) => [x, 120 - y]), at("triangle-down"), "triangle-down");
  near(mirrored(up, (x, y) => [y, x]), at("triangle-left"), "triangle-left");
  near(mirrored(up, (x, y) => [y, 120 - x]), at("triangle-right"), "triangle-right");
  // Apexes: up is towards smaller y.
  const [first, last] = [up.findIndex((value) => value > 0), up.findLastIndex((value) => value > 0)];
  assertClose([Math.floor(first / SIDE), Math.floor(last / SIDE)], [51, 64], { atol: 1 });
  assertClose([first % SIDE], [60], { atol: 1 });
});

test("a place within a pixel moves the middle, to a quarter of a pixel", () => {
  for (const symbol of ["circle", "square", "diamond", "cross", "x"]) {
    for (let k = 0; k < 32; k++) {
      const x = 50 + k / 32, y = 70 - (7 * k % 32) / 32;
      const values = alphas(paint([[x, y, look(symbol, 4)]])), total = sum(values);
      const middle = [0, 1].map((axis) => sum(values.map((value, i) =>
        value * ((axis ? Math.floor(i / SIDE) : i % SIDE) + 0.5))) / total);
      assertClose(middle, [x, y], { atol: 0.15 }, `${symbol} at ${x}, ${y}`);
    }
  }
});

test("nothing is painted beyond the clip or the picture", () => {
  const clip = [30, 40, 80, 90];
  const places = [[30, 60], [80, 60], [55, 40], [55, 90], [29, 39], [81, 91], [-500, 60], [55, 1e6]];
  const whole = alphas(paint(places.map(([x, y]) => [x, y, look("cross", 12, { line: 3, stroke: BLACK })])));
  const cut = alphas(paint(places.map(([x, y]) => [x, y, look("cross", 12, { line: 3, stroke: BLACK })]), clip));
  cut.forEach((value, i) => {
    const x = i % SIDE, y = Math.floor(i / SIDE), inside = x >= 30 && x < 80 && y >= 40 && y < 90;
    assert.equal(value, inside ? whole[i] : 0, `${x}, ${y}`);
  });
  assert.ok(sum(cut) > 500);
  // At an edge of the picture a point is cut, and does not come in on the other side.
  const edge = alphas(paint([[0, 60, look("square", 5)], [120, 20, look("square", 5)]]));
  assertClose(sum(edge), 100, { rtol: 0.06 });
  edge.forEach((value, i) => {
    const x = i % SIDE, y = Math.floor(i / SIDE);
    if (value) assert.ok(y > 40 ? x < 6 : x >= 114, `${x}, ${y}`);
  });
});

test("a wide edge of a point beyond the clip reaches into it", () => {
  const wide = look("square", 1, { line: 20, stroke: BLACK });
  assert.equal(alphas(paint([[-5, 60, wide]]))[60 * SIDE], 1);
});

test("one over another, as alpha compositing says", () => {
  const layers = [[1, 0, 0, 0.8], [0, 1, 0, 0.5], [0.2, 0.4, 1, 0.25], [1, 1, 0, 0.9]];
  const dense = [...layers, ...layers, ...layers];
  for (const stack of [layers, dense, layers.slice(0, 1)]) {
    // Colours as they are, not multiplied by their opacity: Porter and Duff's "over".
    let [colour, alpha] = [[0, 0, 0], 0];
    for (const [r, g, b, a] of stack) {
      const both = a + alpha * (1 - a);
      colour = [r, g, b].map((value, c) => (value * a + colour[c] * alpha * (1 - a)) / both);
      alpha = both;
    }
    const pixels = paint(stack.map((fill) => [60, 60, look("square", 6, { fill })]));
    assertClose(pixel(pixels, 60, 60), [...colour, alpha].map((value) => 255 * value), { atol: 1 });
  }
  // Coverage counts as opacity does; outside nothing.
  const [half] = [pixel(paint([[60.125, 60.125, look("square", 3, { fill: [1, 1, 1, 0.5] })]]), 57, 60)];
  assertClose(half, [255, 255, 255, 255 * 0.5 * 0.875], { atol: 1 });
  assert.equal(sum(paint([[60, 60, look("circle", 5, { fill: [1, 0, 0, 0] })]])), 0);
});

test("what is no symbol of these is told", () => {
  for (const symbol of Object.keys(AREAS)) {
    assert.ok(isSymbol(symbol) && isSymbol(`${symbol}-open`), symbol);
    assert.ok(!isSymbol(`${symbol}-dot`) && !isSymbol(`${symbol}-open-dot`), symbol);
  }
  for (const other of ["star", "hexagon", "toString", "", 0, 101, null, undefined, ["circle"]]) {
    assert.ok(!isSymbol(other), String(other));
  }
});
