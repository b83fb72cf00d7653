import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TID } from '@atproto/common'
import { AtUri } from '@atproto/syntax'
import { Member, POST, anonymous, post } from '../actors/member.mjs'
import { refused } from '../actors/refusal.mjs'
import { notOnReference } from '../actors/stack.mjs'

const PROFILE = 'app.bsky.actor.profile'
const NOTE = 'coop.rochdale.test.note'

test('a member posts and everybody can read it', async () => {
  const member = await Member.joins()
  const written = await member.posts('Hello')
  const uri = new AtUri(written.uri)
  assert.equal(uri.host, member.did)
  assert.equal(uri.collection, POST)
  assert.ok(TID.is(uri.rkey))
  assert.equal(written.validationStatus, 'valid')
  const read = await member.reads(POST, uri.rkey)
  assert.equal(read.uri, written.uri)
  assert.equal(read.cid, written.cid)
  assert.equal(read.value.text, 'Hello')
  assert.equal(read.value.$type, POST)
  const latest = await member.latestCommit()
  assert.equal(latest.cid, written.commit.cid)
  assert.equal(latest.rev, written.commit.rev)
})

test('a repository may be named by its handle', async () => {
  const member = await Member.joins()
  const { data } = await member.repo.createRecord({ repo: member.handle, collection: POST, record: post('by name') })
  const rkey = new AtUri(data.uri).rkey
  const read = await anonymous().com.atproto.repo.getRecord({ repo: member.handle, collection: POST, rkey })
  assert.equal(read.data.value.text, 'by name')
})

test('the SDK posts with its own helper', async () => {
  const member = await Member.joins()
  const { uri, cid } = await member.agent.post({ text: 'via the helper' })
  const read = await member.reads(POST, new AtUri(uri).rkey)
  assert.equal(read.cid, cid)
})

test('a record is updated, and an update that changes nothing makes no commit', async () => {
  const member = await Member.joins()
  const created = await member.puts(PROFILE, 'self', { $type: PROFILE, displayName: 'Ann' })
  const updated = await member.puts(PROFILE, 'self', { $type: PROFILE, displayName: 'Anne' })
  assert.notEqual(updated.cid, created.cid)
  assert.ok(updated.commit.rev > created.commit.rev)
  const before = await member.latestCommit()
  const same = await member.puts(PROFILE, 'self', { $type: PROFILE, displayName: 'Anne' })
  assert.equal(same.cid, updated.cid)
  assert.equal(same.commit, undefined)
  assert.deepEqual(await member.latestCommit(), before)
})

test('a record is deleted, and deleting it again makes no commit', async () => {
  const member = await Member.joins()
  const { rkey } = await member.posts('soon gone')
  const first = await member.deletes(POST, rkey)
  assert.ok(first.commit.cid)
  await refused(member.reads(POST, rkey), 400, 'RecordNotFound')
  const second = await member.deletes(POST, rkey)
  assert.equal(second.commit, undefined)
})

test('a missing $type is filled in, another one is refused', async () => {
  const member = await Member.joins()
  const record = { text: 'no type', createdAt: new Date().toISOString() }
  const { data } = await member.repo.createRecord({ repo: member.did, collection: POST, record })
  const read = await member.reads(POST, new AtUri(data.uri).rkey)
  assert.equal(read.value.$type, POST)
  const other = { ...record, $type: 'app.bsky.feed.like' }
  await refused(member.repo.createRecord({ repo: member.did, collection: POST, record: other }), 400, 'InvalidRequest')
})

test('a record of an unknown schema is kept, and refused when validation is demanded', async () => {
  const member = await Member.joins()
  const record = { $type: NOTE, text: 'new', nested: { list: [1, 'two', null, true, { deep: -5 }] } }
  const { data } = await member.repo.createRecord({ repo: member.did, collection: NOTE, record })
  assert.equal(data.validationStatus, 'unknown')
  const read = await member.reads(NOTE, new AtUri(data.uri).rkey)
  assert.deepEqual(read.value, record)
  await refused(
    member.repo.createRecord({ repo: member.did, collection: NOTE, record, validate: true }), 400, 'InvalidRequest')
})

test('a record that its schema does not allow is refused with the place, unless nobody is to look', async () => {
  const member = await Member.joins()
  const write = (record, validate) => member.repo.createRecord({ repo: member.did, collection: POST, record, validate })
  assert.equal((await write(post('fine'), true)).data.validationStatus, 'valid')
  assert.equal((await write(post('fine'), false)).data.validationStatus, undefined)
  for (const validate of [undefined, true]) {
    await assert.rejects(write({ ...post(), text: 'x'.repeat(3001) }, validate), (error) => {
      assert.equal(error.status, 400)
      assert.equal(error.error, 'InvalidRequest')
      assert.match(error.message, /^Invalid app\.bsky\.feed\.post record: .*text/)
      return true
    })
  }
  await write({ ...post(), text: 7 }, false)
  const keyed = { repo: member.did, collection: PROFILE, rkey: 'other', record: { $type: PROFILE } }
  await refused(member.repo.putRecord(keyed), 400, 'InvalidRequest')
})

