// The canvas of the result page: layers, marks, tools and the tip under the pointer.
import { cellAt, corrected } from "./cells.js";
import { byId, toast } from "./dom.js";
import { percent, significant } from "./format.js";
import { Layers } from "./layers.js";
import { paintMarks, paintPointed } from "./marks.js";
import { Measure } from "./measure.js";
import { Polygon } from "./polygon.js";
import { Regions } from "./regions.js";
import { tipContent } from "./readout.js";
import { Toolbar } from "./toolbar.js";
import { Viewer } from "./viewer.js";

const EMPTY = { counted: [], removed: [], added: [], doubtful: [], judged: new Set() };

export class Picture {
  constructor(id, { onAdd, onRemove, onRegions }) {
    Object.assign(this, { onAdd, onRemove });
    this.layers = new Layers(id);
    this.scene = EMPTY;
    this.result = null;
    this.chosen = null;
    /** The doubtful object that a person is judging. */
    this.subject = null;
    this.stage = byId("canvas").parentElement;
    this.toolbar = new Toolbar((change) => this.#changed(change));
    this.viewer = new Viewer(byId("canvas"), {
      paintStill: (context, view) => this.#paintStill(context, view),
      paint: (context, view) => this.#paint(context, view),
      onPick: (point) => this.#pick(point),
      onHover: (point, at) => this.#hover(point, at),
      onMove: (view) => this.#moved(view),
    });
    this.viewer.onDouble = () => this.toolbar.tool === "polygon" && this.polygon.close();
    this.polygon = new Polygon(() => this.#readPolygon());
    this.regions = new Regions(id, { polygon: this.polygon, onChanged: onRegions });
    this.measure = new Measure(() => this.#readPolygon());
    byId("canvas").addEventListener("keydown", (event) => this.#key(event));
    for (const name of ["focus", "blur"]) byId("canvas").addEventListener(name, () => this.#crosshair());
  }

  async open(count) {
    this.viewer.setImageSize(count.width, count.height);
    const image = this.layers.loadImage().catch((error) => {
      if (!count.instrument) throw error;
      this.say(error.message); // it stayed there; outlines and numbers are here
    });
    await Promise.all([image, this.layers.loadOutlines()]);
    this.viewer.redraw();
  }

  async outline(parameters, signal) {
    await this.layers.loadOutlines(parameters ?? {}, signal);
  }

  show(result, corrections, regions) {
    this.result = result;
    this.regions.take(regions);
    const doubtful = result.doubtful ?? [];
    this.scene = { ...corrected(result.cells, corrections, doubtful), doubtful };
    this.chosen = null;
    this.#tip(null);
    this.#readPolygon();
  }

  /** Bring a doubtful object to the middle. */
  choose(cell) {
    this.subject = cell;
    if (!cell) { this.viewer.retouch(); return; }
    this.viewer.show(cell, 8 * cell.equivalent_diameter_px);
    byId("canvas").scrollIntoView({ block: "nearest" });
  }

  cover(text) { byId("viewer-message").textContent = text; }

  say(text) { toast(text, "warn"); }

  #paintStill(context, view) {
    const { on } = this.toolbar;
    this.layers.paint(context, view, on);
    if (this.result) paintMarks(context, view, { ...this.scene, on, regions: this.regions.list, diameter: this.result.cell_diameter_px });
  }

  #paint(context, view) {
    if (this.result) paintPointed(context, view, { ...this.scene, polygon: this.polygon, measure: this.measure, chosen: this.chosen ?? this.subject });
  }

  async #changed(change) {
    if (change.zoom) this.#zoom(change.zoom);
    if (change.display) this.layers.show(change.display);
    byId("probability-legend").hidden = !this.toolbar.on.probability;
    this.stage.dataset.tool = this.toolbar.tool;
    if (this.toolbar.on.probability) {
      try { await this.layers.loadProbability(); } catch (error) { this.say(error.message); }
    }
    this.#readPolygon();
  }

  #zoom(action) {
    if (action === "fit") this.viewer.fit();
    else this.viewer.zoom(action === "in" ? 1.4 : 1 / 1.4);
  }

  #pick(point) {
    if (!this.result) return;
    const tool = this.toolbar.tool;
    if (tool === "polygon") this.polygon.add(point, this.viewer);
    else if (tool === "measure") this.measure.add(point);
    else if (tool === "add") this.#add(point);
    else if (tool === "remove") this.#remove(point);
  }

