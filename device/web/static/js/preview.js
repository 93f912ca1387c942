// The live view: one JPEG after another, at most 5 per second, none while the page is hidden.
import * as api from "./api.js";
import { byId, pause } from "./dom.js";

const LEAST_MS = 200;
/** Light bleaches the sample, so the live view stops when the page is not used. */
const IDLE_MS = 10 * 60 * 1000;

export class Preview {
  constructor() {
    this.figure = byId("preview");
    this.image = byId("preview-image");
    this.message = byId("preview-message");
    this.button = byId("live-switch");
    this.live = true;
    this.available = false;
    this.touched = Date.now();
    this.button.addEventListener("click", () => this.setLive(!this.live));
    for (const name of ["pointerdown", "keydown"]) document.addEventListener(name, () => { this.touched = Date.now(); });
    this.#loop();
  }

  /** Previews are fetched only while the camera is available; else the message says why. */
  setAvailable(available, message) {
    this.available = available;
    if (!available) this.#say(message, "none");
  }

  setLive(live, message = "Live view paused; the excitation light stays off.") {
    this.live = live;
    this.button.setAttribute("aria-pressed", String(live));
    this.button.textContent = live ? "Live" : "Paused";
    if (!live && this.available) this.#say(message, "paused");
  }

  #say(text, state) {
    this.message.textContent = text;
    this.figure.dataset.state = state;
    if (state === "none") this.image.hidden = true;
  }

  async #loop() {
    for (;;) {
      const began = performance.now();
      if (this.live && Date.now() - this.touched > IDLE_MS) this.setLive(false, "Live view paused after ten minutes without use, to protect the sample from bleaching.");
      if (this.live && this.available && !document.hidden) await this.#one();
      const left = LEAST_MS - (performance.now() - began);
      await pause(Math.max(left, this.failed ? 1500 : 0, 20));
    }
  }

  async #one() {
    try {
      await this.#draw((await api.blob("/camera/preview.jpg")).blob);
      this.failed = false;
      if (this.live) this.#say("", "live");
    } catch (error) {
      this.failed = true;
      if (this.live) this.#say(error.message, "stalled");
    }
  }

  /** Onto a canvas: as the source of an <img>, each picture would stay in the browser's memory for minutes. */
  async #draw(blob) {
    const picture = await createImageBitmap(blob);
    const { width, height } = picture;
    if (this.image.width !== width || this.image.height !== height) Object.assign(this.image, { width, height });
    this.figure.style.setProperty("--aspect", String(width / height));
    this.image.getContext("2d").drawImage(picture, 0, 0);
    picture.close();
    this.image.hidden = false;
  }
}
