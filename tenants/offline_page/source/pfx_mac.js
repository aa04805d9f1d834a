// What authenticates a PKCS #12 file (RFC 7292): an HMAC over its contents, with the key derivation of appendix B.2.
import { TAG, der, malformed, numberOf, oid, sequence, smallInteger } from "./der.js";
import { concat, random, same, wipe } from "./octets.js";

const ROUNDS = 2048;
const ROUNDS_MAX = 100_000;
const KEY_ID = 3;
const SHA_256 = oid("2.16.840.1.101.3.4.2.1");

/** The digest of the files that `gf` and this page write, in the one way in which they name it. */
export const MAC_DIGEST = { name: "SHA-256", block: 64, algorithms: [sequence(SHA_256, der(TAG.null))] };
/** Those of other programs, too. */
export const MAC_DIGESTS = [
  { name: "SHA-256", block: 64, algorithms: namesOf(SHA_256) },
  { name: "SHA-1", block: 64, algorithms: namesOf(oid("1.3.14.3.2.26")) },
  { name: "SHA-384", block: 128, algorithms: namesOf(oid("2.16.840.1.101.3.4.2.2")) },
  { name: "SHA-512", block: 128, algorithms: namesOf(oid("2.16.840.1.101.3.4.2.3")) },
];

/** An algorithm without parameters, written in either of the two ways. */
function namesOf(identifier) {
  return [sequence(identifier, der(TAG.null)), sequence(identifier)];
}

/** The MacData of a new file whose authenticated contents are `safe`. */
export async function macData(safe, passphrase) {
  const salt = random(16);
  const value = await macOf(safe, passphrase, { digest: MAC_DIGEST, salt, rounds: ROUNDS });
  const info = sequence(MAC_DIGEST.algorithms[0], der(TAG.octetString, value));
  return sequence(info, der(TAG.octetString, salt), smallInteger(ROUNDS));
}

/** The MacData in a file, whose digest must be one of `digests`. Throws a Refusal. */
export function readMac(reader, digests) {
  const info = reader.take(TAG.sequence).inner();
  const { octets } = info.take(TAG.sequence);
  const digest = digests.find((one) => one.algorithms.some((name) => same(name, octets)));
  const value = info.take(TAG.octetString).contents;
  info.end();
  const salt = reader.take(TAG.octetString).contents;
  const rounds = numberOf(reader.take(TAG.integer));
  reader.end();
  if (!digest || !salt.length || rounds < 1 || rounds > ROUNDS_MAX) throw malformed();
  return { digest, value, salt, rounds };
}

/** Whether a MAC is that of these contents under this passphrase. */
export async function isRightMac(mac, safe, passphrase) {
  return same(mac.value, await macOf(safe, passphrase, mac));
}

async function macOf(octets, passphrase, { digest, salt, rounds }) {
  const secret = await macKey(passphrase, digest, salt, rounds);
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: digest.name }, false, ["sign"]);
  wipe(secret);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, octets));
}

/** For a key as long as the digest: one block of output, so nothing is added up. */
async function macKey(passphrase, { name, block }, salt, rounds) {
  const hash = async (octets) => new Uint8Array(await crypto.subtle.digest(name, octets));
  const password = bmpString(passphrase);
  const diversifier = new Uint8Array(block).fill(KEY_ID);
  const input = concat(diversifier, repeated(salt, block), repeated(password, block));
  let digest = await hash(input);
  wipe(password, input);
  for (let round = 1; round < rounds; round += 1) digest = await hash(digest);
  return digest;
}

function repeated(octets, block) {
  const length = Math.ceil(octets.length / block) * block;
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
