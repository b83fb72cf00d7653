import assert from 'node:assert/strict'
import http from 'node:http'
import { after, test } from 'node:test'
import { RawReader } from '../actors/firehose.mjs'
import { Member, anonymous, freshName } from '../actors/member.mjs'
import { refused } from '../actors/refusal.mjs'
import { directory, eventually, isReference, pds, relay, resolver } from '../actors/stack.mjs'

const streams = [pds, relay].map((base) => new RawReader(base))
after(() => streams.forEach((reader) => reader.stops()))

/** GET with a Host header of its own, which `fetch` does not allow. */
function getAs(host, path) {
  return new Promise((done, fail) => {
    const { hostname, port } = new URL(pds)
    const request = http.get({ hostname, port, path, headers: { host } }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => void (text += chunk))
      response.on('end', () => done({ status: response.statusCode, text, type: response.headers['content-type'] }))
    })
    request.on('error', fail)
  })
}

test('a handle resolves to its member, whatever its case', async () => {
  const member = await Member.joins()
  for (const handle of [member.handle, member.handle.toUpperCase()]) {
    const { data } = await anonymous().com.atproto.identity.resolveHandle({ handle })
    assert.equal(data.did, member.did)
  }
  await refused(anonymous().com.atproto.identity.resolveHandle({ handle: 'nobody-here.test' }), 400, 'HandleNotFound')
  await refused(anonymous().com.atproto.identity.resolveHandle({ handle: 'not a handle' }), 400, 'InvalidRequest')
})

test('the host name of a handle answers with the DID', async () => {
  const member = await Member.joins()
  const { status, text, type } = await getAs(member.handle, '/.well-known/atproto-did')
  assert.equal(status, 200)
  assert.match(type, /^text\/plain/)
  assert.equal(text.trim(), member.did)
  assert.equal((await getAs('nobody-here.test', '/.well-known/atproto-did')).status, 404)
  assert.equal((await getAs('example.com', '/.well-known/atproto-did')).status, 404)
})

test('a member changes the handle: PDS, directory and streams follow', async () => {
  const member = await Member.joins()
  const old = member.handle
  const handle = `${freshName('new')}.test`
  await member.agent.updateHandle({ handle })
  const { data } = await anonymous().com.atproto.identity.resolveHandle({ handle })
  assert.equal(data.did, member.did)
  await refused(anonymous().com.atproto.identity.resolveHandle({ handle: old }), 400, 'HandleNotFound')
  const document = await resolver().did.resolveAtprotoData(member.did, true)
  assert.equal(document.handle, handle)
  assert.equal((await member.server.getSession()).data.handle, handle)
  for (const stream of streams) {
    const isNews = ({ header, body }) => header.t === '#identity' && body.handle === handle
    // The reference relay leaves the handle out.
    const isHint = ({ header, body }) => (isReference.pds || isReference.relay) && header.t === '#identity' && body.handle === undefined
    await stream.sees(member.did, 'the identity event', (frame) => isNews(frame) || isHint(frame))
  }
  await anonymous().login({ identifier: handle, password: member.password })
})

test('the same handle again is allowed and told again', async () => {
  const member = await Member.joins()
  const identities = () => streams[0].of(member.did).filter(({ header }) => header.t === '#identity')
  await eventually('the first identity event', () => identities().length === 1)
  await member.agent.updateHandle({ handle: member.handle })
  await eventually('the second identity event', () => identities().length === 2)
})

test("a handle that is another's, reserved or foreign is refused, and the directory stays as it was", async () => {
  const [member, other] = [await Member.joins(), await Member.joins()]
  const before = await directory.getLastOp(member.did)
  const update = (handle) => member.agent.updateHandle({ handle })
  await refused(update(other.handle), 400, ['InvalidRequest', 'HandleNotAvailable'])
  await refused(update('admin.test'), 400, 'HandleNotAvailable')
  await refused(update('ab.test'), 400, 'InvalidHandle')
  await refused(update('someone.invalid'), 400, 'InvalidHandle')
  assert.deepEqual(await directory.getLastOp(member.did), before)
})

test('credentials for a move name this server, its keys and the handle', async () => {
  const member = await Member.joins()
  const { data } = await member.agent.com.atproto.identity.getRecommendedDidCredentials()
  assert.deepEqual(data.alsoKnownAs, [`at://${member.handle}`])
  assert.equal(data.services.atproto_pds.endpoint, pds)
  assert.equal(data.verificationMethods.atproto, await member.signingKey())
  const { rotationKeys } = await directory.getDocumentData(member.did)
  assert.deepEqual(data.rotationKeys, rotationKeys)
})
