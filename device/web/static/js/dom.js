// Small helpers: build elements, show messages, save files.

export const byId = (id) => document.getElementById(id);

/** element("p", {class: "hint"}, "text", child): text is always text, never markup. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  assign(made, attributes);
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  assign(made, attributes);
  made.append(...children);
  return made;
}

function assign(target, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) target.addEventListener(name.slice(2), value);
    else target.setAttribute(name, value === true ? "" : value);
  }
}

/** Beside this script, whose address changes with the version. */
const ICONS = new URL("../icons.svg", import.meta.url).pathname;

export const icon = (name) => svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("use", { href: `${ICONS}#${name}` }));

/** A definition list's children from [term, description] pairs; empty descriptions are left out. */
export const pairs = (list) => list
  .filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false)
  .flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, value)]);

/** For screen readers only. */
export function announce(text) {
  const region = byId("announcer");
  if (region && region.textContent !== text) region.textContent = text;
}

export function toast(text, level = "ok", seconds = 6) {
  const note = element("p", { "data-level": level }, text);
  byId("toasts").append(note);
  setTimeout(() => note.remove(), seconds * 1000);
}

/** The browser saves what is at an address while it arrives. */
export function saveFrom(href, name) {
  const link = element("a", { href, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

export function saveBlob(data, name) {
  const href = URL.createObjectURL(data);
  saveFrom(href, name);
  setTimeout(() => URL.revokeObjectURL(href), 30000);
}

export const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

/** Each call gives a question: was this the last call so far? An answer that comes late is then left out. */
export function lastOnly() {
  let calls = 0;
  return () => {
    calls += 1;
    const mine = calls;
    return () => mine === calls;
  };
}

export function debounce(milliseconds, action) {
  let timer = null;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds, ...values);
  };
}

/** Ask in the page's <dialog id="confirm">; resolves true when "yes" was chosen. */
export function confirmed(title, text) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Kept in this browser; a private window keeps nothing. */
export const memory = {
  read(key) { try { return localStorage.getItem(`fluocount-${key}`) || ""; } catch { return ""; } },
  write(key, value) { try { localStorage.setItem(`fluocount-${key}`, value); } catch { /* private window */ } },
};

/** Who changes something on this page. */
export const author = () => memory.read("who") || "page";
