// Calls that another service answers, through the official SDK, which validates every answer against its lexicon.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { verifyJwt } from '@atproto/xrpc-server'
import { AppView } from '../actors/app-view.mjs'
import { Member, anonymous, post } from '../actors/member.mjs'
import { refused } from '../actors/refusal.mjs'
import { isReference, notOnReference, resolver } from '../actors/stack.mjs'

const needsAppView = notOnReference('pds', 'takes part in app methods only with an AppView in its configuration')

let view
before(async () => {
  view = await AppView.starts()
})
after(() => view.stops())

/** A member, their agent at the AppView, and the revision that the AppView has read. */
async function joins() {
  const member = await Member.joins()
  await member.posts('first')
  const { rev } = await member.latestCommit()
  const app = member.agent.withProxy('bsky_appview', view.did)
  return { member, app, read: { headers: { 'atproto-repo-rev': rev } } }
}

/** Checks the token of a call and gives its claims. */
async function claims(nsid, { aud = view.did, lxm = nsid } = {}) {
  const token = view.newest(nsid).headers.authorization.replace('Bearer ', '')
  const key = (iss, fresh) => resolver().did.resolveAtprotoKey(iss, fresh)
  return verifyJwt(token, aud, lxm, key)
}

const lag = ({ headers }) => Number(headers['atproto-upstream-lag'])

test('a call reaches the named service in the name of the member', async () => {
  const { member, app } = await joins()
  const nsid = 'app.bsky.graph.getMutes'
  view.answers(nsid, { mutes: [] }, { headers: { 'atproto-content-labelers': 'did:web:l.example' } })
  app.configureLabelers(['did:web:l.example'])
  const { data, headers } = await app.app.bsky.graph.getMutes({ limit: 7 })
  assert.deepEqual(data, { mutes: [] })
  assert.equal(headers['atproto-content-labelers'], 'did:web:l.example')
  const call = view.newest(nsid)
  assert.equal(call.searchParams.get('limit'), '7')
  assert.match(call.headers['atproto-accept-labelers'], /did:web:l\.example/)
  assert.equal(call.headers['atproto-proxy'], undefined)
  const { iss, exp, iat } = await claims(nsid)
  assert.equal(iss, member.did)
  assert.ok(exp - iat <= 60)
})

test("a service's refusal comes through with its name", async () => {
  const { app } = await joins()
  const nsid = 'app.bsky.graph.getMutes'
  view.answers(nsid, { error: 'Sleepy', message: 'later' }, { status: 400 })
  await refused(app.app.bsky.graph.getMutes(), 400, 'Sleepy', /later/)
  view.answers(nsid, { error: 'InternalServerError', message: 'oh' }, { status: 500 })
  await refused(app.app.bsky.graph.getMutes(), 502)
})

test('a procedure without an answer is passed on with its body', async () => {
  const { app } = await joins()
  const nsid = 'app.bsky.graph.muteActor'
  view.answers(nsid, undefined)
  await app.app.bsky.graph.muteActor({ actor: 'did:web:ben.example' })
  assert.deepEqual(JSON.parse(view.newest(nsid).body), { actor: 'did:web:ben.example' })
})

test('a report goes to the labeler that the member chose', async () => {
  const { member } = await joins()
  const nsid = 'com.atproto.moderation.createReport'
  const subject = { $type: 'com.atproto.admin.defs#repoRef', did: 'did:web:ben.example' }
  const reasonType = 'com.atproto.moderation.defs#reasonSpam'
  view.answers(nsid, { id: 5, reasonType, subject, reportedBy: member.did, createdAt: new Date().toISOString() })
  const labeler = member.agent.withProxy('atproto_labeler', view.did)
  const { data } = await labeler.com.atproto.moderation.createReport({ reasonType, subject })
  assert.equal(data.id, 5)
  await claims(nsid)
})

test('devices are registered at the service that pushes to them', needsAppView, async () => {
  const { member } = await joins()
  const { notification } = member.agent.app.bsky
  const device = { serviceDid: view.did, token: 't', platform: 'ios', appId: 'org.coop' }
  for (const method of ['registerPush', 'unregisterPush']) {
    const nsid = `app.bsky.notification.${method}`
    view.answers(nsid, undefined)
    await notification[method](device)
    assert.deepEqual(JSON.parse(view.newest(nsid).body), device)
    await claims(nsid)
  }
})

test('private messages need the main password or a privileged app password', async () => {
  const { member } = await joins()
  view.answers('chat.bsky.convo.listConvos', { convos: [] })
  for (const privileged of [false, true]) {
    const { data } = await member.server.createAppPassword({ name: `phone ${privileged}`, privileged })
    const phone = anonymous()
    await phone.login({ identifier: member.handle, password: data.password })
    const call = phone.withProxy('bsky_chat', view.did).chat.bsky.convo.listConvos()
    await (privileged ? call : refused(call, 400, 'InvalidToken', /Bad token method/))
  }
})

test("the token of a feed is made out to the feed's own service", needsAppView, async () => {
  const { app } = await joins()
  const uri = 'at://did:web:maker.example/app.bsky.feed.generator/bread'
  const cid = 'bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm'
  view.answers('com.atproto.repo.getRecord', { uri, cid, value: { did: 'did:web:feeds.example' } })
  view.answers('app.bsky.feed.getFeed', { feed: [] })
  await app.app.bsky.feed.getFeed({ feed: uri })
  await claims('app.bsky.feed.getFeed', { aud: 'did:web:feeds.example', lxm: 'app.bsky.feed.getFeedSkeleton' })
})

