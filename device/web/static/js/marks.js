// What is drawn over the pictures: numbers, added and removed cells, doubtful objects, the polygon, the cell under the pointer.

const ADDED = "#6fdc9f";
const REMOVED = "#ff7a70";
const DOUBTFUL = "#efbb52";
const CHOSEN = "#ffffff";
const REGION = "#74b9ec";

/** One stroke for all that `draw` adds: eighty dashed rings one by one took a quarter of a frame. */
function rimmed(context, width, colour, draw) {
  context.beginPath();
  draw();
  context.lineWidth = width + 2;
  context.strokeStyle = "rgb(0 0 0 / 80%)";
  context.stroke();
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke();
}

function boxOf(view, [x0, y0, x1, y1], slack) {
  const start = view.toScreen({ x: x0 - 0.5, y: y0 - 0.5 });
  const end = view.toScreen({ x: x1 - 0.5, y: y1 - 0.5 });
  return { x: start.x - slack, y: start.y - slack, width: end.x - start.x + 2 * slack, height: end.y - start.y + 2 * slack };
}

function ring(context, view, cell) {
  const box = boxOf(view, cell.bbox, 4);
  context.moveTo(box.x + box.width, box.y + box.height / 2);
  context.ellipse(box.x + box.width / 2, box.y + box.height / 2, box.width / 2, box.height / 2, 0, 0, 2 * Math.PI);
}

/** Four corners around a cell, like the frame of a viewfinder. */
function corners(context, view, cell) {
  const { x, y, width, height } = boxOf(view, cell.bbox, 6);
  const arm = Math.min(12, width / 3, height / 3);
  for (const [cx, cy, sx, sy] of [[x, y, 1, 1], [x + width, y, -1, 1], [x, y + height, 1, -1], [x + width, y + height, -1, -1]]) {
    context.moveTo(cx + sx * arm, cy);
    context.lineTo(cx, cy);
    context.lineTo(cx, cy + sy * arm);
  }
}

function paintNumbers(context, view, cells) {
  context.font = "600 12px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 3;
  context.strokeStyle = "rgb(0 0 0 / 85%)";
  context.fillStyle = "#ffffff";
  for (const cell of cells) {
    const at = view.toScreen(cell);
    if (at.x < -20 || at.y < -20 || at.x > view.box.width + 20 || at.y > view.box.height + 20) continue;
    context.strokeText(cell.id, at.x, at.y);
    context.fillText(cell.id, at.x, at.y);
  }
}

function paintAdded(context, view, added, diameter) {
  const radius = Math.max(8, (diameter * view.scale) / 2);
  rimmed(context, 2, ADDED, () => {
    for (const one of added) {
      const at = view.toScreen(one);
      context.moveTo(at.x + radius, at.y);
      context.arc(at.x, at.y, radius, 0, 2 * Math.PI);
      context.moveTo(at.x - 5, at.y);
      context.lineTo(at.x + 5, at.y);
      context.moveTo(at.x, at.y - 5);
      context.lineTo(at.x, at.y + 5);
    }
  });
}

function paintRemoved(context, view, removed) {
  rimmed(context, 2.5, REMOVED, () => {
    for (const cell of removed) {
      const at = view.toScreen(cell);
      context.moveTo(at.x - 7, at.y - 7);
      context.lineTo(at.x + 7, at.y + 7);
      context.moveTo(at.x + 7, at.y - 7);
      context.lineTo(at.x - 7, at.y + 7);
    }
  });
}

function paintRegions(context, view, regions) {
  for (const { corners: points, name } of regions) {
    const places = points.map((point) => view.toScreen(point));
    rimmed(context, 1.5, REGION, () => {
      places.forEach(({ x, y }, at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.closePath();
    });
    const top = places.reduce((a, b) => (b.y < a.y ? b : a));
    context.font = "600 13px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "top";
    context.lineWidth = 3;
    context.strokeStyle = "rgb(0 0 0 / 85%)";
    context.fillStyle = REGION;
    context.strokeText(name, top.x, top.y + 4);
    context.fillText(name, top.x, top.y + 4);
  }
}

function paintPolygon(context, view, { points, closed, next }) {
  if (!points.length) return;
  const trail = closed || !next ? points : [...points, next];
  const path = () => {
    trail.forEach((point, at) => {
      const { x, y } = view.toScreen(point);
      if (at) context.lineTo(x, y);
      else context.moveTo(x, y);
    });
    if (closed) context.closePath();
  };
  if (closed) {
    context.beginPath();
    path();
    context.fillStyle = "rgb(255 255 255 / 8%)";
    context.fill();
  }
  rimmed(context, 1.5, CHOSEN, path);
  for (const point of points) {
    const { x, y } = view.toScreen(point);
    context.fillStyle = CHOSEN;
    context.fillRect(x - 3, y - 3, 6, 6);
  }
}

function paintLine(context, view, { points, next }) {
  const ends = next ? [points[0], next] : points;
  if (!ends.length) return;
  const [a, b] = ends.map((point) => view.toScreen(point));
  rimmed(context, 2, CHOSEN, () => {
    for (const end of b ? [a, b] : [a]) {
      context.moveTo(end.x + 4, end.y);
      context.arc(end.x, end.y, 4, 0, 2 * Math.PI);
    }
    if (b) { context.moveTo(a.x, a.y); context.lineTo(b.x, b.y); }
  });
}

/** The line that is drawn, and circles of a diameter on the cells where there is one. */
export function paintMeasure(context, view, line, diameter, cells) {
  paintLine(context, view, line);
  if (!diameter) return;
  rimmed(context, 1.5, CHOSEN, () => {
    for (const cell of cells) {
      const at = view.toScreen(cell);
      const radius = (diameter * view.scale) / 2;
      context.moveTo(at.x + radius, at.y);
      context.arc(at.x, at.y, radius, 0, 2 * Math.PI);
    }
  });
}

/** What belongs to the image. scene: {counted, removed, added, doubtful, regions, diameter, on: {numbers, doubtful}} */
export function paintMarks(context, view, scene) {
  if (scene.on.doubtful) {
    context.setLineDash([5, 4]);
    rimmed(context, 1.5, DOUBTFUL, () => { for (const cell of scene.doubtful) ring(context, view, cell); });
    context.setLineDash([]);
  }
  paintRegions(context, view, scene.regions);
  paintRemoved(context, view, scene.removed);
  paintAdded(context, view, scene.added, scene.diameter);
  if (scene.on.numbers) paintNumbers(context, view, scene.counted);
}

/** What follows the pointer. scene: {counted, added, chosen, polygon, measure} */
export function paintPointed(context, view, scene) {
  paintPolygon(context, view, scene.polygon);
  paintMeasure(context, view, scene.measure, scene.measure.diameter, [...scene.counted, ...scene.added]);
  if (scene.chosen) rimmed(context, 2, CHOSEN, () => corners(context, view, scene.chosen));
}
