// Exposure, gain, colour gains and averaging: numbers with unit, within the range of the camera.
import * as api from "./api.js";
import { byId, debounce, element } from "./dom.js";
import { exposure, significant } from "./format.js";

const CONTROLS = [
  { name: "exposure_s", label: "Exposure", unit: "ms", factor: 1000, step: "any" },
  { name: "gain", label: "Gain", unit: "×", factor: 1, step: "any" },
  { name: "average_frames", label: "Frames averaged", unit: "", factor: 1, step: 1 },
  { name: "red_gain", label: "Red gain", unit: "×", factor: 1, step: "any" },
  { name: "blue_gain", label: "Blue gain", unit: "×", factor: 1, step: "any" },
];

export class CameraForm {
  constructor() {
    this.note = byId("camera-note");
    this.inputs = new Map();
    this.ranges = {};
    byId("camera-form").addEventListener("submit", (event) => event.preventDefault());
    byId("camera-controls").append(...CONTROLS.map((control) => this.#field(control)));
  }

  #field(control) {
    const input = element("input", { type: "number", step: control.step, inputmode: "decimal", disabled: true, name: control.name });
    const send = debounce(350, () => this.#send(control, input));
    input.addEventListener("input", () => { input.dataset.touched = "yes"; send(); });
    this.inputs.set(control.name, { control, input });
    const unit = control.unit && element("i", {}, control.unit);
    return element("label", { class: "field" }, element("span", {}, control.label), element("span", { class: "number-with-unit" }, input, unit));
  }

  /** Show the values of the camera, but never overwrite what a person is typing. */
  show(camera) {
    this.ranges = camera.ranges ?? {};
    this.now = camera;
    // Once: an answer to what a person types must not be overwritten.
    if (camera.state === "ready" && camera.text && camera.text !== this.said) this.note.textContent = camera.text;
    this.said = camera.text;
    for (const { control, input } of this.inputs.values()) {
      const value = camera[control.name];
      const [low, high] = this.ranges[control.name] ?? [undefined, undefined];
      input.disabled = value === undefined || value === null || camera.kind === "none";
      if (low !== undefined) input.min = low * control.factor;
      if (high !== undefined) input.max = high * control.factor;
      const editing = document.activeElement === input || input.dataset.touched;
      if (!editing && !input.disabled) input.value = Number((value * control.factor).toPrecision(6));
    }
  }

  async #send(control, input) {
    const value = Number(input.value) / control.factor;
    if (input.value === "" || !Number.isFinite(value)) return;
    const [low, high] = this.ranges[control.name] ?? [-Infinity, Infinity];
    if (value < low || value > high) { this.#refuse(control, input, low, high); return; }
    try {
      const camera = await api.patch("/camera", { [control.name]: control.step === 1 ? Math.round(value) : value });
      this.#accept(input, camera);
    } catch (error) {
      input.setAttribute("aria-invalid", "true");
      this.note.textContent = error.message;
    }
  }

  /** What the camera cannot do is said in the unit of the field; the camera keeps what it has. */
  #refuse(control, input, low, high) {
    const say = (value) => `${significant(value * control.factor)}${control.unit && ` ${control.unit}`}`;
    const now = this.now?.[control.name];
    const stays = now === undefined || now === null ? "" : ` It stays at ${say(now)}.`;
    input.setAttribute("aria-invalid", "true");
    this.note.textContent = `${control.label} ${input.value}${control.unit && ` ${control.unit}`} is not possible: the camera takes ${say(low)} to ${say(high)}.${stays}`;
  }

  #accept(input, camera) {
    input.removeAttribute("aria-invalid");
    delete input.dataset.touched;
    if (!camera) return;
    this.note.textContent = `Now: ${exposure(camera.exposure_s)}, gain ${significant(camera.gain)}, `
      + `colours ${significant(camera.red_gain)} and ${significant(camera.blue_gain)}. Nothing is automatic.`;
  }
}
