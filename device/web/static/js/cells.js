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
