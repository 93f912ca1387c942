// Sample, notes and the keep mark. Only what a person changed is sent, with the version that was seen; drafts survive.
import * as api from "./api.js";
import { byId, debounce } from "./dom.js";
import { readDraft, writeDraft } from "./drafts.js";

const WAIT_MS = 700;
const LATER_MS = 5000;
const LABELS = { sample: "name", notes: "notes", keep: "keep mark" };

export class Notes {
  constructor(id, onSaved) {
    this.id = id;
    this.onSaved = onSaved;
    this.state = byId("notes-state");
    this.fields = { sample: byId("sample"), notes: byId("notes"), keep: byId("keep") };
    /** Changed by a person and not saved yet: {field: {value, was}}. */
    this.draft = readDraft(id);
    this.seen = null;
    this.soon = debounce(WAIT_MS, () => this.#save());
    this.later = debounce(LATER_MS, () => this.#save());
    const form = byId("notes-form");
    form.addEventListener("input", (event) => this.#typed(event.target.id));
    form.addEventListener("submit", (event) => { event.preventDefault(); this.#save(); });
    byId("notes-theirs").addEventListener("click", () => this.#takeTheirs());
    byId("notes-mine").addEventListener("click", () => this.#keepMine());
    // Whoever leaves at once has not lost the last word.
    window.addEventListener("pagehide", () => this.#leave());
    document.addEventListener("visibilitychange", () => { if (document.hidden) this.#leave(); });
  }

  /** The count as the instrument knows it; what a person is typing stays. */
  show(count) {
    const first = this.seen === null;
    this.seen = { sample: count.sample ?? "", notes: count.notes ?? "", keep: Boolean(count.keep), version: count.version };
    for (const name of Object.keys(this.draft)) if (this.draft[name].value === this.seen[name]) delete this.draft[name];
    // Typed before the count had arrived: it was meant for what there is now.
    for (const [name, field] of Object.entries(this.draft)) field.was ??= this.seen[name];
    writeDraft(this.id, this.draft);
    for (const name of Object.keys(this.fields)) if (!(name in this.draft)) this.#put(name, this.seen[name]);
    if (!first || !Object.keys(this.draft).length) return;
    for (const [name, { value }] of Object.entries(this.draft)) this.#put(name, value);
    if (!this.#clashes(this.seen)) this.#save();
  }

  #put(name, value) {
    const field = this.fields[name];
    if (name === "keep") field.checked = value;
    else if (field.value !== value) field.value = value;
  }

  #value(name) { return name === "keep" ? this.fields.keep.checked : this.fields[name].value; }

  #typed(name) {
    if (!(name in this.fields)) return;
    this.draft[name] = { value: this.#value(name), was: this.draft[name]?.was ?? this.seen?.[name] };
    writeDraft(this.id, this.draft);
    this.state.textContent = "not saved yet";
    this.soon();
  }

  get #changes() { return Object.fromEntries(Object.entries(this.draft).map(([name, { value }]) => [name, value])); }

  async #save() {
    const sent = this.#changes;
    if (!Object.keys(sent).length || !this.seen || this.saving || this.clash) return;
    this.saving = true;
    try {
      this.#saved(sent, await api.patch(api.countPath(this.id), { ...sent, version: this.seen.version }));
    } catch (error) {
      if (error.status === 409) await this.#merge();
      else this.#failed(error);
    } finally {
      this.saving = false;
    }
  }

  #saved(sent, count) {
    for (const [name, value] of Object.entries(sent)) if (this.draft[name]?.value === value) delete this.draft[name];
    writeDraft(this.id, this.draft);
    this.seen = { sample: count.sample, notes: count.notes, keep: count.keep, version: count.version };
    this.state.textContent = Object.keys(this.draft).length ? "not saved yet" : "saved";
    if (Object.keys(this.draft).length) this.soon();
    this.onSaved(this.seen);
  }

  #failed(error) {
    this.state.textContent = `Not saved: ${error.message}`;
    if (api.isPassing(error)) this.later();
  }

  /** Somebody else saved in between: other fields do not matter; the same field is for a person to decide. */
  async #merge() {
    let theirs;
    try {
      theirs = await api.get(api.countPath(this.id));
    } catch (error) {
      this.#failed(error);
      return;
    }
    this.show(theirs);
    if (!this.#clashes(this.seen)) this.soon();
  }

  /** True, and a question to the person, where somebody else changed the very field that was changed here. */
  #clashes(theirs) {
    const names = Object.keys(this.draft).filter((name) => theirs[name] !== this.draft[name].was && theirs[name] !== this.draft[name].value);
    if (!names.length) return false;
    this.clash = { names, theirs };
    const words = names.map((name) => `Somebody changed the ${LABELS[name]} somewhere else to “${theirs[name]}”.`).join(" ");
    byId("notes-clash-text").textContent = words;
    byId("notes-clash").hidden = false;
    this.state.textContent = "not saved yet";
    return true;
  }

  #settle() {
    this.clash = null;
    byId("notes-clash").hidden = true;
    writeDraft(this.id, this.draft);
  }

  #takeTheirs() {
    for (const name of this.clash.names) { delete this.draft[name]; this.#put(name, this.clash.theirs[name]); }
    this.#settle();
    this.state.textContent = "Theirs is shown; yours was dropped.";
    this.#save();
  }

  #keepMine() {
    for (const name of this.clash.names) this.draft[name].was = this.clash.theirs[name];
    this.#settle();
    this.#save();
  }

  #leave() {
    const sent = this.#changes;
    if (!Object.keys(sent).length || !this.seen || this.clash) return;
    api.patch(api.countPath(this.id), { ...sent, version: this.seen.version }, { keepalive: true })
      .then((count) => this.#saved(sent, count))
      .catch(() => { /* the draft stays in this browser until the page is opened again */ });
  }
}
