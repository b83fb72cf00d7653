import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TID } from '@atproto/common'
import { parseCid } from '@atproto/lex-data'
import {
  MemoryBlockstore, Repo, readCarWithRoot, verifyCommitSig, verifyDiffCar, verifyProofs,
  verifyRecords, verifyRepoCar,
} from '@atproto/repo'
import { Member, POST, anonymous, post } from '../actors/member.mjs'
import { answers, refused } from '../actors/refusal.mjs'
import { notOnReference, pds } from '../actors/stack.mjs'

const NOBODY = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'

test('a new repository is empty, signed, and verifies', async () => {
  const member = await Member.joins()
  const verified = await verifyRepoCar(await member.exportsRepo(), member.did, await member.signingKey())
  assert.equal(verified.creates.length, 0)
  const latest = await member.latestCommit()
  assert.equal(verified.commit.cid.toString(), latest.cid)
})

test("an export holds every record and passes the SDK's verifier", async () => {
  const member = await Member.joins()
  const { results } = await member.postsTogether(Array.from({ length: 150 }, (_, i) => `entry ${i}`))
  const single = await member.posts('a single one')
  await member.deletes(POST, results[3].uri.split('/').at(-1))
  await member.puts(POST, results[4].uri.split('/').at(-1), post('edited'))
  const car = await member.exportsRepo()
  const verified = await verifyRepoCar(car, member.did, await member.signingKey())
  assert.equal(verified.creates.length, 150)
  const latest = await member.latestCommit()
  assert.equal(verified.commit.cid.toString(), latest.cid)
  assert.equal(verified.commit.rev, latest.rev)
  const found = verified.creates.find(({ rkey }) => rkey === single.rkey)
  assert.equal(found.cid.toString(), single.cid)
})

test('an export verifies under no other key and for no other DID', async () => {
  const [member, other] = [await Member.joins(), await Member.joins()]
  await member.posts('mine')
  const car = await member.exportsRepo()
  await assert.rejects(verifyRepoCar(car, member.did, await other.signingKey()))
  await assert.rejects(verifyRepoCar(car, other.did, await member.signingKey()))
})

test('an export is one CAR file named as such', async () => {
  const member = await Member.joins()
  const answer = await fetch(`${pds}/xrpc/com.atproto.sync.getRepo?did=${member.did}`)
  assert.equal(answer.headers.get('content-type'), 'application/vnd.ipld.car')
  const { root, blocks } = await readCarWithRoot(new Uint8Array(await answer.arrayBuffer()))
  assert.ok(blocks.has(root))
})

test('an export since a revision is the difference from there', async () => {
  const member = await Member.joins()
  const { results } = await member.postsTogether(Array.from({ length: 40 }, (_, i) => `before ${i}`))
  const { root, blocks } = await readCarWithRoot(await member.exportsRepo())
  const before = await Repo.load(new MemoryBlockstore(blocks), root)
  const added = await member.posts('after')
  await member.deletes(POST, results[7].uri.split('/').at(-1))
  const diff = await verifyDiffCar(
    before, await member.exportsRepo(before.commit.rev), member.did, await member.signingKey(), { ensureLeaves: false })
  const actions = diff.writes.map(({ action, rkey }) => `${action} ${rkey}`).sort()
  assert.deepEqual(actions, [`create ${added.rkey}`, `delete ${results[7].uri.split('/').at(-1)}`])
})

test('the proof of one record verifies', async () => {
  const member = await Member.joins()
  await member.postsTogether(Array.from({ length: 60 }, (_, i) => `entry ${i}`))
  const { rkey, cid } = await member.posts('to prove')
  const { data } = await anonymous().com.atproto.sync.getRecord({ did: member.did, collection: POST, rkey })
  const key = await member.signingKey()
  const records = await verifyRecords(data, member.did, key)
  assert.equal(records.find((claim) => claim.rkey === rkey)?.record.text, 'to prove')
  const claim = { collection: POST, rkey, cid: parseCid(cid) }
  const { verified, unverified } = await verifyProofs(data, [claim], member.did, key)
  assert.equal(verified.length, 1)
  assert.equal(unverified.length, 0)
})

test('the absence of a record is proven too', async () => {
  const member = await Member.joins()
  await member.postsTogether(Array.from({ length: 60 }, (_, i) => `entry ${i}`))
  const rkey = TID.nextStr()
  const { data } = await anonymous().com.atproto.sync.getRecord({ did: member.did, collection: POST, rkey })
  const claim = { collection: POST, rkey, cid: null }
  const { verified } = await verifyProofs(data, [claim], member.did, await member.signingKey())
  assert.equal(verified.length, 1)
})

