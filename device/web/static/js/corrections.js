// Cells added and removed by hand: a log of who and when. Undo reverts the last correction.
import * as api from "./api.js";
import { byId, element, memory, toast } from "./dom.js";
import { moment } from "./format.js";

const VERBS = { add: "added cell", remove: "removed cell" };

export class Corrections {
  /** onChanged({corrected_count, corrections}) after each. */
  constructor(id, onChanged) {
    this.id = id;
    this.onChanged = onChanged;
    this.busy = false;
    this.who = byId("who");
    this.who.value = memory.read("who");
    this.who.addEventListener("change", () => memory.write("who", this.who.value.trim()));
    byId("undo").addEventListener("click", () => this.undo());
  }

  show(corrections) {
    byId("corrections").hidden = false;
    byId("undo").disabled = !corrections.some((one) => !one.undone);
    byId("correction-list").replaceChildren(...corrections.toReversed().map((one) => element("li", { "data-undone": one.undone },
      element("span", {}, `${one.who || "unknown"} ${VERBS[one.action]} ${one.cell_id ?? ""}`),
      element("small", {}, one.undone ? `undone by ${one.undone_by || "unknown"} ${moment(one.undone_when)}` : moment(one.when)))));
  }

  add(point) { return this.#send({ action: "add", x: point.x, y: point.y }); }

  remove(cell) { return this.#send({ action: "remove", cell_id: cell.id }); }

  undo() { return this.#send({ action: "undo" }); }

  async #send(correction) {
    if (this.busy) return;
    this.busy = true;
    const who = this.who.value.trim();
    try {
      this.onChanged(await api.post(api.countPath(this.id, "/corrections"), who ? { ...correction, who } : correction));
    } catch (error) {
      toast(error.message, "fault");
    } finally {
      this.busy = false;
    }
  }
}
