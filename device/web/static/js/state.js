// From GET /api/v1/status to what the lamps say. Levels: ok, busy, warn, fault, unknown.
import { plural } from "./format.js";

const CAMERA = {
  ready: ["ok", "ready"],
  exposing: ["busy", "exposing"],
  busy: ["busy", "busy"],
  opening: ["busy", "starting"],
  none: ["unknown", "not fitted"],
  missing: ["fault", "missing"],
  lost: ["fault", "lost"],
  error: ["fault", "fault"],
};

export function cameraLamp(camera) {
  if (!camera) return { level: "unknown", text: "unknown" };
  const [level, text] = CAMERA[camera.state] ?? ["fault", camera.state ?? "unknown"];
  return { level, text: camera.kind === "simulated" && level === "ok" ? "simulated" : text };
}

export function queueLamp(queue) {
  if (!queue) return { level: "unknown", text: "unknown" };
  const { waiting = 0, running = 0, max = Infinity } = queue;
  if (waiting >= max) return { level: "warn", text: `full, ${waiting}` };
  if (running && waiting) return { level: "busy", text: `counting, ${waiting} wait` };
  if (running) return { level: "busy", text: "counting" };
  if (waiting) return { level: "busy", text: `${plural(waiting, "waits", "wait")}` };
  return { level: "ok", text: "empty" };
}

export function modelLamp(model) {
  if (!model) return { level: "fault", text: "missing" };
  return { level: "ok", text: `${model.name} ${model.version}` };
}

/** One word for the whole instrument. */
export function readiness(status, lamps) {
  if (lamps.model.level === "fault") return { level: "fault", text: "No model" };
  if (status.disk?.level === "refuse") return { level: "fault", text: "Disk full" };
  if (lamps.queue.level === "warn") return { level: "warn", text: "Queue full" };
  if (lamps.camera.level === "fault") return { level: "warn", text: "Upload only" };
  if (lamps.queue.level === "busy" || lamps.camera.level === "busy") return { level: "busy", text: "Counting" };
  if (lamps.camera.level === "unknown") return { level: "ok", text: "Ready to upload" };
  return { level: "ok", text: "Ready" };
}

export function lampsOf(status) {
  return { camera: cameraLamp(status.camera), queue: queueLamp(status.queue), model: modelLamp(status.model) };
}
