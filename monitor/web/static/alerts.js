// The table of alerts: newest first, to look at. Who acknowledges does it where he is known.

import { make } from "./dom.js";
import { capital, clockTime, dayName, fullTime } from "./format.js";

const MOST = 50;
const panel = document.getElementById("alerts-panel");
const body = document.getElementById("alerts");
const empty = document.getElementById("no-alerts");
const openOnly = document.getElementById("filter-alerts");
let shown = "";

export async function loadAlerts() {
  const query = new URLSearchParams({ limit: MOST });
  if (openOnly.checked) query.set("state", "open");
  const answer = await fetch(`/api/alerts?${query}`);
  if (!answer.ok) return;
  const text = await answer.text();
  if (text === shown) return;
  shown = text;
  const { alerts } = JSON.parse(text);
  body.replaceChildren(...alerts.map(build));
  empty.hidden = alerts.length > 0;
  if (alerts.length) panel.hidden = false;
}

function build(alert) {
  const more = alert.count > 1 ? make("small", { textContent: `and ${alert.count - 1} more like it` }) : null;
  const at = make("time", { dateTime: alert.at, title: fullTime(alert.at) },
    clockTime(alert.at), make("small", { textContent: dayName(alert.at) }));
  const state = make("span", { className: "alert-state", data: { state: alert.state }, textContent: capital(alert.state) });
  if (alert.state === "open") state.title = `run_monitor.py alerts ack ${alert.id.slice(0, 8)}`;
  return make("tr", {},
    make("td", {}, make("span", { className: "severity", data: { severity: alert.severity }, textContent: alert.severity })),
    make("td", { title: alert.reasons.join("; ") }, alert.title, more),
    make("td", {}, alert.rule),
    make("td", {}, at),
    make("td", {}, told(alert.deliveries)),
    make("td", {}, state));
}

function told({ pending, sent, dead }) {
  const parts = [[sent, "sent"], [pending, "waiting"], [dead, "failed"]].filter(([count]) => count);
  return parts.map(([count, word]) => `${count} ${word}`).join(", ") || "nobody";
}

openOnly.addEventListener("change", loadAlerts);
