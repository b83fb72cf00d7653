// The stack under test, as given in the environment (see run.mjs), and the official libraries set up for it.
import { Client as Directory } from '@did-plc/lib'
import { IdResolver } from '@atproto/identity'

function required(name) {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set: start the suites with run.mjs`)
  return value
}

export const pds = required('STACK_PDS')
export const identity = required('STACK_IDENTITY')
export const relay = required('STACK_RELAY')
/** Folder that the PDS puts its mail into. */
export const outbox = required('STACK_OUTBOX')
/** Which services are the reference peers, whose known defects some cases step over. */
export const isReference = Object.fromEntries(
  (process.env.STACK_REFERENCE ?? '').split(',').map((service) => [service, true]),
)
export const adminHeaders = {
  authorization: `Basic ${Buffer.from(`admin:${required('STACK_ADMIN_PASSWORD')}`).toString('base64')}`,
}

/** A resolver of the official library; it refuses loopback addresses unless it is given a plain fetch. */
export function resolver() {
  return new IdResolver({ plcUrl: identity, fetch: globalThis.fetch })
}

export const directory = new Directory(identity)

/** Options of `test` that step over a case where `service` is the reference peer, with the reason. */
export function notOnReference(service, reason) {
  return isReference[service] ? { skip: `the reference ${service} ${reason}` } : {}
}

/** The service's own DID, the audience of service tokens. */
export async function serverDid() {
  const answer = await fetch(`${pds}/xrpc/com.atproto.server.describeServer`)
  return (await answer.json()).did
}

/** Waits until `check` answers something truthy and gives that back. */
export async function eventually(what, check, limitMs = 15_000) {
  const end = Date.now() + limitMs
  for (;;) {
    const result = await check()
    if (result) return result
    if (Date.now() > end) throw new Error(`waited ${limitMs} ms in vain for ${what}`)
    await new Promise((done) => setTimeout(done, 50))
  }
}