  #add(point) {
    const { width, height } = this.result;
    if (point.x < 0 || point.y < 0 || point.x > width - 1 || point.y > height - 1) return;
    this.onAdd({ x: Math.round(point.x * 10) / 10, y: Math.round(point.y * 10) / 10 });
  }

  #remove(point) {
    const cell = cellAt(this.scene.counted, point, 4 / this.viewer.scale);
    if (cell) { this.onRemove(cell); return; }
    const reach = Math.max(this.result.cell_diameter_px / 2, 10 / this.viewer.scale);
    const distance = (one) => Math.hypot(one.x - point.x, one.y - point.y);
    const [nearest] = this.scene.added.toSorted((a, b) => distance(a) - distance(b));
    if (nearest && distance(nearest) < reach) this.onRemove({ id: nearest.cell_id, key: nearest.pending ? nearest.key : null });
    else this.say("No counted cell here.");
  }

  #hover(point, at) {
    if (this.toolbar.tool === "polygon") this.polygon.hover(point);
    if (this.toolbar.tool === "measure") this.measure.hover(point);
    if (!point || !this.result) { this.chosen = null; this.#tip(null); this.viewer.retouch(); return; }
    const slack = 3 / this.viewer.scale;
    const counted = cellAt(this.scene.counted, point, slack);
    const other = counted ? null : cellAt(this.scene.doubtful, point, slack) ?? cellAt(this.scene.removed, point, slack);
    this.chosen = counted ?? other;
    this.#tip(this.chosen, at);
    this.viewer.retouch();
  }

  #tip(cell, at) {
    const tip = byId("tip");
    tip.hidden = !cell || !at;
    if (tip.hidden) return;
    const removed = this.scene.removed.includes(cell);
    const note = removed ? `Cell ${cell.id}, removed` : cell.id > this.result.count ? "Doubtful, not counted" : undefined;
    tip.replaceChildren(...tipContent(cell, this.result, note));
    const { width, height } = this.viewer.box;
    const left = at.x + 18 + tip.offsetWidth > width ? at.x - 18 - tip.offsetWidth : at.x + 18;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, Math.min(at.y + 12, height - tip.offsetHeight - 4))}px`;
  }

  #readPolygon() {
    if (this.result) {
      const drawing = this.toolbar.tool === "polygon";
      byId("polygon-panel").hidden = !drawing && !this.polygon.points.length && !this.regions.list.length;
      this.polygon.read(this.scene, this.result, drawing);
      this.regions.show(this.scene, this.result);
      this.measure.read(this.result, this.toolbar.tool === "measure");
    }
    this.viewer.redraw();
  }

  #key(event) {
    if (this.toolbar.tool === "measure" && event.key === "Escape") this.measure.clear();
    if (this.toolbar.tool !== "polygon") return;
    if (event.key === "Escape") this.polygon.clear();
    else if (event.key === "Backspace") { event.preventDefault(); this.polygon.back(); } else if (event.key === "c") this.polygon.close();
  }

  /** Shows where Enter acts, for people who use the keyboard. */
  #crosshair() {
    byId("crosshair").hidden = !byId("canvas").matches(":focus-visible");
  }

  #moved(view) {
    // Words and widths change with the zoom alone: a picture that is only moved costs no layout.
    const shown = `${view.scale} ${this.result?.pixel_size_um}`;
    if (shown === this.measured) return;
    this.measured = shown;
    byId("zoom-value").textContent = percent(view.scale);
    this.#scaleBar(view.scale);
  }

  #scaleBar(scale) {
    const edge = this.result?.pixel_size_um;
    const unit = edge ? 1 / edge : 1;
    const most = 160 / (scale * unit);
    const decade = 10 ** Math.floor(Math.log10(most));
    const length = [5, 2, 1].map((step) => step * decade).find((step) => step <= most);
    const bar = byId("scale-bar");
    bar.hidden = !this.result;
    bar.querySelector("i").style.width = `${length * unit * scale}px`;
    bar.querySelector("span").textContent = `${significant(length)} ${edge ? "µm" : "px"}`;
  }
}
