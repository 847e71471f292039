// Points painted into an array of pixels: fast without a graphics card, and the same in every browser.

/** @typedef {(x: number, y: number) => number} Distance */
/**
 * How points look: radius and line in pixels, colours as [r, g, b, a] from 0 to 1.
 * @typedef {{
 *   symbol: string, radius: number, fill: number[], line: number, stroke: number[],
 * }} Look
 */
/** @typedef {{ side: number, reach: number, values: Float32Array }} Mask */

const ROOT2 = Math.SQRT2;

/** @type {(x: number, y: number, width: number, height: number) => number} */
const box = (x, y, width, height) => Math.max(Math.abs(x) - width, Math.abs(y) - height);
/** @type {(x: number, y: number, r: number) => number} */
const cross = (x, y, r) => Math.min(box(x, y, 1.2 * r, 0.4 * r), box(x, y, 0.4 * r, 1.2 * r));
// Apex up, where y grows downwards: from (0, -r) to (2 r / sqrt(3), r / 2), which is Plotly's, not equilateral.
const SLOPE = 1.5 / (2 / Math.sqrt(3));
/** @type {(x: number, y: number, r: number) => number} */
const triangle = (x, y, r) => Math.max(y - r / 2, (SLOPE * Math.abs(x) - y - r) / Math.hypot(SLOPE, 1));

// Distance from the edge of each of Plotly's symbols, negative inside, for a marker of radius r.
/** @type {{ [symbol: string]: (x: number, y: number, r: number) => number }} */
const SYMBOLS = {
  circle: (x, y, r) => Math.hypot(x, y) - r,
  square: (x, y, r) => box(x, y, r, r),
  diamond: (x, y, r) => (Math.abs(x) + Math.abs(y) - 1.3 * r) / ROOT2,
  cross,
  x: (x, y, r) => cross((x + y) / ROOT2, (x - y) / ROOT2, r),
  "triangle-up": triangle,
  "triangle-down": (x, y, r) => triangle(x, -y, r),
  "triangle-left": (x, y, r) => triangle(y, x, r),
  "triangle-right": (x, y, r) => triangle(y, -x, r),
};
export const isSymbol = (/** @type {unknown} */ symbol) =>
  typeof symbol === "string" && Object.hasOwn(SYMBOLS, symbol.replace(/-open$/, ""));

// Places within a pixel at which a mask is drawn, and parts of a pixel that are looked at, in each direction.
const PHASES = 4, PARTS = 8;
/** @type {Map<string, Mask[]>} */
const masks = new Map();

// Share of the pixel about (x, y) that is inside, where a distance from the edge is negative.
/** @type {(distance: Distance, x: number, y: number) => number} */
function cover(distance, x, y) {
  const middle = distance(x, y);
  if (Math.abs(middle) > ROOT2 / 2) return middle < 0 ? 1 : 0;
  let inside = 0;
  for (let i = 0; i < PARTS ** 2; i++) {
    const dx = ((i % PARTS) + 0.5) / PARTS - 0.5, dy = (Math.floor(i / PARTS) + 0.5) / PARTS - 0.5;
    inside += Math.min(Math.max(0.5 - PARTS * distance(x + dx, y + dy), 0), 1);
  }
  return inside / PARTS ** 2;
}

// Share of each pixel that a point covers; `line` null fills it, else its edge is drawn that wide.
/** @type {(symbol: string, radius: number, line: number | null) => Mask[]} */
function masksOf(symbol, radius, line) {
  const key = `${symbol} ${radius} ${line}`, known = masks.get(key);
  if (known) return known;
  const edge = SYMBOLS[symbol], reach = Math.ceil(1.3 * radius + 1.2 * (line ?? 0)) + 1, side = 2 * reach + 1;
  /** @type {Distance} */
  const distance = (x, y) => (
    line === null ? edge(x, y, radius) : Math.abs(edge(x, y, radius)) - line / 2
  );
  const made = Array.from({ length: PHASES ** 2 }, (_, phase) => {
    const [dx, dy] = [phase % PHASES, Math.floor(phase / PHASES)].map((at) => (at + 0.5) / PHASES);
    return trim({
      side, reach,
      values: Float32Array.from({ length: side ** 2 }, (__, i) =>
        cover(distance, (i % side) - reach + 0.5 - dx, Math.floor(i / side) - reach + 0.5 - dy)),
    });
  });
  if (masks.size > 500) masks.clear();
  masks.set(key, made);
  return made;
}

// Leave out the empty border.
/** @type {(mask: Mask) => Mask} */
function trim({ side, reach, values }) {
  let border = reach;
  values.forEach((value, i) => {
    const x = i % side, y = Math.floor(i / side);
    if (value) border = Math.min(border, x, y, side - 1 - x, side - 1 - y);
  });
  const inner = side - 2 * border;
  return {
    side: inner, reach: reach - border,
    values: Float32Array.from({ length: inner ** 2 }, (_, i) =>
      values[(Math.floor(i / inner) + border) * side + (i % inner) + border]),
  };
}

// An empty picture. Colours are kept multiplied by their opacity, which makes laying one over another simple.
/** @param {number} width @param {number} height */
export function makeRaster(width, height) {
  const pixels = new Float32Array(width * height * 4);
  /** @type {(mask: Mask, left: number, top: number, colour: number[], clip: number[]) => void} */
  const stamp = ({ side, values }, left, top, [r, g, b, a], [x0, y0, x1, y1]) => {
    const fromX = Math.max(left, x0), toX = Math.min(left + side, x1);
    const fromY = Math.max(top, y0), toY = Math.min(top + side, y1);
    for (let y = fromY; y < toY; y++) {
      for (let x = fromX, i = (y - top) * side + x - left, p = 4 * (y * width + x); x < toX; x++, i++, p += 4) {
        const cover = values[i] * a;
        if (cover === 0) continue;
        const rest = 1 - cover;
        pixels[p] = pixels[p] * rest + r * cover;
        pixels[p + 1] = pixels[p + 1] * rest + g * cover;
        pixels[p + 2] = pixels[p + 2] * rest + b * cover;
        pixels[p + 3] = pixels[p + 3] * rest + cover;
      }
    }
  };
  return {
    // A point with its centre at (x, y), cut at the rectangle `clip`.
    /** @type {(x: number, y: number, look: Look, clip: number[]) => void} */
    point(x, y, { symbol, radius, fill, line, stroke }, clip) {
      const far = 1.3 * radius + 1.2 * line + 2;
      if (!(radius > 0) || x < clip[0] - far || x > clip[2] + far || y < clip[1] - far || y > clip[3] + far) return;
      const left = Math.floor(x), top = Math.floor(y);
      const phase = Math.floor((y - top) * PHASES) * PHASES + Math.floor((x - left) * PHASES);
      const open = symbol.endsWith("-open"), shape = open ? symbol.slice(0, -5) : symbol;
      if (!open) {
        const mask = masksOf(shape, radius, null)[phase];
        stamp(mask, left - mask.reach, top - mask.reach, fill, clip);
      }
      if (open || line) {
        const mask = masksOf(shape, radius, line)[phase];
        stamp(mask, left - mask.reach, top - mask.reach, open ? fill : stroke, clip);
      }
    },
    // As a canvas takes them.
    pixels() {
      const bytes = new Uint8ClampedArray(pixels.length);
      for (let p = 0; p < pixels.length; p += 4) {
        const a = pixels[p + 3];
        if (a === 0) continue;
        for (let c = 0; c < 3; c++) bytes[p + c] = (255 * pixels[p + c]) / a;
        bytes[p + 3] = 255 * a;
      }
      return bytes;
    },
  };
}
