// SSH keys in shielding data: the guest's host key (Ed25519, in OpenSSH's own format) and the keys that may sign in.
import { base64, concat, fromBase64, random, same, sha256, textOf, utf8, wipe } from "./octets.js";
import { Refusal } from "./refusal.js";

export const HOST_KEY_MAX = 16 * 1024;
const AUTHORIZED_KEYS_MAX = 64;
const MAGIC = utf8("openssh-key-v1\0");
const TYPE = "ssh-ed25519";
const BLOCK = 8;
const BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END = "-----END OPENSSH PRIVATE KEY-----";
// PKCS #8 of an Ed25519 key (RFC 8410, section 7) up to its 32 octets.
const PKCS8_HEAD = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20);
const LINE_ENDS = /\r\n|[\n\r\v\f\u001c-\u001e\u0085\u2028\u2029]/;

/** A new host key: `{ file, line }`, the private key's file (octets, to be wiped) and its public half as text. */
export async function newHostKey() {
  const seed = random(32);
  const publicKey = await publicOf(seed);
  const blob = publicBlob(publicKey);
  const check = random(4);
  const empty = string(new Uint8Array());
  const pair = concat(string(publicKey), string(concat(seed, publicKey)));
  const open = concat(check, check, string(utf8(TYPE)), pair, empty);
  const padding = Uint8Array.from({ length: (BLOCK - (open.length % BLOCK)) % BLOCK }, (_, at) => at + 1);
  const none = string(utf8("none"));
  const whole = concat(MAGIC, none, none, empty, uint32(1), string(blob), string(concat(open, padding)));
  const body = base64(whole).match(/.{1,70}/g).join("\n");
  const file = utf8(`${BEGIN}\n${body}\n${END}\n`);
  wipe(seed, pair, open, whole);
  return { file, line: lineOf(blob) };
}

/** The public half of an open Ed25519 private key file, as `ssh-ed25519 AAAA…`. Throws a Refusal. */
export async function hostKeyLine(file) {
  const parts = readPrivateKey(file);
  const seed = parts.secret.slice(0, 32);
  const derived = await publicOf(seed);
  wipe(seed);
  if (!same(derived, parts.publicKey) || !same(parts.secret.subarray(32), parts.publicKey)) throw notAnOpenKey();
  return lineOf(publicBlob(parts.publicKey));
}

/** `SHA256:…` of a public key's line, as ssh shows it. */
export async function sshFingerprint(line) {
  const blob = fromBase64(line.split(" ")[1]);
  return `SHA256:${base64(await sha256(blob)).replace(/=+$/, "")}`;
}

function lineOf(blob) {
  return `${TYPE} ${base64(blob)}`;
}

function publicBlob(publicKey) {
  return concat(string(utf8(TYPE)), string(publicKey));
}

async function publicOf(seed) {
  const pkcs8 = concat(PKCS8_HEAD, seed);
  try {
    const key = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"]);
    const { x } = await crypto.subtle.exportKey("jwk", key);
    return fromBase64(`${x.replace(/-/g, "+").replace(/_/g, "/")}=`);
  } catch {
    throw new Refusal(
      "no-ed25519",
      "This browser cannot make Ed25519 keys.",
      "Use a newer one: Chromium 137, Firefox 129, Safari 17 or later.",
    );
  } finally {
    wipe(pkcs8);
  }
}

function uint32(number) {
  return Uint8Array.of(number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255);
}

function string(octets) {
  return concat(uint32(octets.length), octets);
}

class SshReader {
  constructor(octets) {
    this.octets = octets;
    this.at = 0;
  }

  take(count) {
    const found = this.octets.subarray(this.at, this.at + count);
    if (found.length !== count) throw notAnOpenKey();
    this.at += count;
    return found;
  }

  number() {
    return this.take(4).reduce((number, octet) => number * 256 + octet, 0);
  }

  string() {
    return this.take(this.number());
  }

  text() {
    return String.fromCharCode(...this.string().subarray(0, 256));
  }

