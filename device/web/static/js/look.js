// Look at an image before it is counted: a line across a typical cell, or the estimate; circles of that size lie on it.
import * as api from "./api.js";
import { KeepAssay } from "./assay-keep.js";
import { byId, debounce, toast } from "./dom.js";
import { PLAIN, shownAs } from "./display.js";
import { number, percent, plural, significant } from "./format.js";
import { Line } from "./line.js";
import { paintMeasure } from "./marks.js";
import { offerObjectives } from "./objective-choice.js";
import { keepPossible } from "./possible.js";
import { ScaleForm } from "./scale-form.js";
import { brightSpots, smallCopy } from "./spots.js";
import { Viewer } from "./viewer.js";

export const NO_OBJECTIVE = "as the file or the assay says";
/** What is counted with where the field is empty. */
const OTHERWISE = { estimated: "Take the estimate", set: "Take the size of the assay", usual: "Take the size of the model" };
const field = byId("look-diameter");
const say = (text) => { byId("look-message").textContent = text; };

async function pictureOf(look) {
  const letters = atob(look.picture);
  const bytes = new Uint8Array(letters.length);
  for (let at = 0; at < letters.length; at += 1) bytes[at] = letters.charCodeAt(at);
  return createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
}

export class Look {
  constructor() {
    this.line = new Line();
    this.spots = [];
    this.dialog = byId("look");
    this.viewer = new Viewer(byId("look-canvas"), {
      paintStill: (context, view) => this.#paintStill(context, view),
      paint: (context, view) => paintMeasure(context, view, this.line, this.diameter, this.spots),
      onPick: (point) => this.#pick(point),
      onHover: (point) => { this.line.hover(point); this.viewer.retouch(); },
      onMove: (view) => { byId("look-zoom").textContent = percent(view.scale); },
    });
    const found = debounce(120, () => this.#findSpots());
    field.addEventListener("input", () => { this.line.clear(); this.#read(); found(); });
    field.addEventListener("change", () => { this.#read(); found(); });
    this.#listen();
    keepPossible(byId("look-size"), (text) => { byId("look-note").textContent = text; });
  }

  #listen() {
    byId("look-count").addEventListener("click", () => this.#count());
    byId("look-estimate").addEventListener("click", () => this.#forget());
    byId("look-next").addEventListener("click", () => this.#show((this.at + 1) % this.files.length));
    byId("look-cancel").addEventListener("click", () => this.dialog.close());
    byId("look-brightness").addEventListener("input", () => this.#brighten());
    this.dialog.addEventListener("close", () => this.#closed());
    byId("look-scale").addEventListener("toggle", () => this.#forget());
    byId("look-channel").addEventListener("change", () => this.#otherChannel());
    this.keeping = new KeepAssay({
      options: () => ({ ...this.options, cell_diameter_px: field.value }),
      onKept: (name) => this.#kept(name),
    });
    this.scale = new ScaleForm("look-scale", {
      line: () => this.line.length,
      assay: () => this.options.assay,
      say: (text) => { byId("look-scale-note").textContent = text; },
      onSaved: (name) => this.#sized(name),
    });
    for (const button of this.dialog.querySelectorAll("[data-zoom]")) {
      const factor = { in: 1.4, out: 1 / 1.4 }[button.dataset.zoom];
      button.addEventListener("click", () => (factor ? this.viewer.zoom(factor) : this.viewer.fit()));
    }
    const canvas = byId("look-canvas");
    for (const name of ["focus", "blur"]) canvas.addEventListener(name, () => { byId("look-crosshair").hidden = !canvas.matches(":focus-visible"); });
  }

  /** The first of the files; onAgreed(options) is called with the settings that all of them are to be counted with. */
  open(files, options, onAgreed) {
    if (this.dialog.open) { byId("look-note").textContent = "Count or cancel these images before you choose others."; return; }
    Object.assign(this, { files, options, onAgreed, agreed: false });
    byId("look-note").textContent = "";
    field.value = options.cell_diameter_px;
    byId("look-channel").value = options.channel;
    this.line.clear();
    byId("look-next").hidden = files.length < 2;
    byId("look-count").textContent = `Count ${plural(files.length, "image")}`;
    this.dialog.showModal();
    this.#show(0);
  }

  get diameter() {
    if (!this.picture) return null;
    return field.value && field.checkValidity() ? Number(field.value) : this.seen.cell_diameter_px;
  }

  async #show(at) {
    const file = this.files[at];
    this.asking?.abort();
    const asking = new AbortController();
    Object.assign(this, { at, asking, seen: null, picture: null, shown: null, spots: [] });
    this.line.clear();
    delete this.dialog.dataset.circles;
    byId("look-name").textContent = file.webkitRelativePath || file.name;
    say("Reading the image");
    this.#read();
    this.viewer.redraw();
    const form = new FormData();
    form.append("image", file, file.name);
    // Without the size that is typed: the answer tells what is counted with if it is taken away.
    for (const [name, value] of Object.entries(this.options)) if (value && name !== "cell_diameter_px") form.append(name, value);
    try {
      const seen = await api.sendForm("/looks", form, asking.signal);
      const picture = await pictureOf(seen);
      if (asking.signal.aborted) return;
      Object.assign(this, { seen, picture, small: smallCopy(picture) });
      say("");
      this.viewer.setImageSize(seen.width, seen.height);
      this.#brighten();
      this.#findSpots();
    } catch (error) {
      if (error.name !== "AbortError") say(error.message);
    }
    this.#read();
  }

  #brighten() {
    if (!this.picture) return;
    this.shown = shownAs(this.picture, { ...PLAIN, brightness: Number(byId("look-brightness").value) });
    this.viewer.redraw();
  }

  #findSpots() {
    if (!this.picture) return;
    this.spots = brightSpots(this.small, this.viewer.size, this.diameter);
    this.dialog.dataset.circles = this.spots.length;
    this.viewer.redraw();
  }

  #pick(point) {
    if (!this.picture) return;
    this.line.add(point);
    if (byId("look-scale").open) { this.viewer.redraw(); return; }
    if (this.line.length) field.value = Math.round(this.line.length * 10) / 10;
    this.#read();
    this.#findSpots();
  }

  /** The images are taken with the objective that was just measured. */
  async #sized(name) {
    if (name) {
      await offerObjectives("objective", NO_OBJECTIVE);
      const held = [...byId("objective").options].find((one) => one.value.toLowerCase() === name.toLowerCase());
      byId("objective").value = held?.value ?? "";
      this.options = { ...this.options, objective: byId("objective").value };
    }
    this.#show(this.at);
  }

  /** The picture of that channel; it is the choice for all of the images. */
  #otherChannel() {
    const channel = byId("look-channel").value.trim();
    byId("channel").value = channel;
    this.options = { ...this.options, channel };
    this.#show(this.at);
  }

  /** The images are counted with the assay that was just saved; its size stands in it and not in the field. */
  #kept(name) {
    this.options = { ...this.options, assay: name };
    field.value = "";
    this.#show(this.at);
  }

  #forget() {
    this.line.clear();
    field.value = "";
    this.#read();
    this.#findSpots();
  }

  /** What is counted with, in words. */
  #read() {
    const { seen } = this;
    this.dialog.querySelector(".zoom").hidden = !this.picture;
    byId("look-estimate").disabled = !seen || !field.value;
    byId("look-estimate").textContent = OTHERWISE[seen?.cell_diameter_from] ?? OTHERWISE.estimated;
    byId("look-notes").textContent = seen ? [this.#words(), ...seen.notes, field.value ? "" : seen.missing].filter(Boolean).join(" ") : "";
    byId("look-reading").textContent = seen ? this.#size(this.diameter) : "";
    byId("look-from").textContent = seen ? this.#from() : "";
  }

  #size(diameter) {
    const um = this.seen.pixel_size_um ? `, ${significant(diameter * this.seen.pixel_size_um)} µm` : "";
    return `${number(diameter, 1)} px${um}`;
  }

  #from() {
    const { cell_diameter_from: from, cell_diameter_range_px: range } = this.seen;
    if (field.value) return this.line.length ? "Your line. All images that you chose are counted with it." : "As typed. All images that you chose are counted with it.";
    if (from === "set") return `As the assay ${this.options.assay} says.`;
    if (from === "estimated") return `Estimated, ${number(range[0])} to ${number(range[1])} px; each image gets its own estimate.`;
    return "Nothing in this image tells the size: this is the model's usual one. Draw a line across a typical cell.";
  }

  #words() {
    const { seen } = this;
    const edge = seen.pixel_size_um;
    const whose = seen.pixel_size_from;
    const from = ["objective", "assay"].includes(whose) ? `the ${whose} ${this.options[whose]}` : "the file";
    return [
      `${number(seen.width)} × ${number(seen.height)} px.`,
      edge ? `${significant(edge)} µm per pixel, says ${from}.` : "The size of a pixel is not known.",
      seen.channel && `Channel ${seen.channel}.`, seen.plane && `Plane: ${seen.plane}.`,
    ].filter(Boolean).join(" ");
  }

  #paintStill(context, view) {
    if (!this.shown) return;
    context.imageSmoothingEnabled = view.scale < 3;
    context.drawImage(this.shown, view.left, view.top, view.size.width * view.scale, view.size.height * view.scale);
  }

  #count() {
    this.agreed = true;
    this.dialog.close();
    this.onAgreed({ ...this.options, cell_diameter_px: field.value });
  }

  #closed() {
    this.asking?.abort();
    this.picture = null;
    this.shown = null;
    for (const name of ["look-scale", "look-keep"]) {
      byId(name).open = false;
      byId(`${name}-note`).textContent = "";
    }
    if (!this.agreed) toast("Nothing was uploaded.", "warn");
  }
}
