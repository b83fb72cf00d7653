// Every wrong input gets the named error with its status: never a 500, never a broken connection.
import assert from 'node:assert/strict'
import { gzipSync } from 'node:zlib'
import { before, test } from 'node:test'
import { Member, POST, anonymous, post } from '../actors/member.mjs'
import { answers } from '../actors/refusal.mjs'
import { notOnReference, pds } from '../actors/stack.mjs'

let member
before(async () => {
  member = await Member.joins('w')
})

const NOTE = 'coop.rochdale.test.note'
const CID = 'bafyreie5cvv4h45feadgeuwhbcutmh6t2ceseocckahdoe6uat64zmz454'

function send(method, body, headers = {}) {
  return fetch(`${pds}/xrpc/${method}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${member.accessJwt}`, 'content-type': 'application/json', ...headers },
    body,
    duplex: 'half',
  })
}

function ask(method, query, init = {}) {
  return fetch(`${pds}/xrpc/${method}?${new URLSearchParams(query)}`, init)
}

const CREATE = 'com.atproto.repo.createRecord'

/** A createRecord body with the record given as JSON text. */
function withRecord(json, changes = {}) {
  const input = JSON.stringify({ repo: member.did, collection: NOTE, ...changes })
  return `${input.slice(0, -1)},"record":${json}}`
}

const nested = (depth) => `{"$type":"${NOTE}","x":${'['.repeat(depth)}${']'.repeat(depth)}}`
const note = (fields) => `{"$type":"${NOTE}",${fields}}`
const LEAKS = 'answers otherwise'

const bodies = [
  ['malformed JSON', () => send(CREATE, '{"repo":'), 400, 'InvalidRequest', LEAKS],
  ['no body', () => send(CREATE, undefined), 400, 'InvalidRequest'],
  ['an array for a body', () => send(CREATE, '[]'), 400, 'InvalidRequest'],
  ['a string for a body', () => send(CREATE, '"text"'), 400, 'InvalidRequest', LEAKS],
  ['bytes that are not UTF-8', () => send(CREATE, Buffer.from(withRecord(note('"t":"\xff\xfe"')), 'latin1')), 400, 'InvalidRequest', LEAKS],
  ['a form', () => send(CREATE, 'a=b', { 'content-type': 'application/x-www-form-urlencoded' }), 400, 'InvalidRequest'],
  ['text', () => send(CREATE, '{}', { 'content-type': 'text/plain' }), 400, 'InvalidRequest'],
  ['a body of more than a million bytes', () => send(CREATE, withRecord(note(`"t":"${'x'.repeat(1_100_000)}"`))), 413, 'PayloadTooLarge', LEAKS],
  ['a small body that unpacks to a big one', () =>
    send(CREATE, gzipSync(withRecord(note(`"t":"${'x'.repeat(5_000_000)}"`))), { 'content-encoding': 'gzip' }), 413, 'PayloadTooLarge', LEAKS],
  ['a body that claims to be gzip', () => send(CREATE, '{}', { 'content-encoding': 'gzip' }), 400, 'InvalidRequest', LEAKS],
  ['an unknown content encoding', () => send(CREATE, '{}', { 'content-encoding': 'rot13' }), 415, 'UnsupportedMediaType', LEAKS],
  ['a missing field', () => send(CREATE, JSON.stringify({ repo: member.did })), 400, 'InvalidRequest'],
  ['a field of the wrong type', () => send(CREATE, withRecord(note('"t":1'), { repo: 7 })), 400, 'InvalidRequest'],
  ['a record that is a list', () => send(CREATE, withRecord('[]')), 400, 'InvalidRequest'],
  ['a record that is null', () => send(CREATE, withRecord('null')), 400, 'InvalidRequest'],
  ['an input where none is taken', () => send('com.atproto.server.activateAccount', '{"a":1}'), 400, 'InvalidRequest'],
]

