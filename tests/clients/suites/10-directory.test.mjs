import assert from 'node:assert/strict'
import { test } from 'node:test'
import { P256Keypair, Secp256k1Keypair } from '@atproto/crypto'
import {
  addSignature, createOp, createUpdateOp, getLastOpWithCid, signOperation, tombstoneOp, updateHandleOp,
  updateRotationKeysOp, validateOperationLog,
} from '@did-plc/lib'
import WebSocket from 'ws'
import { directory, eventually, identity, notOnReference, resolver } from '../actors/stack.mjs'

const PDS = 'https://pds.coop.example'
const OLD = 'is of 2023'

let count = 0

/** Somebody with keys of their own: `keys[0]` is the strongest rotation key. */
class Holder {
  static async registers(keyTypes = [Secp256k1Keypair, Secp256k1Keypair, Secp256k1Keypair]) {
    const holder = new Holder()
    holder.keys = await Promise.all(keyTypes.map((type) => type.create()))
    holder.handle = `holder${process.pid}n${++count}.test`
    const signing = await Secp256k1Keypair.create()
    const { op, did } = await createOp({
      signingKey: signing.did(),
      handle: holder.handle,
      pds: PDS,
      rotationKeys: holder.keys.map((key) => key.did()),
      signer: holder.keys.at(-1),
    })
    await directory.sendOperation(did, op)
    return Object.assign(holder, { did, genesis: op, signing: signing.did() })
  }

  /** An operation right after `op`, signed with the key. */
  after(op, key, handle) {
    return updateHandleOp(op, key, handle)
  }
}

