// What the parts of one panel share in the page: the latent point, the plane that the map shows, and the
// network that decodes. The parts are separate modules, so they meet under the panel's key.

const latents = () => (globalThis.vaewidgetsLatents ??= new Map());

export function latentOf(key) {
  const all = latents();
  if (!all.has(key)) {
    all.set(key, {
      z: [], plane: null, network: null, listeners: new Set(), tell: () => {},
      // A hand moves z here first; the kernel hears of it through the ordinary sync.
      move(z, byHand = false) {
        this.z = z;
        for (const listener of this.listeners) listener();
        if (byHand) this.tell(z);
      },
    });
  }
  return all.get(key);
}
export const forgetLatent = (key) => latents().delete(key);

// As Plane.project and Plane.lift have them.
export const project = ({ basis, origin }, z) =>
  basis.map((row) => row.reduce((sum, b, i) => sum + b * (z[i] - origin[i]), 0));
export function lift(plane, point, z) {
  const at = project(plane, z);
  return z.map((value, i) => value + plane.basis.reduce((sum, row, k) => sum + (point[k] - at[k]) * row[i], 0));
}
