// What the page holds, read from its text. Parts that do not fit each other are refused before anything is drawn.

import { halfToFloat, makeNetwork } from "../_core/network.js";

/** @import { Description } from "../_core/network.js" */
/** @typedef {{ name: string, colour: string }} Class */
/**
 * What `html_page.py` writes.
 * @typedef {{
 *   spec: Description, z: number[], low: number[], high: number[], ranges: number[][], reach: number, frame: number[],
 *   prior: boolean, classes: Class[], mu: string, logvar: string | null, labels: string | null,
 * }} PageData
 */

/** @type {(what: string) => never} */
const refuse = (what) => {
  throw new Error(`The data of this page do not fit each other: ${what}.`);
};

/** @type {(name: string, text: unknown) => Uint8Array} */
function bytesOf(name, text) {
  if (typeof text !== "string") return refuse(`${name} is no text`);
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return refuse(`${name} is not base64`);
  }
}
/** @type {(name: string, text: unknown) => Uint16Array} */
function wordsOf(name, text) {
  const bytes = bytesOf(name, text);
  if (bytes.length % 2) refuse(`${name} has ${bytes.length} bytes, which is no multiple of 2`);
  return new Uint16Array(bytes.buffer);
}
/** @type {(name: string, text: unknown) => Float32Array} */
function halvesOf(name, text) {
  const words = wordsOf(name, text), bad = words.findIndex((bits) => (bits & 0x7c00) === 0x7c00);
  if (bad >= 0) refuse(`value ${bad} of ${name} is not finite`);
  return Float32Array.from(words, halfToFloat);
}

/** @type {(dtype: string | undefined, text: string) => Float32Array} */
function weightsOf(dtype, text) {
  if (dtype === "float16") return halvesOf("weights", text);
  if (dtype !== "float32") refuse("the weights are said to be neither float16 nor float32");
  const bytes = bytesOf("weights", text);
  if (bytes.length % 4) refuse(`weights has ${bytes.length} bytes, which is no multiple of 4`);
  const values = new Float32Array(bytes.buffer), bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) refuse(`value ${bad} of weights is not finite`);
  return values;
}

// As Python's zlib.crc32 of the texts one after the other.
/** @type {(...texts: string[]) => string} */
function crc32(...texts) {
  const table = Uint32Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n;
  });
  let crc = -1;
  for (const bytes of texts.map((text) => new TextEncoder().encode(text))) {
    for (let i = 0; i < bytes.length; i++) crc = table[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  }
  return String(~crc >>> 0);
}

/** @type {(data: PageData, latentDim: number) => void} */
function checkNumbers(data, latentDim) {
  /** @type {(value: unknown, length: number) => boolean} */
  const finite = (value, length) =>
    Array.isArray(value) && value.length === length && value.every((v) => Number.isFinite(v));
  for (const name of /** @type {const} */ (["z", "low", "high"])) {
    if (!finite(data[name], latentDim)) refuse(`${name} is not ${latentDim} finite numbers`);
  }
  /** @type {(low: number, high: number) => boolean} */
  const wide = (low, high) => high > low && Number.isFinite(high - low);
  data.low.forEach((low, k) => {
    if (!wide(low, data.high[k])) refuse(`the map of z${k + 1} goes from ${low} to ${data.high[k]}`);
  });
  const { ranges, reach, frame } = data;
  if (!Array.isArray(ranges) || ranges.length !== latentDim) refuse(`ranges is not one of ${latentDim} sliders`);
  ranges.forEach((range, k) => {
    const right = finite(range, 3) && wide(range[0], range[1]) && range[2] > 0;
    if (!right) refuse(`slider z${k + 1} has the range ${JSON.stringify(range)}, not least, most and step`);
  });
  if (!(Number.isFinite(reach) && reach > 0)) refuse(`the grid's reach is ${reach}`);
  if (!finite(frame, 2) || !frame.every((share) => share > 0 && share <= 1)) {
    refuse("the drawing's frame is not 2 shares of the image");
  }
  if (typeof data.prior !== "boolean") refuse("prior is neither true nor false");
}

/** @type {(classes: Class[], labels: Uint16Array | null, count: number) => void} */
function checkClasses(classes, labels, count) {
  /** @type {(one: Partial<Class> | null) => boolean} */
  const named = (one) => typeof one?.name === "string" && /^#[0-9a-f]{6}$/i.test(one.colour ?? "");
  if (!Array.isArray(classes) || !classes.every(named)) {
    refuse("classes is no list of names with their colours");
  }
  if (labels === null) {
    if (!classes.length) refuse("there is no class, and so no colour for the points");
    return;
  }
  if (labels.length !== count) refuse(`labels has ${labels.length} values for ${count} points`);
  const row = labels.findIndex((label) => label >= classes.length);
  if (row >= 0) refuse(`point ${row} has the label ${labels[row]} of ${classes.length} classes`);
}

// { network, codes, logvars, labels, count } and what stands in the data as it is.
/** @param {string} text @param {string} weightsText @param {string | undefined} checksum */
export function readPage(text, weightsText, checksum) {
  /** @type {PageData} */
  let data;
  try {
    data = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : error;
    throw new Error(`The data of this page cannot be read: ${reason}.`, { cause: error });
  }
  if (!data?.spec) refuse("there is no description of a model");
  const weights = weightsOf(data.spec.dtype, weightsText), network = makeNetwork(data.spec, weights);
  const { latentDim, imageShape: [channels, height, width] } = network;
  if (channels !== 1 && channels !== 3) refuse(`an image has ${channels} channels, neither 1 nor 3`);
  // The grid holds at least 25 of them, and a canvas beyond a browser's limit stays blank without a word.
  if (height * width > 2 ** 20) refuse(`an image of ${height} x ${width} pixels is larger than this page draws`);
  checkNumbers(data, latentDim);
  const codes = halvesOf("mu", data.mu), count = codes.length / latentDim;
  if (!Number.isInteger(count)) refuse(`mu has ${codes.length} values, which is no multiple of ${latentDim}`);
  const logvars = data.logvar === null ? null : halvesOf("logvar", data.logvar);
  if (logvars && logvars.length !== codes.length) {
    refuse(`logvar has ${logvars.length} values where mu has ${codes.length}`);
  }
  data.low.forEach((low, k) => {
    /** @type {(value: number, i: number) => boolean} */
    const inside = (value, i) => i % latentDim === k && value >= low && value <= data.high[k];
    if (count && !codes.some(inside)) refuse(`the map of z${k + 1} leaves out every point`);
  });
  const labels = data.labels === null ? null : wordsOf("labels", data.labels);
  checkClasses(data.classes, labels, count);
  if (crc32(text, weightsText) !== checksum) {
    throw new Error("The data of this page were changed after it was made.");
  }
  return { ...data, weights, network, codes, logvars, labels, count };
}
