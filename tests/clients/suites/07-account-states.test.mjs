import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { RawReader } from '../actors/firehose.mjs'
import { Member, POST, anonymous, post } from '../actors/member.mjs'
import { codeMailedTo } from '../actors/outbox.mjs'
import { answers, refused } from '../actors/refusal.mjs'
import { adminHeaders, eventually, notOnReference, pds, relay } from '../actors/stack.mjs'

const stream = new RawReader(pds)
const relayed = new RawReader(relay)
after(() => [stream, relayed].forEach((reader) => reader.stops()))

const accountEvent = (active, status) => ({ header, body }) =>
  header.t === '#account' && body.active === active && body.status === status

async function admin(method, body) {
  const response = await fetch(`${pds}/xrpc/com.atproto.admin.${method}`, {
    method: 'POST',
    headers: { ...adminHeaders, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  assert.equal(response.status, 200, await response.clone().text())
}

function takesDown(member, applied) {
  const subject = { $type: 'com.atproto.admin.defs#repoRef', did: member.did }
  return admin('updateSubjectStatus', { subject, takedown: { applied, ref: 'test' } })
}

/** What strangers are told about a repository that is not active. */
async function isHidden(member, rkey, name) {
  const { sync, repo, identity } = anonymous().com.atproto
  const { did } = member
  await refused(sync.getRepo({ did }), 400, name)
  await refused(sync.getLatestCommit({ did }), 400, name)
  await refused(sync.getRecord({ did, collection: POST, rkey }), 400, name)
  await refused(sync.listBlobs({ did }), 400, name)
  await refused(repo.describeRepo({ repo: did }), 400, name)
  await refused(repo.listRecords({ repo: did, collection: POST }), 400)
  await assert.rejects(member.reads(POST, rkey))
  await refused(identity.resolveHandle({ handle: member.handle }), 400, ['HandleNotFound', 'InvalidRequest'])
}

test('a deactivated account is hidden, cannot write, and comes back whole', async () => {
  const member = await Member.joins()
  const { rkey } = await member.posts('before the pause')
  await member.server.deactivateAccount({})
  await isHidden(member, rkey, 'RepoDeactivated')
  const { data: status } = await anonymous().com.atproto.sync.getRepoStatus({ did: member.did })
  assert.deepEqual(status, { did: member.did, active: false, status: 'deactivated' })
  await refused(member.posts('not now'), 401, 'AccountDeactivated')
  await refused(member.puts(POST, rkey, post('not now')), 401, 'AccountDeactivated')
  await refused(member.deletes(POST, rkey), 401, 'AccountDeactivated')
  await refused(member.postsTogether(['not now']), 401, 'AccountDeactivated')

  await member.server.activateAccount()
  assert.equal((await member.reads(POST, rkey)).value.text, 'before the pause')
  await member.posts('back again')
  const { data } = await anonymous().com.atproto.identity.resolveHandle({ handle: member.handle })
  assert.equal(data.did, member.did)
})

test('a deactivated member may sign in, see the state, and still take the data along', async () => {
  const member = await Member.joins()
  await member.posts('mine')
  await member.server.deactivateAccount({})
  const agent = await member.signsInAgain()
  assert.equal(agent.session.active, false)
  assert.equal(agent.session.status, 'deactivated')
  const { data } = await member.server.checkAccountStatus()
  assert.equal(data.activated, false)
  assert.equal(data.validDid, true)
  assert.equal(data.indexedRecords, 1)
  const own = await member.sync.getRepo({ did: member.did })
  assert.ok(own.data.length > 100)
  await member.server.activateAccount()
})

test('the streams tell of deactivation and of the return, with the head again', async () => {
  const member = await Member.joins()
  const { commit } = await member.posts('one')
  await member.server.deactivateAccount({})
  await member.server.activateAccount()
  await stream.sees(member.did, 'the deactivation', accountEvent(false, 'deactivated'))
  await relayed.sees(member.did, 'the deactivation', accountEvent(false, 'deactivated'))
  const activated = await eventually('the activation', () => {
    const frames = stream.of(member.did)
    return frames.slice(frames.findIndex(accountEvent(false, 'deactivated'))).find(accountEvent(true))
  })
  const sync = await stream.sees(
    member.did, 'the sync event', ({ header, body }) => header.t === '#sync' && body.seq > activated.body.seq)
  const head = await member.latestCommit()
  assert.equal(sync.body.rev, head.rev)
  assert.ok(head.rev >= commit.rev)
  await eventually('the relay to have the activation', () => {
    const frames = relayed.of(member.did)
    return frames.slice(frames.findIndex(accountEvent(false, 'deactivated'))).some(accountEvent(true))
  })
})

test('an account taken down is hidden, cannot sign in or refresh, and can be restored', async () => {
  const member = await Member.joins()
  const { rkey } = await member.posts('disputed')
  const { refreshJwt } = member.agent.session
  await takesDown(member, true)
  await isHidden(member, rkey, 'RepoTakendown')
  const { data: status } = await anonymous().com.atproto.sync.getRepoStatus({ did: member.did })
  assert.deepEqual(status, { did: member.did, active: false, status: 'takendown' })
  await refused(member.signsInAgain(), 401, 'AccountTakedown')
  await refused(member.posts('still here'), 401, 'AccountTakedown')
  const refresh = await fetch(`${pds}/xrpc/com.atproto.server.refreshSession`, {
    method: 'POST',
    headers: { authorization: `Bearer ${refreshJwt}` },
  })
  await answers(refresh, refresh.status === 401 ? 401 : 400, ['AccountTakedown', 'ExpiredToken'])
  await stream.sees(member.did, 'the takedown', accountEvent(false, 'takendown'))
  await relayed.sees(member.did, 'the takedown', accountEvent(false, 'takendown'))

  await takesDown(member, false)
  const agent = await member.signsInAgain()
  await agent.post({ text: 'restored' })
  assert.equal((await member.reads(POST, rkey)).value.text, 'disputed')
})

test('a member taken down cannot activate the account', async () => {
  const member = await Member.joins()
  await takesDown(member, true)
  await assert.rejects(member.server.activateAccount(), ({ status }) => status === 400 || status === 401)
  const { data } = await anonymous().com.atproto.sync.getRepoStatus({ did: member.did })
  assert.equal(data.status, 'takendown')
})

test('one record is taken down and restored without touching the others', async () => {
  const member = await Member.joins()
  const [bad, good] = [await member.posts('bad'), await member.posts('good')]
  const subject = { $type: 'com.atproto.repo.strongRef', uri: bad.uri, cid: bad.cid }
  await admin('updateSubjectStatus', { subject, takedown: { applied: true, ref: 'test' } })
  await refused(member.reads(POST, bad.rkey), 400, 'RecordNotFound')
  assert.equal((await member.reads(POST, good.rkey)).value.text, 'good')
  await admin('updateSubjectStatus', { subject, takedown: { applied: false } })
  assert.equal((await member.reads(POST, bad.rkey)).value.text, 'bad')
})

test('an admin method is for the admin alone', async () => {
  const member = await Member.joins()
  const url = `${pds}/xrpc/com.atproto.admin.getAccountInfo?did=${member.did}`
  await answers(await fetch(url), 401)
  await answers(await fetch(url, { headers: { authorization: `Bearer ${member.accessJwt}` } }), 401)
  const wrong = { authorization: `Basic ${Buffer.from('admin:wrong').toString('base64')}` }
  await answers(await fetch(url, { headers: wrong }), 401)
  const info = await (await fetch(url, { headers: adminHeaders })).json()
  assert.equal(info.did, member.did)
  assert.equal(info.handle, member.handle)
  assert.equal(info.email, member.email)
})

test('an account is deleted with the mailed code, and nothing of it stays', async () => {
  const member = await Member.joins()
  const { rkey } = await member.posts('to be forgotten')
  const token = await codeMailedTo(member.email, () => member.server.requestAccountDelete())
  const { did, password } = member
  const remove = (changes) => anonymous().com.atproto.server.deleteAccount({ did, password, token, ...changes })
  await refused(remove({ token: 'AAAAA-AAAAA' }), 400, 'InvalidToken')
  await refused(remove({ password: 'wrong' }), 401)
  await remove({})
  await stream.sees(did, 'the deletion', accountEvent(false, 'deleted'))
  await relayed.sees(did, 'the deletion', accountEvent(false, 'deleted'))
  await refused(member.signsInAgain(), 401, 'AuthenticationRequired')
  await refused(anonymous().com.atproto.sync.getRepo({ did }), 400, 'RepoNotFound')
  await refused(anonymous().com.atproto.sync.getRepoStatus({ did }), 400, 'RepoNotFound')
  await assert.rejects(member.reads(POST, rkey))
  await assert.rejects(member.posts('from beyond'), ({ status }) => status >= 400 && status < 500)
})

test('an admin deletes an account', async () => {
  const member = await Member.joins()
  await admin('deleteAccount', { did: member.did })
  await stream.sees(member.did, 'the deletion', accountEvent(false, 'deleted'))
  await refused(anonymous().com.atproto.sync.getRepoStatus({ did: member.did }), 400, 'RepoNotFound')
})

test('the admin sets a new password, and old sessions end', async () => {
  const member = await Member.joins()
  await admin('updateAccountPassword', { did: member.did, password: 'set by the admin' })
  await refused(member.signsInAgain(), 401, 'AuthenticationRequired')
  await anonymous().login({ identifier: member.handle, password: 'set by the admin' })
})

test('a taken-down member gets a limited session to leave with', notOnReference('pds', 'refuses service auth for it'), async () => {
  const member = await Member.joins()
  await takesDown(member, true)
  const { data } = await anonymous().com.atproto.server.createSession({
    identifier: member.handle, password: member.password, allowTakendown: true,
  })
  assert.equal(data.active, false)
  assert.equal(data.status, 'takendown')
  const headers = { authorization: `Bearer ${data.accessJwt}` }
  const answer = await fetch(`${pds}/xrpc/com.atproto.sync.getRepo?did=${member.did}`, { headers })
  assert.equal(answer.status, 200)
  const query = new URLSearchParams({ aud: 'did:web:pds.example', lxm: 'com.atproto.server.createAccount' })
  const auth = await fetch(`${pds}/xrpc/com.atproto.server.getServiceAuth?${query}`, { headers })
  assert.equal(auth.status, 200)
})
