// Where the pages begin: "" or, behind a reverse proxy that serves them below a folder, that folder ("/cells").

/** This script is at ROOT/static/VERSION/js/root.js. */
const ROOT = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");

/** The address of a page or of the interface from its path, which begins with a slash. */
export const linkTo = (path) => ROOT + path;

export const countPath = (id, rest = "") => `/counts/${encodeURIComponent(id)}${rest}`;

/** The address of the page of a count. */
export const countPage = (id, query = "") => linkTo(countPath(id, query));

/** The path of a page without the folder. */
export const pathOf = (address) => new URL(address).pathname.slice(ROOT.length);
