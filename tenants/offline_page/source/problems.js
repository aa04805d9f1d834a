// Problems are said next to the field they are about, which gets the focus; progress is said in a live region.
import { byId } from "./dom.js";
import { Refusal } from "./refusal.js";

/** A refusal that is about the field with this id. */
class FieldProblem extends Error {
  constructor(field, cause) {
    super(cause.message, { cause });
    this.field = field;
  }
}

/** What `work` gives; a refusal in it is about `field`. */
export async function about(field, work) {
  try {
    return await work();
  } catch (error) {
    throw error instanceof Refusal ? new FieldProblem(field, error) : error;
  }
}

/** A problem with a field. */
export function problem(field, code, message, advice = "") {
  return new FieldProblem(field, new Refusal(code, message, advice));
}

/** Say what went wrong at its field, or at `fallback`, and go there. */
export function showProblem(error, fallback) {
  const field = byId(error.field ?? fallback);
  const place = byId(`${field.id}-problem`);
  place.textContent = sentence(error.cause ?? error);
  place.hidden = false;
  field.setAttribute("aria-invalid", "true");
  field.closest("details")?.setAttribute("open", "");
  field.focus();
  field.scrollIntoView({ block: "center" });
}

function sentence(error) {
  if (error instanceof Refusal) return [error.message, error.advice].filter(Boolean).join(" ");
  return `The browser could not do this (${error.name}: ${error.message}). Nothing was made; try again.`;
}

/** Take back what was said about the fields inside an element. */
export function clearProblems(within) {
  for (const place of within.querySelectorAll(".problem")) place.hidden = true;
  for (const field of within.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

/** Say something in the live region. */
export function announce(text) {
  byId("status").textContent = text;
}

/** Run what a button or a file field starts, one at a time, and say what goes wrong. */
export async function attempt(within, fallback, work, button) {
  clearProblems(within);
  button?.setAttribute("disabled", "");
  try {
    await work();
  } catch (error) {
    announce("");
    showProblem(error, fallback);
  } finally {
    button?.removeAttribute("disabled");
  }
}
