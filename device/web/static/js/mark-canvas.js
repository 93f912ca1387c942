// An image to mark cells on: a click adds a mark, a click on a mark takes it away. Zoom and pan as in the viewer.
import { Viewer } from "./viewer.js";

const REACH_PX = 12;
const BLACK = "rgb(0 0 0 / 80%)";

export class MarkCanvas {
  /** colour(mark) and label(mark) say how a mark is drawn; onChange() is called after each click. */
  constructor(canvas, { colour, label = () => "", onChange }) {
    Object.assign(this, { colour, label, onChange, marks: [], picture: null, brightness: 1, last: [], frozen: false });
    this.viewer = new Viewer(canvas, { paintStill: (context, view) => this.#paint(context, view), paint() {}, onPick: (point) => this.pick(point), onHover() {}, onMove() {} });
  }

  async show(address, { width, height }, marks) {
    this.picture = null;
    this.marks = marks;
    this.last = [];
    this.size = { width, height };
    const image = new Image();
    image.src = address;
    await image.decode();
    this.picture = image;
    this.frozen = false;
    this.viewer.setImageSize(width, height);
  }

  pick(point) {
    const { width, height } = this.size ?? {};
    if (!this.picture || this.frozen || point.x < -0.5 || point.y < -0.5 || point.x >= width - 0.5 || point.y >= height - 0.5) return;
    const reach = REACH_PX / this.viewer.scale;
    const near = this.marks.filter((mark) => Math.hypot(mark.x - point.x, mark.y - point.y) < reach)
      .toSorted((a, b) => Math.hypot(a.x - point.x, a.y - point.y) - Math.hypot(b.x - point.x, b.y - point.y))[0];
    this.last.push(this.marks);
    this.marks = near ? this.toggled(near) : [...this.marks, { x: point.x, y: point.y }];
    this.#changed();
  }

  /** What a click on a mark does: it goes. */
  toggled(mark) { return this.marks.filter((one) => one !== mark); }

  undo() {
    if (!this.last.length || this.frozen) return;
    this.marks = this.last.pop();
    this.#changed();
  }

  setBrightness(value) { this.brightness = value; this.viewer.redraw(); }

  #changed() { this.viewer.redraw(); this.onChange(); }

  #paint(context, view) {
    if (!this.picture) return;
    const frame = [view.left, view.top, view.size.width * view.scale, view.size.height * view.scale];
    context.imageSmoothingEnabled = view.scale < 3;
    context.filter = this.brightness === 1 ? "none" : `brightness(${this.brightness})`;
    context.drawImage(this.picture, ...frame);
    context.filter = "none";
    for (const mark of this.marks) this.#mark(context, view.toScreen(mark), mark);
  }

  #mark(context, at, mark) {
    for (const [width, colour] of [[5, BLACK], [2, this.colour(mark)]]) {
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.beginPath();
      context.arc(at.x, at.y, 8, 0, 2 * Math.PI);
      context.moveTo(at.x - 3, at.y);
      context.lineTo(at.x + 3, at.y);
      context.moveTo(at.x, at.y - 3);
      context.lineTo(at.x, at.y + 3);
      context.stroke();
    }
    const text = this.label(mark);
    if (!text) return;
    context.font = "600 12px system-ui, sans-serif";
    context.lineWidth = 3;
    context.strokeStyle = BLACK;
    context.fillStyle = this.colour(mark);
    context.strokeText(text, at.x + 11, at.y + 4);
    context.fillText(text, at.x + 11, at.y + 4);
  }
}
