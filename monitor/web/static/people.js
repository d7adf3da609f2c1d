// Who is signed in, what they may do, and how to ask the monitor as them.

import { make } from "./dom.js";

export const me = { name: null, mayAct: false };

// Like fetch; whoever is signed out meanwhile gets the sign-in page.
export async function ask(path, options = {}) {
  const answer = await fetch(path, options);
  if (answer.status === 401) {
    location.replace("/login");
    return new Promise(() => {}); // nothing more happens on this page
  }
  return answer;
}

// Does something as the one who is signed in; throws what the monitor has against it.
export async function act(path, body, method = "POST") {
  const answer = await ask(path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (answer.ok) return answer.json();
  const { what, remedy } = await answer.json();
  throw new Error([what, remedy].filter(Boolean).join(": "));
}

export async function loadMe() {
  const answer = await fetch("/api/session");
  if (!answer.ok) return;
  const { closed, name, role, may_act: mayAct } = await answer.json();
  if (closed && name === null) location.replace("/login");
  const changed = me.name !== name || me.mayAct !== mayAct;
  Object.assign(me, { name, mayAct });
  if (changed) show(role);
}

function show(role) {
  const box = document.getElementById("me");
  box.hidden = me.name === null;
  document.body.dataset.mayAct = String(me.mayAct);
  if (me.name === null) return;
  const out = make("button", { type: "button", className: "small", textContent: "Sign out" });
  out.addEventListener("click", signOut);
  box.replaceChildren(make("span", { className: "who" }, me.name, make("small", { textContent: role })), out);
}

async function signOut() {
  await fetch("/api/session", { method: "DELETE" }).catch(() => {});
  location.replace("/login");
}
