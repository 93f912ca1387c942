// Calls to /api/v1. A refused call throws ApiError with the sentence that the instrument sent.

const ROOT = "/api/v1";
const csrf = document.querySelector('meta[name="csrf-token"]')?.content || "";

export class ApiError extends Error {
  constructor(message, status, retryAfter = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export const headers = () => (csrf ? { "X-CSRFToken": csrf } : {});

export const url = (path, parameters = {}) => {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== "") query.set(name, value);
  }
  return ROOT + path + (query.size ? `?${query}` : "");
};

export const countPath = (id, rest = "") => `/counts/${encodeURIComponent(id)}${rest}`;

/** The sentence in the response body, or one made from the status. */
export function sentence(body, status) {
  if (body && typeof body === "object") {
    if (typeof body.error === "string") return body.error;
    if (typeof body.message === "string") return body.message;
  }
  if (status === 413) return "This file is larger than the instrument accepts.";
  return `The instrument could not do this (error ${status}); see the Status page.`;
}

export function toLogin() {
  location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
}

async function failure(response) {
  const body = await response.json().catch(() => null);
  if (response.status === 401) toLogin();
  return new ApiError(sentence(body, response.status), response.status, Number(response.headers.get("Retry-After")) || null);
}

async function call(method, path, { json, body, signal, parameters } = {}) {
  const options = { method, signal, headers: method === "GET" ? {} : headers() };
  if (json !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(json);
  } else if (body !== undefined) {
    options.body = body;
  }
  let response;
  try {
    response = await fetch(url(path, parameters), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The instrument does not answer. Check its power and the network.", 0);
  }
  if (!response.ok) throw await failure(response);
  return response;
}

const asJson = async (response) => (response.status === 204 ? null : response.json());

export const get = async (path, parameters, signal) => asJson(await call("GET", path, { parameters, signal }));
export const post = async (path, json) => asJson(await call("POST", path, { json: json ?? {} }));
export const sendForm = async (path, form) => asJson(await call("POST", path, { body: form }));
export const patch = async (path, json) => asJson(await call("PATCH", path, { json }));
export const remove = async (path) => asJson(await call("DELETE", path));

export async function blob(path, { method = "GET", parameters, json, signal } = {}) {
  const response = await call(method, path, { parameters, json, signal });
  return { blob: await response.blob(), headers: response.headers };
}
