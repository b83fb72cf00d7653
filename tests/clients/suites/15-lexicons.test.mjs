// The official library as oracle: whatever it takes for a valid record the PDS takes, and nothing else.
// Left out is where the two disagree on purpose: CIDs in text are checked laxly here, language tags strictly (both
// as the interoperability fixtures have it), an object may not claim another `$type` than its own, and the
// types and sizes of files, which the library does not check.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lexicons } from '@atproto/api'
import { Member } from '../actors/member.mjs'
import { notOnReference } from '../actors/stack.mjs'

const DID = 'did:plc:44ybard66vv44zksje25o7dz'
const CID = 'bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq'
const ref = { uri: `at://${DID}/app.bsky.feed.post/3kznmn7xqxl22`, cid: CID }
const list = `at://${DID}/app.bsky.graph.list/3kznmn7xqxl22`
const createdAt = '2026-01-01T00:00:00.000Z'
const labels = { $type: 'com.atproto.label.defs#selfLabels', values: [{ val: 'nsfw' }] }
const facets = [{
  index: { byteStart: 0, byteEnd: 2 },
  features: [
    { $type: 'app.bsky.richtext.facet#link', uri: 'https://a.example' },
    { $type: 'app.bsky.richtext.facet#mention', did: DID },
    { $type: 'com.example.other', x: 1 },
  ],
}]

/** Valid records of collections whose keys are TIDs. */
const RECORDS = [
  { $type: 'app.bsky.feed.post', text: 'hi', createdAt, tags: ['a'], labels, facets, reply: { root: ref, parent: ref } },
  { $type: 'app.bsky.feed.post', text: '👩‍👩‍👦‍👦', createdAt, embed: { $type: 'app.bsky.embed.record', record: ref } },
  {
    $type: 'app.bsky.feed.post', text: 'hi', createdAt,
    embed: { $type: 'app.bsky.embed.external', external: { uri: 'https://a.example/x', title: 't', description: 'd' } },
  },
  { $type: 'app.bsky.feed.like', subject: ref, createdAt },
  { $type: 'app.bsky.feed.repost', subject: ref, createdAt, via: ref },
  { $type: 'app.bsky.graph.follow', subject: DID, createdAt },
  { $type: 'app.bsky.graph.list', purpose: 'app.bsky.graph.defs#modlist', name: 'n', descriptionFacets: facets, createdAt },
  { $type: 'app.bsky.graph.listitem', subject: DID, list, createdAt },
  { $type: 'app.bsky.graph.starterpack', name: 'n', list, feeds: [{ uri: ref.uri }], createdAt },
  {
    $type: 'app.bsky.feed.threadgate', post: ref.uri, hiddenReplies: [ref.uri], createdAt,
    allow: [{ $type: 'app.bsky.feed.threadgate#mentionRule' }, { $type: 'app.bsky.feed.threadgate#listRule', list }],
  },
]

const JUNK = [
  null, true, 0, -1, 7, 1e9, '', 'x', DID, 'did:plc:x', 'https://a.example', '2026-01-01', '2026-01-01T00:00:00Z',
  '2026-13-01T00:00:00Z', 'at://x', ref.uri, 'x'.repeat(65), 'x'.repeat(301), 'x'.repeat(3001), 'é'.repeat(300),
  '👩‍👩‍👦‍👦'.repeat(301), [], ['x'], {}, { a: 1 }, { $type: 'com.example.x' }, { $type: 'app.bsky.embed.images' }, ref,
  { $link: CID }, { $bytes: 'AQID' }, Array(9).fill('x'), Array(5).fill(ref),
]

/** Numbers from 0 to 1 that are the same each time. */
function dice(seed) {
  return () => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    return seed / 0x7fffffff
  }
}

function places(value, path = []) {
  if (value === null || typeof value !== 'object' || '$link' in value || '$bytes' in value) return [path]
  return [path, ...Object.keys(value).flatMap((key) => places(value[key], [...path, key]))]
}

/** The record with one thing taken out, replaced or added. */
function changed(record, roll) {
  const copy = structuredClone(record)
  const open = places(copy).filter((path) => path.length > 0 && !['$type', 'cid'].includes(path.at(-1)))
  const path = open[Math.floor(roll() * open.length)]
  const holder = path.slice(0, -1).reduce((value, key) => value[key], copy)
  const [key, junk, what] = [path.at(-1), JUNK[Math.floor(roll() * JUNK.length)], roll()]
  if (what < 0.25) Array.isArray(holder) ? holder.splice(Number(key), 1) : delete holder[key]
  else if (what < 0.9) holder[key] = junk
  else if (Array.isArray(holder)) holder.push(junk)
  else holder.undeclared = junk
  return copy
}

function verdict(record) {
  try {
    lexicons.assertValidRecord(record.$type, record)
    return 'valid'
  } catch (error) {
    return error.message
  }
}

test('records are taken and refused as the official library would', notOnReference('pds', 'checks files too'), async () => {
  const member = await Member.joins()
  const roll = dice(1844)
  let [taken, refused] = [0, 0]
  for (const record of RECORDS) {
    assert.equal(verdict(record), 'valid', record.$type)
    for (let round = 0; round < 40; round += 1) {
      const candidate = round === 0 ? record : changed(record, roll)
      const expected = verdict(candidate)
      const answer = await fetch(new URL('/xrpc/com.atproto.repo.createRecord', member.agent.serviceUrl), {
        method: 'POST',
        headers: { authorization: `Bearer ${member.accessJwt}`, 'content-type': 'application/json' },
        body: JSON.stringify({ repo: member.did, collection: record.$type, record: candidate, validate: true }),
      })
      const body = await answer.json()
      const seen = `${JSON.stringify(candidate)}: the library says ${expected}, the PDS ${JSON.stringify(body)}`
      assert.equal(answer.status, expected === 'valid' ? 200 : 400, seen)
      if (answer.status === 200) {
        assert.equal(body.validationStatus, 'valid', seen)
        taken += 1
      } else {
        assert.equal(body.error, 'InvalidRequest', seen)
        refused += 1
      }
    }
  }
  assert.ok(taken > 40 && refused > 100, `${taken} taken, ${refused} refused`)
})
