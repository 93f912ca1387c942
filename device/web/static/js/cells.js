// Find the cell under the pointer and the cells inside a polygon.

/** The cell at an image point: of the boxes that contain the point, the nearest centre relative to its size. */
export function cellAt(cells, point, slackPx) {
  let best = null;
  let least = Infinity;
  for (const cell of cells) {
    const [x0, y0, x1, y1] = cell.bbox;
    const inside = point.x >= x0 - slackPx && point.x <= x1 - 1 + slackPx && point.y >= y0 - slackPx && point.y <= y1 - 1 + slackPx;
    if (!inside) continue;
    const distance = Math.hypot(cell.x - point.x, cell.y - point.y) / Math.max(1, cell.equivalent_diameter_px);
    if (distance < least) { least = distance; best = cell; }
  }
  return best;
}

/** Even-odd rule; a point exactly on an edge may fall either way. */
export function inside(polygon, point) {
  let odd = false;
  for (let at = 0, before = polygon.length - 1; at < polygon.length; before = at, at += 1) {
    const [a, b] = [polygon[at], polygon[before]];
    const crosses = (a.y > point.y) !== (b.y > point.y);
    if (crosses && point.x < ((b.x - a.x) * (point.y - a.y)) / (b.y - a.y) + a.x) odd = !odd;
  }
  return odd;
}

/** Area in square pixels, the shoelace formula. */
export function area(polygon) {
  let twice = 0;
  polygon.forEach((a, at) => {
    const b = polygon[(at + 1) % polygon.length];
    twice += a.x * b.y - b.x * a.y;
  });
  return Math.abs(twice) / 2;
}

const side = (a, b, p) => (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x);
const apart = (a, b, c, d, axis) => Math.max(a[axis], b[axis]) < Math.min(c[axis], d[axis]) || Math.max(c[axis], d[axis]) < Math.min(a[axis], b[axis]);

/** True if two sides that are no neighbours meet: area and inside would contradict each other. */
export function crossesItself(polygon) {
  const points = polygon.filter((a, at) => { const b = polygon[(at + 1) % polygon.length]; return a.x !== b.x || a.y !== b.y; });
  const last = points.length - 1;
  for (let first = 0; first < last; first += 1) {
    for (let second = first + 2; second <= last; second += 1) {
      if (first === 0 && second === last) continue;
      const [a, b, c, d] = [points[first], points[first + 1], points[second], points[(second + 1) % points.length]];
      if (apart(a, b, c, d, "x") || apart(a, b, c, d, "y")) continue;
      if (side(a, b, c) * side(a, b, d) <= 0 && side(c, d, a) * side(c, d, b) <= 0) return true;
    }
  }
  return false;
}

export const holding = (corrections) => (corrections ?? []).filter((correction) => !correction.undone);

/** The cells after the corrections by hand: {counted, removed, added}; an accepted doubtful object has its measures. */
export function corrected(cells, corrections, doubtful = []) {
  const held = holding(corrections);
  const gone = new Set(held.filter((one) => one.action === "remove").map((one) => one.cell_id));
  const known = new Map(doubtful.map((cell) => [cell.id, cell]));
  return {
    counted: cells.filter((cell) => !gone.has(cell.id)),
    removed: cells.filter((cell) => gone.has(cell.id)),
    added: held.filter((one) => one.action === "add").map((one) => ({ ...one, ...known.get(one.cell_id) })),
    judged: new Set(held.map((one) => one.cell_id)),
  };
}
