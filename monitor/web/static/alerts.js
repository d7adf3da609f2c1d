// The table of alerts: newest first, and what operators do about them.

import { make } from "./dom.js";
import { act, ask, loadMe } from "./people.js";
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
  const answer = await ask(`/api/alerts?${query}`);
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
  const by = alert.acted_by
    ? make("small", { title: fullTime(alert.acted_at), textContent: `${alert.acted_by}, ${clockTime(alert.acted_at)}` })
    : null;
  const said = alert.comment ? make("small", { className: "said", title: alert.comment, textContent: alert.comment }) : null;
  return make("tr", {},
    make("td", {}, make("span", { className: "severity", data: { severity: alert.severity }, textContent: alert.severity })),
    make("td", { title: alert.reasons.join("; ") }, alert.title, more),
    make("td", {}, alert.rule),
    make("td", {}, at),
    make("td", {}, told(alert.deliveries)),
    make("td", {}, state, by, said),
    make("td", { className: "acts-cell operators" }, dealing(alert)));
}

const DEEDS = { acknowledge: "Acknowledge", close: "Close" };

function dealing(alert) {
  const deeds = { open: ["acknowledge", "close"], acknowledged: ["close"] }[alert.state] ?? [];
  return make("div", { className: "acts" }, ...deeds.map((deed) => {
    const button = make("button", { type: "button", className: "small", textContent: DEEDS[deed] });
    button.addEventListener("click", () => confirm(alert, deed));
    return button;
  }));
}

const dialog = document.getElementById("ask");
const comment = document.getElementById("ask-comment");
const problem = document.getElementById("ask-problem");
const yes = document.getElementById("ask-yes");
let asked = null;

function confirm(alert, deed) {
  asked = { alert, deed };
  document.getElementById("ask-title").textContent = `${DEEDS[deed]}: ${alert.title}`;
  yes.textContent = DEEDS[deed];
  comment.value = "";
  problem.hidden = true;
  dialog.showModal();
}

dialog.querySelector("form").addEventListener("submit", async (submit) => {
  if (submit.submitter?.value !== "yes") return; // the dialog closes
  submit.preventDefault();
  yes.disabled = true;
  try {
    await act(`/api/alerts/${asked.alert.id}/${asked.deed}`, { comment: comment.value });
    dialog.close();
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
    loadMe().catch(() => {});
  } finally {
    yes.disabled = false;
  }
  loadAlerts().catch(() => {});
});

function told({ pending, sent, dead }) {
  const parts = [[sent, "sent"], [pending, "waiting"], [dead, "failed"]].filter(([count]) => count);
  return parts.map(([count, word]) => `${count} ${word}`).join(", ") || "nobody";
}

openOnly.addEventListener("change", loadAlerts);