const records = [
  ['a float', note('"n":1.5')],
  ['a float deep inside', note('"a":{"b":[{"c":[0,{"d":3.14}]}]}')],
  ['a number beyond 64 bits', note('"n":123456789012345678901234567890'), LEAKS],
  ['a link that is no CID', note('"l":{"$link":"nope"}'), LEAKS],
  ['a link with a companion', note(`"l":{"$link":"${CID}","extra":1}`), LEAKS],
  ['bytes that are no base64', note('"b":{"$bytes":"***"}'), LEAKS],
  ['a blob without a size', note(`"b":{"$type":"blob","ref":{"$link":"${CID}"},"mimeType":"image/png"}`), LEAKS],
  ['a blob nobody uploaded', note('"b":{"$type":"blob","ref":{"$link":"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"},"mimeType":"image/png","size":5}')],
  ['a blob in the old form', note('"b":{"cid":"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku","mimeType":"image/png"}')],
  ['the same key twice', note('"t":"one","t":"two"'), LEAKS],
  ['a thousand levels', nested(1000), LEAKS],
  ['a hundred thousand levels', nested(100_000)],
  ['another type than its collection', '{"$type":"coop.rochdale.test.other"}'],
  ['a type that is a number', '{"$type":7}'],
  ['an empty type', '{"$type":""}'],
]

const keys = [
  ['two dots', { rkey: '..' }],
  ['a dot', { rkey: '.' }],
  ['a slash', { rkey: 'a/b' }],
  ['a space', { rkey: 'a b' }],
  ['a letter outside ASCII', { rkey: 'é' }],
  ['513 characters', { rkey: 'x'.repeat(513) }],
]

const repos = [
  ['a collection that is no NSID', { collection: 'posts' }, 400, 'InvalidRequest'],
  ['a collection with a wildcard', { collection: 'app.bsky.*' }, 400, 'InvalidRequest'],
  ['a repository that is neither DID nor handle', { repo: 'not a repo' }, [400, 401], ['InvalidRequest', 'AuthenticationRequired']],
  ['an upper-case DID', { repo: 'DID:PLC:AAAAAAAAAAAAAAAAAAAAAAAA' }, [400, 401], ['InvalidRequest', 'AuthenticationRequired']],
  ['a swap that is no CID', { swapCommit: 'nonsense' }, 400, 'InvalidRequest'],
  ['a validate that is a word', { validate: 'yes' }, 400, 'InvalidRequest'],
]

for (const [what, call, status, name, quirk] of bodies) {
  test(`createRecord refuses ${what}`, quirk ? notOnReference('pds', quirk) : {}, async () => {
    await answers(await call(), status, name)
  })
}

for (const [what, json, quirk] of records) {
  test(`a record is refused with ${what}`, quirk ? notOnReference('pds', quirk) : {}, async () => {
    const response = await send(CREATE, withRecord(json))
    await answers(response, 400, ['InvalidRequest', 'BlobNotFound', 'InvalidMimeType'])
  })
}

for (const [what, changes] of keys) {
  test(`a record key is refused that has ${what}`, async () => {
    await answers(await send(CREATE, withRecord(note('"t":1'), changes)), 400, 'InvalidRequest')
  })
}

for (const [what, changes, statuses, names] of repos) {
  test(`a write is refused with ${what}`, async () => {
    const response = await send(CREATE, withRecord(note('"t":1'), changes))
    assert.ok([statuses].flat().includes(response.status), `${response.status} ${await response.clone().text()}`)
    await answers(response, response.status, names)
  })
}

test('nesting within the limit is kept', async () => {
  const response = await send(CREATE, withRecord(nested(20)))
  assert.equal(response.status, 200, await response.clone().text())
})

test('a record of nearly the largest size is kept and read back', async () => {
  const text = 'x'.repeat(900_000)
  const response = await send(CREATE, withRecord(note(`"t":"${text}"`), { rkey: 'large' }))
  assert.equal(response.status, 200, (await response.clone().text()).slice(0, 200))
  assert.equal((await member.reads(NOTE, 'large')).value.t, text)
})

test('a gzip body is read', async () => {
  const response = await send(CREATE, gzipSync(withRecord(note('"t":"packed"'))), { 'content-encoding': 'gzip' })
  assert.equal(response.status, 200, await response.clone().text())
})

test('an applyWrites operation of an unknown kind is refused', async () => {
  const writes = [{ $type: 'com.atproto.repo.applyWrites#rename', collection: NOTE, rkey: 'a' }]
  await answers(
    await send('com.atproto.repo.applyWrites', JSON.stringify({ repo: member.did, writes })), 400, 'InvalidRequest')
})

