// Where something of a size stands out of a picture: only places to show a circle on, never a count.

const ACROSS_PX = 6; // a cell in the small copy: enough to tell its middle
const LARGEST_PX = 2000; // side of the small copy
const OUTSTANDING = 1.5; // standard deviations above the mean

/** Sums over a square of 2 * reach + 1 pixels around each, divided by its pixels inside the picture. */
function blurred(values, width, height, reach) {
  const across = new Float32Array(values.length);
  const means = new Float32Array(values.length);
  const slide = (source, target, start, step, count) => {
    let sum = 0;
    let inside = 0;
    for (let at = -reach; at < count; at += 1) {
      if (at + reach < count) { sum += source[start + (at + reach) * step]; inside += 1; }
      if (at - reach - 1 >= 0) { sum -= source[start + (at - reach - 1) * step]; inside -= 1; }
      if (at >= 0) target[start + at * step] = sum / inside;
    }
  };
  for (let y = 0; y < height; y += 1) slide(values, across, y * width, 1, width);
  for (let x = 0; x < width; x += 1) slide(across, means, x, width, height);
  return means;
}

function brightest(picture, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  return Float32Array.from({ length: width * height }, (_, at) => Math.max(data[4 * at], data[4 * at + 1], data[4 * at + 2]));
}

/** At most so many {x, y} in pixels of the image, no two nearer than a diameter; the most outstanding first. */
export function brightSpots(picture, size, diameter, most = 60) {
  const zoom = Math.min(ACROSS_PX / diameter, LARGEST_PX / Math.max(size.width, size.height));
  const [width, height] = [size.width, size.height].map((side) => Math.max(1, Math.round(side * zoom)));
  const values = brightest(picture, width, height);
  const cell = diameter * zoom;
  const near = blurred(values, width, height, Math.max(1, Math.round(cell / 4)));
  const around = blurred(values, width, height, Math.max(2, Math.round(cell)));
  const stands = near.map((value, at) => value - around[at]);
  const mean = stands.reduce((sum, value) => sum + value, 0) / stands.length;
  const deviation = Math.sqrt(stands.reduce((sum, value) => sum + (value - mean) ** 2, 0) / stands.length);
  const places = [...stands.keys()].filter((at) => stands[at] > mean + OUTSTANDING * deviation).sort((a, b) => stands[b] - stands[a]);
  const found = [];
  for (const at of places) {
    const spot = { x: ((at % width) + 0.5) / zoom - 0.5, y: (Math.floor(at / width) + 0.5) / zoom - 0.5 };
    if (found.every((one) => Math.hypot(one.x - spot.x, one.y - spot.y) >= diameter)) found.push(spot);
    if (found.length === most) break;
  }
  return found;
}
