// Reads the mail that the PDS has put into its outbox folder.
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually, outbox } from './stack.mjs'

const CODE = /\b[A-Z2-7]{5}-[A-Z2-7]{5}\b/

/** The mails so far; the folder appears with the first one. */
function mails(folder) {
  return globSync(join(folder, '*.eml'))
    .sort()
    .map((file) => decoded(readFileSync(file, 'utf8')))
}

/** Undoes soft line breaks and base64 parts, enough to find a code in the text. */
function decoded(mail) {
  const base64 = [...mail.matchAll(/base64\r?\n\r?\n([A-Za-z0-9+/=\r\n]+)/g)]
  const parts = base64.map(([, body]) => Buffer.from(body, 'base64').toString('utf8'))
  return [mail.replaceAll(/=\r?\n/g, ''), ...parts].join('\n')
}

function to(address, folder) {
  return mails(folder).filter((mail) => new RegExp(`^to:.*${address.replaceAll('.', '\\.')}`, 'im').test(mail))
}

/** Runs `action`, waits for the mail it causes and gives the code in it. */
export async function codeMailedTo(address, action, folder = outbox) {
  const before = to(address, folder).length
  await action()
  const mail = await eventually(`a mail to ${address}`, () => to(address, folder)[before])
  const code = mail.match(CODE)?.[0]
  if (!code) throw new Error(`no code in the mail:\n${mail}`)
  return code
}
