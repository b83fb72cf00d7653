import assert from 'node:assert/strict'
import { test } from 'node:test'
import { verifyJwt } from '@atproto/xrpc-server'
import { Member, anonymous } from '../actors/member.mjs'
import { codeMailedTo } from '../actors/outbox.mjs'
import { answers, refused } from '../actors/refusal.mjs'
import { directory, notOnReference, pds, resolver } from '../actors/stack.mjs'

const TAGS = { $type: 'app.bsky.actor.defs#interestsPref', tags: ['co-ops', 'bread'] }
const ADULT = { $type: 'app.bsky.actor.defs#adultContentPref', enabled: false }
const BIRTH = { $type: 'app.bsky.actor.defs#personalDetailsPref', birthDate: '1990-05-17T00:00:00.000Z' }

test('preferences are kept and replaced as a whole', async () => {
  const { agent } = await Member.joins()
  const { actor } = agent.app.bsky
  assert.deepEqual((await actor.getPreferences()).data.preferences, [])
  await actor.putPreferences({ preferences: [TAGS, ADULT] })
  assert.deepEqual((await actor.getPreferences()).data.preferences, [TAGS, ADULT])
  await actor.putPreferences({ preferences: [ADULT] })
  assert.deepEqual((await actor.getPreferences()).data.preferences, [ADULT])
})

test('preferences need a type of the app', async () => {
  const { agent } = await Member.joins()
  const put = (preferences) => fetch(`${pds}/xrpc/app.bsky.actor.putPreferences`, {
    method: 'POST',
    headers: { authorization: `Bearer ${agent.session.accessJwt}`, 'content-type': 'application/json' },
    body: JSON.stringify({ preferences }),
  })
  await answers(await put([{ enabled: true }]), 400, 'InvalidRequest')
  await answers(await put([{ $type: 'com.example.other#pref' }]), 400, 'InvalidRequest')
  await answers(await fetch(`${pds}/xrpc/app.bsky.actor.getPreferences`), 401)
})

test('an app password neither reads nor removes personal details', async () => {
  const member = await Member.joins()
  await member.agent.app.bsky.actor.putPreferences({ preferences: [BIRTH, TAGS] })
  const { data } = await member.server.createAppPassword({ name: 'phone' })
  const phone = anonymous()
  await phone.login({ identifier: member.handle, password: data.password })
  const seen = (await phone.app.bsky.actor.getPreferences()).data.preferences
  assert.ok(!seen.some(({ $type }) => $type === BIRTH.$type))
  await phone.app.bsky.actor.putPreferences({ preferences: [ADULT] })
  const own = (await member.agent.app.bsky.actor.getPreferences()).data.preferences
  assert.ok(own.some(({ $type }) => $type === BIRTH.$type))
  assert.ok(own.some(({ $type }) => $type === ADULT.$type))
})

const AUD = 'did:web:video.example'
const LXM = 'com.atproto.repo.uploadBlob'

test("a service token is signed with the member's key and says what for", async () => {
  const member = await Member.joins()
  const { data } = await member.server.getServiceAuth({ aud: AUD, lxm: LXM })
  const key = (iss, fresh) => resolver().did.resolveAtprotoKey(iss, fresh)
  const claims = await verifyJwt(data.token, AUD, LXM, key)
  assert.equal(claims.iss, member.did)
  assert.equal(claims.aud, AUD)
  assert.equal(claims.lxm, LXM)
  const left = claims.exp - Date.now() / 1000
  assert.ok(left > 0 && left <= 61, `lives ${left} s`)
  await assert.rejects(verifyJwt(data.token, 'did:web:other.example', LXM, key))
  await assert.rejects(verifyJwt(data.token, AUD, 'com.atproto.repo.createRecord', key))
  const other = await Member.joins()
  await assert.rejects(verifyJwt(data.token, AUD, LXM, () => other.signingKey()))
})

