// One private key and its certificate in a PKCS #12 file (RFC 7292), in the form that `gf guardian new` writes:
// PBES2 (PBKDF2-HMAC-SHA-256, AES-256-CBC) for both, HMAC-SHA-256 over the whole with the key derivation of appendix B.
import { TAG, context, der, malformed, numberOf, oid, readWhole, sequence, smallInteger } from "./der.js";
import { concat, random, same, sha256, utf8, wipe } from "./octets.js";
import { Refusal } from "./refusal.js";

const KDF_ROUNDS = 600_000;
const KDF_ROUNDS_MAX = 10_000_000;
const MAC_ROUNDS = 2048;
const MAC_ROUNDS_MAX = 100_000;
const MAC_KEY_ID = 3;
const BLOCK = 64;

const DATA = oid("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA = oid("1.2.840.113549.1.7.6");
const PBES2 = oid("1.2.840.113549.1.5.13");
const PBKDF2 = oid("1.2.840.113549.1.5.12");
const PRF = sequence(oid("1.2.840.113549.2.9"), der(TAG.null));
const AES_256_CBC = oid("2.16.840.1.101.3.4.1.42");
const SHA_256 = sequence(oid("2.16.840.1.101.3.4.2.1"), der(TAG.null));
const SHROUDED_KEY_BAG = oid("1.2.840.113549.1.12.10.1.2");
const CERTIFICATE_BAG = oid("1.2.840.113549.1.12.10.1.3");
const X509_CERTIFICATE = oid("1.2.840.113549.1.9.22.1");

/** A PKCS #12 file with this key (PKCS #8) and its certificate under a passphrase (text). */
export async function writePfx(pkcs8, certificate, passphrase, rounds = KDF_ROUNDS) {
  const bag = sequence(X509_CERTIFICATE, der(context(0), der(TAG.octetString, certificate)));
  const certificates = await pbes2(sequence(sequence(CERTIFICATE_BAG, der(context(0), bag))), passphrase, rounds);
  const key = await pbes2(pkcs8, passphrase, rounds);
  const shrouded = sequence(key.algorithm, der(TAG.octetString, key.value));
  const keys = sequence(sequence(SHROUDED_KEY_BAG, der(context(0), shrouded)));
  const encrypted = sequence(
    smallInteger(0),
    sequence(DATA, certificates.algorithm, der(0x80, certificates.value)),
  );
  const safe = sequence(sequence(ENCRYPTED_DATA, der(context(0), encrypted)), dataInfo(keys));
  return sequence(smallInteger(3), dataInfo(safe), await macData(safe, passphrase));
}

function dataInfo(octets) {
  return sequence(DATA, der(context(0), der(TAG.octetString, octets)));
}

async function macData(safe, passphrase) {
  const salt = random(16);
  const mac = await macOf(safe, passphrase, salt, MAC_ROUNDS);
  return sequence(sequence(SHA_256, der(TAG.octetString, mac)), der(TAG.octetString, salt), smallInteger(MAC_ROUNDS));
}

/** The private key (PKCS #8) in a file that `writePfx` or `gf` wrote; the caller wipes it. Throws a Refusal. */
export async function openPfx(octets, passphrase) {
  const outer = readWhole(octets, TAG.sequence).inner();
  if (numberOf(outer.take(TAG.integer)) !== 3) throw malformed();
  const safe = readDataInfo(outer);
  const mac = readMac(outer.take(TAG.sequence).inner());
  outer.end();
  if (!same(mac.value, await macOf(safe, passphrase, mac.salt, mac.rounds))) {
    throw new Refusal("wrong-passphrase", "The passphrase is wrong, or the file is damaged.");
  }
  return openPbes2(readShroudedKey(safe), passphrase);
}

function readDataInfo(reader) {
  const info = reader.take(TAG.sequence).inner();
  if (!same(info.take(TAG.oid).octets, DATA)) throw malformed();
  const explicit = info.take(context(0)).contents;
  info.end();
  return readWhole(explicit, TAG.octetString).contents;
}

function readMac(reader) {
  const digest = reader.take(TAG.sequence).inner();
  if (!same(digest.take(TAG.sequence).octets, SHA_256)) throw malformed();
  const value = digest.take(TAG.octetString).contents;
  digest.end();
  const salt = reader.take(TAG.octetString).contents;
  const rounds = numberOf(reader.take(TAG.integer));
  reader.end();
  if (!salt.length || rounds < 1 || rounds > MAC_ROUNDS_MAX) throw malformed();
  return { value, salt, rounds };
}

function readShroudedKey(safe) {
  const infos = readWhole(safe, TAG.sequence).inner();
  infos.take(TAG.sequence); // the certificate, which the file around this one holds too
  const keys = readWhole(readDataInfo(infos), TAG.sequence).inner();
  infos.end();
  const bag = keys.take(TAG.sequence).inner();
  keys.end();
  if (!same(bag.take(TAG.oid).octets, SHROUDED_KEY_BAG)) throw malformed();
  const shrouded = readWhole(bag.take(context(0)).contents, TAG.sequence).inner();
  const found = { ...readPbes2(shrouded.take(TAG.sequence).inner()), value: shrouded.take(TAG.octetString).contents };
  shrouded.end();
  return found;
}

function readPbes2(reader) {
  if (!same(reader.take(TAG.oid).octets, PBES2)) throw malformed();
  const parameters = reader.take(TAG.sequence).inner();
  reader.end();
  const derivation = parameters.take(TAG.sequence).inner();
  const encryption = parameters.take(TAG.sequence).inner();
  parameters.end();
  if (!same(derivation.take(TAG.oid).octets, PBKDF2)) throw malformed();
  const inner = derivation.take(TAG.sequence).inner();
  const salt = inner.take(TAG.octetString).contents;
  const rounds = numberOf(inner.take(TAG.integer));
  if (!same(inner.take(TAG.sequence).octets, PRF)) throw malformed();
  inner.end();
  if (!same(encryption.take(TAG.oid).octets, AES_256_CBC)) throw malformed();
  const iv = encryption.take(TAG.octetString).contents;
  encryption.end();
  if (rounds < 1 || rounds > KDF_ROUNDS_MAX || iv.length !== 16) throw malformed();
  return { salt, rounds, iv };
}

async function pbes2(plaintext, passphrase, rounds) {
  const [salt, iv] = [random(16), random(16)];
  const key = await pbkdf2(passphrase, salt, rounds, "encrypt");
  const value = new Uint8Array(await crypto.subtle.encrypt({ name: "AES-CBC", iv }, key, plaintext));
  const derivation = sequence(PBKDF2, sequence(der(TAG.octetString, salt), smallInteger(rounds), PRF));
  const encryption = sequence(AES_256_CBC, der(TAG.octetString, iv));
  return { algorithm: sequence(PBES2, sequence(derivation, encryption)), value };
}

async function openPbes2({ salt, rounds, iv, value }, passphrase) {
  const key = await pbkdf2(passphrase, salt, rounds, "decrypt");
  try {
    return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-CBC", iv }, key, value));
  } catch {
    throw new Refusal("wrong-passphrase", "The passphrase is wrong, or the file is damaged.");
  }
}

async function pbkdf2(passphrase, salt, rounds, use) {
  const octets = utf8(passphrase);
  const base = await crypto.subtle.importKey("raw", octets, "PBKDF2", false, ["deriveKey"]);
  wipe(octets);
  const parameters = { name: "PBKDF2", hash: "SHA-256", salt, iterations: rounds };
  return crypto.subtle.deriveKey(parameters, base, { name: "AES-CBC", length: 256 }, false, [use]);
}

async function macOf(octets, passphrase, salt, rounds) {
  const secret = await macKey(passphrase, salt, rounds);
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  wipe(secret);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, octets));
}

/** RFC 7292, appendix B.2, for a key as long as the digest: one block of output, so nothing is added up. */
async function macKey(passphrase, salt, rounds) {
  const password = bmpString(passphrase);
  const diversifier = new Uint8Array(BLOCK).fill(MAC_KEY_ID);
  const input = concat(diversifier, repeated(salt), repeated(password));
  let digest = await sha256(input);
  wipe(password, input);
  for (let round = 1; round < rounds; round += 1) digest = await sha256(digest);
  return digest;
}

function repeated(octets) {
  const length = Math.ceil(octets.length / BLOCK) * BLOCK;
  return Uint8Array.from({ length }, (_, at) => octets[at % octets.length]);
}

/** UTF-16 with the big end first and a zero character at the end (appendix B.1). */
function bmpString(text) {
  const octets = new Uint8Array(text.length * 2 + 2);
  for (let at = 0; at < text.length; at += 1) {
    octets[at * 2] = text.charCodeAt(at) >> 8;
    octets[at * 2 + 1] = text.charCodeAt(at) & 255;
  }
  return octets;
}
