// Signing in: on success the browser holds the session's cookie, which no script can read.

import { applyTheme } from "./theme.js";

const form = document.getElementById("signin");
const button = form.querySelector("button");
const problem = document.getElementById("problem");
const password = form.elements.password;

function say(text) {
  problem.textContent = text;
  problem.hidden = !text;
}

async function signIn() {
  const answer = await fetch("/api/session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name: form.elements.name.value.trim(), password: password.value }),
  });
  if (answer.ok) return location.replace("/");
  const { what, remedy } = await answer.json();
  if (answer.status === 401) say("Wrong name or password.");
  else if (answer.status === 429) say(`Too many wrong passwords: ${remedy}.`);
  else say([what, remedy].filter(Boolean).join(": "));
  password.select();
}

form.addEventListener("submit", async (submit) => {
  submit.preventDefault();
  say("");
  button.disabled = true;
  try {
    await signIn();
  } catch {
    say("The monitor does not answer. Try again.");
  } finally {
    button.disabled = false;
  }
});

applyTheme();
