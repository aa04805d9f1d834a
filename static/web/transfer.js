// One file on its way to the portal in parts, by the tus 1.0.0 protocol (docs/api.md, Uploads in parts).
// It goes on after a lost connection by itself, and after a reload when it is given the same file again.

const PIECE = 4 * 2 ** 20; // a tenant's request may have no more
const PAUSES = [1, 2, 4, 8, 16, 30]; // seconds before each further try
const WINDOW = 8000; // milliseconds over which the speed is measured
const TUS = { "Tus-Resumable": "1.0.0" };
const KEPT = "gf-uploads";

/** Uploads that this browser began, by file: name, size and time of change tell files apart. */
export const memory = {
  all() {
    try {
      return JSON.parse(localStorage.getItem(KEPT)) ?? {};
    } catch {
      return {};
    }
  },
  write(all) {
    try {
      localStorage.setItem(KEPT, JSON.stringify(all));
    } catch {
      // Without storage an upload goes on after a lost connection, only not after a reload.
    }
  },
  keep: (key, entry) => memory.write({ ...memory.all(), [key]: entry }),
  forget(url) {
    memory.write(Object.fromEntries(Object.entries(memory.all()).filter(([, entry]) => entry.url !== url)));
  },
};

const keyOf = (file, kind) => [kind, file.name, file.size, file.lastModified].join("|");
const encoded = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/** An answer's status (0 where there was none), headers and problem document. */
export function ask(method, url, { headers = {}, body = null, csrf = "", onProgress, onRequest } = {}) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    const all = { ...TUS, Accept: "application/json", "X-CSRFToken": csrf, ...headers };
    for (const [name, value] of Object.entries(all)) request.setRequestHeader(name, value);
    if (onProgress) request.upload.addEventListener("progress", (event) => onProgress(event.loaded));
    request.addEventListener("loadend", () => resolve(new Answer(request)));
    onRequest?.(request);
    request.send(body);
  });
}

class Answer {
  constructor(request) {
    this.status = request.status;
    this.offset = Number(request.getResponseHeader("Upload-Offset") ?? NaN);
    this.length = Number(request.getResponseHeader("Upload-Length") ?? NaN);
    try {
      this.json = JSON.parse(request.responseText);
    } catch {
      this.json = {};
    }
  }

  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  get isGone() {
    return this.status === 404 || this.status === 410;
  }

  /** Whether asking again may help. */
  get isPassing() {
    return this.status === 0 || this.status === 409 || this.status === 423 || this.status >= 460;
  }

  get sentence() {
    const { detail = `The portal answered ${this.status}.`, advice = "" } = this.json;
    return `${detail} ${advice}`.trim();
  }
}

export class Refused extends Error {}

async function checksum(bytes) {
  if (!globalThis.crypto?.subtle) return {}; // the browser has none on a page without HTTPS
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return { "Upload-Checksum": `sha256 ${btoa(String.fromCharCode(...new Uint8Array(digest)))}` };
}

/**
 * `csrf` gives the token of the moment. `report` hears {state, offset, rate, left, sentence}: state is sending, waiting, paused, done or refused; rate is
 * bytes a second, left is seconds.
 */
export class Transfer {
  #samples = [];
  #request = null;
  #wake = null;
  #failures = 0;

  constructor(file, { endpoint, kind, csrf, report }) {
    Object.assign(this, { file, endpoint, kind, csrf, report, url: "", offset: 0, state: "sending" });
  }

  get key() {
    return keyOf(this.file, this.kind);
  }

  get isActive() {
    return ["sending", "waiting", "paused"].includes(this.state);
  }

  async run() {
    try {
      while (this.isActive && !(this.url && this.offset === this.file.size)) await this.#step();
      if (this.isActive) this.#say("done");
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      memory.forget(this.url);
      this.#say("refused", error.message);
    }
  }

  pause() {
    if (this.state !== "sending" && this.state !== "waiting") return;
    this.#say("paused");
    this.#request?.abort();
    this.#wake?.();
  }

  resume() {
    this.#failures = 0;
    if (this.state === "paused") this.#say("sending");
    this.#wake?.();
  }

