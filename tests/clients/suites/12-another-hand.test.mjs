// The same things again with libraries of another hand, which share no code with the reference.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { decodeFirst } from '@atcute/cbor'
import { Client, ok, simpleFetchHandler } from '@atcute/client'
import { Secp256k1PublicKey, parseDidKey } from '@atcute/crypto'
import { MemoryBlockStore, NodeStore, NodeWrangler } from '@atcute/mst'
import { fromStream, fromUint8Array, verifyRecord } from '@atcute/repo'
import { readCarWithRoot, cborToLex } from '@atproto/repo'
import { RawReader } from '../actors/firehose.mjs'
import { Member, POST, post } from '../actors/member.mjs'
import { pds, relay } from '../actors/stack.mjs'

const streams = [pds, relay].map((base) => new RawReader(base))
after(() => streams.forEach((reader) => reader.stops()))

function clientOf(member) {
  const plain = simpleFetchHandler({ service: pds })
  const handler = (path, init) => {
    const headers = new Headers(init.headers)
    if (member) headers.set('authorization', `Bearer ${member.accessJwt}`)
    return plain(path, { ...init, headers })
  }
  return new Client({ handler })
}

async function publicKey(member) {
  const found = parseDidKey(await member.signingKey())
  assert.equal(found.type, 'secp256k1')
  return Secp256k1PublicKey.importRaw(found.publicKeyBytes)
}

test('another client writes and reads', async () => {
  const member = await Member.joins()
  const rpc = clientOf(member)
  const session = await ok(rpc.get('com.atproto.server.getSession', {}))
  assert.equal(session.did, member.did)
  const input = { repo: member.did, collection: POST, record: post('from elsewhere') }
  const { uri, cid } = await ok(rpc.post('com.atproto.repo.createRecord', { input }))
  const params = { repo: member.did, collection: POST, rkey: uri.split('/').at(-1) }
  const read = await ok(clientOf().get('com.atproto.repo.getRecord', { params }))
  assert.equal(read.cid, cid)
  const missing = await clientOf().get('com.atproto.repo.getRecord', { params: { ...params, rkey: 'nope' } })
  assert.equal(missing.ok, false)
  assert.equal(missing.data.error, 'RecordNotFound')
})

test('another reader walks an export, at once and as a stream, with no block missing', async () => {
  const member = await Member.joins()
  const { results } = await member.postsTogether(Array.from({ length: 120 }, (_, i) => `entry ${i}`))
  const written = results.map(({ uri, cid }) => `${uri.split('/').at(-1)} ${cid}`).sort()
  const car = await member.exportsRepo()
  const entries = [...fromUint8Array(car)]
  assert.deepEqual(entries.map(({ rkey, cid }) => `${rkey} ${cid.$link}`).sort(), written)
  assert.ok(entries.every(({ record }) => record.$type === POST))
  const answer = await fetch(`${pds}/xrpc/com.atproto.sync.getRepo?did=${member.did}`)
  const reader = fromStream(answer.body)
  const streamed = []
  for await (const entry of reader) streamed.push(`${entry.rkey} ${entry.cid.$link}`)
  assert.deepEqual(streamed.sort(), written)
  assert.deepEqual([...reader.missingBlocks], [])
})

test('another verifier accepts the proof of a record, under the right key alone', async () => {
  const [member, other] = [await Member.joins(), await Member.joins()]
  await member.postsTogether(Array.from({ length: 50 }, (_, i) => `entry ${i}`))
  const { rkey, cid } = await member.posts('proven')
  const { data } = await member.sync.getRecord({ did: member.did, collection: POST, rkey })
  const proof = { did: member.did, collection: POST, rkey, carBytes: data }
  const verified = await verifyRecord({ ...proof, publicKey: await publicKey(member) })
  assert.equal(verified.cid, cid)
  assert.equal(verified.record.text, 'proven')
  await assert.rejects(verifyRecord({ ...proof, publicKey: await publicKey(other) }))
  await assert.rejects(verifyRecord({ ...proof, rkey: '3jzfcijpj2z2a' }))
})

test('another tree of the same records has the same root', async () => {
  const member = await Member.joins()
  const { results } = await member.postsTogether(Array.from({ length: 90 }, (_, i) => `entry ${i}`))
  for (const { uri } of results.slice(10, 40)) await member.deletes(POST, uri.split('/').at(-1))
  const wrangler = new NodeWrangler(new NodeStore(new MemoryBlockStore()))
  let root = null
  for (const { uri, cid } of [...results.slice(0, 10), ...results.slice(40)].reverse()) {
    root = await wrangler.putRecord(root, `${POST}/${uri.split('/').at(-1)}`, { $link: cid })
  }
  const { root: head, blocks } = await readCarWithRoot(await member.exportsRepo())
  assert.equal(cborToLex(blocks.get(head)).data.toString(), root)
})

test('another decoder reads the frames of both streams', async () => {
  const member = await Member.joins()
  const { commit, rkey } = await member.posts('decoded twice')
  for (const stream of streams) {
    const { bytes } = await stream.sees(member.did, 'the post', ({ body }) => body.rev === commit.rev)
    const [header, rest] = decodeFirst(bytes)
    const [body, nothing] = decodeFirst(rest)
    assert.deepEqual(header, { op: 1, t: '#commit' })
    assert.equal(nothing.length, 0)
    assert.equal(body.commit.$link, commit.cid)
    assert.equal(body.ops[0].path, `${POST}/${rkey}`)
  }
})
