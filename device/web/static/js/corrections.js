// Cells added and removed by hand: a log of who and when. A click is drawn at once; a queue sends the clicks in order.
import * as api from "./api.js";
import { byId, element, memory, toast } from "./dom.js";
import { moment, person, plural } from "./format.js";
import { CorrectionQueue } from "./correction-queue.js";
import { again, withPending } from "./correction-log.js";

const VERBS = { add: "added cell", remove: "removed cell", confirm: "confirmed object" };

export class Corrections {
  /** onChanged({corrected_count, corrections}) after each click and each answer. */
  constructor(id, onChanged) {
    this.onChanged = onChanged;
    this.log = [];
    this.redoable = [];
    this.who = byId("who");
    // Whoever is logged in under a name corrects under it.
    if (!this.who.readOnly) this.who.value = memory.read("who");
    this.who.addEventListener("change", () => memory.write("who", this.who.value.trim()));
    this.queue = new CorrectionQueue(id, {
      send: (item) => this.#post(id, item),
      onChange: () => this.#changed(),
      onRefused: (item, error) => { toast(error.message, "fault"); this.#changed(); },
    });
    byId("undo").addEventListener("click", () => this.undo());
    byId("redo").addEventListener("click", () => this.redo());
    byId("corrections-again").addEventListener("click", () => this.queue.hurry());
    document.addEventListener("keydown", (event) => this.#key(event));
    window.addEventListener("beforeunload", (event) => { if (this.queue.pending.length) event.preventDefault(); });
  }

  /** A count that was read from the instrument: clicks that are still on their way lie on top of it. */
  take(count) {
    const first = !this.count;
    this.count = count;
    this.log = count.corrections ?? [];
    if (first) this.queue.begin();
  }

  /** The log as a person sees it: with the clicks that the instrument does not know yet. */
  get shown() { return withPending(this.log, this.queue.pending, this.count); }

  show() {
    const shown = this.shown;
    byId("corrections").hidden = false;
    byId("undo").disabled = !shown.some((one) => !one.undone);
    byId("redo").disabled = !this.redoable.length;
    byId("correction-list").replaceChildren(...this.queue.refused.map((one) => this.#refusal(one)), ...shown.toReversed().map(line));
    const { pending, trouble } = this.queue;
    const region = byId("corrections-state");
    region.hidden = !pending.length;
    region.dataset.level = trouble ? "warn" : "busy";
    byId("corrections-state-text").textContent = trouble
      ? `${plural(pending.length, "correction is", "corrections are")} not saved yet. ${trouble} It will be tried again.`
      : `Saving ${plural(pending.length, "correction")}`;
    byId("corrections-again").hidden = !trouble;
  }

  #refusal({ item, error }) {
    return element("li", { "data-level": "fault", class: "refused" },
      element("span", {}, `Not saved: ${error.message}`),
      element("button", { class: "link", type: "button", onclick: () => this.queue.forget(item) }, "dismiss"));
  }

  add(point) { this.#say({ action: "add", x: point.x, y: point.y }); }

  remove(cell) {
    if (cell.key) this.#withdraw(cell.key);
    else this.#say({ action: "remove", cell_id: cell.id });
  }

  judge(cell, isCell) { this.#say({ action: isCell ? "accept" : "reject", cell_id: cell.id }); }

  #say(body, { redo = false } = {}) {
    if (!redo) this.redoable = [];
    const who = this.who.value.trim();
    // A number means a cell of this labelling only, however late the click arrives.
    const seen = "cell_id" in body ? { revision: this.count.revision } : {};
    this.queue.push({ ...body, ...seen, ...(who ? { who } : {}) });
  }

  /** A click whose answer is not there yet: taken out of the queue, or undone as soon as it is saved. */
  #withdraw(key) {
    if (!this.queue.take(key)) toast("This cell is being saved; try again in a moment.", "warn");
  }

  undo() {
    const last = this.shown.findLast((one) => !one.undone);
    if (!last) return;
    this.redoable.push(again(last, this.count));
    if (!(last.key && this.queue.take(last.key))) this.#say({ action: "undo" }, { redo: true });
    this.#changed();
  }

  redo() {
    const body = this.redoable.pop();
    if (body) this.#say(body, { redo: true });
  }

  /** Ctrl+Z and Ctrl+Y, but in a text they belong to the text. */
  #key(event) {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.target.closest("input:not([type=range], [type=checkbox]), textarea, dialog")) return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) this.redo();
    else this.undo();
  }

  async #post(id, item) {
    if (item.body.action === "undo" && !item.body.correction_id) {
      const last = this.log.findLast((one) => !one.undone);
      // Nothing left to undo: the correction before was refused.
      if (!last) return;
      item.body.correction_id = last.id;
    }
    const answer = await api.post(api.countPath(id, "/corrections"), item.body, item.key);
    this.log = answer.corrections;
  }

  #changed() {
    const shown = this.shown;
    const held = shown.filter((one) => !one.undone);
    const adds = held.filter((one) => one.action === "add").length;
    const removes = held.filter((one) => one.action === "remove").length;
    this.onChanged({ corrected_count: this.count.count + adds - removes, corrections: shown });
  }
}

function line(one) {
  const said = `${person(one.who)} ${VERBS[one.action]} ${one.cell_id ?? ""}`;
  const when = one.pending ? "being saved" : one.undone ? `undone by ${one.undone_by || "unknown"} ${moment(one.undone_when)}` : moment(one.when);
  return element("li", { "data-undone": one.undone, "data-pending": one.pending }, element("span", {}, said), element("small", {}, when));
}
