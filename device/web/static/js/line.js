// A line between two clicks on an image, in its pixels.

const LEAST_PX = 2;

export class Line {
  points = [];
  next = null;

  get length() {
    const [a, b] = this.points;
    return b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
  }

  /** The first click begins a line, the second ends it, the third begins another. */
  add(point) {
    if (this.points.length === 2) this.points = [];
    this.points.push(point);
    if (this.points.length === 2 && this.length < LEAST_PX) this.points.pop();
    this.next = null;
  }

  hover(point) { this.next = this.points.length === 1 ? point : null; }

  clear() {
    this.points = [];
    this.next = null;
  }
}
