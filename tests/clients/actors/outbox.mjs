// Reads the mail that the PDS has put into its outbox folder.
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { eventually, outbox } from './stack.mjs'

const CODE = /\b[A-Z2-7]{5}-[A-Z2-7]{5}\b/

function mails() {
  return readdirSync(outbox)
    .filter((name) => name.endsWith('.eml'))
    .sort()
    .map((name) => decoded(readFileSync(join(outbox, name), 'utf8')))
}

/** Undoes soft line breaks and base64 parts, enough to find a code in the text. */
function decoded(mail) {
  const base64 = [...mail.matchAll(/base64\r?\n\r?\n([A-Za-z0-9+/=\r\n]+)/g)]
  const parts = base64.map(([, body]) => Buffer.from(body, 'base64').toString('utf8'))
  return [mail.replaceAll(/=\r?\n/g, ''), ...parts].join('\n')
}

function to(address) {
  return mails().filter((mail) => new RegExp(`^to:.*${address.replaceAll('.', '\\.')}`, 'im').test(mail))
}

/** How many mails the address has got so far. */
export function mailCount(address) {
  return to(address).length
}

/** Runs `action`, waits for the mail it causes and gives the code in it. */
export async function codeMailedTo(address, action) {
  const before = mailCount(address)
  await action()
  const mail = await eventually(`a mail to ${address}`, () => to(address)[before])
  const code = mail.match(CODE)?.[0]
  if (!code) throw new Error(`no code in the mail:\n${mail}`)
  return code
}
