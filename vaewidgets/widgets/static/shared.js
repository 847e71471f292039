// What the parts of one panel share in the page: the latent point, the plane that the map shows, and the
// network that decodes. The parts are separate modules, so they meet under the panel's key.

const latentOf = (key) => {
  const all = (globalThis.vaewidgetsLatents ??= new Map());
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
};

// As Plane.project and Plane.lift have them.
const project = ({ basis, origin }, z) =>
  basis.map((row) => row.reduce((sum, b, i) => sum + b * (z[i] - origin[i]), 0));
const lift = (plane, point, z) => {
  const at = project(plane, z);
  return z.map((value, i) => value + plane.basis.reduce((sum, row, k) => sum + (point[k] - at[k]) * row[i], 0));
};

const toRGBA = (pixels, [channels, height, width]) => {
  const image = new ImageData(width, height);
  const size = width * height;
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = 255 * pixels[channels === 3 ? c * size + i : i];
    image.data[4 * i + 3] = 255;
  }
  return image;
};

const paint = (canvas, image) => {
  if (canvas.width !== image.width) canvas.width = image.width;
  if (canvas.height !== image.height) canvas.height = image.height;
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.dataset.vwFrame = String(Number(canvas.dataset.vwFrame) + 1);
};
