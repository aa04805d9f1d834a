// What the tests call of the page's modules. It is bundled with them for the tests alone.
import { certificateSigner } from "./algorithms.js";
import {
  LINUX_KEYS,
  PLACEHOLDERS,
  PORTAL_VALUES,
  checkAnswerFile,
  isLinuxAnswerFile,
  linuxAnswerFile,
  missingInPortal,
  substitutionStrings,
} from "./answerfile.js";
import { openCatalog } from "./catalog.js";
import { ROLES, checkFiles, neededFiles, serialiseContent } from "./content.js";
import { certificateFor, issueSelfSigned } from "./certificate.js";
import { createGuardian } from "./guardian.js";
import { datesOutside, openMetadata } from "./metadata.js";
import { base64, fromBase64 } from "./octets.js";
import { newOwner, openOwner } from "./owner_guardian.js";
import { writePdk } from "./pdk.js";
import { openPfx, writePfx } from "./pfx.js";
import { qualifier } from "./qualifier.js";
import { checkRdpCertificate } from "./rdp.js";
import { Refusal } from "./refusal.js";
import { sha512Crypt } from "./sha512_crypt.js";
import { checkAuthorizedKeys, hostKeyLine, newHostKey, sshFingerprint } from "./ssh.js";
import { canonicalOf, checkWellFormed, parseDocument } from "./xmlform.js";
import { buildText, canonical } from "./xmlwriting.js";

const known = {
  LINUX_KEYS,
  PLACEHOLDERS,
  PORTAL_VALUES,
  ROLES,
  buildText,
  canonical,
  canonicalOf,
  certificateFor,
  certificateSigner,
  checkAnswerFile,
  checkAuthorizedKeys,
  checkFiles,
  checkRdpCertificate,
  checkWellFormed,
  createGuardian,
  datesOutside,
  hostKeyLine,
  isLinuxAnswerFile,
  issueSelfSigned,
  linuxAnswerFile,
  missingInPortal,
  neededFiles,
  newHostKey,
  newOwner,
  openCatalog,
  openMetadata,
  openOwner,
  openPfx,
  parseDocument,
  qualifier,
  serialiseContent,
  sha512Crypt,
  sshFingerprint,
  substitutionStrings,
  writePdk,
  writePfx,
};

const unpacked = (value) => (value?.octets === undefined ? value : fromBase64(value.octets));
const packed = (value) => (value instanceof Uint8Array ? { octets: base64(value) } : value);

globalThis.core = {
  async run(source, sent) {
    const names = Object.keys(known);
    const work = new Function(...names, `return ${source}`)(...Object.values(known));
    try {
      return { given: packed(await work(...sent.map(unpacked))) };
    } catch (error) {
      if (error instanceof Refusal) return { refused: error.code };
      throw error;
    }
  },
};
