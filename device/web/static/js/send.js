// Uploads one file and reports progress, which fetch cannot do for uploads.
import { ApiError, headers, sentence, url } from "./api.js";

/** {done: Promise of {id, status}, abort()} */
export function send(file, options, key, onFraction) {
  const request = new XMLHttpRequest();
  const body = new FormData();
  body.append("image", file, file.name);
  for (const [name, value] of Object.entries(options)) if (value) body.append(name, value);
  const done = new Promise((resolve, reject) => {
    request.upload.onprogress = (event) => { if (event.lengthComputable) onFraction(event.loaded / event.total); };
    request.onload = () => settle(request, resolve, reject);
    request.onerror = () => reject(new ApiError("Connection lost.", 0));
    request.onabort = () => reject(new ApiError("cancelled", 0));
  });
  request.open("POST", url("/counts"));
  for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
  request.setRequestHeader("Idempotency-Key", key);
  request.responseType = "json";
  request.send(body);
  return { done, abort: () => request.abort() };
}

function settle(request, resolve, reject) {
  if (request.status >= 200 && request.status < 300) resolve(request.response);
  else {
    const retryAfter = Number(request.getResponseHeader("Retry-After")) || null;
    reject(new ApiError(sentence(request.response, request.status), request.status, retryAfter));
  }
}