test('bytes and links in a record come back as they were', async () => {
  const member = await Member.joins()
  const { cid } = await member.posts('target')
  const record = { $type: NOTE, bytes: { $bytes: 'AQID' }, link: { $link: cid }, big: 9007199254740991 }
  const answer = await fetch(new URL('/xrpc/com.atproto.repo.putRecord', member.agent.serviceUrl), {
    method: 'POST',
    headers: { authorization: `Bearer ${member.accessJwt}`, 'content-type': 'application/json' },
    body: JSON.stringify({ repo: member.did, collection: NOTE, rkey: 'raw', record }),
  })
  assert.equal(answer.status, 200)
  const query = new URLSearchParams({ repo: member.did, collection: NOTE, rkey: 'raw' })
  const read = await fetch(new URL(`/xrpc/com.atproto.repo.getRecord?${query}`, member.agent.serviceUrl))
  assert.deepEqual((await read.json()).value, record)
})

test("nobody writes into another member's repository", async () => {
  const [member, other] = [await Member.joins(), await Member.joins()]
  await refused(member.repo.createRecord({ repo: other.did, collection: POST, record: post() }), 401)
  await refused(
    anonymous().com.atproto.repo.createRecord({ repo: other.did, collection: POST, record: post() }), 401)
})

test('a create on a record key in use is refused with a 4xx', notOnReference('pds', 'answers 500'), async () => {
  const member = await Member.joins()
  const { rkey } = await member.posts('first')
  const again = member.repo.createRecord({ repo: member.did, collection: POST, rkey, record: post('second') })
  await assert.rejects(again, (error) => error.status >= 400 && error.status < 500)
  assert.equal((await member.reads(POST, rkey)).value.text, 'first')
})

test('a swap guards a write against what happened meanwhile', async () => {
  const member = await Member.joins()
  const first = await member.posts('one')
  const second = await member.posts('two')
  await refused(member.posts('three', { swapCommit: first.commit.cid }), 400, 'InvalidSwap')
  await member.posts('three', { swapCommit: second.commit.cid })
  await refused(member.deletes(POST, first.rkey, { swapCommit: first.commit.cid }), 400, 'InvalidSwap')
  await refused(member.deletes(POST, first.rkey, { swapRecord: second.cid }), 400, 'InvalidSwap')
  await refused(
    member.puts(POST, first.rkey, post('new'), { swapRecord: second.cid }), 400, 'InvalidSwap')
  await refused(member.puts(POST, first.rkey, post('new'), { swapRecord: null }), 400, 'InvalidSwap')
  const put = await member.puts(POST, first.rkey, post('new'), { swapRecord: first.cid })
  await member.deletes(POST, first.rkey, { swapRecord: put.cid })
  const created = await member.puts(POST, TID.nextStr(), post('fresh'), { swapRecord: null })
  assert.ok(created.commit)
})

test('two hundred writes are one commit, two hundred and one are refused', async () => {
  const member = await Member.joins()
  const texts = Array.from({ length: 200 }, (_, i) => `entry ${i}`)
  const before = await member.latestCommit()
  const { commit, results } = await member.postsTogether(texts)
  assert.equal(results.length, 200)
  assert.ok(results.every(({ $type }) => $type === 'com.atproto.repo.applyWrites#createResult'))
  assert.ok(commit.rev > before.rev)
  assert.equal((await member.latestCommit()).cid, commit.cid)
  const middle = await member.reads(POST, new AtUri(results[100].uri).rkey)
  assert.equal(middle.value.text, 'entry 100')
  await refused(member.postsTogether([...texts, 'one more']), 400, 'InvalidRequest')
  assert.equal((await member.latestCommit()).cid, commit.cid)
})

test('applyWrites mixes creations, updates and deletions, all or nothing', async () => {
  const member = await Member.joins()
  const [kept, gone] = [await member.posts('kept'), await member.posts('gone')]
  const batch = (last) => [
    { $type: 'com.atproto.repo.applyWrites#create', collection: POST, rkey: TID.nextStr(), value: post('added') },
    { $type: 'com.atproto.repo.applyWrites#update', collection: POST, rkey: kept.rkey, value: post('changed') },
    { $type: 'com.atproto.repo.applyWrites#delete', collection: POST, rkey: gone.rkey },
    ...last,
  ]
  const bad = { $type: 'com.atproto.repo.applyWrites#create', collection: POST, value: { ...post(), $type: PROFILE } }
  await refused(member.repo.applyWrites({ repo: member.did, writes: batch([bad]) }), 400, 'InvalidRequest')
  assert.equal((await member.reads(POST, kept.rkey)).value.text, 'kept')
  const { data } = await member.repo.applyWrites({ repo: member.did, writes: batch([]) })
  assert.deepEqual(
    data.results.map(({ $type }) => $type.split('#')[1]), ['createResult', 'updateResult', 'deleteResult'])
  assert.equal((await member.reads(POST, kept.rkey)).value.text, 'changed')
  await refused(member.reads(POST, gone.rkey), 400, 'RecordNotFound')
})

