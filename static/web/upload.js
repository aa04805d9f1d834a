// File inputs with data-resumable become places to drop a file, which is sent while the form is being filled in.
// Without this script they are what they look like: a file that goes with the form.

import { Transfer, ask, memory } from "./transfer.js";

const fields = new WeakMap();

function part(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function size(bytes) {
  const [unit, name] = [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]].find(([each]) => bytes >= each) ?? [1, "bytes"];
  return `${(bytes / unit).toFixed(unit === 1 || bytes / unit >= 100 ? 0 : 1)} ${name}`;
}

function span(seconds) {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.ceil(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.ceil((seconds % 3600) / 60)} min`;
}

class Field {
  constructor(input) {
    this.input = input;
    this.form = input.form;
    this.hidden = this.form.elements[`${input.name}_upload`];
    this.transfer = null;
    this.#build();
    if (input.files.length) this.begin(input.files[0]); // chosen before this script was here
    else this.#recall();
  }

  #build() {
    const label = this.form.querySelector(`label[for="${this.input.id}"]`)?.textContent.trim().toLowerCase() ?? "file";
    this.hint = part("p", { className: "drop-hint", textContent: `Drop the ${label} here, or choose it.` });
    this.zone = part("div", { className: "drop" });
    this.input.replaceWith(this.zone);
    this.zone.append(this.hint, this.input);
    this.name = part("p", { className: "transfer-name" });
    this.bar = part("progress", { max: 1, value: 0 });
    this.bar.setAttribute("aria-label", `Upload of the ${label}`);
    this.line = part("p", { className: "transfer-line" });
    this.said = part("p", { className: "visually-hidden" });
    this.said.setAttribute("role", "status");
    this.problem = part("p", { className: "field-error", hidden: true });
    this.problem.setAttribute("role", "alert");
    this.pauseButton = part("button", { type: "button", className: "button button-small" });
    this.dropButton = part("button", { type: "button", className: "button button-small" });
    const buttons = part("div", { className: "transfer-buttons" }, this.pauseButton, this.dropButton);
    this.panel = part("div", { className: "transfer", hidden: true }, this.name, this.bar, this.line, buttons);
    this.zone.after(this.panel, this.said, this.problem);
    this.pauseButton.addEventListener("click", () => this.#pauseOrResume());
    this.dropButton.addEventListener("click", () => this.#drop());
    this.input.addEventListener("change", () => this.input.files[0] && this.begin(this.input.files[0]));
    for (const kind of ["dragenter", "dragover"]) this.zone.addEventListener(kind, (event) => this.#over(event, true));
    for (const kind of ["dragleave", "drop"]) this.zone.addEventListener(kind, (event) => this.#over(event, false));
    this.zone.addEventListener("drop", (event) => event.dataTransfer.files[0] && this.begin(event.dataTransfer.files[0]));
  }

  #over(event, on) {
    event.preventDefault();
    this.zone.classList.toggle("drop-over", on && !this.input.disabled);
  }

  /** What was begun before: by this form, which came back with an error, in this browser, or elsewhere. */
  async #recall() {
    const { resumable, kind } = this.input.dataset;
    const answer = await ask("GET", resumable);
    if (this.transfer || !answer.ok) return;
    const open = answer.json.filter((each) => each.kind === kind && !each.job_id);
    const known = new Set(Object.values(memory.all()).map((entry) => entry.url));
    const pathOf = (each) => new URL(each.url, location.href).pathname;
    const given = open.find((each) => each.id === this.hidden.value);
    const own = open.find((each) => known.has(pathOf(each)));
    const found = given ?? own ?? open[0];
    this.hidden.value = "";
    if (!found) return;
    const { id, filename, length, offset } = found;
    if (offset === length && (given || own)) this.#arrived(id, filename, length, pathOf(found));
    else this.#showStopped(found, pathOf(found), Boolean(own));
  }

  #showStopped({ filename, offset, length }, url, isOwn) {
    this.stopped = url;
    this.#show(filename, length, offset);
    const how = isOwn ? "Choose the same file again to go on." : "It was begun elsewhere: go on there, or forget it.";
    this.line.textContent = `Stopped at ${size(offset)} of ${size(length)}. ${how}`;
    this.pauseButton.hidden = true;
    this.dropButton.textContent = "Forget it";
    this.#lock(false);
  }

  begin(file) {
    if (this.input.disabled) return;
    const most = Number(this.input.dataset.maxBytes);
    this.problem.hidden = true;
    if (file.size > most) return this.#refuse(`${file.name} has ${size(file.size)}; at most ${size(most)} are taken.`);
    if (file.size === 0) return this.#refuse(`${file.name} is empty.`);
    this.#suggest(file.name);
    this.hidden.value = "";
    this.#show(file.name, file.size, 0);
    this.#lock(true);
    this.pauseButton.hidden = false;
    this.dropButton.textContent = "Cancel";
    this.quarter = 0;
    const { resumable: endpoint, kind } = this.input.dataset;
    this.transfer = new Transfer(file, { endpoint, kind, csrf: () => this.csrf, report: (news) => this.#draw(news) });
    this.#say(`Sending ${file.name}.`);
    return this.transfer.run();
  }

  /** The cookie's, which is right again after signing in in another tab; else the form's. */
  get csrf() {
    const name = `${this.input.dataset.csrfCookie}=`;
    const cookie = document.cookie.split("; ").find((each) => each.startsWith(name));
    return cookie?.slice(name.length) || (this.form.elements.csrfmiddlewaretoken?.value ?? "");
  }

  get isBusy() {
    return Boolean(this.transfer?.isActive);
  }

  /** Send the form as soon as the file is there. */
  sendLater(submitter) {
    this.submitter = submitter;
    this.waits = true;
    this.line.textContent += " The form is sent when the file is there.";
    this.transfer.resume();
  }

  #suggest(name) {
    const other = this.form.elements[this.input.dataset.suggests ?? ""];
    if (!other || other.value) return;
    this.suggested = name.replace(/\.[^.]*$/, "").slice(0, 63);
    other.value = this.suggested;
  }

  /** A file that was not taken leaves no name behind. */
  #withdraw() {
    const other = this.form.elements[this.input.dataset.suggests ?? ""];
    if (other && other.value === this.suggested) other.value = "";
  }

  #show(name, length, offset) {
    this.panel.hidden = false;
    this.name.textContent = `${name}, ${size(length)}`;
    this.bar.max = length;
    this.bar.value = offset;
  }

  #lock(on) {
    this.zone.hidden = on;
    this.input.disabled = on;
  }

  #draw({ state, offset, rate, left, sentence }) {
    const length = this.transfer.file.size;
    this.bar.value = offset;
    if (state === "done") return this.#done();
    if (state === "refused") return this.#refuse(sentence);
    const parts = [`${Math.floor((100 * offset) / length)} %`, `${size(offset)} of ${size(length)}`];
    if (state === "sending" && rate) parts.push(`${size(rate)} a second`, `${span(left)} left`);
    if (state === "paused" && !sentence) parts.push("paused");
    this.line.textContent = `${parts.join(", ")}. ${sentence}${this.waits ? " The form is sent when the file is there." : ""}`;
    this.pauseButton.textContent = state === "paused" ? "Resume" : state === "waiting" ? "Try now" : "Pause";
    this.#announce(state, offset / length, sentence);
    return undefined;
  }

  #announce(state, share, sentence) {
    if (state !== this.state && state !== "sending") this.#say(sentence || "The upload is paused.");
    else if (Math.floor(share * 4) > this.quarter) {
      this.quarter = Math.floor(share * 4);
      this.#say(`${this.quarter * 25} % sent.`);
    }
    this.state = state;
  }

  #say(text) {
    this.said.textContent = text;
  }

  #done() {
    const { url, file } = this.transfer;
    this.#arrived(url.split("/").at(-2), file.name, file.size, url);
    this.#say(`${file.name} is there.`);
    if (this.waits) this.form.requestSubmit(this.submitter);
  }

  #arrived(id, name, length, url) {
    this.arrivedAt = url;
    this.hidden.value = id;
    this.#show(name, length, length);
    this.#lock(true);
    this.line.textContent = "It is there. Nothing is done with it before you send the form.";
    this.pauseButton.hidden = true;
    this.dropButton.textContent = "Take another file";
  }

  #refuse(sentence) {
    this.#reset();
    this.problem.textContent = sentence;
    this.problem.hidden = false;
  }

  #pauseOrResume() {
    if (this.transfer.state === "sending") this.transfer.pause();
    else this.transfer.resume();
  }

  async #drop() {
    const { transfer, stopped, arrivedAt } = this;
    this.#reset();
    this.#say("The upload was cancelled.");
    this.input.focus();
    if (transfer?.isActive) return transfer.cancel();
    for (const url of [stopped, arrivedAt]) {
      if (!url) continue;
      memory.forget(url);
      await ask("DELETE", url, { csrf: this.csrf });
    }
    return undefined;
  }

  #reset() {
    this.#withdraw();
    Object.assign(this, { transfer: null, stopped: "", arrivedAt: "", waits: false, state: "" });
    this.hidden.value = "";
    this.panel.hidden = true;
    this.#lock(false);
    this.input.value = "";
  }
}

function prepare() {
  for (const input of document.querySelectorAll("input[type=file][data-resumable]")) {
    if (!fields.has(input)) fields.set(input, new Field(input));
  }
}

const fieldsOf = (form) => [...form.querySelectorAll("input[type=file][data-resumable]")].map((each) => fields.get(each));

// Before anything else hears of it: a form whose file is on its way waits for the file.
document.addEventListener(
  "submit",
  (event) => {
    const busy = fieldsOf(event.target).find((field) => field?.isBusy);
    if (!busy) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    busy.sendLater(event.submitter);
  },
  true,
);

// A file dropped beside the place for it must not take the page away.
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (document.querySelector(".drop") && event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
}

document.addEventListener("htmx:afterSettle", prepare);
prepare();
