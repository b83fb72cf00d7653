import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Follower, RawReader, verifyCommit } from '../actors/firehose.mjs'
import { Member, POST, post } from '../actors/member.mjs'
import { eventually, isReference, notOnReference, pds, relay } from '../actors/stack.mjs'

const PROFILE = 'app.bsky.actor.profile'
const open = []
after(() => Promise.all(open.map((reader) => reader.stops())))

function follow(...args) {
  const follower = new Follower(...args)
  open.push(follower)
  return follower
}

function read(...args) {
  const reader = new RawReader(...args)
  open.push(reader)
  return reader
}

async function writesAllSorts(member) {
  const one = await member.posts('one')
  const { results } = await member.postsTogether(Array.from({ length: 30 }, (_, i) => `n ${i}`))
  await member.puts(PROFILE, 'self', { $type: PROFILE, displayName: 'Ann' })
  await member.puts(PROFILE, 'self', { $type: PROFILE, displayName: 'Anne' })
  await member.deletes(POST, one.rkey)
  await member.deletes(POST, results[11].uri.split('/').at(-1))
  return member.posts('the last one')
}

for (const [name, base] of [['PDS', pds], ['relay', relay]]) {
  test(`the SDK follows the ${name}: creation, update and deletion, each verified`, async () => {
    const follower = follow(base)
    const reader = read(base)
    await reader.opens()
    const member = await Member.joins()
    const { rkey, cid } = await member.posts('first')
    const created = await follower.sees(member.did, 'a creation', ({ event }) => event === 'create')
    assert.equal(created.collection, POST)
    assert.equal(created.rkey, rkey)
    assert.equal(created.cid.toString(), cid)
    assert.equal(created.record.text, 'first')
    const updated = await member.puts(POST, rkey, post('second'))
    const update = await follower.sees(member.did, 'an update', ({ event }) => event === 'update')
    assert.equal(update.cid.toString(), updated.cid)
    await member.deletes(POST, rkey)
    const deletion = await follower.sees(member.did, 'a deletion', ({ event }) => event === 'delete')
    assert.equal(deletion.rkey, rkey)
    assert.deepEqual(follower.errors, [])
  })

  test(`the ${name} announces a new member: identity, account, then the repository`, async () => {
    const reader = read(base)
    await reader.opens()
    const member = await Member.joins()
    await reader.sees(member.did, 'an account event', ({ header }) => header.t === '#account')
    await member.posts('first')
    await reader.sees(member.did, 'the post', ({ body }) => body.ops?.length === 1)
    const kinds = reader.of(member.did).map(({ header }) => header.t)
    assert.ok(kinds.includes('#identity'))
    const account = reader.of(member.did).find(({ header }) => header.t === '#account')
    assert.equal(account.body.active, true)
    assert.ok(kinds.indexOf('#account') < kinds.lastIndexOf('#commit'))
  })

  test(`every commit on the ${name}'s stream replays backwards to the one before`, async () => {
    const reader = read(base)
    await reader.opens()
    const member = await Member.joins()
    const last = await writesAllSorts(member)
    await reader.sees(member.did, 'the last post', ({ body }) => body.rev === last.commit.rev)
    const key = await member.signingKey()
    const commits = reader.of(member.did).filter(({ header }) => header.t === '#commit').map(({ body }) => body)
    let previous
    for (const body of commits) {
      const commit = await verifyCommit(body, key)
      if (previous) {
        assert.equal(body.since, previous.rev)
        assert.equal(body.prevData.toString(), previous.data.toString())
      }
      for (const op of body.ops) assert.equal(op.action === 'create', op.prev === undefined, 'prev of the operation')
      previous = commit
    }
    assert.ok(commits.length >= 7)
    assert.equal(previous.rev, last.commit.rev)
  })

  test(`the ${name} replays from a cursor, without gap or repetition`, async () => {
    const live = read(base)
    await live.opens()
    const member = await Member.joins()
    const commits = []
    for (let i = 0; i < 12; i++) commits.push((await member.posts(`n ${i}`)).commit.rev)
    await live.sees(member.did, 'the last post', ({ body }) => body.rev === commits.at(-1))
    const frames = live.of(member.did).filter(({ body }) => commits.includes(body.rev))
    assert.deepEqual(frames.map(({ body }) => body.rev), commits)
    const numbers = live.frames.map(({ body }) => body.seq)
    assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b))

    const cursor = frames[4].body.seq
    const replay = read(base, cursor)
    await replay.sees(member.did, 'the last post again', ({ body }) => body.rev === commits.at(-1))
    assert.deepEqual(replay.of(member.did).map(({ body }) => body.rev), commits.slice(5))
    const again = replay.of(member.did).find(({ body }) => body.rev === commits.at(-1))
    assert.deepEqual(again.bytes, frames.at(-1).bytes)
    assert.ok(replay.frames[0].body.seq > cursor)
    await member.posts('and on, live')
    await eventually('the live post', () => replay.of(member.did).length === 8)
  })

  test(`cursor 0 at the ${name} replays from the beginning`, async () => {
    const member = await Member.joins()
    const { commit } = await member.posts('somewhere in the past')
    const live = read(base)
    await live.opens()
    const reader = read(base, 0)
    await reader.sees(member.did, 'the post', ({ body }) => body.rev === commit.rev)
    if (!isReference.relay || base === pds) {
      assert.ok(reader.of(member.did).some(({ header }) => header.t === '#account'))
    }
  })

  test(`a cursor from the future is refused by the ${name}`, base === relay ? notOnReference('relay', 'stays silent') : {}, async () => {
    const reader = read(base, Number.MAX_SAFE_INTEGER)
    await eventually('the error frame and the close', () => reader.closed !== undefined)
    assert.equal(reader.frames.length, 1)
    const [{ header, body }] = reader.frames
    assert.equal(header.op, -1)
    assert.equal(body.error, 'FutureCursor')
  })
}

