import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Member, anonymous, post, POST } from '../actors/member.mjs'
import { codeMailedTo } from '../actors/outbox.mjs'
import { answers, refused } from '../actors/refusal.mjs'
import { pds } from '../actors/stack.mjs'

function call(method, { token, ...init } = {}) {
  const headers = { ...init.headers, ...(token && { authorization: `Bearer ${token}` }) }
  return fetch(`${pds}/xrpc/${method}`, { ...init, headers })
}

const refresh = (token) => call('com.atproto.server.refreshSession', { method: 'POST', token })

function claims(jwt) {
  return JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url').toString())
}

test('a member signs in by handle, e-mail address or DID', async () => {
  const member = await Member.joins()
  for (const identifier of [member.handle, member.handle.toUpperCase(), member.email, member.did]) {
    const agent = anonymous()
    await agent.login({ identifier, password: member.password })
    assert.equal(agent.session.did, member.did)
    assert.equal(agent.session.handle, member.handle)
  }
})

test('a wrong password and an unknown account get the same answer', async () => {
  const member = await Member.joins()
  const wrong = await refused(
    anonymous().login({ identifier: member.handle, password: 'wrong' }), 401, 'AuthenticationRequired')
  const unknown = await refused(
    anonymous().login({ identifier: 'nobody-here.test', password: 'wrong' }), 401, 'AuthenticationRequired')
  assert.equal(wrong.message, unknown.message)
})

test('tokens say who, for whom and for how long', async () => {
  const member = await Member.joins()
  const { data } = await anonymous().com.atproto.server.describeServer()
  const access = claims(member.accessJwt)
  assert.equal(access.sub, member.did)
  assert.equal(access.aud, data.did)
  assert.equal(access.scope, 'com.atproto.access')
  assert.equal(access.exp - access.iat, 120 * 60)
  const refreshed = claims(member.agent.session.refreshJwt)
  assert.equal(refreshed.scope, 'com.atproto.refresh')
  assert.equal(refreshed.exp - refreshed.iat, 90 * 24 * 60 * 60)
})

test('a refresh rotates the refresh token', async () => {
  const member = await Member.joins()
  const before = member.agent.session.refreshJwt
  const answer = await (await refresh(before)).json()
  assert.equal(answer.did, member.did)
  assert.notEqual(claims(answer.refreshJwt).jti, claims(before).jti)
  const { status } = await call('com.atproto.server.getSession', { token: answer.accessJwt })
  assert.equal(status, 200)
})

test('parallel refreshes of one token converge on the same successor', async () => {
  const member = await Member.joins()
  const before = member.agent.session.refreshJwt
  const tokens = await Promise.all(
    Array.from({ length: 6 }, async () => {
      const response = await refresh(before)
      assert.equal(response.status, 200)
      return claims((await response.json()).refreshJwt).jti
    }),
  )
  assert.equal(new Set(tokens).size, 1)
})

test('the SDK resumes a stored session', async () => {
  const member = await Member.joins()
  const agent = anonymous()
  await agent.resumeSession(member.agent.session)
  assert.equal(agent.session.did, member.did)
})

test('after a sign-out the refresh token is worth nothing', async () => {
  const member = await Member.joins()
  const token = member.agent.session.refreshJwt
  await member.agent.logout()
  await answers(await refresh(token), 400, 'ExpiredToken')
})

test('an access token does not refresh, a refresh token does not write', async () => {
  const member = await Member.joins()
  await answers(await refresh(member.accessJwt), 400, 'InvalidToken')
  const token = member.agent.session.refreshJwt
  await answers(await call('com.atproto.server.getSession', { token }), 400, 'InvalidToken')
})

test('calls without a token, or with a bad one, are refused by name', async () => {
  await answers(await call('com.atproto.server.getSession'), 401, ['AuthMissing', 'AuthenticationRequired'])
  await answers(await call('com.atproto.server.getSession', { token: 'junk' }), 400, 'InvalidToken')
  const headers = { authorization: 'Nonsense abc' }
  await answers(await call('com.atproto.server.getSession', { headers }), 400, 'InvalidToken')
  const member = await Member.joins()
  const [head, body, signature] = member.accessJwt.split('.')
  const forged = [head, body, signature.split('').reverse().join('')].join('.')
  await answers(await call('com.atproto.server.getSession', { token: forged }), 400, 'InvalidToken')
})

test('an app password writes records but does not run the account', async () => {
  const member = await Member.joins()
  const { data } = await member.server.createAppPassword({ name: 'phone' })
  assert.match(data.password, /^[a-z2-7]{4}(-[a-z2-7]{4}){3}$/)
  const phone = anonymous()
  await phone.login({ identifier: member.handle, password: data.password })
  await phone.com.atproto.repo.createRecord({ repo: member.did, collection: POST, record: post() })
  await refused(phone.com.atproto.server.createAppPassword({ name: 'more' }), 400, 'InvalidToken')
  await refused(phone.com.atproto.server.deactivateAccount({}), 400, 'InvalidToken')
  const { data: list } = await member.server.listAppPasswords()
  assert.deepEqual(list.passwords.map(({ name }) => name), ['phone'])
  await member.server.revokeAppPassword({ name: 'phone' })
  await answers(await refresh(phone.session.refreshJwt), 400, 'ExpiredToken')
  await refused(
    anonymous().login({ identifier: member.handle, password: data.password }), 401, 'AuthenticationRequired')
})

test('a forgotten password is replaced with the mailed code, once', async () => {
  const member = await Member.joins()
  const old = member.agent.session.refreshJwt
  const token = await codeMailedTo(member.email, () =>
    anonymous().com.atproto.server.requestPasswordReset({ email: member.email }))
  await refused(
    anonymous().com.atproto.server.resetPassword({ token: 'AAAAA-AAAAA', password: 'new' }), 400, 'InvalidToken')
  await anonymous().com.atproto.server.resetPassword({ token: token.toLowerCase(), password: 'a new one' })
  await refused(
    anonymous().com.atproto.server.resetPassword({ token, password: 'again' }), 400, 'InvalidToken')
  await refused(
    anonymous().login({ identifier: member.did, password: member.password }), 401, 'AuthenticationRequired')
  await anonymous().login({ identifier: member.did, password: 'a new one' })
  await answers(await refresh(old), 400, 'ExpiredToken')
})

test('an e-mail address is confirmed with the mailed code', async () => {
  const member = await Member.joins()
  const token = await codeMailedTo(member.email, () => member.server.requestEmailConfirmation())
  await refused(member.server.confirmEmail({ email: 'other@members.example', token }), 400, 'InvalidEmail')
  await refused(member.server.confirmEmail({ email: member.email, token: 'AAAAA-AAAAA' }), 400, 'InvalidToken')
  await member.server.confirmEmail({ email: member.email, token })
  const { data } = await member.server.getSession()
  assert.equal(data.emailConfirmed, true)
})

test('an address change needs the mailed code once the old address is confirmed', async () => {
  const member = await Member.joins()
  const confirm = await codeMailedTo(member.email, () => member.server.requestEmailConfirmation())
  await member.server.confirmEmail({ email: member.email, token: confirm })
  const fresh = `new-${member.email}`
  await refused(member.server.updateEmail({ email: fresh }), 400, 'TokenRequired')
  const token = await codeMailedTo(member.email, async () => {
    const { data } = await member.server.requestEmailUpdate()
    assert.equal(data.tokenRequired, true)
  })
  await member.server.updateEmail({ email: fresh, token })
  const { data } = await member.server.getSession()
  assert.equal(data.email, fresh)
  assert.equal(data.emailConfirmed, false)
})