test('getBlocks gives the blocks asked for, and names those it has not', async () => {
  const member = await Member.joins()
  const { cid } = await member.posts('a block')
  const latest = await member.latestCommit()
  const { data } = await anonymous().com.atproto.sync.getBlocks({ did: member.did, cids: [cid, latest.cid] })
  const text = Buffer.from(data).toString('latin1')
  assert.ok(text.includes('a block'))
  const missing = 'bafyreie5cvv4h45feadgeuwhbcutmh6t2ceseocckahdoe6uat64zmz454'
  await refused(
    anonymous().com.atproto.sync.getBlocks({ did: member.did, cids: [missing] }), 400,
    ['BlockNotFound', 'InvalidRequest'])
})

test('revisions grow and each commit is signed with the key of the DID document', async () => {
  const member = await Member.joins()
  const key = await member.signingKey()
  let last = ''
  for (const text of ['one', 'two', 'three']) {
    const { commit } = await member.posts(text)
    assert.ok(commit.rev > last)
    last = commit.rev
    const { root, blocks } = await readCarWithRoot(await member.exportsRepo())
    const repo = await Repo.load(new MemoryBlockstore(blocks), root)
    assert.equal(repo.cid.toString(), commit.cid)
    assert.ok(await verifyCommitSig(repo.commit, key))
  }
})

test('listRepos visits every repository once, whatever the page size', async () => {
  const members = [await Member.joins(), await Member.joins(), await Member.joins()]
  const seen = new Map()
  let cursor
  do {
    const { data } = await anonymous().com.atproto.sync.listRepos({ limit: 7, cursor })
    for (const repo of data.repos) {
      assert.ok(!seen.has(repo.did), `${repo.did} twice`)
      seen.set(repo.did, repo)
    }
    cursor = data.cursor
  } while (cursor)
  for (const member of members) {
    const repo = seen.get(member.did)
    const latest = await member.latestCommit()
    assert.deepEqual({ head: repo.head, rev: repo.rev, active: repo.active },
      { head: latest.cid, rev: latest.rev, active: true })
  }
})

test('an unknown repository is RepoNotFound everywhere', async () => {
  const { sync } = anonymous().com.atproto
  await refused(sync.getRepo({ did: NOBODY }), 400, 'RepoNotFound')
  await refused(sync.getLatestCommit({ did: NOBODY }), 400, 'RepoNotFound')
  await refused(sync.getRepoStatus({ did: NOBODY }), 400, 'RepoNotFound')
  await refused(sync.listBlobs({ did: NOBODY }), 400, 'RepoNotFound')
  await refused(sync.getRecord({ did: NOBODY, collection: POST, rkey: 'a' }), 400, 'RepoNotFound')
})

test('getRepoStatus shows an active repository with its revision', async () => {
  const member = await Member.joins()
  const { commit } = await member.posts('one')
  const { data } = await anonymous().com.atproto.sync.getRepoStatus({ did: member.did })
  assert.deepEqual(data, { did: member.did, active: true, rev: commit.rev })
})

test('a repository is imported and merges to the imported state', async () => {
  const member = await Member.joins()
  const { results } = await member.postsTogether(['keep', 'lose'])
  const car = await member.exportsRepo()
  const extra = await member.posts('made after the backup')
  await member.deletes(POST, results[1].uri.split('/').at(-1))
  await member.repo.importRepo(car, { encoding: 'application/vnd.ipld.car' })
  assert.equal((await member.reads(POST, results[0].uri.split('/').at(-1))).value.text, 'keep')
  assert.equal((await member.reads(POST, results[1].uri.split('/').at(-1))).value.text, 'lose')
  await refused(member.reads(POST, extra.rkey), 400, 'RecordNotFound')
  const { data } = await member.server.checkAccountStatus()
  assert.equal(data.indexedRecords, 2)
})

test('after an import the repository is signed anew and goes on', async () => {
  const member = await Member.joins()
  await member.postsTogether(['one', 'two'])
  const car = await member.exportsRepo()
  const last = await member.posts('three')
  await member.repo.importRepo(car, { encoding: 'application/vnd.ipld.car' })
  const latest = await member.latestCommit()
  assert.ok(latest.rev > last.commit.rev)
  const verified = await verifyRepoCar(await member.exportsRepo(), member.did, await member.signingKey())
  assert.equal(verified.creates.length, 2)
  await member.posts('four')
})

test('what is not a repository is not imported', notOnReference('pds', 'answers 500, or takes it'), async () => {
  const [member, other] = [await Member.joins(), await Member.joins()]
  const post = (body) =>
    fetch(`${pds}/xrpc/com.atproto.repo.importRepo`, {
      method: 'POST',
      headers: { authorization: `Bearer ${member.accessJwt}`, 'content-type': 'application/vnd.ipld.car' },
      body,
    })
  await answers(await post('this is no CAR file'), 400, 'InvalidRequest')
  await other.posts('not yours')
  await answers(await post(await other.exportsRepo()), 400, 'InvalidRequest')
  const car = Buffer.from(await member.exportsRepo())
  await answers(await post(car.subarray(0, car.length - 10)), 400, 'InvalidRequest')
  await member.posts('still works')
})
