import assert from 'node:assert/strict'
import { test } from 'node:test'
import { validateOperationLog } from '@did-plc/lib'
import { Secp256k1Keypair } from '@atproto/crypto'
import { Member, anonymous, freshName } from '../actors/member.mjs'
import { refused } from '../actors/refusal.mjs'
import { directory, notOnReference, pds, resolver } from '../actors/stack.mjs'

function signUp(changes) {
  const name = freshName('s')
  return anonymous().com.atproto.server.createAccount({
    handle: `${name}.test`,
    email: `${name}@members.example`,
    password: 'a good password',
    ...changes,
  })
}

test('a visitor learns how to join from describeServer', async () => {
  const { data } = await anonymous().com.atproto.server.describeServer()
  assert.match(data.did, /^did:/)
  assert.deepEqual(data.availableUserDomains, ['.test'])
  assert.notEqual(data.inviteCodeRequired, true)
})

test('a member signs up and the directory holds the right document', async () => {
  const member = await Member.joins()
  assert.match(member.did, /^did:plc:[a-z2-7]{24}$/)
  const document = await resolver().did.resolveAtprotoData(member.did, true)
  assert.equal(document.did, member.did)
  assert.equal(document.handle, member.handle)
  assert.equal(document.pds, pds)
  assert.match(document.signingKey, /^did:key:z/)
})

test("the operations behind a member's DID verify with the official library", async () => {
  const member = await Member.joins()
  const operations = await directory.getOperationLog(member.did)
  const state = await validateOperationLog(member.did, operations)
  assert.equal(state.did, member.did)
  assert.deepEqual(state.alsoKnownAs, [`at://${member.handle}`])
  assert.equal(state.services.atproto_pds.endpoint, pds)
  assert.equal(state.verificationMethods.atproto, await member.signingKey())
})

test('a recovery key given at sign-up stands first among the rotation keys', async () => {
  const recovery = await Secp256k1Keypair.create()
  const member = await Member.joins('r', { recoveryKey: recovery.did() })
  const { rotationKeys } = await directory.getDocumentData(member.did)
  assert.equal(rotationKeys[0], recovery.did())
  assert.ok(rotationKeys.length >= 2)
})

test('sign-up answers with a session that works at once', async () => {
  const member = await Member.joins()
  const { data } = await member.server.getSession()
  assert.equal(data.did, member.did)
  assert.equal(data.handle, member.handle)
  assert.equal(data.email, member.email)
  assert.equal(data.active, true)
  assert.equal(data.emailConfirmed, false)
})

test('a handle is given once, whatever its case', async () => {
  const member = await Member.joins()
  await refused(signUp({ handle: member.handle }), 400, ['InvalidRequest', 'HandleNotAvailable'], /taken/i)
  await refused(signUp({ handle: member.handle.toUpperCase() }), 400, ['InvalidRequest', 'HandleNotAvailable'])
})

test('an e-mail address is taken once, whatever its case', async () => {
  const member = await Member.joins()
  await refused(signUp({ email: member.email }), 400, 'InvalidRequest', /taken/i)
  await refused(signUp({ email: member.email.toUpperCase() }), 400, 'InvalidRequest')
})

test('of ten racing sign-ups for one handle exactly one wins', async () => {
  const handle = `${freshName('race')}.test`
  const attempts = await Promise.allSettled(
    Array.from({ length: 10 }, (_, i) => signUp({ handle, email: `${freshName('race')}${i}@members.example` })),
  )
  const won = attempts.filter(({ status }) => status === 'fulfilled')
  assert.equal(won.length, 1)
  const { data } = await anonymous().com.atproto.identity.resolveHandle({ handle })
  assert.equal(data.did, won[0].value.data.did)
})

test('the losers of a race for a handle are told so with a 400', notOnReference('pds', 'answers 500'), async () => {
  const handle = `${freshName('race')}.test`
  const attempts = await Promise.allSettled(
    Array.from({ length: 4 }, (_, i) => signUp({ handle, email: `${freshName('race')}${i}@members.example` })),
  )
  const statuses = attempts.filter(({ status }) => status === 'rejected').map(({ reason }) => reason.status)
  assert.deepEqual(statuses, [400, 400, 400])
})

const handleRules = [
  ['too short', 'ab.test', 'InvalidHandle'],
  ['too long', `${'a'.repeat(19)}.test`, 'InvalidHandle'],
  ['with a dot in front of the domain', 'a.bcd.test', 'InvalidHandle'],
  ['not a host name', 'under_score.test', ['InvalidHandle', 'InvalidRequest']],
  ['reserved', 'admin.test', 'HandleNotAvailable'],
  ['of a domain that is not ours', 'alice.coop.org', 'UnsupportedDomain'],
  ['of a top-level domain nobody may use', 'alice.local', ['InvalidHandle', 'UnsupportedDomain']],
]
for (const [what, handle, name] of handleRules) {
  test(`a handle is refused that is ${what}`, async () => {
    await refused(signUp({ handle }), 400, name)
  })
}

test('an e-mail address must be one', async () => {
  await refused(signUp({ email: 'not an address' }), 400, 'InvalidRequest')
})

test('a password of more than 256 characters is refused', async () => {
  await refused(signUp({ password: 'x'.repeat(257) }), 400, ['InvalidRequest', 'InvalidPassword'])
})

test("nobody signs up with another's DID", async () => {
  const member = await Member.joins()
  await refused(signUp({ did: member.did }), 401)
})

test('a sign-up that was refused leaves no account behind', async () => {
  const member = await Member.joins()
  const handle = `${freshName('left')}.test`
  await refused(signUp({ handle, email: member.email }), 400)
  await refused(anonymous().com.atproto.identity.resolveHandle({ handle }), 400, 'HandleNotFound')
  await signUp({ handle })
})
