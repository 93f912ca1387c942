// The layers below the marks: image, probability, outlines. Each is fetched once and kept as a canvas.
import * as api from "./api.js";

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

/** The same shape in one colour. */
function tinted(source, colour) {
  const canvas = document.createElement("canvas");
  canvas.width = source.width;
  canvas.height = source.height;
  const context = canvas.getContext("2d");
  context.drawImage(source, 0, 0);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = colour;
  context.fillRect(0, 0, canvas.width, canvas.height);
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
    this.outlines = null;
    this.halo = null;
    this.probability = null;
  }

  async loadImage() { this.image = await picture(api.countPath(this.id, "/image.jpg")); }

  /** Those of the automatic count, or of other settings; corrections are drawn over them. */
  async loadOutlines(parameters = {}, signal) {
    const found = await picture(api.countPath(this.id, "/outlines.png"), { corrected: "false", ...parameters }, signal);
    this.halo = tinted(found, "#000000");
    this.outlines = found;
  }

  async loadProbability() {
    this.probability ??= heat(await picture(api.countPath(this.id, "/probability.png")));
  }

  paint(context, view, on, brightness) {
    const frame = [view.left, view.top, view.size.width * view.scale, view.size.height * view.scale];
    context.imageSmoothingEnabled = view.scale < 3;
    context.imageSmoothingQuality = "high";
    if (on.image && this.image) this.#paintImage(context, frame, brightness);
    if (on.probability && this.probability) context.drawImage(this.probability, ...frame);
    if (on.outlines && this.outlines) this.#paintOutlines(context, frame, view.scale);
  }

  /** Brightens by adding the picture to itself. Changes the display only, never the count. */
  #paintImage(context, frame, brightness) {
    context.drawImage(this.image, ...frame);
    context.globalCompositeOperation = "lighter";
    for (let left = brightness - 1; left > 0; left -= 1) {
      context.globalAlpha = Math.min(1, left);
      context.drawImage(this.image, ...frame);
    }
    context.globalAlpha = 1;
    context.globalCompositeOperation = "source-over";
  }

  /** Outlines are one pixel wide in the image and at least two on the screen, with a dark rim to show on bright cells. */
  #paintOutlines(context, [left, top, width, height], scale) {
    if (scale < 1.6) {
      for (const [dx, dy] of [[-1, -1], [1.7, -1], [-1, 1.7], [1.7, 1.7]]) context.drawImage(this.halo, left + dx, top + dy, width, height);
      for (const [dx, dy] of [[0.7, 0], [0, 0.7], [0.7, 0.7]]) context.drawImage(this.outlines, left + dx, top + dy, width, height);
    }
    context.drawImage(this.outlines, left, top, width, height);
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
  layers.paint(canvas.getContext("2d"), view, { image: true, outlines: true }, 1);
}
