// Looking at one image after the other: neighbours of the list, the next doubtful object, a mark that somebody looked.
import * as api from "./api.js";
import { announce, byId, memory, toast } from "./dom.js";
import { moment, number } from "./format.js";
import { holding } from "./cells.js";
import { questionOf } from "./history-filter.js";
import { countPage, linkTo } from "./root.js";

export class Review {
  /** judge(cell, isCell) stores what a person says about an object. */
  constructor(id, { picture, judge }) {
    Object.assign(this, { id, picture, judge });
    this.count = null;
    this.links = { previous: byId("previous-image"), next: byId("next-image") };
    this.mark = byId("reviewed");
    this.mark.addEventListener("click", () => this.#setReviewed(!this.count?.reviewed));
    byId("next-doubtful").addEventListener("click", () => this.#next());
    byId("show-keys").addEventListener("click", () => byId("keys").showModal());
    document.addEventListener("keydown", (event) => this.#key(event));
    this.#findNeighbours();
  }

  show(count) {
    this.count = count;
    const judged = new Set(holding(count.corrections).map((one) => one.cell_id));
    this.open = (count.doubtful ?? []).filter((cell) => !judged.has(cell.id));
    byId("next-doubtful").disabled = !this.open.length;
    byId("next-doubtful").textContent = this.open.length ? `Next doubtful (${number(this.open.length)})` : "No doubtful left";
    this.mark.disabled = false;
    this.mark.setAttribute("aria-pressed", String(Boolean(count.reviewed)));
    byId("reviewed-note").textContent = count.reviewed ? `Reviewed by ${count.reviewed_by}, ${moment(count.reviewed)}` : "";
  }

  async #findNeighbours() {
    const query = Object.fromEntries(new URLSearchParams(location.search));
    try {
      const found = await api.get(api.countPath(this.id, "/neighbours"), { ...questionOf(query), order: query.order });
      for (const [side, link] of Object.entries(this.links)) {
        link.toggleAttribute("aria-disabled", !found[side]);
        if (found[side]) link.href = countPage(found[side].id, location.search);
        if (found[side]) link.title = `${found[side].sample || found[side].image} (${side === "next" ? "]" : "["})`;
      }
      byId("review-list").href = linkTo(`/history${location.search}`);
    } catch { /* the count itself says why it cannot be shown */ }
  }

  #go(side) {
    const link = this.links[side];
    if (link.href) location.assign(link.href);
    else toast(side === "next" ? "This is the last image of the list." : "This is the first image of the list.", "warn");
  }

  /** The next object after the present one that is not judged yet, at the end the first again. */
  #next() {
    if (!this.open?.length) {
      this.picture.choose(null);
      announce("No doubtful objects left.");
      toast("No doubtful objects left. M marks this image as reviewed.");
      return;
    }
    const at = this.picture.subject?.id ?? -1;
    const cell = this.open.find((one) => one.id > at) ?? this.open[0];
    this.picture.choose(cell);
    announce(`${cell.id > this.count.count ? "Not counted" : `Cell ${cell.id}`}, ${number(100 * cell.probability)} percent likely a cell. Y: a cell, N: no cell.`);
  }

  /** The corrections are drawn at once, so the object is no longer among the open ones. */
  #say(isCell) {
    const { subject } = this.picture;
    if (!subject) { if (!isCell) this.#next(); return; }
    if (this.open.some((one) => one.id === subject.id)) this.judge(subject, isCell);
    this.#next();
  }

  async #setReviewed(reviewed) {
    if (!this.count) return;
    const who = memory.read("who");
    try {
      const answer = await api.patch(api.countPath(this.id), { reviewed, ...(who && { who }) });
      this.show({ ...this.count, reviewed: answer.reviewed, reviewed_by: answer.reviewed_by });
      announce(reviewed ? "marked as reviewed" : "no longer marked as reviewed");
    } catch (error) {
      toast(error.message, "fault");
    }
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=range], [type=checkbox]), textarea, select, dialog")) return;
    const actions = {
      n: () => this.#say(false), y: () => this.#say(true), m: () => this.#setReviewed(!this.count?.reviewed),
      "]": () => this.#go("next"), "[": () => this.#go("previous"), PageDown: () => this.#go("next"), PageUp: () => this.#go("previous"),
      "?": () => byId("keys").showModal(), Escape: () => this.picture.choose(null),
    };
    const action = actions[event.key] ?? actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  }
}
