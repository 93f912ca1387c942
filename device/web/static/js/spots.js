// Where something of a size stands out of a picture: only places to show a circle on, never a count.

const ACROSS_PX = 6; // a cell in the small copy: enough to tell its middle
const LARGEST_PX = 1600; // side of the small copy
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

function copyOf(picture, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, width, height);
  return canvas;
}

/** A copy that is small enough to be looked through while somebody types; made once, as it takes a second of 50 megapixels. */
export function smallCopy(picture) {
  const zoom = Math.min(1, LARGEST_PX / Math.max(picture.width, picture.height));
  return copyOf(picture, Math.max(1, Math.round(picture.width * zoom)), Math.max(1, Math.round(picture.height * zoom)));
}

function brightest(small, width, height) {
  const { data } = copyOf(small, width, height).getContext("2d").getImageData(0, 0, width, height);
  const values = new Float32Array(width * height);
  for (let at = 0; at < values.length; at += 1) values[at] = Math.max(data[4 * at], data[4 * at + 1], data[4 * at + 2]);
  return values;
}

/** By how much each pixel's surroundings of a cell's size outshine what lies around them. */
function outstanding(values, width, height, cell) {
  const near = blurred(values, width, height, Math.max(1, Math.round(cell / 4)));
  const around = blurred(values, width, height, Math.max(2, Math.round(cell)));
  for (let at = 0; at < near.length; at += 1) near[at] -= around[at];
  return near;
}

/** The places above the usual, the most outstanding first. */
function candidates(stands) {
  let sum = 0;
  let squares = 0;
  for (const value of stands) { sum += value; squares += value * value; }
  const mean = sum / stands.length;
  const least = mean + OUTSTANDING * Math.sqrt(Math.max(0, squares / stands.length - mean * mean));
  const places = [];
  for (let at = 0; at < stands.length; at += 1) if (stands[at] > least) places.push(at);
  return places.sort((a, b) => stands[b] - stands[a]);
}

/** At most so many {x, y} in pixels of the image, no two nearer than a diameter; `small` is a smallCopy of it. */
export function brightSpots(small, size, diameter, most = 60) {
  const zoom = Math.min(ACROSS_PX / diameter, Math.max(small.width, small.height) / Math.max(size.width, size.height));
  const [width, height] = [size.width, size.height].map((side) => Math.max(1, Math.round(side * zoom)));
  const stands = outstanding(brightest(small, width, height), width, height, diameter * zoom);
  const found = [];
  for (const at of candidates(stands)) {
    const spot = { x: ((at % width) + 0.5) / zoom - 0.5, y: (Math.floor(at / width) + 0.5) / zoom - 0.5 };
    if (found.every((one) => Math.hypot(one.x - spot.x, one.y - spot.y) >= diameter)) found.push(spot);
    if (found.length === most) break;
  }
  return found;
}
