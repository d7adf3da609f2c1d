// The table of events: newest first, kept up to date in place.

import { make } from "./dom.js";
import { act, ask } from "./people.js";
import { REASONS, clockTime, dayName, duration, fullTime, secondsSince } from "./format.js";

const MOST = 50;
const MARKS = { false_alarm: "False alarm", correct: "Confirmed" };
const rows = new Map();
const body = document.getElementById("events");
const empty = document.getElementById("no-events");
const byCamera = document.getElementById("filter-camera");
const openOnly = document.getElementById("filter-open");
const viewer = document.getElementById("viewer");

export async function loadEvents() {
  const query = new URLSearchParams({ limit: MOST });
  if (byCamera.value) query.set("camera", byCamera.value);
  if (openOnly.checked) query.set("open", "true");
  const answer = await ask(`/api/events?${query}`);
  if (!answer.ok) return;
  const { events } = await answer.json();
  rows.clear();
  body.replaceChildren();
  for (const event of events.reverse()) showEvent(event);
  empty.hidden = rows.size > 0;
}

export function offerCameras(names) {
  const offered = [...byCamera.options].slice(1).map((option) => option.value);
  if (offered.join("\n") === names.join("\n")) return;
  byCamera.replaceChildren(byCamera.options[0], ...names.map((name) => make("option", { value: name, textContent: name })));
}

export function showEvent(event) {
  const wanted = (!byCamera.value || event.camera === byCamera.value) && (!openOnly.checked || !event.ended_at);
  const old = rows.get(event.id);
  if (!wanted) {
    old?.remove();
    rows.delete(event.id);
  } else {
    const row = build(event);
    rows.set(event.id, row);
    if (old) old.replaceWith(row);
    else insert(row);
  }
  if (body.rows.length > MOST) {
    rows.delete(body.lastElementChild.dataset.id);
    body.lastElementChild.remove();
  }
  empty.hidden = rows.size > 0;
}

function insert(row) {
  const after = [...body.rows].find((other) => Date.parse(other.dataset.start) <= Date.parse(row.dataset.start));
  body.insertBefore(row, after ?? null);
}

export function tick() {
  for (const cell of body.querySelectorAll("[data-running]")) {
    cell.textContent = duration(secondsSince(cell.dataset.running));
  }
}

function build(event) {
  const where = event.zone === "frame" ? null : make("small", { textContent: event.zone });
  const mark = event.mark ? make("span", { className: "mark", textContent: MARKS[event.mark] }) : null;
  const began = make("time", { dateTime: event.started_at, title: fullTime(event.started_at) },
    clockTime(event.started_at), make("small", { textContent: dayName(event.started_at) }));
  const lasted = make("td", { className: "number" });
  if (event.ended_at) {
    lasted.textContent = duration((Date.parse(event.ended_at) - Date.parse(event.started_at)) / 1000);
  } else {
    lasted.dataset.running = event.started_at;
    lasted.textContent = duration(secondsSince(event.started_at));
  }
  const peak = make("meter", { min: 0, max: 1, value: event.peak_score, ariaHidden: "true" });
  const ended = event.ended_at
    ? make("span", { title: fullTime(event.ended_at) },
        REASONS[event.end_reason] ?? event.end_reason, make("small", { textContent: clockTime(event.ended_at) }))
    : make("span", { className: "ongoing", textContent: "Under way" });
  return make("tr", { data: { id: event.id, start: event.started_at, mark: event.mark ?? "" } },
    make("td", {}, thumbnail(event)),
    make("td", {}, event.camera, where, mark),
    make("td", {}, began),
    lasted,
    make("td", {}, peak, event.peak_score.toFixed(3)),
    make("td", {}, ended),
    make("td", { className: "acts-cell operators" }, marking(event)));
}

// False alarms are marked in place, and the mark can be taken back as easily.
function marking(event) {
  const button = make("button", { type: "button", className: "small",
    textContent: event.mark ? "Undo" : "False alarm" });
  button.title = event.mark ? `Take back "${MARKS[event.mark]}"` : "Nobody was there: calibration and training learn from it";
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const { mark } = await act(`/api/events/${event.id}/mark`, { mark: event.mark ? null : "false_alarm" }, "PUT");
      showEvent({ ...event, mark });
    } catch (error) {
      button.disabled = false;
      button.title = error.message;
      button.textContent = "Failed, try again";
    }
  });
  return make("div", { className: "acts" }, button);
}

function thumbnail(event) {
  if (!event.has_snapshot) return make("span", { className: "thumb", textContent: "no picture" });
  // An open event's picture gets better: its mean changes with it, so the browser asks again.
  const version = event.ended_at ? "" : `?p=${event.peak_score}`;
  const source = `/api/events/${event.id}/snapshot.jpg${version}`;
  const picture = make("img", { src: source, alt: "", loading: "lazy", decoding: "async" });
  const button = make("button", { className: "thumb", type: "button" }, picture);
  const text = `${event.camera}, ${dayName(event.started_at)} ${clockTime(event.started_at)}`;
  button.setAttribute("aria-label", `Show the picture of ${text}`);
  button.addEventListener("click", () => {
    const large = document.getElementById("viewer-picture");
    large.src = source;
    large.alt = `Peak of ${text}`;
    document.getElementById("viewer-text").textContent = `${text} · peak score ${event.peak_score.toFixed(3)}`;
    viewer.showModal();
  });
  return button;
}

viewer.addEventListener("click", (click) => {
  if (click.target === viewer) viewer.close();
});
byCamera.addEventListener("change", loadEvents);
openOnly.addEventListener("change", loadEvents);
