// The layers below the marks: image, probability, outlines. Each is fetched once and kept as a canvas.
import * as api from "./api.js";
import { PLAIN, shownAs } from "./display.js";
import { Outlines } from "./outlines.js";

async function picture(path, parameters, signal) {
  const { blob } = await api.blob(path, { parameters, signal });
  const bitmap = await createImageBitmap(blob);
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d", { willReadFrequently: false }).drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas;
}

/** Colours the probability: transparent at 0, violet at 0.2, red at 0.5, pale yellow at 1. */
function heat(source) {
  const context = source.getContext("2d");
  const data = context.getImageData(0, 0, source.width, source.height);
  const bytes = data.data;
  for (let at = 0; at < bytes.length; at += 4) {
    const p = bytes[at] / 255;
    bytes[at] = 255 * Math.min(1, 0.3 + 1.4 * p);
    bytes[at + 1] = 255 * Math.max(0, 1.9 * p - 0.8);
    bytes[at + 2] = 255 * Math.max(0, 0.75 - 1.1 * p, 2 * p - 1.5);
    bytes[at + 3] = 255 * Math.min(0.85, 2.2 * p);
  }
  context.putImageData(data, 0, 0);
  return source;
}

export class Layers {
  constructor(id) {
    this.id = id;
    this.image = null;
    this.display = PLAIN;
    this.outlines = null;
    this.probability = null;
  }

  async loadImage() {
    this.image = await picture(api.countPath(this.id, "/image.jpg"));
    this.show(this.display);
  }

  /** Brightness, contrast and channel of the picture on the screen. */
  show(display) {
    this.display = display;
    this.shown = this.image && shownAs(this.image, display);
  }

  /** Those of the automatic count, or of other settings; corrections are drawn over them. */
  async loadOutlines(parameters = {}, signal) {
    this.outlines = new Outlines(await picture(api.countPath(this.id, "/outlines.png"), { corrected: "false", ...parameters }, signal));
  }

  async loadProbability() {
    this.probability ??= heat(await picture(api.countPath(this.id, "/probability.png")));
  }

  paint(context, view, on) {
    const frame = [view.left, view.top, view.size.width * view.scale, view.size.height * view.scale];
    context.imageSmoothingEnabled = view.scale < 3;
    // "high" makes a smaller copy of the whole picture in every frame; at 1:2 and above it looks the same.
    context.imageSmoothingQuality = view.scale < 0.5 ? "medium" : "low";
    if (on.image && this.shown) context.drawImage(this.shown, ...frame);
    if (on.probability && this.probability) context.drawImage(this.probability, ...frame);
    if (on.outlines && this.outlines) context.drawImage(this.outlines.at(view.scale), ...frame);
  }
}

const SMALL_PX = 760;

/** The picture with outlines at least two screen pixels wide, even when shown small; corrections by hand included. */
export async function drawSmall(canvas, count) {
  const layers = new Layers(count.id);
  await Promise.all([layers.loadImage(), layers.loadOutlines({ corrected: "true" })]);
  const scale = Math.min(1, SMALL_PX / count.width);
  canvas.width = count.width * scale;
  canvas.height = count.height * scale;
  const view = { left: 0, top: 0, scale, size: { width: count.width, height: count.height } };
  layers.paint(canvas.getContext("2d"), view, { image: true, outlines: true });
}
