// A member moves the account between the PDS under test and another one, step by step as clients do it.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { verifyRepoCar } from '@atproto/repo'
import { Member, POST, anonymous, post } from '../actors/member.mjs'
import { codeMailedTo } from '../actors/outbox.mjs'
import { directory, eventually, outbox, pds, relay } from '../actors/stack.mjs'

const second = process.env.STACK_SECOND_PDS
const secondOutbox = process.env.STACK_SECOND_OUTBOX
const PREFERENCE = { $type: 'app.bsky.actor.defs#adultContentPref', enabled: false }

/** Takes the member's account from `from` to `to`; gives the agent at the new place. */
async function moves(member, from, to) {
  const old = member.agent
  const fresh = anonymous(to.url)
  const { data: server } = await fresh.com.atproto.server.describeServer()
  const { data: auth } = await old.com.atproto.server.getServiceAuth({
    aud: server.did, lxm: 'com.atproto.server.createAccount',
  })
  await fresh.com.atproto.server.createAccount(
    { handle: member.handle, email: member.email, password: member.password, did: member.did },
    { headers: { authorization: `Bearer ${auth.token}` }, encoding: 'application/json' },
  )
  await fresh.login({ identifier: member.did, password: member.password })
  assert.equal(fresh.session.active, false)
  // The DID document still names the old place; this session is for the new one.
  fresh.sessionManager.pdsUrl = new URL(to.url)

  const { data: car } = await old.com.atproto.sync.getRepo({ did: member.did })
  await fresh.com.atproto.repo.importRepo(car, { encoding: 'application/vnd.ipld.car' })
  const { data: preferences } = await old.app.bsky.actor.getPreferences()
  await fresh.app.bsky.actor.putPreferences(preferences)

  let cursor
  do {
    const { data: missing } = await fresh.com.atproto.repo.listMissingBlobs({ cursor })
    for (const { cid } of missing.blobs) {
      const blob = await old.com.atproto.sync.getBlob({ did: member.did, cid })
      await fresh.com.atproto.repo.uploadBlob(blob.data, { encoding: blob.headers['content-type'] })
    }
    cursor = missing.cursor
  } while (cursor)
  const { data: status } = await fresh.com.atproto.server.checkAccountStatus()
  assert.equal(status.activated, false)
  assert.equal(status.expectedBlobs, 1)
  assert.equal(status.importedBlobs, 1)
  assert.equal(status.indexedRecords, 31)

  const { data: credentials } = await fresh.com.atproto.identity.getRecommendedDidCredentials()
  const token = await codeMailedTo(
    member.email, () => old.com.atproto.identity.requestPlcOperationSignature(), from.outbox)
  const { data: signed } = await old.com.atproto.identity.signPlcOperation({ token, ...credentials })
  await fresh.com.atproto.identity.submitPlcOperation({ operation: signed.operation })
  await fresh.com.atproto.server.activateAccount()
  await old.com.atproto.server.deactivateAccount({})
  return fresh
}

const here = { name: 'the PDS', url: pds, outbox }
const there = { name: 'another PDS', url: second, outbox: secondOutbox }
for (const [from, to] of [[there, here], [here, there]]) {
  test(`a member moves from ${from.name} to ${to.name} with everything`, async () => {
    const member = await Member.joins('mv', {}, from.url)
    const bytes = randomBytes(2000)
    const { data: upload } = await member.repo.uploadBlob(bytes, { encoding: 'application/octet-stream' })
    await member.postsTogether(Array.from({ length: 30 }, (_, i) => `entry ${i}`))
    const record = { $type: 'coop.rochdale.test.note', file: upload.blob }
    await member.puts('coop.rochdale.test.note', 'note', record)
    await member.agent.app.bsky.actor.putPreferences({ preferences: [PREFERENCE] })
    const { data: before } = await anonymous(from.url).com.atproto.repo.listRecords({
      repo: member.did, collection: POST,
    })

    const agent = await moves(member, from, to)

    assert.equal((await directory.getDocumentData(member.did)).services.atproto_pds.endpoint, to.url)
    const { data: after } = await anonymous(to.url).com.atproto.repo.listRecords({
      repo: member.did, collection: POST,
    })
    assert.deepEqual(after.records, before.records)
    const blob = await anonymous(to.url).com.atproto.sync.getBlob({
      did: member.did, cid: upload.blob.ref.toString(),
    })
    assert.deepEqual(Buffer.from(blob.data), bytes)
    const { data: kept } = await agent.app.bsky.actor.getPreferences()
    assert.deepEqual(kept.preferences, [PREFERENCE])

    const { data: written } = await agent.com.atproto.repo.createRecord({
      repo: member.did, collection: POST, record: post('at the new place'),
    })
    const { data: car } = await anonymous(to.url).com.atproto.sync.getRepo({ did: member.did })
    const verified = await verifyRepoCar(car, member.did, await member.signingKey())
    assert.equal(verified.creates.length, 32)
    const { data: status } = await anonymous(from.url).com.atproto.sync.getRepoStatus({ did: member.did })
    assert.equal(status.active, false)
    if (to === here) {
      await eventually('the relay to follow', async () => {
        const answer = await fetch(`${relay}/xrpc/com.atproto.sync.getLatestCommit?did=${member.did}`)
        return answer.ok && (await answer.json()).rev === written.commit.rev
      })
    }
  })
}
