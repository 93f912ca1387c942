// The sample name of the next image. It is used once: a name left over from the last animal would mislabel the next.
import { byId, memory } from "./dom.js";

export class SampleName {
  constructor() {
    this.field = byId("sample");
    this.again = byId("sample-again");
    this.again.addEventListener("click", () => {
      this.field.value = memory.read("sample");
      this.again.hidden = true;
      this.field.focus();
    });
    this.field.addEventListener("input", () => this.#offer());
    this.#offer();
  }

  /** The images with this name are on their way: empty the field, and offer the name for more of the same sample. */
  used(name) {
    if (name) memory.write("sample", name);
    if (this.field.value.trim() === name) this.field.value = "";
    this.#offer();
  }

  #offer() {
    const last = memory.read("sample");
    this.again.hidden = !last || this.field.value.trim() !== "";
    this.again.textContent = `Same sample again: ${last}`;
  }
}
