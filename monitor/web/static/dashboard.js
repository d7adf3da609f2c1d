// Wires the page: first everything by request, then changes by the live stream.

import { loadAlerts } from "./alerts.js";
import { cameraCount, refreshPictures, remember, showCameras, tick as tickCameras } from "./cameras.js";
import { icon, make, setText } from "./dom.js";
import { loadEvents, offerCameras, showEvent, tick as tickEvents } from "./events.js";
import { ask, loadMe } from "./people.js";
import { applyTheme, switchTheme } from "./theme.js";
import { capital, duration, secondsSince } from "./format.js";

const container = document.getElementById("cameras");
const verdict = document.getElementById("verdict");
const trouble = document.getElementById("trouble");
const WORDS = { ready: "All well", degraded: "Degraded", unready: "Not watching", lost: "No connection" };

async function loadAll() {
  const answer = await ask("/api/cameras");
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const report = await answer.json();
  for (const camera of report.cameras) {
    for (const zone of camera.zones) remember(camera.name, zone);
  }
  showReport(report, { fresh: false }); // its scores are in the history already
  showHealth(report.health);
  showSystem(report);
  refreshPictures();
}

function showReport({ cameras }, options = { fresh: true }) {
  showCameras(container, cameras, options);
  offerCameras(cameras.map((camera) => camera.name));
  const zones = cameras.filter((camera) => camera.enabled).flatMap((camera) => camera.zones);
  const tally = document.getElementById("tally");
  const counts = ["occupied", "vacant", "unknown"].map((state) => [state, zones.filter((zone) => zone.state === state).length]);
  const key = counts.join();
  if (tally.dataset.key === key) return;
  tally.dataset.key = key;
  tally.replaceChildren(...counts.map(([state, count]) =>
    make("li", { className: "state", data: { state } }, icon(state), make("b", { textContent: count }), state)));
  const occupied = counts[0][1];
  document.title = occupied ? `(${occupied}) Presence` : "Presence";
}

function showHealth({ verdict: value, reasons }) {
  setText(verdict, WORDS[value] ?? value);
  verdict.dataset.verdict = value;
  document.body.dataset.lost = String(value === "lost");
  trouble.hidden = reasons.length === 0;
  trouble.dataset.verdict = value;
  const key = JSON.stringify(reasons);
  if (trouble.dataset.key === key) return;
  trouble.dataset.key = key;
  trouble.replaceChildren(...reasons.map(({ part, what }) =>
    make("span", {}, make("b", { textContent: capital(part) }), `: ${what}`)));
}

function showSystem(report) {
  const { writer, workers, jobs } = report;
  const ms = (seconds) => `${Math.round(seconds * 1000)} ms`;
  const broken = jobs.reduce((sum, job) => sum + job.failed + job.missed, 0);
  const facts = [
    ["Workers", `${workers.alive} of ${workers.wanted}`, `${workers.restarts} restarts`],
    ["Frame to score", ms(workers.latency_p50), `99 % within ${ms(workers.latency_p99)}`],
    ["Mean batch", workers.mean_batch.toFixed(1), `${workers.batches} batches`],
    ["Event writer", writer.alive ? (writer.trouble || "Writing") : "Stopped", `${writer.queued} waiting, lag ${writer.lag.toFixed(1)} s`],
    ["Events", report.events_total, "since the start"],
    ["Jobs", broken ? `${broken} missed or failed` : "On time", `${jobs.length} scheduled`],
    ["Running for", duration(secondsSince(report.started)), `version ${report.version}`],
    ["Model", report.model_id, ""],
  ];
  document.getElementById("system").replaceChildren(...facts.map(([name, value, more]) =>
    make("div", {}, make("dt", { textContent: name }),
      make("dd", {}, String(value), more ? make("small", { textContent: more }) : null))));
}

function announce({ camera, zone, state }) {
  const where = zone === "frame" ? camera : `${camera}, ${zone}`;
  setText(document.getElementById("news"), `${where}: ${state}`);
}

function listen() {
  const source = new EventSource("/api/stream");
  const on = (name, handle) => source.addEventListener(name, (message) => handle(JSON.parse(message.data)));
  let lost = false;
  on("cameras", (report) => showReport(report));
  on("health", showHealth);
  on("state", announce);
  on("event", showEvent);
  source.onerror = () => {
    lost = true;
    loadMe().catch(() => {}); // signed out looks like this, too
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
    showHealth({ verdict: "lost", reasons: [{ part: "connection", what: "the monitor does not answer; trying again" }] });
  };
  source.onopen = () => {
    if (lost) start();
    lost = false;
  };
}

function start() {
  return loadMe().then(() => Promise.all([loadAll(), loadEvents(), loadAlerts()])).catch(() =>
    showHealth({ verdict: "lost", reasons: [{ part: "connection", what: "the monitor does not answer" }] }));
}

function keepPictures() {
  refreshPictures();
  setTimeout(keepPictures, Math.max(2000, cameraCount() * 250));
}

applyTheme();
document.getElementById("theme").addEventListener("click", switchTheme);

start().then(listen);
keepPictures();
setInterval(() => { tickCameras(); tickEvents(); }, 1000);
setInterval(() => Promise.all([loadMe(), loadAll()]).catch(() => {}), 15000);
setInterval(() => { if (!document.hidden) loadAlerts().catch(() => {}); }, 5000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) start(); });
