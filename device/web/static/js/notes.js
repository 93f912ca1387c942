// Sample, notes and the keep mark: saved when typing stops.
import * as api from "./api.js";
import { byId, debounce } from "./dom.js";

const WAIT_MS = 700;

export class Notes {
  constructor(id, onSaved) {
    this.id = id;
    this.onSaved = onSaved;
    this.state = byId("notes-state");
    this.fields = { sample: byId("sample"), notes: byId("notes"), keep: byId("keep") };
    const soon = debounce(WAIT_MS, () => this.#save());
    byId("notes-form").addEventListener("input", () => { this.state.textContent = "not saved yet"; soon(); });
    byId("notes-form").addEventListener("submit", (event) => { event.preventDefault(); this.#save(); });
  }

  show(count) {
    if (byId("notes-form").contains(document.activeElement)) return;
    this.fields.sample.value = count.sample ?? "";
    this.fields.notes.value = count.notes ?? "";
    this.fields.keep.checked = Boolean(count.keep);
  }

  async #save() {
    const { sample, notes, keep } = this.fields;
    try {
      const values = { sample: sample.value.trim(), notes: notes.value, keep: keep.checked };
      await api.patch(api.countPath(this.id), values);
      this.state.textContent = "saved";
      this.onSaved(values);
    } catch (error) {
      this.state.textContent = `Not saved: ${error.message}`;
    }
  }
}