test('a member sees a new profile at once', needsAppView, async () => {
  const { member, app, read } = await joins()
  const { data: upload } = await member.repo.uploadBlob(Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), { encoding: 'image/png' })
  await member.puts('app.bsky.actor.profile', 'self', { displayName: 'Ada', description: 'baker', avatar: upload.blob })
  const old = { did: member.did, handle: member.handle, displayName: 'Old', banner: 'https://cdn.example/b' }
  view.answers('app.bsky.actor.getProfile', old, read)
  const profile = await app.app.bsky.actor.getProfile({ actor: member.did })
  assert.equal(profile.data.displayName, 'Ada')
  assert.equal(profile.data.description, 'baker')
  assert.equal(profile.data.banner, undefined)
  assert.equal((await fetch(profile.data.avatar)).headers.get('content-type'), 'image/png')
  assert.ok(lag(profile) >= 0)
  view.answers('app.bsky.actor.getProfiles', { profiles: [old] }, read)
  const { data } = await app.app.bsky.actor.getProfiles({ actors: [member.did] })
  assert.equal(data.profiles[0].displayName, 'Ada')
})

test('a member sees new posts, pictures and quotes at once', needsAppView, async () => {
  const { member, app, read } = await joins()
  const { data: upload } = await member.repo.uploadBlob(Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), { encoding: 'image/png' })
  const image = { image: upload.blob, alt: 'bread', aspectRatio: { width: 4, height: 3 } }
  const quoted = 'at://did:web:ben.example/app.bsky.feed.post/q'
  const cid = 'bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm'
  const embeds = [
    { $type: 'app.bsky.embed.images', images: [image] },
    { $type: 'app.bsky.embed.external', external: { uri: 'https://coop.example', title: 't', description: 'd' } },
    { $type: 'app.bsky.embed.record', record: { uri: quoted, cid } },
  ]
  for (const embed of embeds) {
    const record = { ...post('look'), embed }
    await member.repo.createRecord({ repo: member.did, collection: record.$type, record })
  }
  const indexedAt = '2020-01-01T00:00:00.000Z'
  const author = { did: 'did:web:ben.example', handle: 'ben.example' }
  const ben = { uri: quoted, cid, author, record: post('quoted'), indexedAt }
  view.answers('app.bsky.feed.getPosts', { posts: [ben] })
  view.answers('app.bsky.feed.getTimeline', { feed: [{ post: ben }] }, read)
  const timeline = await app.getTimeline()
  const [quote, link, picture, last] = timeline.data.feed.map(({ post }) => post)
  assert.equal(last.uri, quoted)
  assert.equal(quote.embed.record.uri, quoted)
  assert.equal(quote.embed.record.$type, 'app.bsky.embed.record#viewRecord')
  assert.equal(link.embed.external.uri, 'https://coop.example')
  assert.equal(picture.embed.images[0].alt, 'bread')
  assert.equal((await fetch(picture.embed.images[0].fullsize)).status, 200)
  assert.deepEqual([picture.likeCount, picture.replyCount, picture.repostCount], [0, 0, 0])
  assert.equal(picture.author.handle, member.handle)
  assert.ok(lag(timeline) >= 0)
  view.answers('app.bsky.feed.getAuthorFeed', { feed: [] }, read)
  const own = await app.getAuthorFeed({ actor: member.did, filter: 'posts_with_media' })
  assert.deepEqual(own.data.feed.map(({ post }) => post.uri), [picture.uri])
})

test('a member sees their own replies and new threads at once', needsAppView, async () => {
  const { member, app, read } = await joins()
  const uri = 'at://did:web:ben.example/app.bsky.feed.post/r'
  const cid = 'bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm'
  const author = { did: 'did:web:ben.example', handle: 'ben.example' }
  const known = { uri, cid, author, record: post('root'), indexedAt: '2020-01-01T00:00:00.000Z' }
  const thread = { $type: 'app.bsky.feed.defs#threadViewPost', post: known, replies: [] }
  const reply = { root: { uri, cid }, parent: { uri, cid } }
  const record = { ...post('my answer'), reply }
  const { data: answer } = await member.repo.createRecord({ repo: member.did, collection: record.$type, record })
  view.answers('app.bsky.feed.getPostThread', { thread }, read)
  const { data } = await app.getPostThread({ uri })
  assert.equal(data.thread.replies[0].post.uri, answer.uri)
  view.answers('app.bsky.feed.getPostThread', { error: 'NotFound', message: 'Post not found' }, { status: 400, ...read })
  const { data: own } = await app.getPostThread({ uri: answer.uri })
  assert.equal(own.thread.post.record.text, 'my answer')
  await refused(app.getPostThread({ uri: `${answer.uri}x` }), 400, 'NotFound')
})

test('an AppView that has read everything is passed on as it is', async () => {
  const { member, app } = await joins()
  const { rev } = await member.latestCommit()
  const headers = { 'atproto-repo-rev': rev }
  view.answers('app.bsky.feed.getTimeline', { feed: [] }, { headers })
  const { data, headers: back } = await app.getTimeline()
  assert.deepEqual(data.feed, [])
  assert.equal(back['atproto-upstream-lag'], undefined)
  assert.equal(back['atproto-repo-rev'], rev)
  assert.ok(isReference.pds || view.newest('app.bsky.feed.getTimeline').headers.authorization)
})
