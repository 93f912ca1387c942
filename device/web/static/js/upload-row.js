// One file of the upload list: waiting, uploading, on hold, counting, then done, failed or cancelled.
import * as api from "./api.js";
import { element, icon } from "./dom.js";
import { interval, megabytes, moment, number, percent, plural } from "./format.js";
import { progressText } from "./job.js";
import { newKey } from "./keys.js";
import { countPage } from "./root.js";

export class Row {
  constructor(file, options, onRetry) {
    this.file = file;
    this.options = options;
    this.state = "waiting";
    this.key = newKey();
    this.tries = 0;
    this.bar = element("i");
    this.words = element("span", {}, "waiting to upload");
    this.track = element("div", { class: "bar" }, this.bar);
    this.stateLine = element("div", { class: "state" }, this.track, this.words);
    this.outcome = element("div", { class: "outcome" });
    this.hint = element("div", { class: "hint earlier", hidden: true });
    this.thumb = element("span", { class: "thumb" });
    this.retry = element("button", { class: "button small", type: "button", onclick: () => onRetry(this) }, "Try again");
    const sample = options.sample ? `, sample ${options.sample}` : "";
    const name = element("div", { class: "name" }, `${file.webkitRelativePath || file.name} `, element("small", {}, `${megabytes(file.size)}${sample}`));
    this.item = element("li", { class: "upload-row", "data-level": "unknown" }, this.thumb, name, this.outcome, this.stateLine, this.hint);
  }

  #show(state, level, text, fraction = 0) {
    this.state = state;
    this.fraction = fraction;
    this.item.dataset.level = level;
    this.item.dataset.state = state;
    this.words.textContent = text;
    this.bar.style.width = `${100 * fraction}%`;
    this.track.hidden = ["done", "failed", "cancelled"].includes(state);
  }

  /** 0 to 1 of the whole way: half of it is the upload, half the count. */
  get done() {
    if (["done", "failed", "cancelled"].includes(this.state)) return 1;
    if (this.state === "counting") return 0.5 + this.fraction / 2;
    return this.state === "sending" ? this.fraction / 2 : 0;
  }

  wait() {
    this.outcome.replaceChildren();
    this.thumb.replaceChildren();
    this.#show("waiting", "unknown", "waiting to upload");
  }

  sending(fraction) {
    if (this.state === "cancelled") return;
    this.sent = fraction >= 1;
    this.#show("sending", "busy", fraction < 1 ? `uploading, ${percent(fraction)}` : "checking", fraction);
  }

  hold(text) { this.#show("held", "warn", text); }

  accepted(id) {
    this.id = id;
    this.outcome.replaceChildren();
    this.thumb.replaceChildren();
    this.#show("counting", "busy", "accepted");
  }

  /** The same file was counted before: say which count that was and what is different now. */
  mention(earlier) {
    if (!earlier) return;
    const count = earlier.count === null ? "" : `, ${plural(earlier.count, "cell")}`;
    const same = earlier.differs.length ? `Different now: ${earlier.differs.join("; ")}.` : "The settings are the same.";
    this.hint.replaceChildren(
      "This file was counted before: ",
      element("a", { href: countPage(earlier.id) }, `${earlier.sample || earlier.image}${count}, ${moment(earlier.created)}`),
      `. ${same}`,
    );
    this.hint.hidden = false;
  }

  counting(count) { this.#show("counting", "ok", progressText(count), count.progress ?? 0); }

  note(text) { this.words.textContent = text; }

  cancel() {
    this.#show("cancelled", "unknown", "cancelled before the upload; nothing was saved");
    this.abort?.();
  }

  fail(text) {
    this.#show("failed", "fault", text);
    this.thumb.replaceChildren(icon("warning"));
    this.outcome.replaceChildren(this.retry);
  }

  finish(count) {
    if (count.status === "failed") { this.fail(count.error ?? "This count failed."); return; }
    if (count.status === "cancelled") { this.#show("cancelled", "unknown", "cancelled"); return; }
    const target = countPage(count.id);
    const flags = (count.flags ?? []).map((flag) => flag.text).join(" ");
    this.#show("done", flags ? "warn" : "ok", flags || (count.sample ? `counted, sample ${count.sample}` : "counted"));
    this.item.dataset.done = "";
    const picture = element("img", { class: "thumb", alt: "", src: api.url(api.countPath(count.id, "/thumbnail.jpg")) });
    this.thumb.replaceWith(picture);
    this.thumb = picture;
    const range = element("small", {}, `(${interval(count.interval)})`);
    this.outcome.replaceChildren(
      element("span", {}, element("strong", {}, number(count.corrected_count ?? count.count)), " ", range),
      element("a", { class: "button small", href: target, "aria-label": `Open ${this.file.name}` }, "Open"),
    );
  }
}