test('an update or a deletion in applyWrites of what is not there is a 4xx', notOnReference('pds', 'answers 500'), async () => {
  for (const op of [{ $type: '#update', value: post() }, { $type: '#delete' }]) {
    const write = { collection: POST, rkey: 'never-there', ...op, $type: `com.atproto.repo.applyWrites${op.$type}` }
    const body = JSON.stringify({ repo: member.did, writes: [write] })
    await answers(await send('com.atproto.repo.applyWrites', body), 400)
  }
})

const LIST = 'com.atproto.repo.listRecords'
const queries = [
  ['a limit of nought', () => ask(LIST, { repo: member.did, collection: POST, limit: 0 })],
  ['a limit beyond the greatest', () => ask(LIST, { repo: member.did, collection: POST, limit: 101 })],
  ['a limit in words', () => ask(LIST, { repo: member.did, collection: POST, limit: 'ten' })],
  ['a truth that is none', () => ask(LIST, { repo: member.did, collection: POST, reverse: 'maybe' })],
  ['no collection', () => ask(LIST, { repo: member.did })],
  ['a collection that is none', () => ask(LIST, { repo: member.did, collection: 'x' })],
  ['a repository that is none', () => ask(LIST, { repo: '%%%', collection: POST })],
  ['a CID that is none', () => ask('com.atproto.repo.getRecord', { repo: member.did, collection: POST, rkey: 'a', cid: 'zzz' })],
  ['a DID that is none', () => ask('com.atproto.sync.getRepo', { did: 'nobody' })],
  ['an upper-case DID', () => ask('com.atproto.sync.getRepoStatus', { did: 'did:plc:AAAAAAAAAAAAAAAAAAAAAAAA' })],
  ['no DID', () => ask('com.atproto.sync.getRepo', {})],
  ['a since that is no revision', () => ask('com.atproto.sync.getRepo', { did: member.did, since: 'last week' })],
  ['a blob CID that is none', () => ask('com.atproto.sync.getBlob', { did: member.did, cid: 'x' })],
  ['block CIDs that are none', () => ask('com.atproto.sync.getBlocks', { did: member.did, cids: 'x' })],
  ['a made-up cursor for listRepos', () => ask('com.atproto.sync.listRepos', { cursor: 'x' })],
  ['a handle that is none', () => ask('com.atproto.identity.resolveHandle', { handle: 'a..b' })],
  ['a malformed handle to describe', () => ask('com.atproto.repo.describeRepo', { repo: '-x-' })],
]
for (const [what, call] of queries) {
  test(`a query is refused with ${what}`, async () => {
    await answers(await call(), 400, ['InvalidRequest', 'RepoNotFound'])
  })
}

test('a query by POST and a procedure by GET are refused by name', async () => {
  const post = await fetch(`${pds}/xrpc/com.atproto.server.describeServer`, { method: 'POST' })
  assert.ok([400, 405].includes(post.status), String(post.status))
  await answers(post, post.status, 'InvalidRequest')
  const get = await ask(CREATE, {})
  assert.ok([400, 405].includes(get.status), String(get.status))
  await answers(get, get.status, 'InvalidRequest')
})

test('what is not a method is no method', async () => {
  for (const path of ['/xrpc/', '/xrpc/nonsense', '/xrpc/com.atproto', '/nowhere']) {
    const answer = await fetch(`${pds}${path}`)
    assert.ok([400, 401, 404, 501].includes(answer.status), `${path}: ${answer.status}`)
  }
})

test('the stream asked for without a socket is refused', async () => {
  const answer = await ask('com.atproto.sync.subscribeRepos', {})
  assert.ok([400, 401, 426].includes(answer.status), String(answer.status))
})

test('any origin may call, and sees the headers that clients need', async () => {
  const answer = await fetch(`${pds}/xrpc/${CREATE}`, {
    method: 'OPTIONS',
    headers: {
      origin: 'https://app.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type,atproto-proxy,dpop,x-anything',
    },
  })
  assert.ok(answer.status < 300)
  assert.equal(answer.headers.get('access-control-allow-origin'), '*')
  assert.match(answer.headers.get('access-control-allow-headers'), /\*|x-anything/)
  const plain = await fetch(`${pds}/xrpc/com.atproto.server.describeServer`, { headers: { origin: 'https://app.example' } })
  assert.equal(plain.headers.get('access-control-allow-origin'), '*')
})

test('after all that the member still writes', async () => {
  const { uri } = await member.posts('all well')
  assert.ok(uri)
  const { data } = await anonymous().com.atproto.sync.getRepoStatus({ did: member.did })
  assert.equal(data.active, true)
})
