import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { Member, POST, anonymous, post } from '../actors/member.mjs'
import { answers, refused } from '../actors/refusal.mjs'
import { eventually, notOnReference, pds } from '../actors/stack.mjs'

const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64')

/** A picture nobody has uploaded before: the trailing bytes are ignored by viewers. */
function picture() {
  return Buffer.concat([PNG, randomBytes(16)])
}

async function upload(member, bytes, type = 'image/png') {
  const { data } = await member.repo.uploadBlob(bytes, { encoding: type })
  return data.blob
}

async function postsWith(member, blob) {
  const embed = { $type: 'app.bsky.embed.images', images: [{ image: blob, alt: 'a dot' }] }
  const { data } = await member.repo.createRecord({
    repo: member.did, collection: POST, record: { ...post('look'), embed },
  })
  return data.uri.split('/').at(-1)
}

function blobUrl(member, cid) {
  return `${pds}/xrpc/com.atproto.sync.getBlob?${new URLSearchParams({ did: member.did, cid: cid.toString() })}`
}

test('an uploaded picture is described by its hash, type and size', async () => {
  const member = await Member.joins()
  const bytes = picture()
  const blob = await upload(member, bytes)
  assert.equal(blob.mimeType, 'image/png')
  assert.equal(blob.size, bytes.length)
  const digest = createHash('sha256').update(bytes).digest('hex')
  assert.equal(Buffer.from(blob.ref.multihash.digest).toString('hex'), digest)
  assert.equal(blob.ref.code, 0x55)
})

test('a picture in a post is public, and cannot run as a page', async () => {
  const member = await Member.joins()
  const bytes = picture()
  const blob = await upload(member, bytes)
  await postsWith(member, blob)
  const answer = await fetch(blobUrl(member, blob.ref))
  assert.equal(answer.status, 200)
  assert.deepEqual(Buffer.from(await answer.arrayBuffer()), bytes)
  assert.equal(answer.headers.get('content-type'), 'image/png')
  assert.equal(answer.headers.get('content-length'), String(bytes.length))
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff')
  assert.match(answer.headers.get('content-security-policy'), /default-src 'none'.*sandbox/)
  assert.match(answer.headers.get('content-disposition') ?? 'attachment', /^attachment/)
})

test('a blob that no record refers to is not served', async () => {
  const member = await Member.joins()
  const blob = await upload(member, picture())
  await answers(await fetch(blobUrl(member, blob.ref)), 400, ['BlobNotFound', 'InvalidRequest'])
})

test('an unknown blob is BlobNotFound', notOnReference('pds', 'names it InvalidRequest'), async () => {
  const member = await Member.joins()
  const cid = 'bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku'
  await answers(await fetch(blobUrl(member, cid)), 400, 'BlobNotFound')
})

test('a record must not refer to a blob that was never uploaded', async () => {
  const [member, other] = [await Member.joins(), await Member.joins()]
  const blob = await upload(other, picture())
  await assert.rejects(postsWith(member, blob), (error) => error.status === 400)
})

test('a record must describe its blob as it was uploaded', async () => {
  const member = await Member.joins()
  const blob = await upload(member, Buffer.from('just some text'), 'text/plain')
  const original = blob.toJSON()
  assert.equal(original.mimeType, 'text/plain')
  const write = (file) => fetch(`${pds}/xrpc/com.atproto.repo.createRecord`, {
    method: 'POST',
    headers: { authorization: `Bearer ${member.accessJwt}`, 'content-type': 'application/json' },
    body: JSON.stringify({ repo: member.did, collection: 'coop.rochdale.test.note', record: { file } }),
  })
  await answers(await write({ ...original, mimeType: 'image/png' }), 400)
  assert.equal((await write(original)).status, 200)
})

test('a blob goes when the last record that refers to it goes', async () => {
  const member = await Member.joins()
  const blob = await upload(member, picture())
  const [one, two] = [await postsWith(member, blob), await postsWith(member, blob)]
  await member.deletes(POST, one)
  assert.equal((await fetch(blobUrl(member, blob.ref))).status, 200)
  await member.deletes(POST, two)
  await eventually('the blob to go', async () => (await fetch(blobUrl(member, blob.ref))).status === 400)
})

test("a member's copy of a blob outlives another member's", async () => {
  const [one, two] = [await Member.joins(), await Member.joins()]
  const bytes = picture()
  const [first, second] = [await upload(one, bytes), await upload(two, bytes)]
  const rkey = await postsWith(one, first)
  await postsWith(two, second)
  await one.deletes(POST, rkey)
  await eventually('the first copy to go', async () => (await fetch(blobUrl(one, first.ref))).status === 400)
  assert.equal((await fetch(blobUrl(two, second.ref))).status, 200)
})

test('an upload of the same bytes again is fine', async () => {
  const member = await Member.joins()
  const bytes = picture()
  const [first, second] = [await upload(member, bytes), await upload(member, bytes)]
  assert.equal(first.ref.toString(), second.ref.toString())
})

test('listBlobs pages through the blobs in use, each once', async () => {
  const member = await Member.joins()
  const cids = []
  for (let i = 0; i < 5; i++) {
    const blob = await upload(member, picture())
    await postsWith(member, blob)
    cids.push(blob.ref.toString())
  }
  const seen = []
  let cursor
  do {
    const { data } = await anonymous().com.atproto.sync.listBlobs({ did: member.did, limit: 2, cursor })
    seen.push(...data.cids)
    cursor = data.cursor
  } while (cursor)
  assert.deepEqual([...seen].sort(), [...cids].sort())
})

test('an upload needs a session and stays within the limit', async () => {
  const headers = { 'content-type': 'image/png' }
  const url = `${pds}/xrpc/com.atproto.repo.uploadBlob`
  await answers(await fetch(url, { method: 'POST', headers, body: picture() }), 401)
  const member = await Member.joins()
  await refused(
    member.repo.uploadBlob(new Uint8Array(200 * 1024 * 1024), { encoding: 'video/mp4' }), 413, 'PayloadTooLarge')
})

test('a declared type is put right for a picture', async () => {
  const member = await Member.joins()
  const blob = await upload(member, picture(), 'application/octet-stream')
  assert.equal(blob.mimeType, 'image/png')
})
