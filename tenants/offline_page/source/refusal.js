/** What the page does not accept: a stable `code`, a sentence that says what happened, and what to do about it. */
export class Refusal extends Error {
  constructor(code, message, advice = "") {
    super(message);
    this.name = "Refusal";
    this.code = code;
    this.advice = advice;
  }
}
