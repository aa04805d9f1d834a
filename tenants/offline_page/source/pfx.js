// One private key and its certificate in a PKCS #12 file (RFC 7292), in the form that `gf guardian new` writes:
// PBES2 (PBKDF2-HMAC-SHA-256, AES-256-CBC) for both, HMAC-SHA-256 over the whole.
import { TAG, context, der, malformed, numberOf, oid, readWhole, sequence, smallInteger } from "./der.js";
import { random, same, utf8, wipe } from "./octets.js";
import { MAC_DIGEST, isRightMac, macData, readMac } from "./pfx_mac.js";
import { Refusal } from "./refusal.js";

const KDF_ROUNDS = 600_000;
const KDF_ROUNDS_MAX = 10_000_000;

export const DATA = oid("1.2.840.113549.1.7.1");
export const ENCRYPTED_DATA = oid("1.2.840.113549.1.7.6");
const PBES2 = oid("1.2.840.113549.1.5.13");
const PBKDF2 = oid("1.2.840.113549.1.5.12");
const PRF = sequence(oid("1.2.840.113549.2.9"), der(TAG.null));
const AES_256_CBC = oid("2.16.840.1.101.3.4.1.42");
export const SHROUDED_KEY_BAG = oid("1.2.840.113549.1.12.10.1.2");
export const CERTIFICATE_BAG = oid("1.2.840.113549.1.12.10.1.3");
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

/** The private key (PKCS #8) in a file that `writePfx` or `gf` wrote; the caller wipes it. Throws a Refusal. */
export async function openPfx(octets, passphrase) {
  const outer = readWhole(octets, TAG.sequence).inner();
  if (numberOf(outer.take(TAG.integer)) !== 3) throw malformed();
  const safe = readDataInfo(outer);
  const mac = readMac(outer.take(TAG.sequence).inner(), [MAC_DIGEST]);
  outer.end();
  if (!(await isRightMac(mac, safe, passphrase))) {
    throw new Refusal("wrong-passphrase", "The passphrase is wrong, or the file is damaged.");
  }
  return openPbes2(readShroudedKey(safe), passphrase);
}

/** What a ContentInfo of the type data holds. */
export function readDataInfo(reader) {
  const info = reader.take(TAG.sequence).inner();
  if (!same(info.take(TAG.oid).octets, DATA)) throw malformed();
  const explicit = info.take(context(0)).contents;
  info.end();
  return readWhole(explicit, TAG.octetString).contents;
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

/** The parameters of PBES2 in the one form that is written here. */
export function readPbes2(reader) {
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

/** What PBES2 encrypted, with the parameters that `readPbes2` gave and its `value`. Throws a Refusal. */
export async function openPbes2({ salt, rounds, iv, value }, passphrase) {
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