async function post(did, body, type = 'application/json') {
  return fetch(`${identity}/${encodeURIComponent(did)}`, {
    method: 'POST',
    headers: { 'content-type': type },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
}

/** Asserts that the directory refused with this status and a JSON message. */
async function refuses(response, status, message = /./) {
  const text = await response.text()
  assert.equal(response.status, status, text.slice(0, 300))
  assert.match(JSON.parse(text).message, message)
}

test('a DID is registered and resolves to its document', async () => {
  const holder = await Holder.registers()
  const data = await directory.getDocumentData(holder.did)
  assert.deepEqual(data, {
    did: holder.did,
    rotationKeys: holder.keys.map((key) => key.did()),
    verificationMethods: { atproto: holder.signing },
    alsoKnownAs: [`at://${holder.handle}`],
    services: { atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint: PDS } },
  })
  const resolved = await resolver().did.resolveAtprotoData(holder.did, true)
  assert.deepEqual(resolved, { did: holder.did, handle: holder.handle, pds: PDS, signingKey: holder.signing })
})

test('a document has the form that resolvers expect', notOnReference('identity', OLD), async () => {
  const holder = await Holder.registers()
  for (const path of [holder.did, encodeURIComponent(holder.did)]) {
    const answer = await fetch(`${identity}/${path}`)
    assert.equal(answer.status, 200)
    assert.match(answer.headers.get('content-type'), /^application\/did\+ld\+json/)
    assert.equal(answer.headers.get('access-control-allow-origin'), '*')
    assert.deepEqual(await answer.json(), {
      '@context': [
        'https://www.w3.org/ns/did/v1',
        'https://w3id.org/security/multikey/v1',
        'https://w3id.org/security/suites/secp256k1-2019/v1',
      ],
      id: holder.did,
      alsoKnownAs: [`at://${holder.handle}`],
      verificationMethod: [{
        id: `${holder.did}#atproto`,
        type: 'Multikey',
        controller: holder.did,
        publicKeyMultibase: holder.signing.slice('did:key:'.length),
      }],
      service: [{ id: '#atproto_pds', type: 'AtprotoPersonalDataServer', serviceEndpoint: PDS }],
    })
  }
})

test('keys of both curves register and sign', async () => {
  const holder = await Holder.registers([P256Keypair, Secp256k1Keypair])
  for (const [index, key] of holder.keys.entries()) {
    await directory.updateHandle(holder.did, key, `curve${index}.test`)
  }
  assert.deepEqual((await directory.getDocumentData(holder.did)).alsoKnownAs, ['at://curve1.test'])
})

test('the log and the audit log verify with the official library', async () => {
  const holder = await Holder.registers()
  await directory.updateHandle(holder.did, holder.keys[1], 'second.test')
  await directory.updatePds(holder.did, holder.keys[0], 'https://other.example')
  const log = await directory.getOperationLog(holder.did)
  assert.equal(log.length, 3)
  assert.deepEqual(log[0], holder.genesis)
  const state = await validateOperationLog(holder.did, log)
  assert.deepEqual(state, await directory.getDocumentData(holder.did))
  assert.deepEqual(await directory.getLastOp(holder.did), log[2])
  const audit = await directory.getAuditableLog(holder.did)
  assert.deepEqual(audit.map(({ operation }) => operation), log)
  for (const [index, entry] of audit.entries()) {
    assert.deepEqual(Object.keys(entry).sort(), ['cid', 'createdAt', 'did', 'nullified', 'operation'])
    const { cid } = await getLastOpWithCid([log[index]])
    assert.equal(entry.cid, cid.toString())
    assert.equal(entry.nullified, false)
    assert.match(String(entry.createdAt), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  }
})

test('a stronger key takes back what a weaker one did, and the log shows it', async () => {
  const holder = await Holder.registers()
  const [strong, , weak] = holder.keys
  const theft = await updateRotationKeysOp(holder.genesis, weak, [weak.did()])
  await directory.sendOperation(holder.did, theft)
  const more = await holder.after(theft, weak, 'stolen.test')
  await directory.sendOperation(holder.did, more)
  const rescue = await holder.after(holder.genesis, strong, 'rescued.test')
  await directory.sendOperation(holder.did, rescue)
  const data = await directory.getDocumentData(holder.did)
  assert.deepEqual(data.alsoKnownAs, ['at://rescued.test'])
  assert.deepEqual(data.rotationKeys, holder.keys.map((key) => key.did()))
  const audit = await directory.getAuditableLog(holder.did)
  assert.deepEqual(audit.map(({ nullified }) => nullified), [false, true, true, false])
  assert.deepEqual(await directory.getOperationLog(holder.did), [holder.genesis, rescue])
})

test('a weaker key takes nothing back, and the same key not either', async () => {
  const holder = await Holder.registers()
  const [, middle, weak] = holder.keys
  const update = await holder.after(holder.genesis, middle, 'mine.test')
  await directory.sendOperation(holder.did, update)
  for (const key of [weak, middle]) {
    await refuses(await post(holder.did, await holder.after(holder.genesis, key, 'taken.test')), 400)
  }
  assert.deepEqual((await directory.getDocumentData(holder.did)).alsoKnownAs, ['at://mine.test'])
})

test('after a recovery only a key stronger than the rescuer acts from the fork', notOnReference('identity', 'counts undone operations'), async () => {
  const holder = await Holder.registers()
  const [strong, middle, weak] = holder.keys
  await directory.sendOperation(holder.did, await holder.after(holder.genesis, weak, 'a.test'))
  await directory.sendOperation(holder.did, await holder.after(holder.genesis, middle, 'b.test'))
  await refuses(await post(holder.did, await holder.after(holder.genesis, weak, 'c.test')), 400)
  await directory.sendOperation(holder.did, await holder.after(holder.genesis, strong, 'd.test'))
  await refuses(await post(holder.did, await holder.after(holder.genesis, middle, 'e.test')), 400)
  assert.deepEqual((await directory.getDocumentData(holder.did)).alsoKnownAs, ['at://d.test'])
})

test('a tombstone ends a DID, and a stronger key may undo it', async () => {
  const holder = await Holder.registers()
  const [strong, , weak] = holder.keys
  await directory.tombstone(holder.did, weak)
  await refuses(await fetch(`${identity}/${holder.did}`), 404, /not available/)
  await refuses(await fetch(`${identity}/${holder.did}/data`), 404, /not available/)
  const last = await (await fetch(`${identity}/${holder.did}/log/last`)).json()
  assert.equal(last.type, 'plc_tombstone')
  await refuses(await post(holder.did, await holder.after(last, strong, 'undead.test').catch(() => last)), 400)
  await directory.sendOperation(holder.did, await holder.after(holder.genesis, strong, 'back.test'))
  assert.deepEqual((await directory.getDocumentData(holder.did)).alsoKnownAs, ['at://back.test'])
})

test('a DID that nobody registered is not found, by name', async () => {
  const nobody = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
  for (const path of ['', '/data', '/log', '/log/audit', '/log/last']) {
    await refuses(await fetch(`${identity}/${nobody}${path}`), 404, /not registered: did:plc:a{24}/)
  }
})

test('an operation with a wrong signature, order or DID is refused', async () => {
  const holder = await Holder.registers()
  const stranger = await Secp256k1Keypair.create()
  const other = await Holder.registers()
  const { cid: otherCid } = await getLastOpWithCid([other.genesis])
  await refuses(await post(holder.did, await holder.after(holder.genesis, stranger, 'x.test')), 400)
  const unordered = await signOperation({ ...unsigned(holder.genesis), prev: otherCid.toString() }, holder.keys[0])
  await refuses(await post(holder.did, unordered), 400)
  await refuses(await post('did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', holder.genesis), 400)
  const tampered = { ...(await holder.after(holder.genesis, holder.keys[0], 'x.test')), alsoKnownAs: ['at://y.test'] }
  await refuses(await post(holder.did, tampered), 400)
  assert.equal((await directory.getAuditableLog(holder.did)).length, 1)
})

function unsigned({ sig, ...operation }) {
  return operation
}

const malformed = [
  ['an unknown field', (op) => ({ ...op, extra: 1 })],
  ['no prev', ({ prev, ...op }) => op],
  ['a number for a handle list', (op) => ({ ...op, alsoKnownAs: 7 })],
  ['an unknown type', (op) => ({ ...op, type: 'plc_magic' })],
  ['an empty signature', (op) => ({ ...op, sig: '' })],
  ['a padded signature', (op) => ({ ...op, sig: `${op.sig}==` }), OLD],
  ['a signature of the wrong length', (op) => ({ ...op, sig: op.sig.slice(4) })],
  ['a prev that is no CID', (op) => ({ ...op, prev: 'nonsense' }), OLD],
  ['a rotation key that is none', (op) => ({ ...op, rotationKeys: ['did:key:zNonsense'] })],
]
for (const [what, change, quirk] of malformed) {
  test(`an operation is refused that has ${what}`, quirk ? notOnReference('identity', quirk) : {}, async () => {
    const holder = await Holder.registers()
    const op = await holder.after(holder.genesis, holder.keys[0], 'x.test')
    await refuses(await post(holder.did, change(op)), 400)
    assert.equal((await directory.getAuditableLog(holder.did)).length, 1)
  })
}

test('what is no operation at all is refused with JSON, never with a 500', notOnReference('identity', OLD), async () => {
  const { did } = await Holder.registers()
  await refuses(await post(did, 'not json'), 400)
  await refuses(await post(did, '"a string"'), 400)
  await refuses(await post(did, '[]'), 400)
  await refuses(await post(did, JSON.stringify({ pad: 'x'.repeat(200_000) })), 413)
  for (const wrong of ['did:plc:short', 'did:plc:AAAAAAAAAAAAAAAAAAAAAAAA', 'did:web:coop.example']) {
    const answer = await fetch(`${identity}/${wrong}`)
    assert.ok([400, 404].includes(answer.status), `${wrong}: ${answer.status}`)
  }
})

test('an operation of more than 4,000 bytes is refused', notOnReference('identity', OLD), async () => {
  const holder = await Holder.registers()
  const op = await createUpdateOp(holder.genesis, holder.keys[0], (last) => ({
    ...last,
    services: Object.fromEntries(
      Array.from({ length: 9 }, (_, i) => [`s${i}`, { type: 'T', endpoint: `https://e.example/${'x'.repeat(480)}` }])),
  }))
  await refuses(await post(holder.did, op), 400, /large|size|bytes/i)
})

test('a key made up twice, or six of them, is refused on submission', notOnReference('identity', OLD), async () => {
  const holder = await Holder.registers()
  const [key] = holder.keys
  await refuses(await post(holder.did, await updateRotationKeysOp(holder.genesis, key, [key.did(), key.did()])), 400)
  const six = await Promise.all(Array.from({ length: 6 }, () => Secp256k1Keypair.create()))
  await refuses(
    await post(holder.did, await updateRotationKeysOp(holder.genesis, key, six.map((k) => k.did()))), 400)
})

test('the eleventh operation of an hour is refused, a recovery is not', notOnReference('identity', OLD), async () => {
  const holder = await Holder.registers()
  const [strong, , weak] = holder.keys
  let last = holder.genesis
  for (let i = 1; i < 10; i++) {
    last = await holder.after(last, weak, `n${i}.test`)
    await directory.sendOperation(holder.did, last)
  }
  await refuses(await post(holder.did, await holder.after(last, weak, 'n10.test')), 400, /hour/)
  await directory.sendOperation(holder.did, await holder.after(holder.genesis, strong, 'recovered.test'))
})

test('of two racing successors exactly one wins', async () => {
  const holder = await Holder.registers()
  const [key] = holder.keys
  const rivals = await Promise.all(
    Array.from({ length: 8 }, (_, i) => holder.after(holder.genesis, key, `rival${i}.test`)))
  const answers = await Promise.all(rivals.map((op) => post(holder.did, op)))
  const statuses = answers.map(({ status }) => status).sort()
  assert.equal(statuses.filter((status) => status === 200).length, 1, String(statuses))
  assert.ok(statuses.slice(1).every((status) => status === 400 || status === 409), String(statuses))
  assert.equal((await directory.getAuditableLog(holder.did)).length, 2)
})

async function exported(query) {
  const answer = await fetch(`${identity}/export?${new URLSearchParams(query)}`)
  assert.equal(answer.status, 200)
  assert.match(answer.headers.get('content-type'), /^application\/jsonlines/)
  const text = await answer.text()
  assert.ok(!text.endsWith('\n'))
  return text === '' ? [] : text.split('\n').map((line) => JSON.parse(line))
}

test('the export pages by sequence through every operation once', notOnReference('identity', OLD), async () => {
  const holders = await Promise.all(Array.from({ length: 15 }, () => Holder.registers()))
  const seen = []
  let after = 0
  for (;;) {
    const page = await exported({ after, count: 7 })
    if (page.length === 0) break
    assert.ok(page.length <= 7)
    for (const entry of page) {
      assert.deepEqual(Object.keys(entry).sort(), ['cid', 'createdAt', 'did', 'operation', 'seq', 'type'])
      assert.equal(entry.type, 'sequenced_op')
      assert.ok(entry.seq > after)
      after = entry.seq
    }
    seen.push(...page)
  }
  for (const { did, genesis } of holders) {
    const own = seen.filter((entry) => entry.did === did)
    assert.equal(own.length, 1)
    assert.deepEqual(own[0].operation, genesis)
  }
})

test('the export pages by time through every operation once', notOnReference('identity', OLD), async () => {
  const holders = await Promise.all(Array.from({ length: 25 }, () => Holder.registers()))
  const seen = new Map()
  let after
  for (;;) {
    const page = await exported({ count: 6, ...(after && { after }) })
    if (page.length === 0) break
    for (const entry of page) {
      assert.deepEqual(Object.keys(entry).sort(), ['cid', 'createdAt', 'did', 'nullified', 'operation'])
      assert.ok(!seen.has(entry.cid), 'twice')
      seen.set(entry.cid, entry)
    }
    after = page.at(-1).createdAt
  }
  const dids = new Set([...seen.values()].map(({ did }) => did))
  for (const { did } of holders) assert.ok(dids.has(did), `${did} is missing`)
})

test("the official client's export starts at the beginning", notOnReference('identity', 'exports nothing from memory'), async () => {
  await Holder.registers()
  const page = await directory.export(undefined, 5)
  assert.ok(page.length >= 1)
  const all = await directory.export()
  assert.deepEqual(all.slice(0, page.length), page)
})

test('an export with bad parameters is refused', notOnReference('identity', OLD), async () => {
  await refuses(await fetch(`${identity}/export?count=0`), 400, /count/)
  await refuses(await fetch(`${identity}/export?count=many`), 400, /count/)
  await refuses(await fetch(`${identity}/export?after=yesterday`), 400, /after/)
})

test('the export stream replays and goes on live', notOnReference('identity', OLD), async () => {
  const [first] = await exported({ after: 0, count: 1 })
  const before = await Holder.registers()
  const socket = new WebSocket(`${identity.replace(/^http/, 'ws')}/export/stream?cursor=${first?.seq ?? 0}`)
  const entries = []
  socket.on('message', (text) => void entries.push(JSON.parse(text.toString())))
  await eventually('the replay', () => entries.some(({ did }) => did === before.did))
  const live = await Holder.registers()
  await eventually('the live operation', () => entries.some(({ did }) => did === live.did))
  const numbers = entries.map(({ seq }) => seq)
  assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b))
  assert.ok(entries.every(({ type }) => type === 'sequenced_op'))
  socket.terminate()
  const future = new WebSocket(`${identity.replace(/^http/, 'ws')}/export/stream?cursor=9007199254740991`)
  const [code, reason] = await new Promise((done) => future.once('close', (...end) => done(end)))
  assert.equal(code, 1000)
  assert.equal(reason.toString(), 'FutureCursor')
  await refuses(await fetch(`${identity}/export/stream`), 426)
})

test('a legacy creation is refused on submission', async () => {
  const key = await Secp256k1Keypair.create()
  const op = await addSignature({
    type: 'create', signingKey: key.did(), recoveryKey: key.did(), handle: 'old.test', service: PDS, prev: null,
  }, key)
  await refuses(await post('did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', op), 400)
})

test('a tombstone for another operation than the last is refused', async () => {
  const holder = await Holder.registers()
  const { cid } = await getLastOpWithCid([holder.genesis])
  await directory.updateHandle(holder.did, holder.keys[0], 'moved.test')
  await refuses(await post(holder.did, await tombstoneOp(cid, holder.keys[2])), 400)
})