  /** Stop for good; what has arrived is dropped. */
  async cancel() {
    this.state = "cancelled";
    this.#request?.abort();
    this.#wake?.();
    memory.forget(this.url);
    if (this.url) await ask("DELETE", this.url, { csrf: this.csrf() });
  }

  async #step() {
    if (this.state === "paused") return this.#sleep();
    const answer = await (this.located ? this.#piece() : this.#locate());
    if (!this.isActive || this.state === "paused") {
      this.located = false;
      return undefined;
    }
    return answer.ok ? undefined : this.#afterFailure(answer);
  }

  /** Find out where a known upload stands, or announce a new one. */
  async #locate() {
    this.url ||= memory.all()[this.key]?.url ?? "";
    if (!this.url) return this.#announce();
    const answer = await ask("HEAD", this.url);
    const fits = answer.ok && answer.length === this.file.size;
    if (fits) this.#stand(answer.offset);
    else if (answer.isGone || answer.ok) {
      memory.forget(this.url);
      this.url = "";
      return this.#announce();
    }
    return answer;
  }

  async #announce() {
    const about = `kind ${encoded(this.kind)},filename ${encoded(this.file.name.slice(-200))}`;
    const headers = { "Upload-Length": String(this.file.size), "Upload-Metadata": about };
    const answer = await ask("POST", this.endpoint, { headers, csrf: this.csrf() });
    if (answer.ok) {
      this.url = new URL(answer.json.url, location.href).pathname;
      memory.keep(this.key, { url: this.url, kind: this.kind, name: this.file.name, size: this.file.size });
      this.#stand(0);
    } else if (answer.status !== 0 && answer.status < 500) throw new Refused(answer.sentence);
    return answer;
  }

  #stand(offset) {
    this.offset = offset;
    this.located = true;
    this.#samples = [];
    this.#say("sending");
  }

  async #piece() {
    const from = this.offset;
    let bytes;
    try {
      bytes = await this.file.slice(from, from + PIECE).arrayBuffer();
    } catch {
      throw new Refused("The file cannot be read any more: it was changed or moved. Choose it again.");
    }
    const answer = await ask("PATCH", this.url, {
      body: bytes,
      csrf: this.csrf(),
      headers: {
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": String(from),
        ...(await checksum(bytes)),
      },
      onRequest: (request) => (this.#request = request),
      onProgress: (sent) => this.#measure(from + sent),
    });
    if (answer.ok) {
      this.#failures = 0;
      this.#measure((this.offset = answer.offset));
    }
    return answer;
  }

  #afterFailure(answer) {
    this.located = false;
    if (answer.isGone) {
      memory.forget(this.url);
      this.url = "";
      return undefined;
    }
    if (answer.status === 401 || answer.status === 403) {
      this.#say("paused", "Your session has ended. Sign in in another tab, then resume.");
      return undefined;
    }
    if (!answer.isPassing) throw new Refused(answer.sentence);
    const pause = PAUSES[Math.min(this.#failures++, PAUSES.length - 1)];
    if (answer.status === 409) return undefined;
    const why = answer.status === 0 ? "The connection was lost." : answer.sentence;
    this.#say("waiting", `${why} Trying again in ${pause} s.`);
    return this.#sleep(pause * 1000);
  }

  /** Until resumed, connected again, or the time is over. */
  async #sleep(milliseconds) {
    await new Promise((resolve) => {
      this.#wake = resolve;
      addEventListener("online", resolve, { once: true });
      if (milliseconds) setTimeout(resolve, milliseconds);
    });
    this.#wake = null;
    if (this.state === "waiting") this.#say("sending");
  }

  #measure(offset) {
    const now = performance.now();
    this.#samples.push([now, offset]);
    while (this.#samples.length > 2 && now - this.#samples[0][0] > WINDOW) this.#samples.shift();
    if (this.state === "sending") this.#say("sending", "", offset);
  }

  #say(state, sentence = "", offset = this.offset) {
    this.state = state;
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    const seconds = first ? (last[0] - first[0]) / 1000 : 0;
    const rate = seconds > 0.2 ? (last[1] - first[1]) / seconds : 0;
    this.report({ state, offset, rate, left: rate ? (this.file.size - offset) / rate : 0, sentence });
  }
}