test('two writes to one record in a batch are refused', notOnReference('pds', 'answers 500'), async () => {
  const member = await Member.joins()
  const rkey = TID.nextStr()
  const write = { $type: 'com.atproto.repo.applyWrites#create', collection: POST, rkey, value: post() }
  await refused(member.repo.applyWrites({ repo: member.did, writes: [write, write] }), 400)
})

test('parallel writers of one repository all succeed, one after the other', async () => {
  const member = await Member.joins()
  const written = await Promise.all(Array.from({ length: 20 }, (_, i) => member.posts(`parallel ${i}`)))
  assert.equal(new Set(written.map(({ commit }) => commit.rev)).size, 20)
  const newest = written.map(({ commit }) => commit).sort((a, b) => (a.rev < b.rev ? 1 : -1))[0]
  assert.equal((await member.latestCommit()).cid, newest.cid)
})

async function listAll(member, options) {
  const seen = []
  let cursor
  for (let page = 0; page < 50; page++) {
    const { data } = await anonymous().com.atproto.repo.listRecords({
      repo: member.did, collection: POST, cursor, ...options,
    })
    assert.ok(data.records.length <= options.limit)
    seen.push(...data.records.map(({ uri }) => new AtUri(uri).rkey))
    cursor = data.cursor
    if (!cursor) return seen
  }
  assert.fail('the pages have no end')
}

test('listing visits every record once, newest first, or oldest first when reversed', async () => {
  const member = await Member.joins()
  const { results } = await member.postsTogether(Array.from({ length: 23 }, (_, i) => `n ${i}`))
  const ascending = results.map(({ uri }) => new AtUri(uri).rkey).sort()
  for (const limit of [1, 7, 23, 100]) {
    assert.deepEqual(await listAll(member, { limit }), [...ascending].reverse())
    assert.deepEqual(await listAll(member, { limit, reverse: true }), ascending)
  }
})

test('listing shows one collection only, 50 records unless asked otherwise', async () => {
  const member = await Member.joins()
  await member.postsTogether(Array.from({ length: 60 }, (_, i) => `n ${i}`))
  await member.puts(PROFILE, 'self', { $type: PROFILE })
  const { data } = await anonymous().com.atproto.repo.listRecords({ repo: member.did, collection: POST })
  assert.equal(data.records.length, 50)
  assert.ok(data.cursor)
  assert.ok(data.records.every(({ value }) => value.$type === POST))
  const empty = await anonymous().com.atproto.repo.listRecords({ repo: member.did, collection: 'app.bsky.feed.like' })
  assert.deepEqual(empty.data.records, [])
  assert.equal(empty.data.cursor, undefined)
})

test('reading what is not there is refused by name', async () => {
  const member = await Member.joins()
  const { rkey, cid } = await member.posts('here')
  await refused(member.reads(POST, TID.nextStr()), 400, 'RecordNotFound', /^Could not locate record/)
  const other = await member.posts('other')
  const get = (changes) =>
    anonymous().com.atproto.repo.getRecord({ repo: member.did, collection: POST, rkey, ...changes })
  assert.equal((await get({ cid })).data.cid, cid)
  await refused(get({ cid: other.cid }), 400, 'RecordNotFound')
  await refused(
    anonymous().com.atproto.repo.listRecords({ repo: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', collection: POST }), 400)
})

test('describeRepo tells the collections and that the handle is right', async () => {
  const member = await Member.joins()
  await member.posts('one')
  await member.puts(PROFILE, 'self', { $type: PROFILE })
  const { data } = await anonymous().com.atproto.repo.describeRepo({ repo: member.did })
  assert.equal(data.handle, member.handle)
  assert.equal(data.did, member.did)
  assert.equal(data.didDoc.id, member.did)
  assert.deepEqual([...data.collections].sort(), [PROFILE, POST])
})

test('a second like of the same post replaces the first', async () => {
  const member = await Member.joins()
  const { uri, cid } = await member.posts('likeable')
  const first = await member.agent.like(uri, cid)
  const second = await member.agent.like(uri, cid)
  await refused(member.reads('app.bsky.feed.like', new AtUri(first.uri).rkey), 400, 'RecordNotFound')
  await member.reads('app.bsky.feed.like', new AtUri(second.uri).rkey)
})
