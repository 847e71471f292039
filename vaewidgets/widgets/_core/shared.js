// What the parts of one panel share in the page: the latent point, the plane that the map shows, and the
// network that decodes. The parts are separate widgets, so they meet under the panel's key.

/** @import { WorkerNetwork } from "./decode_worker.js" */
/** @import { Description, Network, Weights } from "./network.js" */
/** @typedef {{ basis: number[][], origin: number[] }} Plane */
/**
 * @typedef {{
 *   z: number[], plane: Plane | null, network: Network | null,
 *   spec?: Description, weights?: Weights, worker: WorkerNetwork | null,
 *   listeners: Set<() => void>,
 *   tell(z: number[]): void,
 *   move(z: number[], byHand?: boolean): void,
 *   decode(z: number[], show: (pixels: Float32Array) => void): void,
 * }} Latent
 */

// Of the page, so that it can be seen what stays behind in it.
const page = /** @type {{ vaewidgetsLatents?: Map<string, Latent> }} */ (globalThis);
/** @type {Map<string, Latent>} */
const latents = (page.vaewidgetsLatents ??= new Map());

/** @type {(key: string) => Latent} */
export function latentOf(key) {
  const known = latents.get(key);
  if (known) return known;
  /** @type {Latent} */
  const latent = {
    z: [], plane: null, network: null, worker: null, listeners: new Set(), tell: () => {},
    // A hand moves z here first; the kernel hears of it through the ordinary sync.
    move(z, byHand = false) {
      this.z = z;
      for (const listener of this.listeners) listener();
      if (byHand) this.tell(z);
    },
    // At once, or, where that would hold up the page, when the worker has it and no newer one is asked for.
    decode(z, show) {
      if (this.worker) this.worker.decode(z).then((pixels) => { if (pixels) show(pixels); });
      else if (this.network) show(this.network.decode(z));
    },
  };
  latents.set(key, latent);
  return latent;
}
/** @type {(key: string) => void} */
export const forgetLatent = (key) => { latents.delete(key); };

// As Plane.project and Plane.lift have them.
/** @type {(plane: Plane, z: number[]) => number[]} */
export const project = ({ basis, origin }, z) =>
  basis.map((row) => row.reduce((sum, b, i) => sum + b * (z[i] - origin[i]), 0));
/** @type {(plane: Plane, point: number[], z: number[]) => number[]} */
export function lift(plane, point, z) {
  const at = project(plane, z);
  return z.map((value, i) => value + plane.basis.reduce((sum, row, k) => sum + (point[k] - at[k]) * row[i], 0));
}