  rest() {
    return this.take(this.octets.length - this.at);
  }
}

function notAnOpenKey() {
  return new Refusal(
    "ssh-host-key",
    "The SSH host key is not an OpenSSH Ed25519 private key without passphrase.",
    "Make one with: ssh-keygen -t ed25519 -N '' -f ssh_host_ed25519_key",
  );
}

function readPrivateKey(file) {
  const lines = textOf(file, notAnOpenKey().message).trim().split(/\r?\n/);
  if (lines[0] !== BEGIN || lines[lines.length - 1] !== END) throw notAnOpenKey();
  const reader = new SshReader(fromBase64(lines.slice(1, -1).join("")) ?? new Uint8Array());
  if (!same(reader.take(MAGIC.length), MAGIC)) throw notAnOpenKey();
  if (reader.text() !== "none" || reader.text() !== "none" || reader.text() !== "" || reader.number() !== 1) {
    throw notAnOpenKey();
  }
  const blob = reader.string();
  const inner = new SshReader(reader.string());
  if (reader.rest().length || inner.number() !== inner.number() || inner.text() !== TYPE) throw notAnOpenKey();
  const publicKey = inner.string();
  const secret = inner.string();
  inner.string();
  const padding = inner.rest();
  const isPadded = padding.length < BLOCK && padding.every((octet, at) => octet === at + 1);
  if (!isPadded || secret.length !== 64 || !same(blob, publicBlob(publicKey))) throw notAnOpenKey();
  return { publicKey, secret };
}

/** Public keys, one a line, in one form: comments and empty lines removed. Throws a Refusal. */
export function checkAuthorizedKeys(text) {
  const keys = text
    .split(LINE_ENDS)
    .map((line) => line.trim())
    .filter((line) => line && !line.startsWith("#"));
  if (!keys.length || keys.length > AUTHORIZED_KEYS_MAX) {
    throw new Refusal("authorized-keys", `Give 1 to ${AUTHORIZED_KEYS_MAX} public keys, one a line.`);
  }
  for (const key of keys) if (!isPublicKey(key)) throw notAPublicKey(key);
  return keys.map((key) => `${key}\n`).join("");
}

function notAPublicKey(line) {
  return new Refusal(
    "authorized-keys",
    `${line.slice(0, 40)}… is not an SSH public key.`,
    "Give the contents of files such as ~/.ssh/id_ed25519.pub, without options.",
  );
}

// The fields after the type: their number, and what the first of them must be.
const PUBLIC_KEYS = {
  "ssh-ed25519": (fields) => fields.length === 1 && fields[0].length === 32,
  "ssh-rsa": (fields) => fields.length === 2 && fields[1].length > 128,
  "ecdsa-sha2-nistp256": (fields) => isPoint(fields, "nistp256", 65),
  "ecdsa-sha2-nistp384": (fields) => isPoint(fields, "nistp384", 97),
  "ecdsa-sha2-nistp521": (fields) => isPoint(fields, "nistp521", 133),
  "sk-ssh-ed25519@openssh.com": (fields) => fields.length === 2 && fields[0].length === 32,
  "sk-ecdsa-sha2-nistp256@openssh.com": (fields) => fields.length === 3 && isPoint(fields.slice(0, 2), "nistp256", 65),
};

function isPoint(fields, curve, length) {
  const [name, point] = fields;
  return fields.length === 2 && same(name, utf8(curve)) && point.length === length && point[0] === 4;
}

function isPublicKey(line) {
  const [type, encoded] = line.split(/[ \t]+/);
  const check = Object.hasOwn(PUBLIC_KEYS, type) ? PUBLIC_KEYS[type] : undefined;
  const blob = fromBase64(encoded ?? "");
  if (!check || !blob) return false;
  try {
    const reader = new SshReader(blob);
    if (reader.text() !== type) return false;
    const fields = [];
    while (reader.at < blob.length) fields.push(reader.string());
    return check(fields);
  } catch {
    return false;
  }
}
