// Tools, layers, brightness and zoom buttons, with their keys.
import { byId } from "./dom.js";

const TOOL_KEYS = { v: "view", a: "add", r: "remove", p: "polygon", l: "measure" };
const LAYER_KEYS = { 1: "image", 2: "outlines", 3: "numbers", 4: "doubtful", 5: "probability" };

export class Toolbar {
  constructor(onChange) {
    this.onChange = onChange;
    this.tools = [...document.querySelectorAll("[data-tool][role=radio]")];
    this.switches = [...document.querySelectorAll("[data-layer]")];
    this.tool = "view";
    this.on = Object.fromEntries(this.switches.map((one) => [one.dataset.layer, one.getAttribute("aria-pressed") === "true"]));
    this.#wire();
    this.#roving();
  }

  #wire() {
    for (const one of this.tools) one.addEventListener("click", () => this.choose(one.dataset.tool));
    for (const one of this.switches) one.addEventListener("click", () => this.toggle(one.dataset.layer));
    for (const one of document.querySelectorAll("[data-zoom]")) one.addEventListener("click", () => this.onChange({ zoom: one.dataset.zoom }));
    for (const id of ["brightness", "contrast", "channel"]) byId(id).addEventListener("input", () => this.onChange({ display: this.display }));
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  /** How the picture is shown. */
  get display() {
    return { brightness: Number(byId("brightness").value), contrast: Number(byId("contrast").value), channel: byId("channel").value };
  }

  choose(tool) {
    this.tool = tool;
    this.#roving();
    this.onChange({ tool });
  }

  toggle(layer) {
    this.on[layer] = !this.on[layer];
    this.switches.find((one) => one.dataset.layer === layer).setAttribute("aria-pressed", String(this.on[layer]));
    this.onChange({ layer });
  }

  /** The tab key stops once; arrows move within the group, as with any radio buttons. */
  #roving() {
    for (const one of this.tools) {
      const chosen = one.dataset.tool === this.tool;
      one.setAttribute("aria-checked", String(chosen));
      one.tabIndex = chosen ? 0 : -1;
    }
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=range]), textarea, select, dialog")) return;
    const at = this.tools.indexOf(event.target.closest?.("[data-tool][role=radio]"));
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (at >= 0 && step) {
      event.preventDefault();
      const next = this.tools[(at + step + this.tools.length) % this.tools.length];
      this.choose(next.dataset.tool);
      next.focus();
    } else if (TOOL_KEYS[event.key]) this.choose(TOOL_KEYS[event.key]);
    else if (LAYER_KEYS[event.key]) this.toggle(LAYER_KEYS[event.key]);
  }
}