test('a service token without a method carries none and lives a minute', async () => {
  const member = await Member.joins()
  const { data } = await member.server.getServiceAuth({ aud: AUD })
  const claims = await verifyJwt(data.token, AUD, null, () => member.signingKey())
  assert.equal(claims.lxm, undefined)
  const exp = Math.floor(Date.now() / 1000)
  await refused(member.server.getServiceAuth({ aud: AUD, exp: exp + 600 }), 400, 'BadExpiration')
  await refused(member.server.getServiceAuth({ aud: AUD, lxm: LXM, exp: exp - 5 }), 400, 'BadExpiration')
  await refused(member.server.getServiceAuth({ aud: AUD, lxm: LXM, exp: exp + 7200 }), 400, 'BadExpiration')
  await member.server.getServiceAuth({ aud: AUD, lxm: LXM, exp: exp + 1800 })
})

test('a service token is not a session', async () => {
  const member = await Member.joins()
  const { data } = await anonymous().com.atproto.server.describeServer()
  const { data: auth } = await member.server.getServiceAuth({ aud: data.did, lxm: 'app.bsky.feed.getTimeline' })
  const headers = { authorization: `Bearer ${auth.token}` }
  const answer = await fetch(`${pds}/xrpc/com.atproto.server.getSession`, { headers })
  await answers(answer, answer.status === 401 ? 401 : 400)
})

test('a service uploads a blob for a member with a token made for that', async () => {
  const member = await Member.joins()
  const { data } = await anonymous().com.atproto.server.describeServer()
  const token = async (lxm) => (await member.server.getServiceAuth({ aud: data.did, lxm })).data.token
  const upload = async (bearer) => fetch(`${pds}/xrpc/${LXM}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'video/mp4' },
    body: Buffer.from('a film'),
  })
  assert.equal((await upload(await token(LXM))).status, 200)
  const wrong = await upload(await token('com.atproto.repo.createRecord'))
  await answers(wrong, wrong.status === 401 ? 401 : 400)
})

test('a member signs a change of the DID with the mailed code and submits it', async () => {
  const member = await Member.joins()
  const { identity } = member.agent.com.atproto
  const token = await codeMailedTo(member.email, () => identity.requestPlcOperationSignature())
  await refused(identity.signPlcOperation({ token: 'AAAAA-AAAAA' }), 400, 'InvalidToken')
  const before = await directory.getDocumentData(member.did)
  const own = 'did:key:zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF'
  const { data } = await identity.signPlcOperation({ token, rotationKeys: [own, ...before.rotationKeys] })
  await refused(identity.signPlcOperation({ token }), 400, 'InvalidToken')
  await identity.submitPlcOperation({ operation: data.operation })
  const now = await directory.getDocumentData(member.did)
  assert.equal(now.rotationKeys[0], own)
})

test("an operation that would move the member's DID away is not submitted", async () => {
  const member = await Member.joins()
  const { identity } = member.agent.com.atproto
  const token = await codeMailedTo(member.email, () => identity.requestPlcOperationSignature())
  const services = { atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint: 'https://elsewhere.example' } }
  const { data } = await identity.signPlcOperation({ token, services })
  await refused(identity.submitPlcOperation({ operation: data.operation }), 400, 'InvalidRequest')
  assert.equal((await directory.getDocumentData(member.did)).services.atproto_pds.endpoint, pds)
})

test('an unknown method is refused by name', async () => {
  const { agent } = await Member.joins()
  const answer = await fetch(`${pds}/xrpc/com.example.unknown.method`)
  await answers(answer, answer.status, ['MethodNotImplemented', 'AuthMissing', 'XRPCNotSupported', 'AuthenticationRequired'])
  assert.ok([401, 404, 501].includes(answer.status))
  assert.ok(agent)
})

test('a call for another service goes there, and a dead service is a 502', notOnReference('pds', 'needs a public service'), async () => {
  const { agent } = await Member.joins()
  const headers = {
    authorization: `Bearer ${agent.session.accessJwt}`,
    'atproto-proxy': 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa#svc',
  }
  const answer = await fetch(`${pds}/xrpc/com.example.some.method`, { headers })
  assert.ok(answer.status >= 400 && answer.status < 503 && answer.status !== 500, String(answer.status))
  headers['atproto-proxy'] = 'not a service'
  await answers(await fetch(`${pds}/xrpc/com.example.some.method`, { headers }), 400, 'InvalidRequest')
})
