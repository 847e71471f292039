// From strokes to the image that an encoder sees, the way MNIST was made (LeCun et al. 1998): the ink is scaled
// to a box with its shape kept, drawn there in grey, and its centre of mass is put at the image's centre.
//
//   drawnImage(strokes, [height, width], [box, centre])     // Float32Array of height * width in [0, 1], or null
//
// A stroke is { width, points: [[x, y], ...] }, measured in widths of the pad from its top left corner; the pad
// has the image's shape. `box` is the side of the box as a share of the image's (20 / 28), `centre` the place of the
// centre of mass. MNIST rounded that to a whole pixel: over its test images it is at (14.0, 14.0) counted from 0,
// which is 14.5 / 28 from the edge. Here it is exact, so that the image does not jump while the pen moves.
//
// Only this module computes the image, because it must follow the pen. Python is sent the result.

import { clamp } from "../_core/numbers.js";

/** @typedef {{ width: number, points: number[][] }} Stroke */
/** @typedef {[number, number, number, number, number]} Piece */

// The pieces of the pen's path that lie on the pad, as [x, y, x, y, radius]. Outside of the pad nothing is drawn.
/** @type {(strokes: Stroke[], height: number) => Piece[]} */
export function inkPieces(strokes, height) {
  /** @type {Piece[]} */
  const pieces = [];
  for (const { width, points } of strokes) {
    points.forEach((to, i) => {
      const piece = clipped(points[Math.max(0, i - 1)], to, height);
      if (piece && (i > 0 || points.length === 1)) pieces.push([...piece, width / 2]);
    });
  }
  return pieces;
}

// Liang & Barsky 1984, for the pad [0, 1] x [0, height].
/** @type {(from: number[], to: number[], height: number) => [number, number, number, number] | null} */
function clipped([x, y], [u, v], height) {
  const [dx, dy] = [u - x, v - y];
  let from = 0, to = 1;
  for (const [step, room] of [[-dx, x], [dx, 1 - x], [-dy, y], [dy, height - y]]) {
    if (step === 0 && room < 0) return null;
    if (step < 0) from = Math.max(from, room / step);
    if (step > 0) to = Math.min(to, room / step);
  }
  return from <= to ? [x + from * dx, y + from * dy, x + to * dx, y + to * dy] : null;
}

// How much of each pixel is inked: pad units times `scale` plus `shift` are pixels. Each pixel has parts x parts
// samples, and the edges of ink and pad are soft over one of them.
/**
 * @type {(
 *   pieces: Piece[], scale: number, shift: number[], size: number[], padHeight: number,
 * ) => Float32Array}
 */
function coverage(pieces, scale, [shiftX, shiftY], [height, width], padHeight) {
  const parts = Math.max(2, Math.ceil(112 / Math.max(height, width)));
  const across = width * parts, down = height * parts, unit = scale * parts;
  const [left, top] = [shiftX * parts, shiftY * parts];
  const ink = new Float32Array(across * down);
  /** @type {(a: number, b: number, reach: number, end: number) => number[]} */
  const range = (a, b, reach, end) => [
    Math.max(0, Math.floor(Math.min(a, b) - reach)), Math.min(end, Math.ceil(Math.max(a, b) + reach)),
  ];
  for (const [x0, y0, x1, y1, radius] of pieces) {
    const r = radius * unit;
    const [ax, ay, bx, by] = [left + x0 * unit, top + y0 * unit, left + x1 * unit, top + y1 * unit];
    const [dx, dy] = [bx - ax, by - ay], square = dx * dx + dy * dy;
    const [i0, i1] = range(ax, bx, r + 1, across), [j0, j1] = range(ay, by, r + 1, down);
    for (let j = j0; j < j1; j++) {
      for (let i = i0; i < i1; i++) {
        const px = i + 0.5 - ax, py = j + 0.5 - ay;
        const t = square ? Math.min(1, Math.max(0, (px * dx + py * dy) / square)) : 0;
        const u = px - t * dx, v = py - t * dy, distance = Math.sqrt(u * u + v * v);
        const share = Math.min(distance + 0.5, r) - Math.max(distance - 0.5, -r);
        if (share > ink[j * across + i]) ink[j * across + i] = share;
      }
    }
  }
  // How much of each sample lies on the pad.
  /** @type {(count: number, from: number, to: number) => Float32Array} */
  const onPad = (count, from, to) => Float32Array.from({ length: count }, (_, i) =>
    Math.max(0, Math.min(i + 1, to) - Math.max(i, from)));
  const columns = onPad(across, left, left + unit), rows = onPad(down, top, top + unit * padHeight);
  const image = new Float32Array(width * height);
  for (let j = 0; j < down; j++) {
    for (let i = 0; i < across; i++) {
      const share = ink[j * across + i] * columns[i] * rows[j];
      image[Math.floor(j / parts) * width + Math.floor(i / parts)] += share / parts / parts;
    }
  }
  return image.map((value) => Math.min(1, value));
}

/** @type {(image: Float32Array, width: number) => number[]} */
function centreOfMass(image, width) {
  let mass = 0, x = 0, y = 0;
  image.forEach((value, k) => {
    mass += value;
    x += value * ((k % width) + 0.5);
    y += value * (Math.floor(k / width) + 0.5);
  });
  return [x / mass, y / mass];
}

/** @type {(strokes: Stroke[], size: number[], frame: number[]) => Float32Array | null} */
export function drawnImage(strokes, [height, width], [box, centre]) {
  const padHeight = height / width, pieces = inkPieces(strokes, padHeight);
  if (!pieces.length) return null;
  const ends = [[Infinity, -Infinity], [Infinity, -Infinity]], way = [[Infinity, -Infinity], [Infinity, -Infinity]];
  let pen = 0;
  for (const piece of pieces) {
    const radius = piece[4];
    pen = Math.max(pen, 2 * radius);
    for (const axis of [0, 1]) {
      for (const at of [piece[axis], piece[axis + 2]]) {
        way[axis] = [Math.min(way[axis][0], at), Math.max(way[axis][1], at)];
        ends[axis] = [Math.min(ends[axis][0], at - radius), Math.max(ends[axis][1], at + radius)];
      }
    }
  }
  const [[left, right], [top, bottom]] = ends.map(([low, high], axis) => [
    Math.max(0, low), Math.min(axis ? padHeight : 1, high),
  ]);
  // A stroke that is shorter than its width is a dot, which keeps its size on the pad.
  const dot = Math.max(...way.map(([low, high]) => high - low)) < pen;
  const scale = Math.min(dot ? width : Infinity, (box * width) / (right - left), (box * height) / (bottom - top));
  const sides = [Math.ceil((bottom - top) * scale) + 2, Math.ceil((right - left) * scale) + 2];
  const corner = [1 - left * scale, 1 - top * scale];
  const at = centreOfMass(coverage(pieces, scale, corner, sides, padHeight), sides[1]);
  // Ink far to one side of its centre of mass is not cut. It is moved to end at the image's edge.
  /** @type {(shift: number, low: number, high: number, size: number) => number} */
  const within = (shift, low, high, size) => clamp(shift, [-low * scale, size - high * scale]);
  const shift = [
    within(corner[0] + centre * width - at[0], left, right, width),
    within(corner[1] + centre * height - at[1], top, bottom, height),
  ];
  return coverage(pieces, scale, shift, [height, width], padHeight);
}