test('a text cursor is refused before the socket opens', async () => {
  for (const base of isReference.pds ? [relay] : [pds, relay]) {
    const reader = read(base, 'yesterday')
    await eventually('the refusal', () => reader.refused !== undefined)
    assert.equal(reader.refused, 400)
    assert.equal(reader.frames.length, 0)
  }
})

test('frames carry the time and nothing that is not in the schema', async () => {
  const reader = read(pds)
  await reader.opens()
  const member = await Member.joins()
  const { commit } = await member.posts('timed')
  const { body } = await reader.sees(member.did, 'the post', ({ body }) => body.rev === commit.rev)
  assert.match(body.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  assert.equal(body.tooBig, false)
  assert.equal(body.rebase, false)
  assert.deepEqual(body.blobs, [])
  const known = 'blobs blocks commit ops prevData rebase repo rev seq since time tooBig'.split(' ')
  assert.deepEqual(Object.keys(body).sort(), known)
})

test('the relay knows the repository and sends readers to its host', async () => {
  const member = await Member.joins()
  const { commit } = await member.posts('for the relay')
  const ask = (method, query) => fetch(`${relay}/xrpc/com.atproto.sync.${method}?${new URLSearchParams(query)}`, {
    redirect: 'manual',
  })
  await eventually('the relay to have the commit', async () => {
    const answer = await ask('getLatestCommit', { did: member.did })
    return answer.ok && (await answer.json()).rev === commit.rev
  })
  const status = await (await ask('getRepoStatus', { did: member.did })).json()
  assert.equal(status.active, true)
  const { hosts } = await (await ask('listHosts', {})).json()
  assert.ok(hosts.some(({ hostname }) => hostname === new URL(pds).host))
  const redirect = await ask('getRepo', { did: member.did })
  assert.ok([301, 302, 303, 307, 308].includes(redirect.status))
  assert.equal(new URL(redirect.headers.get('location')).host, new URL(pds).host)
  // The list follows the state with a moment's delay.
  await eventually('the relay to list the repository', async () => {
    let cursor
    const seen = []
    do {
      const page = await (await ask('listRepos', { limit: 3, ...(cursor && { cursor }) })).json()
      seen.push(...page.repos.map(({ did }) => did))
      cursor = page.cursor
    } while (cursor)
    assert.equal(seen.length, new Set(seen).size, 'a repository is listed once')
    return seen.includes(member.did)
  })
})
